"""The metrics on responses made by hand; every fact of a spec, for every metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from shiftproof.errors import ComparisonError
from shiftproof.metrics import MetricSpec, metrics
from shiftproof.probe import Response


def response(predicted: Sequence[Sequence[int]], labels: Sequence[int], unshifted: Sequence[int]) -> Response:
    array = np.array(predicted)
    n, s = array.shape
    return Response(
        predicted=array,
        true_prob=np.zeros((n, s), np.float32),
        drift=np.zeros((n, s), np.float32),
        offsets_px=np.zeros((s, 2)),
        labels=np.array(labels),
        unshifted_predicted=np.array(unshifted),
        unshifted_true_prob=np.zeros(n, np.float32),
        provenance={},
    )


BY_HAND = response([[1, 1, 1, 1], [2, 2, 0, 0], [3, 3, 3, 3], [0, 0, 0, 0]], [1, 2, 0, 0], [1, 2, 3, 1])


@pytest.mark.parametrize(
    ("name", "per_image"),
    [
        ("accuracy", [1, 0.5, 0, 1]),
        ("agreement", [1, 0.5, 1, 0]),
        ("worst-case-accuracy", [1, 0, 0, 0]),
    ],
)
def test_by_hand(name: str, per_image: list[float]) -> None:
    assert metrics.get(name).per_image(BY_HAND).tolist() == per_image
    assert metrics.get(name).estimate(BY_HAND).value == pytest.approx(np.mean(per_image))


@pytest.mark.parametrize("metric", metrics, ids=lambda m: m.name)
def test_every_metric_keeps_its_word(metric: MetricSpec) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 10, 200)
    good = response(np.repeat(labels[:, None], 9, 1).tolist(), labels.tolist(), labels.tolist())
    bad = response(
        generator.integers(0, 10, (200, 9)).tolist(), labels.tolist(), generator.integers(0, 10, 200).tolist()
    )
    for each in (good, bad, BY_HAND):
        shares = metric.per_image(each)
        assert shares.shape == (each.n_images,)
        assert shares.dtype == np.float64
        assert ((shares >= 0) & (shares <= 1)).all()
    direction = metric.estimate(good).value > metric.estimate(bad).value
    assert direction == metric.higher_is_better
    assert metric.summary
    assert metric.source
    assert metric.estimate(good).n_images == 200


def test_seeds_must_answer_the_same_question() -> None:
    accuracy = metrics.get("accuracy")
    assert accuracy.estimate(BY_HAND, BY_HAND).n_seeds == 2
    with pytest.raises(ComparisonError, match="same images under the same shifts"):
        accuracy.estimate(BY_HAND, dataclasses.replace(BY_HAND, labels=np.array([0, 0, 0, 0])))
    with pytest.raises(ComparisonError, match="at least one"):
        accuracy.estimate()

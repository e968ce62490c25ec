"""Every metric on a response made by hand; every fact of a spec, for every entry of the registry."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftproof.errors import ComparisonError, OptionError
from shiftproof.metrics import (
    Estimate,
    MetricSpec,
    NotApplicable,
    Scores,
    chance_accuracy,
    chance_agreement,
    metrics,
    smallest_flip_px,
    within,
)
from shiftproof.probe import Response

Make = Callable[..., Response]
ALL = list(metrics)
BY_NAME = pytest.mark.parametrize("metric", ALL, ids=lambda m: m.name)


def value(metric: str, *responses: Response) -> float:
    found = metrics.get(metric).estimate(*responses)
    assert isinstance(found, Estimate), found
    return found.value


def reason(metric: MetricSpec | str, response: Response) -> str:
    spec = metrics.get(metric) if isinstance(metric, str) else metric
    found = spec.estimate(response)
    assert isinstance(found, NotApplicable), found
    return found.reason


@pytest.fixture(scope="module")
def by_hand(build: Make) -> Response:
    """Four images, labels 1 2 0 0, unshifted answers 1 2 3 1; the second of five shifts is zero."""
    return build(
        [[1, 1, 1, 1, 1], [2, 2, 2, 0, 0], [3, 3, 3, 3, 3], [0, 1, 0, 0, 2]],
        [1, 2, 0, 0],
        [1, 2, 3, 1],
        offsets_px=[(1, 0), (0, 0), (-2, 1), (0, 3), (4, -4)],
        true_prob=[[0.9] * 5, [0.8, 0.75, 0.75, 0.2, 0.1], [0.1] * 5, [0.4, 0.2, 0.5, 0.6, 0.3]],
        drift=[[0.1] * 5, [0.2, 0, 0.3, 0.4, 0.5], [0, 0, 0, 0, 0], [1, 0, 1, 1, 2]],
    )


@pytest.mark.parametrize(
    ("name", "per_image"),
    [
        ("clean-accuracy", [1, 1, 0, 0]),
        ("accuracy", [1, 3 / 5, 0, 3 / 5]),  # the zero shift counts
        ("worst-case-accuracy", [1, 0, 0, 0]),
        ("kept-when-right", [1, 2 / 4, None, None]),
        ("agreement", [1, 2 / 4, 1, 0]),
        ("flip-rate", [0, 2 / 4, 0, 1]),
        ("worst-case-agreement", [1, 0, 1, 0]),
        # of 10 pairs: 3 + 1 of the second image; 3 of the fourth (its 0s)
        ("pairwise-consistency", [1, 4 / 10, 1, 3 / 10]),
        ("drift", [0.1, 0.35, 0, 1.25]),
    ],
)
def test_by_hand(by_hand: Response, name: str, per_image: list[float | None]) -> None:
    scores = metrics.get(name).scores(by_hand)
    assert isinstance(scores, Scores)
    assert scores.counts.tolist() == [x is not None for x in per_image]
    expected = [x for x in per_image if x is not None]
    assert scores.values[scores.counts] == pytest.approx(expected, rel=1e-6)
    assert value(name, by_hand) == pytest.approx(np.mean(expected), rel=1e-6)


def test_probabilities_by_hand(build: Make) -> None:
    """Logits (ln 3, 0) are probabilities (3/4, 1/4)."""
    response = build(
        [[0, 0, 1], [0, 0, 0]],
        [0, 1],
        [0, 0],
        offsets_px=[(1, 0), (0, 0), (0, 1)],
        true_prob=[[0.5, 0.75, 0.8], [0.35, 0.25, 0.3]],
        logits=[[math.log(3), 0], [math.log(3), 0]],
    )
    assert value("wobble", response) == pytest.approx(np.mean([0.3, 0.1]), rel=1e-6)
    assert value("mean-abs-change", response) == pytest.approx(np.mean([0.15, 0.075]), rel=1e-6)


def test_sensitivity_by_hand(build: Make) -> None:
    """Norms 5, 5 and 10; distances between classes √50, 5, √125: their median is √50."""
    response = build(
        [[0], [1], [1]],
        [0, 1, 2],
        [0, 1, 1],
        drift=[[0.2], [0.4], [0.1]],
        logits=[[5, 0, 0], [0, 5, 0], [0, 10, 0]],
    )
    assert value("sensitivity", response) == pytest.approx((1 + 2 + 1) / 3 / math.sqrt(50), rel=1e-6)


def test_agreement_above_chance_by_hand(by_hand: Response) -> None:
    """Unshifted answers 1 2 3 1: chance is 4/16 + 1/16 + 1/16."""
    assert chance_agreement(by_hand) == pytest.approx(6 / 16)
    assert chance_accuracy(by_hand) == pytest.approx(2 / 4)
    agreement = np.mean([1, 0.5, 1, 0])
    assert value("agreement-above-chance", by_hand) == pytest.approx((agreement - 6 / 16) / (10 / 16))


def test_smallest_flip_by_hand(by_hand: Response, build: Make) -> None:
    assert smallest_flip_px(by_hand).tolist() == [np.inf, 3, np.inf, 1]
    assert "only 50.0% of the images" in reason("smallest-flip", by_hand)
    assert "only 33.3% of the images" in reason("smallest-flip", build([[1], [0], [0]], [0] * 3, [0] * 3))
    # 35 images flip at 1 px, 55 at 2 px, 10 never: half are within 2 px, whatever the sample
    many = build([[1, 1]] * 35 + [[0, 1]] * 55 + [[0, 0]] * 10, [0] * 100, [0] * 100)
    found = metrics.get("smallest-flip").estimate(many)
    assert isinstance(found, Estimate)
    # Clopper and Pearson's interval of 35 of 100 is 0.257 to 0.452: at 1 px one half is not plausible
    assert (found.value, found.low, found.high, found.unit) == (2, 2, 2, "px")
    nearer = build([[1, 1]] * 45 + [[0, 1]] * 50 + [[0, 0]] * 5, [0] * 100, [0] * 100)
    found = metrics.get("smallest-flip").estimate(nearer)
    assert isinstance(found, Estimate)
    assert (found.value, found.low, found.high) == (2, 1, 2)


def test_convention_zhang_consistency_of_two_draws_is_an_indicator(simulate: Make) -> None:
    response = simulate(0, 200, 2, per_image=True)
    scores = metrics.get("pairwise-consistency").scores(response)
    assert isinstance(scores, Scores)
    different = (response.offsets_px[:, 0] != response.offsets_px[:, 1]).any(1)
    agree = response.predicted[:, 0] == response.predicted[:, 1]
    assert scores.counts.tolist() == different.tolist()
    assert scores.values[different].tolist() == agree[different].astype(float).tolist()


@given(st.integers(0, 10**6), st.booleans())
def test_oracle_pairwise_consistency_is_a_loop_over_pairs(simulate: Make, seed: int, per_image: bool) -> None:
    response = simulate(seed, 8, 7, per_image=per_image)
    part = within(response, 2)
    scores = metrics.get("pairwise-consistency").per_image(part)
    assert isinstance(scores, Scores)
    for i in range(8):
        offsets = response.offsets_px[i] if per_image else response.offsets_px
        seen = [s for s in range(7) if np.abs(offsets[s]).max() <= 2]
        pairs = [(s, t) for s, t in combinations(seen, 2) if (offsets[s] != offsets[t]).any()]
        assert scores.counts[i] == bool(pairs)
        if pairs:
            equal = [response.predicted[i, s] == response.predicted[i, t] for s, t in pairs]
            assert scores.values[i] == pytest.approx(np.mean(equal))


@BY_NAME
def test_every_metric_keeps_its_word(metric: MetricSpec, simulate: Make) -> None:
    """Direction on a good and a bad network, bounds, and a text for every question."""
    good = metric.estimate(simulate(0, 300, skill=3, tremor=2, task=metric.tasks[0]))
    bad = metric.estimate(simulate(0, 300, skill=0.5, tremor=6, task=metric.tasks[0]))
    assert isinstance(good, Estimate)
    assert isinstance(bad, Estimate)
    assert (good.value > bad.value) == metric.higher_is_better
    assert metric.summary
    assert not metric.summary.endswith(".")
    assert metric.source
    assert good.unit == metric.unit
    assert good.n_seeds == 1
    assert 0 < good.n_images <= 300
    assert metrics.get(metric.name) is metric
    unlabelled = metric.estimate(simulate(0, 300, tremor=6, labelled=0, task=metric.tasks[0]))
    assert isinstance(unlabelled, NotApplicable) == metric.needs_labels


@BY_NAME
@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 12), s=st.integers(0, 8), k=st.integers(1, 4),
    per_image=st.booleans(), labelled=st.sampled_from([0.0, 0.5, 1.0]), tremor=st.sampled_from([0.0, 1, 9]),
)  # fmt: skip
def test_bounds_and_order(
    metric: MetricSpec, simulate: Make, seed: int, n: int, s: int, k: int, per_image: bool,
    labelled: float, tremor: float,
) -> None:  # fmt: skip
    task = metric.tasks[seed % len(metric.tasks)]
    response = simulate(seed, n, s, k, per_image=per_image, labelled=labelled, tremor=tremor, task=task)
    found = metric.estimate(response)
    images, shifts = (np.random.default_rng(seed).permutation(m) for m in (n, s))
    turned = metric.estimate(permuted(response, images, shifts))
    if isinstance(found, NotApplicable):
        assert found.reason
        assert not found.reason.endswith(".")
        assert isinstance(turned, NotApplicable)
        return
    assert isinstance(turned, Estimate)
    low, high = metric.bounds
    assert (-math.inf if low is None else low) <= found.low <= found.value <= found.high
    assert found.high <= (math.inf if high is None else high) + 1e-12
    assert math.isfinite(found.high)
    # Only sensitivity looks at a sample of pairs, in an order.
    if metric.name != "sensitivity":
        assert (turned.value, turned.low, turned.high) == pytest.approx(
            (found.value, found.low, found.high), abs=1e-9
        )


def permuted(response: Response, images: np.ndarray, shifts: np.ndarray) -> Response:
    shared = response.offsets_px.ndim == 2
    changed: dict[str, Any] = {}
    for name in ("predicted", "true_prob", "drift", "label_output", "cosine", "neighbours"):
        if (array := getattr(response, name)) is not None:
            changed[name] = array[images][:, shifts] if array.shape[1] else array[images]
    for name in ("labels", "unshifted_output", "unshifted_neighbours"):
        if (array := getattr(response, name)) is not None:
            changed[name] = array[images]
    offsets = response.offsets_px[shifts] if shared else response.offsets_px[images][:, shifts]
    return dataclasses.replace(response, offsets_px=offsets, **changed)


@BY_NAME
def test_zero_shift_adds_nothing_to_agreement(metric: MetricSpec, simulate: Make) -> None:
    """A zero shift among others changes only what counts it on purpose."""
    response = simulate(1, 60, 5, tremor=3, task=metric.tasks[-1])
    unmoved = {
        "predicted": response.unshifted_predicted,
        "true_prob": response.unshifted_true_prob,
        "drift": np.zeros(60, np.float32),
        "label_output": response.unshifted_output,
        "cosine": np.ones(60, np.float32),
        "neighbours": response.unshifted_neighbours,
    }
    wider: dict[str, Any] = {
        name: np.concatenate([getattr(response, name), array[:, None]], 1)
        for name, array in unmoved.items()
        if array is not None and len(array) and getattr(response, name) is not None
    }
    offsets = np.vstack([response.offsets_px, [-0.0, 0.0]])
    grown = dataclasses.replace(response, offsets_px=offsets, **wider)
    same = metric.estimate(grown) == metric.estimate(response)
    assert same == (metric.name not in ("accuracy", "pairwise-consistency", "average-precision"))


@BY_NAME
def test_only_the_zero_shift(metric: MetricSpec, build: Make, simulate: Make) -> None:
    response = build([[1], [2]], [1, 1], [1, 2], offsets_px=[(0, 0)])
    if response.task.name not in metric.tasks:
        response = simulate(0, 9, 1, task=metric.tasks[0], tremor=0)
        still = dataclasses.replace(response, offsets_px=np.zeros((1, 2)))
        assert isinstance(metric.estimate(still), NotApplicable) == metric.needs_moves
        return
    if metric.needs_moves:
        assert "no image was moved" in reason(metric, response)
    else:
        assert value(metric.name, response) == 0.5


def test_zero_shift_drawn_by_chance_does_not_count(build: Make) -> None:
    response = build([[1], [2]], [1, 1], [1, 1], offsets_px=[[(0, 0)], [(0, 1)]])
    found = metrics.get("agreement").estimate(response)
    assert isinstance(found, Estimate)
    assert (found.value, found.n_images) == (0, 1)


def test_a_constant_classifier_looks_as_useless_as_it_is(build: Make) -> None:
    constant = build([[3] * 4] * 10, [0, 1, 2, 3, 4] * 2, [3] * 10)
    assert value("agreement", constant) == 1
    assert value("clean-accuracy", constant) == chance_accuracy(constant) == pytest.approx(0.2)
    assert chance_agreement(constant) == 1
    assert "is meaningless" in reason("agreement-above-chance", constant)


def test_independent_answers_are_at_chance(simulate: Make) -> None:
    found = metrics.get("agreement-above-chance").estimate(simulate(2, 4000, 4, tremor=1e4))
    assert isinstance(found, Estimate)
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.05


def test_all_right_and_all_wrong(build: Make) -> None:
    right = build([[1, 1]] * 3 + [[2, 2]], [1, 1, 1, 2], [1, 1, 1, 2])
    for name in ("clean-accuracy", "accuracy", "worst-case-accuracy", "kept-when-right", "agreement"):
        assert value(name, right) == 1
    assert value("agreement-above-chance", right) == 1
    above = metrics.get("agreement-above-chance").estimate(right)
    assert isinstance(above, Estimate)
    assert above.low < 0.9, "four images are a small sample"
    wrong = build([[1, 1]] * 3, [0, 0, 0], [1, 1, 1])
    assert value("accuracy", wrong) == 0
    assert reason("kept-when-right", wrong) == "no moved image is right when unshifted"


def test_without_labels_agreement_works(simulate: Make) -> None:
    response = simulate(0, labelled=0)
    assert reason("accuracy", response) == "no image has a known true class"
    assert isinstance(chance_accuracy(response), NotApplicable)
    assert 0 < value("agreement", response) < 1
    assert 0 < value("wobble", response) < 1


def test_images_without_a_label_are_left_out(build: Make) -> None:
    found = metrics.get("accuracy").estimate(build([[1], [1], [0]], [1, -1, -1], [1, 1, 1]))
    assert isinstance(found, Estimate)
    assert (found.value, found.n_images) == (1, 1)


def test_logits_of_zero_have_no_drift(build: Make) -> None:
    response = build(
        [[0], [0]], [0, 0], [0, 0], drift=[[np.inf], [0.5]], logits=[[0, 0], [1, 0]], offsets_px=[(1, 1)]
    )
    assert reason("drift", response) == "one image says nothing about how much images differ"
    twice = build(
        [[0]] * 3, [0] * 3, [0] * 3, drift=[[np.inf], [0.5], [0.25]], logits=[[0, 0], [1, 0], [1, 0]]
    )
    assert value("drift", twice) == pytest.approx(0.375)


def test_sensitivity_needs_two_classes_that_differ(build: Make) -> None:
    assert "another class" in reason("sensitivity", build([[0]] * 3, [0] * 3, [0] * 3))
    assert "the same logits" in reason("sensitivity", build([[0]] * 3, [0, 1, 2], [0] * 3))
    assert "another class" in reason("sensitivity", build([[0]], [0], [0]))


def test_no_images_and_offsets_of_each_image(simulate: Make) -> None:
    assert reason("agreement", simulate(0, 0)) == "there are no images"
    assert isinstance(chance_agreement(simulate(0, 0)), NotApplicable)
    assert "cannot be compared" in reason("smallest-flip", simulate(0, per_image=True))


def test_radius_restricts_shifts(by_hand: Response, simulate: Make) -> None:
    agreement = metrics.get("agreement")
    near = agreement.estimate(within(by_hand, 2))
    assert isinstance(near, Estimate)
    assert near.value == pytest.approx(np.mean([1, 1, 1, 0]))
    assert isinstance(agreement.estimate(within(by_hand, 0.5)), NotApplicable)
    drawn = simulate(3, 50, 2, per_image=True)
    scores = agreement.scores(within(drawn, 1))
    assert isinstance(scores, Scores)
    radius = np.abs(drawn.offsets_px).max(-1)
    assert scores.counts.tolist() == ((radius <= 1) & (radius > 0)).any(1).tolist()


def test_seeds_must_answer_the_same_question(by_hand: Response) -> None:
    accuracy = metrics.get("accuracy")
    both = accuracy.estimate(by_hand, by_hand)
    assert isinstance(both, Estimate)
    assert both.n_seeds == 2
    with pytest.raises(ComparisonError, match="same images under the same shifts"):
        accuracy.estimate(by_hand, dataclasses.replace(by_hand, labels=np.array([0, 0, 0, 0])))
    with pytest.raises(ComparisonError, match="at least one"):
        accuracy.estimate()
    with pytest.raises(OptionError, match="between 0 and 1"):
        accuracy.estimate(by_hand, confidence=1)


@BY_NAME
def test_several_seeds(metric: MetricSpec, simulate: Make) -> None:
    """Three networks on the same images: the value is the mean of theirs, or the median of all."""
    seeds = [simulate(i, 200, 5, tremor=4, task=metric.tasks[-1]) for i in range(3)]
    same = [dataclasses.replace(s, labels=seeds[0].labels, offsets_px=seeds[0].offsets_px) for s in seeds]
    found = metric.estimate(*same)
    assert isinstance(found, Estimate)
    assert found.n_seeds == 3
    assert found.low <= found.value <= found.high
    if metric.kind != "median":
        assert found.value == pytest.approx(np.mean([value(metric.name, each) for each in same]))

"""Metrics of answers that are no single class: by hand, against scikit-learn, and what they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    cohen_kappa_score,
    hamming_loss,
)
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from shiftproof._tasks import TaskName
from shiftproof.adapters import Task
from shiftproof.metrics import (
    Estimate,
    MetricSpec,
    NotApplicable,
    Scores,
    by_class,
    by_radius,
    chance_accuracy,
    compare_responses,
    metrics,
    select,
    within,
)
from shiftproof.metrics._precision import average_precision
from shiftproof.probe import Response

Make = Callable[..., Response]
TASKS = get_args(TaskName)


def value(metric: str, response: Response) -> float:
    found = metrics.get(metric).estimate(response)
    assert isinstance(found, Estimate), found
    return found.value


def per_image(metric: str, response: Response) -> list[float]:
    found = metrics.get(metric).scores(response)
    assert isinstance(found, Scores), found
    return [float(x) for x in found.values]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("metric", list(metrics), ids=lambda m: m.name)
def test_a_metric_is_for_its_tasks(metric: MetricSpec, task: TaskName, simulate: Make) -> None:
    found = metric.estimate(simulate(0, 60, task=task, tremor=0.4, skill=3))
    if task in metric.tasks:
        # An embedding seldom keeps half of its neighbours; nothing else is out of reach here.
        beyond = isinstance(found, NotApplicable) and "beyond it" in found.reason
        assert isinstance(found, Estimate) or (beyond and metric.kind == "median")
    else:
        assert isinstance(found, NotApplicable)
        assert found.reason.startswith("it has no meaning for ")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["agreement", "drift", "flip-rate", "pairwise-consistency"])
def test_meaning_less_tremor_is_better(name: str, task: TaskName, simulate: Make) -> None:
    spec = metrics.get(name)
    calm, restless = (
        spec.estimate(simulate(0, 200, 8, task=task, skill=3, tremor=tremor)) for tremor in (0.1, 3)
    )
    assert isinstance(calm, Estimate)
    assert isinstance(restless, Estimate)
    assert calm.low > restless.high if spec.higher_is_better else calm.high < restless.low


@pytest.fixture(scope="module")
def three_labels() -> Response:
    """Two images, three labels; shifts: one pixel, none, two pixels. The threshold is 0.5."""
    seen = [[[0.9, 0.1, 0.2], [0.9, 0.6, 0.2], [0.4, 0.6, 0.2]], [[0.3, 0.3, 0.7]] * 3]
    unshifted = [[0.9, 0.6, 0.2], [0.3, 0.3, 0.7]]
    return Response(
        predicted=np.array([[1, 3, 2], [4, 4, 4]]),
        label_output=np.array(seen, np.float32),
        true_prob=np.empty((2, 0), np.float32),
        drift=np.zeros((2, 3), np.float32),
        offsets_px=np.array([(0.0, 1), (0, 0), (2, 0)]),
        labels=np.array([[1, 1, 0], [0, 1, 1]]),
        unshifted_output=np.array(unshifted, np.float32),
        provenance={},
        task=Task("multi-label", "probabilities", 0.5),
    )


def test_labels_by_hand(three_labels: Response) -> None:
    assert three_labels.unshifted_predicted.tolist() == [3, 4]
    assert per_image("agreement", three_labels) == [0, 1]
    assert per_image("label-flip-rate", three_labels) == pytest.approx([1 / 3, 0])
    assert per_image("mean-abs-change", three_labels) == pytest.approx([(0.5 + 0.5) / 3 / 2, 0])
    assert per_image("clean-accuracy", three_labels) == [1, 0]
    assert per_image("accuracy", three_labels) == pytest.approx([1 / 3, 0])
    near = metrics.get("label-flip-rate").estimate(within(three_labels, 1))
    assert isinstance(near, Estimate)
    assert near.value == pytest.approx(1 / 6)
    assert chance_accuracy(three_labels) == 0.5, "each set is that of one image"


def test_flip_rate_of_each_label(three_labels: Response) -> None:
    rates = by_class(metrics.get("label-flip-rate"), three_labels)
    assert not isinstance(rates, NotApplicable)
    found = [each.value for each in rates.values() if isinstance(each, Estimate)]
    assert found == pytest.approx([1 / 4, 1 / 4, 0])
    agreement = by_class(metrics.get("agreement"), three_labels)
    assert not isinstance(agreement, NotApplicable)
    assert [1 - e.value for e in agreement.values() if isinstance(e, Estimate)] == pytest.approx(found)
    clean = by_class(metrics.get("clean-accuracy"), three_labels)
    assert not isinstance(clean, NotApplicable)
    assert [each.value for each in clean.values() if isinstance(each, Estimate)] == [1, 0.5, 1]


def test_oracle_sets_and_flips(simulate: Make) -> None:
    """Subset accuracy and the Hamming loss of each shift, of scikit-learn."""
    response = simulate(3, 80, 6, 5, task="multi-label", tremor=2)
    assert response.label_output is not None
    there, before = response.label_output > 0, response.unshifted_output > 0
    subset = [accuracy_score(response.labels, there[:, s]) for s in range(6)]
    assert value("accuracy", response) == pytest.approx(np.mean(subset))
    assert value("clean-accuracy", response) == pytest.approx(accuracy_score(response.labels, before))
    moved = [s for s in range(6) if response.offsets_px[s].any()]
    flips = [hamming_loss(before, there[:, s]) for s in moved]
    assert value("label-flip-rate", response) == pytest.approx(np.mean(flips))
    same = [accuracy_score(before, there[:, s]) for s in moved]
    assert value("agreement", response) == pytest.approx(np.mean(same))


@settings(max_examples=60)
@given(n=st.integers(1, 40), levels=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_oracle_average_precision(n: int, levels: int, seed: int) -> None:
    """With ties; and its influence is the derivative by the weights of images."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, n) / levels
    right = generator.random(n) < 0.4
    right[0] = True
    found, influence = average_precision(scores, right)
    assert found == pytest.approx(average_precision_score(right, scores))
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    image, step = int(generator.integers(n)), 1e-5
    ends = [
        average_precision_score(right, scores, sample_weight=1 + turn * step * (np.arange(n) == image))
        for turn in (1, -1)
    ]
    assert influence[image] == pytest.approx(n * (ends[0] - ends[1]) / (2 * step), abs=1e-4 * n)


def test_oracle_mean_average_precision(simulate: Make) -> None:
    response = simulate(4, 90, 5, 4, task="multi-label", tremor=2)
    assert response.label_output is not None
    of_shifts = [average_precision_score(response.labels, response.label_output[:, s]) for s in range(5)]
    assert value("average-precision", response) == pytest.approx(np.mean(of_shifts))
    clean = average_precision_score(response.labels, response.unshifted_output)
    assert value("clean-average-precision", response) == pytest.approx(clean)
    curve = by_radius(metrics.get("average-precision"), response)
    radius = np.abs(response.offsets_px).max(-1)
    for px, each in curve.items():
        assert isinstance(each, Estimate)
        assert each.value == pytest.approx(np.mean([of_shifts[s] for s in np.flatnonzero(radius == px)]))


def test_precision_of_labels_that_no_image_has(three_labels: Response) -> None:
    """The first label is that of image 0 alone; without it the other two are left."""
    found = metrics.get("clean-average-precision").estimate(
        select(three_labels).with_images(np.array([False, True]))
    )
    assert isinstance(found, Estimate)
    assert found.value == 1
    nothing = metrics.get("average-precision").estimate(select(three_labels).with_label(0).with_images(
        np.array([False, True])
    ))  # fmt: skip
    assert isinstance(nothing, NotApplicable)
    assert nothing.reason == "no image has any of the labels"


def test_intervals_of_average_precision_cover() -> None:
    """Images with none to three of three labels; the truth is that of 40,000 images. Nominal 95 %.

    The spread is right to 3 %, but the precision of a sample lies above that of the population, by 0.008
    here: 600 other samples of 100, 200 and 500 images were covered in 92.5, 95.0 and 93.7 %.
    """

    def draw(generator: np.random.Generator, n: int) -> Response:
        labels = (generator.random((n, 3)) < (0.2, 0.4, 0.6)).astype(np.int64)
        unshifted = 1.2 * labels + generator.normal(size=(n, 3))
        outputs = (unshifted[:, None] + 0.8 * generator.normal(size=(n, 4, 3))).astype("f")
        return Response(
            predicted=np.zeros((n, 4), np.int64),
            label_output=outputs,
            true_prob=np.empty((n, 0), np.float32),
            drift=np.zeros((n, 4), np.float32),
            offsets_px=np.array([(0.0, 1), (0, -1), (1, 0), (-1, 0)]),
            labels=labels,
            unshifted_output=unshifted.astype("f"),
            provenance={},
            task=Task("multi-label", "logits", 0.5),
        )

    generator = np.random.default_rng(0)
    truth = value("average-precision", draw(generator, 40_000))
    spec = metrics.get("average-precision")
    found = [spec.estimate(draw(generator, 200)) for _ in range(400)]
    held = [each.low <= truth <= each.high for each in found if isinstance(each, Estimate)]
    assert len(held) == 400
    assert 0.90 <= np.mean(held) <= 0.97  # the standard deviation of this share is 1.1 %


def test_neighbours_by_hand() -> None:
    """The nearest stays, then leaves; of two neighbours one and none are shared. The zero shift is none."""
    response = Response(
        predicted=np.array([[1, 1, 3]], np.int32),
        cosine=np.array([[0.5, 1.0, -0.5]], np.float32),
        neighbours=np.array([[[1, 4], [1, 2], [3, 4]]], np.int32),
        unshifted_neighbours=np.array([[1, 2]], np.int32),
        true_prob=np.empty((1, 0), np.float32),
        drift=np.zeros((1, 3), np.float32),
        offsets_px=np.array([(0.0, 1), (0, 0), (2, 0)]),
        labels=np.array([-1]),
        unshifted_output=np.ones((1, 4), np.float32),
        provenance={},
        task=Task("embedding", "vector"),
    )
    assert per_image("agreement", response) == [0.5]
    assert per_image("neighbour-overlap", response) == [0.25]
    assert per_image("cosine", response) == [0.0]
    assert isinstance(chance_accuracy(response), NotApplicable)


def test_oracle_embeddings(simulate: Make) -> None:
    response = simulate(5, 50, 4, 3, task="embedding", tremor=0)
    vectors = response.unshifted_output
    near = NearestNeighbors(n_neighbors=11, metric="cosine").fit(vectors).kneighbors(vectors)[1]
    assert response.unshifted_predicted.tolist() == near[:, 1].tolist()
    assert value("neighbour-overlap", response) == 1
    assert value("cosine", response) == pytest.approx(np.mean(np.diag(cosine_similarity(vectors))))


@pytest.mark.parametrize("task", ["binary", "multi-label", "embedding"])
def test_chance_is_that_of_independent_answers(task: TaskName, simulate: Make) -> None:
    """Scott's pi is Cohen's kappa where both sides have the same shares, as where every answer stays."""
    response = simulate(6, 400, 1, task=task, tremor=0)
    found = metrics.get("agreement-above-chance").estimate(response)
    assert isinstance(found, Estimate)
    before = select(response).unshifted_predicted
    assert found.value == pytest.approx(cohen_kappa_score(before, before)) == 1


def test_binary_and_two_logits_are_the_same_question(simulate: Make) -> None:
    """One logit z, and the logits (0, z): equal but for the drift."""
    one = simulate(7, 100, 5, task="binary", tremor=2)
    two = Response(
        predicted=one.predicted,
        true_prob=one.true_prob,
        drift=one.drift,
        offsets_px=one.offsets_px,
        labels=one.labels,
        unshifted_output=np.column_stack([np.zeros(100, np.float32), one.unshifted_output]),
        provenance=one.provenance,
    )
    for spec in metrics:
        if "binary" in spec.tasks and spec.name != "sensitivity":
            ends = spec.estimate(one), spec.estimate(two)
            assert isinstance(ends[0], Estimate)
            assert isinstance(ends[1], Estimate)
            assert ends[0].value == pytest.approx(ends[1].value, rel=1e-6)
            found = compare_responses(one, two, spec)
            assert not isinstance(found, NotApplicable)
            assert found.value == pytest.approx(0, abs=1e-7)

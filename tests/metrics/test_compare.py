"""Paired comparisons: SciPy and a table by hand as oracles, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shiftproof.errors import ComparisonError, OptionError
from shiftproof.metrics import Difference, Estimate, MetricSpec, NotApplicable, compare_responses, metrics
from shiftproof.probe import Response

Make = Callable[..., Response]
OF_EMBEDDINGS = ("cosine", "neighbour-overlap")
BY_NAME = pytest.mark.parametrize("metric", list(metrics), ids=lambda m: m.name)


def difference(a: Response, b: Response, metric: str, **options: Any) -> Difference:
    found = compare_responses(a, b, metrics.get(metric), **options)
    assert isinstance(found, Difference), found
    return found


def table(build: Make, both: int, first: int, second: int, neither: int) -> tuple[Response, Response]:
    """Two networks of which `first` images are right for the first only, and so on."""
    a = [0] * both + [0] * first + [1] * second + [1] * neither
    b = [0] * both + [1] * first + [0] * second + [1] * neither
    labels = [0] * len(a)
    return build([[x] for x in a], labels, a), build([[x] for x in b], labels, b)


def test_mcnemar_by_hand(build: Make) -> None:
    """5 images only the first has right, 1 only the second: p = 2 (1 + 6) / 2⁶."""
    found = difference(*table(build, 10, 5, 1, 4), "clean-accuracy")
    assert found.p_value == pytest.approx(14 / 64)
    assert found.value == pytest.approx(4 / 20)
    # Bonett and Price: p = 6/22, q = 2/22, half = 1.959964 √((p + q − (p − q)²) / 22)
    assert found.low == pytest.approx(4 / 22 - 0.240255, abs=1e-5)
    assert found.high == pytest.approx(4 / 22 + 0.240255, abs=1e-5)
    assert found.n_images == 20
    assert "McNemar" in found.method


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_oracle_mcnemar_is_a_binomial_test(build: Make, first: int, second: int, both: int) -> None:
    found = difference(*table(build, both, first, second, 1), "clean-accuracy")
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert found.p_value == pytest.approx(expected)
    a, b = table(build, both, first, second, 1)
    turned = difference(b, a, "clean-accuracy")
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


@BY_NAME
def test_equal_responses_differ_by_exactly_nothing(metric: MetricSpec, simulate: Make) -> None:
    response = simulate(0, 200, tremor=4, task=metric.tasks[-1])
    found = compare_responses(response, dataclasses.replace(response), metric)
    assert isinstance(found, Difference)
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    "metric",
    [pytest.param(m, marks=pytest.mark.slow if m.name in OF_EMBEDDINGS else ()) for m in metrics],
    ids=lambda m: m.name,
)
def test_a_worse_network_is_found(metric: MetricSpec, simulate: Make) -> None:
    task = metric.tasks[0]
    good, bad = (
        simulate(0, 1500, 9, skill=skill, tremor=tremor, task=task) for skill, tremor in ((3, 2), (1, 6))
    )
    found = compare_responses(good, bad, metric)
    assert isinstance(found, Difference)
    ends = metric.estimate(good), metric.estimate(bad)
    assert isinstance(ends[0], Estimate)
    assert isinstance(ends[1], Estimate)
    assert found.value == pytest.approx(ends[0].value - ends[1].value)
    assert (found.low > 0) if metric.higher_is_better else (found.high < 0)
    assert found.p_value < 0.001
    assert found == compare_responses(good, bad, metric), "the same bytes each time"
    assert found.unit == metric.unit


def test_p_value_and_interval_are_the_same_test(simulate: Make) -> None:
    """Student corrected for skewness: the interval of confidence 1 − p ends at 0."""
    a, other = simulate(0, 60, tremor=2), simulate(1, 60, tremor=2.3)
    b = dataclasses.replace(other, labels=a.labels, offsets_px=a.offsets_px, provenance=a.provenance)
    found = difference(a, b, "drift")
    at_p = difference(a, b, "drift", confidence=1 - found.p_value)
    assert 0.001 < found.p_value < 0.9
    assert min(abs(at_p.low), abs(at_p.high)) == pytest.approx(0, abs=1e-9)


def test_paired_bootstrap_of_medians(build: Make) -> None:
    """Every image flips one pixel later, at 2 instead of 1 px."""
    nearer = build([[1, 1, 1]] * 80 + [[0, 0, 1]] * 20, [0] * 100, [0] * 100)
    later = build([[0, 1, 1]] * 80 + [[0, 0, 0]] * 20, [0] * 100, [0] * 100)
    found = difference(later, nearer, "smallest-flip")
    assert (found.value, found.low, found.high) == (1, 1, 1)
    assert found.p_value < 0.001
    assert found.method.startswith("paired bootstrap")
    never = build([[0, 0, 0]] * 100, [0] * 100, [0] * 100)
    beyond = compare_responses(later, never, metrics.get("smallest-flip"))
    assert isinstance(beyond, NotApplicable)
    hardly = build([[0, 1, 1]] * 52 + [[0, 0, 0]] * 48, [0] * 100, [0] * 100)
    straddling = compare_responses(hardly, nearer, metrics.get("smallest-flip"))
    assert isinstance(straddling, NotApplicable)
    assert "beyond what was measured" in straddling.reason


def test_other_answers_of_equal_worth_are_not_certainly_equal(build: Make) -> None:
    """Both networks agree with themselves everywhere: that is 50 images, not a proof."""
    a, b = build([[0, 0]] * 50, [0] * 50, [0] * 50), build([[1, 1]] * 50, [0] * 50, [1] * 50)
    found = difference(a, b, "worst-case-agreement")
    assert found.low < 0 < found.high
    halves = [build([[x, 1 - x]] * 50, [0] * 50, [x] * 50, offsets_px=[(0, 1), (1, 0)]) for x in (0, 1)]
    found = difference(halves[0], halves[1], "agreement")
    assert found.low < 0 == found.value < found.high
    assert found.p_value == 1


def test_radius_and_missing_numbers(simulate: Make, build: Make) -> None:
    a, b = simulate(0, 100, tremor=1), simulate(0, 100, tremor=5)
    near, far = difference(a, b, "agreement", radius_px=2), difference(a, b, "agreement")
    assert near != far
    assert isinstance(compare_responses(a, b, metrics.get("agreement"), radius_px=0), NotApplicable)
    unlabelled = simulate(0, labelled=0)
    assert isinstance(compare_responses(unlabelled, unlabelled, metrics.get("accuracy")), NotApplicable)
    single = build([[0, 1]], [0], [0])
    assert isinstance(compare_responses(single, single, metrics.get("drift")), NotApplicable)
    with pytest.raises(OptionError, match="between 0 and 1"):
        compare_responses(a, b, metrics.get("agreement"), confidence=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": np.arange(30) % 2}, "the same images, got 30 and 30 images"),
        ({"provenance": {"data": "other", "seed": 0}}, "the same data, got 'simulated' and 'other'"),
        ({"provenance": {"data": "simulated", "seed": 1}}, "the same seed, got 0 and 1"),
        ({"provenance": {"data": "simulated", "seed": 0, "border": "edge"}}, "the same border, got None"),
        ({"offsets_px": np.zeros((6, 2))}, "the same shifts, got other offsets"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(simulate: Make, change: dict[str, Any], message: str) -> None:
    response = simulate(0)
    with pytest.raises(ComparisonError, match=message):
        compare_responses(response, dataclasses.replace(response, **change), metrics.get("agreement"))

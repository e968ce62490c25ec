"""Intervals: SciPy as oracle, degenerate cases. Their coverage is in test_coverage.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shiftproof.errors import OptionError, ShapeError
from shiftproof.metrics import Estimate, estimate_mean, estimate_share, judge, parse_gate
from shiftproof.metrics._bounded import difference_interval


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_oracle_one_bit_per_image_is_a_beta(k: int, extra: int, confidence: float) -> None:
    n, tail = k + extra, (1 - confidence) / 2
    estimate = estimate_share([1] * k + [0] * extra, confidence=confidence)
    assert estimate.value == pytest.approx(k / n)
    assert estimate.low == pytest.approx(stats.beta.ppf(tail, k + 0.25, extra + 0.75) if k else 0, abs=1e-9)
    assert estimate.high == pytest.approx(stats.beta.ppf(1 - tail, k + 0.75, extra + 0.25), abs=1e-9)
    assert estimate.n_images == n


@given(st.integers(0, 60), st.integers(1, 60))
def test_between_clopper_pearson_and_jeffreys(k: int, extra: int) -> None:
    n = k + extra
    ours = estimate_share([1] * k + [0] * extra)
    exact = stats.binomtest(k, n).proportion_ci(method="exact")
    assert exact.low - 1e-9 <= ours.low
    assert ours.low <= stats.beta.ppf(0.025, k + 0.5, extra + 0.5)
    assert stats.beta.ppf(0.975, k + 0.5, extra + 0.5) <= ours.high
    assert ours.high <= exact.high + 1e-9


def test_copies_that_agree_say_what_the_rule_of_three_does() -> None:
    """None of n images changes: up to about 3 ÷ n of all images may."""
    for n in (20, 100, 1000):
        assert 2.8 / n < 1 - estimate_share([1] * n).low < 3.7 / n


@pytest.mark.parametrize("shape", [(2.0, 0.05), (2.0, 2.0), (0.3, 0.3), (30.0, 2.0)])
def test_oracle_weighted_images_are_drawn(shape: tuple[float, float]) -> None:
    """The closed form is that of images with random weights, drawn; their tails from 200,000 draws."""
    g = np.random.default_rng(7)
    row = g.binomial(10, g.beta(*shape, 30)) / 10
    ours = estimate_share(row)
    for end, parts, tail in ((ours.low, (0.75, 0.25), 0.025), (ours.high, (0.25, 0.75), 0.975)):
        weights = g.gamma(np.concatenate([[parts[0]], np.ones(30), [parts[1]]]), size=(200_000, 32))
        means = weights @ np.concatenate([[0], row, [1]]) / weights.sum(1)
        # Standard deviation of the share of draws: 0.035 %; the closed form is very close, not exact.
        assert (means <= end).mean() == pytest.approx(tail, abs=0.0015)


def test_the_p_value_of_a_difference_is_where_its_interval_ends() -> None:
    g = np.random.default_rng(8)
    for mean in (-0.1, 0.05, 0.0):
        change = g.normal(mean, 0.3, 40).clip(-1, 1)
        _, p_value = difference_interval(change, 0.95, 2.0)
        (low, high, _), _ = difference_interval(change, 1 - p_value, 2.0)
        assert min(abs(low), abs(high)) < 1e-6


def test_a_difference_of_no_image_is_uncertain_all_the_same() -> None:
    (low, high, _), p_value = difference_interval(np.zeros(100), 0.95, 2.0)
    assert -low == pytest.approx(high)
    assert p_value == 1
    assert 0.01 < high < 0.08


def test_equal_numbers_without_an_end_have_no_interval() -> None:
    found = estimate_mean([0.0] * 50, unit="", bounds=(0, None))
    assert isinstance(found, Estimate)
    assert (found.low, found.high) == (0, 0)
    assert found.method == "no interval: every image has the same number"
    assert judge(parse_gate("drift<=0.1"), found) == "inconclusive"
    few = estimate_mean(np.arange(30.0), unit="", bounds=(0, None))
    assert isinstance(few, Estimate)
    assert "too few for a long tail" in few.method


def test_two_seeds_leave_a_wide_interval() -> None:
    """Student's quantile for one degree of freedom is 12.7."""
    rows = np.ones((2, 1000))
    rows[0, :10] = 0
    found = estimate_share(rows)
    assert found.low < 0.995 - 12.7 * 0.005 * 0.95
    assert "seeds" in found.method


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(1, 3))
def test_interval_contains_the_value_and_stays_in_bounds(shares: list[float], n_seeds: int) -> None:
    estimate = estimate_share([shares] * n_seeds)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_copies_of_a_shift_do_not_narrow_the_interval() -> None:
    """The sampling unit is the image: ten equal shifts say no more than one."""
    bits = np.random.default_rng(0).random(200) < 0.8
    one = estimate_share(bits.astype(float))
    ten = estimate_share(np.repeat(bits[:, None], 10, 1).mean(1))
    assert (one.low, one.high) == (ten.low, ten.high)


def test_seeds_that_disagree_widen_the_interval() -> None:
    bits = np.random.default_rng(3).random((3, 5000)) < np.array([[0.7], [0.8], [0.9]])
    several = estimate_share(bits.astype(float))
    single = estimate_share(bits[1].astype(float))
    assert several.high - several.low > 5 * (single.high - single.low)
    assert several.n_seeds == 3


def test_few_certain_images_prove_little() -> None:
    assert estimate_share([[1, 1], [1, 1]]).low < 0.5
    half = estimate_share([0.5, 0.5, 0.5])
    assert half.low < 0.5 < half.high, "equal shares of few images are still a small sample"


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 0\)"):
        estimate_share([])
    with pytest.raises(OptionError, match=r"shares in \[0, 1\]"):
        estimate_share([2.0])
    with pytest.raises(OptionError, match=r"shares in \[0, 1\]"):
        estimate_share([float("nan")])
    with pytest.raises(OptionError, match="between 0 and 1"):
        estimate_share([1.0], confidence=95)

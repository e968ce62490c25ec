"""Intervals: SciPy as oracle, degenerate cases. Their coverage is in test_coverage.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shiftproof.errors import OptionError, ShapeError
from shiftproof.metrics import estimate_share


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_oracle_one_bit_per_image_is_wilson(k: int, extra: int, confidence: float) -> None:
    n = k + extra
    estimate = estimate_share([1] * k + [0] * extra, confidence=confidence)
    expected = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert estimate.value == pytest.approx(k / n)
    assert estimate.low == pytest.approx(expected.low, abs=1e-9)
    assert estimate.high == pytest.approx(expected.high, abs=1e-9)
    assert estimate.n_images == n


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


def test_certain_data_have_a_point() -> None:
    assert estimate_share([[1, 1], [1, 1]]).low == 1
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

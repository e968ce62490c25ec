"""Intervals for numbers that are no means: seeds and images drawn anew, with replacement."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shiftproof._digest import derive_seed
from shiftproof.metrics import Estimate

Floats = npt.NDArray[np.float64]
DRAWS = 2000
CONFIDENCE = 0.95
METHOD = f"bootstrap of seeds and images, {DRAWS:,} draws"


def resampled_shares(right: npt.NDArray[np.bool_], *, images: str) -> Floats:
    """The share of right answers in each of many draws of seeds and images.

    Args:
        right: bool (…, seeds, N).
        images: Name of the set of images. Arrays with one name get the same draws of images, so that what
            is computed from them stays paired; all arrays with equally many seeds get the same of seeds.

    Returns:
        float64 (…, DRAWS), the same to the last bit everywhere: counts are added, and divided once.

    Note:
        Of K seeds K − 1 are drawn, since K would make the variance too small by (K − 1) ÷ K, which
        matters for a few. With one seed its choice is not in the interval.

    Source:
        Owen 2007, The pigeonhole bootstrap (rows and columns drawn independently); Rao and Wu 1988
        (one draw less than the sample).
    """
    n_seeds, n_images = right.shape[-2:]
    of_images = _times_drawn(n_images, n_images, f"images {images}")
    of_seeds = _times_drawn(n_seeds, max(1, n_seeds - 1), "seeds")
    # float32 adds whole numbers below 2^24 without rounding.
    n_right = right.astype(np.float32) @ of_images.T.astype(np.float32)
    total = (n_right.astype(np.float64) * of_seeds.T).sum(-2)
    return np.asarray(total / (max(1, n_seeds - 1) * n_images))


def _times_drawn(n: int, n_drawn: int, what: str) -> npt.NDArray[np.int64]:
    """How often each of n is among those drawn: int64 (DRAWS, n)."""
    generator = np.random.default_rng(derive_seed(0, "resampling", what))
    return generator.multinomial(n_drawn, np.full(n, 1 / n), size=DRAWS)


def resampled_estimate(value: float, draws: Floats, *, unit: str, n_images: int, n_seeds: int) -> Estimate:
    """A number with the interval that holds the middle 95 % of its draws.

    Example:
        >>> found = resampled_estimate(0.5, np.linspace(0, 1, DRAWS), unit="steps", n_images=9, n_seeds=1)
        >>> round(found.low, 3), round(found.high, 3)
        (0.025, 0.975)
    """
    ordered = np.sort(draws)
    tail = round((1 - CONFIDENCE) / 2 * len(ordered))
    return Estimate(
        value=value,
        low=min(value, float(ordered[tail])),
        high=max(value, float(ordered[-1 - tail])),
        n_images=n_images,
        n_seeds=n_seeds,
        unit=unit,
        confidence=CONFIDENCE,
        method=METHOD,
    )


def rank_correlation(a: Floats, b: Floats) -> Floats:
    """Kendall's rank correlation in its form for ties (τ-b), along the first axis.

    Args:
        a: (N,) or (N, …).
        b: (N, …).

    Returns:
        −1 to 1, shape (…); 0 where all of one side are equal, since nothing grows with anything then.

    Source:
        Kendall 1945, The treatment of ties in ranking problems.

    Example:
        >>> float(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 5.0])).round(3))
        0.816
    """
    first, second = np.triu_indices(len(a), 1)
    of_a, of_b = (np.sign(each[second] - each[first]) for each in (a, b))
    of_a = of_a.reshape(of_a.shape + (1,) * (of_b.ndim - of_a.ndim))
    agreement = (of_a * of_b).sum(0)
    widest = np.sqrt(np.abs(of_a).sum(0) * np.abs(of_b).sum(0))
    return np.asarray(np.where(widest > 0, agreement / np.where(widest > 0, widest, 1), 0.0))

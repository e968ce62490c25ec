"""Intervals for means of numbers between two ends: shares, and differences of shares.

A sample in which nearly all images are certain says little about the images that are not: it often holds
none of them. So an image that was not seen is added, in parts, at the two ends. The mean of images with
random weights (a Bayesian bootstrap, Dirichlet weights) then is an interval that reaches as far as such an
image allows. For one bit per image it is the interval of a beta distribution: with one half of an image at
each end Jeffreys', with a whole one at the end that is looked for that of Clopper and Pearson. Chosen by
simulation among fourteen methods: `python -m benchmarks.coverage`.

Source:
    Rubin 1981, The Bayesian bootstrap; Gaffke 2005, Three test statistics for a nonparametric one-sided
    hypothesis on the mean of a nonnegative variable (a whole image at one end); Lugannani and Rice 1980,
    in the form of Barndorff-Nielsen 1986 (tail of a weighted sum of gamma variables).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shiftproof.metrics._quantiles import Interval, normal_quantile, student_quantile
from shiftproof.metrics._selection import Floats

# Parts of the image that was not seen: at the end that is looked for, and at the other one. Halfway between
# Jeffreys' interval, which covers less than 90 % of shares near 1, and that of Clopper and Pearson.
SHARE_PARTS = (0.75, 0.25)
DIFFERENCE_PARTS = (0.5, 0.5)
# Logarithms between which the tilt of the weights lies, and halvings of that range.
TILTS = (-20.0, 30.0)
HALVINGS = 45


def share_interval(sample: Floats, confidence: float, lowest: float = 0.0, highest: float = 1.0) -> Interval:
    """Interval for a mean of numbers in [lowest, highest], one per image."""
    low, high = min(lowest, float(sample.min())), max(highest, float(sample.max()))
    row = (sample - low) / (high - low)
    if np.all((row == 0) | (row == 1)):
        ends = _beta_ends(int(row.sum()), len(row), confidence)
        method = "beta, n = images, ¾ of an image added"
    else:
        quantile = normal_quantile(confidence)
        ends = weighted_ends(row, SHARE_PARTS, quantile)
        method = "weighted images, ¾ of an image added"
    return low + (high - low) * ends[0], low + (high - low) * ends[1], method


def _beta_ends(n_right: int, n: int, confidence: float) -> tuple[float, float]:
    from scipy.special import betaincinv

    near, far = SHARE_PARTS
    tail = (1 - confidence) / 2
    n_wrong = n - n_right
    low = float(betaincinv(n_right + far, n_wrong + near, tail)) if n_right else 0.0
    high = 1 - float(betaincinv(n_wrong + far, n_right + near, tail)) if n_wrong else 1.0
    return low, high


def difference_interval(change: Floats, confidence: float, largest: float | None) -> tuple[Interval, float]:
    """Interval for a mean of differences, one per image, and the p-value of mean 0.

    One half of an image is added at the largest difference seen, and one at its negative; where all
    differences are equal, at ±`largest`. Student's quantile stands in for the normal one.

    Args:
        change: At least two differences.
        confidence: Nominal coverage.
        largest: Largest difference that is possible; None for no bound.
    """
    reach = float(np.abs(change).max()) if np.ptp(change) else largest
    value = float(change.mean())
    if not reach:
        return (value, value, NO_INTERVAL), 1.0 if value == 0 else 0.0
    row = (change / reach + 1) / 2
    quantile = student_quantile(confidence, len(change) - 1)
    low, high = (reach * (2 * end - 1) for end in weighted_ends(row, DIFFERENCE_PARTS, quantile))
    return (low, high, "weighted images, ½ of one added at each end"), _p_value(row)


NO_INTERVAL = "no interval: every image has the same number"


def _p_value(row: Floats) -> float:
    from scipy.special import stdtr

    mean = float(row.mean())
    if abs(mean - 0.5) < 1e-12:
        return 1.0
    tilted = _Tilted.of(row if mean > 0.5 else 1 - row, DIFFERENCE_PARTS)
    return min(1.0, float(2 * stdtr(len(row) - 1, tilted.root(tilted.solve(lambda u: tilted.mean(u) > 0.5)))))


def weighted_ends(row: Floats, parts: tuple[float, float], quantile: float) -> tuple[float, float]:
    """Both ends of the interval for a mean, from a sample in [0, 1].

    Args:
        row: One number per image.
        parts: Of an image that was not seen, at the end that is looked for and at the other one.
        quantile: Of the standardized mean, such as 1.96.
    """
    # The upper end is the lower one of 1 − sample.
    lower, upper = (_lower_end(side, parts, quantile) for side in (row, 1 - row))
    return lower, 1 - upper


def _lower_end(row: Floats, parts: tuple[float, float], quantile: float) -> float:
    if not row.any():
        return 0.0
    tilted = _Tilted.of(row, parts)
    return tilted.mean(tilted.solve(lambda u: tilted.root(u) > -quantile))


@dataclass(frozen=True, eq=False)
class _Tilted:
    """Values in [0, 1] with their weights, tilted towards 0 by a number u < 0: weight ÷ (1 − u value).

    P(mean of the values with random Dirichlet weights ≤ t) = P(Σ gamma(weight) (value − t) ≤ 0). The
    saddlepoint s of that sum belongs to a tilt u = s ÷ (1 + s t), and t is the mean of the values under the
    tilted weights: t is explicit in u, so that one number has to be looked for and not two.
    """

    values: Floats
    weights: Floats

    @classmethod
    def of(cls, row: Floats, parts: tuple[float, float]) -> _Tilted:
        values, counts = np.unique(row, return_counts=True)
        return cls(np.concatenate([[0.0], values, [1.0]]), np.concatenate([parts[:1], counts, parts[1:]]))

    def mean(self, u: float) -> float:
        tilted = self.weights / (1 - u * self.values)
        return float(tilted @ self.values / tilted.sum())

    def root(self, u: float) -> float:
        """The tail probability of a mean of at most `mean(u)`, as a quantile of the normal distribution."""
        t = self.mean(u)
        shrunk = (1 - u * t) / (1 - u * self.values)
        s = u / (1 - u * t)
        log_mgf = float(self.weights @ np.log(shrunk))
        curvature = float(self.weights @ np.square((self.values - t) * shrunk))
        r, v = -math.sqrt(max(-2 * log_mgf, 0.0)), s * math.sqrt(curvature)
        return r + math.log(v / r) / r if r < -1e-4 else r

    def solve(self, is_above: Callable[[float], bool]) -> float:
        """The tilt u at which `is_above(u)`, true of small tilts and false of large ones, changes."""
        low, high = TILTS
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if is_above(-math.exp(middle)) else (low, middle)
        return -math.exp(low)

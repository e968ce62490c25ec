"""Intervals for means without an upper end, and for means over images and trained networks.

How often each interval of this room holds the truth is simulated by `python -m benchmarks.coverage`, beside
the methods that it was chosen from; tests/metrics/test_coverage.py keeps it. Long tails in few images are
where it falls short: see `skewed_interval`.
"""

from __future__ import annotations

import math

from shiftproof.metrics._bounded import NO_INTERVAL
from shiftproof.metrics._quantiles import Interval, normal_quantile, student_quantile
from shiftproof.metrics._selection import Floats

# Below this many images a long tail is likely to be unseen; the method says so.
FEW = 100


def skewed_interval(sample: Floats, confidence: float) -> Interval:
    """Student's interval for a mean, corrected for skewness and for heavy tails; of at least two numbers.

    Closed form, so the same bytes everywhere. On skewed data it covered better than the percentile
    bootstrap and the bootstrap-t that it replaces. No method covers a tail that the sample does not show:
    20 images of a log-normal number with σ = 1.5 reach 91 %, and numbers that are all equal have no
    interval at all; both are said in its name.

    Source:
        Hall 1992, On the removal of skewness by transformation (the cubic one); degrees of freedom of
        the variance from the fourth moment; skewness and kurtosis corrected for bias as by Joanes and
        Gill 1998.
    """
    n = len(sample)
    mean, spread = float(sample.mean()), float(sample.std(ddof=1))
    if spread == 0:
        return mean, mean, NO_INTERVAL
    skewness, kurtosis = _shape(sample)
    degrees = max(1.0, min(n - 1.0, 2 * n / max(kurtosis - 1, 1e-9)))
    quantile = student_quantile(confidence, degrees) / math.sqrt(n)
    low, high = (_hall_inverse(q, skewness, n) for q in (quantile, -quantile))
    method = "Student, corrected for skewness"
    if n < FEW:
        method += f"; fewer than {FEW} images, too few for a long tail"
    return mean - spread * low, mean - spread * high, method


def _hall_inverse(u: float, skewness: float, n: int) -> float:
    """Hall's transformation of the studentized mean is symmetric to the second order; this is its inverse."""
    if abs(skewness) < 1e-6:
        return u
    return 3 / skewness * (math.cbrt(1 + skewness * (u - skewness / (6 * n))) - 1)


def _shape(sample: Floats) -> tuple[float, float]:
    """Skewness and kurtosis of what was sampled: those of few numbers are too small."""
    n = len(sample)
    centred = sample - sample.mean()
    squares = centred * centred
    variance = float(squares.mean())
    skewness = float((squares * centred).mean()) / variance**1.5
    kurtosis = float((squares * squares).mean()) / variance**2
    if n < 4:
        return skewness, kurtosis
    excess = (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (kurtosis - 3) + 6)
    return skewness * math.sqrt(n * (n - 1)) / (n - 2), 3 + excess


def crossed_interval(rows: Floats, of_images: Interval, confidence: float) -> Interval:
    """Interval for a mean over K networks and N images that are crossed, both sampled.

    With x[k, i] = μ + seed[k] + image[i] + rest[k, i], the interval of the images, from the mean over
    networks of each, covers image and rest. The means of the networks vary by seed and rest; Student's
    quantile for K − 1 degrees of freedom makes the interval of two networks as wide as two networks must
    leave it. The two are added as squares, and the rest, which is in both, is taken away once.

    Args:
        rows: float64 (K, N), K of at least 2.
        of_images: Interval for the mean of `rows.mean(0)`.
        confidence: Nominal coverage.

    Source:
        Zou and Donner 2008 (MOVER: intervals of parts to that of a sum); Cameron, Gelbach and Miller 2011
        (two-way clustering).
    """
    n_seeds, n_images = rows.shape
    value = float(rows.mean())
    of_seeds = float(rows.mean(1).var(ddof=1)) / n_seeds
    rest = rows - rows.mean(1, keepdims=True) - rows.mean(0) + value
    degrees_of_rest = (n_seeds - 1) * max(1, n_images - 1)
    of_rest = float((rest**2).sum()) / degrees_of_rest / (n_seeds * n_images)
    added = student_quantile(confidence, n_seeds - 1) ** 2 * of_seeds
    added = max(0.0, added - normal_quantile(confidence) ** 2 * of_rest)
    low, high, method = of_images
    below, above = (math.sqrt(max(0.0, side) ** 2 + added) for side in (value - low, high - value))
    return value - below, value + above, f"images and seeds crossed, Student over seeds; {method}"

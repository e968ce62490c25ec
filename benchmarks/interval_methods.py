"""Intervals that were considered and not taken, to be compared with those of the package."""

from __future__ import annotations

import math

import numpy as np
from benchmarks.populations import Floats
from scipy.special import stdtrit

from shiftproof.metrics._bounded import weighted_ends
from shiftproof.metrics._intervals import skewed_interval

Ends = tuple[float, float]
Z = 1.959964
N_DRAWS = 200


def wilson(row: Floats) -> Ends:
    """With the effective number of images, and Student's quantile for the variance's degrees of freedom."""
    n, p, variance = float(len(row)), float(row.mean()), float(row.var(ddof=1)) / len(row)
    z = Z
    if np.any((row != 0) & (row != 1)) and variance > 0:
        squares = np.square(row - p)
        kurtosis = float(np.square(squares).mean() / squares.mean() ** 2)
        z = float(stdtrit(max(1.0, min(n - 1, 2 * n / max(kurtosis - 1, 1e-9))), 0.975))
        n = p * (1 - p) / variance or n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half


def jeffreys(row: Floats) -> Ends:
    """Half of an image at each end."""
    return weighted_ends(row, (0.5, 0.5), Z)


def clopper_pearson(row: Floats) -> Ends:
    """A whole image at the end that is looked for (Gaffke)."""
    return weighted_ends(row, (1.0, 0.0), Z)


def student(row: Floats) -> Ends:
    """The textbook's."""
    half = float(stdtrit(len(row) - 1, 0.975)) * float(row.std(ddof=1)) / math.sqrt(len(row))
    return float(row.mean()) - half, float(row.mean()) + half


def hall(row: Floats) -> Ends:
    """Student's, corrected for skewness."""
    return skewed_interval(row, 0.95)[:2]


def bootstrap(row: Floats) -> Ends:
    """Percentiles of the means of images that were drawn again."""
    g = np.random.default_rng(0)
    low, high = np.quantile(row[g.integers(0, len(row), (N_DRAWS, len(row)))].mean(1), [0.025, 0.975])
    return float(low), float(high)


def bootstrap_of_both(rows: Floats) -> Ends:
    """The same with images and seeds drawn again."""
    g = np.random.default_rng(0)
    seeds, images = (g.multinomial(n, np.full(n, 1 / n), N_DRAWS) / n for n in rows.shape)
    low, high = np.quantile(((seeds @ rows) * images).sum(1), [0.025, 0.975])
    return float(low), float(high)


def _variances(rows: Floats) -> tuple[float, float, float]:
    """Of the mean: by seeds, by images, and by what is left."""
    n_seeds, n = rows.shape
    rest = rows - rows.mean(1, keepdims=True) - rows.mean(0) + rows.mean()
    of_rest = float((rest**2).sum()) / ((n_seeds - 1) * (n - 1)) / (n_seeds * n)
    return float(rows.mean(1).var(ddof=1)) / n_seeds, float(rows.mean(0).var(ddof=1)) / n, of_rest


def satterthwaite(rows: Floats) -> Ends:
    """Student's with the variance of both factors and Satterthwaite's degrees of freedom.

    For balanced data the variances are those of a linear mixed model (restricted maximum likelihood)
    wherever none of them is negative.
    """
    n_seeds, n = rows.shape
    of_seeds, of_images, of_rest = _variances(rows)
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    half = 0.0
    if variance > 0:
        degrees = variance**2 / (of_seeds**2 / (n_seeds - 1) + of_images**2 / (n - 1))
        half = float(stdtrit(degrees, 0.975)) * math.sqrt(variance)
    return float(rows.mean()) - half, float(rows.mean()) + half


def few_degrees(rows: Floats) -> Ends:
    """The same variance with K − 1 degrees of freedom."""
    of_seeds, of_images, of_rest = _variances(rows)
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    half = float(stdtrit(len(rows) - 1, 0.975)) * math.sqrt(variance)
    return float(rows.mean()) - half, float(rows.mean()) + half


def generalized_pivot(rows: Floats) -> Ends:
    """Variances drawn from what is known of them (Weerahandi 1993; Park and Burdick 2003)."""
    g = np.random.default_rng(0)
    of_seeds, of_images, of_rest = _variances(rows)
    degrees = len(rows) - 1
    drawn = of_seeds * degrees / g.chisquare(degrees, 1000)
    deviation = np.abs(g.standard_normal(1000)) * np.sqrt(np.maximum(drawn + of_images - of_rest, of_images))
    half = float(np.quantile(deviation, 0.95))
    return float(rows.mean()) - half, float(rows.mean()) + half

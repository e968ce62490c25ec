"""From one number per image to an estimate with an interval. The sampling unit is the image.

The shifts of one image are not independent of each other, so n is the number of images, never
images × shifts. Where the same images are seen by several trained networks (seeds), both the images
and the seeds are samples, and the interval has to cover the choice of both.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from shiftproof._digest import Json
from shiftproof.errors import OptionError, ShapeError


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, the interval around it, and what it was computed from.

    Args:
        value: Best estimate.
        low: Lower end of the interval.
        high: Upper end.
        n_images: Images behind it.
        n_seeds: Trained networks behind it.
        unit: Unit of value, low and high.
        confidence: Nominal coverage of the interval, for example 0.95.
        method: How the interval was computed, in words.
    """

    value: float
    low: float
    high: float
    n_images: int
    n_seeds: int
    unit: str
    confidence: float
    method: str

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON."""
        return asdict(self)


def estimate_share(
    per_image: npt.ArrayLike, *, unit: str = "share of images", confidence: float = 0.95
) -> Estimate:
    """Estimate a mean share from one share per image, for one or several trained networks.

    Args:
        per_image: Shares in [0, 1]: shape (N,) for one network, or (K, N) for K networks, trained
            from K seeds, that saw the same N images.
        unit: Unit of the result.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        For one network a Wilson interval; where shares are not 0 or 1 (several shifts per image) the
        number of images in its formula becomes the effective number p(1 − p) ÷ variance of the mean,
        as for a clustered sample. For several networks a Student interval whose variance
        is that of two crossed random factors, images and seeds, with Satterthwaite's degrees of freedom.

    Raises:
        ShapeError: Not 1-D or 2-D, or without images.
        OptionError: A share outside [0, 1], or a confidence outside (0, 1).

    Source:
        Wilson 1927; Korn and Graubard 1998 (effective sample size); Cameron, Gelbach and Miller 2011
        (two-way clustering); Satterthwaite 1946.

    Example:
        >>> estimate = estimate_share([1, 1, 1, 0])
        >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
        (0.75, 0.301, 0.954)
    """
    shares = np.atleast_2d(np.asarray(per_image, dtype=np.float64))
    if shares.ndim != 2 or shares.size == 0:
        raise ShapeError("shares of shape (N,) or (K, N) with N of at least 1", shares.shape)
    if not (np.all(shares >= 0) and np.all(shares <= 1)):
        raise OptionError("shares in [0, 1]", f"{shares.min()} to {shares.max()}")
    if not 0 < confidence < 1:
        raise OptionError("a confidence between 0 and 1", confidence)
    n_seeds, n_images = shares.shape
    interval = _clustered_wilson if n_seeds == 1 else _crossed_student
    low, high, method = interval(shares, confidence)
    value = float(shares.mean())
    return Estimate(
        value=value,
        low=min(value, max(0.0, low)),
        high=max(value, min(1.0, high)),
        n_images=n_images,
        n_seeds=n_seeds,
        unit=unit,
        confidence=confidence,
        method=method,
    )


def _clustered_wilson(shares: npt.NDArray[np.float64], confidence: float) -> tuple[float, float, str]:
    (row,) = shares
    p = float(row.mean())
    n = float(len(row))
    method = "Wilson, n = images"
    if np.any((row != 0) & (row != 1)):
        method = "Wilson, effective number of images"
        variance_of_mean = float(row.var(ddof=1)) / n if n > 1 else 0.0
        n = p * (1 - p) / variance_of_mean if variance_of_mean > 0 else n
    z = _normal_quantile(confidence)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return centre - half, centre + half, method


def _crossed_student(shares: npt.NDArray[np.float64], confidence: float) -> tuple[float, float, str]:
    """Interval for a mean over K seeds and N images that are crossed, both sampled.

    With x[k, i] = μ + seed[k] + image[i] + rest[k, i], the variance of the mean is
    σ²(seed)/K + σ²(image)/N + σ²(rest)/KN. Adding the variances of the two margins counts the last
    term twice, so it is taken away once.
    """
    n_seeds, n_images = shares.shape
    of_seeds = float(shares.mean(1).var(ddof=1)) / n_seeds
    of_images = float(shares.mean(0).var(ddof=1)) / n_images if n_images > 1 else 0.0
    rest = shares - shares.mean(1, keepdims=True) - shares.mean(0) + shares.mean()
    degrees_of_rest = (n_seeds - 1) * max(1, n_images - 1)
    of_rest = float((rest**2).sum()) / degrees_of_rest / (n_seeds * n_images)
    variance = max(of_seeds + of_images - of_rest, of_seeds, of_images)
    method = "Student, images and seeds crossed"
    if variance == 0:
        return float(shares.mean()), float(shares.mean()), method
    squares = of_seeds**2 / (n_seeds - 1) + of_images**2 / max(1, n_images - 1)
    degrees = variance**2 / squares
    half = _student_quantile(confidence, degrees) * math.sqrt(variance)
    return float(shares.mean()) - half, float(shares.mean()) + half, method


@cache
def _normal_quantile(confidence: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _student_quantile(confidence: float, degrees: float) -> float:
    # scipy.stats takes seconds to import, scipy.special a fraction of one.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))

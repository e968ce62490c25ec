"""From one number per image to an estimate with an interval. The sampling unit is the image.

The shifts of one image are not independent of each other, so n is the number of images, never
images × shifts. Where the same images are seen by several trained networks (seeds), both the images
and the seeds are samples, and the interval has to cover the choice of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from shiftproof.errors import OptionError, ShapeError
from shiftproof.metrics._bounded import difference_interval, share_interval
from shiftproof.metrics._intervals import crossed_interval, skewed_interval
from shiftproof.metrics._quantiles import Interval
from shiftproof.metrics._scores import Scores
from shiftproof.metrics._selection import Floats
from shiftproof.records import Estimate, NotApplicable

# share: a mean of numbers between two ends; mean: of numbers without an upper end; median: of numbers
# of which some are only known to be large.
Kind = Literal["share", "mean", "median"]
Bounds = tuple[float | None, float | None]


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
        For one network an interval between Jeffreys' and that of Clopper and Pearson; where shares are not
        0 or 1 (several shifts per image) that of images with random weights, of which it is a special case.
        For several networks that of two crossed random factors, images and seeds; of two networks it is
        wide, because two seeds say little about others.

    Raises:
        ShapeError: Not 1-D or 2-D, or without images.
        OptionError: A share outside [0, 1], or a confidence outside (0, 1).

    Source:
        `shiftproof.metrics._bounded` (Rubin 1981; Gaffke 2005); Zou and Donner 2008 and Cameron, Gelbach
        and Miller 2011 for several networks.

    Example:
        >>> estimate = estimate_share([1, 1, 1, 0])
        >>> round(estimate.value, 3), round(estimate.low, 3), round(estimate.high, 3)
        (0.75, 0.236, 0.985)
    """
    shares = np.atleast_2d(np.asarray(per_image, dtype=np.float64))
    if shares.ndim != 2 or shares.size == 0:
        raise ShapeError("shares of shape (N,) or (K, N) with N of at least 1", shares.shape)
    if not (np.all(shares >= 0) and np.all(shares <= 1)):
        raise OptionError("shares in [0, 1]", f"{shares.min()} to {shares.max()}")
    everyone = np.ones(shares.shape[1], dtype=np.bool_)
    scores = [Scores(row, everyone, "") for row in shares]
    result = estimate_scores(scores, kind="share", unit=unit, bounds=(0, 1), confidence=confidence)
    assert isinstance(result, Estimate), "a share has an interval for any number of images"
    return result


def estimate_mean(
    per_image: npt.ArrayLike, *, unit: str, bounds: Bounds = (None, None), confidence: float = 0.95
) -> Estimate | NotApplicable:
    """Estimate a mean from one number per image, for one or several trained networks.

    Args:
        per_image: Finite numbers of shape (N,), or (K, N) for K networks that saw the same N images.
        unit: Unit of the result.
        bounds: Least and largest possible value; None for no bound.
        confidence: Nominal coverage, in (0, 1).

    Returns:
        Student's interval, corrected for skewness; between two bounds, as of differences, that of images
        with random weights; for several networks that of two crossed factors, as in `estimate_share`. Not
        applicable to a single image. Where all numbers are equal and without bounds the ends are the value,
        and the method says that there is no interval.

    Raises:
        ShapeError: Not 1-D or 2-D, or without images.

    Example:
        >>> found = estimate_mean([1.0, 2.0, 3.0], unit="px")
        >>> assert isinstance(found, Estimate)
        >>> found.value, found.low < 2 < found.high
        (2.0, True)
    """
    rows = np.atleast_2d(np.asarray(per_image, dtype=np.float64))
    if rows.ndim != 2 or rows.size == 0:
        raise ShapeError("numbers of shape (N,) or (K, N) with N of at least 1", rows.shape)
    everyone = np.ones(rows.shape[1], dtype=np.bool_)
    scores = [Scores(row, everyone, "") for row in rows]
    return estimate_scores(scores, kind="mean", unit=unit, bounds=bounds, confidence=confidence)


def estimate_scores(
    scores: Sequence[Scores], *, kind: Kind, unit: str, bounds: Bounds, confidence: float
) -> Estimate | NotApplicable:
    """The mean or median of scores of one or several networks, with its interval.

    Args:
        scores: One for each network, all of the same images; in each at least one image counts.
        kind: Which interval; see `share_interval`, `skewed_interval`, `difference_interval` and
            `median_interval`.
        unit: Unit of the result.
        bounds: Least and largest value that the metric can have; None for no bound.
        confidence: Nominal coverage, in (0, 1).
    """
    if not 0 < confidence < 1:
        raise OptionError("a confidence between 0 and 1", confidence)
    if kind == "median":
        found = median_interval(scores, confidence)
    elif kind == "mean" and len(scores[0].sample) < 2:
        return NotApplicable("one image says nothing about how much images differ")
    else:
        found = float(np.mean([s.mean for s in scores])), _interval(scores, kind, bounds, confidence)
    if isinstance(found, NotApplicable):
        return found
    value, (low, high, method) = found
    return Estimate(
        value=value,
        low=min(value, low if bounds[0] is None else max(bounds[0], low)),
        high=max(value, high if bounds[1] is None else min(bounds[1], high)),
        n_images=int(np.any([s.counts for s in scores], axis=0).sum()),
        n_seeds=len(scores),
        unit=unit,
        confidence=confidence,
        method=method,
    )


def median(values: Floats) -> float:
    """The least value that at least half of the values do not exceed; may be infinite."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def median_interval(scores: Sequence[Scores], confidence: float) -> tuple[float, Interval] | NotApplicable:
    """The median and its interval, where ∞ stands for: more than the largest value measured.

    The interval holds every value v for which one half is a plausible share of images at or below v: an
    interval of order statistics for one network; with the crossed interval of a share for several.

    Source:
        Thompson 1936; Woodruff 1952.
    """
    pooled = np.concatenate([s.values[s.counts] for s in scores])
    finite = np.unique(pooled[np.isfinite(pooled)])
    if not len(finite) or median(pooled) == np.inf:
        return NotApplicable(
            f"only {np.isfinite(pooled).mean():.1%} of the images have a value within what was measured, "
            "so their median lies beyond it"
        )
    ends = [_share_up_to(scores, value, confidence)[:2] for value in finite]
    above, below = ([end[side] >= 0.5 for end in ends] for side in (1, 0))
    if not any(below):
        return NotApplicable(
            f"only {np.isfinite(pooled).mean():.1%} of the images have a value within what was measured, "
            "so the interval for their median reaches beyond it"
        )
    low, high = finite[above.index(True)], finite[below.index(True)]
    return median(pooled), (float(low), float(high), "order statistics, from the interval of a share")


def _interval(scores: Sequence[Scores], kind: Kind, bounds: Bounds, confidence: float) -> Interval:
    """Of the mean of a share or of a number, over images alone or over images and seeds."""
    if len(scores) == 1:
        return _over_images(scores[0].sample, scores[0].lowest, kind, bounds, confidence)
    rows = np.stack([s.influences for s in scores])
    lowest = min(s.lowest for s in scores)
    return crossed_interval(rows, _over_images(rows.mean(0), lowest, kind, bounds, confidence), confidence)


def _over_images(sample: Floats, lowest: float, kind: Kind, bounds: Bounds, confidence: float) -> Interval:
    if kind == "share":
        return share_interval(sample, confidence, lowest)
    low, high = bounds
    if low is None or high is None:
        return skewed_interval(sample, confidence)
    return difference_interval(sample, confidence, high - low)[0]


def _share_up_to(scores: Sequence[Scores], value: float, confidence: float) -> Interval:
    bits = [Scores((s.values <= value).astype(np.float64), s.counts, "") for s in scores]
    return _interval(bits, "share", (0, 1), confidence)

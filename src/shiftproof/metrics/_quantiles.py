"""Quantiles of the normal distribution and of Student's, and what an interval is."""

from __future__ import annotations

from functools import cache

# Lower end, upper end, and how it was computed, in words.
Interval = tuple[float, float, str]


@cache
def normal_quantile(confidence: float) -> float:
    """The normal distribution is within ± this with that probability."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + confidence / 2)


def student_quantile(confidence: float, degrees: float) -> float:
    """The same for Student's distribution."""
    # scipy.stats takes seconds to import, scipy.special a fraction of one.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))

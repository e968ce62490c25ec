"""One statement of a claim beside what was measured, and whether it holds: computed, never written."""

from __future__ import annotations

from shiftproof.metrics import Difference, Estimate, NotApplicable
from shiftproof.records import Check

Effect = Estimate | Difference | NotApplicable


def lies_above(says: str, effect: Effect, threshold: float, *, found: str, source: str) -> Check:
    """A check that holds where the whole interval lies above a threshold, and fails where none of it does.

    Example:
        >>> from shiftproof.metrics import estimate_share
        >>> share = estimate_share([1] * 50)
        >>> lies_above("Most are right.", share, 0.5, found="50 of 50 are.", source="example").holds
        True
        >>> lies_above("Nearly all are.", share, 0.99, found="50 of 50 are.", source="example").holds
    """
    holds: bool | None = None
    if not isinstance(effect, NotApplicable):
        holds = True if effect.low > threshold else False if effect.high <= threshold else None
    return Check(says, holds, found, effect, source)


def exactly(says: str, holds: bool, *, found: str, source: str) -> Check:
    """A check of something that was counted or proved, which has no interval."""
    return Check(says, holds, found, None, source)


def in_points(effect: Effect, *, sign: bool = True) -> str:
    """A difference of shares with its interval, for a sentence.

    Example:
        >>> from shiftproof.metrics import estimate_mean
        >>> in_points(estimate_mean([0.1, 0.2, 0.3], unit="share of images"))
        '+20.0 points (−4.8 to +44.8)'
    """
    if isinstance(effect, NotApplicable):
        return f"an unknown amount ({effect.reason})"
    form = "+.1f" if sign else ".1f"
    value, low, high = (
        format(100 * end, form).replace("-", "−") for end in (effect.value, effect.low, effect.high)
    )
    return f"{value} points ({low} to {high})"

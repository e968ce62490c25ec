"""A metric that has no meaning for what was measured, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """There is no number, and why. Never 0 and never NaN, which could be taken for one.

    Args:
        reason: Why, as a clause for a reader, without a full stop.
    """

    reason: str

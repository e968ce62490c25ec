"""A metric that has no meaning for what was measured, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from shiftproof._digest import Json


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """There is no number, and why. Never 0 and never NaN, which could be taken for one.

    Args:
        reason: Why, as a clause for a reader, without a full stop.
    """

    reason: str

    def to_dict(self) -> dict[str, Json]:
        """The same as JSON: what a record has in the place of a number."""
        return {"not_applicable": self.reason}

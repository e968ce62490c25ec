"""What both laws share: a reason why one ends, and how far it went."""

from __future__ import annotations

from dataclasses import dataclass

from shiftproof.anatomy._operations import Operation, Pair, Resample, TransposedConv, Unknown


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a law does not hold, or not for finer shifts.

    Args:
        layer: Its path in the network.
        text: A sentence in plain words.
    """

    layer: str
    text: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}"


# What stands in the way of both laws.
APART = "It combines maps whose positions lie apart by different numbers of pixels."
NEAR_THE_BORDER: dict[type[Operation], str] = {
    Resample: "Between positions it interpolates, and near the border it cannot.",
    TransposedConv: "Its windows overlap, and near the border fewer do.",
}


class NoLaw(Exception):  # never leaves this room
    """A step after which a law does not hold for the shifts in question.

    Args:
        text: Why, as a sentence.
        step_px: Multiples of so many pixels to try next, (down, right); None where no other shifts than
            whole turns would help.
    """

    def __init__(self, text: str, step_px: Pair | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.step_px = step_px


def why_no_law(operation: Operation) -> str:
    """Of something that neither law follows."""
    return operation.reason if isinstance(operation, Unknown) else NEAR_THE_BORDER[type(operation)]


def times(factor: int) -> str:
    """A stride or another small number in words.

    Example:
        >>> times(2), times(7)
        ('every second', 'every 7th')
    """
    return {2: "every second", 3: "every third"}.get(factor, f"every {factor}th")

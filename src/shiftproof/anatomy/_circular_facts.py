"""What the circular law knows of a value; see `_circular.py`."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from torch import fx

from shiftproof.anatomy._operations import AXES, Axis, Pair


@dataclass(frozen=True, slots=True)
class Turn:
    """One axis of a value that rolls.

    Args:
        period: Positions of a whole turn.
        length: Positions that there are; more than a turn after a circular padding.
        step: Positions by which it rolls for each step of the images, if no layer chooses.
    """

    period: int
    length: int
    step: Fraction


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What a layer decided by the content.

    Args:
        layer: Which.
        known_px: Multiples of the images' shifts for which the decision is the same, so that it rolls by
            a known number.
    """

    layer: str
    known_px: Pair


@dataclass(frozen=True, slots=True)
class Rolls:
    """A value that rolls with the images.

    Args:
        turns: Rows and columns.
        choice: What decides by how much; None where the steps say.
    """

    turns: tuple[Turn, Turn]
    choice: Choice | None = None

    def stays_along(self, axis: Axis) -> bool:
        """Whether nothing moves along an axis."""
        turn = self.turns[axis]
        return turn.period == 1 or (self.choice is None and turn.step % turn.period == 0)

    @property
    def stays(self) -> bool:
        """Whether nothing moves."""
        return all(self.stays_along(axis) for axis in AXES)

    @property
    def is_whole(self) -> bool:
        """Whether it moves by whole positions."""
        return self.choice is not None or all(turn.step.denominator == 1 for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A decision about maps.

    Args:
        source: How the maps roll that it is about.
        choice: None where the decision is always the same.
        seen: The steps whose maps were looked at.
    """

    source: Rolls
    choice: Choice | None
    seen: tuple[fx.Node, ...]


# None: it stays.
Fact = Rolls | Chosen | None

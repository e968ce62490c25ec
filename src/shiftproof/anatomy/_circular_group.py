"""Which rolls of the images a pass is about, and which coarser ones would help where it fails."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shiftproof.anatomy._circular_facts import Choice, Rolls
from shiftproof.anatomy._operations import Axis, Pair


@dataclass(frozen=True, slots=True)
class Group:
    """Rolls by multiples of a step.

    Args:
        image_px: (height, width).
        step_px: (down, right).
    """

    image_px: Pair
    step_px: Pair

    def demand(self, axis: Axis, multiple: int) -> Pair:
        """Multiples of the shifts along one axis."""
        return pair_of(px * multiple if a == axis else px for a, px in enumerate(self.step_px))

    def turns_of(self, axis: Axis, fact: Rolls) -> Pair:
        """Only whole turns along one axis, and no choice that might answer them with something else."""
        known = fact.choice.known_px if fact.choice else (1, 1)
        return pair_of(
            size if a == axis else math.lcm(px, known[a])
            for a, (px, size) in enumerate(zip(self.step_px, self.image_px, strict=True))
        )

    def whole_px(self, moving: Sequence[Rolls]) -> Pair:
        """Shifts for which all maps move by whole positions."""
        steps = self.step_px
        for fact in moving:
            multiples = [1 if fact.choice else turn.step.denominator for turn in fact.turns]
            steps = pair_of(
                math.lcm(old, px * n) for old, px, n in zip(steps, self.step_px, multiples, strict=True)
            )
        return steps

    def known_px(self, *choices: Choice | None) -> Pair | None:
        """Shifts for which none of these chooses; None where that is no help."""
        steps = self.step_px
        for choice in filter(None, choices):
            steps = pair_of(math.lcm(a, b) for a, b in zip(steps, choice.known_px, strict=True))
        return None if steps == self.step_px else steps


def pair_of(numbers: Iterable[int]) -> Pair:
    """Two numbers as a pair."""
    first, second = numbers
    return first, second

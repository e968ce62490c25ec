"""From the staircase to who loses what, and why: drops from one cut to the next, and their differences.

Each condition has its own staircase, and the losses of all segments add up to where it begins. Between the
conditions the causes are told apart:

    head            multiples
    downsampling    whole-pixel − multiples
    border          with-border − whole-pixel
    non-linearity   fractional − whole-pixel

Head, downsampling and border together are what a segment loses under whole pixels with the real border, which
is what an audit measures; the non-linearity is what fractions of a pixel add to that, without a border. What
cannot be told apart falls to the next cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shiftproof.explain._segments import Segment
from shiftproof.explain._staircase import Floats, Staircase
from shiftproof.metrics import NotApplicable
from shiftproof.records import CONDITIONS, UNITS, Cause, Condition, Unit

# A segment that loses so much of the change, by one cause, is opened.
WORTH_OPENING = 0.02


@dataclass(frozen=True, eq=False, slots=True)
class Loss:
    """What a segment loses; all arrays are float64 (N,).

    Args:
        segment: Which.
        drops: By condition, float64 (N, units).
        split: By cause, in the unit of the logits; negative where it restores. All but the non-linearity
            add up to the loss.
    """

    segment: Segment
    drops: Mapping[Condition, Floats]
    split: Mapping[Cause, Floats]

    def drop(self, unit: Unit, condition: Condition = "with-border") -> Floats:
        """What it loses of each image in one unit."""
        return np.asarray(self.drops[condition][:, UNITS.index(unit)])

    @property
    def main_cause(self) -> Cause:
        """The cause by which it loses most under whole pixels."""
        causes = (cause for cause in self.split if cause != "non-linearity")
        return max(causes, key=lambda cause: float(self.split[cause].mean()))


def loss_of(staircase: Staircase, segment: Segment) -> Loss:
    """What is lost between the cuts of a segment."""
    drops: dict[Condition, Floats] = {}
    for condition in CONDITIONS:
        before, after = (staircase.change(condition, at) for at in (segment.before, segment.last))
        if not isinstance(before, NotApplicable) and not isinstance(after, NotApplicable):
            drops[condition] = before - after
    logits = {condition: drop[:, UNITS.index("logits")] for condition, drop in drops.items()}
    nothing = np.zeros_like(logits["with-border"])
    multiples = logits.get("multiples", nothing)
    split: dict[Cause, Floats] = {
        "downsampling": logits["whole-pixel"] - multiples,
        "border": logits["with-border"] - logits["whole-pixel"],
        "non-linearity": logits["fractional"] - logits["whole-pixel"],
        "head": multiples,
    }
    return Loss(segment, drops, split)


def part_of_whole(staircase: Staircase, loss: Loss) -> float:
    """How much there is to look into, whatever the signs: the largest drop by a cause, over the change."""
    whole = max(staircase.whole(condition) for condition in CONDITIONS)
    return max(abs(float(part.mean())) for part in loss.split.values()) / whole if whole else 0.0

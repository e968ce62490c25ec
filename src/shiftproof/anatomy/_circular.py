"""The circular law: what every value of a network does when the images roll.

The images roll by multiples of `step_px`, for example of 2 px down and 1 px to the right: a group of shifts.
One pass over the steps keeps, for each value V, what is proved of V(rolled images):

- V stays as it is; or
- V rolls, on each axis by `step` positions for each `step_px` of the images. A step may be a fraction after
  an ideal low-pass: then V(rolled) is the band-limited function through V, moved by that fraction, where V
  holds no frequency that this would leave open; or
- V rolls by a number of positions that an adaptive layer has chosen by the content. Values of one choice
  roll by the same number; of different choices nothing is known.

On an axis along which V rolls by whole turns it stays, and everything is allowed. Otherwise:

- A window commutes with rolls where all that it looks at lies on the circle (no padding, or a circular one),
  its stride divides the positions of a turn, so that the grid closes, and also divides the step, so that the
  same positions are kept. Maps that a circular padding has made longer than a turn still show one circle,
  as long as a whole turn of them is left.
- A function of each position commutes. On fractions of a position only a linear one does, since the roll is
  itself a linear map that keeps constants.
- What is computed from all positions of a turn, whatever their order, stays.
- A function of values that stay stays.

Where a step fails, the coarsest demand on `step_px` that would have saved it is tried next; where none would,
the axis is given up, which is to say that only whole turns are left of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import fx

from shiftproof.anatomy._circular_facts import Fact
from shiftproof.anatomy._circular_group import Group
from shiftproof.anatomy._circular_pass import Walk
from shiftproof.anatomy._network import Steps
from shiftproof.anatomy._operations import Pair
from shiftproof.anatomy._reasons import Reason


@dataclass(frozen=True, slots=True, eq=False)
class CircularPass:
    """One pass over a network.

    Args:
        step_px: For images that roll by multiples of this.
        facts: What is known of each value, up to the first that is lost.
        lost: Why the pass ended, None where it reached the answer.
    """

    step_px: Pair
    facts: dict[fx.Node, Fact]
    lost: Reason | None


@dataclass(frozen=True, slots=True, eq=False)
class CircularFinding:
    """The finest group of rolls for which something is proved of the answer.

    Args:
        last: The pass for it; the one that came farthest where nothing is proved for any group.
        limits: Why nothing is proved for finer groups, in the order in which they were given up.
    """

    last: CircularPass
    limits: tuple[Reason, ...]


def find_circular(steps: Steps, image_px: Pair) -> CircularFinding:
    """Try ever coarser groups of rolls until one of them reaches the answer.

    Args:
        steps: Of the network.
        image_px: (height, width).
    """
    step_px: Pair = (1, 1)
    failed: list[CircularPass] = []
    while step_px != image_px or not failed:
        walk = Walk(Group(image_px, step_px))
        ended = walk.run(steps.steps)
        if ended is None:
            return CircularFinding(CircularPass(step_px, walk.facts, None), _reasons(failed))
        lost, demand_px = ended
        failed.append(CircularPass(step_px, walk.facts, lost))
        step_px = _coarser(step_px, demand_px, image_px)
    return CircularFinding(max(failed, key=lambda one: len(one.facts)), _reasons(failed))


def _reasons(failed: list[CircularPass]) -> tuple[Reason, ...]:
    """Each once."""
    return tuple(dict.fromkeys(one.lost for one in failed if one.lost is not None))


def _coarser(step_px: Pair, demand_px: Pair, image_px: Pair) -> Pair:
    """The next group: both demands on each axis, or whole turns where that is no part of a turn."""
    found = [
        combined if size % (combined := math.lcm(step, demand)) == 0 else size
        for step, demand, size in zip(step_px, demand_px, image_px, strict=True)
    ]
    # A demand that is met already was no help.
    return image_px if tuple(found) == step_px else (found[0], found[1])

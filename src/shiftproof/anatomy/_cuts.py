"""Which tensors are alive after each step of a network, and which steps commute with moves of maps.

A cut is a moment in a run: all tensors that were computed from the images and are still to be read. What
comes after depends on the images through them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx

from shiftproof.anatomy._network import Step, Steps
from shiftproof.anatomy._operations import (
    AliasFree,
    Input,
    Normalise,
    Operation,
    Pair,
    Pointwise,
    Reduce,
    Slide,
)
from shiftproof.anatomy._places import Place, Placed


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A moment in the run of a network.

    Args:
        step: The one after which it is.
        alive: The steps whose answers are still to be read.
    """

    step: Step
    alive: tuple[fx.Node, ...]


@dataclass(frozen=True, slots=True)
class Motion:
    """How maps move, and what lies around them.

    Args:
        around: Whether maps go around; else those positions that come in from outside are as computed.
        real_border: Whether a step adds the border that it adds in the network; else that goes around too.
        fractions: Whether maps move by fractions of a position.
    """

    around: bool
    real_border: bool = False
    fractions: bool = False


def commutes(step: Step, parents: Sequence[Placed], image_px: Pair, motion: Motion) -> bool:
    """Whether a step does to moved maps what it does to maps, and then moves them: it can lose nothing.

    Args:
        step: Any.
        parents: Where the positions of its inputs lie; of those without any, all is as it was.
        image_px: Of the images, (height, width).
        motion: How the maps move.
    """
    places = [place for place in parents if isinstance(place, Place)]
    if not places:
        return all(place is None for place in parents) and not isinstance(step.operations[0], Input)
    closed = all(
        size == 1 or size * stride == length
        for place in places
        for size, stride, length in zip(place.size, place.stride_px, image_px, strict=True)
    )
    return all(_commutes(operation, closed, motion) for operation in step.operations)


def _commutes(operation: Operation, closed: bool, motion: Motion) -> bool:
    linear_enough = getattr(operation, "linear", False) or not motion.fractions
    match operation:
        case Pointwise():
            return linear_enough
        case Slide():
            alike = not (motion.real_border and any((*operation.before, *operation.after)))
            return motion.around and alike and operation.stride == (1, 1) and linear_enough
        case Reduce():
            return motion.around and closed and linear_enough
        case Normalise() | AliasFree():
            return motion.around and closed and not motion.fractions
    return False


def find_cuts(steps: Steps) -> tuple[Cut, ...]:
    """One cut after each step, the images first and the answer last."""
    nodes = [step.node for step in steps.steps]
    order = {node: index for index, node in enumerate(nodes)}
    last_read = {
        node: max((order[user] for user in node.users if user in order), default=-1) for node in nodes
    }
    last_read[nodes[-1]] = len(nodes)
    return tuple(
        Cut(step, tuple(node for node in nodes[: index + 1] if last_read[node] > index))
        for index, step in enumerate(steps.steps)
    )

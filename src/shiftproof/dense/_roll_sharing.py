"""Which values of a network follow rolls of the images by whole strides, so that one pass serves many."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace

from torch import Tensor, fx

from shiftproof.anatomy import (
    Adaptive,
    Choose,
    Fact,
    Group,
    Pair,
    PositionGrid,
    Reason,
    Rolls,
    Step,
    Steps,
    Take,
    Unpool,
    Walk,
    rolled,
)

# Rounding may change what they choose: a measurement has to see that.
BY_CONTENT = (Adaptive, Choose, Take, Unpool)
UNHANDED = "What it gives has a border of its own, or moves by fractions: it cannot be rolled afterwards."


@dataclass(frozen=True, slots=True)
class Rolling:
    """A value that rolls as the images do.

    Args:
        grid: Where its positions lie.
        step_px: Of the images, (down, right).
        steps: Positions by which it rolls for each of these.
    """

    grid: PositionGrid
    step_px: Pair
    steps: Pair

    def rolled(self, value: Tensor, by_px: Pair) -> Tensor:
        """The value for images that roll by so many pixels, multiples of `step_px`: a copy."""
        amounts = [
            px // step_px * steps for px, step_px, steps in zip(by_px, self.step_px, self.steps, strict=True)
        ]
        return rolled(value, self.grid, (amounts[0], amounts[1]))


@dataclass(frozen=True, slots=True, eq=False)
class RollSharing:
    """What rolls by multiples of a step do to the values of a network.

    Args:
        step_px: (down, right).
        rolling: Values that roll. Others stay, or are in `other`.
        other: Nodes that do not follow.
        limits: Why the first of these do not; at least one where there are any.
    """

    step_px: Pair
    rolling: Mapping[fx.Node, Rolling]
    other: Set[fx.Node]
    limits: tuple[Reason, ...]


def shared_between_rolls(steps: Steps, image_px: Pair) -> tuple[RollSharing, ...]:
    """What is shared between rolls by multiples of ever coarser steps, as strides demand them."""
    found: list[RollSharing] = []
    step_px: Pair | None = (1, 1)
    while step_px is not None:
        shared, demands_px = _shared(steps, Group(image_px, step_px), frozenset())
        found.append(shared)
        step_px = _coarser(step_px, demands_px, image_px)
    return tuple(found)


def _coarser(step_px: Pair, demands_px: list[Pair], image_px: Pair) -> Pair | None:
    """A step that meets the demands that some rolls meet; None where that is this one."""
    found = step_px
    for demand in demands_px:
        down, right = (math.lcm(old, new) for old, new in zip(found, demand, strict=True))
        if image_px[0] % down == 0 and image_px[1] % right == 0 and (down, right) != image_px:
            found = (down, right)
    return None if found == step_px else found


def _shared(steps: Steps, group: Group, left_out: frozenset[fx.Node]) -> tuple[RollSharing, list[Pair]]:
    """What follows, and what the first values that do not demand of the rolls."""
    walk = Walk(group)
    by_node = {step.node: step for step in steps.steps}
    other: set[fx.Node] = set(left_out)
    limits: list[Reason] = []
    demands_px: list[Pair] = []
    for node in steps.trace.nodes:
        if any(source in other for source in node.all_input_nodes):
            other.add(node)
        step = by_node.get(node)
        if step is None or node in other:
            continue
        stop = _stop(walk, step)
        if stop is not None:
            other.add(node)
            limits.append(stop[0])
            demands_px.append(stop[1])
    kept = {node: fact for node, fact in walk.facts.items() if node not in other}
    unhanded = _unhanded(kept, steps, by_node, other)
    if unhanded:  # They are computed for each roll, with all that reads them.
        moving = [fact for node in unhanded if isinstance(fact := kept[node], Rolls)]
        shared, others_px = _shared(steps, group, left_out | unhanded)
        unheld = (
            Reason(steps.trace.layer_of(node), UNHANDED) for node in steps.trace.nodes if node in unhanded
        )
        shared = replace(shared, limits=(*limits, *unheld, *shared.limits))
        return shared, [group.whole_px(moving), *others_px]
    rolling = {
        node: Rolling(grid, group.step_px, (int(fact.turns[0].step), int(fact.turns[1].step)))
        for node, fact in kept.items()
        if isinstance(fact, Rolls) and not fact.stays and (grid := by_node[node].grid) and fact.is_whole
    }
    return RollSharing(group.step_px, rolling, other, tuple(limits)), demands_px


def _stop(walk: Walk, step: Step) -> tuple[Reason, Pair] | None:
    if any(isinstance(operation, BY_CONTENT) for operation in step.operations):
        text = "It chooses positions by the content, of which rounding may change the choice."
        return Reason(step.layer, text), walk.group.image_px
    return walk.follow(step)


def _unhanded(
    kept: Mapping[fx.Node, Fact], steps: Steps, by_node: Mapping[fx.Node, Step], other: Set[fx.Node]
) -> frozenset[fx.Node]:
    """Values that are read from outside and cannot be rolled: by fractions, or with a circular border."""
    return frozenset(
        node
        for node, fact in kept.items()
        if any(user in other or user.op == "output" for user in node.users)
        and not (node in steps.trace.shapes and _can_be_rolled(fact, by_node[node]))
    )


def _can_be_rolled(fact: Fact, step: Step) -> bool:
    if not isinstance(fact, Rolls):
        return fact is None
    whole = fact.is_whole and all(turn.length == turn.period for turn in fact.turns)
    return fact.stays or (whole and step.grid is not None)

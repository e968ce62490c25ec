"""The network as both laws see it, step by step, for a reader."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx

from shiftproof.anatomy import (
    Choice,
    Chosen,
    CircularPass,
    Function,
    Input,
    Located,
    Pair,
    Pointwise,
    Reason,
    Rolls,
    Slide,
    Step,
    Steps,
    Unknown,
    locate,
)
from shiftproof.certify._interior import InteriorPass, Local
from shiftproof.records import Stage

NOT_PROVED = "–"
STAYS = "stays"


def stages_of(steps: Steps, rolled: CircularPass, moved: InteriorPass) -> tuple[Stage, ...]:
    """Steps that do more than something to each number, and the first one."""
    found = (fact.choice for fact in rolled.facts.values() if isinstance(fact, Rolls))
    choices = list(dict.fromkeys(choice for choice in found if choice is not None))
    where = locate(steps)
    return tuple(
        _stage(step, where[step.node], rolled, moved, choices) for step in steps.steps if _is_shown(step)
    )


def _is_shown(step: Step) -> bool:
    return not all(isinstance(operation, Pointwise | Function) for operation in step.operations)


def _stage(
    step: Step,
    where: Located | Reason,
    rolled: CircularPass,
    moved: InteriorPass,
    choices: Sequence[Choice],
) -> Stage:
    shown = [operation for operation in step.operations if not isinstance(operation, Pointwise)]
    padding = next((o.padding for o in shown if isinstance(o, Slide) and o.padding), "")
    images = isinstance(shown[0], Input)
    words = "; ".join(
        "not known" if isinstance(operation, Unknown) else str(operation) for operation in shown
    )
    return Stage(
        layer="images" if images else step.layer,
        operation="" if images else words,
        padding=padding,
        size=step.grid.size if step.grid else None,
        stride_px=_stride(where),
        circular=_rolls(step.node, rolled, choices),
        interior=_moves(step.node, moved),
    )


def _stride(where: Located | Reason) -> Pair | None:
    """Where it is whole pixels."""
    strides = where.stride_px if isinstance(where, Located) else None
    if strides is None or any(stride.denominator > 1 for stride in strides):
        return None
    return int(strides[0]), int(strides[1])


def _rolls(node: fx.Node, rolled: CircularPass, choices: Sequence[Choice]) -> str:
    if node not in rolled.facts:
        return NOT_PROVED
    fact = rolled.facts[node]
    if isinstance(fact, Chosen):
        return "a choice"
    if fact is None or fact.stays:
        return STAYS
    if fact.choice is not None:
        return f"rolls by choice {choices.index(fact.choice) + 1}"
    down, right = (f"{turn.step % turn.period}" for turn in fact.turns)
    return f"rolls by {down}" if down == right else f"rolls by {down}, {right}"


def _moves(node: fx.Node, moved: InteriorPass) -> str:
    if node not in moved.facts:
        return NOT_PROVED
    fact = moved.facts[node]
    if fact is None:
        return STAYS
    margins = [f"{before}+{after}" if before != after else str(before) for before, after in _margins(fact)]
    return f"margin {', '.join(dict.fromkeys(margins))}"


def _margins(fact: Local) -> list[Pair]:
    return [good.margin_px for good in fact.axes]

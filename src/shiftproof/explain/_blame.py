"""From errors of steps to who loses what, and why: differences that add up along the network.

With the four errors of a step, its loss is fractional + (with-border − multiples): what is lost under any
shift, and what the border adds. Between the answer of a layer and its inputs it changes by

    other           multiples
    border          with-border − multiples
    downsampling    whole-pixel − multiples
    non-linearity   fractional − whole-pixel

whose sum is the change of the loss, term by term. Where the maps end, all of it is the head's. The inputs
of a sum or a concatenation count by how much of the difference between images they carry, and a branch by
the part of the answer that flows through it; so the increases of all steps add up to the loss of the answer
minus that of the images. What cannot be measured at a step is taken to be as in its inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from shiftproof.explain._calls import IMAGES
from shiftproof.explain._equivariance import CONDITIONS, Condition, Errors, Floats, Measured
from shiftproof.explain._graph import Graph, Step
from shiftproof.metrics import NotApplicable

Cause = Literal["downsampling", "border", "non-linearity", "head", "other"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
# Rounding of single precision, which is no loss.
NOTHING = 1e-6
# Below a thousandth of the difference to another image there is nothing to share out: reading between
# positions costs as much.
WORTH_SHARING = 1e-3


@dataclass(frozen=True, eq=False, slots=True)
class Loss:
    """What one step loses; each array has one number per image, whose mean is the value.

    Args:
        step: The step.
        errors: As measured.
        level: Its loss.
        before: That of its inputs.
        flow: Part of the answer that flows through it.
        split: Increase by cause, times the flow; negative where it restores.
        share: Of what all steps lose, those that restore apart; in [0, 1].
    """

    step: Step
    errors: Errors
    level: Floats
    before: Floats
    flow: float
    split: Mapping[Cause, Floats]
    share: float

    @property
    def increase(self) -> Floats:
        """By how much it raises the loss of the answer."""
        return self.flow * (self.level - self.before)


def blame(graph: Graph, measured: Mapping[str, Measured], n_images: int) -> dict[str, Loss]:
    """The loss of each step, by name, in the order in which they run; the images first.

    Args:
        graph: The network.
        measured: Of all its steps.
        n_images: Images behind them.
    """
    weights = {name: _weights(step, graph, measured) for name, step in graph.steps.items()}
    flows = _flows(graph, weights)
    errors: dict[str, dict[Condition, Floats]] = {}
    before: dict[str, dict[Condition, Floats]] = {}
    for name, step in graph.steps.items():
        before[name] = _mixed([(weights[name][source], errors[source]) for source in step.inputs], n_images)
        errors[name] = _carried(measured[name].errors, before[name])
    splits = {
        name: _split(step, errors[name], before[name], flows[name]) for name, step in graph.steps.items()
    }
    nets = {name: float(sum(part.mean() for part in splits[name].values())) for name in graph.steps}
    lost = {name: net for name, net in nets.items() if net > NOTHING and name != IMAGES}
    total = sum(lost.values())
    return {
        name: Loss(
            step,
            measured[name].errors,
            loss_of(errors[name]),
            loss_of(before[name]),
            flows[name],
            splits[name],
            lost[name] / total if name in lost and total >= WORTH_SHARING else 0.0,
        )
        for name, step in graph.steps.items()
    }


def loss_of(errors: Mapping[Condition, Floats]) -> Floats:
    """Under any shift, and what the border adds."""
    return errors["fractional"] + (errors["with-border"] - errors["multiples"])


def _weights(step: Step, graph: Graph, measured: Mapping[str, Measured]) -> dict[str, float]:
    energies = {name: measured[name].energy for name in step.inputs}
    total = sum(energies.values())
    known = all(graph.steps[name].measurable for name in step.inputs) and np.isfinite(total) and total > 0
    return {name: energies[name] / total if known else 1 / len(energies) for name in energies}


def _flows(graph: Graph, weights: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Part of the answer that comes through each step: 1 for the answer, divided where inputs join."""
    flows = dict.fromkeys(graph.steps, 0.0)
    flows[graph.answer] = 1.0
    for name in reversed(list(graph.steps)):
        for source, weight in weights[name].items():
            flows[source] += flows[name] * weight
    return flows


def _mixed(inputs: list[tuple[float, dict[Condition, Floats]]], n_images: int) -> dict[Condition, Floats]:
    zero = np.zeros(n_images)
    return {c: sum((weight * errors[c] for weight, errors in inputs), start=zero) for c in CONDITIONS}


def _carried(errors: Errors, before: Mapping[Condition, Floats]) -> dict[Condition, Floats]:
    return {c: before[c] if isinstance(error := errors[c], NotApplicable) else error for c in CONDITIONS}


def _split(
    step: Step, after: Mapping[Condition, Floats], before: Mapping[Condition, Floats], flow: float
) -> dict[Cause, Floats]:
    zero = np.zeros_like(after["multiples"])
    change = {c: flow * (after[c] - before[c]) for c in CONDITIONS}
    if step.is_row:
        return {cause: loss_of(change) if cause == "head" else zero for cause in CAUSES}
    return {
        "downsampling": change["whole-pixel"] - change["multiples"],
        "border": change["with-border"] - change["multiples"],
        "non-linearity": change["fractional"] - change["whole-pixel"],
        "head": zero,
        "other": change["multiples"],
    }

"""How far the answer of each step is from moving with the image, under conditions that include each other.

The error is a mean squared difference, divided by the one between different images at the same positions:
0 is exact, 1 is as different as another image. Sums are kept for each image, which is the sampling unit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.explain._calls import IMAGES, Call
from shiftproof.explain._circular import CircularBorders
from shiftproof.explain._graph import Graph, Step, run
from shiftproof.explain._move_back import MoveBack, move_around, move_back
from shiftproof.explain._space import Pair
from shiftproof.explain._views import View, moved
from shiftproof.metrics import NotApplicable
from shiftproof.shifts import Border

Floats = npt.NDArray[np.float64]
# multiples: shifts by multiples of the stride, where no border is seen. with-border: the same shifts, all
# positions. whole-pixel and fractional: shifts by whole pixels, and by fractions, where no border is seen.
Condition = Literal["multiples", "with-border", "whole-pixel", "fractional"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
# Of larger maps every so many-th channel is compared.
MOST_NUMBERS = 2**16
# How a place without a border is had: by looking only at positions that see none, or by leaving the
# border out, with every layer and shift going around.
Frame = Literal["interior", "circle"]


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """What is compared.

    Args:
        views: The shifts.
        border: What comes in from outside.
        frame: How a place without a border is had.
        batch_size: Images at a time, at least 2: others are what they are compared with.
    """

    views: tuple[View, ...]
    border: Border
    frame: Frame
    batch_size: int


# One number for each image whose mean is the error and whose spread is its spread.
Errors = Mapping[Condition, Floats | NotApplicable]


@dataclass(frozen=True, eq=False, slots=True)
class Measured:
    """What was found of one step.

    Args:
        errors: By condition.
        energy: Squared difference between images, added up over its features; to weigh the inputs of a sum.
    """

    errors: Errors
    energy: float = 0.0


def choose_frame(graph: Graph, views: Sequence[View]) -> Frame:
    """`interior` where every layer has positions that see no border; else `circle`, if sizes divide."""
    size_px = graph.image_shape[1:]
    spaces = [step.space for step in graph.steps.values() if step.space is not None]

    def has_interior(condition: Condition) -> bool:
        return all(
            any(move_back(space, view, size_px, inside=True) for view in asked)
            for space in spaces
            if (asked := [view for view in views if _asks(condition, view, space.stride)])
        )

    if all(map(has_interior, CONDITIONS)):
        return "interior"
    divides = all(
        n * stride == length
        for space in spaces
        for n, stride, length in zip(space.size, space.stride, size_px, strict=True)
    )
    return "circle" if divides else "interior"


def measure_errors(
    classifier: Classifier,
    graph: Graph,
    images: Tensor,
    plan: Plan,
    *,
    only: Iterable[str] | None = None,
    conditions: Sequence[Condition] = CONDITIONS,
    check_stop: Callable[[], None] = lambda: None,
) -> dict[str, Measured]:
    """The error of each step under each condition, or why there is none.

    Args:
        classifier: A module in evaluation mode.
        graph: Its steps.
        images: (N, C, H, W) in [0, 1] on its device; at least 2.
        plan: What is compared.
        only: Steps to measure, after which the network is not run on; by default all.
        conditions: Which of them to measure; the others are not applicable.
        check_stop: Called between runs of the network; may raise `Stopped`.
    """
    names = set(graph.steps) if only is None else set(only)
    steps = [step for name, step in graph.steps.items() if name in names and step.measurable]
    sums = {step.name: _Sums(len(images)) for step in steps}
    start = 0
    for batch in torch.tensor_split(images, max(1, len(images) // plan.batch_size)):
        rows = slice(start, start + len(batch))
        start = rows.stop
        for around in (False, True) if plan.frame == "circle" else (False,):
            comparison = _Comparison(steps, sums, rows, plan, graph, around, conditions)
            views = [v for v in plan.views if any(comparison.conditions(v, step) for step in steps)]
            border = "circular" if around else plan.border
            for view in (None, *views) if views else ():
                check_stop()
                shown = batch if view is None else moved(batch, view, border)
                comparison.look(classifier, shown, view)
    unplaced = Measured(dict.fromkeys(CONDITIONS, NotApplicable(UNPLACED)))
    return {
        name: sums[name].measured() if name in sums else unplaced for name in graph.steps if name in names
    }


UNPLACED = "its answer is neither feature maps nor one row of features for each image"
SAME = "it gives all images the same features"
NOT_REACHED = "the network does not come by here for every image and shift"
RESHAPED = "the shape of its answer depends on how many images there are, or on what they show"
INFINITE = "its answer holds infinities"


def _asks(condition: Condition, view: View, stride: Pair) -> bool:
    if condition == "fractional":
        return not view.is_whole
    if condition == "whole-pixel":
        return view.is_whole and view.drawn
    # Every whole shift is a multiple of a stride of 1: there the drawn ones stand for all, as above.
    return view.is_multiple_of(stride) and (view.drawn or max(stride) != 1)


@dataclass(eq=False, slots=True)
class _Sums:
    """Squared differences of each image, by condition, added up over shifts."""

    n_images: int
    from_itself: dict[Condition, Floats] = field(default_factory=dict)
    from_others: dict[Condition, Floats] = field(default_factory=dict)
    energy: float = 0.0
    missed: str = ""

    def add(self, condition: Condition, rows: slice, itself: Tensor, others: Tensor) -> None:
        for sums, values in ((self.from_itself, itself), (self.from_others, others)):
            sums.setdefault(condition, np.zeros(self.n_images))[rows] += values.double().cpu().numpy()

    def measured(self) -> Measured:
        return Measured({condition: self._error(condition) for condition in CONDITIONS}, self.energy)

    def _error(self, condition: Condition) -> Floats | NotApplicable:
        if self.missed:
            return NotApplicable(self.missed)
        if condition not in self.from_itself:
            return NotApplicable(NOWHERE[condition])
        itself, others = self.from_itself[condition], self.from_others[condition]
        if not (np.isfinite(itself).all() and np.isfinite(others).all()):
            return NotApplicable(INFINITE)
        scale = others.mean()
        if scale == 0:
            return NotApplicable(SAME)
        error = itself.mean() / scale
        # First-order contribution of each image to a ratio of means, as for every ratio metric.
        return np.asarray(error + (itself - error * others) / scale)


NOWHERE: Mapping[Condition, str] = {
    "multiples": "no position sees only the image in both, under a shift by a multiple of its stride that "
    "the image has room for",
    "with-border": "the image has no room for a shift by its stride",
    "whole-pixel": "no position sees only the image in both",
    "fractional": "no position sees only the image in both, with neighbours to interpolate between",
}


class _AllSeen(Exception):
    """The rest of the network is of no interest."""


class _Comparison:
    """Runs one batch unmoved, then moved, and adds up the differences of each step as it is computed."""

    def __init__(
        self,
        steps: Sequence[Step],
        sums: Mapping[str, _Sums],
        rows: slice,
        plan: Plan,
        graph: Graph,
        around: bool,
        conditions: Sequence[Condition],
    ) -> None:
        self.steps = {step.name: step for step in steps}
        self.sums, self.rows, self.plan, self.around = sums, rows, plan, around
        self.size_px, self.wanted = graph.image_shape[1:], conditions
        self.unmoved: dict[str, Tensor] = {}
        self.from_others: dict[str, Tensor] = {}

    def look(self, classifier: Classifier, images: Tensor, view: View | None) -> None:
        """Run the network on images moved by `view`; on the unmoved ones first, with None."""
        reached: set[str] = set()

        def visit(call: Call) -> None:
            self._see(call.name, call.answer, view)
            reached.add(call.name)
            if self.steps.keys() <= reached:
                raise _AllSeen

        shown = classifier.preprocess(images).clone()
        if IMAGES in self.steps:
            self._see(IMAGES, shown, view)
            reached.add(IMAGES)
        with CircularBorders() if self.around else nullcontext(), suppress(_AllSeen):
            run(classifier, shown, visit)
        for name in self.steps.keys() - reached:
            self.sums[name].missed = NOT_REACHED

    def _see(self, name: str, answer: Tensor, view: View | None) -> None:
        step = self.steps.get(name)
        if step is None:
            return
        if tuple(answer.shape[1:]) != step.shape:
            self.sums[name].missed = RESHAPED
            return
        features = _features(step, answer)
        if view is None:
            self.unmoved[name] = features.clone()
            self.from_others[name] = _distance_to_others(features)
            self.sums[name].energy += (
                float(self.from_others[name].double().mean((1, 2)).sum()) * answer[0].numel()
            )
        elif name in self.unmoved:
            self._compare(step, features, view)

    def _compare(self, step: Step, features: Tensor, view: View) -> None:
        found: dict[bool, tuple[Tensor, Tensor] | None] = {}
        for condition in self.conditions(view, step):
            inside = condition != "with-border"
            if inside not in found:
                found[inside] = self._differences(step, features, view, inside)
            differences = found[inside]
            if differences is not None:
                self.sums[step.name].add(condition, self.rows, *differences)

    def conditions(self, view: View, step: Step) -> list[Condition]:
        """What this view says of a step; on a circle the border is asked about in a run of its own."""
        asked = [condition for condition in self.wanted if _asks(condition, view, step.stride)]
        if self.plan.frame == "interior":
            return asked
        return [condition for condition in asked if (condition == "with-border") != self.around]

    def _differences(
        self, step: Step, features: Tensor, view: View, inside: bool
    ) -> tuple[Tensor, Tensor] | None:
        unmoved, others = self.unmoved[step.name], self.from_others[step.name]
        back = self._back(step, view, inside)
        if back is None:
            return None
        return back.squared_difference(unmoved, features), others[:, back.rows, back.columns].mean((1, 2))

    def _back(self, step: Step, view: View, inside: bool) -> MoveBack | None:
        if step.space is None:
            return MoveBack(slice(None), slice(None), ((slice(None), slice(None)),))
        if self.around:
            return move_around(step.space, view)
        return move_back(step.space, view, self.size_px, inside=inside)


def _features(step: Step, answer: Tensor) -> Tensor:
    """Maps (N, C, H, W) of the answer, or (N, F, 1, 1); in float32 at least, of large ones some channels."""
    maps = answer.flatten(1)[:, :, None, None] if step.space is None else step.space.maps(answer)
    every = -(-maps[0].numel() // MOST_NUMBERS)
    maps = maps[:, ::every]
    return maps if maps.dtype == torch.float64 else maps.float()


def _distance_to_others(features: Tensor) -> Tensor:
    """Mean over channels of the squared difference to two other images of the batch: (N, H, W)."""
    to_next = (features - features.roll(-1, 0)).square().mean(1)
    return (to_next + to_next.roll(1, 0)) / 2

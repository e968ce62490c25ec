"""A network that can be stopped after each step, and run on from there with other tensors: by its trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx

from shiftproof.adapters import Classifier
from shiftproof.anatomy import (
    Motion,
    Place,
    Placed,
    Reason,
    Steps,
    call_of,
    common_stride,
    commutes,
    find_cuts,
    find_places,
    path_in_model,
)
from shiftproof.explain._circular import CircularBorders

IMAGES = "images"


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of a network, after which it can be stopped.

    Args:
        name: Path of the layer, or of the module around a function and its name; the second call of one
            name is `name#2`.
        kind: The class of a layer, or the name of a function.
        layer: Path of the layer; None for functions.
        shape: Of its answer to `BATCH` images; empty where it gives several tensors.
    """

    name: str
    kind: str
    layer: str | None
    shape: tuple[int, ...]

    @property
    def path(self) -> tuple[str, ...]:
        """The modules that it is in, the outermost first, and itself."""
        return tuple(self.name.split("."))


@dataclass(frozen=True, eq=False, slots=True)
class RunState:
    """What a run has left.

    Args:
        alive: By index of the step after which they were alive, copies of all tensors.
        logits: (N, K), as the network gave them.
        others: What else it takes to run on, such as sizes.
    """

    alive: Mapping[int, tuple[Tensor, ...]]
    logits: Tensor
    others: Mapping[Any, Any]


class Runs(Protocol):
    """A network to be run whole, or on from a moment."""

    @property
    def classifier(self) -> Classifier:
        """Whose network it is, in evaluation mode."""

    @property
    def moments(self) -> tuple[Moment, ...]:
        """Its steps in order, the images first and the answer last."""

    def placed(self, index: int) -> Placed:
        """Where the answer of a step lies in the image."""

    def alive_at(self, index: int) -> tuple[Place | None, ...] | Reason:
        """Where each tensor lies that is alive after a step; or why it cannot be stopped there."""

    def loses_nothing(self, index: int, motion: Motion) -> bool:
        """Whether a step is known to do to moved maps what it does to maps; see `commutes`."""

    def run(self, images: Tensor, at: Collection[int], *, around: bool) -> RunState:
        """Run it whole.

        Args:
            images: (N, C, H, W) in [0, 1].
            at: Steps after which the tensors that are alive are wanted.
            around: Whether all borders come from the opposite side instead.
        """

    def run_on(self, index: int, alive: Sequence[Tensor], record: RunState, *, around: bool) -> Tensor:
        """The logits that follow from these tensors after a step.

        Args:
            index: The step.
            alive: In the order of `alive_at`; may be overwritten.
            record: Of as many images.
            around: As in the run that gave the record.
        """


class TracedRuns:
    """By the steps of a trace, so that nothing before a moment has to be run again.

    Args:
        classifier: In evaluation mode.
        steps: Of its whole pipeline.
    """

    def __init__(self, classifier: Classifier, steps: Steps) -> None:
        self.classifier = classifier
        self._nodes, self._shapes = steps.trace.nodes, steps.trace.shapes
        self._cuts = find_cuts(steps)
        self._places = find_places(steps)
        height, width = self._shapes[self._cuts[0].step.node][2:]
        self._image_px = (height, width)
        self._order = {cut.step.node: index for index, cut in enumerate(self._cuts)}
        self._run = fx.Interpreter(steps.trace.module, garbage_collect_values=False)
        self._last_read = {source: node for node in self._nodes for source in node.all_input_nodes}
        self.moments = _moments(steps, self._order)
        self._nothing: dict[tuple[int, Motion], bool] = {}

    def placed(self, index: int) -> Placed:
        return self._places[self._cuts[index].step.node]

    def alive_at(self, index: int) -> tuple[Place | None, ...] | Reason:
        alive = self._cuts[index].alive
        if any(node not in self._shapes for node in alive):
            return Reason(self.moments[index].name, "Several tensors in one value are alive after it.")
        return together([self._places[node] for node in alive])

    def loses_nothing(self, index: int, motion: Motion) -> bool:
        key = (index, motion)
        if key not in self._nothing:
            step = self._cuts[index].step
            parents = [self._places[node] for node in step.node.all_input_nodes if node in self._places]
            self._nothing[key] = commutes(step, parents, self._image_px, motion)
        return self._nothing[key]

    def run(self, images: Tensor, at: Collection[int], *, around: bool) -> RunState:
        alive: dict[int, tuple[Tensor, ...]] = {}
        start = self._cuts[0].step.node
        if 0 in at:
            alive[0] = (images.clone(),)
        values: dict[fx.Node, Any] = {start: images.clone()}
        with self.classifier.wall(images):
            logits = self._follow(values, around, alive, at)
        followed = {*self._order, self._nodes[-1]}
        others = {node: value for node, value in values.items() if node not in followed}
        return RunState(alive, logits, others)

    def run_on(self, index: int, alive: Sequence[Tensor], record: RunState, *, around: bool) -> Tensor:
        values = dict(record.others) | dict(zip(self._cuts[index].alive, alive, strict=True))
        with self.classifier.wall(alive[0]):
            return self._follow(values, around, {}, (), after=index)

    def _follow(
        self,
        values: dict[fx.Node, Any],
        around: bool,
        alive: dict[int, tuple[Tensor, ...]],
        at: Collection[int],
        *,
        after: int = 0,
    ) -> Tensor:
        begin = self._nodes.index(self._cuts[after].step.node) + 1
        self._run.env = values
        with torch.inference_mode(), CircularBorders() if around else nullcontext():
            for node in self._nodes[begin:] if after else self._nodes:
                if node in values:
                    continue
                if node.op == "placeholder":  # An input that nobody gives.
                    values[node] = node.args[0]
                    continue
                values[node] = self._run.run_node(node)
                index = self._order.get(node)
                if index is not None and index in at:
                    kept = self._cuts[index].alive
                    alive[index] = tuple(values[each].clone() for each in kept)
                self._forget(values, node)
        logits = values[self._nodes[-1]]
        assert isinstance(logits, Tensor)
        return logits

    def _forget(self, values: dict[fx.Node, Any], node: fx.Node) -> None:
        for source in node.all_input_nodes:
            if source in self._order and self._last_read[source] is node:
                values.pop(source, None)


EVERY_MOTION = tuple(
    Motion(around, real_border, fractions)
    for around, real_border, fractions in ((True, False, True), (True, True, False), (False, True, True))
)


def is_quiet(runs: Runs, index: int) -> bool:
    """Whether a step can lose nothing whatever the condition, such as one that scales each number."""
    return all(runs.loses_nothing(index, motion) for motion in EVERY_MOTION)


def stride_at(runs: Runs, index: int) -> tuple[int, int]:
    """By multiples of how many pixels all that is alive after a step moves by whole positions."""
    alive = runs.alive_at(index)
    return common_stride(alive) if isinstance(alive, tuple) else (1, 1)


def first_alike(runs: Runs, index: int, motion: Motion) -> int:
    """The first step after which as much of the change is left as after this one, as far as that is known."""
    while (
        index > 0
        and runs.loses_nothing(index, motion)
        and isinstance(runs.alive_at(index - 1), tuple)
        and stride_at(runs, index - 1) == stride_at(runs, index)
    ):
        index -= 1
    return index


def together(places: Sequence[Placed]) -> tuple[Place | None, ...] | Reason:
    """All places, or why one of them is not known."""
    found: list[Place | None] = []
    for place in places:
        if isinstance(place, Reason):
            return place
        found.append(place)
    return tuple(found)


def _moments(steps: Steps, order: Mapping[fx.Node, int]) -> tuple[Moment, ...]:
    counts: Counter[str] = Counter()
    found = []
    for node in order:
        name, kind, layer = _named(node, steps)
        counts[name] += 1
        if counts[name] > 1:
            name = f"{name}#{counts[name]}"
        found.append(Moment(name, kind, layer, steps.trace.shapes.get(node, ())))
    return tuple(found)


def _named(node: fx.Node, steps: Steps) -> tuple[str, str, str | None]:
    """Name, kind, and path of the layer."""
    if node.op == "placeholder":
        return IMAGES, IMAGES, None
    if node.op == "call_module":
        module = steps.trace.module.get_submodule(str(node.target))
        path = path_in_model(str(node.target))
        return path, type(module).__name__, path
    around = path_in_model(next(reversed(node.meta.get("nn_module_stack") or {}), ""))
    function = call_of(node).name.strip("_") or str(node.target)
    return ".".join(filter(None, [around, function])), function, None

"""The answers of a network to circular shifts, of which those by whole strides need no new pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor, fx, nn

from shiftproof.dense._operations import Dense, Maps, Pair, Rows, Slide, Unknown
from shiftproof.dense._reading import Step, read_steps
from shiftproof.dense._trace import NotPlanned, Trace, trace
from shiftproof.errors import OptionError, ShapeError
from shiftproof.zoo import ImageShape


class Law(Enum):
    """What a roll of the images by multiples of the total stride does to a value."""

    ROLLS = auto()
    STAYS = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True, eq=False)
class RollPlan:
    """How to compute the answers to circular shifts of images; made by `plan_rolls`.

    The layers of the body commute with rolls by `total_stride`, so they run once for each remainder
    of the offsets. The head, if there is one, runs for each distinct shift, on what the body gave.

    Args:
        image_shape: (C, H, W).
        total_stride: Of the body, in pixels, (down, right).
        head_layers: Layers that run for each distinct shift; none where the answer only depends on
            the remainder.
        body_multiply_adds, head_multiply_adds: Of convolutions and linear layers, for one image.
    """

    image_shape: ImageShape
    total_stride: Pair
    head_layers: tuple[str, ...]
    body_multiply_adds: int
    head_multiply_adds: int
    _graph: _Split = field(repr=False)

    @torch.inference_mode()
    def answer(self, images: Tensor, offsets_px: Tensor) -> Tensor:
        """The network's answer to each image under each circular shift.

        Args:
            images: Shape (n, C, H, W), with dtype and device of the network.
            offsets_px: int64 of shape (S, 2), (dy, dx); positive moves the content down and right.

        Returns:
            Shape (n, S, K).

        Raises:
            ShapeError: Images or offsets of another shape.
            OptionError: Offsets that are not whole numbers.
        """
        self._check(images, offsets_px)
        answers: dict[tuple[Pair, Pair], Tensor] = {}
        parts = [self._parts(offset) for offset in offsets_px.tolist()]
        for remainder in dict.fromkeys(remainder for remainder, _ in parts):
            values = self._graph.run_body(torch.roll(images, remainder, (2, 3)))
            for whole in dict.fromkeys(whole for other, whole in parts if other == remainder):
                answers[remainder, whole] = self._graph.run_head(values, whole)
        return torch.stack([answers[part] for part in parts], 1)

    def multiply_adds(self, offsets_px: Tensor) -> int:
        """Of convolutions and linear layers, for all shifts of one image."""
        parts = {self._parts(offset) for offset in offsets_px.tolist()}
        n_remainders = len({remainder for remainder, _ in parts})
        return n_remainders * self.body_multiply_adds + len(parts) * self.head_multiply_adds

    @property
    def direct_multiply_adds(self) -> int:
        """Of convolutions and linear layers, for one image in an ordinary forward pass."""
        return self.body_multiply_adds + self.head_multiply_adds

    def _parts(self, offset: Sequence[int]) -> tuple[Pair, Pair]:
        """An offset as remainder and whole strides; the latter are all one to a network without a head."""
        axes = list(zip(offset, self.total_stride, self.image_shape[1:], strict=True))
        down, right = (shift % stride for shift, stride, _ in axes)
        if not self.head_layers:
            return (down, right), (0, 0)
        whole_down, whole_right = ((shift - shift % stride) % size for shift, stride, size in axes)
        return (down, right), (whole_down, whole_right)

    def _check(self, images: Tensor, offsets_px: Tensor) -> None:
        if images.ndim != 4 or tuple(images.shape[1:]) != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            raise ShapeError(f"`images` of shape (n, {expected})", tuple(images.shape))
        if offsets_px.ndim != 2 or offsets_px.shape[1] != 2 or not len(offsets_px):
            raise ShapeError("`offsets_px` of shape (S, 2) with S of at least 1", tuple(offsets_px.shape))
        if offsets_px.dtype != torch.int64:
            raise OptionError("offsets of dtype torch.int64", offsets_px.dtype, fix="Convert with `.long()`.")


@dataclass(frozen=True, slots=True, eq=False)
class _Split:
    """A graph in two parts: what commutes with rolls, and what is computed from it."""

    module: fx.GraphModule
    body: tuple[fx.Node, ...]
    head: tuple[fx.Node, ...]
    rolling: Mapping[fx.Node, Maps]
    answer: fx.Node

    def run_body(self, images: Tensor) -> dict[fx.Node, Any]:
        """Values that head and answer read."""
        kept = {source for node in self.head for source in node.all_input_nodes} | {self.answer}
        return _run(self.module, self.body, {}, kept, images)

    def run_head(self, values: Mapping[fx.Node, Any], whole_px: Pair) -> Tensor:
        """The answer for images that are rolled by whole strides more than those of the body."""
        given = {
            # Each time a copy: layers may overwrite what they read.
            node: _rolled(value, self.rolling.get(node), whole_px) if isinstance(value, Tensor) else value
            for node, value in values.items()
        }
        answer: Tensor = _run(self.module, self.head, given, {self.answer})[self.answer]
        return answer


def _run(
    module: fx.GraphModule,
    nodes: Sequence[fx.Node],
    values: Mapping[fx.Node, Any],
    kept: Set[fx.Node],
    images: Tensor | None = None,
) -> dict[fx.Node, Any]:
    """What some nodes of a graph give; of all that they compute, only what is kept survives its use."""
    interpreter = fx.Interpreter(module)
    found = dict(values)
    last_reader = {source: node for node in nodes for source in node.all_input_nodes}
    for node in nodes:
        if node.op == "placeholder":
            found[node] = images
            continue
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), found.__getitem__)
        found[node] = getattr(interpreter, node.op)(node.target, args, kwargs)
        for source in node.all_input_nodes:
            if last_reader[source] is node and source not in kept:
                del found[source]
    return {node: value for node, value in found.items() if node in kept}


def _rolled(value: Tensor, maps: Maps | None, whole_px: Pair) -> Tensor:
    """A copy that is rolled as the images are, by whole strides."""
    if maps is None:
        return value.clone()
    steps = tuple(px // stride for px, stride in zip(whole_px, maps.stride, strict=True))
    if "l" not in maps.axes:
        return torch.roll(value, steps, (maps.axes.index("h"), maps.axes.index("w")))
    line = maps.axes.index("l")
    square = value.reshape(*value.shape[:line], maps.height, maps.width, *value.shape[line + 1 :])
    return torch.roll(square, steps, (line, line + 1)).flatten(line, line + 1)


def plan_rolls(module: nn.Module, image_shape: ImageShape) -> RollPlan | NotPlanned:
    """Find the part of a network that commutes with circular shifts by its stride.

    Args:
        module: Images (N, C, H, W) to logits (N, K), in evaluation mode. While it is planned, no
            other thread may run any module: torch.fx patches the class of all.
        image_shape: (C, H, W).

    Returns:
        A plan whose answers are those of the network up to the order of sums, or the first layer
        that does not commute with shifts, where that leaves nothing to share.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3, 2, padding=1, padding_mode="circular"),
        ...                         nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        >>> plan = plan_rolls(network, (1, 8, 8))
        >>> plan.total_stride, plan.head_layers
        ((2, 2), ())
        >>> plan.answer(torch.rand(3, 1, 8, 8), torch.tensor([[0, 1], [2, 1], [0, 0]])).shape
        torch.Size([3, 3, 2])
    """
    traced = trace(module, image_shape)
    if isinstance(traced, NotPlanned):
        return traced
    steps = read_steps(traced)
    laws, objections = _laws(traced, steps)
    graph = _split(traced, steps, laws)
    body, head = (sum(_cost(s) for s in steps if s.node in part) for part in (graph.body, graph.head))
    first = next(iter(objections.values()), NotPlanned(traced.name, "Nothing in it is shared."))
    if graph.head and body == 0:
        return first
    strides = [graph.rolling[node].stride for node in graph.body if node in graph.rolling]
    total = math.lcm(*(down for down, _ in strides)), math.lcm(*(right for _, right in strides))
    layers = tuple(dict.fromkeys(traced.layer_of(node) for node in graph.head))
    return RollPlan(image_shape, total, layers, body, head, graph)


def _laws(traced: Trace, steps: tuple[Step, ...]) -> tuple[dict[fx.Node, Law], dict[fx.Node, NotPlanned]]:
    """How each value follows a roll of the images; and for the first that do not, why."""
    laws: dict[fx.Node, Law] = {}
    objections: dict[fx.Node, NotPlanned] = {}
    by_node = {step.node: step for step in steps}
    values = {step.node: step.value for step in steps}
    for node in traced.nodes:
        inputs = [laws[source] for source in node.all_input_nodes]
        step = by_node.get(node)
        if Law.OTHER in inputs:
            laws[node] = Law.OTHER
        elif step is None or (inputs and Law.ROLLS not in inputs):
            laws[node] = Law.STAYS  # Constants, sizes, and what is computed from values that stay.
        else:
            before = values[step.inputs[0]] if step.inputs else step.value
            reason = _objection(step, before)
            laws[node] = Law.OTHER if reason else _law(step, before)
            if reason:
                objections[node] = NotPlanned(step.layer, reason)
    return laws, objections


def _law(step: Step, before: Maps | Rows | None) -> Law:
    maps = step.value.source if isinstance(step.value, Rows) else step.value
    alone = maps is not None and (maps.height, maps.width) == (1, 1)
    return Law.STAYS if alone or _is_global(step, before) else Law.ROLLS


def _is_global(step: Step, before: Maps | Rows | None) -> bool:
    """A mean or maximum over all positions."""
    operation = step.operation
    if not isinstance(operation, Slide) or not isinstance(before, Maps) or operation.multiply_adds:
        return False
    everything = operation.kernel == operation.extent == (before.height, before.width)
    return everything and not any(operation.padding)


def _objection(step: Step, before: Maps | Rows | None) -> str:
    """Why a step of which some input rolls does not follow the roll; empty where it does."""
    operation = step.operation
    if isinstance(operation, Unknown):
        return operation.reason
    if _is_global(step, before):
        return ""
    if isinstance(step.value, Rows) and _law(step, before) is not Law.STAYS:
        return "It flattens maps, after which each position counts for itself."
    if isinstance(operation, Slide):
        assert isinstance(before, Maps)
        assert isinstance(step.value, Maps)
        return _objection_to_slide(operation, before, step.value)
    return ""


def _objection_to_slide(layer: Slide, before: Maps, after: Maps) -> str:
    axes = zip(
        (before.height, before.width),
        (after.height, after.width),
        layer.stride,
        layer.extent,
        layer.padding,
        layer.kernel,
        strict=True,
    )
    for size, kept, stride, extent, padding, kernel in axes:
        if not layer.multiply_adds and kernel == extent == size and not padding:
            continue  # A mean or maximum over the whole axis does not see a roll along it.
        if padding and not layer.wraps:
            return f"Its padding of {padding} is not circular, so that positions near the border differ."
        if size % stride:
            return f"Its stride of {stride} does not divide {size} positions."
        if not padding and extent > stride:
            return f"It sees {extent} positions without circular padding, so that the border differs."
        if kept == 1 != size:
            return f"It looks at {size} positions only once."
        if kept * stride != size:
            return f"It turns {size} positions into {kept} rather than {size // stride}."
    return ""


def _split(traced: Trace, steps: tuple[Step, ...], laws: Mapping[fx.Node, Law]) -> _Split:
    """Body and head; each holds only what the answer depends on."""
    *nodes, output = traced.nodes
    (answer,) = output.all_input_nodes
    head = [node for node in nodes if laws[node] is Law.OTHER]
    needed = {answer} | {source for node in head for source in node.all_input_nodes}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    body = [node for node in nodes if laws[node] is not Law.OTHER and node in needed]
    assert laws[answer] is not Law.ROLLS, "the answer is rows, which have no positions"
    rolling = {s.node: s.value for s in steps if laws[s.node] is Law.ROLLS and isinstance(s.value, Maps)}
    return _Split(traced.module, tuple(body), tuple(head), rolling, answer)


def _cost(step: Step) -> int:
    """Multiplications of one image in an ordinary forward pass."""
    if isinstance(step.operation, Slide) and isinstance(step.value, Maps):
        return step.value.height * step.value.width * step.operation.multiply_adds
    return step.operation.weight.numel() if isinstance(step.operation, Dense) else 0

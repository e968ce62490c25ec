"""The answers of a network to circular shifts, of which those by whole strides need no new pass."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn

from shiftproof.anatomy import Pair, Reason, Steps, read_network
from shiftproof.dense._costs import multiply_adds
from shiftproof.dense._refusal import NotPlanned
from shiftproof.dense._roll_sharing import Rolling, RollSharing, shared_between_rolls
from shiftproof.errors import OptionError, ShapeError
from shiftproof.zoo import ImageShape

# Rolling a number of a map and reading it again takes as long as so many multiplications: 5 ns beside
# 0.08 ns, measured on `cnn2-circular` on one core.
MULTIPLY_ADDS_PER_NUMBER = 64
# The same for a layer that does next to nothing: 2 µs where a network calls it, 7 µs as a step of a graph.
MULTIPLY_ADDS_PER_CALL, MULTIPLY_ADDS_PER_STEP = 25_000, 88_000


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
        n_handed: Numbers of one image that are rolled for each run of the head.
    """

    image_shape: ImageShape
    total_stride: Pair
    head_layers: tuple[str, ...]
    body_multiply_adds: int
    head_multiply_adds: int
    n_handed: int
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

    def is_cheaper(self, offsets_px: Tensor) -> bool:
        """Whether it takes less time than one pass for each shift, as far as that can be told beforehand."""
        calls = MULTIPLY_ADDS_PER_CALL * (len(self._graph.body) + len(self._graph.head))
        return self._work(offsets_px) < len(offsets_px) * (self.direct_multiply_adds + calls)

    def _work(self, offsets_px: Tensor) -> int:
        """In multiplications; rolls of maps and steps of the graph are counted as so many as take as long."""
        parts = {self._parts(offset) for offset in offsets_px.tolist()}
        n_bodies, n_heads = len({remainder for remainder, _ in parts}), len(parts)
        body = self.body_multiply_adds + MULTIPLY_ADDS_PER_STEP * len(self._graph.body)
        head = self.head_multiply_adds + MULTIPLY_ADDS_PER_STEP * len(self._graph.head)
        return n_bodies * body + n_heads * (head + MULTIPLY_ADDS_PER_NUMBER * self.n_handed)

    @property
    def direct_multiply_adds(self) -> int:
        """Of convolutions and linear layers, for one image in an ordinary forward pass."""
        return self.body_multiply_adds + self.head_multiply_adds

    def _parts(self, offset: Sequence[int]) -> tuple[Pair, Pair]:
        """An offset as remainder and whole strides; the latter do not matter to a network without a head."""
        axes = list(zip(offset, self.total_stride, self.image_shape[1:], strict=True))
        down, right = (shift % stride for shift, stride, _ in axes)
        if not self.head_layers and self._graph.answer not in self._graph.rolling:
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
    rolling: Mapping[fx.Node, Rolling]
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


def _rolled(value: Tensor, rolling: Rolling | None, whole_px: Pair) -> Tensor:
    """A copy that is rolled as the images are, by whole strides."""
    return value.clone() if rolling is None else rolling.rolled(value, whole_px)


def plan_rolls(
    module: nn.Module, image_shape: ImageShape, offsets_px: Tensor | None = None
) -> RollPlan | NotPlanned:
    """Find the part of a network that commutes with circular shifts by its stride.

    Args:
        module: Images (N, C, H, W) to logits (N, K), in evaluation mode. While it is planned, no
            other thread may run any module: torch.fx patches the class of all.
        image_shape: (C, H, W).
        offsets_px: int64 of shape (S, 2), the shifts that are wanted: of several plans, the one that takes
            least work for them is given. By default all shifts.

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
    steps = read_network(module, image_shape, any_answer=False)
    if isinstance(steps, Reason):
        return NotPlanned.because(steps)
    costs = multiply_adds(steps.trace, image_shape)
    found = shared_between_rolls(steps, (image_shape[1], image_shape[2]))
    plans = [_plan(steps, shared, costs, image_shape) for shared in found]
    useful = [plan for plan in plans if plan.body_multiply_adds or not plan.head_layers]
    if not useful:
        return NotPlanned.because(found[-1].limits[0])
    if steps.trace.mixed is not None:
        return NotPlanned.because(steps.trace.mixed)
    if offsets_px is None:
        offsets_px = torch.cartesian_prod(*(torch.arange(size) for size in image_shape[1:]))
    return min(useful, key=lambda plan: plan._work(offsets_px))


def _plan(
    steps: Steps, shared: RollSharing, costs: Mapping[fx.Node, int], image_shape: ImageShape
) -> RollPlan:
    graph = _split(steps, shared)
    body, head = (sum(costs.get(node, 0) for node in part) for part in (graph.body, graph.head))
    layers = tuple(dict.fromkeys(steps.trace.layer_of(node) for node in graph.head))
    handed = {source for node in graph.head for source in node.all_input_nodes} & graph.rolling.keys()
    n_handed = sum(math.prod(steps.trace.shapes[node][1:]) for node in handed)
    return RollPlan(image_shape, shared.step_px, layers, body, head, n_handed, graph)


def _split(steps: Steps, shared: RollSharing) -> _Split:
    """Body and head; each holds only what the answer depends on."""
    *nodes, output = steps.trace.nodes
    (answer,) = output.all_input_nodes
    head = [node for node in nodes if node in shared.other]
    needed = {answer} | {source for node in head for source in node.all_input_nodes}
    for node in reversed(nodes):
        if node in needed:
            needed.update(node.all_input_nodes)
    body = [node for node in nodes if node not in shared.other and node in needed]
    return _Split(steps.trace.module, tuple(body), tuple(head), shared.rolling, answer)

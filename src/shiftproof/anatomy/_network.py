"""From a traced network to steps whose effect on positions is known, or known to be unknown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx, nn

from shiftproof.anatomy import _layer_rules
from shiftproof.anatomy._calls import TorchCall, call_of, layer_call
from shiftproof.anatomy._library_rules import FUNCTIONS_OF_LIBRARIES
from shiftproof.anatomy._map_call import LINEAR, Effect, MapCall, not_known, unknown, varying
from shiftproof.anatomy._operations import (
    Choose,
    Function,
    Input,
    Operation,
    Pointwise,
    PositionGrid,
    Take,
    Unpool,
)
from shiftproof.anatomy._reasons import Reason
from shiftproof.anatomy._relabel import common_grid
from shiftproof.anatomy._torch_rules import read_call
from shiftproof.anatomy._trace import Trace, trace
from shiftproof.anatomy._whole_map_rules import attended, read_spectrum
from shiftproof.layers import AdaptivePolyphase2d, LearnedPolyphase2d, Polyphase2d, PolyphaseUnpool2d
from shiftproof.zoo import ImageShape

# What can be asked about a tensor without looking at its numbers.
SIZES = ("device", "dim", "dtype", "is_cuda", "ndim", "numel", "shape", "size")
CHOOSE, TAKE = vars(Polyphase2d)["choose"], vars(Polyphase2d)["take"]
TURNED = "Its maps have their rows and columns on other axes than images."
# What makes a tensor longer along axes of one number.
EXPANSIONS = ("expand", "expand_as")
# The input of a rule, and a tensor of which only the size is read.
FIRST = ("input", "other")
SPECTRA = ("fft", "fft2", "fftn", "rfft", "rfft2", "rfftn")
PHASES = "It reads the phases of frequencies, in which a shift is written."
# Casts to fewer digits than float64 has.
NARROWING = ("bfloat16", "float", "half", "to", "type", "type_as")


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step that depends on the images.

    Args:
        layer: Where it happens.
        node: In the graph.
        operations: What it does to positions, one after the other.
        inputs: The steps that it reads, in the order in which its operation counts them.
        grid: Where positions lie after it; None where there are none, or nothing is known.
    """

    layer: str
    node: fx.Node
    operations: tuple[Operation, ...]
    inputs: tuple[fx.Node, ...]
    grid: PositionGrid | None


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """All steps of a network, the images first and the answer last.

    Args:
        steps: In the order in which they run.
        trace: The graph that they were read from.
        narrows: Whether some step rounds to fewer digits than float64 has.
    """

    steps: tuple[Step, ...]
    trace: Trace
    narrows: bool


def read_network(module: nn.Module, image_shape: ImageShape, *, any_answer: bool = True) -> Steps | Reason:
    """Every step of a network in evaluation mode, or why it cannot be followed.

    Args:
        module: Images (N, C, H, W) to an answer.
        image_shape: (C, H, W).
        any_answer: As in `trace`.
    """
    found = trace(
        module,
        image_shape,
        leaves=_layer_rules.LEAVES,
        methods=((Polyphase2d, "choose"), (Polyphase2d, "take")),
        any_answer=any_answer,
    )
    if isinstance(found, Reason):
        return found
    reader = _Reader(found)
    steps = tuple(step for node in found.nodes if (step := reader.read(node)) is not None)
    narrows = any(node.op != "placeholder" and str(node.target) in NARROWING for node in found.nodes)
    return Steps(steps, found, narrows)


class _Reader:
    """What is known of the steps so far: which depend on the images, and where positions lie."""

    def __init__(self, traced: Trace) -> None:
        self._traced = traced
        self._grids: dict[fx.Node, PositionGrid | None] = {}
        # Of values that were made longer: the axes along which they are the same everywhere, from the last.
        self._constant_along: dict[fx.Node, frozenset[int]] = {}

    def read(self, node: fx.Node) -> Step | None:
        if node.op == "output":
            return None
        if node.op == "placeholder":
            height, width = self._traced.shapes[node][2:]
            return self._step(node, ((Input(),), PositionGrid((height, width), (2, 3))), ())
        call = self._call(node)
        sources = tuple(source for source in node.all_input_nodes if source in self._grids)
        if not sources or _asks_for_size(node, call):
            return None
        if call.recognised and call.name in EXPANSIONS:
            # Of the second tensor it only asks for the size.
            sources = tuple(source for source in sources if source is call.arguments["input"])
            self._note_expansion(node, call)
        if all(self._grids[source] is None for source in sources) and not _is_choice(node):
            return self._step(node, ((Function(),), None), sources)
        return self._step(node, self._reading(node, call, sources), self._ordered(node, sources))

    def _note_expansion(self, node: fx.Node, call: TorchCall) -> None:
        before = self._traced.shapes.get(call.arguments["input"], ())
        after = self._traced.shapes.get(node, ())
        padded = (1,) * (len(after) - len(before)) + before
        self._constant_along[node] = frozenset(
            axis - len(after) for axis, size in enumerate(padded) if size == 1
        )

    def _step(self, node: fx.Node, reading: Effect, inputs: tuple[fx.Node, ...]) -> Step:
        operations, grid = reading
        self._grids[node] = grid
        return Step(self._traced.layer_of(node), node, operations, inputs, grid)

    def _call(self, node: fx.Node) -> TorchCall:
        if node.op == "call_module":
            return layer_call(node, self._traced.module)
        return TorchCall("get_attr") if node.op == "get_attr" else call_of(node)

    def _ordered(self, node: fx.Node, sources: tuple[fx.Node, ...]) -> tuple[fx.Node, ...]:
        """Inputs as the arguments have them, where their order counts."""
        if not _is_choice(node) and self._layer(node, PolyphaseUnpool2d) is None:
            return sources
        return tuple(value for value in node.args if isinstance(value, fx.Node) and value in self._grids)

    def _layer(self, node: fx.Node, kind: type[nn.Module]) -> nn.Module | None:
        if node.op != "call_module":
            return None
        layer = self._traced.module.get_submodule(str(node.target))
        return layer if type(layer) is kind else None

    def _reading(self, node: fx.Node, call: TorchCall, sources: tuple[fx.Node, ...]) -> Effect:
        if _is_choice(node):
            return self._choice(node)
        unpool = self._layer(node, PolyphaseUnpool2d)
        if isinstance(unpool, PolyphaseUnpool2d):
            if not self._are_maps(node.args):
                return unknown(TURNED)
            height, width = self._traced.shapes[node][2:]
            return (Unpool(unpool.stride),), PositionGrid((height, width), (2, 3))
        rule = FUNCTIONS_OF_LIBRARIES.get(_name_of(node.target))
        if rule is not None and len(sources) == 1:
            grid = self._grids[sources[0]]
            assert grid is not None
            return rule(grid)
        if _looks_all_over(node, call, self._traced.module):
            return self._attention(node, call)
        if not call.recognised:
            return not_known(call.name)
        if call.function is not None or call.name == "cat":
            return self._elementwise(node, call, sources)
        if len(sources) > 1:
            return not_known(call.name)
        return self._alone(node, call, sources[0])

    def _alone(self, node: fx.Node, call: TorchCall, source: fx.Node) -> Effect:
        """A call of one input that has positions."""
        grid = self._grids[source]
        assert grid is not None
        arguments = {name: self._value(value) for name, value in call.arguments.items() if name not in FIRST}
        question = MapCall(
            call.name,
            arguments,
            grid,
            self._traced.shapes.get(source, ()),
            self._traced.shapes.get(node, ()),
        )
        if call.name in SPECTRA:
            only_strengths = all(_is_absolute(user) for user in node.users)
            return read_spectrum(question) if only_strengths else unknown(PHASES)
        if call.name == "getitem" and self._layer(source, nn.MultiheadAttention) is not None:
            return ((LINEAR,), grid) if arguments["index"] == 0 else unknown("It reads who looked at whom.")
        if node.op == "call_module":
            layer = self._traced.module.get_submodule(str(node.target))
            rule = _layer_rules.RULES.get(type(layer))
            if rule is not None and len(node.args) == 1 and not node.kwargs:
                return rule(layer, question)
        return read_call(question)

    def _attention(self, node: fx.Node, call: TorchCall) -> Effect:
        """Queries that each look at all keys and values; all that may come in is named below."""
        if node.op == "call_module":
            layer = self._traced.module.get_submodule(str(node.target))
            assert isinstance(layer, nn.MultiheadAttention)
            harmless = set(node.kwargs) <= {"need_weights", "average_attn_weights"}
            inputs, line = node.args, 1 if layer.batch_first else 0
        else:
            inputs = tuple(call.arguments.get(name) for name in ("query", "key", "value"))
            names = ("attn_mask", "dropout_p", "is_causal", "enable_gqa")
            harmless = not any(call.arguments.get(name) for name in names)
            line = len(self._traced.shapes.get(node, ())) - 2
        nodes = tuple(value for value in inputs if isinstance(value, fx.Node))
        shapes = [self._traced.shapes.get(value, ()) for value in nodes]
        n_axes = len(shapes[0]) if shapes else 0
        if (
            not harmless
            or len(inputs) != 3
            or len(nodes) != 3
            or {len(shape) for shape in shapes} != {n_axes}
        ):
            text = "Attention that is masked, or shaped in another way, is not followed here."
            return varying(text, self._queries(nodes, line))
        query, key, value = (self._grids.get(value) for value in nodes)
        return attended(query, key, value, line, n_axes)

    def _queries(self, nodes: Sequence[fx.Node], line: int) -> PositionGrid | None:
        """Where the answers of attention lie, if its queries are positions."""
        grid = self._grids.get(nodes[0]) if nodes else None
        return grid if grid is not None and line in grid.axes else None

    def _value(self, argument: Any) -> Any:
        """An argument with what does not depend on the images put in."""

        def known(node: fx.Node) -> Any:
            if node in self._traced.constants:
                return self._traced.constants[node]
            return self._traced.numbers.get(node, node)

        return fx.node.map_arg(argument, known)

    def _choice(self, node: fx.Node) -> Effect:
        """A call of `choose` or `take`, of which the layer is the first argument."""
        layer = self._traced.numbers.get(node.args[0])  # type: ignore[arg-type]
        if type(layer) not in (AdaptivePolyphase2d, LearnedPolyphase2d) or node.kwargs:
            return unknown("How it chooses is not known.")
        if any(value not in self._grids for value in node.args[1:]):
            return unknown("It chooses by something that does not come from the images.")
        if not self._are_maps(node.args[1:]):
            return unknown(TURNED)
        assert isinstance(layer, Polyphase2d)
        if layer.training:
            return unknown("In training mode it mixes phases.")
        if node.target is CHOOSE:
            return (Choose(layer.stride),), None
        height, width = self._traced.shapes[node][2:]
        return (Take(layer.stride),), PositionGrid((height, width), (2, 3))

    def _are_maps(self, values: Sequence[Any]) -> bool:
        """Whether all that have positions have their rows and columns on the last two of four axes."""
        grids = [self._grids.get(value) for value in values if isinstance(value, fx.Node)]
        return all(grid is None or grid.is_maps for grid in grids)

    def _elementwise(self, node: fx.Node, call: TorchCall, sources: tuple[fx.Node, ...]) -> Effect:
        """A function of the numbers of several tensors at the same place, or a concatenation of channels."""
        shape = self._traced.shapes.get(node)
        if shape is None:
            return not_known(call.name)
        grid = self._common(sources, shape)
        if grid is None:
            return unknown("It combines values of different places.")
        if call.name == "cat" and not _joins_several(call):
            return (LINEAR,), grid
        if call.name == "cat":
            dim = self._value(call.arguments.get("dim", 0))
            axis = dim % len(shape) if isinstance(dim, int) else 0
            if axis in (grid.images, *grid.axes):
                return self._beside(call, sources, grid, axis)
        if not all(self._is_flat(n, grid, len(shape)) for n in node.all_input_nodes):
            text = (
                "It combines maps with numbers that differ between positions, such as a positional embedding."
            )
            others = [source for source in sources if self._grids[source] is None]
            return varying(text, grid, looks_around=bool(others))
        return (Pointwise(self._is_linear(call)),), grid

    def _beside(self, call: TorchCall, sources: tuple[fx.Node, ...], grid: PositionGrid, axis: int) -> Effect:
        """Something without positions, such as a class token, before all positions of one axis."""
        tensors = call.arguments.get("tensors")
        if not isinstance(tensors, list | tuple):
            return unknown("It puts parts of maps beside each other.")
        *before, last = tensors
        lengths = [self._traced.shapes[node][axis] for node in before if node in self._traced.shapes]
        maps = [source for source in sources if self._grids[source] is not None]
        if not grid.is_joint or maps != [last] or len(lengths) < len(before) or axis == grid.images:
            return unknown("It puts more positions beside those of the maps.")
        return (Pointwise(),), replace(grid, lead=grid.lead + sum(lengths))

    def _common(self, sources: Sequence[fx.Node], shape: tuple[int, ...]) -> PositionGrid | None:
        """Where the positions of several maps lie in their common answer."""
        shapes = self._traced.shapes
        # Of several tensors in one value, such as those that a split has left, the shape is not known.
        maps = [(grid, shapes.get(source)) for source in sources if (grid := self._grids[source]) is not None]
        if any(before is not None and len(before) != len(shape) for _, before in maps):
            return None
        found = common_grid([grid for grid, _ in maps])
        if found is None:
            return None
        for grid, before in maps:
            # Elsewhere than along positions of its own, nothing may differ between those of the others.
            own = {axis for axis, size in zip(grid.axes, grid.size, strict=True) if size > 1}
            others = {axis for axis in found.axes if axis is not None} - own
            if others and (before is None or any(before[axis] != 1 for axis in others)):
                return None
        return found

    def _is_flat(self, node: fx.Node, grid: PositionGrid, n_axes: int) -> bool:
        """Whether an input without positions has one number for all of them."""
        if self._grids.get(node) is not None:
            return True
        if node not in self._traced.shapes:
            return isinstance(self._traced.numbers.get(node), int | float | torch.dtype)
        shape = self._traced.shapes[node]
        padded = (1,) * (n_axes - len(shape)) + shape
        same = self._constant_along.get(node, frozenset())
        axes = {axis for axis in grid.axes if axis is not None}
        return len(padded) == n_axes and all(padded[axis] == 1 or axis - n_axes in same for axis in axes)

    def _is_linear(self, call: TorchCall) -> bool:
        if call.name in ("add", "cat", "neg", "rsub", "sub", "subtract"):
            return True
        found: list[fx.Node] = []
        fx.node.map_arg((call.args, dict(call.kwargs)), found.append)
        one = sum(self._grids.get(node) is not None for node in found) == 1
        if call.name in ("mul", "multiply"):
            return one
        divided = isinstance(call.args[0], fx.Node) and self._grids.get(call.args[0]) is not None
        divides = call.name in ("div", "divide", "true_divide", "truediv") and not call.kwargs
        return one and divides and divided


def _name_of(target: object) -> str:
    return f"{getattr(target, '__module__', '')}.{getattr(target, '__name__', '')}"


def _asks_for_size(node: fx.Node, call: TorchCall) -> bool:
    """Whether it is one of `SIZES` of torch, not a function of that name."""
    own = node.op == "call_method" or node.target in (getattr, torch.numel)
    return own and call.name in SIZES


def _looks_all_over(node: fx.Node, call: TorchCall, module: nn.Module) -> bool:
    """Whether it is attention."""
    if node.op == "call_module":
        return type(module.get_submodule(str(node.target))) is nn.MultiheadAttention
    return call.recognised and call.name == "scaled_dot_product_attention"


def _joins_several(call: TorchCall) -> bool:
    tensors = call.arguments.get("tensors")
    return not (isinstance(tensors, list | tuple) and len(tensors) == 1)


def _is_absolute(node: fx.Node) -> bool:
    return node.op in ("call_function", "call_method") and call_of(node).name == "abs"


def _is_choice(node: fx.Node) -> bool:
    return node.op == "call_function" and node.target in (CHOOSE, TAKE)

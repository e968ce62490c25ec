"""From what each step of a network does to positions to instructions for all windows of a canvas."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, fx

from shiftproof.anatomy import (
    AXES,
    Flatten,
    Located,
    Normalise,
    Operation,
    Pair,
    Pointwise,
    Reason,
    Reduce,
    Slide,
    Step,
    Steps,
    TorchCall,
    Unknown,
    call_of,
    layer_call,
)
from shiftproof.dense._maps import Maps
from shiftproof.dense._node import Runner
from shiftproof.dense._pools import MAXIMA, MEANS, pool_of, whole
from shiftproof.dense._program import CANVAS, Compiler, Instruction, PlannedLayer, per_phase, per_window
from shiftproof.dense._scan import Phases, apart, pooled, slide, weighed

DIFFERENT = "It combines values of different places."
# What changes nothing in evaluation mode.
IDENTITIES = ("alpha_dropout", "dropout", "dropout2d", "identity")
FLATTENING = ("flatten", "reshape", "view")


@dataclass(frozen=True, slots=True)
class _Value:
    """What a step gives.

    Args:
        place: Of its instruction.
        maps: Of which all windows share the positions; None where each window stands by itself.
        flat: Whether the step gives rows: these maps, flattened, which is put off as long as nothing asks for
            a whole row.
    """

    place: int
    maps: Maps | None
    flat: bool = False


class NotCompiled(Exception):  # never leaves this room
    """A step that windows cannot share."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(reason)
        self.reason = Reason(layer, reason)


def compile_program(
    steps: Steps, where: Mapping[fx.Node, Located | Reason], costs: Mapping[fx.Node, int]
) -> tuple[Instruction, ...]:
    """Instructions of which the last one gives the answer, one row for each window.

    Args:
        steps: Of a network.
        where: Their positions lie.
        costs: Multiplications of each.

    Raises:
        NotCompiled: Windows cannot share a step.
    """
    compilation = _Compilation(steps, where, costs)
    for step in steps.steps:
        compilation.add(step)
    answer = compilation.by_itself(steps.steps[-1].node)
    return compilation.compiler.finished(answer)


class _Compilation:
    def __init__(
        self, steps: Steps, where: Mapping[fx.Node, Located | Reason], costs: Mapping[fx.Node, int]
    ) -> None:
        self.compiler = Compiler()
        self._traced, self._where, self._costs = steps.trace, where, costs
        self._runner = Runner(steps.trace, frozenset(step.node for step in steps.steps))
        self._values: dict[fx.Node, _Value] = {}
        self._apart: dict[tuple[int, Maps], int] = {}

    def add(self, step: Step) -> None:
        """The instructions of a step."""
        self._values[step.node] = self._value(step)

    def by_itself(self, node: fx.Node) -> int:
        """Where the value of a step is, one for each window."""
        value = self._values[node]
        if value.maps is None:
            return value.place
        key = (value.place, value.maps)
        if key not in self._apart:
            run = partial(_flattened if value.flat else _apart, value.maps)
            self._apart[key] = self.compiler.emit(run, (value.place,), None, _numbers(value.maps))
        return self._apart[key]

    def _value(self, step: Step) -> _Value:
        if not step.inputs:
            return _Value(CANVAS, self._maps(step))
        values = [self._values[source] for source in step.inputs]
        call = layer_call(step.node, self._traced.module) if step.node.op == "call_module" else None
        call = call or (call_of(step.node) if step.node.op != "get_attr" else TorchCall("get_attr"))
        if any(value.maps is not None and not value.flat for value in values):
            if any(value.maps is None or value.flat for value in values):
                raise NotCompiled(step.layer, DIFFERENT)
            return self._of_maps(step, call, values)
        flat = self._of_flat(step, call, values)
        return flat if flat is not None else self._of_rows(step)

    def _of_maps(self, step: Step, call: TorchCall, values: list[_Value]) -> _Value:
        if call.name in FLATTENING and self._gives_rows(step, values[0]):
            return _Value(values[0].place, values[0].maps, flat=True)
        operations = _merged(step.operations, values[0].maps)
        objection = _objection(operations, values[0].maps)
        if objection:
            raise NotCompiled(step.layer, objection)
        (operation,) = operations[-1:]
        if isinstance(operation, Slide):
            return self._slide(step, call, operation, values[0])
        if isinstance(operation, Reduce):
            return self._reduce(step, call, values[0])
        if isinstance(operation, Flatten):
            raise NotCompiled(step.layer, "It mixes positions.")
        if step.grid is None or None in step.grid.axes:
            raise NotCompiled(step.layer, "It leaves maps of a shape that windows do not share.")
        maps = self._maps(step)
        self._check_size(step, values, maps, (1, 1))
        places = tuple(value.place for value in values)
        planned = self._planned(step, maps) if self._costs.get(step.node) else None
        run = per_phase(partial(self._runner.run, step.node), step.inputs)
        return _Value(self.compiler.emit(run, places, maps, _numbers(maps), planned), maps)

    def _slide(self, step: Step, call: TorchCall, window: Slide, before: _Value) -> _Value:
        after, maps = self._maps(step), before.maps
        assert maps is not None
        run: Callable[[Tensor], Any] | None = pool_of(call, window) if maps.grid.is_maps else None
        if run is None:
            self._check_size(step, [before], after, window.stride)
            run = partial(_alone, self._runner, step.node, step.inputs[0])
        planned = self._planned(step, after)
        sliding = partial(_slide, maps, after, window, run)
        return _Value(self.compiler.emit(sliding, (before.place,), after, _numbers(after), planned), after)

    def _reduce(self, step: Step, call: TorchCall, before: _Value) -> _Value:
        """Over all positions of a window; a mean or a maximum as a window over the maps of all."""
        maps = before.maps
        assert maps is not None
        shape = self._traced.shapes[step.node]
        alone = maps.grid.images == 0 and math.prod(shape[1:]) == maps.n_features
        window = whole(maps.grid.size)
        pool = pool_of(call, window) if call.name in (*MAXIMA, *MEANS) else None
        if pool is None or not alone:
            return self._rows(step, [self.by_itself(step.inputs[0])])
        run = partial(_pooled, maps, pool, shape[1:])
        planned = PlannedLayer(step.layer, maps.stride, 0)
        return _Value(self.compiler.emit(run, (before.place,), None, maps.n_features, planned), None)

    def _gives_rows(self, step: Step, value: _Value) -> bool:
        """Whether it flattens all that there is of each image."""
        maps = value.maps
        return maps is not None and maps.grid.images == 0 and len(self._traced.shapes.get(step.node, ())) == 2

    def _of_flat(self, step: Step, call: TorchCall, values: list[_Value]) -> _Value | None:
        """A step that reads flattened maps of one order, and does not need whole rows; None for others."""
        maps = values[0].maps
        if maps is None or any(value.maps != maps for value in values):
            return None
        places = tuple(value.place for value in values)
        if call.name in IDENTITIES:
            return values[0]
        if call.function is not None and self._is_alike(step.node):
            run = per_phase(partial(self._runner.run, step.node), step.inputs)
            return _Value(self.compiler.emit(run, places, maps, _numbers(maps)), maps, flat=True)
        weight = call.arguments.get("weight") if call.name == "linear" else None
        weight = self._runner.weight(step.node, "weight", weight) if weight is not None else None
        if weight is None:
            return None
        bias = self._runner.weight(step.node, "bias", call.arguments.get("bias"))
        shaped = weight.detach().reshape(len(weight), *maps.shape[1:])
        kernel = maps.channels_first(shaped, maps.grid.size).contiguous()
        run = partial(_weighed, maps, kernel, bias)
        planned = PlannedLayer(step.layer, maps.stride, weight.numel())
        return _Value(self.compiler.emit(run, places, None, len(weight), planned), None)

    def _is_alike(self, node: fx.Node) -> bool:
        """Whether it is the same function for all features: only single numbers come in beside them."""
        others = (source for source in node.all_input_nodes if source not in self._values)
        return all(
            self._traced.constants[source].ndim == 0
            if source in self._traced.constants
            else isinstance(self._traced.numbers.get(source), int | float)
            for source in others
        )

    def _of_rows(self, step: Step) -> _Value:
        return self._rows(step, [self.by_itself(source) for source in step.inputs])

    def _rows(self, step: Step, places: list[int]) -> _Value:
        """A step that is run for each window."""
        cost = self._costs.get(step.node, 0)
        planned = PlannedLayer(step.layer, (0, 0), cost) if cost else None
        n_numbers = math.prod(self._traced.shapes.get(step.node, (1, 0))[1:])
        run = per_window(partial(self._runner.run, step.node), step.inputs)
        return _Value(self.compiler.emit(run, tuple(places), None, n_numbers, planned), None)

    def _check_size(self, step: Step, values: list[_Value], after: Maps, stride: Pair) -> None:
        """NotCompiled where a step does not run on larger maps, of a row and two columns more after it."""
        tensors = {}
        for source, value in zip(step.inputs, values, strict=True):
            assert value.maps is not None
            height, width = value.maps.grid.size
            larger = value.maps.shape_for(1, (height + stride[0], width + 2 * stride[1]))
            tensors[source] = self._runner.zeros(larger)
        if not self._traced.shapes.get(step.node):
            return
        height, width = after.grid.size
        try:
            answer = self._runner.run(step.node, tensors, 1)
        except RuntimeError:
            answer = None
        if answer is None or tuple(answer.shape) != after.shape_for(1, (height + 1, width + 2)):
            raise NotCompiled(step.layer, "It is written for one size of maps.")

    def _planned(self, step: Step, maps: Maps) -> PlannedLayer:
        return PlannedLayer(step.layer, maps.stride, self._costs.get(step.node, 0))

    def _maps(self, step: Step) -> Maps:
        found = self._where[step.node]
        strides = found.stride_px if isinstance(found, Located) else None
        if step.grid is None or strides is None or None in step.grid.axes or step.grid.lead:
            raise NotCompiled(step.layer, "It leaves maps of a shape that windows do not share.")
        shape = self._traced.shapes.get(step.node) or self._traced.shapes.get(step.inputs[0], ())
        if not shape:
            raise NotCompiled(step.layer, "It takes several tensors in one value from another one.")
        return Maps(shape, step.grid, (int(strides[0]), int(strides[1])))


def _merged(operations: tuple[Operation, ...], maps: Maps | None) -> tuple[Operation, ...]:
    """A pool over whole rows or columns, which is read as two operations, as one window again."""
    match operations:
        case (Reduce(axes=axes), Slide() as rest) if maps is not None:
            kernel_size = [maps.grid.size[axis] if axes[axis] else rest.kernel_size[axis] for axis in AXES]
            return (Slide((kernel_size[0], kernel_size[1]), rest.stride, linear=rest.linear),)
    return operations


def _objection(operations: tuple[Operation, ...], maps: Maps | None) -> str:
    """Why windows cannot share a step; empty where they can."""
    assert maps is not None
    unknown = next((o.reason for o in operations if isinstance(o, Unknown)), "")
    if unknown:
        return unknown
    if any(isinstance(operation, Normalise) for operation in operations):
        return "It normalises over positions."
    windows = [operation for operation in operations if isinstance(operation, Slide)]
    objection = next((said for each in windows if (said := _objection_to_window(each, maps.grid.size))), "")
    if objection:
        return objection
    *first, last = operations
    if all(isinstance(operation, Pointwise) for operation in first):
        if isinstance(last, Reduce) and not all(last.axes):
            return "It reduces over other axes than all positions."
        if isinstance(last, Pointwise | Reduce | Flatten | Slide):
            return ""
    return "It is no function of each position, nor of a window around it."


def _objection_to_window(window: Slide, size: Pair) -> str:
    down, right = (max(0, window.before[axis], window.after[axis]) for axis in AXES)
    if down or right:
        text = f"{down}" if down == right else f"{down} × {right}"
        return f"Its padding of {text} gives each window a border of its own."
    if any(_too_short(window, size, axis) for axis in AXES):
        return "It rounds sizes up, so that its last position sees less."
    return ""


def _too_short(window: Slide, size: Pair, axis: Any) -> bool:
    last = (window.n_outputs(axis, size[axis]) - 1) * window.stride[axis]
    return last + window.extent(axis) > size[axis]


def _numbers(maps: Maps) -> int:
    return maps.n_positions * maps.n_features


def _alone(runner: Runner, node: fx.Node, source: fx.Node, maps: Tensor) -> Any:
    return runner.run(node, {source: maps}, len(maps))


def _slide(
    before: Maps,
    after: Maps,
    window: Slide,
    run: Callable[[Tensor], Any],
    n_images: int,
    n_windows: Pair,
    phases: Phases,
) -> Phases:
    return slide(phases, before, after, window, run, n_windows)


def _apart(maps: Maps, n_images: int, n_windows: Pair, phases: Phases) -> Tensor:
    return apart(phases, maps, n_windows)


def _flattened(maps: Maps, n_images: int, n_windows: Pair, phases: Phases) -> Tensor:
    return apart(phases, maps, n_windows).flatten(1)


def _pooled(
    maps: Maps,
    pool: Callable[[Tensor], Tensor],
    shape: tuple[int, ...],
    n_images: int,
    n_windows: Pair,
    phases: Phases,
) -> Tensor:
    rows = pooled(phases, maps, pool, n_windows)
    return rows.reshape(len(rows), *shape)


def _weighed(
    maps: Maps, kernel: Tensor, bias: Tensor | None, n_images: int, n_windows: Pair, phases: Phases
) -> Tensor:
    return weighed(phases, maps, kernel, bias, n_windows)

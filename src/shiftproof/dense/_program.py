"""The steps of a network as instructions that each serve all windows of a canvas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx

from shiftproof.dense._operations import Dense, Elementwise, Maps, Pair, Rows, Slide
from shiftproof.dense._reading import Step, Value
from shiftproof.dense._scan import (
    Phases,
    as_kernel,
    each_phase,
    flatten,
    flatten_and_weigh,
    positions,
    slide,
)

Content = Phases | Tensor
CANVAS = -1


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """One convolution, pool or linear layer of a window plan.

    Args:
        layer: Its path in the network.
        stride: Pixels from one position of its answer to the next, (down, right); of its input for
            a linear layer.
        multiply_adds: Of one window in an ordinary forward pass.
    """

    layer: str
    stride: Pair
    multiply_adds: int


@dataclass(frozen=True, slots=True, eq=False)
class Instruction:
    """Compute one value from earlier ones, and forget those that nobody reads again.

    Args:
        run: Of the number of windows and the inputs.
        inputs: Places of earlier values; `CANVAS`, or the number of their instruction.
        value: What it gives.
        planned: The layer that it computes, if it has weights or strides.
        forget: Places that are not read again.
    """

    run: Callable[..., Content]
    inputs: tuple[int, ...]
    value: Maps | Rows
    planned: PlannedLayer | None = None
    forget: tuple[int, ...] = ()

    def multiply_adds(self, n_windows: Pair) -> int:
        """For all windows of one canvas."""
        if self.planned is None:
            return 0
        if isinstance(self.value, Rows):
            return n_windows[0] * n_windows[1] * self.planned.multiply_adds
        per_position = self.planned.multiply_adds // (self.value.height * self.value.width)
        return n_positions(self.value, n_windows) * per_position

    def cells(self, n_windows: Pair) -> int:
        """Numbers that it gives for one canvas."""
        if isinstance(self.value, Rows):
            return n_windows[0] * n_windows[1] * self.value.features
        return n_positions(self.value, n_windows) * self.value.channels


def n_positions(maps: Maps, n_windows: Pair) -> int:
    """Distinct positions of the maps of all windows."""
    down = positions(maps.height, maps.stride[0], n_windows[0])
    return down * positions(maps.width, maps.stride[1], n_windows[1])


def run_program(program: tuple[Instruction, ...], canvas: Tensor, n_windows: Pair) -> Tensor:
    """The rows (n · windows, K) that the last instruction gives."""
    contents: dict[int, Content] = {CANVAS: {(0, 0): canvas}}
    for place, instruction in enumerate(program):
        inputs = (contents[source] for source in instruction.inputs)
        contents[place] = instruction.run(n_windows, *inputs)
        for source in instruction.forget:
            del contents[source]
    rows = contents[len(program) - 1]
    assert isinstance(rows, Tensor)
    return rows


def compile_program(steps: tuple[Step, ...]) -> tuple[Instruction, ...]:
    """Instructions for steps of which each can serve all windows; the last one gives rows."""
    compiler = _Compiler()
    for step in steps:
        compiler.add(step)
    compiler.rows_of(steps[-1].node)
    return compiler.finished()


class _Compiler:
    """Turns steps into instructions; flattens maps only where a step needs them as rows."""

    def __init__(self) -> None:
        self._program: list[Instruction] = []
        self._place: dict[fx.Node, int] = {}
        self._values: dict[fx.Node, Value] = {}
        self._flat: dict[tuple[int, Maps], int] = {}  # By place and the order of axes.

    def add(self, step: Step) -> None:
        self._values[step.node] = step.value
        self._place[step.node] = self._add(step)

    def rows_of(self, node: fx.Node) -> int:
        """Where the rows of a step are, flattened if need be."""
        value, place = self._values[node], self._place[node]
        if not isinstance(value, Rows) or value.source is None:
            return place
        key = (place, value.source)
        if key not in self._flat:
            run = partial(_flatten, value.source)
            self._flat[key] = self._emit(Instruction(run, (place,), Rows(value.features)))
        return self._flat[key]

    def finished(self) -> tuple[Instruction, ...]:
        last_read = {place: i for i, instruction in enumerate(self._program) for place in instruction.inputs}
        return tuple(
            replace(instruction, forget=tuple(p for p in set(instruction.inputs) if last_read[p] == i))
            for i, instruction in enumerate(self._program)
        )

    def _emit(self, instruction: Instruction) -> int:
        self._program.append(instruction)
        return len(self._program) - 1

    def _add(self, step: Step) -> int:
        match step.operation:
            case Slide() as operation:
                return self._slide(step, operation)
            case Dense() as operation:
                return self._dense(step, operation)
            case Elementwise(fn=fn):
                return self._elementwise(step, fn)
            case _:
                return self._place[step.inputs[0]] if step.inputs else CANVAS

    def _slide(self, step: Step, operation: Slide) -> int:
        (source,) = step.inputs
        before = self._values[source]
        after = step.value.source if isinstance(step.value, Rows) else step.value
        assert isinstance(before, Maps)
        assert after is not None
        direct = after.height * after.width * operation.multiply_adds
        planned = PlannedLayer(step.layer, after.stride, direct)
        run = partial(_slide, before, after, operation)
        return self._emit(Instruction(run, (self._place[source],), after, planned))

    def _dense(self, step: Step, operation: Dense) -> int:
        (source,) = step.inputs
        before = self._values[source]
        maps = before.source if isinstance(before, Rows) else None
        run: Callable[..., Content] = partial(_linear, operation)
        if maps is not None:
            run = partial(_flatten_and_weigh, maps.stride, as_kernel(operation.weight, maps), operation.bias)
        planned = PlannedLayer(step.layer, maps.stride if maps else (0, 0), operation.weight.numel())
        value = Rows(len(operation.weight))
        return self._emit(Instruction(run, (self._place[source],), value, planned))

    def _elementwise(self, step: Step, fn: Callable[..., Tensor]) -> int:
        value = step.value
        assert value is not None
        maps = value.source if isinstance(value, Rows) else value
        at_once = maps is not None
        places = tuple(self._place[s] if at_once else self.rows_of(s) for s in step.inputs)
        run = partial(_each_phase if at_once else _each_row, fn)
        return self._emit(Instruction(run, places, maps or value))


def _slide(before: Maps, after: Maps, layer: Slide, n_windows: Pair, phases: Phases) -> Phases:
    return slide(phases, before, after, layer, n_windows)


def _each_phase(fn: Callable[..., Tensor], n_windows: Pair, *inputs: Phases) -> Phases:
    return each_phase(fn, *inputs)


def _each_row(fn: Callable[..., Tensor], n_windows: Pair, *rows: Tensor) -> Tensor:
    return fn(*rows)


def _flatten(maps: Maps, n_windows: Pair, phases: Phases) -> Tensor:
    return flatten(phases, maps, n_windows)


def _linear(layer: Dense, n_windows: Pair, rows: Tensor) -> Tensor:
    return F.linear(rows, layer.weight, layer.bias)


def _flatten_and_weigh(
    stride: Pair, kernel: Tensor, bias: Tensor | None, n_windows: Pair, phases: Phases
) -> Tensor:
    return flatten_and_weigh(phases, stride, kernel, bias, n_windows)

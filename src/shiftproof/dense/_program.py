"""The steps of a network as instructions that each serve all windows of a canvas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx

from shiftproof.anatomy import Pair
from shiftproof.dense._maps import Maps
from shiftproof.dense._scan import Phases, positions

Content = Phases | Tensor
CANVAS = -1
# Of the number of images, that of windows, and the inputs.
Step = Callable[..., Content]


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
        run: Of the number of images, that of windows, and the inputs.
        inputs: Places of earlier values; `CANVAS`, or the number of their instruction.
        maps: What it gives; None for one row, or maps, of each window by itself.
        n_numbers: Of one window.
        planned: The layer that it computes, if it has weights or strides.
        forget: Places that are not read again.
    """

    run: Step
    inputs: tuple[int, ...]
    maps: Maps | None
    n_numbers: int
    planned: PlannedLayer | None = None
    forget: tuple[int, ...] = ()

    def multiply_adds(self, n_windows: Pair) -> int:
        """For all windows of one canvas."""
        if self.planned is None:
            return 0
        if self.maps is None:
            return n_windows[0] * n_windows[1] * self.planned.multiply_adds
        per_position = self.planned.multiply_adds // self.maps.n_positions
        return all_positions(self.maps, n_windows) * per_position

    def cells(self, n_windows: Pair) -> int:
        """Numbers that it gives for one canvas."""
        if self.maps is None:
            return n_windows[0] * n_windows[1] * self.n_numbers
        return all_positions(self.maps, n_windows) * self.maps.n_features


def all_positions(maps: Maps, n_windows: Pair) -> int:
    """Distinct positions of the maps of all windows."""
    down = positions(maps.grid.size[0], maps.stride[0], n_windows[0])
    return down * positions(maps.grid.size[1], maps.stride[1], n_windows[1])


def run_program(program: tuple[Instruction, ...], canvas: Tensor, n_windows: Pair) -> Tensor:
    """What the last instruction gives, (n · windows, …)."""
    contents: dict[int, Content] = {CANVAS: {(0, 0): canvas}}
    for place, instruction in enumerate(program):
        inputs = (contents[source] for source in instruction.inputs)
        contents[place] = instruction.run(len(canvas), n_windows, *inputs)
        for source in instruction.forget:
            del contents[source]
    rows = contents[len(program) - 1]
    assert isinstance(rows, Tensor)
    return rows


class Compiler:
    """Collects instructions, and remembers where the value of each step is."""

    def __init__(self) -> None:
        self.program: list[Instruction] = []
        self.places: dict[fx.Node, int] = {}

    def emit(
        self,
        run: Step,
        inputs: tuple[int, ...],
        maps: Maps | None,
        n_numbers: int,
        planned: PlannedLayer | None = None,
    ) -> int:
        """Where the value of a new instruction will be."""
        self.program.append(Instruction(run, inputs, maps, n_numbers, planned))
        return len(self.program) - 1

    def finished(self, answer: int) -> tuple[Instruction, ...]:
        """All instructions up to the answer, each of which forgets what is read for the last time."""
        program = self.program[: answer + 1]
        last_read = {place: i for i, instruction in enumerate(program) for place in instruction.inputs}
        return tuple(
            replace(instruction, forget=tuple(p for p in set(instruction.inputs) if last_read[p] == i))
            for i, instruction in enumerate(program)
        )


# Of what a step reads, and of how many images that is.
Run = Callable[[Mapping[fx.Node, Any], int], Any]


def per_phase(run: Run, nodes: tuple[fx.Node, ...]) -> Step:
    """A step that is run on the maps of each phase."""

    def step(n_images: int, n_windows: Pair, *inputs: Phases) -> Phases:
        return {
            phase: run({node: phases[phase] for node, phases in zip(nodes, inputs, strict=True)}, n_images)
            for phase in inputs[0]
        }

    return step


def per_window(run: Run, nodes: tuple[fx.Node, ...]) -> Step:
    """A step that is run on what all windows have by themselves, as on a batch of so many images."""

    def step(n_images: int, n_windows: Pair, *inputs: Tensor) -> Tensor:
        n_rows = n_images * n_windows[0] * n_windows[1]
        answer: Tensor = run(dict(zip(nodes, inputs, strict=True)), n_rows)
        return answer

    return step

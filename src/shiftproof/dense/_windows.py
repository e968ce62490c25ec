"""The answers of a network to every window of a canvas, for far less than one pass for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from shiftproof.anatomy import Reason, trace
from shiftproof.dense._operations import Maps, Pair, Slide, Unknown
from shiftproof.dense._program import (
    Instruction,
    PlannedLayer,
    compile_program,
    n_positions,
    run_program,
)
from shiftproof.dense._reading import Step, read_steps
from shiftproof.dense._refusal import NotPlanned
from shiftproof.errors import ShapeError
from shiftproof.zoo import ImageShape

# What one instruction reads and writes for a batch of images, at most. Larger batches leave the
# cache of a core between one layer and the next; smaller ones wait for Python.
WORKING_SET_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, eq=False)
class WindowPlan:
    """How to compute the answers to all windows of a canvas; made by `plan_windows`.

    It holds the weights as they were when it was made. Threads may share it.

    Args:
        image_shape: (C, H, W) of a window.
        layers: Its convolutions, pools and linear layers, in the order in which they run.
        total_stride: Pixels from one position of the coarsest maps to the next, (down, right).
    """

    image_shape: ImageShape
    layers: tuple[PlannedLayer, ...]
    total_stride: Pair
    _program: tuple[Instruction, ...] = field(repr=False)

    @torch.inference_mode()
    def answer(self, canvas: Tensor, n_windows: Pair) -> Tensor:
        """The network's answer to each window of each canvas.

        Args:
            canvas: Shape (n, C, H + ny − 1, W + nx − 1), with dtype and device of the network.
            n_windows: (ny, nx), windows from top to bottom and from left to right.

        Returns:
            Shape (n, ny, nx, K); [i, y, x] is the answer to canvas[i, :, y : y + H, x : x + W].

        Raises:
            ShapeError: The canvas does not have that shape.
        """
        channels, height, width = self.image_shape
        expected = (channels, height + n_windows[0] - 1, width + n_windows[1] - 1)
        if canvas.ndim != 4 or tuple(canvas.shape[1:]) != expected or min(n_windows) < 1:
            raise ShapeError(
                f"a canvas of shape (n, {', '.join(map(str, expected))}) for {n_windows} windows",
                tuple(canvas.shape),
            )
        rows = run_program(self._program, _channels_last(canvas), n_windows)
        return rows.reshape(len(canvas), *n_windows, -1)

    def multiply_adds(self, n_windows: Pair) -> int:
        """Of convolutions and linear layers, for all windows of one canvas."""
        return sum(instruction.multiply_adds(n_windows) for instruction in self._program)

    @property
    def direct_multiply_adds(self) -> int:
        """Of convolutions and linear layers, for one window in an ordinary forward pass."""
        return sum(layer.multiply_adds for layer in self.layers)

    def images_per_batch(self, n_windows: Pair) -> int:
        """How many canvases to give to one call of `answer`, so that it neither waits nor spills."""
        channels, *_ = self.image_shape
        cells = [instruction.cells(n_windows) for instruction in self._program]
        cells.append(channels * n_positions(Maps(*self.image_shape), n_windows))  # At `CANVAS`, -1.
        largest = max(
            cells[place] + sum(cells[source] for source in instruction.inputs)
            for place, instruction in enumerate(self._program)
        )
        return max(1, WORKING_SET_BYTES // (4 * largest))


def plan_windows(module: nn.Module, image_shape: ImageShape) -> WindowPlan | NotPlanned:
    """Find how a network's answers to all windows of a canvas can share their work.

    They can where no layer looks outside its window: convolutions and pools without padding,
    functions of each position, flattening or global pooling, and then anything on rows.

    Args:
        module: Images (N, C, H, W) to logits (N, K), in evaluation mode. While it is planned, no
            other thread may run any module: torch.fx patches the class of all.
        image_shape: (C, H, W) of one window.

    Returns:
        A plan whose answers are those of the network up to the order of sums, or the layer that
        stands in the way.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> plan = plan_windows(build_network("cnn2").eval(), (1, 28, 28))
        >>> plan.total_stride, plan.answer(torch.zeros(3, 1, 44, 44), (17, 17)).shape
        ((4, 4), torch.Size([3, 17, 17, 10]))
        >>> padded = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten()).eval()
        >>> print(plan_windows(padded, (1, 4, 4)))
        0: Its padding of 1 gives each window a border of its own.
    """
    traced = trace(module, image_shape)
    if isinstance(traced, Reason):
        return NotPlanned.because(traced)
    steps = read_steps(traced)
    for step in steps:
        objection = _objection(step)
        if objection:
            return NotPlanned(step.layer, objection)
    if traced.mixed is not None:
        return NotPlanned.because(traced.mixed)
    with torch.no_grad():
        program = compile_program(steps)
    strides = [step.value.stride for step in steps if isinstance(step.value, Maps)]
    total = math.lcm(*(down for down, _ in strides)), math.lcm(*(right for _, right in strides))
    layers = tuple(i.planned for i in program if i.planned is not None)
    return WindowPlan(image_shape, layers, total, program)


def _objection(step: Step) -> str:
    """Why windows cannot share this step; empty where they can."""
    if isinstance(step.operation, Unknown):
        return step.operation.reason
    if isinstance(step.operation, Slide) and any(step.operation.padding):
        down, right = step.operation.padding
        size = f"{down}" if down == right else f"{down} × {right}"
        return f"Its padding of {size} gives each window a border of its own."
    return ""


def _channels_last(canvas: Tensor) -> Tensor:
    """The canvas with channels last, and strides that say so, also for a single channel."""
    n, channels, height, width = canvas.shape
    if channels > 1:
        return canvas.contiguous(memory_format=torch.channels_last)
    return canvas.reshape(n, height, width, 1).permute(0, 3, 1, 2)

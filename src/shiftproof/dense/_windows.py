"""The answers of a network to every window of a canvas, for far less than one pass for each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from shiftproof.anatomy import Pair, Reason, locate, read_network
from shiftproof.dense._compile import NotCompiled, compile_program
from shiftproof.dense._costs import multiply_adds
from shiftproof.dense._program import Instruction, PlannedLayer, run_program
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
        channels, height, width = self.image_shape
        cells = [instruction.cells(n_windows) for instruction in self._program]
        canvas_px = (height + n_windows[0] - 1) * (width + n_windows[1] - 1)
        cells.append(channels * canvas_px)  # At `CANVAS`, -1.
        largest = max(
            cells[place] + sum(cells[source] for source in instruction.inputs)
            for place, instruction in enumerate(self._program)
        )
        return max(1, WORKING_SET_BYTES // (4 * largest))


def plan_windows(module: nn.Module, image_shape: ImageShape) -> WindowPlan | NotPlanned:
    """Find how a network's answers to all windows of a canvas can share their work.

    They can where no layer looks outside its window: convolutions and pools without padding, crops,
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
    steps = read_network(module, image_shape, any_answer=False)
    if isinstance(steps, Reason):
        return NotPlanned.because(steps)
    try:
        with torch.no_grad():
            costs = multiply_adds(steps.trace, image_shape)
            program = compile_program(steps, locate(steps), costs)
    except NotCompiled as refused:
        return NotPlanned.because(refused.reason)
    if steps.trace.mixed is not None:
        return NotPlanned.because(steps.trace.mixed)
    strides = [i.maps.stride for i in program if i.maps is not None]
    total = math.lcm(*(down for down, _ in strides)), math.lcm(*(right for _, right in strides))
    layers = tuple(i.planned for i in program if i.planned is not None)
    return WindowPlan(image_shape, layers, total, program)


def _channels_last(canvas: Tensor) -> Tensor:
    """A copy with channels last, and strides that say so, also for a single channel."""
    n, channels, height, width = canvas.shape
    if channels > 1:
        return canvas.clone(memory_format=torch.channels_last)
    return canvas.clone().reshape(n, height, width, 1).permute(0, 3, 1, 2)

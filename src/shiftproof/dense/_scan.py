"""Every window of a canvas at once: maps at the positions of all windows, sorted by phase.

A window's maps step over the canvas by the running stride s. Windows whose top-left corners agree
modulo s see the same grid of positions, so the maps of each of these s² phases are ordinary maps,
a little larger than those of one window, and the next layer runs on them as it is (fast scanning).

Source: A. Giusti et al., Fast Image Scanning with Deep Max-Pooling Convolutional Neural Networks,
2013, arXiv:1302.1700; P. Sermanet et al., OverFeat, 2013, arXiv:1312.6229, sec. 3.3.
Each phase has its own exact size here, so that nothing is computed for windows nobody asked for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shiftproof.dense._operations import Maps, Pair, Slide

# Phase (down, right) to maps (n, C, height + windows − 1, width + windows − 1).
Phases = dict[Pair, Tensor]


def windows_in_phase(phase: int, n_windows: int, stride: int) -> int:
    """Windows along one axis whose corner is `phase` modulo the stride.

    Example:
        >>> [windows_in_phase(phase, 17, 4) for phase in range(4)]
        [5, 4, 4, 4]
    """
    return len(range(phase, n_windows, stride))


def positions(size: int, stride: int, n_windows: int) -> int:
    """Distinct positions along one axis that the maps of all windows have together.

    Example:
        >>> positions(12, 2, 17), positions(28, 1, 17)
        (39, 44)
    """
    phases = range(min(stride, n_windows))
    return sum(windows_in_phase(phase, n_windows, stride) + size - 1 for phase in phases)


def slide(phases: Phases, before: Maps, after: Maps, layer: Slide, n_windows: Pair) -> Phases:
    """Run a convolution or a pool on maps of all windows; each of its steps makes a phase of its own."""
    answer: Phases = {}
    for (down, right), maps in phases.items():
        for step_down in range(layer.stride[0]):
            for step_right in range(layer.stride[1]):
                phase = (down + before.stride[0] * step_down, right + before.stride[1] * step_right)
                rows = _reach(phase[0], 0, after.height, layer, after.stride, n_windows)
                columns = _reach(phase[1], 1, after.width, layer, after.stride, n_windows)
                if rows and columns:
                    part = maps[:, :, step_down : step_down + rows, step_right : step_right + columns]
                    answer[phase] = layer.fn(part)
    return answer


def _reach(phase: int, axis: int, size: int, layer: Slide, stride: Pair, n_windows: Pair) -> int:
    """Positions before a layer that the windows of one phase need along one axis; 0 without windows."""
    n = windows_in_phase(phase, n_windows[axis], stride[axis])
    return (size + n - 2) * layer.stride[axis] + layer.extent[axis] if n else 0


def each_phase(fn: Callable[..., Tensor], *inputs: Phases) -> Phases:
    """Run a function of each position on maps of all windows."""
    return {phase: fn(*(maps[phase] for maps in inputs)) for phase in inputs[0]}


def flatten(phases: Phases, maps: Maps, n_windows: Pair) -> Tensor:
    """One row (n · windows, F) for each window: its maps, in the order in which the network flattens."""
    letters = maps.axes[1:].replace("l", "hw")

    def windows(part: Tensor) -> Tensor:
        views = part.unfold(2, maps.height, 1).unfold(3, maps.width, 1)
        order = {"c": 1, "h": 4, "w": 5}
        return views.permute(0, 2, 3, *(order[letter] for letter in letters))

    return _in_order({phase: windows(part) for phase, part in phases.items()}, maps.stride, n_windows)


def flatten_and_weigh(
    phases: Phases, stride: Pair, weight: Tensor, bias: Tensor | None, n_windows: Pair
) -> Tensor:
    """A linear layer on the flattened maps of each window, as a convolution: (n · windows, K)."""
    answers = {phase: F.conv2d(maps, weight, bias).permute(0, 2, 3, 1) for phase, maps in phases.items()}
    return _in_order(answers, stride, n_windows)


def as_kernel(weight: Tensor, maps: Maps) -> Tensor:
    """Weights (K, F) for flattened maps as those of a convolution (K, C, height, width)."""
    letters = maps.axes[1:].replace("l", "hw")
    sizes = {"c": maps.channels, "h": maps.height, "w": maps.width}
    kernel = weight.reshape(len(weight), *(sizes[letter] for letter in letters))
    order = (0, *(1 + letters.index(letter) for letter in "chw"))
    return kernel.permute(order).contiguous(memory_format=torch.channels_last)


def _in_order(answers: Phases, stride: Pair, n_windows: Pair) -> Tensor:
    """Answers (n, windows down, windows right, ...) of each phase as rows in the order of the windows."""
    first = next(iter(answers.values()))
    n, _, _, *rest = first.shape
    if len(answers) == 1:
        return first.reshape(n * n_windows[0] * n_windows[1], -1)
    rows = first.new_empty(n, *n_windows, *rest)
    for (down, right), answer in answers.items():
        rows[:, down :: stride[0], right :: stride[1]] = answer
    return rows.reshape(n * n_windows[0] * n_windows[1], -1)

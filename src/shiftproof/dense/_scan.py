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
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shiftproof.anatomy import Axis, Pair, Slide
from shiftproof.dense._maps import Maps

# Phase (down, right) to maps whose sizes are those of a window and as many more as there are other windows.
Phases = dict[Pair, Any]


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


def size_in_phase(maps: Maps, phase: Pair, n_windows: Pair) -> Pair:
    """Rows and columns of the maps of one phase."""
    axes = zip(maps.grid.size, phase, n_windows, maps.stride, strict=True)
    down, right = (size + windows_in_phase(at, n, stride) - 1 for size, at, n, stride in axes)
    return down, right


def slide(
    phases: Phases, before: Maps, after: Maps, window: Slide, run: Callable[[Tensor], Any], n_windows: Pair
) -> Phases:
    """Run a convolution, a pool or a crop on maps of all windows; each step makes a phase of its own."""
    answer: Phases = {}
    rows, columns = before.grid.axes
    assert rows is not None
    assert columns is not None
    for (down, right), maps in phases.items():
        for step_down in range(window.stride[0]):
            for step_right in range(window.stride[1]):
                phase = (down + before.stride[0] * step_down, right + before.stride[1] * step_right)
                height = _reach(phase, 0, after, window, n_windows)
                width = _reach(phase, 1, after, window, n_windows)
                if height and width:
                    part = maps.narrow(rows, step_down, height).narrow(columns, step_right, width)
                    answer[phase] = run(part)
    return answer


def _reach(phase: Pair, axis: Axis, after: Maps, window: Slide, n_windows: Pair) -> int:
    """Positions before a layer that the windows of one phase need along one axis; 0 without windows."""
    n = windows_in_phase(phase[axis], n_windows[axis], after.stride[axis])
    cut_off = -(window.before[axis] + window.after[axis])
    return (after.grid.size[axis] + n - 2) * window.stride[axis] + window.extent(axis) + cut_off if n else 0


def pooled(phases: Phases, maps: Maps, pool: Callable[[Tensor], Tensor], n_windows: Pair) -> Tensor:
    """One row (n · windows, C) for each window, of a pool over all of its positions."""
    answers = {
        phase: pool(maps.channels_first(part, size_in_phase(maps, phase, n_windows))).permute(0, 2, 3, 1)
        for phase, part in phases.items()
    }
    return _in_order(answers, maps.stride, n_windows)


def apart(phases: Phases, maps: Maps, n_windows: Pair) -> Tensor:
    """The maps of each window by themselves, as the network holds them, (n · windows, …)."""
    height, width = maps.grid.size

    def windows(phase: Pair, part: Tensor) -> Tensor:
        square = maps.channels_first(part, size_in_phase(maps, phase, n_windows))
        return square.unfold(2, height, 1).unfold(3, width, 1).permute(0, 2, 3, 1, 4, 5)

    rows = _in_order({phase: windows(phase, part) for phase, part in phases.items()}, maps.stride, n_windows)
    return maps.as_held(rows.reshape(len(rows), -1, height, width))


def weighed(phases: Phases, maps: Maps, kernel: Tensor, bias: Tensor | None, n_windows: Pair) -> Tensor:
    """A linear layer on the flattened maps of each window, as a convolution: (n · windows, K)."""
    answers = {
        phase: F.conv2d(
            maps.channels_first(part, size_in_phase(maps, phase, n_windows)), kernel, bias
        ).permute(0, 2, 3, 1)
        for phase, part in phases.items()
    }
    return _in_order(answers, maps.stride, n_windows)


def _in_order(answers: Phases, stride: Pair, n_windows: Pair) -> Tensor:
    """Answers (n, windows down, windows right, ...) of each phase as rows in the order of the windows."""
    first: Tensor = next(iter(answers.values()))
    n, _, _, *rest = first.shape
    if len(answers) == 1:
        return first.reshape(n * n_windows[0] * n_windows[1], -1)
    rows = first.new_empty(n, *n_windows, *rest)
    for (down, right), answer in answers.items():
        rows[:, down :: stride[0], right :: stride[1]] = answer
    return rows.reshape(n * n_windows[0] * n_windows[1], -1)

"""Values whose positions go around a circle, wherever these lie in the tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from shiftproof.anatomy._operations import Pair, PositionGrid


def rolled(value: Tensor, grid: PositionGrid, by: Pair) -> Tensor:
    """A copy that is rolled by so many positions, down and to the right; what stands beside them stays.

    Example:
        >>> tokens = torch.tensor([[9, 0, 1, 2, 3]])  # a class token, and 2 × 2 positions
        >>> rolled(tokens, PositionGrid((2, 2), (1, 1), lead=1), (0, 1))
        tensor([[9, 1, 0, 3, 2]])
    """
    line = grid.axes[0]
    if line is None or not grid.is_joint:
        axes = [(amount, axis) for amount, axis in zip(by, grid.axes, strict=True) if axis is not None]
        return torch.roll(value, [amount for amount, _ in axes], [axis for _, axis in axes])
    lead, positions = value.tensor_split([grid.lead], line)
    square = positions.reshape(*positions.shape[:line], *grid.size, *positions.shape[line + 1 :])
    return torch.cat([lead, torch.roll(square, by, (line, line + 1)).flatten(line, line + 1)], line)

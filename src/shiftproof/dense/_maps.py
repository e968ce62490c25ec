"""Feature maps of one window, in whichever order of axes a network holds them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from shiftproof.anatomy import Pair, PositionGrid


@dataclass(frozen=True, slots=True)
class Maps:
    """Feature maps.

    Args:
        shape: Of the tensor.
        grid: Where their positions lie in it.
        stride: Pixels from one position to the next, (down, right).
    """

    shape: tuple[int, ...]
    grid: PositionGrid
    stride: Pair

    @property
    def n_positions(self) -> int:
        """Of one window."""
        return math.prod(self.grid.size)

    @property
    def n_features(self) -> int:
        """At each position."""
        return math.prod(self.shape[axis] for axis in self._features)

    def shape_for(self, n_images: int, size: Pair) -> tuple[int, ...]:
        """The shape for so many images, and maps of another size.

        Example:
            >>> Maps((2, 20, 3), PositionGrid((4, 5), (1, 1)), (1, 1)).shape_for(7, (6, 6))
            (7, 36, 3)
        """
        shape = list(self.shape)
        shape[self.grid.images] = n_images
        rows, columns = self.grid.axes
        assert rows is not None
        assert columns is not None
        shape[rows], shape[columns] = (math.prod(size),) * 2 if self.grid.is_joint else size
        return tuple(shape)

    def channels_first(self, tensor: Tensor, size: Pair) -> Tensor:
        """As (N, C, H, W), for maps of that size; a view where that is possible."""
        line = self.grid.axes[0]
        square = tensor
        if line is not None and self.grid.is_joint:
            square = tensor.reshape(*tensor.shape[:line], *size, *tensor.shape[line + 1 :])
        return square.permute(self._order).reshape(tensor.shape[self.grid.images], -1, *size)

    def as_held(self, maps: Tensor) -> Tensor:
        """Maps (N, C, H, W) of one window each in the order of the network."""
        features = [self.shape[axis] for axis in self._features]
        square = maps.reshape(len(maps), *features, *maps.shape[2:])
        order = self._order
        held = square.permute([order.index(axis) for axis in range(len(order))])
        line = self.grid.axes[0]
        return held.flatten(line, line + 1) if line is not None and self.grid.is_joint else held

    @property
    def _features(self) -> list[int]:
        places = {self.grid.images, *self.grid.axes}
        return [axis for axis in range(len(self.shape)) if axis not in places]

    @property
    def _order(self) -> list[int]:
        """Images, features, rows, columns: their axes once a line has become rows and columns."""
        rows, columns = self.grid.axes
        assert rows is not None
        assert columns is not None
        images, features = self.grid.images, self._features
        if self.grid.is_joint:
            images, *features = (axis + (axis > rows) for axis in (images, *features))
            columns = rows + 1
        return [images, *features, rows, columns]

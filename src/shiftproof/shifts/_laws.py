"""Laws of shifts: which offsets are drawn for an image. Frozen records, no state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from shiftproof.errors import OptionError

Unit = Literal["px", "image"]


class Law(Protocol):
    """A rule that gives every image its offsets.

    Args of `draw`:
        n_images: How many images.
        size_px: (height, width) of the images.
        generator: Source of randomness; a law without randomness leaves it alone.

    Returns of `draw`:
        float64 offsets (dy, dx) in pixels: shape (S, 2) where all images share them, or (N, S, 2).
        The first rows do not depend on `n_images`, so a smaller run is a prefix of a larger one.
    """

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor: ...


@dataclass(frozen=True, slots=True)
class Grid:
    """Every integer offset of a square grid around the origin, the same for all images.

    Args:
        radius_px: Largest offset in either axis.
        step_px: Distance of neighbours; must divide `radius_px`.

    Example:
        >>> Grid(1).draw(0, (28, 28), torch.Generator())[:4].tolist()
        [[-1.0, -1.0], [-1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]]
    """

    radius_px: int
    step_px: int = 1

    def __post_init__(self) -> None:
        if self.radius_px < 0 or self.step_px < 1 or self.radius_px % self.step_px:
            raise OptionError(
                "a radius of at least 0 px that is a multiple of the step",
                f"radius {self.radius_px} px, step {self.step_px} px",
            )

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        axis = torch.arange(-self.radius_px, self.radius_px + 1, self.step_px, dtype=torch.float64)
        return torch.cartesian_prod(axis, axis)


@dataclass(frozen=True, slots=True)
class UniformBox:
    """Continuous offsets, uniform in [−dy, dy] × [−dx, dx], drawn for each image.

    Args:
        dy: Largest vertical offset.
        dx: Largest horizontal offset.
        unit: `px`, or `image` for a fraction of the height and of the width.
        n_draws: Offsets per image.

    Example:
        >>> law = UniformBox(3, 4)
        >>> law.draw(5, (28, 28), torch.Generator().manual_seed(0)).shape
        torch.Size([5, 1, 2])
    """

    dy: float
    dx: float
    unit: Unit = "px"
    n_draws: int = 1

    def __post_init__(self) -> None:
        _check_box(self.dy, self.dx, self.n_draws)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        limit = torch.tensor([self.dy, self.dx], dtype=torch.float64)
        if self.unit == "image":
            limit = limit * torch.tensor(size_px, dtype=torch.float64)
        uniform = torch.rand(n_images, self.n_draws, 2, dtype=torch.float64, generator=generator)
        return (2 * uniform - 1) * limit


@dataclass(frozen=True, slots=True)
class IntegerBox:
    """Integer offsets, uniform in {−dy, …, dy} × {−dx, …, dx}, drawn for each image.

    Args:
        dy: Largest vertical offset in pixels.
        dx: Largest horizontal offset in pixels.
        n_draws: Offsets per image.

    Example:
        >>> law = IntegerBox(1, 1)
        >>> law.draw(500, (28, 28), torch.Generator().manual_seed(0)).unique().tolist()
        [-1.0, 0.0, 1.0]
    """

    dy: int
    dx: int
    n_draws: int = 1

    def __post_init__(self) -> None:
        _check_box(self.dy, self.dx, self.n_draws)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        limit = torch.tensor([self.dy, self.dx], dtype=torch.float64)
        uniform = torch.rand(n_images, self.n_draws, 2, dtype=torch.float64, generator=generator)
        return (uniform * (2 * limit + 1)).floor() - limit


def _check_box(dy: float, dx: float, n_draws: int) -> None:
    if not (0 <= dy < float("inf") and 0 <= dx < float("inf")):
        raise OptionError("finite offsets of at least 0", (dy, dx))
    if n_draws < 1:
        raise OptionError("at least one draw per image", n_draws)

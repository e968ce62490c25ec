"""Laws of shifts: which offsets are drawn for an image. Frozen records, no state."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from shiftproof.errors import OptionError

Unit = Literal["px", "image"]
# Beyond any image and any patience; a file or a reference may say anything.
MAX_PX = 1_000_000
MAX_SHIFTS = 1_000_000
MAX_DRAWN = 100_000_000


def _check(offset_px: float, n_shifts: int) -> None:
    """`OptionError` for a law that reaches too far, or has more offsets than anyone can wait for."""
    if not 0 <= offset_px <= MAX_PX:
        raise OptionError(f"offsets from 0 to {MAX_PX:,} px", f"{offset_px} px")
    if not 1 <= n_shifts <= MAX_SHIFTS:
        raise OptionError(f"from 1 to {MAX_SHIFTS:,} shifts for each image", f"{n_shifts:,}")


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

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """Whole pixels that no offset of this law exceeds, in y and in x."""


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
        _check(self.radius_px, (2 * self.radius_px // self.step_px + 1) ** 2)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        axis = torch.arange(-self.radius_px, self.radius_px + 1, self.step_px, dtype=torch.float64)
        return torch.cartesian_prod(axis, axis)

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The radius, in both axes."""
        return self.radius_px, self.radius_px


@dataclass(frozen=True, slots=True)
class Ring:
    """Every integer offset on the edge of a square around the origin, the same for all images.

    Args:
        radius_px: The larger of the two distances, |dy| and |dx|.

    Example:
        >>> len(Ring(1).draw(0, (28, 28), torch.Generator()))
        8
    """

    radius_px: int

    def __post_init__(self) -> None:
        if self.radius_px < 1:
            raise OptionError("a ring of at least 1 px", f"{self.radius_px} px")
        # It is cut out of the whole grid.
        _check(self.radius_px, (2 * self.radius_px + 1) ** 2)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        grid = Grid(self.radius_px).draw(n_images, size_px, generator)
        return grid[grid.abs().amax(1) == self.radius_px]

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The radius, in both axes."""
        return self.radius_px, self.radius_px


@dataclass(frozen=True, slots=True)
class Diagonal:
    """The offsets (t, t) for every integer t from −radius to radius, the same for all images.

    Args:
        radius_px: Largest offset in either axis.

    Example:
        >>> Diagonal(1).draw(0, (28, 28), torch.Generator()).tolist()
        [[-1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]
    """

    radius_px: int

    def __post_init__(self) -> None:
        if self.radius_px < 0:
            raise OptionError("a radius of at least 0 px", f"{self.radius_px} px")
        _check(self.radius_px, 2 * self.radius_px + 1)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        steps = torch.arange(-self.radius_px, self.radius_px + 1, dtype=torch.float64)
        return steps[:, None].expand(-1, 2).contiguous()

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The radius, in both axes."""
        return self.radius_px, self.radius_px


@dataclass(frozen=True, slots=True)
class RelativeGrid:
    """A grid of n × n offsets that reaches a share of the image, the same for all images.

    The reach is rounded to whole pixels; what lies between may be fractions.

    Args:
        share: Reach in either direction, as a share of the height and of the width.
        n_steps: Offsets per axis, odd so that 0 is among them.

    Example:
        >>> RelativeGrid(0.1, 5).draw(0, (28, 28), torch.Generator())[::5, 0].tolist()
        [-3.0, -1.5, 0.0, 1.5, 3.0]
    """

    share: float
    n_steps: int

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1 or self.n_steps < 1 or self.n_steps % 2 == 0:
            raise OptionError(
                "a share in [0, 1) and an odd number of steps", f"{self.share}, {self.n_steps} steps"
            )
        _check(0, self.n_steps**2)

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        dy, dx = (
            torch.linspace(-reach, reach, self.n_steps, dtype=torch.float64)
            for reach in self.reach_px(size_px)
        )
        return torch.cartesian_prod(dy, dx)

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The share of height and of width, to the nearest whole pixel."""
        return round(self.share * size_px[0]), round(self.share * size_px[1])


@dataclass(frozen=True, slots=True)
class Offsets:
    """The offsets that are listed, the same for all images.

    Args:
        offsets_px: (dy, dx) in pixels, at least one.

    Example:
        >>> Offsets(((0, 0.5),)).reach_px((28, 28))
        (0, 1)
    """

    offsets_px: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.offsets_px or not all(math.isfinite(d) for pair in self.offsets_px for d in pair):
            raise OptionError("at least one finite offset (dy, dx)", self.offsets_px)
        _check(max(abs(d) for pair in self.offsets_px for d in pair), len(self.offsets_px))

    def draw(self, n_images: int, size_px: tuple[int, int], generator: torch.Generator) -> Tensor:
        return torch.tensor(self.offsets_px, dtype=torch.float64)

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The largest offset in each axis, rounded up."""
        dy, dx = zip(*self.offsets_px, strict=True)
        return math.ceil(max(map(abs, dy))), math.ceil(max(map(abs, dx)))


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
        limit = torch.tensor(self._limits_px(size_px), dtype=torch.float64)
        uniform = _uniform(n_images, self.n_draws, generator)
        return (2 * uniform - 1) * limit

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The largest offset in each axis, rounded up."""
        dy, dx = self._limits_px(size_px)
        return math.ceil(dy), math.ceil(dx)

    def _limits_px(self, size_px: tuple[int, int]) -> tuple[float, float]:
        return (self.dy * size_px[0], self.dx * size_px[1]) if self.unit == "image" else (self.dy, self.dx)


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
        uniform = _uniform(n_images, self.n_draws, generator)
        return (uniform * (2 * limit + 1)).floor() - limit

    def reach_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The largest offset in each axis."""
        return self.dy, self.dx


def _uniform(n_images: int, n_draws: int, generator: torch.Generator) -> Tensor:
    if n_images * n_draws > MAX_DRAWN:
        raise OptionError(
            f"at most {MAX_DRAWN:,} drawn shifts", f"{n_draws:,} for each of {n_images:,} images"
        )
    return torch.rand(n_images, n_draws, 2, dtype=torch.float64, generator=generator)


def _check_box(dy: float, dx: float, n_draws: int) -> None:
    if not (0 <= dy < float("inf") and 0 <= dx < float("inf")):
        raise OptionError("finite offsets of at least 0", (dy, dx))
    _check(max(dy, dx), n_draws)

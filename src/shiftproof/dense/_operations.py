"""What steps of a network do to positions: the vocabulary in which plans are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Maps:
    """Feature maps of one image.

    Args:
        channels: Features at each position.
        height, width: Positions.
        stride: Pixels of the image from one position to the next, (down, right).
        axes: The order in which the network holds them; `l` is `h` and `w` as one axis. Operations
            are always given (N, C, H, W).
    """

    channels: int
    height: int
    width: int
    stride: Pair = (1, 1)
    axes: str = "nchw"


@dataclass(frozen=True, slots=True)
class Rows:
    """One row of features for each image; `source` are the maps of which it is the flattened form."""

    features: int
    source: Maps | None = None


def shape_of(maps: Maps, n: int) -> tuple[int, ...]:
    """The shape in which a network holds maps of n images.

    Example:
        >>> shape_of(Maps(3, 4, 5, axes="nlc"), 2)
        (2, 20, 3)
    """
    sizes = {"n": n, "c": maps.channels, "h": maps.height, "w": maps.width, "l": maps.height * maps.width}
    return tuple(sizes[axis] for axis in maps.axes)


@dataclass(frozen=True, slots=True)
class Elementwise:
    """The same function at every position.

    Args:
        fn: Of as many tensors as the step has inputs; (N, C, H, W) for maps, (N, F) for rows.
        channels_alike: It is the same function for every channel, too, and looks at one at a time.
    """

    fn: Callable[..., Tensor]
    channels_alike: bool = False


@dataclass(frozen=True, slots=True)
class Slide:
    """A convolution or a pool: the same function of the neighbourhood of each position.

    Args:
        fn: Of maps to which no border is added.
        kernel, stride, dilation: (down, right), in positions.
        padding: What the layer adds as a border, (down, right); the largest where it is lopsided.
        wraps: That border comes from the opposite side.
        multiply_adds: For each position of the answer; 0 for pools, to which the order of positions
            in a neighbourhood is all one.
    """

    fn: Callable[[Tensor], Tensor]
    kernel: Pair
    stride: Pair
    dilation: Pair = (1, 1)
    padding: Pair = (0, 0)
    wraps: bool = False
    multiply_adds: int = 0

    @property
    def extent(self) -> Pair:
        """Positions from the first to the last that it sees, both included."""
        (ky, kx), (dy, dx) = self.kernel, self.dilation
        return (ky - 1) * dy + 1, (kx - 1) * dx + 1


@dataclass(frozen=True, slots=True)
class Relabel:
    """The same numbers under other axes: permuted, flattened, or as they were."""


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer on rows."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything else; `reason` is a sentence for the user."""

    reason: str


@dataclass(frozen=True, slots=True)
class BatchSize:
    """The number of images, where a network asks for it."""


Operation = Elementwise | Slide | Relabel | Dense | Unknown

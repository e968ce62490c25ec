"""What a step of a network does to positions, as far as laws of shifts need to know."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Pair = tuple[int, int]
Axis = Literal[0, 1]
AXES: tuple[Axis, Axis] = (0, 1)
WORDS = ("down", "right")

# What lies outside of maps. Without padding it does not matter.
Border = Literal["zeros", "edge", "reflect", "circular"]


@dataclass(frozen=True, slots=True)
class PositionGrid:
    """Where the positions of maps lie in a tensor.

    Args:
        size: Rows and columns of positions.
        axes: The axis of each, counted from 0; None where there is no such axis, since the size is 1. Both
            are the same where rows follow each other on one axis.
        images: The axis of the images.
        lead: Where all positions lie on one axis: how much else stands before them, such as a class token.
    """

    size: Pair
    axes: tuple[int | None, int | None]
    images: int = 0
    lead: int = 0

    @property
    def is_joint(self) -> bool:
        """Whether all positions lie on one axis."""
        return self.axes[0] is not None and self.axes[0] == self.axes[1]

    @property
    def is_maps(self) -> bool:
        """Whether it is that of maps (N, C, H, W)."""
        return self.axes == (2, 3) and self.images == 0


@dataclass(frozen=True, slots=True)
class Operation:
    """What a step does to positions."""

    def __str__(self) -> str:
        return type(self).__name__.lower()


@dataclass(frozen=True, slots=True)
class Input(Operation):
    """The images themselves."""


@dataclass(frozen=True, slots=True)
class Pointwise(Operation):
    """At each position the same function of what all inputs have there, and of values without positions.

    Args:
        linear: Whether it is a sum of multiples of its maps, and a constant: it then also commutes with
            shifts by fractions of a position.
    """

    linear: bool = False


@dataclass(frozen=True, slots=True)
class Slide(Operation):
    """A window that looks at the same way at every stride-th position: convolutions, pools, crops, borders.

    Args:
        kernel_size: Positions that a window looks at.
        stride: Positions from one window to the next.
        before, after: Positions that are added outside; below 0 for those that are cut off.
        border: What is added.
        dilation: Positions from one tap to the next.
        ceil: Whether a window may begin inside and end outside of what was added.
        linear: As in `Pointwise`.
    """

    kernel_size: Pair = (1, 1)
    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    border: Border = "zeros"
    dilation: Pair = (1, 1)
    ceil: bool = False
    linear: bool = False

    def extent(self, axis: Axis) -> int:
        """Positions from the first to the last tap."""
        return self.dilation[axis] * (self.kernel_size[axis] - 1) + 1

    def n_outputs(self, axis: Axis, length: int) -> int:
        """Windows along an axis of that length."""
        padded = length + self.before[axis] + self.after[axis]
        stride = self.stride[axis]
        n = (padded - self.extent(axis) + (stride - 1 if self.ceil else 0)) // stride + 1
        if self.ceil and (n - 1) * stride >= length + self.before[axis]:
            n -= 1  # As torch does: a window may not begin in the border behind.
        return n

    def reads(self, axis: Axis, length: int, window: int) -> set[int]:
        """The positions that a window looks at, its border resolved."""
        first = window * self.stride[axis] - self.before[axis]
        kernel_size = (first + tap * self.dilation[axis] for tap in range(self.kernel_size[axis]))
        return {source for tap in kernel_size if (source := self._source(tap, length)) is not None}

    def _source(self, position: int, length: int) -> int | None:
        """Where the number at a position comes from; None for a zero."""
        if 0 <= position < length:
            return position
        if self.border == "edge":
            return min(max(position, 0), length - 1)
        if self.border == "circular":
            return position % length
        if self.border == "reflect" and length > 1:
            place = position % (2 * length - 2)
            return min(place, 2 * length - 2 - place)
        return None

    def __str__(self) -> str:
        kernel = f"{_by(self.kernel_size)}" if self.kernel_size != (1, 1) else "1 × 1"
        parts = [kernel]
        if self.stride != (1, 1):
            parts.append(f"stride {_by(self.stride)}")
        if self.dilation != (1, 1):
            parts.append(f"dilation {_by(self.dilation)}")
        return ", ".join(parts)

    @property
    def padding(self) -> str:
        """The border in words, empty where there is none."""
        if not any((*self.before, *self.after)):
            return ""
        if min(*self.before, *self.after) < 0:
            return "crop"
        width = _by(self.before) if self.before == self.after else f"{_by(self.before)}, {_by(self.after)}"
        return f"{self.border} {width}"


@dataclass(frozen=True, slots=True)
class Reduce(Operation):
    """All positions of some axes become one, whatever their order: mean, sum, maximum.

    Args:
        axes: Whether rows, and columns, are reduced.
        linear: As in `Pointwise`.
    """

    axes: tuple[bool, bool] = (True, True)
    linear: bool = True

    def __str__(self) -> str:
        return "over all positions" if all(self.axes) else "over one axis"


@dataclass(frozen=True, slots=True)
class Normalise(Operation):
    """Each position beside statistics of all positions, whatever their order: GroupNorm, softmax over maps.

    Args:
        axes: Whether the statistics are over rows, and columns.
    """

    axes: tuple[bool, bool] = (True, True)

    def __str__(self) -> str:
        return "statistics of all positions" if all(self.axes) else "statistics of one axis"


@dataclass(frozen=True, slots=True)
class Spectrum(Operation):
    """How strong each frequency of some axes is, whatever its phase: the frequencies are no positions.

    Args:
        axes: Whether these are the frequencies of rows, and of columns.
    """

    axes: tuple[bool, bool] = (True, True)

    def __str__(self) -> str:
        return "strengths of frequencies"


@dataclass(frozen=True, slots=True)
class Flatten(Operation):
    """Each position counts for itself from here on.

    Args:
        features: Whether they become features; otherwise they are put in another order, such as in windows.
    """

    features: bool = True

    def why(self, lengths: str) -> str:
        """Why no law holds for so many positions."""
        if self.features:
            return f"It gives each of {lengths} positions weights of its own."
        return f"It takes {lengths} positions apart in a way that is not followed here."

    def __str__(self) -> str:
        return "flatten" if self.features else "parts"


@dataclass(frozen=True, slots=True)
class Upsample(Operation):
    """Each position becomes a block of positions that depends on it alone.

    Args:
        factor: Rows and columns of a block.
    """

    factor: Pair

    def __str__(self) -> str:
        return f"upsample {_by(self.factor)}"


@dataclass(frozen=True, slots=True)
class Resample(Operation):
    """Interpolation: each new position reads the old ones around the place where it lies.

    Args:
        size: New positions.
        scale: Old positions from one new position to the next.
        start: Where new position 0 lies among the old ones.
        radius: How many old positions it reads on either side of a place between them; 0 for the one before.
    """

    size: Pair
    scale: tuple[Fraction, Fraction]
    start: tuple[Fraction, Fraction]
    radius: int

    def __str__(self) -> str:
        return "interpolation"


@dataclass(frozen=True, slots=True)
class TransposedConv(Operation):
    """A transposed convolution: each position is spread over a window, and windows overlap.

    Args:
        size: Positions after it.
        kernel_size: Of a window.
        stride: New positions from one window to the next.
        before: Positions cut off above and to the left.
        dilation: New positions from one tap to the next.
    """

    size: Pair
    kernel_size: Pair
    stride: Pair
    before: Pair
    dilation: Pair

    def __str__(self) -> str:
        return f"{_by(self.kernel_size)} transposed, upsample {_by(self.stride)}"


@dataclass(frozen=True, slots=True)
class Adaptive(Operation):
    """One position of each block, the same in all blocks, which the content chooses."""

    stride: Pair

    def __str__(self) -> str:
        return f"adaptive stride {_by(self.stride)}"


@dataclass(frozen=True, slots=True)
class Choose(Operation):
    """Which position of each block; the first input decides, the others where it leaves that open."""

    stride: Pair

    def __str__(self) -> str:
        return f"choice for stride {_by(self.stride)}"


@dataclass(frozen=True, slots=True)
class Take(Operation):
    """The position of each block that a choice names: maps first, then the choice."""

    stride: Pair

    def __str__(self) -> str:
        return f"adaptive stride {_by(self.stride)}, shared choice"


@dataclass(frozen=True, slots=True)
class Unpool(Operation):
    """Each position put back where a choice says that it came from: maps first, then the choice."""

    stride: Pair

    def __str__(self) -> str:
        return f"adaptive unpool {_by(self.stride)}"


@dataclass(frozen=True, slots=True)
class AliasFree(Operation):
    """A function of each number of ideally oversampled maps.

    Args:
        factor: How many times oversampled.
    """

    factor: int

    def __str__(self) -> str:
        return f"{self.factor} × oversampled"


@dataclass(frozen=True, slots=True)
class LowPass(Operation):
    """An ideal low-pass, and every stride-th position."""

    stride: Pair

    def __str__(self) -> str:
        return f"ideal low-pass, stride {_by(self.stride)}"


@dataclass(frozen=True, slots=True)
class Function(Operation):
    """Any function of values without positions."""


@dataclass(frozen=True, slots=True)
class Unknown(Operation):
    """Something of which nothing is claimed.

    Args:
        reason: A sentence for a reader.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Varying(Unknown):
    """A function of its own at each position: positions stay where they are, and no law holds.

    Args:
        looks_around: Whether it also reads other positions.
    """

    looks_around: bool = True


def _by(pair: Pair) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} × {pair[1]}"

"""Where the positions of maps lie in the image: stride, centre and receptive field, as exact fractions.

On each axis position p of a value sees the pixels from p · stride + low to p · stride + high, as if the image
went on beyond its border. Low and high repeat after a few positions: after one in most networks, after f
where maps were upsampled by f, since neighbours then see the same coarse position, or not. Each operation
says which positions it reads; what these see is what it sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from torch import fx

from shiftproof.anatomy._network import Step, Steps
from shiftproof.anatomy._operations import (
    AXES,
    Adaptive,
    AliasFree,
    Axis,
    Input,
    LowPass,
    Normalise,
    Operation,
    Pair,
    Reduce,
    Resample,
    Slide,
    Take,
    TransposedConv,
    Unknown,
    Unpool,
    Upsample,
    Varying,
)
from shiftproof.anatomy._reasons import APART, Reason

# First and last pixel that a position sees, less its number times the stride.
Field = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Positions:
    """One axis of maps.

    Args:
        n: How many positions there are.
        stride_px: Pixels from one position to the next.
        fields: Of positions 0, 1, …; then the same again.
        content: The first position that stands for a place of the image and the one after the last; those
            beyond were added as a border.

    Example:
        >>> pixels = Positions.of_image(224)
        >>> halved = pixels.after(Slide((7, 7), (2, 2), (3, 3), (3, 3)), 0)
        >>> halved.n, halved.stride_px, halved.centre_px, halved.receptive_field_px
        (112, Fraction(2, 1), Fraction(0, 1), 7)
    """

    n: int
    stride_px: Fraction
    fields: tuple[Field, ...]
    content: Pair

    @classmethod
    def of_image(cls, size_px: int) -> Positions:
        """Each pixel sees itself."""
        return cls(size_px, Fraction(1), ((Fraction(0), Fraction(0)),), (0, size_px))

    @property
    def centre_px(self) -> Fraction:
        """The pixel that position 0 is centred on; for upsampled maps, on average around it."""
        return sum((low + high for low, high in self.fields), Fraction(0)) / (2 * len(self.fields))

    @property
    def receptive_field_px(self) -> int:
        """The receptive field: the most pixels that a position sees."""
        return max(int(high - low) for low, high in self.fields) + 1

    def receptive_field(self, position: int) -> Field:
        """The first and the last pixel that a position sees, which may lie outside of the image."""
        low, high = self.fields[position % len(self.fields)]
        return position * self.stride_px + low, position * self.stride_px + high

    def after(self, operation: Operation, axis: Axis) -> Positions | None:
        """Those of the answer of an operation; None where it leaves none along this axis."""
        rule = _RULES.get(type(operation))
        return self if rule is None else rule(operation, self, axis)

    def read_by(
        self, n: int, stride: Fraction, period: int, read: Callable[[int], Iterable[int]]
    ) -> Positions:
        """New positions that each read some of these.

        Args:
            n: How many there are.
            stride: Old positions from one to the next.
            period: After so many new positions the pattern repeats.
            read: The old positions that a new one reads.
        """
        stride_px = self.stride_px * stride
        fields = []
        for position in range(period):
            seen = [self.receptive_field(source) for source in read(position)]
            if not seen:
                raise _Hole
            here = position * stride_px
            fields.append((min(low for low, _ in seen) - here, max(high for _, high in seen) - here))
        return Positions(n, stride_px, tuple(fields), self._content_after(n, read))

    def _content_after(self, n: int, read: Callable[[int], Iterable[int]]) -> Pair:
        """New positions that read around a middle which lies in the content, up to half a position."""
        begin, end = self.content
        sources = (list(read(position)) for position in range(n))
        twice = [min(read_here) + max(read_here) for read_here in sources]
        inside = [position for position in range(n) if 2 * begin - 1 <= twice[position] <= 2 * end - 1]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    def joined(self, other: Positions) -> Positions | None:
        """Those of a function of both; None where they do not lie at the same distances."""
        if (self.n, self.stride_px) != (other.n, other.stride_px):
            return None
        period = math.lcm(len(self.fields), len(other.fields))
        pairs = [
            (self.fields[i % len(self.fields)], other.fields[i % len(other.fields)]) for i in range(period)
        ]
        fields = tuple((min(one[0], two[0]), max(one[1], two[1])) for one, two in pairs)
        (begin, end), (first, last) = self.content, other.content
        return replace(self, fields=fields, content=(min(begin, first), max(end, last)))


class _Hole(Exception):  # never leaves this file
    """A position reads nothing at all."""


@dataclass(frozen=True, slots=True)
class Located:
    """Where the positions of a value lie.

    Args:
        axes: Rows and columns; None along an axis on which there are none.
        sees_all: Whether more than the receptive field comes in, from everywhere: statistics of all
            positions, attention, or a gate computed from all of the image.
        chosen: Whether a layer chooses by the content by how many whole positions maps move.
    """

    axes: tuple[Positions | None, Positions | None]
    sees_all: bool = False
    chosen: bool = False

    @property
    def stride_px(self) -> tuple[Fraction, Fraction] | None:
        """(down, right); None where it has no positions, neither rows nor columns."""
        down, right = self.axes
        if down is None and right is None:
            return None
        return down.stride_px if down else Fraction(1), right.stride_px if right else Fraction(1)


NOWHERE = Located((None, None), sees_all=True)


def locate(steps: Steps) -> Mapping[fx.Node, Located | Reason]:
    """Where the positions of each step of a network lie, or why that is not known.

    A value that has no positions, such as logits, is `Located` without any.
    """
    found: dict[fx.Node, Located | Reason] = {}
    for step in steps.steps:
        try:
            found[step.node] = _located(step, [found[source] for source in step.inputs])
        except _Hole:
            found[step.node] = Reason(step.layer, "Some of its positions read nothing.")
    return found


def _located(step: Step, inputs: list[Located | Reason]) -> Located | Reason:
    first, *_ = step.operations
    if isinstance(first, Input):
        assert step.grid is not None
        return Located((Positions.of_image(step.grid.size[0]), Positions.of_image(step.grid.size[1])))
    for operation in step.operations:
        if isinstance(operation, Unknown) and not isinstance(operation, Varying):
            return Reason(step.layer, operation.reason)
    if step.grid is None:
        return next((found for found in inputs if isinstance(found, Reason)), NOWHERE)
    maps = [found for found in inputs if isinstance(found, Located) and found.stride_px is not None]
    if not maps:
        return inputs[0]
    axes = []
    for axis in AXES:
        joined = _joined([positions for found in maps if (positions := found.axes[axis]) is not None])
        if joined is False:
            return Reason(step.layer, APART)
        for operation in step.operations:
            if isinstance(operation, Reduce) and step.grid.axes[axis] is not None and joined is not None:
                operation = _window(operation, joined, axis)  # noqa: PLW2901
            joined = joined.after(operation, axis) if joined is not None else None
        axes.append(joined)
    more = len(maps) < len(inputs) or any(found.sees_all for found in maps)
    gone = any(axes[axis] is None and any(found.axes[axis] for found in maps) for axis in AXES)
    chosen = any(isinstance(o, Adaptive | Take) for o in step.operations) or any(m.chosen for m in maps)
    sees_all = more or gone or any(_looks_around(o) for o in step.operations)
    return Located((axes[0], axes[1]), sees_all, chosen)


def _joined(several: list[Positions]) -> Positions | Any | None:
    """Those of a function of all, None for none at all, False where they do not fit."""
    wide = [positions for positions in several if positions.n > 1] or several[:1]
    joined: Positions | None = wide[0] if wide else None
    for other in wide[1:]:
        joined = joined.joined(other) if joined is not None else None
        if joined is None:
            return False
    return joined


def _looks_around(operation: Operation) -> bool:
    if isinstance(operation, Varying):
        return operation.looks_around
    return isinstance(operation, Normalise | Adaptive | Take | Unpool | AliasFree | LowPass)


def _slid(slide: Slide, old: Positions, axis: Axis) -> Positions:
    stride, before = slide.stride[axis], slide.before[axis]
    reach = slide.dilation[axis] * (slide.kernel_size[axis] - 1)

    def read(position: int) -> Iterable[int]:
        first = position * stride - before
        return range(first, first + reach + 1, slide.dilation[axis])

    period = len(old.fields) // math.gcd(len(old.fields), stride)
    return old.read_by(slide.n_outputs(axis, old.n), Fraction(stride), period, read)


def _resampled(resample: Resample, old: Positions, axis: Axis) -> Positions:
    scale, start, radius = resample.scale[axis], resample.start[axis], resample.radius

    def read(position: int) -> Iterable[int]:
        place = start + position * scale
        below = math.floor(place)
        return [below] if place == below or not radius else range(below - radius + 1, below + radius + 1)

    period = scale.denominator * (len(old.fields) // math.gcd(len(old.fields), scale.numerator))
    return old.read_by(resample.size[axis], scale, period, read)


def _upsample(operation: Upsample, old: Positions, axis: Axis) -> Positions:
    factor = operation.factor[axis]
    period = len(old.fields) * factor
    return old.read_by(old.n * factor, Fraction(1, factor), period, lambda position: [position // factor])


def _spread(spread: TransposedConv, old: Positions, axis: Axis) -> Positions:
    stride, dilation = spread.stride[axis], spread.dilation[axis]

    def read(position: int) -> Iterable[int]:
        places = (position + spread.before[axis] - tap * dilation for tap in range(spread.kernel_size[axis]))
        return [place // stride for place in places if place % stride == 0]

    return old.read_by(spread.size[axis], Fraction(1, stride), len(old.fields) * stride, read)


def _sampled(operation: Adaptive | Take, old: Positions, axis: Axis) -> Positions:
    """One of each block: which one is not known."""
    stride = operation.stride[axis]
    block = Slide(_both(stride), _both(stride))
    return _slid(block, old, axis)


def _unpooled(operation: Unpool, old: Positions, axis: Axis) -> Positions:
    return _upsample(Upsample(operation.stride), old, axis)


def _low_passed(operation: LowPass, old: Positions, axis: Axis) -> Positions:
    n = -(-old.n // operation.stride[axis])
    return old.read_by(n, Fraction(old.n, n), 1, lambda position: [position * old.n // n])


def _window(operation: Reduce, old: Positions, axis: Axis) -> Operation:
    """A pool over whole rows or columns leaves one of them: it is a window that just fits."""
    return Slide(_both(old.n)) if operation.axes[axis] else Slide()


def _reduced(operation: Reduce, old: Positions, axis: Axis) -> Positions | None:
    return None if operation.axes[axis] else old


def _both(number: int) -> Pair:
    return number, number


_RULES: dict[type[Operation], Callable[[Any, Positions, Axis], Positions | None]] = {
    Adaptive: _sampled,
    Upsample: _upsample,
    LowPass: _low_passed,
    Reduce: _reduced,
    Resample: _resampled,
    Slide: _slid,
    TransposedConv: _spread,
    Take: _sampled,
    Unpool: _unpooled,
}

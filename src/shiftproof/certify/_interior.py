"""The interior law: what moves when the content of a box moves, far from every border.

The images are one constant colour outside of a box, and the box moves by multiples of `step_px`. On each
axis a value V has positions 0 … n − 1, of which position i sees no other pixels than those of its receptive
field, i · stride + low … i · stride + high, as far as they are in the image. (All of this holds on each axis
by itself, and a position of maps is what both axes say.)

A position is *good* if all that it was computed from are positions that exist and are good, so that no border
was touched, by induction over the layers. Layers do the same everywhere, so that good positions commute with
the move: V(moved) at i + step / stride is V at i. Other positions are *bad*. Position by position one finds
which good positions the bad ones look at, also by padding that reflects or wraps around. Where the box keeps
clear of their receptive fields, by `before` pixels from the one end and `after` pixels from the other, no bad
position sees anything of the box: each is as it would be for a blank image.

Let V now be read by something that does not ask for the order of positions: a mean, a maximum, the statistics
of GroupNorm. Let every index i, also below 0 and from n on, whose receptive field meets the box be a good
position, before and after the move. Then these positions and their values move together. All others are as
for a blank image; of these, good ones have one value, and the bad ones never meet the box. So V has the same
values, each as often as before. What is read is constant, and so is all that is computed from it. With the
good positions first … last, the condition on a box of rows u … v is

    u ≥ (first − 1) · stride + high + 1   and   v ≤ (last + 1) · stride + low − 1,

for a convolution without stride or padding at all: the size of its kernel less one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import fx

from shiftproof.anatomy import (
    APART,
    NEAR_THE_BORDER,
    Adaptive,
    AliasFree,
    Axis,
    Choose,
    Flatten,
    Function,
    Input,
    LowPass,
    NoLaw,
    Normalise,
    Operation,
    Pair,
    Pointwise,
    Positions,
    Reason,
    Reduce,
    Slide,
    Spectrum,
    Step,
    Steps,
    Take,
    Unknown,
    Unpool,
    Upsample,
)


@dataclass(frozen=True, slots=True)
class GoodPositions:
    """One axis of maps.

    Args:
        positions: How many there are, and what each of them sees.
        size_px: Of the image.
        first, last: The first and last good position; none are good where last < first.
        before_px, after_px: How far a box has to stay away from both ends for bad positions not to see it.
    """

    positions: Positions
    size_px: int
    first: int = 0
    last: int = 0
    before_px: int = 0
    after_px: int = 0

    @classmethod
    def of_image(cls, size_px: int) -> GoodPositions:
        """Each pixel sees itself."""
        return cls(Positions.of_image(size_px), size_px, last=size_px - 1)

    @property
    def stride(self) -> int:
        """Pixels from one position to the next: upsampled maps are not followed here."""
        return int(self.positions.stride_px)

    def avoiding(self, positions: set[int]) -> GoodPositions:
        """The same, with a box that keeps clear of what some good positions see."""
        before, after = self.before_px, self.after_px
        for position in positions:
            if not self.first <= position <= self.last:
                continue
            low, high = self.positions.receptive_field(position)
            if 2 * position < self.positions.n:
                before = max(before, int(high) + 1)
            else:
                after = max(after, self.size_px - int(low))
        return replace(self, before_px=before, after_px=after)

    @property
    def margin_px(self) -> Pair:
        """How far a box has to stay from both ends so that all positions that see it are good."""
        if self.last < self.first:
            return self.size_px, self.size_px
        return (
            max(self.before_px, int(self.positions.receptive_field(self.first - 1)[1]) + 1),
            max(self.after_px, self.size_px - int(self.positions.receptive_field(self.last + 1)[0])),
        )


@dataclass(frozen=True, slots=True)
class Local:
    """Maps of which good positions move with the content. Rows and columns."""

    axes: tuple[GoodPositions, GoodPositions]


# None: the same for all places of the box.
Fact = Local | None


@dataclass(frozen=True, slots=True)
class Demand:
    """What has to hold for a box so that something does not see it move.

    Args:
        layer: Of what it is demanded.
        before_px: Least distance from the top, and from the left.
        after_px: Least distance from the bottom, and from the right.
        step_px: Of its moves, down and right, multiples of this.
    """

    layer: str
    before_px: Pair
    after_px: Pair
    step_px: Pair

    def joined(self, other: Demand) -> Demand:
        """What satisfies both; named after the stricter one."""
        before = _largest(self.before_px, other.before_px)
        after = _largest(self.after_px, other.after_px)
        layer = self.layer if sum(self.before_px) >= sum(other.before_px) else other.layer
        step = math.lcm(self.step_px[0], other.step_px[0]), math.lcm(self.step_px[1], other.step_px[1])
        return Demand(layer, before, after, step)


def _largest(first: Pair, second: Pair) -> Pair:
    return max(first[0], second[0]), max(first[1], second[1])


@dataclass(frozen=True, slots=True, eq=False)
class InteriorPass:
    """One pass over a network.

    Args:
        image_px: Size of the images.
        facts: What is known of each value, up to the first that is lost.
        demand: What has to hold for the box, of all that was read so far.
        reach: The last maps of which good positions move with the content: their layer, and the demand
            for all positions that see the box to be good.
        answer: What is known of the answer.
        lost: Why the pass ended, None where it reached the answer.
    """

    image_px: Pair
    facts: dict[fx.Node, Fact]
    demand: Demand
    reach: Demand
    answer: Fact
    lost: Reason | None

    @property
    def is_empty(self) -> bool:
        """Whether no box of one pixel can be moved at all."""
        return any(
            before + after + step + 1 > size
            for before, after, step, size in zip(
                self.final.before_px, self.final.after_px, self.final.step_px, self.image_px, strict=True
            )
        )

    @property
    def final(self) -> Demand:
        """What has to hold for what is claimed."""
        constant = self.lost is None and self.answer is None
        return self.demand if constant else self.demand.joined(self.reach)


def find_interior(steps: Steps, image_px: Pair) -> InteriorPass:
    """What holds for boxes that keep their distance.

    Args:
        steps: Of the network.
        image_px: (height, width), which need not be those for which the steps were read.
    """
    return _Pass(image_px).run(steps.steps)


# Larger images than this, in pixels a side, are not tried, and no more sizes than so many.
LARGEST_PX = 1024
TRIED_SIZES = 4


def where_it_begins(read: Callable[[Pair], Steps | Reason], found: InteriorPass) -> InteriorPass | None:
    """The same for larger images that have room for a box to move; None where none were found.

    The network is read anew for each size, as a network may be bound to one. Sizes grow by the total
    stride, so that windows fall as they do now.

    Args:
        read: The steps of the network for images of a size.
        found: For a size without room.
    """
    now = found
    for _ in range(TRIED_SIZES):
        size_px = _large_enough(now, found.final.step_px)
        if max(size_px) > LARGEST_PX or size_px == now.image_px:
            return None
        steps = read(size_px)
        if isinstance(steps, Reason) or steps.trace.mixed is not None:
            return None
        now = find_interior(steps, size_px)
        if now.lost is not None:
            return None
        if not now.is_empty:
            return now
    return None


def _large_enough(now: InteriorPass, step_px: Pair) -> Pair:
    """A size with room for what is demanded of this one."""
    demand = now.final
    needed = zip(now.image_px, demand.before_px, demand.after_px, demand.step_px, step_px, strict=True)
    down, right = (
        size + max(0, -(-(before + after + step + 1 - size) // by)) * by
        for size, before, after, step, by in needed
    )
    return down, right


class _Pass:
    """One pass, for one size of images."""

    def __init__(self, image_px: Pair) -> None:
        self.image_px = image_px
        self.facts: dict[fx.Node, Fact] = {}
        self._layer = ""
        self._demand = Demand("", (0, 0), (0, 0), (1, 1))
        self._reach = self._demand

    def run(self, steps: Sequence[Step]) -> InteriorPass:
        """Walk over all steps, or up to one that loses the law."""
        fact: Fact = None
        for step in steps:
            self._layer = step.layer
            try:
                fact = self.facts[step.node] = self._after(step)
            except NoLaw as lost:
                return self._result(fact, Reason(step.layer, lost.text))
            if isinstance(fact, Local):
                self._reach = self._demand_of(fact)
        return self._result(fact, None)

    def _result(self, fact: Fact, lost: Reason | None) -> InteriorPass:
        return InteriorPass(self.image_px, self.facts, self._demand, self._reach, fact, lost)

    def _after(self, step: Step) -> Fact:
        facts = [self.facts[source] for source in step.inputs]
        first, *others = step.operations
        fact = self._first(first, facts)
        for operation in others:
            fact = self._alone(operation, fact)
        return fact

    def _first(self, operation: Operation, facts: list[Fact]) -> Fact:
        if isinstance(operation, Input):
            return Local((GoodPositions.of_image(self.image_px[0]), GoodPositions.of_image(self.image_px[1])))
        if isinstance(operation, Pointwise):
            return self._together(facts)
        local = [fact for fact in facts if fact is not None]
        if not local:
            return None
        if len(facts) > 1 or isinstance(operation, Function):
            if isinstance(operation, Unknown):
                raise NoLaw(operation.reason)
            raise NoLaw(_REASONS.get(type(operation), "What it does to positions is not known here."))
        return self._alone(operation, local[0])

    def _alone(self, operation: Operation, fact: Fact) -> Fact:
        if fact is None:
            return None
        if isinstance(operation, Unknown):
            raise NoLaw(operation.reason)
        rule = _RULES.get(type(operation))
        if rule is None:
            raise NoLaw(_REASONS[type(operation)])
        return rule(self, operation, fact)

    def _together(self, facts: list[Fact]) -> Fact:
        """Maps at the same place: they have to have positions at the same pixels."""
        local = [fact for fact in facts if fact is not None]
        if not local:
            return None
        rows = self._joined([fact.axes[0] for fact in local])
        columns = self._joined([fact.axes[1] for fact in local])
        return Local((rows, columns))

    def _joined(self, parts: list[GoodPositions]) -> GoodPositions:
        positions = parts[0].positions
        for good in parts[1:]:
            joined = positions.joined(good.positions)
            if joined is None:
                raise NoLaw(APART)
            positions = joined
        first, last = max(good.first for good in parts), min(good.last for good in parts)
        everywhere = set(range(positions.n))
        bad = {position for position in everywhere if not first <= position <= last}
        careful = [good.avoiding(bad) for good in parts]
        return replace(
            parts[0],
            positions=positions,
            first=first,
            last=last,
            before_px=max(good.before_px for good in careful),
            after_px=max(good.after_px for good in careful),
        )

    def _slide(self, operation: Slide, fact: Local) -> Fact:
        return Local((_slid(operation, fact.axes[0], 0), _slid(operation, fact.axes[1], 1)))

    def _reduce(self, operation: Reduce, fact: Local) -> Fact:
        if not all(operation.axes):
            raise NoLaw("It reads rows or columns alone; only what reads all positions is followed.")
        self._require(fact)
        return None

    def _normalise(self, operation: Normalise, fact: Local) -> Fact:
        if not all(operation.axes):
            raise NoLaw("It reads rows or columns alone; only what reads all positions is followed.")
        self._require(fact)
        return fact

    def _flatten(self, operation: Flatten, fact: Local) -> Fact:
        if all(good.positions.n == 1 for good in fact.axes):  # A single position has no order.
            self._require(fact)
            return None
        lengths = " × ".join(str(good.positions.n) for good in fact.axes)
        raise NoLaw(operation.why(lengths))

    def _require(self, fact: Local) -> None:
        self._demand = self._demand.joined(self._demand_of(fact))

    def _demand_of(self, fact: Local) -> Demand:
        rows, columns = fact.axes
        (top, bottom), (left, right) = rows.margin_px, columns.margin_px
        return Demand(self._layer, (top, left), (bottom, right), (rows.stride, columns.stride))


def _slid(slide: Slide, before_it: GoodPositions, axis: Axis) -> GoodPositions:
    good, stride = before_it, slide.stride[axis]
    before, extent = slide.before[axis], slide.extent(axis)
    positions = good.positions.after(slide, axis)
    assert positions is not None
    first = max(0, -(-(good.first + before) // stride))
    last = min(positions.n - 1, (good.last + before - extent + 1) // stride)
    bad = [window for window in range(positions.n) if not first <= window <= last]
    seen = {position for window in bad for position in slide.reads(axis, good.positions.n, window)}
    careful = good.avoiding(seen)
    return GoodPositions(positions, good.size_px, first, last, careful.before_px, careful.after_px)


_WHOLE_MAPS = "It looks at whole maps: there is no part of them that the border does not reach."
_CHOOSES = "It chooses positions by whole maps, and so by what happens at the border."
_REASONS: dict[type[Operation], str] = NEAR_THE_BORDER | {
    Adaptive: _CHOOSES,
    AliasFree: _WHOLE_MAPS,
    Choose: _CHOOSES,
    Upsample: "Upsampled maps are not followed here.",
    LowPass: _WHOLE_MAPS,
    Spectrum: _WHOLE_MAPS,
    Take: _CHOOSES,
    Unpool: _CHOOSES,
}

_RULES: dict[type[Operation], Callable[[_Pass, Any, Local], Fact]] = {
    Normalise: _Pass._normalise,
    Pointwise: lambda walk, operation, fact: fact,
    Reduce: _Pass._reduce,
    Flatten: _Pass._flatten,
    Slide: _Pass._slide,
}

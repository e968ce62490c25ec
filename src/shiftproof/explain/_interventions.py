"""Runs of a network in which everything up to a step moves with the image, and their answers.

Where sizes close a circle, everything up to the cut goes around, so that it moves exactly: no border has
left marks in it, and nothing leaves the image or comes in. What follows the cut goes around as well, or has
the real borders of the network. How the image itself moves, and what its border brings in, is one step more:
before it nothing is patched. Where sizes close no circle, maps move as far as they reach, and what comes in
from outside is what the network computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shiftproof.adapters import Task
from shiftproof.anatomy import Place, Reason
from shiftproof.explain._offsets import OffsetsByCondition, moved_images
from shiftproof.explain._patch import moved_inside, moved_maps
from shiftproof.explain._runs import Runs, RunState, stride_at
from shiftproof.records import Condition, Frame
from shiftproof.shifts import Border

CLASSES_BY_LOGITS = Task()
# The cut before the images: nothing is patched.
UNMOVED = -1
# Condition, cut, and the logits of the unmoved and of the moved images.
LogitPair = tuple[Condition, int, Tensor, Tensor]


@dataclass(frozen=True, eq=False, slots=True)
class Measurement:
    """What is measured.

    Args:
        images: (N, C, H, W) in [0, 1] on the device of the network, at least 2.
        offsets: Of each image.
        border: What comes in from outside.
        frame: How a place without a border is had.
        batch_size: Images at a time.
        task: What an answer is.
    """

    images: Tensor
    offsets: OffsetsByCondition
    border: Border
    frame: Frame
    batch_size: int
    task: Task = CLASSES_BY_LOGITS

    @property
    def n_shifts(self) -> int:
        """Of each image in each condition."""
        return int(self.of("with-border").shape[1])

    def of(self, condition: Condition) -> Tensor:
        """The offsets of a condition, float64 (N, K, 2)."""
        offsets = self.offsets.by_condition[condition]
        assert isinstance(offsets, Tensor), "asked for conditions that are measured"
        return offsets

    def moves_apart(self, condition: Condition) -> bool:
        """Whether images do not move like maps that go around, so that this is a step of its own."""
        return self.frame == "circle" and condition == "with-border" and self.border != "circular"


class InterventionsOnBatch:
    """The runs of some of the images.

    Args:
        runs: The network.
        measurement: What is measured.
        rows: Which images.
        check_stop: Called between runs; may raise `Stopped`.
    """

    def __init__(
        self, runs: Runs, measurement: Measurement, rows: slice, check_stop: Callable[[], None]
    ) -> None:
        self._runs, self._measurement, self._rows = runs, measurement, rows
        self._images = measurement.images[rows]
        self._check_stop = check_stop
        self._real: Tensor | None = None
        self.n_runs = 0

    def real_logits(self) -> Tensor:
        """Of the images as they are."""
        if self._real is None:
            self._real = self._run(self._images, (), around=False).logits
        return self._real

    def answers(self, wanted: Sequence[tuple[Condition, int]]) -> Iterator[LogitPair]:
        """For each condition and cut as many answers as there are shifts."""
        unmoved = [condition for condition, index in wanted if index == UNMOVED]
        cuts = [(condition, index) for condition, index in wanted if index != UNMOVED]
        for condition in unmoved:
            for shift in range(self._measurement.n_shifts):
                yield condition, UNMOVED, self.real_logits(), self._shown(condition, shift, ()).logits
        yield from (self._around(cuts) if self._measurement.frame == "circle" else self._inside(cuts))

    def _around(self, wanted: Sequence[tuple[Condition, int]]) -> Iterator[LogitPair]:
        if not wanted:
            return
        still = self._run(self._images, {index for _, index in wanted}, around=True)
        for condition, index in wanted:
            around = condition != "with-border"
            base = still.logits if around else self._run_on(index, self._copies(still, index), still, around)
            for shift in range(self._measurement.n_shifts):
                by = self._by(condition, index, shift)
                alive = [
                    value.clone() if place is None else moved_maps(value, place, by, self._size_px)
                    for value, place in zip(still.alive[index], self._places(index), strict=True)
                ]
                yield condition, index, base, self._run_on(index, alive, still, around)

    def _inside(self, wanted: Sequence[tuple[Condition, int]]) -> Iterator[LogitPair]:
        if not wanted:
            return
        still = self._run(self._images, {index for _, index in wanted}, around=False)
        self._real = still.logits
        for condition in dict.fromkeys(condition for condition, _ in wanted):
            cuts = [index for asked, index in wanted if asked == condition]
            for shift in range(self._measurement.n_shifts):
                below = self._shown(condition, shift, cuts)
                for index in cuts:
                    yield condition, index, still.logits, self._patched(index, condition, shift, still, below)

    def _patched(
        self, index: int, condition: Condition, shift: int, still: RunState, below: RunState
    ) -> Tensor:
        if index == 0:  # Images move as their border says.
            return below.logits
        by = self._by(condition, index, shift)
        tensors = zip(still.alive[index], self._places(index), below.alive[index], strict=True)
        alive = [
            value.clone() if place is None else moved_inside(value, place, by, beneath)
            for value, place, beneath in tensors
        ]
        return self._run_on(index, alive, still, around=False)

    def _shown(self, condition: Condition, shift: int, cuts: Sequence[int]) -> RunState:
        """A run on images that move as their border says."""
        by = self._measurement.of(condition)[self._rows, shift]
        shown = moved_images(self._images, by, self._measurement.border)
        return self._run(shown, cuts, around=False)

    def _by(self, condition: Condition, index: int, shift: int) -> list[tuple[float, float]]:
        """By how much maps are moved: the multiple of their stride that is nearest to whole pixels.

        Fractions of a pixel come on top of it.
        """
        own = self._measurement.of(condition)
        pixels = self._measurement.of("whole-pixel") if condition == "fractional" else own
        stride = torch.tensor(stride_at(self._runs, index), dtype=torch.float64)
        nearest = torch.floor(pixels / stride + 0.5) * stride
        return [(float(dy), float(dx)) for dy, dx in (nearest + own - pixels)[self._rows, shift].tolist()]

    def _places(self, index: int) -> tuple[Place | None, ...]:
        places = self._runs.alive_at(index)
        assert not isinstance(places, Reason), "only cuts that are possible are asked about"
        return places

    def _copies(self, still: RunState, index: int) -> list[Tensor]:
        return [value.clone() for value in still.alive[index]]

    @property
    def _size_px(self) -> tuple[int, int]:
        height, width = self._images.shape[2:]
        return int(height), int(width)

    def _run(self, images: Tensor, at: Sequence[int] | set[int], *, around: bool) -> RunState:
        self._check_stop()
        self.n_runs += 1
        return self._runs.run(images, at, around=around)

    def _run_on(self, index: int, alive: Sequence[Tensor], record: RunState, around: bool) -> Tensor:
        self._check_stop()
        self.n_runs += 1
        return self._runs.run_on(index, alive, record, around=around)

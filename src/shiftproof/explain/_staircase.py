"""How much the answer still changes if everything up to a step moved with the image: measured cut by cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shiftproof.adapters import Task
from shiftproof.anatomy import Motion
from shiftproof.engine import Channel, Shared, StopsWhen, Workers, execute
from shiftproof.errors import ModelError, ShiftproofError
from shiftproof.explain._interventions import UNMOVED, InterventionsOnBatch, Measurement
from shiftproof.explain._runs import Runs, first_alike
from shiftproof.metrics import NotApplicable
from shiftproof.records import UNITS, Condition

T = TypeVar("T")
Floats = npt.NDArray[np.float64]
# Of sums in another order, through some layers.
ROUNDINGS, EPSILON = 64, torch.finfo(torch.float32).eps


@dataclass(eq=False)
class Staircase:
    """How much the answer changes, by condition and cut.

    Args:
        runs: The network.
        measurement: What is measured.
        check_stop: Called between runs; may raise `Stopped`.
        workers: Measure batches side by side; in this process, one after the other, by default.
    """

    runs: Runs
    measurement: Measurement
    check_stop: Callable[[], None] = lambda: None
    workers: Workers | None = None
    n_runs: int = 0
    _sums: dict[tuple[Condition, int], Floats] = field(default_factory=dict)
    _still: list[Tensor] = field(default_factory=list)

    def change(self, condition: Condition, index: int) -> Floats | NotApplicable:
        """Of each image, float64 (N, units): what is left if all up to the end of a step moved with it.

        At `UNMOVED` nothing is patched: the image moves as its border says. At the answer nothing is left.
        """
        offsets = self.measurement.offsets.by_condition[condition]
        if isinstance(offsets, NotApplicable):
            return offsets
        if index == self._answer:
            return np.zeros((len(self.measurement.images), len(UNITS)))
        found = self._sums[self._alike(condition, index)]
        return found / [self.scale or 1.0, 1.0, 1.0]

    def measure(self, at: Sequence[int]) -> None:
        """Cut after these steps, each of which can be cut, or at `UNMOVED`."""
        conditions = [c for c, o in self.measurement.offsets.by_condition.items() if isinstance(o, Tensor)]
        asked = {
            self._alike(condition, index) for condition in conditions for index in at if index != self._answer
        }
        wanted = sorted(asked - self._sums.keys())
        n_images = len(self.measurement.images)
        starts = range(0, n_images, self.measurement.batch_size) if wanted else ()
        all_rows = [slice(start, min(start + self.measurement.batch_size, n_images)) for start in starts]
        tasks = [partial(_of_batch, rows=rows, wanted=wanted, still=not self._still) for rows in all_rows]
        for rows, batch in zip(all_rows, self.run(tasks), strict=True):
            for each, change in batch.changes:
                total = self._sums.setdefault(each, np.zeros((n_images, len(UNITS))))
                total[rows] += change / self.measurement.n_shifts
            if batch.still is not None:
                self._still.append(batch.still)
            self.n_runs += batch.n_runs

    def run(self, tasks: Sequence[Callable[[Subject, Channel], T]]) -> list[T]:
        """What tasks give that are told the network and the measurement; none depends on another."""
        if self.workers is not None:
            results = self.workers.run(tasks)
        else:
            results = execute(
                tasks, Shared.of((self.runs, self.measurement)), stop=StopsWhen(self.check_stop)
            )
        for result in results:
            if isinstance(result, ShiftproofError):
                raise result
        return results

    @property
    def _answer(self) -> int:
        """The last step: an answer does not move with the image."""
        return len(self.runs.moments) - 1

    def _alike(self, condition: Condition, index: int) -> tuple[Condition, int]:
        """The first cut where as much is left, as far as that is known, and under which condition."""
        measurement = self.measurement
        if measurement.frame == "border" and condition == "whole-pixel":
            condition = "with-border"
        if index == UNMOVED and measurement.moves_apart(condition):
            return condition, UNMOVED
        motion = Motion(
            around=measurement.frame == "circle",
            real_border=measurement.frame == "border" or condition == "with-border",
            fractions=condition == "fractional",
        )
        return condition, first_alike(self.runs, max(0, index), motion)

    @property
    def scale(self) -> float:
        """Mean squared distance of the logits of two images; 0 where they are alike."""
        return float(distances_between(torch.cat(self._still)).mean())

    def whole(self, condition: Condition) -> float:
        """The whole change: the mean in the unit of the logits; 0 where the condition was not measured."""
        change = self.change(condition, UNMOVED)
        return 0.0 if isinstance(change, NotApplicable) else float(change[:, UNITS.index("logits")].mean())

    @property
    def rounding(self) -> float:
        """What rounding makes of the logits of equal images, in the same unit: less is nothing."""
        if not self.scale:
            return 0.0
        return (ROUNDINGS * EPSILON) ** 2 * float(torch.cat(self._still).square().sum(1).mean()) / self.scale


# What a batch needs, in this process or in another one.
Subject = tuple[Runs, Measurement]


class OfBatch(NamedTuple):
    """What some of the images have answered.

    Args:
        changes: By condition and cut, for one shift after the other, float64 (n, units).
        still: Logits of the images as they are, float64 (n, K); None where nobody asked.
        n_runs: Runs of the network.
    """

    changes: list[tuple[tuple[Condition, int], Floats]]
    still: Tensor | None
    n_runs: int


def _of_batch(
    subject: Subject,
    channel: Channel,
    *,
    rows: slice,
    wanted: Sequence[tuple[Condition, int]],
    still: bool,
) -> OfBatch:
    runs, measurement = subject
    batch = InterventionsOnBatch(runs, measurement, rows, channel.check_stop)
    found = [
        ((condition, index), changes(before, after, measurement.task))
        for condition, index, before, after in batch.answers(wanted)
    ]
    return OfBatch(found, batch.real_logits().double().cpu() if still else None, batch.n_runs)


def changes(still: Tensor, moved: Tensor, task: Task) -> Floats:
    """From outputs (N, K) to the change of each image, float64 (N, units); logits in their own unit.

    Of several labels the probability is the mean over all; an embedding has neither probability nor classes.
    """
    before, after = still.double(), moved.double()
    distance = (after - before).square().sum(1)
    if task.name == "embedding":
        nothing = torch.zeros_like(distance)
        return torch.stack([distance, nothing, nothing], 1).cpu().numpy()
    answered = task.decided(before)
    if task.name == "multi-label":
        probability = (task.probabilities(after) - task.probabilities(before)).abs().mean(1)
    else:
        of_class = [task.probability_of(outputs, answered.long()) for outputs in (before, after)]
        probability = (of_class[1] - of_class[0]).abs()
    flips = (task.decided(after) != answered).double()
    return torch.stack([distance, probability, flips], 1).cpu().numpy()


def distances_between(logits: Tensor) -> Floats:
    """The squared distance of the logits of each image to those of the next one, float64 (N,)."""
    found = (logits.double() - logits.double().roll(-1, 0)).square().sum(1).cpu().numpy()
    if not np.isfinite(found).all():
        raise ModelError("finite logits", "infinite ones", cause="They have no distance to others.")
    return np.asarray(found)

"""How much the answer still changes if everything up to a step moved with the image: measured cut by cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from shiftproof.adapters import Task
from shiftproof.anatomy import Motion
from shiftproof.errors import ModelError
from shiftproof.explain._interventions import UNMOVED, Batch, Question
from shiftproof.explain._offsets import Condition
from shiftproof.explain._runs import Runs, first_alike
from shiftproof.metrics import NotApplicable

Floats = npt.NDArray[np.float64]
# logits: squared distance of the logits, over that between images; squares, since what steps lose that have
# nothing to do with each other then adds up. probability: change of the probability of the class that is
# answered to the unshifted image. flips: share of shifts under which the class is another.
Unit = Literal["logits", "probability", "flips"]
UNITS: tuple[Unit, ...] = get_args(Unit)
# Of sums in another order, through some layers.
ROUNDINGS, EPSILON = 64, torch.finfo(torch.float32).eps


@dataclass(eq=False)
class Staircase:
    """How much the answer changes, by condition and cut.

    Args:
        runs: The network.
        question: What is measured.
        check_stop: Called between runs; may raise `Stopped`.
    """

    runs: Runs
    question: Question
    check_stop: Callable[[], None] = lambda: None
    n_runs: int = 0
    _sums: dict[tuple[Condition, int], Floats] = field(default_factory=dict)
    _still: list[Tensor] = field(default_factory=list)

    def change(self, condition: Condition, index: int) -> Floats | NotApplicable:
        """Of each image, float64 (N, units): what is left if all up to the end of a step moved with it.

        At `UNMOVED` nothing is patched: the image moves as its border says.
        """
        offsets = self.question.offsets.by_condition[condition]
        if isinstance(offsets, NotApplicable):
            return offsets
        found = self._sums[self._alike(condition, index)]
        return found / [self.scale or 1.0, 1.0, 1.0]

    def measure(self, at: Sequence[int]) -> None:
        """Cut after these steps, each of which can be cut, or at `UNMOVED`."""
        conditions = [c for c, o in self.question.offsets.by_condition.items() if isinstance(o, Tensor)]
        asked = {self._alike(condition, index) for condition in conditions for index in at}
        wanted = sorted(asked - self._sums.keys())
        n_images = len(self.question.images)
        for start in range(0, n_images, self.question.batch_size) if wanted else ():
            rows = slice(start, min(start + self.question.batch_size, n_images))
            batch = Batch(self.runs, self.question, rows, self.check_stop)
            for condition, index, still, moved in batch.answers(wanted):
                found = changes(still, moved, self.question.task)
                total = self._sums.setdefault((condition, index), np.zeros((n_images, len(UNITS))))
                total[rows] += found / self.question.n_shifts
            if not self._known_images > start:
                self._still.append(batch.real_logits().double().cpu())
            self.n_runs += batch.n_runs

    @property
    def _known_images(self) -> int:
        return sum(map(len, self._still))

    def _alike(self, condition: Condition, index: int) -> tuple[Condition, int]:
        """The first cut where as much is left, as far as that is known, and under which condition."""
        question = self.question
        if question.frame == "border" and condition == "whole-pixel":
            condition = "with-border"
        if index == UNMOVED and question.moves_apart(condition):
            return condition, UNMOVED
        motion = Motion(
            around=question.frame == "circle",
            real_border=question.frame == "border" or condition == "with-border",
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

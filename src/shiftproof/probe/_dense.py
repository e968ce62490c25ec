"""The dense probe: the answers to all shifts of an image at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from shiftproof.adapters import check_finite
from shiftproof.dense import RollPlan, WindowPlan
from shiftproof.probe._outputs import Answers, Reader
from shiftproof.probe._views import BatchViews, Views


class AllAtOnce(Protocol):
    """A plan for the shifts of one measurement; threads may share it."""

    def logits(self, batch: BatchViews) -> Tensor:
        """float32 (n, 1 + S, K): to the images as they are, then under each shift."""

    @property
    def reason(self) -> str:
        """Why it is exact, for a reader."""

    @property
    def is_cheaper(self) -> bool:
        """Whether that takes less work than each shift by itself."""

    @property
    def images_per_batch(self) -> int | None:
        """How many images at a time are fastest, if that is known."""


@dataclass(frozen=True, eq=False)
class Dense:
    """Ask a plan about all views of a batch.

    Args:
        plan: How.
        reader: What is kept of the answers.
    """

    plan: AllAtOnce
    reader: Reader

    def evaluate(self, views: BatchViews, labels: Tensor) -> Answers:
        """All shifts of one batch of images; labels int64 (n,), −1 where unknown, or (n, K)."""
        logits = self.plan.logits(views).float()
        check_finite(logits, "the model")
        still = self.reader.still(logits[:, 0], labels, views.place.to(logits.device))
        return self.reader.answers(still, [self.reader.cells(logits[:, 1:], still)])


class WindowAnswers:
    """Every whole shift is a window of a canvas, and the windows share their work.

    Args:
        views: The measurement.
        plan: For the network.
    """

    def __init__(self, views: Views, plan: WindowPlan) -> None:
        top, left = views.corner
        dy, dx = views.offsets_px.long().unbind(1)
        reach_y, reach_x = views.reach_px
        self.n_windows = (2 * reach_y + 1, 2 * reach_x + 1)
        # Of a scene only the part that some window shows is looked at.
        self.cut = (top - reach_y, left - reach_x)
        zero = torch.zeros(1, dtype=torch.long)
        self.rows = torch.cat([zero, -dy]) + reach_y
        self.columns = torch.cat([zero, -dx]) + reach_x
        self.plan = plan

    def logits(self, batch: BatchViews) -> Tensor:
        """float32 (n, 1 + S, K): to the images as they are, then under each shift."""
        y, x = self.cut
        height, width = (n + size - 1 for n, size in zip(self.n_windows, batch.views.size_px, strict=True))
        answers = self.plan.answer(batch.canvas[:, :, y : y + height, x : x + width], self.n_windows)
        return answers[:, self.rows.to(answers.device), self.columns.to(answers.device)]

    @property
    def reason(self) -> str:
        """Why it is exact."""
        return "no layer looks outside its window, so all shifts share their work"

    @property
    def is_cheaper(self) -> bool:
        """Whether that takes less work than each shift by itself."""
        return self.plan.multiply_adds(self.n_windows) < len(self.rows) * self.plan.direct_multiply_adds

    @property
    def images_per_batch(self) -> int | None:
        """What stays in the cache of a core."""
        return self.plan.images_per_batch(self.n_windows)


class RollAnswers:
    """Circular shifts by whole strides move the maps of a circular network, so they need no new pass.

    Args:
        views: The measurement.
        plan: For the network.
    """

    def __init__(self, views: Views, plan: RollPlan) -> None:
        self.offsets_px = torch.cat([torch.zeros(1, 2, dtype=torch.long), views.offsets_px.long()])
        self.plan = plan

    def logits(self, batch: BatchViews) -> Tensor:
        """float32 (n, 1 + S, K): to the images as they are, then under each shift."""
        return self.plan.answer(batch.images, self.offsets_px)

    @property
    def reason(self) -> str:
        """Why it is exact."""
        down, right = self.plan.total_stride
        return f"the layers are circular, so shifts by multiples of {down} × {right} px move their maps"

    @property
    def is_cheaper(self) -> bool:
        """Whether that takes less work than each shift by itself."""
        return self.plan.is_cheaper(self.offsets_px)

    @property
    def images_per_batch(self) -> int | None:
        """As many as for any model."""
        return None

"""The direct probe: show any model every view of every image."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.probe._outputs import Answers, Reader
from shiftproof.probe._views import BatchViews


@dataclass(frozen=True, eq=False)
class Direct:
    """Ask a model about each view in turn.

    Args:
        classifier: The model.
        reader: What is kept of its answers.
    """

    classifier: Classifier
    reader: Reader

    def evaluate(self, views: BatchViews, labels: Tensor) -> Answers:
        """All shifts of one batch of images; labels int64 (n,), −1 where unknown, or (n, K)."""
        unshifted = self.classifier(views.unshifted())
        still = self.reader.still(unshifted, labels, views.place.to(unshifted.device))
        unmoved = self.reader.cells(unshifted[:, None], still)
        shifts = []
        for shift in range(views.n_shifts):
            moved = views.shifted(shift)
            shifts.append(
                unmoved if moved is None else self.reader.cells(self.classifier(moved)[:, None], still)
            )
        return self.reader.answers(still, shifts)

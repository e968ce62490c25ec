"""The direct probe: show any model every view of every image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from shiftproof.adapters import Classifier
from shiftproof.errors import ModelError, ShapeError
from shiftproof.probe._views import BatchViews


class Answers(NamedTuple):
    """What a model answered to a batch of n images.

    Args:
        unshifted: float32 (n, K) logits.
        predicted: int32 (n, S).
        true_prob: float32 (n, S).
        drift: float32 (n, S).
    """

    unshifted: Tensor
    predicted: Tensor
    true_prob: Tensor
    drift: Tensor


@dataclass(frozen=True, eq=False)
class Direct:
    """Ask a model about each view in turn.

    Args:
        classifier: The model.
    """

    classifier: Classifier

    def ask(self, views: BatchViews, labels: Tensor) -> Answers:
        """All shifts of one batch of images; labels int64 (n,), −1 where unknown."""
        unshifted = self.classifier(views.unshifted())
        shown = shown_class(unshifted, labels)
        still = reduced(unshifted, unshifted, shown)
        columns = []
        for shift in range(views.n_shifts):
            moved = views.shifted(shift)
            columns.append(still if moved is None else reduced(self.classifier(moved), unshifted, shown))
        predicted, true_prob, drift = (torch.stack(column, 1) for column in zip(*columns, strict=True))
        return Answers(unshifted, predicted, true_prob, drift)


def shown_class(unshifted: Tensor, labels: Tensor) -> Tensor:
    """The class whose probability is recorded: the true one, else the one answered: int64 (n,)."""
    needed = int(labels.max()) + 1
    if unshifted.shape[-1] < needed:
        raise ShapeError(f"at least {needed} logits, one for each class of the data", unshifted.shape[-1])
    return torch.where(labels >= 0, labels, unshifted.argmax(-1))


def other_classes(n_now: int, n_before: int) -> ModelError:
    """The error for a model that does not answer everything with as many numbers."""
    return ModelError(
        f"a model with {n_before} classes for every image", f"{n_now} logits", cause="It has answered both."
    )


def reduced(logits: Tensor, unshifted: Tensor, shown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Predicted class, probability of the class shown, and drift, of logits (…, K): each (…)."""
    if logits.shape[-1] != unshifted.shape[-1]:
        raise other_classes(logits.shape[-1], unshifted.shape[-1])
    predicted = logits.argmax(-1).int()
    # softmax at one class: cheaper than the whole of it, which matters for small models.
    chosen = logits.gather(-1, shown.expand(logits.shape[:-1])[..., None])[..., 0]
    true_prob = (chosen - logits.logsumexp(-1)).exp()
    change = (logits - unshifted).norm(dim=-1)
    # A network that answers zeros to everything has not drifted.
    drift = torch.where(change == 0, 0.0, change / unshifted.norm(dim=-1))
    return predicted, true_prob, drift

"""Which way to ask: every view, or all views at once where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from shiftproof.adapters import Classifier
from shiftproof.data import Images
from shiftproof.probe._batches import Asker
from shiftproof.probe._direct import Direct
from shiftproof.probe._views import Views

Method = Literal["auto", "direct", "dense"]


@dataclass(frozen=True, eq=False)
class Choice:
    """The way that was chosen, and why.

    Args:
        name: `direct` or `dense`.
        reason: One sentence.
        batch_size: Images at a time, or None for what fits the images.
    """

    name: str
    reason: str
    batch_size: int | None = None

    def askers(self, replicas: Sequence[Classifier]) -> list[Asker]:
        """One for each worker."""
        return [Direct(replica) for replica in replicas]


def choose_method(
    method: Method, classifier: Classifier, views: Views, data: Images, device: torch.device
) -> Choice:
    return Choice("direct", "")

"""From the numbers that a model answers with to what the record keeps of them, for each task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from shiftproof.adapters import Task, check_outputs, other_outputs
from shiftproof.errors import ShapeError
from shiftproof.probe._neighbours import Gallery


class Answers(NamedTuple):
    """What the record keeps of the answers to n images under S shifts.

    Args:
        of_images: Arrays of `Response` with one row for each image: (n, …).
        of_shifts: Arrays of `Response` with one cell for each image and shift: (n, S, …).
    """

    of_images: dict[str, Tensor]
    of_shifts: dict[str, Tensor]


class Unshifted(NamedTuple):
    """The answers to n images as they are, which those to the shifted ones are compared with.

    Args:
        outputs: float32 (n, K).
        shown: int64 (n,); the class whose probability is recorded, for `single-label` and `binary`.
        place: int64 (n,); which image of the set each is, for `embedding`.
    """

    outputs: Tensor
    shown: Tensor
    place: Tensor


@dataclass(frozen=True, eq=False)
class Reader:
    """What is kept of answers; see `Response` for each array.

    Args:
        task: What the numbers mean.
        name: Of the model, for messages.
        gallery: The images that are looked for near an embedding; None for another task.
    """

    task: Task
    name: str
    gallery: Gallery | None = None

    def still(self, outputs: Tensor, labels: Tensor, place: Tensor) -> Unshifted:
        """What is needed of the answers (n, K) to images as they are.

        Args:
            outputs: float32 (n, K).
            labels: int64 (n,), −1 where unknown, or (n, K).
            place: int64 (n,); which image of the set each is.
        """
        check_outputs(self.task, outputs, self.name)
        if self.task.name in ("single-label", "binary"):
            labels = shown_class(self.task, outputs, labels)
        return Unshifted(outputs, labels, place)

    def answers(self, still: Unshifted, shifts: Sequence[dict[str, Tensor]]) -> Answers:
        """All of it, from the cells of each shift, or of several at once."""
        of_shifts = {name: torch.cat([cells[name] for cells in shifts], 1) for name in shifts[0]}
        of_images = {"unshifted_output": still.outputs}
        if self.gallery is not None:
            of_images["unshifted_neighbours"] = self.gallery.nearest(still.outputs[:, None], still.place)[
                :, 0
            ]
        return Answers(of_images, of_shifts)

    def cells(self, outputs: Tensor, still: Unshifted) -> dict[str, Tensor]:
        """What is kept for each cell of answers (n, S, K) to shifted images: (n, S, …)."""
        if outputs.shape[-1] != still.outputs.shape[-1]:
            raise other_outputs(outputs.shape[-1], still.outputs.shape[-1])
        check_outputs(self.task, outputs, self.name)
        no_class = outputs.new_empty((len(outputs), 0))
        kept = {"drift": _drift(outputs, still.outputs[:, None]), "true_prob": no_class}
        if self.gallery is not None:
            neighbours = self.gallery.nearest(outputs, still.place)
            # Rounding alone leads beyond 1.
            cosine = torch.cosine_similarity(outputs, still.outputs[:, None], dim=-1).clamp(-1, 1)
            return kept | {"predicted": neighbours[..., 0], "neighbours": neighbours, "cosine": cosine}
        kept["predicted"] = self.task.decided(outputs)
        if self.task.name == "multi-label":
            return kept | {"label_output": outputs}
        shown = still.shown[:, None].expand(outputs.shape[:-1])
        return kept | {"true_prob": self.task.probability_of(outputs, shown)}


def shown_class(task: Task, unshifted: Tensor, labels: Tensor) -> Tensor:
    """The class whose probability is recorded: the true one, else the one answered: int64 (n,)."""
    needed, there = int(labels.max()) + 1, task.n_classes(unshifted.shape[-1])
    if there < needed:
        raise ShapeError(
            f"at least {needed} logits, one for each class of the data",
            unshifted.shape[-1],
            cause="One number for each image tells two classes apart." if task.name == "binary" else "",
        )
    return torch.where(labels >= 0, labels, task.decided(unshifted).long())


def _drift(outputs: Tensor, unshifted: Tensor) -> Tensor:
    change = (outputs - unshifted).norm(dim=-1)
    # A network that answers zeros to everything has not drifted.
    return torch.where(change == 0, 0.0, change / unshifted.norm(dim=-1))

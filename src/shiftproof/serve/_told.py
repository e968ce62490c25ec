"""What a page says of the numbers that a model answers with, for each kind of answer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from shiftproof.adapters import Task
from shiftproof.probe import Gallery

# The kinds of answers that a page can show: one thing for each image, whatever its size.
TASKS = ("single-label", "binary", "multi-label", "embedding")
# Of up to so many classes all probabilities are told; of more, those of the likeliest few.
ALL_UP_TO, FEW = 10, 5
DECIMALS = 5


class Told(NamedTuple):
    """An answer.

    Args:
        key: The number of the class, of the set of labels, or of the nearest image in the gallery: answers
            with the same key are the same prediction.
        n: How many classes are predicted: 1, or the size of the set; they are the first of `ranked`.
        ranked: Class, probability, class, probability, …, the predicted ones first and then the likeliest.
            Of an embedding: image, cosine, …, the nearest first.
        alike: How much it is like the answer to the unshifted image: the share of labels in both sets among
            those in either, or the cosine of the embeddings. None where the prediction says enough.
    """

    key: str
    n: int
    ranked: tuple[float, ...]
    alike: float | None = None


class Still(NamedTuple):
    """What answers to a moved image are compared with.

    Args:
        outputs: The answer to the image as it is, (K,); None where there is none.
        place: Which image of the set it is, −1 for one that is not in it.
    """

    outputs: Tensor | None = None
    place: int = -1


def told(task: Task, outputs: Tensor, still: Still, gallery: Gallery | None = None) -> list[Told]:
    """What is said of each row of outputs (n, K).

    Args:
        task: What they mean.
        outputs: Finite numbers; an embedding has a direction.
        still: The unshifted image.
        gallery: Among which images the nearest is looked for, for an embedding.

    Example:
        >>> told(Task(), torch.tensor([[0.0, 1.0]]), Still())
        [Told(key='1', n=1, ranked=(1, 0.73106, 0, 0.26894), alike=None)]
        >>> told(Task("binary", "probabilities", 0.9), torch.tensor([[0.75]]), Still())
        [Told(key='0', n=1, ranked=(0, 0.25, 1, 0.75), alike=None)]
        >>> labels = torch.tensor([[0.2, 0.9, 0.6], [0.1, 0.8, 0.3]])
        >>> told(Task("multi-label", "probabilities", 0.5), labels, Still(labels[0]))[1]
        Told(key='2', n=1, ranked=(1, 0.8, 2, 0.3, 0, 0.1), alike=0.5)
    """
    if gallery is not None:
        return _neighbours(outputs, still, gallery)
    chances = class_probabilities(task, outputs)
    keys = task.decided(outputs)
    if task.name == "multi-label":
        there = task.there(outputs)
        sizes = there.sum(1).tolist()
        alike = _overlaps(there, None if still.outputs is None else task.there(still.outputs[None])[0])
        # A label with a threshold of its own may be there and less likely than one that is not.
        rows = _ranked(chances, chances + there, ALL_UP_TO)
    else:
        # By the logits: two probabilities may both be rounded to 1. Of equal ones the first comes first.
        by = chances if task.name == "binary" else outputs.double()
        sizes, alike = [1] * len(outputs), [None] * len(outputs)
        rows = _ranked(chances, by.scatter(1, keys.long()[:, None], torch.inf), FEW)
    return [Told(*each) for each in zip(map(str, keys.tolist()), sizes, rows, alike, strict=True)]


def class_probabilities(task: Task, outputs: Tensor) -> Tensor:
    """Of each class or label: float64 (…, K), or (…, 2) of a binary task; outputs (…, K), of no embedding.

    Example:
        >>> class_probabilities(Task("binary", "logits", 0.5), torch.tensor([[0.0]]))
        tensor([[0.5000, 0.5000]], dtype=torch.float64)
    """
    chances = task.probabilities(outputs.double())
    return torch.cat([1 - chances, chances], -1) if task.name == "binary" else chances


def _ranked(chances: Tensor, by: Tensor, few: int) -> list[tuple[float, ...]]:
    """Class and probability in turn, in falling order of other numbers; of many classes a few."""
    n_told = chances.shape[1] if chances.shape[1] <= ALL_UP_TO else few
    order = by.sort(dim=1, descending=True, stable=True).indices[:, :n_told]
    return _in_turn(order, chances.gather(1, order), least=10.0**-DECIMALS)


def _neighbours(vectors: Tensor, still: Still, gallery: Gallery) -> list[Told]:
    place = torch.tensor([still.place], device=gallery.place.device)
    n_told = min(FEW, int((gallery.place != place).sum()))
    found = gallery.cosines(vectors[None].to(place.device), place).sort(dim=-1, descending=True, stable=True)
    cosines, order = found.values[0, :, :n_told], found.indices[0, :, :n_told]
    alike: list[float | None] = [None] * len(vectors)
    if still.outputs is not None:
        # Rounding alone leads beyond 1.
        turned = torch.cosine_similarity(vectors.double(), still.outputs.double(), dim=-1).clamp(-1, 1)
        alike = [round(each, DECIMALS) for each in turned.tolist()]
    rows = _in_turn(order, cosines.double().clamp(-1, 1), least=0)
    return [Told(str(row[0]), 1, row, each) for row, each in zip(rows, alike, strict=True)]


def _overlaps(there: Tensor, before: Tensor | None) -> list[float | None]:
    """Labels in both sets, by those in either; two empty sets are the same."""
    if before is None:
        return [None] * len(there)
    both, either = (there & before).sum(1), (there | before).sum(1)
    return [round(a / b, DECIMALS) if b else 1.0 for a, b in zip(both.tolist(), either.tolist(), strict=True)]


def _in_turn(classes: Tensor, numbers: Tensor, *, least: float) -> list[tuple[float, ...]]:
    return [
        tuple(part for k, number in zip(row, values, strict=True) for part in (k, _brief(number, least)))
        for row, values in zip(classes.tolist(), numbers.tolist(), strict=True)
    ]


def _brief(number: float, least: float) -> float:
    """A number with a few decimals; a probability never 0 or 1 that is not quite that."""
    brief = round(number, DECIMALS)
    return brief if number in (0, 1) or not least else min(max(brief, least), 1 - least)

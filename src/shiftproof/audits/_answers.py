"""Answers and labels as a record has them: numbers of classes, or words."""

from __future__ import annotations

import numpy as np
import torch

from shiftproof.data import Images
from shiftproof.probe import Response

MAX_LABELS = 5
Answer = int | str


def label_of(response: Response, images: Images, index: int) -> Answer:
    """What an image shows: the number of a class, or a set of labels by name."""
    if response.labels.ndim == 2:
        return _named(response.labels[index] == 1, images)
    return int(response.labels[index])


def answer_of(response: Response, images: Images, index: int, shift: int | None) -> Answer:
    """The number of a class; in words a set of labels, or which image is nearest. No shift: unshifted."""
    if response.label_output is not None:
        of_labels = response.unshifted_output[index] if shift is None else response.label_output[index, shift]
        return _named(np.asarray(response.task.there(torch.from_numpy(of_labels))), images)
    predicted = response.unshifted_predicted[index] if shift is None else response.predicted[index, shift]
    return images.name_of(int(predicted)) if response.task.name == "embedding" else int(predicted)


def _named(there: np.ndarray, images: Images) -> str:
    """The labels of a set, by name where there are names."""
    numbers = np.flatnonzero(there).tolist()
    known = images.class_names
    names = [known[number] if number < len(known) else str(number) for number in numbers[:MAX_LABELS]]
    more = [f"{len(numbers) - MAX_LABELS} more"] if len(numbers) > MAX_LABELS else []
    return ", ".join([*names, *more]) or "none"

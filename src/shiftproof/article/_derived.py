"""Another task from the same images: some of the classes, or dark and bright exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from shiftproof.data import LabelledImages
from shiftproof.errors import DataError


def only_classes(data: LabelledImages, classes: Sequence[int]) -> LabelledImages:
    """The images of some classes, which are numbered anew from 0 in the order given.

    Args:
        data: Images with labels.
        classes: Labels to keep, each once.

    Returns:
        The images in the order that they had.

    Raises:
        DataError: A class is named twice, or is none of the data.

    Example:
        >>> three = LabelledImages("three", torch.zeros(3, 1, 2, 2, dtype=torch.uint8),
        ...                        torch.tensor([0, 2, 1]), ("a", "b", "c"))
        >>> some = only_classes(three, [2, 0])
        >>> some.labels.tolist(), some.class_names
        ([1, 0], ('c', 'a'))
    """
    n_classes = len(data.class_names)
    if len(set(classes)) < len(classes) or not all(0 <= label < n_classes for label in classes):
        raise DataError(f"different labels from 0 to {n_classes - 1}", list(classes))
    # One place more, for images without a label (−1), which belong to no class.
    number = torch.full((n_classes + 1,), -1)
    number[torch.tensor(classes, dtype=torch.int64)] = torch.arange(len(classes))
    labels = number[data.labels]
    kept = data.take((labels >= 0).nonzero().flatten())
    return kept.with_labels(labels[labels >= 0], tuple(data.class_names[label] for label in classes))


def inverted(data: LabelledImages) -> LabelledImages:
    """The same images with dark and bright exchanged: 255 − value.

    Example:
        >>> black = LabelledImages("black", torch.zeros(1, 1, 1, 2, dtype=torch.uint8),
        ...                        torch.tensor([0]), ("a",))
        >>> inverted(black).images.tolist()
        [[[[255, 255]]]]
    """
    return replace(data, name=f"{data.name} inverted", images=255 - data.images)

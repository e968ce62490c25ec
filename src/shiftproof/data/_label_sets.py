"""Images that may have several labels: from cells of a table to rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shiftproof.errors import DataError

SEPARATOR = "|"
# The table of 0 and 1 has a column for each.
MAX_LABELS = 10_000
MAX_DIGITS = 18
N_AXES = 2


def may_be_several(column: str, cells: Sequence[str]) -> bool:
    """Whether a column of labels is one where an image may have several: by its name, or by what is in it."""
    return column == "labels" or any(SEPARATOR in cell for cell in cells)


class LabelSets(NamedTuple):
    """The labels of images, of which each may have several or none.

    Args:
        numbers: For each image, which of the sets it has.
        sets: The different sets, each of 0 and 1 for each name.
        names: Of the labels.
    """

    numbers: list[int]
    sets: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]


def number_label_sets(cells: Sequence[str], source: str) -> LabelSets:
    """Read cells such as `cat|dog`; an empty one is an image without any of the labels.

    Where all labels are integers they are the numbers of the labels, from 0; otherwise the names are sorted.

    Args:
        cells: One for each image.
        source: Name of the table, for messages.

    Raises:
        DataError: No label in any cell, too many different ones, or a number that cannot be a label.

    Example:
        >>> number_label_sets(["cat|dog", "", "dog"], "a.csv")
        LabelSets(numbers=[0, 1, 2], sets=((1, 1), (0, 0), (0, 1)), names=('cat', 'dog'))
        >>> number_label_sets(["2", "0 | 2"], "a.csv").names
        ('0', '1', '2')
    """
    rows = [{label for part in cell.split(SEPARATOR) if (label := part.strip())} for cell in cells]
    found = sorted(set().union(*rows))
    if not found:
        raise DataError(f"labels of images in {source!r}", "none in any row")
    names = tuple(found)
    if all(label.isascii() and label.isdigit() and len(label) <= MAX_DIGITS for label in found):
        rows = [{str(int(label)) for label in row} for row in rows]
        n_names = max(int(label) for label in found) + 1
        names = tuple(map(str, range(min(n_names, MAX_LABELS + 1))))
    if len(names) > MAX_LABELS:
        raise DataError(
            f"at most {MAX_LABELS:,} different labels in {source!r}",
            "more",
            cause=f"Several labels of an image are separated by {SEPARATOR!r}.",
        )
    sets = [tuple(int(name in row) for name in names) for row in rows]
    place = {each: number for number, each in enumerate(dict.fromkeys(sets))}
    return LabelSets([place[each] for each in sets], tuple(place), names)


def label_sets_of(labels: Any, n_images: int) -> Tensor | None:
    """Labels as int64 (N, K) of 0 and 1, where they are an array of that; None for one class each.

    An array in which every image has exactly one label is none: it may be one-hot.

    Example:
        >>> label_sets_of(np.array([[0, 1], [1, 1]]), 2)
        tensor([[0, 1],
                [1, 1]])
    """
    if not isinstance(labels, Tensor | np.ndarray) or labels.ndim != N_AXES:
        return None
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if array.dtype.kind not in "bui" or len(array) != n_images or array.shape[1] == 1:
        return None
    table = torch.from_numpy(array.astype(np.int64))
    return None if bool((table.sum(1) == 1).all()) else table


def check_label_sets(labels: Tensor, n_images: int, class_names: Sequence[str]) -> None:
    """Nothing for int64 (N, K) of 0 and 1 with a name for each column, `DataError` for others."""
    expected = (n_images, len(class_names))
    if tuple(labels.shape) != expected:
        raise DataError(f"labels of shape {expected}, a column for each name", tuple(labels.shape))
    if len(labels) and not bool(((labels == 0) | (labels == 1)).all()):
        raise DataError(
            "labels of 0 and 1, where an image may have several",
            f"{int(labels.min())} to {int(labels.max())}",
        )

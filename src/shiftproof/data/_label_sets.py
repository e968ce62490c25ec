"""Images that may have several labels: from cells of a table to rows of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from shiftproof._text import said
from shiftproof.errors import DataError

SEPARATOR = "|"
# The table of 0 and 1 has a column for each.
MAX_LABELS = 10_000
MAX_DIGITS = 18


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
    return distinct([tuple(int(name in row) for name in names) for row in rows], names)


def distinct(sets: Sequence[tuple[int, ...]], names: tuple[str, ...]) -> LabelSets:
    """The sets of images, each kept once.

    Example:
        >>> distinct([(0, 1), (1, 1), (0, 1)], ("cat", "dog")).numbers
        [0, 1, 0]
    """
    place = {each: number for number, each in enumerate(dict.fromkeys(sets))}
    return LabelSets([place[each] for each in sets], tuple(place), names)


def several_labels(value: Any) -> tuple[int, ...] | None:
    """A vector of 0 and 1, of any type, as a label of one image; None for any other.

    Example:
        >>> several_labels([True, False]), several_labels(np.array([0.0, 1.0])), several_labels([0, 2])
        ((1, 0), (0, 1), None)
    """
    array = np.asarray(value)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "buif":
        return None
    return tuple(array.astype(int).tolist()) if bool(((array == 0) | (array == 1)).all()) else None


def listed_labels(value: Any, n_labels: int, where: str) -> tuple[int, ...]:
    """The numbers of the labels that an image has, as 0 and 1 for each.

    Raises:
        DataError: Anything but numbers of labels.

    Example:
        >>> listed_labels([2, 0], 4, "x[0]")
        (1, 0, 1, 0)
    """
    array = np.asarray([] if value is None else value)
    whole = array.dtype.kind in "ui" or not array.size
    if array.ndim != 1 or not whole or not bool(((array >= 0) & (array < n_labels)).all()):
        raise DataError(
            f"a list of numbers from 0 to {n_labels - 1} as the labels of {where}", said(str(value), 60)
        )
    there = set(array.tolist())
    return tuple(int(number in there) for number in range(n_labels))


def table_of(labels: Sequence[Any], names: tuple[str, ...], source: str) -> tuple[Tensor, tuple[str, ...]]:
    """int64 (N, K) of vectors of 0 and 1, and the names of the labels.

    Args:
        labels: Vectors as `several_labels` gives them.
        names: Of the labels; their numbers where there are none.
        source: Of the labels, for messages.

    Raises:
        DataError: Not a vector for each image, vectors or names of other lengths, or one-hot vectors.
    """
    first = next(label for label in labels if isinstance(label, tuple))
    for row, label in enumerate(labels):
        if not isinstance(label, tuple) or len(label) != len(first):
            raise DataError(
                f"{len(first)} numbers of 0 and 1 as the labels of each image of {source!r}",
                f"{len(label)} at place {row}" if isinstance(label, tuple) else f"{label!r} at place {row}",
            )
    if len(first) > MAX_LABELS:
        raise DataError(f"at most {MAX_LABELS:,} different labels in {source!r}", f"{len(first):,}")
    if names and len(names) != len(first):
        raise DataError(
            f"as many names as labels of an image of {source!r} ({len(first)})", f"{len(names)} names"
        )
    table = torch.tensor(labels)
    if bool((table.sum(1) == 1).all()):
        raise DataError(
            f"labels of {source!r} that are the numbers of classes, or of which images have several",
            f"{len(first)} numbers of 0 and 1 for each image, exactly one of them 1",
            cause="These are one-hot, and say one class for each image.",
            fix="Pass the number of the class, for example `labels.argmax(1)`.",
        )
    return table, names or tuple(map(str, range(len(first))))


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

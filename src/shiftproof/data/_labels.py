"""Labels in every form that people have them in: as numbers of classes, and the names of these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shiftproof.data._images import UNKNOWN
from shiftproof.data._label_sets import several_labels, table_of
from shiftproof.errors import DataError

# Names are made for all classes up to the largest number; a typing error must not make billions.
MAX_CLASSES = 1_000_000
MAX_DIGITS = 18


# Of one image: the number of a class, its name, or 0 and 1 for each of several labels.
Label = int | str | tuple[int, ...]


def label_of(value: Any, where: str) -> Label:
    """The label of one image: an integer or a name, or a vector of 0 and 1; None is unknown.

    Raises:
        DataError: A fraction, several numbers that are not all 0 or 1, or an object of another kind.

    Example:
        >>> label_of(torch.tensor(3), "x[0]"), label_of("cat", "x[1]"), label_of(None, "x[2]")
        (3, 'cat', -1)
        >>> label_of(torch.tensor([0.0, 1.0, 1.0]), "x[3]")
        (0, 1, 1)
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, int | np.generic | np.ndarray):
        number = np.asarray(value)
        if number.size == 1 and number.dtype.kind in "bui":
            return int(number.item())
    several = _is_vector(value)
    if several and (found := several_labels(value)) is not None:
        return found
    wanted = "labels of 0 and 1, where an image has several," if several else "an integer or a name"
    raise DataError(
        f"{wanted} as the label of {where}",
        _shown(value),
        cause="It has several numbers, but not 0 or 1 for each label." if several else "",
    )


def labels_of(labels: Any, n_images: int, what: str) -> list[Label]:
    """One label for each image from an array (N,), (N, 1) or (N, K), or any sequence.

    Raises:
        DataError: Not so many, or a label that is none.
    """
    if isinstance(labels, Tensor):
        labels = labels.detach().cpu().numpy()
    if not hasattr(labels, "__len__") or isinstance(labels, str):
        raise DataError(f"a sequence of labels of {what}", _shown(labels))
    if len(labels) != n_images:
        raise DataError(f"one label for each of the {n_images:,} images of {what}", f"{len(labels):,} labels")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "bui" and labels.size == n_images:
        return [int(label) for label in labels.reshape(-1)]
    return [label_of(label, f"{what}[{row}]") for row, label in enumerate(labels)]


def numbered(
    labels: Sequence[Label], class_names: tuple[str, ...], source: str
) -> tuple[Tensor, tuple[str, ...]]:
    """int64 (N,) of labels, or (N, K) where an image may have several; and the names of the classes.

    Args:
        labels: Numbers, names, or vectors of 0 and 1.
        class_names: By number; empty where they are not known.
        source: Of the labels, for messages.

    Raises:
        DataError: Numbers and names together, a number without a name, or an unknown name.

    Example:
        >>> numbered(["b", "a", -1], (), "x")
        (tensor([ 1,  0, -1]), ('a', 'b'))
    """
    if any(isinstance(label, tuple) for label in labels):
        return table_of(labels, class_names, source)
    named = [label for label in labels if isinstance(label, str)]
    whole = [label for label in labels if isinstance(label, int)]
    if not named:
        names = class_names or names_up_to(min(whole), max(whole), source)
        if min(whole) < UNKNOWN or max(whole) >= max(len(names), 1):
            raise DataError(
                f"labels of {source!r} from 0 to {len(names) - 1}, or −1 for unknown",
                min(whole) if min(whole) < UNKNOWN else max(whole),
            )
        return torch.tensor(whole), names
    if set(whole) - {UNKNOWN}:
        raise DataError(
            f"either numbers or names as the labels of {source!r}", f"{whole[0]} and {named[0]!r}"
        )
    texts = [label if isinstance(label, str) else "" for label in labels]
    if not class_names:
        numbers, class_names = number_labels(texts, source)
        return torch.tensor(numbers), class_names
    unknown = sorted(set(named) - set(class_names))
    if unknown:
        raise DataError(f"the names of classes of {source!r} as its labels", repr(unknown[0]))
    place = {name: number for number, name in enumerate(class_names)}
    return torch.tensor([place.get(text, UNKNOWN) for text in texts]), class_names


def number_labels(labels: Sequence[str], source: str) -> tuple[list[int], tuple[str, ...]]:
    """Classes by number, and their names.

    Where all labels are integers they are the numbers; otherwise the names are sorted. An empty label,
    or −1 among integers, is unknown.

    Raises:
        DataError: A number below −1, or too large to be a class.

    Example:
        >>> number_labels(["cat", "ant", ""], "a.csv")
        ([1, 0, -1], ('ant', 'cat'))
        >>> number_labels(["2", "0"], "a.csv")
        ([2, 0], ('0', '1', '2'))
    """
    known = sorted({label for label in labels if label})
    if not all(is_integer(label) for label in known):
        place = {name: number for number, name in enumerate(known)}
        return [place.get(label, UNKNOWN) for label in labels], tuple(known)
    numbers = [int(label) if label else UNKNOWN for label in labels]
    return numbers, names_up_to(min(numbers), max(numbers), source)


def names_up_to(smallest: int, largest: int, source: str) -> tuple[str, ...]:
    """The names '0', '1', … of numbered classes; `DataError` where a number cannot be a class."""
    if smallest < UNKNOWN or largest >= MAX_CLASSES:
        raise DataError(
            f"labels in {source!r} from 0 to {MAX_CLASSES - 1:,}, or −1 for unknown",
            f"{smallest if smallest < UNKNOWN else largest}",
        )
    return tuple(str(number) for number in range(largest + 1))


def is_integer(label: str) -> bool:
    """Whether a text is an integer that could be the number of a class."""
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.size > 1)


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size != 1:
        return f"{value.dtype} of shape {value.shape}"
    return f"{type(value).__name__} {str(value)[:40]}"

"""Images as Python programs have them: arrays, lists, datasets, loaders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from shiftproof._address import Address
from shiftproof.data._arrays import from_arrays
from shiftproof.data._check import Entry
from shiftproof.data._elements import kind_of
from shiftproof.data._images import UNKNOWN, Images
from shiftproof.data._items import Items
from shiftproof.data._label_sets import distinct
from shiftproof.data._labels import labels_of, numbered
from shiftproof.data._listing import Listing, as_text
from shiftproof.data._locations import InFolder
from shiftproof.data._reading import Reading
from shiftproof.errors import DataError

ImagesLike = (
    str
    | Address
    | Path
    | Images
    | Tensor
    | np.ndarray[Any, Any]
    | tuple[Any, Any]
    | Iterable[Any]
    | Dataset[Any]
)
PAIR = 2


@dataclass(frozen=True, slots=True)
class Stream:
    """A collection that can only be gone through from the beginning."""

    collection: Iterable[Any]


def is_images(images: Any) -> TypeGuard[Images]:
    """Whether a value offers what `Images` does; nothing of it is computed to know."""
    return all(hasattr(type(images), name) for name in ("pixels", "name_of", "take", "with_labels"))


def open_collection(images: Any, reading: Reading) -> Images | Listing | Items | Stream:
    """What a value of Python offers: images at once, files, elements by number, or a stream of them.

    Args:
        images: An array, alone or with labels in a tuple; a list of images of Pillow, of arrays, of paths, or
            of pairs of one of these and a label; a dataset; a loader.
        reading: How its images are read.

    Raises:
        DataError: Anything else, or parts that do not fit together.
    """
    if is_images(images):
        return images
    labels = None
    if isinstance(images, tuple):
        if len(images) != PAIR:
            raise DataError(
                "images, alone or in a tuple with labels",
                f"a tuple of {len(images)}",
                fix="Pass a list of images, or (images, labels).",
            )
        images, labels = images
    if isinstance(images, np.ndarray) and images.dtype.kind in "UO":
        images = images.tolist()
    if isinstance(images, Tensor | np.ndarray):
        reading.refuse("root", "path_column", "label_column", source="an array")
        return from_arrays(images, labels, name="images", what="images", window=reading.window)
    if isinstance(images, list) and not images:
        raise DataError("at least one image", "none")
    if isinstance(images, list) and _names_file(images[0]):
        return _files(images, labels, reading)
    reading.refuse("root", source=f"a {type(images).__name__}")
    return _collection(images, labels, reading)


def _collection(images: Any, labels: Any, reading: Reading) -> Items | Stream:
    if isinstance(images, Mapping):
        shown = ", ".join(map(repr, images))
        raise DataError(
            "one set of images",
            f"a {type(images).__name__} of {shown}",
            fix=f"Pass one of its parts, for example its [{next(iter(images), 'test')!r}].",
        )
    by_number = hasattr(images, "__getitem__") and not isinstance(images, IterableDataset | str)
    if by_number and hasattr(images, "__len__"):
        kind = kind_of(images, reading)
        if not len(images):
            raise DataError("at least one image", f"none in {kind.name}")
        given = None if labels is None else labels_of(labels, len(images), kind.name)
        return Items(images, kind, reading, given)
    if hasattr(images, "__iter__") and labels is None:
        return Stream(images)
    raise DataError(
        "images: a reference such as a folder, an array, a list, a dataset or a loader",
        f"a value of type {type(images).__name__}{' with labels' if labels is not None else ''}",
        cause="A dataset that is asked by number needs a length (`__len__`)." if by_number else "",
    )


def _names_file(element: Any) -> bool:
    first = element[0] if isinstance(element, tuple) and element else element
    return isinstance(first, str | Path)


def _files(images: list[Any], labels: Any, reading: Reading) -> Listing:
    """Files that were named one by one, alone or with a label each."""
    reading.refuse("path_column", "label_column", source="a list of paths")
    pairs = [one if isinstance(one, tuple) else (one, None) for one in images]
    wrong = [row for row, pair in enumerate(pairs) if len(pair) != PAIR or not _names_file(pair)]
    if wrong:
        raise DataError(
            "paths only, or pairs of a path and a label only, in a list that begins with one",
            f"{type(images[wrong[0]]).__name__} at place {wrong[0]}",
        )
    if labels is None and isinstance(images[0], tuple):
        labels = [label for _, label in pairs]
    numbers: Sequence[int] = [UNKNOWN] * len(pairs)
    class_names: tuple[str, ...] = ()
    sets: tuple[tuple[int, ...], ...] = ()
    if labels is not None:
        found, class_names = numbered(labels_of(labels, len(pairs), "images"), (), "images")
        numbers = found.tolist()
        if found.ndim > 1:
            numbers, sets, _ = distinct(list(map(tuple, numbers)), class_names)
    base = (reading.folder or Path.cwd()).absolute()
    places = [Path(os.path.normpath(base / path)) for path, _ in pairs]
    above = Path(os.path.commonpath([place.parent for place in places]))
    # Who names a link means the file behind it.
    real = [_behind_links(place) for place in places]
    root = Path(os.path.commonpath([path.parent for path in real]))
    entries = (
        Entry(as_text(place.relative_to(above).as_posix()), InFolder(path, (root,)), label)
        for place, path, label in zip(places, real, numbers, strict=True)
    )
    return Listing("images", tuple(entries), class_names, label_sets=sets)


def _behind_links(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):  # a null byte, or links in a circle: said when it is read
        return path

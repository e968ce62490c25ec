"""What a source of image files lists before any of them is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from shiftproof.data._check import Entry
from shiftproof.data._label_sets import distinct
from shiftproof.data._labels import Label, numbered
from shiftproof.data._locations import Location

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
# These are images too, in formats that are not opened: to leave them out is worth a word for each.
OTHER_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".apng", ".dib")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source in their order.

    Args:
        name: Name for reports.
        entries: The files that claim to be images.
        class_names: One name per class; empty without labels.
        not_considered: The other files.
        label_sets: Where an image may have several labels: the sets that occur, of 0 and 1 for each class;
            the label of an entry is the number of its set.
        note: What a reader has to know of its labels; empty: nothing.
    """

    name: str
    entries: tuple[Entry, ...]
    class_names: tuple[str, ...] = ()
    not_considered: tuple[str, ...] = ()
    label_sets: tuple[tuple[int, ...], ...] = ()
    note: str = ""


def labelled(
    name: str, places: Sequence[tuple[str, Location]], labels: Sequence[Label], class_names: tuple[str, ...]
) -> Listing:
    """The listing of images of which each brings a label of its own.

    Args:
        name: For reports.
        places: Of each image, its name in the set and where it is.
        labels: Numbers, names, or 0 and 1 for each of several labels; −1 where unknown.
        class_names: By number; empty where they are not known.

    Raises:
        DataError: Labels that do not fit together, or the names.
    """
    found, class_names = numbered(labels, class_names, name)
    numbers = found.tolist()
    sets: tuple[tuple[int, ...], ...] = ()
    if found.ndim > 1:
        numbers, sets, _ = distinct(list(map(tuple, numbers)), class_names)
    rows = zip(places, numbers, strict=True)
    entries = tuple(Entry(each, place, number) for (each, place), number in rows)
    return Listing(name, entries, class_names, label_sets=sets)


def claims_to_be_image(path: PurePath) -> bool:
    """Whether a name ends like that of an image.

    Example:
        >>> claims_to_be_image(PurePath("a.JPG")), claims_to_be_image(PurePath("labels.txt"))
        (True, False)
    """
    return path.suffix.lower() in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES)


def as_text(name: str) -> str:
    r"""A file's name as valid Unicode: bytes that are no UTF-8 become `\xff`.

    Example:
        >>> as_text("caf\udce9.png")
        'caf\\xe9.png'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")

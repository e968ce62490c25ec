"""What a source of image files lists before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shiftproof.data._check import Entry

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff")
# These are images too, in formats that are not opened: to leave them out is worth a word for each.
OTHER_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".apng", ".dib")


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source in their order.

    Args:
        name: Name for reports.
        roots: The folders, without links, that each file must be in one of.
        entries: The files that claim to be images.
        class_names: One name per class; empty without labels.
        not_considered: The other files.
        label_sets: Where an image may have several labels: the sets that occur, of 0 and 1 for each class;
            the label of an entry is the number of its set.
        note: What a reader has to know of its labels; empty: nothing.
    """

    name: str
    roots: tuple[Path, ...]
    entries: tuple[Entry, ...]
    class_names: tuple[str, ...] = ()
    not_considered: tuple[str, ...] = ()
    label_sets: tuple[tuple[int, ...], ...] = ()
    note: str = ""


def claims_to_be_image(path: Path) -> bool:
    """Whether a name ends like that of an image.

    Example:
        >>> claims_to_be_image(Path("a.JPG")), claims_to_be_image(Path("labels.txt"))
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

"""A CSV file that names images and, where known, their classes."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from shiftproof.data._check import Entry
from shiftproof.data._images import UNKNOWN
from shiftproof.data._label_sets import may_be_several, number_label_sets
from shiftproof.data._listing import Listing, as_text
from shiftproof.errors import DataError

# Names are made for all classes up to the largest number; a typing error must not make billions.
MAX_CLASSES = 1_000_000
MAX_DIGITS = 18


def list_manifest(file: Path) -> Listing:
    """List the images of a CSV file in the order of its rows.

    Args:
        file: UTF-8, with a header. Column `path`: relative to the folder of the file, and inside it.
            Column `label`, which may be absent: names, or numbers from 0 in all rows; empty where
            unknown. A column `labels`, or cells such as `cat|dog`: an image may have several of them, and an
            empty cell is none of them. Other columns are not read.

    Raises:
        DataError: No such file or columns, a row of another length, or a path that leaves the folder.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            paths, labels, several = _columns(csv.reader(lines, strict=True), file.name)
    except OSError as error:
        raise DataError(f"to be able to read {file.name!r}", error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file.name!r} to be UTF-8 text", f"other bytes ({error.reason})") from error
    except csv.Error as error:
        raise DataError(f"{file.name!r} to be a CSV file", f"a line that is not ({error})") from error
    if several:
        numbers, sets, class_names = number_label_sets(labels, file.name)
    else:
        (numbers, class_names), sets = number_labels(labels, file.name), ()
    root = file.parent.resolve()
    entries = (Entry(as_text(path), root / path, label) for path, label in zip(paths, numbers, strict=True))
    return Listing(as_text(file.name), root, tuple(entries), class_names, label_sets=sets)


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
    if not all(_is_integer(label) for label in known):
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


def _is_integer(label: str) -> bool:
    digits = label.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS


def _columns(rows: Iterator[list[str]], source: str) -> tuple[list[str], list[str], bool]:
    """Paths, labels, and whether an image may have several."""
    header = [name.strip() for name in next(rows, [])]
    if header.count("path") != 1 or max(header.count("label"), header.count("labels")) > 1:
        raise DataError(
            f"the columns `path` and, optionally, `label` in the first line of {source!r}",
            ", ".join(map(repr, header)) or "an empty file",
            fix="Write a header: path,label",
        )
    path_column = header.index("path")
    name = next((name for name in ("label", "labels") if name in header), "")
    label_column = header.index(name) if name else None
    paths: list[str] = []
    labels: list[str] = []
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(
                f"{len(header)} cells in row {number} of {source!r}",
                len(row),
                cause="A name with a comma must stand in quotes." if len(row) > len(header) else "",
            )
        paths.append(_inside(row[path_column], number, source))
        labels.append("" if label_column is None else row[label_column])
    if not paths:
        raise DataError(f"at least one image in {source!r}", "only a header")
    return paths, labels, may_be_several(name, labels)


def _inside(path: str, number: int, source: str) -> str:
    steps = Path(os.path.normpath(path)).parts
    if not path or Path(path).is_absolute() or ".." in steps:
        raise DataError(
            f"a path inside the folder of {source!r} in row {number}",
            repr(path),
            cause="Paths are relative to the CSV file." if path else "",
            fix="Put the CSV file into a folder above all images." if path else "",
        )
    return path

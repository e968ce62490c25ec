"""A CSV file that names images and, where known, their classes."""

from __future__ import annotations

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shiftproof._inputs import Most, read_file
from shiftproof.data._check import Entry
from shiftproof.data._label_sets import may_be_several, number_label_sets
from shiftproof.data._labels import number_labels
from shiftproof.data._listing import Listing, as_text
from shiftproof.data._locations import InFolder
from shiftproof.data._reading import AS_USUAL, Reading
from shiftproof.errors import DataError

DELIMITERS = (",", ";", "\t")
# In the order of preference; as here, in Keras' data frames, in folders for Hugging Face.
PATH_COLUMNS = ("path", "filename", "file_name", "filepath")
LABEL_COLUMNS = ("label", "class", "labels")


def list_manifest(file: Path, reading: Reading = AS_USUAL) -> Listing:
    """List the images of a CSV file in the order of its rows.

    Args:
        file: UTF-8, or UTF-16 with a byte-order mark; separated by commas, semicolons or tabs; with a header.
            One column names the files: `path`, `filename`, `file_name`, `filepath` or that of `reading`; in
            its root, or in the folder of the table. One, which may be absent, has the labels: `label`,
            `class` or that of `reading`; names, or numbers from 0 in all rows; empty where unknown. In a
            column `labels`, or one with a cell such as `cat|dog`, an image may have several of them, and an
            empty cell is none of them. Other columns are not read.
        reading: May name the columns, and the folder of the images.

    Raises:
        DataError: No such file or columns, a row of another length, or a path that leaves the folder.
    """
    columns, rows = _table(_text(file), reading, file.name)
    places = _Places(file.name, reading.folder or file.parent)
    paths = [places.inside(row[columns.path], number) for number, row in rows]
    labels = ["" if columns.label is None else row[columns.label] for _, row in rows]
    if not paths:
        raise DataError(f"at least one image in {file.name!r}", "only a header")
    if may_be_several(columns.label_name, labels):
        numbers, sets, class_names = number_label_sets(labels, file.name)
    else:
        (numbers, class_names), sets = number_labels(labels, file.name), ()
    root = places.root.resolve()
    entries = (
        Entry(as_text(path), InFolder(root / path, (root,)), label)
        for path, label in zip(paths, numbers, strict=True)
    )
    return Listing(as_text(file.name), tuple(entries), class_names, label_sets=sets)


class _Columns(NamedTuple):
    """Where the paths and, if there are any, the labels are in a row."""

    path: int
    label: int | None
    label_name: str


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the files of a table are.

    Args:
        source: Name of the table, for messages.
        root: The folder, as it was given.
    """

    source: str
    root: Path

    def inside(self, path: str, number: int) -> str:
        """The path in row `number`, from the folder on."""
        if Path(path).is_absolute():
            path = self._from_root(path)
        if not path or Path(path).is_absolute() or ".." in Path(os.path.normpath(path)).parts:
            raise DataError(
                f"a path inside the folder of {self.source!r} in row {number}",
                repr(path),
                cause=f"Paths are taken from the folder {str(self.root)!r} on." if path else "",
                fix="Name the folder above all images: --root FOLDER." if path else "",
            )
        return path

    def _from_root(self, path: str) -> str:
        """From the folder on, as it was given or behind links; as it is if it is elsewhere."""
        for root in (Path(os.path.normpath(Path.cwd() / self.root)), self.root.resolve()):
            if (normal := Path(os.path.normpath(path))).is_relative_to(root):
                return normal.relative_to(root).as_posix()
        return path


def _text(file: Path) -> str:
    try:
        content = read_file(file, Most.TABLE)
    except OSError as error:
        raise DataError.cannot(f"read {file.name!r}", error.strerror or error) from error
    marked = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError.cannot(
            f"read {file.name!r} as UTF-8 text", error.reason, fix="Save it as UTF-8."
        ) from error


def _table(text: str, reading: Reading, source: str) -> tuple[_Columns, list[tuple[int, list[str]]]]:
    """Where the columns are, and each row with its number."""
    rows: list[tuple[int, list[str]]] = []
    try:
        reader = _reader(text, _delimiter(text, reading))
        header = [name.strip() for name in next(reader, [])]
        columns = _columns(header, reading, source)
        for number, row in enumerate(reader, start=2):
            if row and len(row) != len(header):
                raise DataError(
                    f"{len(header)} cells in row {number} of {source!r}",
                    len(row),
                    cause="A name with a comma must stand in quotes." if len(row) > len(header) else "",
                )
            rows += [(number, row)] if row else []
    except csv.Error as error:
        raise DataError.cannot(f"read {source!r} as CSV", error) from error
    return columns, rows


def _reader(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True, delimiter=delimiter)


def _delimiter(text: str, reading: Reading) -> str:
    """What separates the columns of the header: where the column of the paths is found, in most columns."""

    def fits(delimiter: str) -> tuple[bool, int]:
        try:
            header = [name.strip() for name in next(_reader(text, delimiter), [])]
        except csv.Error:  # quotes that end before what would be the end of a cell
            return False, 0
        return _place(header, reading.path_column, PATH_COLUMNS) is not None, len(header)

    return max(DELIMITERS, key=fits)


def _columns(header: Sequence[str], reading: Reading, source: str) -> _Columns:
    path = _place(header, reading.path_column, PATH_COLUMNS)
    label = _place(header, reading.label_column, LABEL_COLUMNS)
    # A column that stands there twice is no table without labels.
    said = reading.label_column or any(name.lower() in LABEL_COLUMNS for name in header)
    wanted = [
        *([f"`{reading.path_column or PATH_COLUMNS[0]}`"] if path is None else []),
        *([f"`{reading.label_column or LABEL_COLUMNS[0]}`"] if label is None and said else []),
    ]
    if wanted:
        raise DataError(
            f"the column {' and '.join(wanted)}, once, in the first line of {source!r}",
            ", ".join(map(repr, header)) or "an empty file",
            fix="Write a header, path,label, or name its columns: --path-column NAME --label-column NAME.",
        )
    assert path is not None
    return _Columns(path, label, "" if label is None else header[label].lower())


def _place(header: Sequence[str], given: str | None, usual: Sequence[str]) -> int | None:
    """The column of a name that was given, or of the first of the usual ones; None: not there, or twice."""
    names = list(header) if given else [name.lower() for name in header]
    found = next((name for name in ([given] if given else usual) if name in names), None)
    return names.index(found) if found is not None and names.count(found) == 1 else None

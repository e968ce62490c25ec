"""Parquet files of images, as Hugging Face keeps data sets: a column with the bytes of image files."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._documents import parse_json
from shiftproof._inputs import Most
from shiftproof._optional import require
from shiftproof._text import said
from shiftproof.data._elements import IMAGE_KEYS, LABEL_KEYS
from shiftproof.data._images import UNKNOWN
from shiftproof.data._labels import Label, label_of
from shiftproof.data._listing import Listing, as_text, labelled
from shiftproof.data._locations import MAX_FILE_BYTES, check_length, opened
from shiftproof.data._reading import Reading
from shiftproof.data._samples import UnusableImage
from shiftproof.errors import DataError, MissingDependencyError

# Rows of a group are decoded a few at a time, so that one that inflates is noticed before memory is full.
BYTES_AT_A_TIME, MAX_GROUP_BYTES = 2**26, 2**30
# Groups that stay decoded: neighbours in the file are mostly neighbours in what is asked for.
N_KEPT = 4
_decoding = threading.Lock()


class _Group(NamedTuple):
    """A row group of a file, and the column with the images."""

    file: Path | Address
    version: str
    column: str
    number: int


@dataclass(frozen=True, slots=True)
class InTable:
    """An image file in a row of a Parquet file.

    Args:
        group: Which group of rows.
        row: Its number in the group.
    """

    group: _Group
    row: int

    def content(self) -> bytes:
        """The bytes in the row."""
        try:
            with _decoding:
                values = _values(self.group)
        except (DataError, OSError) as error:
            raise UnusableImage(f"cannot be read ({said(error, 300)})") from error
        if self.row >= len(values):
            raise UnusableImage("a row that is not there any more")
        value = values[self.row].as_py()
        if value is None:
            raise UnusableImage("no bytes: the row may name a file instead of holding it")
        check_length(len(value))
        return bytes(value)


def list_tables(files: Sequence[Path | Address], name: str, reading: Reading) -> Listing:
    """List the rows of Parquet files in their order.

    Args:
        files: All of the same columns. One holds the images, as bytes or as a struct with `bytes`: `image`,
            or what the path column of `reading` says, or the only one of that kind. One, which may be absent,
            has the labels: `label`, or what the label column of `reading` says; numbers, or names. The names
            of classes are those that Hugging Face writes into the file.
        name: For reports.
        reading: May name the columns.

    Raises:
        DataError: A file that is no whole Parquet file, or without such columns.
        MissingDependencyError: pyarrow is not installed.
    """
    reading.refuse("root", source="Parquet files")
    entries: list[tuple[str, InTable]] = []
    labels: list[Label] = []
    class_names: tuple[str, ...] = ()
    for file in files:
        with _table(file) as table:
            schema = table.schema_arrow
            column = _image_column(schema, reading, file)
            label = _label_column(schema, reading, file)
            version, before = _version(file), len(entries)
            for number in range(table.num_row_groups):
                group = _Group(file, version, column, number)
                for row in range(table.metadata.row_group(number).num_rows):
                    name_of_row = as_text(f"{file.name}[{len(entries) - before}]")
                    entries.append((name_of_row, InTable(group, row)))
            if label is not None:
                values = table.read(columns=[label]).column(0).to_pylist()
                labels += [label_of(value, f"{file.name}[{row}]") for row, value in enumerate(values)]
                class_names = class_names or _class_names(schema, label)
    if not entries:
        raise DataError(f"at least one image in {name!r}", "tables without rows")
    return labelled(name, entries, labels or [UNKNOWN] * len(entries), class_names)


@contextmanager
def _table(file: Path | Address) -> Iterator[Any]:
    """A Parquet file; whatever is wrong with it as a `DataError`."""
    parquet: Any = require("pyarrow.parquet", extra="parquet", purpose=f"{file.name}")
    arrow: Any = require("pyarrow", extra="parquet", purpose=f"{file.name}")
    try:
        with opened(file, Most.SHARD) as content:
            size = content.seek(0, 2)
            content.seek(0)
            table = parquet.ParquetFile(content)
            if table.metadata.num_rows > size:
                raise DataError.cannot(f"read {file.name!r} as Parquet", "it has more rows than bytes")
            yield table
    except (DataError, MissingDependencyError):
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or said(error, 200)
        raise DataError.cannot(f"read {file.name!r} as Parquet", reason) from error


@lru_cache(N_KEPT)
def _values(group: _Group) -> Any:
    """The bytes of the images in a group of rows."""
    import pyarrow

    with _table(group.file) as table:
        about = table.metadata.row_group(group.number)
        n_bytes = max(1, about.total_byte_size)
        if n_bytes > MAX_FILE_BYTES * max(1, about.num_rows):
            raise DataError(f"images in {group.file.name!r}", f"a group of rows of {n_bytes:,} bytes")
        at_a_time = max(1, min(256, BYTES_AT_A_TIME // n_bytes))
        found, so_far = [], 0
        column = group.column
        is_struct = pyarrow.types.is_struct(table.schema_arrow.field(column).type)
        columns = [f"{column}.bytes"] if is_struct else [column]
        for batch in table.iter_batches(
            at_a_time, row_groups=[group.number], columns=columns, use_threads=False
        ):
            values = batch.column(0).field("bytes") if is_struct else batch.column(0)
            so_far += values.nbytes
            if so_far > MAX_GROUP_BYTES:
                raise DataError(
                    f"at most {MAX_GROUP_BYTES:,} bytes in a group of rows of {group.file.name!r}", "more"
                )
            found.append(values)
        return pyarrow.chunked_array(found) if found else pyarrow.array([], pyarrow.binary())


def _image_column(schema: Any, reading: Reading, file: Path | Address) -> str:
    possible = [field.name for field in schema if _holds_bytes(field.type)]
    wanted = [reading.path_column] if reading.path_column else [*IMAGE_KEYS]
    found = next((name for name in wanted if name in possible), None)
    if found is None and not reading.path_column and len(possible) == 1:
        found = possible[0]
    if found is None:
        raise DataError(
            f"a column with the bytes of images, such as 'image', in {file.name!r}",
            ", ".join(repr(name) for name in (possible or schema.names)) or "no columns",
            fix=f"Say which: --path-column {possible[0]}." if possible else "",
        )
    return str(found)


def _label_column(schema: Any, reading: Reading, file: Path | Address) -> str | None:
    wanted = [reading.label_column] if reading.label_column else [*LABEL_KEYS]
    found = next((name for name in wanted if name in schema.names), None)
    if found is None and reading.label_column:
        raise DataError(
            f"the column {reading.label_column!r} in {file.name!r}", ", ".join(map(repr, schema.names))
        )
    return found


def _holds_bytes(kind: Any) -> bool:
    import pyarrow

    types = pyarrow.types
    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _holds_bytes(kind.field("bytes").type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _class_names(schema: Any, label: str) -> tuple[str, ...]:
    """The names that Hugging Face's `ClassLabel` writes beside the table."""
    try:
        about = parse_json((schema.metadata or {}).get(b"huggingface", b"{}").decode())
        names = about["info"]["features"][label]["names"]
    except (ValueError, LookupError, TypeError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _version(file: Path | Address) -> str:
    if isinstance(file, Address):
        return _store.version_of(file)
    found = file.stat()
    return f"{found.st_size} {found.st_mtime_ns}"

"""WebDataset: tar files whose members that share a name up to its first dot are one sample.

Nothing is unpacked onto the disk: of a member only is known where its bytes begin, and they are read when
they are needed. So a shard is a plain tar file; in a compressed one no byte could be found without all before
it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, cast

from shiftproof._address import Address
from shiftproof._documents import parse_json
from shiftproof._inputs import Most
from shiftproof._store import reason_of
from shiftproof._text import said
from shiftproof.data._elements import LABEL_KEYS
from shiftproof.data._images import UNKNOWN
from shiftproof.data._labels import Label, is_integer, label_of
from shiftproof.data._listing import Listing, as_text, claims_to_be_image, labelled
from shiftproof.data._locations import PartOf, opened
from shiftproof.data._reading import Reading
from shiftproof.data._side_by_side import side_by_side
from shiftproof.errors import DataError

# What a header may bring with it, such as a long name; and what a label may.
MAX_HEADER_BYTES, MAX_LABEL_BYTES = 2**20, 4096
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


class _Sample(NamedTuple):
    """A sample: its name, where its image is, and what its label is."""

    name: str
    image: PartOf
    label: Label


class _Member(NamedTuple):
    """A member: the name of its sample, the rest of its name, and where it is."""

    sample: str
    kind: str
    start: int
    n_bytes: int


def list_shards(shards: Sequence[Path | Address], name: str, reading: Reading) -> Listing:
    """List the samples of tar files in their order.

    The image of a sample is its member that ends like one (`.jpg`, `.png`, …), or like the path column of
    `reading`. Its label is what is in `.cls`, as text, or in `.json`, under `label` or a similar key; the
    label column of `reading` is another ending, or another key. Labels are numbers, or names. Samples without
    an image are not considered.

    Args:
        shards: The tar files.
        name: For reports.
        reading: May name the endings.

    Raises:
        DataError: A file that is no whole tar file, or is compressed; a link or a name that leads out of it;
            or a sample with two images.
    """
    reading.refuse("root", source="tar files")

    def samples(shard: Path | Address) -> list[_Sample]:
        return list(_samples(shard, reading))

    found = [sample for part in side_by_side(samples, shards) for sample in part]
    if not found:
        raise DataError(
            f"images in the tar files of {name!r}",
            "none",
            cause="A sample is an image, such as 'a.jpg', and its label, 'a.cls'.",
        )
    return labelled(
        name, [(sample.name, sample.image) for sample in found], [sample.label for sample in found], ()
    )


def _samples(shard: Path | Address, reading: Reading) -> Iterator[_Sample]:
    try:
        with opened(shard, Most.SHARD) as file:
            before: list[_Member] = []
            for member in _members(shard, file):
                if before and member.sample != before[0].sample:
                    yield from _sample(shard, file, before, reading)
                    before = []
                before.append(member)
            yield from _sample(shard, file, before, reading)
    except tarfile.TarError as error:
        raise DataError.cannot(
            f"read {shard.name!r} as a tar file", said(error), cause="It is damaged."
        ) from error
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError.cannot(f"read {str(shard)!r}", reason_of(error)) from error


class _Bounded:
    """A file of which no header can ask for more than a header needs."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, n_bytes: int = -1) -> bytes:
        if not 0 <= n_bytes <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {n_bytes:,} bytes")
        return self._file.read(n_bytes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _members(shard: Path | Address, file: BinaryIO) -> Iterator[_Member]:
    start = file.read(2)
    size = file.seek(0, 2)
    file.seek(0)
    if start in COMPRESSED:
        raise DataError(
            f"a plain tar file in {shard.name!r}",
            f"one that is compressed ({COMPRESSED[start]})",
            cause="Nothing is found in it without unpacking all that is before.",
            fix="Unpack it to .tar; images hardly get smaller by it.",
        )
    with tarfile.open(fileobj=cast("Any", _Bounded(file)), mode="r:", errorlevel=2) as archive:
        n_seen = 0
        for info in archive:
            cast("Any", archive).members.clear()  # which it keeps, all of them
            n_seen += 1
            if info.isdir():
                continue
            place = PurePosixPath(info.name)
            if not info.isreg() or info.issparse():
                raise _strange(shard, info.name, "a link, a device or a file with holes")
            if place.is_absolute() or ".." in place.parts:
                raise _strange(shard, info.name, "a name that leads out of the file")
            if info.offset_data + info.size > size:
                raise tarfile.ReadError(f"{info.name} ends behind the end of the file")
            stem, _, kind = place.name.partition(".")
            yield _Member(f"{place.parent}/{stem}", kind.lower(), info.offset_data, info.size)
        if not n_seen and size:
            _check_end(file)


def _check_end(file: BinaryIO) -> None:
    """An empty tar file is zeros; anything else without a member is none."""
    file.seek(0)
    if file.read(512).strip(b"\0"):
        raise tarfile.ReadError("no tar file")


def _sample(
    shard: Path | Address, file: BinaryIO, members: Sequence[_Member], reading: Reading
) -> Iterator[_Sample]:
    if not members:
        return
    wanted = reading.path_column
    images = [
        member
        for member in members
        if (
            member.kind == wanted.lower().lstrip(".") if wanted else claims_to_be_image(_as_name(member.kind))
        )
    ]
    if len(images) > 1:
        raise DataError(
            f"one image for {members[0].sample!r} in {shard.name!r}",
            ", ".join(repr(image.kind) for image in images),
            fix=f"Say which: --path-column {images[0].kind}.",
        )
    if images:
        image = images[0]
        where = as_text(f"{shard.name}/{image.sample.removeprefix('./')}.{image.kind}")
        place = PartOf(shard, image.start, image.n_bytes)
        yield _Sample(where, place, _label(where, file, members, reading.label_column))


def _as_name(kind: str) -> PurePosixPath:
    """The end of a name as a name: `jpg` claims to be an image, `seg.png` is another part of a sample."""
    return PurePosixPath(f"x.{kind}" if "." not in kind else "x")


def _label(where: str, file: BinaryIO, members: Sequence[_Member], wanted: str | None) -> Label:
    of_kind = {member.kind: member for member in members}
    text = of_kind.get(wanted.lower().lstrip(".") if wanted else "cls")
    if text is not None and text.kind != "json":
        found = _content(file, text, where, MAX_LABEL_BYTES).strip()
        return int(found) if is_integer(found) else found or UNKNOWN
    if "json" in of_kind:
        content = _content(file, of_kind["json"], where, Most.SETTINGS)
        try:
            value = parse_json(content)
        except ValueError as error:
            raise DataError.cannot(f"read the JSON beside {where!r}", said(error, 200)) from error
        keys = (wanted,) if wanted and wanted != "json" else LABEL_KEYS
        if isinstance(value, dict):
            key = next((key for key in keys if key in value), None)
            return UNKNOWN if key is None else label_of(value[key], where)
        return label_of(value, where)
    return UNKNOWN


def _content(file: BinaryIO, member: _Member, where: str, most: int) -> str:
    """A small text; where the file was goes on being where it is."""
    if member.n_bytes > most:
        raise DataError(
            f"a label of at most {most:,} bytes beside {where!r}",
            f"{member.n_bytes:,} bytes in {member.kind!r}",
        )
    before = file.tell()
    file.seek(member.start)
    try:
        return file.read(member.n_bytes).decode()
    except UnicodeDecodeError as error:
        raise DataError(f"text in {member.kind!r} beside {where!r}", "other bytes") from error
    finally:
        file.seek(before)


def _strange(shard: Path | Address, member: str, what: str) -> DataError:
    return DataError(
        f"only ordinary files in {shard.name!r}",
        f"{as_text(member)!r}: {what}",
        cause="Shards of images hold none, and whoever unpacks such a file may write elsewhere.",
    )

"""References to several files, to larger files with images in them, and to what is on a store."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from shiftproof import _store
from shiftproof._address import Address, is_address
from shiftproof.data._check import Entry
from shiftproof.data._folder import SYSTEM_FOLDERS, refuse_split_names
from shiftproof.data._images import UNKNOWN
from shiftproof.data._listing import Listing, as_text, claims_to_be_image
from shiftproof.data._locations import OnStore
from shiftproof.data._reading import Reading
from shiftproof.data._shards import list_shards
from shiftproof.data._tables import list_tables
from shiftproof.errors import DataError

_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}")
MAX_FILES = 1_000_000
# How files with many images in them end, and what lists their images.
PACKED: dict[str, Callable[[Sequence[Path | Address], str, Reading], Listing]] = {
    ".tar": list_shards,
    ".parquet": list_tables,
}


def list_packed(reference: str, reading: Reading) -> Listing | None:
    """The images in tar or Parquet files of this machine: `a.tar`, `{000..003}.tar`, or a folder of them.

    Returns:
        None for any other reference.

    Raises:
        DataError: They cannot be read; see `list_shards` and `list_tables`.
    """
    paths = [Path(name).expanduser() if name.startswith("~/") else Path(name) for name in expanded(reference)]
    if len(paths) == 1 and _is(Path.is_dir, paths[0]):
        kind, files = _packed_in(paths[0])
        return PACKED[kind](files, as_text(paths[0].resolve().name), reading) if kind else None
    kind = paths[0].suffix.lower()
    if kind not in PACKED:
        if len(paths) > 1:
            raise DataError(f"files that end in {' or '.join(PACKED)}", repr(reference))
        return None
    missing = next((path for path in paths if not _is(Path.exists, path)), None)
    if missing is not None:
        raise DataError.cannot(f"read all files of {reference!r}", f"there is no {str(missing)!r}")
    return PACKED[kind](paths, as_text(Path(reference).name), reading)


def list_at_address(address: Address, reading: Reading) -> Listing:
    """The images at an address: tar or Parquet files, a folder of images, or one image.

    Raises:
        DataError: There are none, or the store does not say.
    """
    reading.refuse("root", source="an address")
    addresses = [Address(name) for name in expanded(str(address))]
    kind = addresses[0].suffix.lower()
    try:
        if kind in PACKED:
            return PACKED[kind](addresses, as_text(addresses[0].name), reading)
        if len(addresses) > 1:
            raise DataError(f"files that end in {' or '.join(PACKED)}", repr(str(address)))
        if claims_to_be_image(PurePosixPath(addresses[0].name)):
            name = as_text(addresses[0].name)
            return Listing(name, (Entry(name, OnStore(addresses[0]), UNKNOWN),))
        return _list_folder(addresses[0], reading)
    except OSError as error:
        raise DataError.cannot(f"read the images at {str(address)!r}", _store.reason_of(error)) from error


def expanded(reference: str) -> list[str]:
    """The names that a range in braces stands for; the reference itself where there is none, or such a file.

    Example:
        >>> expanded("shards/{008..010}.tar")
        ['shards/008.tar', 'shards/009.tar', 'shards/010.tar']
    """
    found = _RANGE.search(reference)
    if found is None or (not is_address(reference) and _is(Path.exists, Path(reference))):
        return [reference]
    first, last = found.groups()
    if not 0 <= int(last) - int(first) < MAX_FILES:
        raise DataError(f"a range of at most {MAX_FILES:,} numbers, the lower one first", repr(found[0]))
    before, after = reference[: found.start()], reference[found.end() :]
    return [f"{before}{number:0{len(first)}d}{after}" for number in range(int(first), int(last) + 1)]


def _is(question: Callable[[Path], bool], path: Path) -> bool:
    """What is asked of a path; False for a name that no file can have."""
    try:
        return question(path)
    except (OSError, ValueError):
        return False


def _packed_in(folder: Path) -> tuple[str, list[Path]]:
    """The files of one kind in a folder without images; an empty kind where there are none."""
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
    except OSError:  # said by whoever lists it as a folder of images
        return "", []
    if any(claims_to_be_image(file) for file in files):
        return "", []
    for kind in PACKED:
        found = sorted(
            file for file in files if file.suffix.lower() == kind and not file.name.startswith(".")
        )
        if found:
            return kind, found
    return "", []


def _list_folder(address: Address, reading: Reading) -> Listing:
    """As `list_folder`: sub-folders are classes, or images have no labels."""
    found = [(PurePosixPath(name), name) for name in _store.list_all(address)]
    seen = [(path, name) for path, name in found if not _is_left_out(path)]
    images = [(path, name) for path, name in seen if claims_to_be_image(path)]
    for kind in PACKED if not images else ():
        files = [
            address / name for path, name in seen if path.suffix.lower() == kind and len(path.parts) == 1
        ]
        if files:
            return PACKED[kind](files, as_text(address.name), reading)
    reading.refuse("path_column", "label_column", source="a folder of images")
    if not images:
        raise DataError(
            f"images, class folders with images, or tar or Parquet files at {str(address)!r}",
            f"only {found[0][1]!r}" if found else "nothing",
        )
    flat = [name for path, name in images if len(path.parts) == 1]
    if flat and len(flat) < len(images):
        a_class = next(path.parts[0] for path, _ in images if len(path.parts) > 1)
        raise DataError(
            f"either images or class folders with images at {str(address)!r}",
            f"both {flat[0]!r} and {a_class!r}",
            fix="Move one or the other elsewhere.",
        )
    classes: list[str] = [] if flat else sorted({path.parts[0] for path, _ in images})
    deeper = sorted({str(address / path.parts[0]) for path, _ in images if len(path.parts) > 2})
    refuse_split_names(classes, deeper, str(address))
    number = {name: index for index, name in enumerate(classes)}
    images.sort(key=lambda one: (one[0].parts[0] if classes else "", one[1]))
    entries = (
        Entry(as_text(name), OnStore(address / name), number.get(path.parts[0], UNKNOWN))
        for path, name in images
    )
    others = sorted(as_text(name) for path, name in found if not claims_to_be_image(path))
    return Listing(as_text(address.name), tuple(entries), tuple(map(as_text, classes)), tuple(others))


def _is_left_out(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in SYSTEM_FOLDERS for part in path.parts)

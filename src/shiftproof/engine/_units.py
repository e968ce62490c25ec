"""Units of work named by what they are computed from, and where their results are kept.

On a store by address, several machines may work on the same units at the same time and none waits for
another: a unit has one name and one content, so that whoever is second writes the same again.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._digest import Json, digest_of
from shiftproof._files import make_folder, write_atomically
from shiftproof._inputs import Most, read_file
from shiftproof._seal import check_seal, sealed
from shiftproof._text import said
from shiftproof.errors import CheckpointError, DataError, OutputError, ShiftproofError

T = TypeVar("T")
# Part of every key: raise it when the same unit would now give another result.
SCHEMA_VERSION = 2
_LENGTH_IN_NAMES = 32
# Files brought from a store side by side: each waits for answers most of the time.
_AT_ONCE = 16
# Whole, in part, set aside, or left half written by a process that was killed.
OUR_NAMES = re.compile(
    rf"\.?[a-z-]+-[0-9a-f]{{{_LENGTH_IN_NAMES}}}(\.partial)?(\.set-aside-\d+)?\.safetensors(\.\w+)?"
)


@dataclass(frozen=True, eq=False)
class Unit:
    """One piece of work, as pure data.

    Args:
        kind: What is done, for example `train`.
        spec: All settings that the result depends on.
        inputs: Digests of the data, or keys of the units, that it starts from.

    Example:
        >>> Unit("train", {"epochs": 1}, {"data": "ab"}).key[:8]
        'ca577c28'
    """

    kind: str
    spec: Mapping[str, Json]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """64 hex digits that name the result: equal keys, equal results."""
        return digest_of([SCHEMA_VERSION, self.kind, dict(self.spec), dict(self.inputs)])

    def about(self) -> dict[str, Json]:
        """What the seal of its result says: kind, key, and, of a part of the images, which rows."""
        rows = {"rows": self.spec["rows"]} if "rows" in self.spec else {}
        return {"kind": self.kind, "key": self.key, **rows}


@dataclass(frozen=True, slots=True)
class UnitStore:
    """The folder with finished units, each under a seal: a file that is there and fits is whole.

    Args:
        folder: Where the files are on this machine.
        address: Where they are kept, if that is elsewhere; then the folder holds copies of those that were
            asked for or made here.
    """

    folder: Path
    address: Address | None = None

    def path(self, unit: Unit) -> Path:
        """Where the finished result is or will be."""
        return self.folder / _name(unit.kind, unit.key)

    def partial_path(self, unit: Unit) -> Path:
        """Where a unit that takes long keeps what it has so far."""
        return self.path(unit).with_suffix(".partial.safetensors")

    def has(self, unit: Unit) -> bool:
        """Whether it is finished, and then in the folder.

        What lies in its place and does not fit is set aside, with a warning.

        Raises:
            OutputError: The store that it may be on does not answer.
        """
        path = self.path(unit)
        if not os.path.lexists(path) and not self._fetch(path):
            return False
        try:
            found = check_seal(path)
        except OSError as error:
            reason = error.strerror or said(error)
        else:
            if found == unit.about():
                return True
            reason = "no seal" if found is None else "the result of something else"
        self.set_aside(path, reason)
        return False

    def has_each(self, units: Sequence[Unit]) -> list[bool]:
        """As `has`, for many: names are listed once, so that a unit that is not there costs no question.

        What somebody else finishes after that is not noticed, and computed again: to the same bytes.

        Raises:
            OutputError: Names cannot be listed, or what is there cannot be read.
        """
        names = self._names()
        listed = [self.path(unit).name in names for unit in units]
        self._fetch_all([unit for unit, is_listed in zip(units, listed, strict=True) if is_listed])
        return [is_listed and self.has(unit) for unit, is_listed in zip(units, listed, strict=True)]

    def take(self, units: Sequence[Unit]) -> None:
        """Have in the folder what workers have finished, which may be on other machines.

        Raises:
            OutputError: One is not there, or does not fit, or cannot be read.
        """
        if self.address is None:
            return
        self._fetch_all(units)
        for unit in units:
            if not self.has(unit):
                raise OutputError.cannot(
                    f"read {str(self.address / self.path(unit).name)!r} as a worker kept it",
                    "it is gone or does not fit",
                    cause="Something else deletes or changes what is there.",
                    fix="Run the same command again: finished work is kept.",
                )

    def keep(self, unit: Unit, content: bytes) -> Path:
        """Write the finished result, a safetensors file, under its seal, to where units are kept.

        Returns:
            Where it is on this machine, or will be when it is asked for.
        """
        path, whole = self.path(unit), sealed(content, unit.about())
        if self.address is not None:
            _store.write(self.address / path.name, whole)
            if not self.folder.is_dir():  # of a worker on another machine, where nobody would clear it away
                return path
        write_atomically(path, whole)
        return path

    def finish(self, unit: Unit, work: Callable[[Path], T]) -> T:
        """Do a unit that takes long, and keep what it left in its partial file.

        Args:
            unit: What to do.
            work: Does it from the beginning, or goes on from the partial file whose path it is given. Where
                that file does not fit, it is set aside, and the work begins anew.
        """
        partial = self.partial_path(unit)
        if not os.path.lexists(partial):
            self._fetch(partial)
        try:
            result = work(partial)
        except CheckpointError as error:
            if not os.path.lexists(partial):
                raise
            self.set_aside(partial, said(error))
            result = work(partial)
        self.keep(unit, read_file(partial, Most.WEIGHTS))
        partial.unlink()
        if self.address is not None:
            _store.delete(self.address / partial.name)
        return result

    def _names(self) -> set[str]:
        """Of all files in the folder, and where units are kept."""
        try:
            here = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
            there = () if self.address is None else _store.list_folder(self.address)
        except OSError as error:
            if isinstance(error, ShiftproofError):
                raise
            raise OutputError.cannot(
                f"list {str(self.address or self.folder)!r}", _store.reason_of(error)
            ) from error
        return here | {entry.name for entry in there}

    def _fetch_all(self, units: Sequence[Unit]) -> None:
        """Bring those that are not in the folder, some at a time."""
        missing = [path for path in map(self.path, units) if not os.path.lexists(path)]
        if self.address is not None and missing:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                list(pool.map(self._fetch, missing))

    def _fetch(self, path: Path) -> bool:
        """Bring a file of this name from where units are kept; whether there is one."""
        if self.address is None:
            return False
        try:
            _store.download(self.address / path.name, make_folder(self.folder) / path.name, Most.WEIGHTS)
        except FileNotFoundError:
            return False
        except OSError as error:
            if isinstance(error, ShiftproofError):
                raise
            raise OutputError.cannot(
                f"read {str(self.address / path.name)!r}",
                _store.reason_of(error),
                fix="Run the same command again: finished work is kept.",
            ) from error
        return True

    def set_aside(self, path: Path, reason: str) -> None:
        """Give a file that does not fit another name, and say so."""
        number = 1
        while os.path.lexists(aside := path.with_suffix(f".set-aside-{number}.safetensors")):
            number += 1
        try:
            path.rename(aside)
        except OSError as error:
            raise OutputError.cannot(
                f"set {path.name!r} aside", error.strerror or error, cause=reason
            ) from error
        warnings.warn(
            f"{path.name} does not fit ({reason}). It is set aside as {aside.name}, and computed again.",
            stacklevel=3,
        )


def check_unit_file(path: Path) -> dict[str, Json]:
    """What a finished unit in a folder of somebody else is the result of.

    Raises:
        DataError: It is not whole, or not what its name says.
    """
    do = f"read {path.name!r} as a whole and sealed unit"
    fix = "Run the command of that run again: what does not fit is computed anew."
    try:
        about = check_seal(path)
    except OSError as error:
        raise DataError.cannot(do, error.strerror or error, fix=fix) from error
    if about is None:
        raise DataError.cannot(do, "it has no seal", cause="It may be of an earlier version.", fix=fix)
    if path.name != _name(str(about.get("kind")), str(about.get("key"))):
        raise DataError.cannot(do, "it is the result of something else", fix=fix)
    return about


def is_finished(name: str) -> bool:
    """Whether a file of this name is a finished unit, and neither a part of one nor set aside."""
    return OUR_NAMES.fullmatch(name) is not None and name.count(".") == 1


def _name(kind: str, key: str) -> str:
    return f"{kind}-{key[:_LENGTH_IN_NAMES]}.safetensors"

"""A run directory on a store by address: worked on in a folder of this machine, kept at the address.

Units go there as soon as they are finished, everything else when the run closes, `report.json` last. There is
no lock: whatever has the same name has the same content, so that two who work on the same run do no harm to
each other, and one that dies leaves nothing behind that another would have to wait for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._digest import Json, digest_of
from shiftproof._files import make_folder
from shiftproof._inputs import Most, read_file
from shiftproof.engine._header import (
    EVENTS,
    FOLDERS,
    HEADER,
    RESULTS,
    digest_in,
    header_in,
    refuse_others,
    write_header,
)
from shiftproof.engine._run import Run
from shiftproof.engine._units import OUR_NAMES, is_finished
from shiftproof.errors import OutputError, ShiftproofError

UNITS, NETWORKS = "units", "networks"


@contextmanager
def opened_at(
    address: Address, config: Mapping[str, Json], *, fresh: bool, about: Mapping[str, Json]
) -> Iterator[Run]:
    """The run with this configuration at an address, started or continued; see `open_run`."""
    digest = digest_of(config)
    with TemporaryDirectory(prefix="shiftproof-") as name:
        folder = Path(name)
        _bring(address, folder, digest)
        if fresh and header_in(folder) is not None:
            _clear(address, folder)
        write_header(folder, digest, config, about)
        _publish(address, folder, HEADER)
        make_folder(folder / UNITS)
        try:
            yield Run(folder, address)
        except BaseException:
            with suppress(OutputError):  # what ended the run is what is said
                _publish_all(address, folder)
            raise
        _publish_all(address, folder)


def _bring(address: Address, folder: Path, digest: str) -> None:
    """What an earlier session left that this one goes on with, but for units, which come when asked for.

    Raises:
        OutputError: The address is that of something else, or cannot be read.
    """
    try:
        entries = _store.list_folder(address)
        if any(entry.name == HEADER for entry in entries):
            _store.download(address / HEADER, folder / HEADER, Most.RECORD)
        refuse_others(address, digest_in(folder), digest, [entry.name for entry in entries])
        names = {entry.name for entry in entries}
        if EVENTS in names:
            _store.download(address / EVENTS, folder / EVENTS, Most.RECORD)
        for entry in _store.list_folder(address / NETWORKS) if NETWORKS in names else ():
            if not entry.is_folder:
                target = make_folder(folder / NETWORKS) / entry.name
                _store.download(address / NETWORKS / entry.name, target, Most.WEIGHTS)
    except OSError as error:
        if isinstance(error, ShiftproofError):
            raise
        raise OutputError.cannot(
            f"open a run at {str(address)!r}",
            _store.reason_of(error),
            fix="Check the address and your rights, or choose another with --out.",
        ) from error


def _clear(address: Address, folder: Path) -> None:
    """Delete what the run has finished, by names of ours, nothing else."""
    try:
        units = _store.list_folder(address / UNITS)
    except OSError as error:
        raise OutputError.cannot(f"list {str(address)!r}", _store.reason_of(error)) from error
    for entry in units:
        if not entry.is_folder and OUR_NAMES.fullmatch(entry.name):
            _store.delete(address / UNITS / entry.name)
    for name in RESULTS:
        _store.delete(address / name)
    (folder / EVENTS).unlink(missing_ok=True)


def _publish_all(address: Address, folder: Path) -> None:
    """Bring there what is not there yet; the record last, so that where it is the rest is."""
    beside = [path for name in FOLDERS for path in sorted((folder / name).glob("**/*")) if path.is_file()]
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    for path in sorted(beside + files, key=lambda path: path.name == "report.json"):
        if not (path.parent.name == UNITS and is_finished(path.name)):
            _publish(address, folder, path.relative_to(folder).as_posix())


def _publish(address: Address, folder: Path, name: str) -> None:
    _store.write(address / name, read_file(folder / name, Most.WEIGHTS))

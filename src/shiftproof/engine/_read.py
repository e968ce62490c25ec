"""Looking into a run directory that somebody else may write, in a folder or at an address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from shiftproof import _store
from shiftproof._address import Address, place
from shiftproof._files import make_folder
from shiftproof._inputs import Most


@contextmanager
def files_of_run(where: Path | str | Address) -> Iterator[Callable[[str], Path]]:
    """A function from the name of a file of a run to where it can be read, while the block lasts.

    The function raises `OSError` where a file cannot be brought from its address.

    Example:
        >>> with files_of_run("runs/a") as file:
        ...     file("units/x.safetensors").as_posix()
        'runs/a/units/x.safetensors'
    """
    found = place(where)
    if isinstance(found, Path):
        yield found.joinpath
        return
    address = found
    with TemporaryDirectory(prefix="shiftproof-") as name:

        def bring(file: str) -> Path:
            path = Path(name) / file
            if not path.exists():
                make_folder(path.parent)
                _store.download(address / file, path, Most.WEIGHTS)
            return path

        yield bring

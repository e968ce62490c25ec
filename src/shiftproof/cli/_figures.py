"""What the commands that draw share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shiftproof.cli._output import messages


def check_drawable(option: str = "--figures") -> None:
    """Nothing where matplotlib is there; said before anything is computed, not after.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    from shiftproof._optional import require

    require("matplotlib", extra="plot", purpose=option)


def write_figures(figures: Mapping[str, bytes], folder: Path) -> None:
    """Each figure under its file name, in a folder that is made.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    from shiftproof._files import make_folder, write_atomically

    make_folder(folder)
    for name, content in figures.items():
        write_atomically(folder / name, content)
    messages.print(f"Figures: {folder}", soft_wrap=True, markup=False)

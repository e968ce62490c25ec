"""What a source of images cannot say of itself: where links may lead, which columns, which values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shiftproof.data._samples import Window, check_window
from shiftproof.errors import DataError, OptionError

OPTIONS = {
    "root": "--root", "path_column": "--path-column", "label_column": "--label-column", "window": "--window",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read; None: as usual.

    Args:
        root: For a table, the folder that its paths are relative to or, if they are absolute, must be in; for
            a folder of images, where its links may lead.
        path_column: The column of a table that names the files, or of a dataset that holds the images.
        label_column: The column that holds the labels.
        window: (low, high), what is black and what is white among samples of more than 8 bits.

    Raises:
        OptionError: A window that is none.

    Example:
        >>> Reading(window=(0, 4095)).window
        (0, 4095)
    """

    root: Path | str | None = None
    path_column: str | None = None
    label_column: str | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        check_window(self.window)

    @property
    def folder(self) -> Path | None:
        """The root; `DataError` where there is no such folder."""
        if self.root is None:
            return None
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise DataError("a folder for --root", repr(str(self.root)))
        return folder

    def refuse(self, *names: str, source: str) -> None:
        """Raise `OptionError` for a field of these that is given, and has no meaning for a source."""
        for name in names:
            if getattr(self, name) is not None:
                raise OptionError(
                    f"no {OPTIONS[name]} for {source}",
                    repr(getattr(self, name)),
                    cause="It would have no effect.",
                    fix=f"Leave out {OPTIONS[name]}, `{name}=` in Python.",
                )


AS_USUAL = Reading()

"""What models and libraries print, made harmless on its way to a stream of ours."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from shiftproof._text import printable_lines, said

# Of what a command to a service that runs builds begins with, nothing is passed on before its line is whole.
_BEGINNINGS = ("", ":", "#")


class Prints(io.TextIOBase):
    """Stands where a model looks for stdout and stderr: takes text, and closes nothing.

    Text is passed on line by line, since what is harmless depends on what a line begins with.

    Args:
        stream: Where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._line = ""
        self._begun = False

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream behind it."""
        return self._stream.encoding

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Of the stream behind it."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Pass on the lines that are whole, and keep the rest of the text."""
        with self._lock:
            *lines, self._line = (self._line + text.replace("\r\n", "\n").replace("\r", "\n")).split("\n")
            for line in lines:
                self._pass_on(f"{line}\n")
                self._begun = False
        return len(text)

    def flush(self) -> None:
        """Pass on a line that is not whole, unless it may become a command."""
        with self._lock:
            if self._line and self._line.strip()[-1:] not in _BEGINNINGS:
                self._pass_on(self._line)
                self._line, self._begun = "", True

    def close(self) -> None:
        """Pass on what is left; the stream behind it is ours and stays open."""
        with self._lock:
            if self._line:
                self._pass_on(self._line)
            self._line = ""

    def _pass_on(self, text: str) -> None:
        # Behind the beginning of a line that is out already, nothing is the beginning of one.
        shown = printable_lines(f".{text}")[1:] if self._begun else printable_lines(text)
        self._stream.write(shown)


@contextmanager
def warnings_to(show: Any) -> Iterator[None]:
    """Have warnings, which may quote what a model says, shown as one line each.

    Args:
        show: Takes the line.
    """
    before = warnings.showwarning
    warnings.showwarning = lambda message, *where, **more: show(f"Warning: {said(message)}")
    try:
        yield
    finally:
        warnings.showwarning = before

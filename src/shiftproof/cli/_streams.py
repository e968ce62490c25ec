"""Two streams: answers on stdout, everything else on stderr, whoever prints it."""

from __future__ import annotations

import codecs
import ctypes
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from shiftproof.cli._prints import Prints

STDOUT, STDERR = 1, 2
STAND_IN = "shiftproof.stand-in"
# For terminals and files that have no such characters; one character for one where a map is drawn.
STAND_INS = {
    "×": "x", "−": "-", "–": "-", "÷": "/", "·": ".", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "±": "+-",
    "‖": "||", "²": "2", "³": "3", "∞": "inf", "°": "deg", "½": "1/2", "“": '"', "”": '"',
    "░": ":", "▒": "+", "▓": "#", "█": "@",
    "▁": "1", "▂": "2", "▃": "3", "▄": "4", "▅": "5", "▆": "6", "▇": "7",
}  # fmt: skip


class UnwritableError(Exception):
    """Stdout takes no more, for example because its disk is full. Not a mistake of the user's."""


class Output(io.TextIOWrapper):
    """A stream of its own to a file descriptor, that outlives what a model does to `sys.stdout`.

    It knows a stand-in for characters that the stream does not have. A reader who leaves early, as in
    `… | head`, is no error: what he does not read is thrown away.

    Args:
        number: Of the file descriptor, which is duplicated.
        encoding: Of the stream that it stands for.
        patient: Whether to throw away what cannot be written for any other reason, too.
    """

    def __init__(self, number: int, encoding: str, *, patient: bool = False) -> None:
        raw = os.fdopen(os.dup(number), "wb")
        super().__init__(raw, encoding=encoding, errors=STAND_IN, line_buffering=True)
        self.patient = patient

    def write(self, text: str) -> int:
        """As `TextIOBase.write`; `UnwritableError` where stdout takes no more."""
        try:
            return super().write(text)
        except OSError as error:
            self._lost(error)
            return len(text)

    def flush(self) -> None:
        """As `TextIOBase.flush`; `UnwritableError` where stdout takes no more."""
        try:
            super().flush()
        except OSError as error:
            self._lost(error)

    def _lost(self, error: OSError) -> None:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 -- a device
            os.dup2(nowhere.fileno(), self.fileno())  # else Python tries once more when it ends
        # Windows says EINVAL where others say EPIPE.
        if not self.patient and error.errno not in (errno.EPIPE, errno.EINVAL):
            raise UnwritableError(error.strerror or str(error)) from error


@contextmanager
def own_streams() -> Iterator[tuple[TextIO, TextIO]]:
    """Streams for answers and messages: an `Output` each, where the process has its own and not a test's.

    Yields:
        One for answers, which also is `sys.stdout`, until `prints_among`; and one for messages, whose
        loss is no reason to stop.
    """
    _occupy_closed()
    before = sys.stdout
    answers, messages = _own(sys.stdout, STDOUT), _own(sys.stderr, STDERR)
    sys.stdout = answers
    try:
        yield answers, messages
    finally:
        sys.stdout = before
        for stream in (messages, answers):
            if isinstance(stream, Output):
                stream.patient = True
                stream.close()


def _own(stream: TextIO | None, number: int) -> TextIO:
    if stream is not None and _number(stream) != number:
        return stream
    if stream is not None:
        stream.flush()
    return Output(number, "utf-8" if stream is None else stream.encoding, patient=number == STDERR)


def _occupy_closed() -> None:
    """Else the next file that is opened would get the number of a stream that the shell has closed."""
    for number in (0, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:  # writing to the stdout that was closed has to fail, and so to be noticed
            os.open(os.devnull, os.O_WRONLY if number == STDERR else os.O_RDONLY)


@contextmanager
def prints_among(messages: TextIO) -> Iterator[None]:
    """Have what a model or a library prints go there, also from C code and from processes it starts.

    What comes from Python is harmless there, as by `Prints`.
    """
    answers, errors, kept = sys.stdout, sys.stderr, None
    answers.flush()
    if isinstance(answers, Output):
        kept = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
    prints = Prints(messages)
    sys.stdout = sys.stderr = prints
    try:
        yield
    finally:
        sys.stdout, sys.stderr = answers, errors
        prints.close()
        if kept is not None:
            _flush_all()
            os.dup2(kept, STDOUT)
            os.close(kept)


def _flush_all() -> None:
    """What was printed past `sys.stdout` lies in buffers that would come out on stdout at the end."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or not there
        sys.__stdout__.flush()  # type: ignore[union-attr]
    with suppress(OSError, AttributeError, TypeError):  # Windows has no such library
        ctypes.CDLL(None).fflush(None)


def _number(stream: TextIO) -> int | None:
    """Its number; None for what is no file, and for a console of Windows, which takes no bytes."""
    try:
        return None if os.name == "nt" and stream.isatty() else stream.fileno()
    except (OSError, ValueError):  # io.UnsupportedOperation is both; a closed stream raises the latter
        return None


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(STAND_INS.get(character, "?") for character in text), error.end


codecs.register_error(STAND_IN, _stand_in)

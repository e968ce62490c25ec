"""What the commands share: streams, errors, exit codes, run directories."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO, cast

import typer
from typer.core import TyperCommand

from shiftproof._text import escaped_json, said
from shiftproof.cli._console import PlainConsole
from shiftproof.cli._prints import warnings_to
from shiftproof.cli._streams import UnwritableError, own_streams, prints_among
from shiftproof.errors import ModelError, ShiftproofError, Stopped

if TYPE_CHECKING:
    from shiftproof.engine import Run, StopSignal

# Typer has its own copy of click and exports no common base of the errors in a command line.
UsageError: Any = typer.BadParameter.__bases__[0]

results = PlainConsole()
messages = PlainConsole(stderr=True)


class Exit(IntEnum):
    """What the exit code of a command means."""

    OK = 0
    GATE_FAILED = 1
    ERROR = 2
    INCOMPLETE = 3
    INTERNAL_ERROR = 70
    UNWRITABLE = 74
    INTERRUPTED = 130


class Commands(typer.Typer):
    """Commands whose answers alone are on stdout, while they run; help is for stdout as well."""

    def command(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """As `Typer.command`."""
        return super().command(*args, cls=_Command, **options)


class _Command(TyperCommand):
    def invoke(self, ctx: Any) -> Any:
        with prints_among(cast("TextIO", messages.file)):
            return super().invoke(ctx)


def print_json(text: str) -> None:
    """One JSON document on stdout, and nothing else."""
    text = escaped_json(text if text.endswith("\n") else text + "\n")
    try:
        text.encode(results.encoding)
    except UnicodeEncodeError:  # then it says the same in ASCII
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    results.file.write(text)


def print_error(error: ShiftproofError) -> None:
    """One error on stderr, as plain text: it may hold names from files."""
    messages.print("Error:", style="bold red", end=" ")
    try:
        messages.print(str(error))
    except MemoryError:  # Breaking lines needs tables that may not be loaded yet.
        messages.file.write(f"{error}\n")


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command and turn whatever ends it into an exit code; a traceback means a defect of ours."""
    with own_streams() as (answers, others):
        results.file, messages.file = answers, others
        try:
            return _guarded(command)
        finally:
            results.file = messages.file = None  # type: ignore[assignment]  # those of the process again


def _guarded(command: Callable[[], int | None]) -> int:
    try:
        with warnings_to(partial(messages.print, soft_wrap=True)):
            code = int(command() or Exit.OK)
        results.file.flush()
        return code
    except ShiftproofError as error:
        if os.environ.get("SHIFTPROOF_DEBUG"):
            raise
        print_error(error)
        return Exit.ERROR
    except UnwritableError as error:
        messages.print(f"Error: Cannot write to stdout: {error}.")
        return Exit.UNWRITABLE
    except KeyboardInterrupt:
        messages.print("Interrupted.")
        return Exit.INTERRUPTED
    except UsageError as error:
        written = io.StringIO()
        error.show(file=written)
        messages.print(written.getvalue(), end="", soft_wrap=True)
        return Exit.ERROR
    except SystemExit as leaving:
        print_error(ModelError.cannot("go on", f"the model has ended the program ({said(leaving.code)})"))
        return Exit.ERROR
    except BaseException as error:
        if _lacks_memory(error):
            fix = "Use fewer or smaller images, --batch-size 1 or --threads 1, or a machine with more of it."
            print_error(
                ShiftproofError.cannot("go on without more memory", said(error) or "there is none", fix=fix)
            )
            return Exit.ERROR
        messages.print(traceback.format_exc())
        messages.print("This is a bug in shiftproof. Please report it with the lines above.")
        return Exit.INTERNAL_ERROR


def _lacks_memory(error: BaseException) -> bool:
    """Whether memory ran out; libraries that cannot even be loaded say it in many ways."""
    text = said(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


_NO_MEMORY = ("allocate memory", "out of memory", "failed to map segment", "can't start new thread")


STOPPING = "Stopping after the current step; press Ctrl-C again to stop immediately."


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C or SIGTERM ask for a stop at a safe point; the second one interrupts."""

    def ask(number: int, frame: object) -> None:
        restore()
        # In a thread of its own, which can wait: the signal may have come in the middle of another print.
        threading.Thread(target=messages.print, args=(STOPPING,), daemon=True).start()
        stop()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        restore()


@contextmanager
def run_directory(slug: str, config: Mapping[str, Any], *, out: str | None, fresh: bool) -> Iterator[Run]:
    """The run of this command, started or continued as in `shiftproof.engine.open_run`; says where it is."""
    from shiftproof.engine import open_run

    about: dict[str, Any] = {"command": shlex.join(_command())}
    with open_run(slug, config, out=out, fresh=fresh, about=about) as run:
        messages.print(f"Run directory: {run.where()}", soft_wrap=True)
        yield run


@contextmanager
def stoppable() -> Iterator[StopSignal]:
    """A signal that Ctrl-C sets. Work that it stopped ends the command, which says how to go on."""
    from shiftproof.engine import StopSignal

    stop = StopSignal()
    try:
        with on_interrupt(stop.set):
            yield stop
    except Stopped:
        again = shlex.join(part for part in _command() if part != "--fresh")
        messages.print(f"Stopped; finished work is kept. To resume: {again}", soft_wrap=True)
        raise typer.Exit(Exit.INTERRUPTED) from None


def _command() -> list[str]:
    return ["shiftproof", *sys.argv[1:]]

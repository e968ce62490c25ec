"""What the commands share: streams, errors, exit codes."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from rich.console import Console

from shiftproof.errors import ShiftproofError

# Typer has its own copy of click and exports no common base of the errors in a command line.
UsageError: Any = typer.BadParameter.__bases__[0]

results = Console(highlight=False)
messages = Console(stderr=True, highlight=False)


class Exit(IntEnum):
    """What the exit code of a command means."""

    OK = 0
    GATE_FAILED = 1
    ERROR = 2
    INCOMPLETE = 3
    INTERNAL_ERROR = 70
    INTERRUPTED = 130


def print_json(text: str) -> None:
    """One JSON document on stdout, and nothing else."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def print_error(error: ShiftproofError) -> None:
    """One error on stderr, as plain text: it may hold names from files."""
    messages.print("Error:", style="bold red", end=" ")
    messages.print(str(error), markup=False)


def guarded(command: Callable[[], int | None]) -> int:
    """Run a command and turn whatever ends it into an exit code; a traceback means a defect of ours."""
    try:
        return int(command() or Exit.OK)
    except ShiftproofError as error:
        if os.environ.get("SHIFTPROOF_DEBUG"):
            raise
        print_error(error)
        return Exit.ERROR
    except KeyboardInterrupt:
        messages.print("Interrupted.")
        return Exit.INTERRUPTED
    except UsageError as error:
        error.show()
        return Exit.ERROR
    except SystemExit as leaving:
        # Both typer and rich end the process when nobody reads the rest of the output.
        unread = isinstance(leaving.__context__, BrokenPipeError)
        return Exit.OK if unread or not isinstance(leaving.code, int) else leaving.code
    except Exception:
        messages.print(traceback.format_exc(), markup=False)
        messages.print("This is a defect of shiftproof. Please report it with the lines above.")
        return Exit.INTERNAL_ERROR


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl-C or SIGTERM ask for a stop at a safe point; the second one interrupts."""

    def ask(number: int, frame: object) -> None:
        restore()
        messages.print("Stopping at the next step; press Ctrl-C again to stop at once.")
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

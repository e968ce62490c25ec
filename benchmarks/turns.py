"""Competitors that take turns: each is a process that trains an epoch whenever it is told to.

A competitor imports and compiles once, before the first turn. All others wait for a line on their
standard input while one of them works, so that a slow minute of the machine meets all of them, and an
epoch can be short. Standard library only: competitors live in environments of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
READY = "ready"


def take_turns(epoch: Callable[[], object]) -> None:
    """For a competitor: an epoch for every line on standard input; says how many seconds each took."""
    epoch()  # compiles and fills caches; does not count
    print(READY, flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        print(time.perf_counter() - start, flush=True)


class CompetitorFailed(Exception):
    """It ended early; says the last line that it wrote."""


class Competitor:
    """A process that waits for its turns; see `competing`."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self.process = process
        self.errors = errors

    def wait_until_ready(self) -> None:
        """Return when it has compiled.

        Raises:
            CompetitorFailed: It cannot.
        """
        while self._line() != READY:
            pass

    def begin(self) -> None:
        """Have it train an epoch."""
        print(file=self.process.stdin, flush=True)

    def seconds(self) -> float:
        """How long that epoch took.

        Raises:
            CompetitorFailed: It did not end it.
        """
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line:
            return line.strip()
        self.process.wait()
        self.errors.seek(0)
        raise CompetitorFailed((self.errors.read().strip().splitlines() or ["no reason given"])[-1])


@contextmanager
def competing(
    python: str, module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> Iterator[Competitor]:
    """A competitor while it is needed.

    Args:
        python: Interpreter of the environment that it lives in.
        module: File of this folder that calls `take_turns`.
        arguments: Its command line.
        environment: Variables beside those of this process.
    """
    with (
        # A file, because a pipe that nobody reads fills up, and frameworks are talkative.
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [python, "-m", f"benchmarks.{module}", *arguments],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        yield Competitor(process, errors)

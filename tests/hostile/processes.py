"""What needs a process of its own: Ctrl-C, little memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.cases import of_model

Done = subprocess.CompletedProcess[str]
# A shell that starts tests in the background has them ignore Ctrl-C, and so whatever they start.
AS_IN_A_TERMINAL = """
import signal
from shiftproof.cli import run
signal.signal(signal.SIGINT, signal.default_int_handler)
run()
"""
COMMAND = [sys.executable, "-c", AS_IN_A_TERMINAL]


@dataclass(frozen=True)
class ProcessCase:
    """A command in a process of its own, its right exit codes, and what it has to say."""

    name: str
    run: Callable[[Path], Done]
    codes: frozenset[int]
    says: str = ""


def started(arguments: Sequence[str], folder: Path, limits: str = "true") -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["sh", "-c", f'{limits} && exec "$@"', "sh", *COMMAND, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def interrupted(code: str) -> Callable[[Path], Done]:
    """Ctrl-C as soon as the model says that it is there, by a file."""

    def run(folder: Path) -> Done:
        process = started(of_model(code)(folder), folder)
        while not (folder / "ready").exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    return run


def in_megabytes(n: int) -> Callable[[Path], Done]:
    def run(folder: Path) -> Done:
        code = "def model(x):\n    return honest(x) + torch.zeros(10**9)[:6]\n"
        process = started(of_model(code)(folder), folder, f"ulimit -v {n * 1024}")
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    return run


WAIT = "open('ready', 'w').close()\nimport time\ntime.sleep(600)"
CATCHING = (
    f"try:\n    {WAIT.replace(chr(10), chr(10) + '    ')}\nexcept KeyboardInterrupt:\n    sys.exit(99)\n"
)
CASES = [
    ProcessCase(
        "Ctrl-C in a model that is loaded", interrupted(WAIT + "\nmodel = honest\n"), frozenset({130})
    ),
    ProcessCase(
        "Ctrl-C in a model that catches it", interrupted(CATCHING + "model = honest\n"), frozenset({130})
    ),
    ProcessCase("3 GB of addresses", in_megabytes(3000), frozenset({2}), "memory"),
    ProcessCase("600 MB of addresses", in_megabytes(600), frozenset({2}), "memory"),
]

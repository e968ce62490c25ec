"""Commands that are killed or interrupted once they have something to lose."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Machines are busy.
MOST_SECONDS = 600.0
BETWEEN_LOOKS_S = 0.05


def interrupt(
    command: Sequence[str],
    number: signal.Signals,
    folder: Path,
    pattern: str,
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command until a folder has a file of a pattern, and send it a signal.

    Returns:
        Its exit code, and what it wrote to stderr.
    """
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    until = time.monotonic() + MOST_SECONDS
    while not list(folder.glob(pattern)) and process.poll() is None and time.monotonic() < until:
        time.sleep(BETWEEN_LOOKS_S)
    os.kill(process.pid, number)
    _, stderr = process.communicate()
    return process.returncode, stderr.decode()

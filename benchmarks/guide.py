"""The guide docs/robust.md, run: its commands as they stand there, and what they report.

python -m benchmarks.guide
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from benchmarks.tables import RESULTS

from shiftproof._device import describe_environment
from shiftproof.cli import main as shiftproof

GUIDE = Path(__file__).parents[1] / "docs" / "robust.md"
RESULT = RESULTS / "guide.json"
N_COMMANDS = 5


def commands() -> list[list[str]]:
    """Those whose reports the guide shows, in their order."""
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines[:N_COMMANDS]]


def printed(arguments: list[str]) -> Any:
    """The record that a command prints with --json."""
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = shiftproof([*arguments, "--json"])
    if code != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {code}.")
    return json.loads(shown.getvalue())


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        before, explained, fixed, after, compared = map(printed, commands())
    record = {
        "before": before["verdict"],
        "explained": explained,
        "fixed": fixed,
        "after": after["verdict"],
        "compared": compared,
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

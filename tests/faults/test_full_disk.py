"""A real disk that is full: a named error, whole files, and the same command goes on where there is room."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.small_units import compute, contents

from shiftproof.engine import Engine

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
N_UNITS = 6
# A unit has 160 kB, so that two or three find room, with what they are called before they are whole.
SMALL, LARGE = "500k", "20m"
# A disk of its own that nobody else sees, and that is gone with the last process on it.
WITHIN = ["unshare", "--map-root-user", "--mount"]
FILLS = f"""
set -u
mount -t tmpfs -o size={SMALL} none "$1"
"$3" -m tests.faults.small_units "$1/r" {N_UNITS} 0.0 local 2
echo "first $?"
cp -r "$1/r" "$2/full"
mount -o remount,size={LARGE} "$1"
"$3" -m tests.faults.small_units "$1/r" {N_UNITS} 0.0 local 2
echo "second $?"
cp -r "$1/r" "$2/done"
"""


def may_mount() -> bool:
    """Whether this system lets its users have a disk of their own."""
    if shutil.which("unshare") is None:
        return False
    tried = [*WITHIN, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(tried, check=False, capture_output=True).returncode == 0


def test_a_full_disk_is_named_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """Filled by two workers at once."""
    if not may_mount():
        pytest.skip("no disk of its own can be made here")
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    done = subprocess.run(
        [*WITHIN, "bash", "-c", FILLS, "-", str(disk), str(out), sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["first 1", "second 0"], done.stderr
    assert "OutputError: Cannot write 'numbers-" in done.stderr
    assert "No space left on device" in done.stderr
    assert "what was finished is kept" in done.stderr
    compute(tmp_path / "whole", N_UNITS, 0.0, Engine())
    whole = contents(tmp_path / "whole")
    assert contents(out / "done") == whole
    kept = {path.name: path.read_bytes() for path in (out / "full" / "units").iterdir()}
    assert 0 < len(kept) < N_UNITS
    assert kept.items() <= whole.items(), "what is there is whole, and nothing else is"

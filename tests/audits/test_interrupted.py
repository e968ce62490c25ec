"""Kill -9, Ctrl-C: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [
    sys.executable, "-m", "shiftproof", "audit", "zoo:cnn1", "demo:mnist", "--limit", "2500", "--quiet",
    "--protocol", "grid:2", "--protocol", "article-large", "--method", "direct", "--out",
]  # fmt: skip


def finish(out: Path) -> bytes:
    subprocess.run([*COMMAND, str(out)], check=True, capture_output=True)
    return (out / "report.json").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return finish(tmp_path_factory.mktemp("whole") / "r")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
def test_an_interrupted_audit_goes_on_to_the_same_bytes(
    number: signal.Signals, whole: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "r"
    process = subprocess.Popen([*COMMAND, str(out)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for _ in range(600):
        if list((out / "units").glob("probe-*.safetensors")) or process.poll() is not None:
            break
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, stderr = process.communicate()
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    assert not (out / "report.json").exists()
    assert ("To resume: shiftproof audit zoo:cnn1" in stderr.decode()) == (number != signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert kept
    assert finish(out) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing was computed twice"

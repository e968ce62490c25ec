"""Kill -9, Ctrl-C: the same command goes on, and ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.interrupting import interrupt

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
    code, stderr = interrupt([*COMMAND, str(out)], number, out / "units", "probe-*.safetensors")
    assert code == (-9 if number == signal.SIGKILL else 130)
    assert not (out / "report.json").exists()
    assert ("To resume: shiftproof audit zoo:cnn1" in stderr) == (number != signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in (out / "units").iterdir()}
    assert kept
    assert finish(out) == whole
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "nothing was computed twice"

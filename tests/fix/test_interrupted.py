"""Kill -9 and Ctrl-C in the middle of a training: the same command goes on, to the same weights."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.interrupting import interrupt

from shiftproof.data import load_data

pytestmark = pytest.mark.slow

OPTIONS = [
    "--epochs", "12", "--edits", "max-blur-pool", "--protocol", "box:3,3,2", "--clean-margin", "0.1",
    "--quiet", "--threads", "1", "--no-onnx", "--learning-rate", "3e-4", "--out",
]  # fmt: skip


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A third of these images is trained on."""
    digits, file = load_data("mnist", "test").head(1500), tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(file, images=digits.images[:, 0].numpy(), labels=digits.labels.numpy())
    return [sys.executable, "-m", "shiftproof", "fix", "zoo:cnn2", str(file), *OPTIONS]


def measured(out: Path) -> Any:
    """The record without what the clock says."""
    record = json.loads((out / "report.json").read_text())
    clock = ("ms_per_image", "cost", "on_front")
    rows = [{name: value for name, value in row.items() if name not in clock} for row in record["rows"]]
    return record["chosen"], sorted(rows, key=lambda row: str(row["name"]))


def finish(command: list[str], out: Path) -> tuple[bytes, Any]:
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    return (out / "model.safetensors").read_bytes(), measured(out)


@pytest.fixture(scope="module")
def whole(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    return finish(command, tmp_path_factory.mktemp("whole") / "r")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_an_interrupted_fix_goes_on_to_the_same_bytes(
    number: signal.Signals, command: list[str], whole: tuple[bytes, Any], tmp_path: Path
) -> None:
    out = tmp_path / "r"
    code, stderr = interrupt([*command, str(out)], number, out / "networks", "*.safetensors")
    assert code == (-9 if number == signal.SIGKILL else 130)
    assert not (out / "report.json").exists()
    assert ("To resume: shiftproof fix zoo:cnn2" in stderr) == (number != signal.SIGKILL)
    assert list((out / "networks").glob("*.safetensors"))
    assert finish(command, out) == whole

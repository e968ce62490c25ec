"""Two workers on this machine end in the bytes of one process: studies, explanations and fixes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shiftproof.cli import main
from shiftproof.data import load_data

pytestmark = pytest.mark.slow
DEVICES = ("cpu", "cpu,cpu")
# What the clock says, and what follows from it.
CLOCK = ("ms_per_image", "cost", "on_front")


def run(out: Path, *arguments: str) -> None:
    assert main([*arguments, "--quiet", "--out", str(out)]) == 0


def test_a_study(tmp_path: Path) -> None:
    command = ["study", "article", "--networks", "cnn1,dense-nn", "--epochs", "1", "--limit", "200"]
    for device in DEVICES:
        run(tmp_path / device, *command, "--workers", str(len(device.split(","))), "--device", device)
    here, there = (tmp_path / device for device in DEVICES)
    names = sorted(path.name for path in (here / "units").iterdir())
    assert names == sorted(path.name for path in (there / "units").iterdir())
    for name in ("report.json", *(f"units/{unit}" for unit in names)):
        assert (here / name).read_bytes() == (there / name).read_bytes(), name


def test_an_explanation_with_remedies(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["explain", "zoo:all-cnn", "demo:mnist", "--limit", "6", "--json", "--quiet"]
    found = []
    for device in DEVICES:
        assert main([*command, "--border", "circular", "--remedies", "3", "--device", device]) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    rows = json.loads(found[0])["rows"]
    assert sum(row["remedy"] is not None for row in rows) == 3


def test_a_fix_with_training(tmp_path: Path) -> None:
    """The table without the clock, and the weights of every network that was trained."""
    digits, file = load_data("mnist", "test").head(240), tmp_path / "digits.npz"
    np.savez(file, images=digits.images[:, 0].numpy(), labels=digits.labels.numpy())
    command = ["fix", "zoo:cnn2", str(file), "--epochs", "2", "--batch-size", "32", "--protocol", "box:3,3,2"]
    command += ["--edits", "max-blur-pool,padding-reflect", "--no-onnx", "--threads", "1"]
    for device in DEVICES:
        run(tmp_path / device, *command, "--device", device)
    here, there = (tmp_path / device for device in DEVICES)
    assert rows(here) == rows(there)
    names = sorted(path.name for path in (here / "networks").iterdir())
    assert len(names) > 1
    assert names == sorted(path.name for path in (there / "networks").iterdir())
    for name in names:
        assert (here / "networks" / name).read_bytes() == (there / "networks" / name).read_bytes(), name


def rows(out: Path) -> dict[str, Any]:
    """By name: their order is that of their cost."""
    found = json.loads((out / "report.json").read_text())["rows"]
    return {row["name"]: {key: value for key, value in row.items() if key not in CLOCK} for row in found}

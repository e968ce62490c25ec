"""Every kind of answer from the command line: one logit in an ONNX file, several labels in a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.onnx_export import export_onnx
from torch import Tensor, nn

from shiftproof.cli import main

QUIET = ["--protocol", "grid:2", "--quiet", "--device", "cpu"]


class Bright(nn.Module):
    """Positive where the image is bright at the top: the logit of the four rows there, less the others."""

    def __init__(self, squashed: bool = False) -> None:
        super().__init__()
        self.squashed = squashed

    def forward(self, images: Tensor) -> Tensor:
        logits = (images[:, :, :4].mean((1, 2, 3)) - images[:, :, 4:].mean((1, 2, 3)))[:, None] * 10
        return logits.sigmoid() if self.squashed else logits


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Images of one bright row: at the rows 2 and 3 in `top`, at 10 and 20 in `below`."""
    for name, row in (("top/a", 2), ("top/b", 3), ("below/a", 10), ("below/b", 20)):
        pixels = np.zeros((32, 32, 3), np.uint8)
        pixels[row] = 255
        path = tmp_path / "rows" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "rows"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(list(map(str, arguments)))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def record_of(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    code, out, err = run(capsys, "audit", *arguments, "--json", *QUIET)
    assert code == 0, err
    record: dict[str, Any] = json.loads(out)
    return record


@pytest.mark.parametrize("squashed", [False, True])
def test_one_number_in_an_onnx_file(
    squashed: bool, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer changes exactly where the row leaves the top four: below row 3, or above row 0."""
    model = export_onnx(Bright(squashed).eval(), torch.zeros(2, 3, 32, 32), tmp_path / "m.onnx")
    names = tmp_path / "names.txt"
    names.write_text("below\ntop\n")
    record = record_of(capsys, model, rows, "--class-names", names)
    assert record["task"]["name"] == "binary"
    assert record["task"]["outputs"] == ("probabilities" if squashed else "logits")
    part = record["protocols"][0]
    assert part["estimates"]["clean-accuracy"]["value"] == 1
    # Row 3 leaves at dy = 1 and 2, row 2 at dy = 2: 10 and 5 of 24 shifts; the rows below stay below.
    flips = {worst["name"]: worst["share_of_shifts_that_change_it"] for worst in part["worst"]}
    assert flips == {"top/b.png": 10 / 24, "top/a.png": 5 / 24}
    assert part["estimates"]["agreement"]["value"] == pytest.approx(1 - 15 / 24 / 4)
    code, out, _ = run(capsys, "audit", model, rows, "--class-names", names, *QUIET)
    assert code == 0
    assert "binary: 'top', and not 'below', above a probability of 0.5" in " ".join(out.split())


def test_a_threshold(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A row at the top has the logit 2.5, the others −0.36: 0.92 and 0.41."""
    model = export_onnx(Bright().eval(), torch.zeros(2, 3, 32, 32), tmp_path / "m.onnx")
    names = tmp_path / "names.txt"
    names.write_text("below\ntop\n")
    for threshold, accuracy in ((0.9, 1.0), (0.93, 0.5), (0.4, 0.5)):
        record = record_of(capsys, model, rows, "--class-names", names, "--threshold", threshold)
        assert record["protocols"][0]["estimates"]["clean-accuracy"]["value"] == accuracy
    for options, message in (
        (["--threshold", "2.5"], "a threshold from 0 to 1, got 2.5"),
        (["--task", "single-label"], "one number for each class"),
        (["--task", "binray"], "Did you mean 'binary'"),
        (["--outputs", "probabilities"], "probabilities from 0 to 1"),
    ):
        code, _, err = run(capsys, "audit", model, rows, *options, *QUIET)
        assert code == 2
        assert message in " ".join(err.split())


def test_ten_digits_and_one_logit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(784, 1)).eval()\n"
    )
    code, _, err = run(
        capsys, "audit", "m.py:build", "demo:mnist", "--trust", "--limit", "50", "--channels", "1",
        "--size", "28", *QUIET,
    )  # fmt: skip
    assert code == 2
    assert "One number for each image tells two classes apart" in " ".join(err.split())


def test_folders_of_classes_and_several_labels(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.py").write_text(
        "from torch import nn\n\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 2), nn.Sigmoid()).eval()\n"
    )
    model = ["m.py:build", "--trust", "--size", "32", "--channels", "3"]
    code, _, err = run(capsys, "audit", *model, rows, "--task", "multi-label", *QUIET)
    assert code == 2
    assert "path,labels" in " ".join(err.split())
    table = rows / "list.csv"
    table.write_text("path,labels\ntop/a.png,lit|high\ntop/b.png,lit\nbelow/a.png,lit\nbelow/b.png,\n")
    record = record_of(capsys, *model, table)
    assert record["task"]["name"] == "multi-label"
    assert record["headline"][0] == "clean-average-precision"
    assert record["data"]["class_names"] == ["high", "lit"]


def test_explain_takes_every_task(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a layer loses is measured on the numbers that the model answers with, whatever they mean."""
    (tmp_path / "m.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 2, 3, 2), nn.ReLU(), "
        "nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)).eval()\n"
    )
    code, out, err = run(
        capsys, "explain", "m.py:build", rows, "--trust", "--size", "32", "--channels", "3",
        "--outputs", "logits", "--quiet", "--json", "--remedies", "0",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["rows"]


def test_thresholds_of_labels(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One for each label, in the model's order or by name; and what is none."""
    (tmp_path / "model.py").write_text(
        "from torch import nn\n\ndef build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))\n"
    )
    model = ["model.py:build", "--trust", "--size", "32", "--channels", "3", "--task", "multi-label"]
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    (tmp_path / "list.csv").write_text(
        "path,labels\ntop/a.png,cat|dog\ntop/b.png,dog\nbelow/a.png,\nbelow/b.png,cat\n"
    )
    (tmp_path / "t.csv").write_text("\ufefflabel, threshold\ndog, 0.25\ncat,0.75\n")
    asked = [*model, "list.csv", "--root", rows, "--class-names", "names.txt"]
    for given, expected in (
        ("0.75,0.25", [0.75, 0.25]), ("t.csv", [0.75, 0.25]), ("0.4", 0.4), ("1e-1, .2", [0.1, 0.2]),
    ):  # fmt: skip
        assert record_of(capsys, *asked, "--threshold", given)["task"]["threshold"] == expected
    (tmp_path / "twice.csv").write_text("cat,0.5\ncat,0.4\n")
    (tmp_path / "word.csv").write_text("cat,0.5\ndog,high\n")
    (tmp_path / "empty.csv").write_text("label,threshold\n")
    for given, message in (
        ("0.5,0.4,0.3", "one for each of the 2 numbers that the model answers with, got 3"),
        ("0.5,high", "for --threshold, got '0.5,high'. It is no number, and cannot be read as a file"),
        ("nan", "a threshold from 0 to 1, got nan"),
        ("0.5,", "It is no number"),
        ("", "It is no number"),
        (".", "It is no number, and cannot be read as a file"),
        ("twice.csv", "a label of its own and a number in line 2 of 'twice.csv', got 'cat,0.4'"),
        ("word.csv", "a number in line 2 of 'word.csv'"),
        ("empty.csv", "lines such as cat,0.3 in 'empty.csv', got none"),
    ):
        code, _, err = run(capsys, "audit", *asked, "--threshold", given, *QUIET)
        assert (code, message in " ".join(err.split())) == (2, True), err

"""`shiftproof fix`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.onnx_export import export_onnx

from shiftproof.cli import main
from shiftproof.data import load_data
from shiftproof.edits import edits
from shiftproof.zoo import load_trained

QUICK = ["--limit", "60", "--threads", "1", "--protocol", "box:3,3,2", "--no-onnx", "--quiet"]


def run(*arguments: str, out: Path) -> int:
    return main(["fix", *arguments, *QUICK, "--out", str(out)])


def test_a_table_a_record_and_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run("zoo:cnn2", "demo:mnist", "--edits", "canonical-position,max-blur-pool", out=out) == 0
    text = capsys.readouterr().out
    assert "canonical-position" in text
    assert f"Model: fixed:{out}" in text.replace("\n", "")
    record = json.loads((out / "report.json").read_text())
    assert record["kind"] == "fix"
    page = (out / "report.html").read_text()
    assert "canonical-position" in page
    assert "<svg" in page
    assert (out / "report.md").read_text().startswith("**zoo:cnn2")
    assert main(["audit", f"fixed:{out}", "demo:mnist", "--limit", "20", "--protocol", "ring:1", "--quiet",
                 "--threads", "1", "--out", str(tmp_path / "audit")]) == 0  # fmt: skip
    assert "fixed:out keeps its prediction" in capsys.readouterr().out


def test_edits_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["edits", "ls", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(edits.names())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["zoo:cnn2", "demo:mnist", "--budget", "0.9x"], "a budget of at least 1"),
        (["zoo:cnn2", "demo:mnist", "--budget", "cheap"], "a factor such as 1.2x"),
        (["zoo:cnn2", "demo:mnist", "--edits", "max-blur"], "Did you mean 'max-blur-pool'"),
        (["zoo:cnn2", "demo:mnist", "--edits", "patch-blur"], "There is nothing to fix"),
        (["zoo:cnn2", "demo:mnist", "--edits", ""], "the name of an edit, got ''"),
        (["zoo:cnn2", "demo:mnist", "--learning-rate", "nan"], "a finite `learning_rate`"),
        (["zoo:cnn2", "demo:mnist", "--epochs", "-1"], "`epochs` of at least 0"),
        (["fixed:nowhere", "demo:mnist"], "the directory of a fixed model"),
        (["zoo:cnn9", "demo:mnist"], "Did you mean"),
    ],
)
def test_mistakes_end_with_a_sentence(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, out=tmp_path / "out") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error.replace("│ ", "").replace(" │", "")
    assert "Traceback" not in error


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    found, file = load_data("mnist", "test").head(60), tmp_path_factory.mktemp("data") / "digits.npz"
    np.savez(file, images=found.images[:, 0].numpy(), labels=found.labels.numpy())
    return str(file)


def test_an_onnx_file_is_fixed_from_around(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    file = export_onnx(load_trained("cnn1"), torch.zeros(2, 1, 28, 28), tmp_path / "m.onnx")
    out = tmp_path / "out"
    assert run(str(file), digits, "--edits", "canonical-position,average-logits", out=out) == 0
    record = json.loads((out / "report.json").read_text())
    assert {row["name"] for row in record["rows"]} == {"original", "canonical-position", "average-logits"}
    assert record["chosen"] == "canonical-position"
    assert not (out / "model.safetensors").exists()
    capsys.readouterr()
    assert main(["audit", f"fixed:{out}", digits, "--protocol", "ring:1", "--quiet", "--threads", "1",
                 "--out", str(tmp_path / "audit")]) == 0  # fmt: skip
    assert "fixed:out" in capsys.readouterr().out
    assert run(str(file), digits, "--edits", "max-blur-pool", out=tmp_path / "no") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "a module for the edit max-blur-pool, got a function" in error
    assert "average-logits" in error


def test_a_keras_model_with_a_softmax_is_fixed_from_around(
    digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras: Any = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(4, 3, strides=3),
            layers.Flatten(),
            layers.Dense(10),
            layers.Softmax(),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "m.keras")
    out = tmp_path / "out"
    assert run(str(tmp_path / "m.keras"), digits, "--trust", out=out) == 0
    record = json.loads((out / "report.json").read_text())
    names = {row["name"] for row in record["rows"]}
    assert names <= {"original", "average-logits", "average-phases", "canonical-position", "crop-choice"}
    assert any("does not answer with the logits" in each["reason"] for each in record["not_possible"])
    page = (out / "report.html").read_text()
    assert "Before and after" in page

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
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "average-logits(radius_px=1"],
            "an edit such as average-logits(",
        ),
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "average-logits(radius=1)"],
            "options of average-logits: radius",
        ),
        (["zoo:cnn2", "demo:mnist", "--edits", "average-logits(radius_px=0.5)"], "`radius_px` of at least 0"),
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "max-blur-pool(pool1, pool2)"],
            "name of a layer, got 'pool1'",
        ),
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "max-blur-pool(layers=body.pool1)"],
            "options of max-blur-pool, and paths of layers, got 'layers'. For layers: max-blur-pool(PATH",
        ),
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "max-blur-pool(body.pool1,)"],
            "an edit such as average-logits(",
        ),
        (
            ["zoo:cnn2", "demo:mnist", "--edits", "average-logits + max-blur-pool"],
            "Give them in this order: max-blur-pool, average-logits",
        ),
        (["zoo:cnn2", "demo:mnist", "--edits", "max-blur-pool +"], "the name of an edit, got ''"),
        (["zoo:cnn2", "demo:mnist", "--edits", ""], "the name of an edit, got ''"),
        (["zoo:cnn2", "demo:mnist", "--learning-rate", "nan"], "a finite `learning_rate`"),
        (["zoo:cnn2", "demo:mnist", "--epochs", "-1"], "`epochs` of at least 0"),
        (["fixed:nowhere", "demo:mnist"], "Cannot read recipe.json, the recipe of a fixed model"),
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


def test_an_edit_may_have_options_and_its_cost_is_in_forward_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("zoo:cnn2", "demo:mnist", "--edits", "average-logits(radius_px=2; border=zeros)", out=out) == 0
    assert "5.7 for 25" in capsys.readouterr().out
    record = json.loads((out / "report.json").read_text())
    original, row = record["rows"]
    assert row["name"] == "average-logits (radius_px=2; border=zeros)"
    assert (original["n_forwards"], original["forwards_at_once"]) == (1, 1)
    assert row["n_forwards"] == 25
    assert 5 < row["forwards_at_once"] < 6
    text = (out / "report.md").read_text()
    assert "| passes |" in text
    assert "| edit | clean | agreement | worst case |" in text


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said on stderr, in one line; never a traceback."""
    error = " ".join(capsys.readouterr().err.replace("│ ", "").replace(" │", "").split())
    assert "Traceback" not in error
    return error


def test_an_edit_that_would_change_the_shape_of_the_answer_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full padding makes the maps of cnn2 grow, whose dense layers take one size."""
    assert run("zoo:cnn2", "demo:mnist", "--edits", "padding-full", out=tmp_path / "out") == 2
    assert "Cannot run the model on images of shape (4, 1, 28, 28) after the edit padding-full" in sentence(
        capsys
    )


def test_images_of_one_class_are_no_lesson_with_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = load_data("mnist", "test").head(60)
    np.savez(tmp_path / "d.npz", images=found.images[:, 0].numpy(), labels=np.full(60, 3))
    assert (
        run(
            "zoo:cnn2", str(tmp_path / "d.npz"), "--epochs", "1", "--edits", "max-blur-pool",
            out=tmp_path / "out",
        ) == 2
    )  # fmt: skip
    error = sentence(capsys)
    assert "images of at least two classes to train with labels, got images of 1" in error
    assert "--unlabelled" in error


MODEL_FILE = """
import torch
from torch import nn

def build():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 10))
"""


def test_images_of_another_size_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file says nothing of the size that its model takes, so that nobody brings the images to it."""
    (tmp_path / "file.py").write_text(MODEL_FILE.replace("SEED", "0"))
    np.savez(tmp_path / "d.npz", images=np.zeros((20, 30, 30), np.uint8), labels=np.arange(20) % 10)
    reference = f"{tmp_path / 'file.py'}:build"
    assert run(reference, str(tmp_path / "d.npz"), "--trust", out=tmp_path / "out") == 2
    error = sentence(capsys)
    assert "Cannot run file.py:build on images of shape" in error
    assert "1, 30, 30)" in error
    assert "Check --size" in error


def test_a_fixed_model_needs_its_original_as_it_was(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "file.py", tmp_path / "out"
    file.write_text(MODEL_FILE.replace("SEED", "0"))
    assert (
        run(f"{file}:build", digits, "--trust", "--edits", "max-blur-pool", "--clean-margin", "1", out=out)
        == 0
    )
    capsys.readouterr()
    audit = ["audit", f"fixed:{out}", digits, "--trust", "--protocol", "ring:1", "--quiet", "--threads", "1"]

    assert main([*audit, "--out", str(tmp_path / "same")]) == 0
    capsys.readouterr()

    file.write_text(MODEL_FILE.replace("SEED", "1"))
    assert main([*audit, "--out", str(tmp_path / "other")]) == 2
    error = sentence(capsys)
    assert "one with other weights or layers. Its digest is not the one in recipe.json" in error

    file.unlink()
    assert main([*audit, "--out", str(tmp_path / "none")]) == 2
    assert "file.py" in sentence(capsys)


NO_MEMORY = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Linear(676, 10)

    def forward(self, images):
        if TOO_LARGE:
            torch.empty(2**60, dtype=torch.uint8)
        return self.head(self.pool(self.conv(images)).flatten(1))

def build():
    return Model()
"""


def test_too_little_memory_is_a_sentence(
    digits: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the allocator's own: it asks for an exabyte. In training the gradients are what is too large."""
    file = tmp_path / "file.py"
    file.write_text(NO_MEMORY.replace("TOO_LARGE", "True"))
    assert run(f"{file}:build", digits, "--trust", out=tmp_path / "out") == 2
    assert "Cannot run the model on one image at a time: too little memory" in sentence(capsys)

    file.write_text(NO_MEMORY.replace("TOO_LARGE", "torch.is_grad_enabled()"))
    words = ["--trust", "--edits", "max-blur-pool", "--epochs", "1", "--batch-size", "8"]
    assert run(f"{file}:build", digits, *words, out=tmp_path / "taught") == 2
    error = sentence(capsys)
    assert "Cannot learn from 8 images at a time: too little memory" in error
    assert "--batch-size" in error


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

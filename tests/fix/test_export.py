"""What an edit makes is the same as ONNX: every edit, and every architecture that people have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.edits.architectures import CONVOLUTIONAL, PATCHES, build, growing, images_for, small
from torch import Tensor, nn

from shiftproof.adapters import EditStep, as_classifier, edit_classifier
from shiftproof.cli import main
from shiftproof.data import load_data
from shiftproof.edits import edits
from shiftproof.fix import exported

pytestmark = pytest.mark.slow

ON_PATCHES = ("patch-blur", "patch-anchor", "no-positions", "relative-positions")


def check_export(network: nn.Module, step: EditStep, images: Tensor, path: Path) -> str | None:
    """Why there is no file; None where there is one, whose answers are those of the edited network."""
    runtime: Any = pytest.importorskip("onnxruntime")
    classifier = edit_classifier(as_classifier(network), (step,), images).classifier
    reason = exported(classifier, (int(images.shape[1]), *map(int, images.shape[2:])), path)  # type: ignore[arg-type]
    if reason is not None:
        return reason
    with torch.inference_mode():
        expected = classifier(images).numpy()
    (found,) = runtime.InferenceSession(str(path)).run(None, {"images": images.numpy()})
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * float(np.abs(expected).max()))
    return None


@pytest.mark.parametrize("edit", edits.names())
def test_every_edit(edit: str, tmp_path: Path) -> None:
    if edit in ON_PATCHES:
        network, images = build("timm:vit"), images_for("timm:vit", 3)
    else:
        network = growing() if edit == "padding-full" else small()
        images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert check_export(network, EditStep(edit), images, tmp_path / "model.onnx") is None


@pytest.mark.parametrize("name", [*CONVOLUTIONAL, *PATCHES])
def test_every_architecture(name: str, tmp_path: Path) -> None:
    edit = "patch-blur" if name in PATCHES else "composer-blurpool"
    if name == "torchvision:convnext":  # The small one has too few channels for Composer's.
        edit = "blur-strides"
    images = images_for(name, 3)
    assert check_export(build(name), EditStep(edit), images, tmp_path / "model.onnx") is None


FILE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 10))
"""
ELSEWHERE = """
import sys
import numpy as np, torch
from shiftproof import load_fixed
model = load_fixed(sys.argv[1], trust=True)
with torch.inference_mode():
    np.save(sys.argv[3], model(torch.from_numpy(np.load(sys.argv[2]))).numpy())
"""


def test_another_process_and_onnx_runtime_have_the_same_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    digits, out = load_data("mnist", "test").head(80), tmp_path / "out"
    (tmp_path / "file.py").write_text(FILE)
    np.savez(tmp_path / "digits.npz", images=digits.images[:, 0].numpy(), labels=digits.labels.numpy())
    words = [
        "--trust",
        "--edits",
        "max-blur-pool",
        "--epochs",
        "2",
        "--batch-size",
        "8",
        "--clean-margin",
        "1",
    ]
    words += ["--protocol", "box:3,3,2", "--quiet", "--threads", "1", "--out", str(out)]
    assert main(["fix", f"{tmp_path / 'file.py'}:build", str(tmp_path / "digits.npz"), *words]) == 0
    capsys.readouterr()

    images = digits.images[:8].float().numpy() / 255
    np.save(tmp_path / "images.npy", images)
    places = [str(out), str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    subprocess.run([sys.executable, "-c", ELSEWHERE, *places], check=True, capture_output=True)
    (found,) = runtime.InferenceSession(str(out / "model.onnx")).run(None, {"images": images})
    expected = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert np.ptp(expected, axis=0).max() > 0.1, "an answer that depends on the image"

"""`shiftproof certify` as its users meet it: exit codes, streams, JSON, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from shiftproof.cli import main


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["certify", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_proof_is_printed_with_what_was_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "zoo:cnn2-aps", "--moves", "9", "--random", "1")
    assert code == 0
    words = " ".join(stdout.split())
    assert words.startswith(
        "Proved that the answer does not change under all circular shifts by whole pixels."
    )
    assert "1 image, 9 circular shifts of 783" in words
    assert "real arithmetic" in words


def test_nothing_proved_is_incomplete_and_names_the_layer(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "zoo:cnn2", "--no-numeric")
    assert code == 3
    assert "body.conv1" in stdout
    assert "body.flatten" in stdout


def test_a_size_decides(capsys: pytest.CaptureFixture[str]) -> None:
    small, _, _ = run(capsys, "zoo:cnn2-gap", "--no-numeric")
    large, stdout, _ = run(capsys, "zoo:cnn2-gap", "--no-numeric", "--size", "40", "--channels", "1")
    assert (small, large) == (3, 0)
    assert "12 px from every border" in " ".join(stdout.split())


def test_images_of_a_user_are_checked(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(
        capsys, "zoo:cnn2-circular", "demo:mnist", "--limit", "3", "--random", "2", "--moves", "2", "--json"
    )
    assert code == 0
    assert json.loads(stdout)["checks"][0]["n_images"] == 5


def test_numbers_that_disagree_are_a_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a number is the same for all shifts, and yet nothing that could be certified."""
    (tmp_path / "broken.py").write_text(
        "import torch\n"
        "class Broken(torch.nn.Module):\n"
        "    def forward(self, images):\n"
        "        return images.mean((2, 3)) / 0 - images.mean((2, 3)) / 0\n"
    )
    monkeypatch.chdir(tmp_path)
    code, stdout, _ = run(capsys, "broken.py:Broken", "--trust", "--size", "8", "--channels", "1")
    assert code == 1
    assert "disagrees" in stdout


def test_a_model_of_a_user(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    conv = nn.Conv2d(3, 2, 3, padding=1, padding_mode="circular")
    torch.save(nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), tmp_path / "model.pt")
    arguments = (str(tmp_path / "model.pt"), "--size", "10", "--channels", "3")
    code, stdout, _ = run(capsys, *arguments, "--trust", "--json")
    assert code == 0
    assert json.loads(stdout)["verdict"] == "all-shifts"
    code, _, stderr = run(capsys, *arguments)
    assert code == 2
    assert "--trust" in stderr


def test_mistakes_have_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (("zoo:cnn9",), "cnn2"),
        (("zoo:cnn2-aps", "nowhere"), "Possible"),
        (("zoo:cnn2-aps", "--random", "0"), "at least 1"),
        (("zoo:cnn2-aps", "--size", "x"), "no number"),
    ):
        code, _, stderr = run(capsys, *arguments)
        assert code == 2
        assert "Traceback" not in stderr
        assert said in stderr


def test_a_size_that_a_network_does_not_take_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, stderr = run(capsys, "zoo:cnn2-aps", "--size", "30", "--channels", "1", "--no-numeric")
    assert (code, stdout) == (2, "")
    assert "features that the stride (2, 2) divides, got (15, 15)" in " ".join(stderr.split())

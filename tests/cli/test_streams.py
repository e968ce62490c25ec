"""What is on stdout, on which systems it can be shown, and what happens where nobody takes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shiftproof.cli._streams import STAND_INS

TALKS = """
import ctypes, os, subprocess, sys
import torch
from torch import Tensor, nn

print("from Python, when imported")

class Talks(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        print("from Python")
        sys.__stdout__.write("from Python, past sys.stdout")
        ctypes.CDLL(None).printf(b"from C, in its buffer")
        os.write(1, b"from a file descriptor")
        subprocess.run(["echo", "from a child"])
        return images.mean((2, 3)) - 1

def build() -> nn.Module:
    return Talks().eval()
"""
PRINTED = (
    "from Python, when imported",
    "from Python\n",
    "past sys.stdout",
    "from C",
    "from a file",
    "a child",
)
AUDIT = ("audit", "zoo:cnn1", "demo:mnist", "--limit", "20", "--protocol", "grid:1", "--quiet", "--out", "r")
FULL = Path("/dev/full")
full_device = pytest.mark.skipif(not FULL.exists(), reason="this system has no device that is always full")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def talking() -> list[str]:
    """An audit of a model that prints in every way, of images whose names are not ASCII."""
    Path("talks.py").write_text(TALKS)
    Path("photos").mkdir()
    for index in range(2):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/é→{index}.png")
    model = ["talks.py:build", "photos", "--trust", "--size", "8", "--channels", "3"]
    return ["audit", *model, "--protocol", "grid:1", "--out", "r"]


def shiftproof(
    *arguments: str, encoding: str = "utf-8", **streams: int
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "shiftproof", *arguments]
    settings = {**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(command, env=settings, check=False, **pipes)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("encoding", ["utf-8", pytest.param("cp1252", marks=pytest.mark.slow)])
def test_json_is_alone_on_stdout_whatever_prints(talking: list[str], encoding: str) -> None:
    done = shiftproof(*talking, "--json", encoding=encoding)
    record = json.loads(done.stdout.decode(encoding))
    assert done.returncode == 0
    assert record == json.loads(Path("r/report.json").read_text(encoding="utf-8")), "also of é and →"
    printed = done.stderr.decode()
    for line in PRINTED:
        assert line in printed
        assert line not in done.stdout.decode(encoding)


@pytest.mark.slow
def test_a_table_is_shown_where_the_characters_are_missing(talking: list[str]) -> None:
    done = shiftproof(*talking, encoding="ascii")
    table = done.stdout.decode("ascii")
    assert done.returncode == 0
    assert "2 images of 8 x 8 px" in " ".join(table.split())
    assert "from" not in table.split("Record:")[1]


def test_stand_ins_are_ascii_and_those_of_a_map_differ() -> None:
    assert all(text.isascii() and text for text in STAND_INS.values())
    shades = [STAND_INS[shade] for shade in "·░▒▓█"]
    assert len(set(shades)) == 5
    assert all(len(shade) == 1 for shade in shades), "or the map would be crooked"


@full_device
@pytest.mark.parametrize(
    "arguments",
    [pytest.param(AUDIT, id="table", marks=pytest.mark.slow), pytest.param((*AUDIT, "--json"), id="json")],
)
def test_a_full_stdout_ends_with_74_and_one_sentence(arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        done = shiftproof(*arguments, stdout=full.fileno())
    assert done.returncode == 74
    assert done.stderr.decode().splitlines()[1:] == [
        "Error: Cannot write to stdout: No space left on device."
    ]
    assert json.loads(Path("r/report.json").read_text())["kind"] == "audit", "nothing is lost"


@pytest.mark.slow
@full_device
def test_help_on_a_full_stdout_ends_with_74() -> None:
    with FULL.open("wb") as full:
        done = shiftproof("--help", stdout=full.fileno())
    assert done.returncode == 74
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="by a shell")
@pytest.mark.parametrize(
    ("redirection", "code"),
    [(">&-", 74), ("2>&-", 0), ("2>/dev/full", 0), ("| head -c 0; exit ${PIPESTATUS[0]}", 1)],
)
def test_streams_that_a_shell_has_closed(redirection: str, code: int) -> None:
    """A reader who leaves early does not make a failed gate pass."""
    command = " ".join([sys.executable, "-m", "shiftproof", *AUDIT, "--json"])
    gate = "--gate 'agreement<=0.1'" if code == 1 else ""
    done = subprocess.run(["bash", "-c", f"{command} {gate} {redirection}"], capture_output=True, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    if code == 0:
        assert json.loads(done.stdout)["kind"] == "audit"

"""The README is true: its commands run, its examples give what they show, its numbers are the results'."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from PIL import Image
from tests.claims.test_run import tiny
from tests.onnx_export import export_onnx
from torch import Tensor, nn

from shiftproof.cli import main
from shiftproof.data import load_data
from shiftproof.shifts import find_protocol
from shiftproof.train import Recipe, fit
from shiftproof.zoo import build_network

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line.partition("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.strip()]
FASHION = Path("/usr/share/datasets/fashion-mnist")


class Tiny(nn.Module):
    """A classifier of two classes for colour images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.convolution(images).relu().mean((2, 3))
        return logits


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the README speaks of: small ones."""
    place = tmp_path_factory.mktemp("readme")
    (place / "photos").mkdir()
    generator = np.random.default_rng(0)
    for i in range(4):
        pixels = generator.integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "photos" / f"{i}.png")
    digits = load_data("mnist", "train").head(50)
    fit(
        build_network("cnn2"),
        digits,
        Recipe(epochs=1, input_scale="unit"),
        checkpoint=place / "cnn2.safetensors",
        seed=0,
    )
    (place / "file.py").write_text("from tests.test_readme import Tiny as build_model")
    export_onnx(Tiny().eval(), torch.zeros(2, 3, 32, 32), place / "model.onnx")
    for name in ("before", "after"):
        where = [str(place / "model.onnx"), str(place / "photos"), "--out", str(place / "runs" / name)]
        assert main(["audit", *where]) == 0
    return place


def marked(command: str) -> ParameterSet:
    slow = command.startswith("shiftproof claims")
    return pytest.param(command, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("command", [marked(c) for c in COMMANDS if c.startswith("shiftproof")])
def test_commands_run(
    command: str,
    place: Path,
    tiny_study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As written, but on few images and for one epoch."""
    monkeypatch.chdir(place)
    if str(FASHION) in command and not FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    _, verb, *rest = shlex.split(command.replace("my-study.toml", str(tiny_study)))
    if verb == "reproduce":
        rest += ["--minutes", "0", "--networks", "dense-nn", "--out", str(tmp_path / "run")]
    if verb == "study":
        smaller = ["--limit", "64", "--epochs", "1", "--seeds", "1", "--workers", "1"]
        rest += [*smaller, "--device", "cpu", "--out", str(tmp_path / "run")]
        if "--networks" not in rest:
            few = {"alternatives": "cnn2,cnn2-aps", str(tiny_study): "cnn1"}
            rest += ["--networks", few.get(rest[0] if rest else "", "dense-nn,cnn2")]
    if verb == "claims":
        monkeypatch.setattr("shiftproof.claims.load_preset", lambda name: tiny())
        rest += ["--out", str(tmp_path / "run"), "--workers", "1"]
    if verb == "explain":
        rest += ["--limit", "4", "--remedies", "0"]
    if verb == "audit":
        rest += ["--limit", "20", "--out", str(tmp_path / "run")] if "--limit" not in rest else []
    assert main([verb, *rest]) == 0
    assert capsys.readouterr().out


def test_the_protocol_of_ones_own_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "my.toml").write_text(block)
    assert find_protocol(f"{tmp_path / 'my.toml'}:shake").border == "edge"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {c.split()[1] for c in COMMANDS if c.startswith("make ")} | set(
        re.findall(r"`make (\w+)`", TEXT)
    )
    assert targets >= {"reproduce", "test", "bench"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_other_commands_are_known() -> None:
    others = [c for c in COMMANDS if not c.startswith(("shiftproof", "make"))]
    assert others == ["pip install -c constraints.txt ."]


def test_python_examples_give_what_they_show() -> None:
    failures, examples = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert examples > 5
    assert failures == 0


def test_numbers_come_from_the_results() -> None:
    spec = importlib.util.spec_from_file_location("update_readme", ROOT / "benchmarks" / "update_readme.py")
    assert spec is not None
    assert spec.loader is not None
    update_readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(update_readme)
    assert update_readme.updated(TEXT) == TEXT
    for name in (
        "audit",
        "alternatives",
        "quick",
        "scales",
        "seeds",
        "speed",
        "probing",
        "layers",
        "two-data-sets",
        "explain",
        "certify",
        "claims",
    ):
        assert f"<!-- {name} -->\n" in TEXT
        assert f"<!-- {name} -->\n<!-- /{name} -->" not in TEXT


def test_the_note_on_the_misprint_says_what_was_measured() -> None:
    """Row cnn1 of the study quotes the cost of ±1 px from results/article-scales.json."""
    from shiftproof.report import read_study
    from shiftproof.study import load_study

    (note,) = (arm.note for arm in load_study("article").arms if arm.name == "cnn1")
    record = read_study(ROOT / "benchmarks" / "results" / "article-scales.json")
    for row, words in (("cnn1 (raw)", "on raw input"), ("cnn1 (unit)", "on input divided by 255")):
        (cells,) = (r.cells for r in record.rows if r.name == row)
        accuracy = {cell.protocol: cell.metrics["accuracy"] for cell in cells}
        cost = accuracy["article-none"].value - accuracy["article-small"].value
        assert f"{100 * cost:.1f} points {words}" in note
        assert accuracy["article-small"].low > 0.919


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target

"""The built-in study of alternatives: complete, each remedy beside its base, and run end to end."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from shiftproof.cli import main
from shiftproof.report import read_study
from shiftproof.study import load_study
from shiftproof.zoo import networks

# Dense layers at single pixels: no alternative to anything, and as slow as all the others together. The
# pooled family differs in its number of pools alone: it is there to tell what pooling does.
LEFT_OUT = {"standard-nn", *(name for name in networks.names() if name.startswith("pooled-"))}
# In this process: others take longer to start than to train.
HERE = ["--limit", "60", "--epochs", "1", "--workers", "1", "--device", "cpu", "-q"]
SMALL = [*HERE, "--networks", "cnn2,cnn2+aug,cnn2-blur"]


def test_every_network_is_in_the_study_with_and_without_augmentation() -> None:
    study = load_study("alternatives", preset="full")
    by_name = {arm.name: arm for arm in study.arms}
    assert {arm.network for arm in study.arms} == set(networks.names()) - LEFT_OUT
    for arm in study.arms:
        other = by_name[f"{arm.name}+aug"] if arm.recipe.augmentation == "none" else arm
        assert other.recipe.augmentation == "keras-augment"
    budgets = {arm.recipe.model_copy(update={"augmentation": "none"}) for arm in study.arms}
    assert len(budgets) == 1, "the same budget for all"
    assert len(study.seeds) == 3
    assert (study.limit, study.test_limit) == (None, None)


def test_the_quick_preset_is_a_part_in_which_every_remedy_meets_its_base() -> None:
    study = load_study("alternatives")
    names = {arm.name for arm in study.arms}
    assert study.preset == "quick"
    assert 5 <= len(names) <= 12
    remedies = [arm for arm in study.arms if arm.base]
    assert len(remedies) == len(names) - 1
    assert {arm.base for arm in remedies} <= names


def test_the_columns_are_those_that_were_promised() -> None:
    study = load_study("alternatives")
    assert [(column.protocol, column.metric, column.judges) for column in study.columns] == [
        ("article-none", "accuracy", False),
        ("article-small", "accuracy", False),
        ("article-large", "accuracy", True),
        ("grid:4", "worst-case-accuracy", True),
        ("circular:3", "pairwise-consistency", True),
    ]
    assert study.costs


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "r"
    assert main(["study", "alternatives", *SMALL, "--out", str(out)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 remedies better than their base" in printed
    assert "cnn2-blur beside cnn2" in printed
    assert "1.63 M" in printed
    record = read_study(out / "report.json")
    assert [row.name for row in record.rows] == ["cnn2", "cnn2+aug", "cnn2-blur"]
    assert "cnn2-blur beside cnn2" in (out / "report.md").read_text()
    files = {name: (out / name).read_bytes() for name in ("report.json", "report.md", "pareto.svg")}
    assert files["pareto.svg"].startswith(b"<?xml")
    assert main(["study", "alternatives", *SMALL, "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(files["report.json"])
    assert {name: (out / name).read_bytes() for name in files} == files, "nothing is measured again"


def test_without_matplotlib_the_report_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    out = tmp_path / "r"
    assert main(["study", "alternatives", *HERE, "--networks", "cnn1", "--out", str(out)]) == 0
    # Its first part that is not there yet is named, which depends on what was imported before.
    assert "No pareto.svg: Cannot import the package 'matplotlib" in " ".join(capsys.readouterr().err.split())
    assert (out / "report.md").is_file()
    assert not (out / "pareto.svg").exists()

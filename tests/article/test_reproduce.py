"""`reproduce`: the packaged networks under the article's shifts, and a training beside the recorded one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from shiftproof.article import article_materials, reproduce
from shiftproof.data import LabelledImages
from shiftproof.engine import StopSignal, open_run
from shiftproof.errors import Stopped, UnknownNameError
from shiftproof.records import ReproductionRecord
from shiftproof.report import reproduction_markdown
from shiftproof.study import Materials
from shiftproof.zoo import load_trained, trained_network

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def whole() -> Materials:
    return article_materials(CPU, ("dense-nn",))


@pytest.fixture
def few(whole: Materials, digits: LabelledImages, test_digits: LabelledImages) -> Materials:
    """Few images: the training departs from the recorded one, which saw 60,000."""
    return replace(whole, training=digits, test=test_digits)


def run_in(folder: Path, materials: Materials, **settings: Any) -> ReproductionRecord:
    with open_run("r", materials.config(), out=folder) as run:
        return reproduce(materials, run, **settings)


def test_the_table_is_that_of_the_packaged_networks(few: Materials, tmp_path: Path) -> None:
    record = run_in(tmp_path / "r", few, seconds=0)
    (row,) = record.table.rows
    with torch.inference_mode():
        answers = load_trained("dense-nn")(few.test.images.float() / 255).argmax(1)
    right = float((answers == few.test.labels).double().mean())
    assert row.cells[0].metrics["accuracy"].value == pytest.approx(right, abs=1e-12)
    assert (record.packaged[0].epochs, record.today) == (100, ())
    assert "Nothing was trained" not in reproduction_markdown(record)


def test_a_training_of_the_same_recipe_follows_the_recorded_one(whole: Materials, tmp_path: Path) -> None:
    """One epoch of all 60,000 images: on another processor the last digits may differ."""
    record = run_in(tmp_path / "r", whole, seconds=1e-3)
    (training,) = record.today
    assert len(training.epochs) == 1, "one epoch at least, and no more than the time allows"
    assert training.epochs[0].accuracy == pytest.approx(trained_network("dense-nn").curve[0][2], abs=2e-3)
    assert "This machine's training follows the recorded one: over 1 epoch" in reproduction_markdown(record)


def test_another_training_is_said_to_depart(few: Materials, tmp_path: Path) -> None:
    record = run_in(tmp_path / "r", few, seconds=1e-3)
    assert "dense-nn departs from the recorded training" in reproduction_markdown(record)


def test_an_interrupted_run_goes_on_and_a_finished_one_is_not_repeated(
    few: Materials, tmp_path: Path
) -> None:
    stop = StopSignal()

    class Impatient:
        def training(self, label: str, progress: object) -> None:
            stop.set()

        def finished(self, label: str) -> None: ...

    with pytest.raises(Stopped, match="a request to stop"):
        run_in(tmp_path / "r", few, seconds=0.5, watcher=Impatient(), stop=stop)
    first = run_in(tmp_path / "r", few, seconds=0.5)
    assert first.today[0].epochs
    assert run_in(tmp_path / "r", few, seconds=0.5) == first


def test_an_unknown_row(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="cnn2"):
        article_materials(CPU, ("cnn3",))

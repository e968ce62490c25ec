"""All claims from one call: a verdict each, resumed without computing anything twice."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from shiftproof.article import CLAIMS, ClaimsPreset, load_preset, run_claims
from shiftproof.article import _run as running
from shiftproof.article._scrambled import ScrambledSettings
from shiftproof.engine import open_run
from shiftproof.errors import DataError
from shiftproof.report import claims_markdown, read_claims
from shiftproof.study import Overrides, load_study
from shiftproof.train import Recipe

ONE_EPOCH = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-3}


def tiny() -> ClaimsPreset:
    quick = load_preset("quick")
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=32, input_scale="unit")
    return ClaimsPreset(
        name="tiny",
        summary="for a test",
        article=load_study(
            "article",
            preset="quick",
            overrides=Overrides(limit=100, input_scales=("unit",), training=ONE_EPOCH),
        ),
        alternatives=load_study(
            "alternatives",
            preset="quick",
            overrides=Overrides(
                limit=100, networks=("cnn2", "strided-cnn", "cnn2-dpp"), training={"epochs": 1}
            ),
        ),
        transfer=quick.transfer.model_copy(
            update={
                "n_base": 100, "n_labels": 50, "n_test": 50, "n_seeds": 2, "base": recipe, "target": recipe,
            }
        ),
        sharing=quick.sharing.model_copy(
            update={"n_train": 100, "n_test": 50, "recipe": recipe, "n_seeds": 2, "n_repeats": 3}
        ),
        letter=quick.letter,
        scrambled=ScrambledSettings(
            n_training=50,
            n_held_out=20,
            n_test=20,
            epochs=1,
            seeds=(0, 1),
            detectors=(
                "pooled-1-flatten", "pooled-2-flatten", "pooled-1-global", "pooled-2-global", "cnn2",
                "strided-cnn", "cnn2-dpp",
            ),
            photo_detectors=(),
        ),
    )  # fmt: skip


@pytest.mark.slow
def test_every_claim_has_a_verdict_and_a_second_run_finds_everything(tmp_path: Path) -> None:
    preset = tiny()
    with open_run("claims", preset.config(), out=tmp_path / "run") as run:
        first = run_claims(preset, run)
        written = (run.folder / "report.json").read_bytes()
        units = {path: path.stat().st_mtime_ns for path in (run.folder / "units").iterdir()}
        run_claims(preset, run)
        assert (run.folder / "report.json").read_bytes() == written
        assert {path: path.stat().st_mtime_ns for path in (run.folder / "units").iterdir()} == units
    record = read_claims(json.loads(written))
    assert [claim.number for claim in record.claims] == list(CLAIMS)
    assert all(claim.checks for claim in record.claims)
    assert record.status == "complete"
    assert all(CLAIMS[number][:20] in claims_markdown(record) for number in CLAIMS)
    assert dict(first.figures()).keys() >= {"letter", "transfer", "sharing", "scrambled"}


def test_an_experiment_that_fails_leaves_its_claims_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep their verdicts: nothing that was computed is lost."""

    def broken(*arguments: object, **options: object) -> None:
        raise DataError("images", "none")

    for name in ("_table", "_in_lab"):
        monkeypatch.setattr(running, name, broken)
    preset = dataclasses.replace(load_preset("quick"))
    with open_run("claims", preset.config(), out=tmp_path / "run") as run:
        record = run_claims(preset, run).record
    assert record.status == "incomplete"
    assert set(record.errors) == {"article", "alternatives", "sharing", "transfer", "scrambled"}
    by_number = {claim.number: claim for claim in record.claims}
    assert by_number[7].verdict == "not reproduced"
    assert "Expected images, got none" in by_number[7].sentence
    assert by_number[5].checks[0].holds is not None

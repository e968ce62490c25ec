"""The record of the claims is closed to its last part: read as it was written, and nothing unknown in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shiftproof.errors import DataError
from shiftproof.records import ExperimentsRecord, read_claims

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "claims-quick.json"


def test_a_recorded_run_is_written_again_as_it_was() -> None:
    record = read_claims(RECORDED)
    assert record.to_json() == RECORDED.read_text()
    assert record.experiments.model_fields_set == set(ExperimentsRecord.model_fields)


def test_parts_have_names_and_agree_with_the_verdicts() -> None:
    record = read_claims(RECORDED)
    letter, sharing = record.experiments.letter, record.experiments.sharing
    assert letter is not None
    assert sharing is not None
    move = letter.detector[0].moves[1]
    assert move.offset_px == (1, 0)
    found = next(claim for claim in record.claims if claim.number == 4).checks[0].found
    assert found == f"From {move.n_same} of {move.n_positions} positions."
    memory = sharing.networks["cnn1"].memory_bytes
    assert memory.total == memory.weights + memory.gradients + memory.moments + memory.kept


@pytest.mark.parametrize(
    "place",
    [
        "",
        ".letter",
        ".letter.peak.0.moves.0",
        ".letter.in_a_row.dark spot.2",
        ".article.rows.0",
        ".alternatives",
        ".sharing.networks.cnn2",
        ".sharing.networks.cnn2.memory_bytes",
        ".transfer.tasks.0.arms.1",
        ".transfer.correlation",
        ".scrambled.detectors.0",
    ],
)
def test_what_an_experiment_does_not_give_is_refused_and_named(place: str) -> None:
    document = json.loads(RECORDED.read_text())
    part: Any = document["experiments"]
    for step in place.split(".")[1:]:
        part = part[int(step) if step.isdigit() else step]
    part["colour"] = "red"
    with pytest.raises(DataError, match=rf"experiments{place}\.colour: Extra inputs are not permitted"):
        read_claims(document)


def test_what_an_experiment_gives_has_to_be_there() -> None:
    document = json.loads(RECORDED.read_text())
    del document["experiments"]["scrambled"]["detectors"][0]["others_taken_for_face"]
    with pytest.raises(DataError, match=r"scrambled\.detectors\.0\.others_taken_for_face: Field required"):
        read_claims(document)
    del document["experiments"]["scrambled"]
    assert read_claims(document).experiments.scrambled is None, "an experiment that failed is not there"

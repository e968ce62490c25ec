"""Claims 4 to 6: what the counts say, and that the verdicts follow them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from shiftproof.article import edge_filters, pooling_law, verdict_on
from shiftproof.article._letter import (
    LetterCounts,
    LetterSettings,
    count_letter,
    draw_letter,
    letter_checks,
)
from shiftproof.records import ClaimRecord, LetterRecord

SETTINGS = LetterSettings(n_random_filters=3)


@pytest.fixture(scope="module")
def counts() -> LetterCounts:
    return count_letter(SETTINGS)


def verdicts(counts: LetterCounts) -> dict[int, ClaimRecord]:
    return {number: verdict_on(number, checks) for number, checks in letter_checks(counts).items()}


def test_the_counts_are_those_of_the_law_and_of_each_filter(counts: LetterCounts) -> None:
    assert all(law.follows_law for law in (*counts.peak, *counts.detector))
    assert [law.pools.n_pools for law in counts.detector] == [1, 2, 3]
    assert len(counts.in_a_row) == len(counts.in_blocks) == 9
    assert counts.inactive == ()
    spot = edge_filters()[4]
    again = pooling_law(2, draw_letter(SETTINGS), [spot], blocks=True)
    assert counts.in_blocks[spot.name][1].record() == again.record()


def test_the_letter_is_in_zeros_and_ones() -> None:
    letter = draw_letter(LetterSettings(size_px=5))
    assert letter.tolist() == [[0, 1, 1, 1, 0], *[[1, 0, 0, 0, 0]] * 3, [0, 1, 1, 1, 0]]


def test_what_the_claims_say_is_decided_by_the_counts(counts: LetterCounts) -> None:
    checks = letter_checks(counts)
    assert sorted(checks) == [4, 5, 6]
    assert [[check.holds for check in checks[number]] for number in (4, 5)] == [
        [True, False, False],
        [True] * 2,
    ]
    assert checks[4][0].found == "From 2 of 4 positions."
    assert checks[5][0].found == "The map is another one from 4 of 4 positions."
    assert checks[6][0].holds
    assert checks[6][0].found == "With 1 to 3 pools: 50.0 %, 75.0 %, 87.5 % of the positions."
    shares = [
        np.mean([laws[n].by_offset[1, 0].share for laws in counts.in_blocks.values()]) for n in range(3)
    ]
    assert checks[6][2].holds == (shares[0] < shares[1] < shares[2])
    assert all(
        check.effect is None and "letter C of 7 px" in check.source
        for each in checks.values()
        for check in each
    )


def test_meaning_other_counts_give_other_verdicts(counts: LetterCounts) -> None:
    """With a peak in place of every filter all is as the article says, but for the position."""
    ideal = replace(counts, in_a_row={"peak": counts.peak}, in_blocks={"peak": counts.peak})
    words = {number: verdict.verdict for number, verdict in verdicts(ideal).items()}
    assert words == {4: "partly", 5: "reproduced", 6: "reproduced"}
    # Two values in neighbouring rows, in place of the detector, are never hidden by one pool.
    edge = [pooling_law(n, [[2], [1]]) for n in (1, 2, 3)]
    worse = replace(counts, detector=edge)
    assert verdicts(worse)[4].verdict == "not reproduced"
    stuck = replace(counts, in_a_row={"edge": edge[:1] * 3}, in_blocks={"edge": edge[:1] * 3})
    assert [check.holds for check in letter_checks(stuck)[6]] == [True, False, False]


def test_statements_stand_alone(counts: LetterCounts) -> None:
    says = [check.says for checks in letter_checks(counts).values() for check in checks]
    assert len(set(says)) == len(says) == 8
    assert all(each.endswith(".") and not each.startswith("So ") for each in says)


def test_the_record_is_json_and_the_same_again(counts: LetterCounts) -> None:
    record = counts.record()
    assert record.to_json() == count_letter(SETTINGS).record().to_json()
    assert LetterRecord.model_validate(json.loads(record.to_json())) == record
    assert record.settings == SETTINGS.model_dump(mode="json")
    assert len(record.in_a_row) == 9
    move = record.detector[0].moves[1]
    assert (move.offset_px, move.n_same, move.n_positions, move.n_expected) == ((1, 0), 2, 4, 2)


def test_errors() -> None:
    with pytest.raises(ValidationError, match="most_pools"):
        LetterSettings(most_pools=5)

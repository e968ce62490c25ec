"""A verdict is computed from checks, and a check from an interval."""

from __future__ import annotations

import pytest

from shiftproof.article import CLAIMS, verdict_on
from shiftproof.article._check import exactly, in_points, lies_above
from shiftproof.metrics import Estimate, NotApplicable, estimate_share
from shiftproof.records import Check


def check(holds: bool | None, says: str = "It is so.") -> Check:
    return Check(says, holds, "Measured: 1.", None, "a test")


@pytest.mark.parametrize(
    ("holds", "word"),
    [
        ([True], "reproduced"),
        ([True, True], "reproduced"),
        ([True, False], "partly"),
        ([True, None], "partly"),
        ([None], "not reproduced"),
        ([False, None], "not reproduced"),
        ([False, False], "not reproduced"),
    ],
)
def test_all_some_none(holds: list[bool | None], word: str) -> None:
    assert verdict_on(1, tuple(map(check, holds))).verdict == word


def test_the_sentence_is_of_the_statement_that_decides() -> None:
    verdict = verdict_on(7, (check(True), check(None, "It rains."), check(False, "Pigs fly.")))
    assert verdict.sentence == "1 of 3 statements hold, not “Pigs fly”: Measured: 1."
    left_open = verdict_on(7, (check(True), check(None, "It rains.")))
    assert left_open.sentence == "1 of 2 statements hold, and left open is “It rains”: Measured: 1."
    assert verdict_on(7, (check(True),)).sentence == "1 of 1 statements hold: Measured: 1."
    assert verdict.claim == CLAIMS[7]


def test_convention_a_check_holds_where_the_whole_interval_does() -> None:
    share = estimate_share([1] * 80 + [0] * 20)
    found = [
        lies_above("", share, threshold, found="", source="").holds
        for threshold in (0.0, share.low - 1e-9, share.low, share.value, share.high - 1e-9, share.high, 1.0)
    ]
    assert found == [True, True, None, None, None, False, False]


def test_what_has_no_number_is_left_open() -> None:
    left_open = lies_above("", NotApplicable("there are no images"), 0.0, found="", source="")
    assert left_open.holds is None
    assert left_open.effect == NotApplicable("there are no images")
    assert in_points(NotApplicable("there are no images")) == "an unknown amount (there are no images)"


def test_counts_have_no_interval() -> None:
    assert exactly("1 < 2", True, found="1 and 2", source="").effect is None


def test_there_are_twelve() -> None:
    assert list(CLAIMS) == list(range(1, 13))
    assert isinstance(estimate_share([1, 0]), Estimate)

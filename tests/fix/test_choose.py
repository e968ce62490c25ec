"""Which finalist is given back, and what is said of the others.

Of edits that are as good as the best, it is the one with the fewest forward passes.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.fix._choose import AS_GOOD, choose, judged
from shiftproof.records import Estimate, TriedRecord

CHEAP, DEAR, OTHER = "max-blur-pool", "average-logits", "low-pass-pool"
PASSES = {CHEAP: 1.0, DEAR: 9.0, OTHER: 1.0}


def tried(name: str, clean: float, shifted: float, n_images: int = 1000) -> TriedRecord:
    def share(value: float) -> Estimate:
        return Estimate(value, value, value, n_images, 1, "share of images", 0.95, "by hand")

    names = ("clean-accuracy", "accuracy", "agreement", "worst-case-accuracy")
    estimates = dict(zip(names, map(share, (clean, shifted, shifted, shifted)), strict=True))
    return TriedRecord(name=name, n_images=n_images, estimates=estimates, trained=0.0, fate="dropped")


def candidates(scores: Mapping[str, float]) -> list[TriedRecord]:
    return [tried(name, 0.9, score) for name, score in scores.items()]


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ({CHEAP: 0.986, DEAR: 0.987}, CHEAP),
        ({CHEAP: 0.980, DEAR: 0.987}, DEAR),
        ({CHEAP: 0.984, OTHER: 0.985, DEAR: 0.987}, OTHER),
        ({CHEAP: 0.699, DEAR: 0.702}, DEAR),  # The cheap one is no better than the original.
        ({CHEAP: 0.600, DEAR: 0.700}, None),
        ({}, None),
    ],
)
def test_what_is_chosen_of_which_scores(scores: Mapping[str, float], chosen: str | None) -> None:
    found = choose(candidates(scores), PASSES, above=0.7)
    assert (found and found.name) == chosen


@given(st.tuples(*[st.floats(0, 1)] * 3), st.floats(0, 1))
def test_nothing_as_good_is_cheaper(scores: tuple[float, float, float], above: float) -> None:
    every = candidates(dict(zip(PASSES, scores, strict=True)))
    found = choose(every, PASSES, above)
    if found is None:
        assert max(scores) <= above
        return
    by_name = dict(zip(PASSES, scores, strict=True))
    assert by_name[found.name] > above
    assert by_name[found.name] >= max(scores) - AS_GOOD
    for name, score in by_name.items():
        if PASSES[name] < PASSES[found.name]:
            assert score <= above or score < max(scores) - AS_GOOD


ORIGINAL = tried("original", 0.9, 0.5)


def fates(*finalists: TriedRecord, original: TriedRecord = ORIGINAL, **options: float) -> dict[str, str]:
    found = judged(
        original,
        finalists,
        {each.name: 4.0 if each.name.startswith("slow") else 1.0 for each in finalists},
        {each.name: 9.0 if each.name.startswith("slow") else 1.0 for each in finalists},
        clean_margin=options.get("clean_margin", 0.005),
        budget=options.get("budget"),
    )
    return {each.name: each.fate for each in found}


def test_the_best_within_the_margin_and_the_budget_is_chosen() -> None:
    finalists = [
        tried("slow", 0.9, 0.9), tried("unclean", 0.89, 0.8), tried("best", 0.896, 0.7),
        tried("good", 0.95, 0.6), tried("same", 0.9, 0.5),
    ]  # fmt: skip
    assert fates(*finalists, budget=2.0) == {
        "original": "another is better",
        "slow": "over the budget",
        "unclean": "too many clean images lost",
        "best": "chosen",
        "good": "another is better",
        "same": "not better than the original",
    }
    assert fates(*finalists)["slow"] == "chosen"
    assert fates(*finalists)["best"] == "another is better"
    assert fates(*finalists, budget=2.0, clean_margin=0.02)["unclean"] == "chosen"


def test_the_original_stays_where_none_is_better() -> None:
    assert fates(tried("same", 0.9, 0.5), tried("worse", 0.9, 0.4)) == {
        "original": "chosen",
        "same": "not better than the original",
        "worse": "not better than the original",
    }


@pytest.mark.parametrize(("lost", "fate"), [(1, "chosen"), (2, "too many clean images lost")])
def test_one_image_of_few_may_be_lost(lost: int, fate: str) -> None:
    found = fates(tried("edit", (18 - lost) / 20, 0.6, 20), original=tried("original", 18 / 20, 0.5, 20))
    assert found["edit"] == fate


def test_a_budget_has_a_tolerance_for_the_clock() -> None:
    assert fates(tried("slow", 0.9, 0.9), budget=3.7)["slow"] == "chosen"
    assert fates(tried("slow", 0.9, 0.9), budget=3.6)["slow"] == "over the budget"


def test_what_is_as_good_with_more_passes_is_said_to_be() -> None:
    finalists = [tried("slow", 0.9, 0.703), tried("quick", 0.9, 0.70), tried("behind", 0.9, 0.698)]
    assert fates(*finalists) == {
        "original": "another is better",
        "slow": "another is as good",
        "quick": "chosen",
        "behind": "another is better",
    }

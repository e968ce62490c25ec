"""Of edits that are as good as the best, the one with the fewest forward passes is given back."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.adapters import EditStep, as_classifier, edit_classifier
from shiftproof.fix import Proposal
from shiftproof.fix._choose import AS_GOOD, choose
from shiftproof.fix._search import Candidate
from shiftproof.zoo import load_trained

CHEAP, DEAR, OTHER = "max-blur-pool", "average-logits", "low-pass-pool"
PASSES = {CHEAP: 1.0, DEAR: 9.0, OTHER: 1.0}


def candidates(scores: Mapping[str, float]) -> list[Candidate]:
    original = as_classifier(load_trained("cnn2"))
    unedited = edit_classifier(original, (), None)
    return [Candidate(Proposal((EditStep(name),)), unedited, score) for name, score in scores.items()]


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
    assert found.score > above
    assert found.score >= max(scores) - AS_GOOD
    for other in every:
        if PASSES[other.name] < PASSES[found.name]:
            assert other.score <= above or other.score < max(scores) - AS_GOOD

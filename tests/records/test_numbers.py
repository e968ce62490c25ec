"""Numbers are one class each: what is computed is what a document holds, and what comes back from one."""

from __future__ import annotations

import dataclasses
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import shiftproof.metrics
from shiftproof.records import Difference, Estimate, Measured, NotApplicable

ADAPTER: TypeAdapter[Estimate | Difference | NotApplicable] = TypeAdapter(Measured)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="#:"), max_size=20)
N = st.integers(1, 2**40)
FOUND = st.one_of(
    st.builds(NotApplicable, WORDS),
    st.builds(Estimate, NUMBER, NUMBER, NUMBER, N, N, WORDS, NUMBER, WORDS),
    st.builds(Difference, NUMBER, NUMBER, NUMBER, N, NUMBER, WORDS, NUMBER, WORDS),
)
BY_HAND = Estimate(0.5, 0.25, 0.75, 9, 1, "share of images", 0.95, "by hand")


def test_metrics_give_these() -> None:
    assert (shiftproof.metrics.Estimate, shiftproof.metrics.Difference) == (Estimate, Difference)
    assert shiftproof.metrics.NotApplicable is NotApplicable


@given(FOUND)
def test_a_number_comes_back_from_its_document(found: Estimate | Difference | NotApplicable) -> None:
    assert ADAPTER.validate_json(ADAPTER.dump_json(found)) == found
    assert ADAPTER.validate_python(dataclasses.asdict(found)) == found
    assert pickle.loads(pickle.dumps(found)) == found
    assert {found, dataclasses.replace(found)} == {found}


def test_documents_call_a_reason_by_what_it_is_in_the_place_of() -> None:
    assert ADAPTER.dump_python(NotApplicable("there are no images")) == {
        "not_applicable": "there are no images"
    }


def test_numbers_of_arrays_become_plain_ones() -> None:
    found = dataclasses.replace(BY_HAND, value=np.float64(0.5), n_images=np.asarray([9]).max())
    assert found == BY_HAND
    assert (type(found.value), type(found.n_images)) == (float, int)


def test_nothing_changes_a_number() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError, match="value"):
        BY_HAND.value = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"value": "much"}, "value\n  Input should be a valid number"),
        ({"n_images": 0.5}, "n_images\n  Input should be a valid integer"),
        ({"surprise": 1}, "surprise\n  Unexpected keyword argument"),
    ],
)
def test_anything_else_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Estimate(**{**dataclasses.asdict(BY_HAND), **changed})


def test_text_from_elsewhere_is_printable() -> None:
    assert NotApplicable("conv\x1b[2J\nhas none").reason == "conv�[2J has none"
    assert math.isinf(dataclasses.replace(BY_HAND, high=math.inf).high)

"""Records that are made: what is not known stays out, and a part that is missing is refused, made or read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from shiftproof.data import load_data
from shiftproof.errors import DataError
from shiftproof.explain import Explanation, explain
from shiftproof.records import CostsRecord, RecipeRecord, RowRecord, TimeRecord, read_explanation
from shiftproof.zoo import build_network

ROW = RowRecord(
    name="a",
    network="cnn1",
    title="",
    note="",
    n_parameters=1,
    recipe=RecipeRecord(
        epochs=1,
        batch_size=1,
        learning_rate=1e-3,
        adam_epsilon=1e-7,
        input_scale="unit",
        augmentation="none",
        early_stopping=None,
    ),
    seeds=(0,),
    cells=(),
    error=None,
)
TIME = TimeRecord(
    value=1, low=1, high=1, n_repeats=1, batch_size=1, threads=1, confidence=0.95, method="by hand"
)


def test_what_is_not_known_stays_out_of_the_document() -> None:
    assert ROW.having(costs=None, curves=()) == ROW
    assert "costs" not in ROW.having(costs=None).to_dict()
    costs = CostsRecord(multiply_adds=3, ms_per_image=TIME)
    known = ROW.having(costs=costs)
    assert known.costs == costs
    assert set(known.to_dict()) == {*ROW.to_dict(), "costs"}


def test_what_is_known_is_checked_as_when_it_is_made() -> None:
    with pytest.raises(ValidationError, match="costs"):
        ROW.having(costs={"multiply_adds": "many"})
    with pytest.raises(ValidationError, match="colour"):
        ROW.having(colour="red")


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    return explain(build_network("cnn1"), load_data("mnist", "test").head(3), n_remedies=0)


def test_an_explanation_is_read_as_it_was_made(explanation: Explanation) -> None:
    again = read_explanation(explanation.to_dict())
    assert again == explanation
    assert (again.tie, again.by_cause(), str(again)) == (
        explanation.tie,
        explanation.by_cause(),
        str(explanation),
    )


def _without_border(record: dict[str, Any]) -> None:
    record["change"].pop("with-border")


def _without_cause(record: dict[str, Any]) -> None:
    record["rows"][0]["split"].pop("head")


def _without_rows(record: dict[str, Any]) -> None:
    record.update(rows=[], tied=["body.pool1"])


def _another_condition(record: dict[str, Any]) -> None:
    record["stairs"][0]["change"]["sideways"] = None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_border, "the change with the real border is missing"),
        (_without_cause, r"the split of body\.conv1 has no head"),
        (_without_rows, "rows are tied, and there are none"),
        (_another_condition, "sideways"),
    ],
)
def test_an_explanation_with_a_part_missing_is_refused(
    explanation: Explanation, damage: Any, message: str
) -> None:
    record: Any = explanation.to_dict()
    damage(record)
    with pytest.raises(DataError, match=message):
        read_explanation(record)

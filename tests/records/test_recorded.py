"""Every record among the results is read, and becomes the same document again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shiftproof.errors import DataError
from shiftproof.records import (
    StrictRecord,
    read_audit,
    read_certificate,
    read_claims,
    read_explanation,
    read_fix,
    read_study,
)

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
READERS: dict[str, Callable[[Mapping[str, Any]], StrictRecord]] = {
    "audit": read_audit,
    "certificate": read_certificate,
    "claims": read_claims,
    "explanation": read_explanation,
    "fix": read_fix,
    "study": read_study,
}
KEYS = {"schema_version", "kind"}


def records(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those inside of a document, with where they stand."""
    if isinstance(value, dict):
        if value.keys() >= KEYS and value["kind"] in READERS:
            yield where, value
        value = list(value.items())
    elif isinstance(value, list):
        value = list(enumerate(value))
    else:
        return
    for name, inner in value:
        yield from records(inner, f"{where}/{name}")


FOUND = [
    found
    for file in sorted(RESULTS.glob("*.json"))
    for found in records(json.loads(file.read_text()), file.stem)
]


def test_every_kind_is_among_them() -> None:
    assert {record["kind"] for _, record in FOUND} == set(READERS)


@pytest.mark.parametrize("record", [pytest.param(record, id=where) for where, record in FOUND])
def test_it_becomes_the_same_document(record: dict[str, Any]) -> None:
    assert READERS[record["kind"]](record).to_dict() == record


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("audit", "environment"),
        ("study", "environment"),
        ("study", "rows/0/recipe"),
        ("claims", "environment"),
        ("claims", "experiments/sharing/environment"),
        ("certificate", "environment"),
        ("fix", "about/training"),
        ("explanation", "lie_derivative/how"),
    ],
)
def test_what_has_one_form_has_nothing_else(kind: str, part: str) -> None:
    """A name that the schema does not know, and one that is missing."""
    documents = [json.loads(json.dumps(record)) for _, record in FOUND if record["kind"] == kind]
    for document in documents:
        value = inside(document, part)
        if value is not None:
            value["colour"] = "red"
            with pytest.raises(DataError, match="colour"):
                READERS[kind](document)
            del value["colour"]
            name = "epochs" if "epochs" in value else sorted(value)[0]
            del value[name]
            with pytest.raises(DataError, match=name):
                READERS[kind](document)
            return
    raise AssertionError(f"no {kind} among the results has {part}")


def inside(document: Any, part: str) -> Any:
    for name in part.split("/"):
        document = document[int(name)] if isinstance(document, list) else document.get(name)
        if document is None:
            return None
    return document

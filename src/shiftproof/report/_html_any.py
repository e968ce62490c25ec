"""A record as a page by its shape alone: numbers as lines, lists of alike things as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from shiftproof.report._numbers import in_full
from shiftproof.report._page import Block, Bullets, Facts, Page, Section, Table
from shiftproof.report._record import EstimateRecord, NotApplicableRecord

# What every kind has, in words of its own.
LEFT_OUT = ("kind", "schema_version")
MOST_CELLS = 12


def record_page(record: BaseModel, *, kind: str, headline: str) -> Page:
    """A page of a record of any kind.

    Args:
        record: Checked against its schema.
        kind: What it is.
        headline: Its verdict.
    """
    values = {name: getattr(record, name) for name in type(record).model_fields if name not in LEFT_OUT}
    plain = [(_words(name), _line(value)) for name, value in values.items() if _is_line(value)]
    sections = [
        Section(_words(name).capitalize(), _blocks(value))
        for name, value in values.items()
        if not _is_line(value)
    ]
    return Page(kind=kind, headline=headline, about=plain, sections=sections)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _is_line(value: Any) -> bool:
    """Whether it is said in one line."""
    return value is None or isinstance(value, (str, int, float, EstimateRecord, NotApplicableRecord))


def _line(value: Any) -> str:
    if isinstance(value, (EstimateRecord, NotApplicableRecord)):
        return in_full(value)
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _blocks(value: Any) -> list[Block]:
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return [Facts([(_words(str(name)), text) for name, text in _flat(value)])] if value else []
    if isinstance(value, Sequence):
        if value and all(isinstance(each, BaseModel) for each in value):
            return [_table([dict(each) for each in value])]
        return [Bullets([_short(each) for each in value])] if value else []
    return [Bullets([_line(value)])]


def _flat(value: Mapping[Any, Any], above: str = "") -> list[tuple[str, str]]:
    """Every line in a mapping, by its names with dots."""
    found: list[tuple[str, str]] = []
    for name, inner in value.items():
        deeper = dict(inner) if isinstance(inner, BaseModel) and not _is_line(inner) else inner
        if isinstance(deeper, Mapping):
            found += _flat(deeper, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", _short(deeper)))
    return found


def _short(value: Any) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_short(each) for each in value)
    if isinstance(value, BaseModel) and not _is_line(value):
        value = dict(value)
    return (
        "; ".join(f"{name} {text}" for name, text in _flat(value))
        if isinstance(value, Mapping)
        else _line(value)
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_short(row[name]) if name in row else "" for name in names] for row in rows]
    used = [place for place in range(len(names)) if any(row[place] not in ("", "none") for row in cells)]
    used = used[:MOST_CELLS]
    titles = [_words(names[place]) for place in used]
    return Table(titles, [[row[place] for place in used] for row in cells], left=len(titles))

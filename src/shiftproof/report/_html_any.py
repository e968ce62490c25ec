"""A record as a page by its shape alone: numbers as lines, lists of alike things as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from pydantic import BaseModel

from shiftproof._charts import Quantity
from shiftproof._text import counted
from shiftproof.records import Difference, Estimate, NotApplicable
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._numbers import amount, in_full, interval
from shiftproof.report._page import Block, Bullets, Charts, Facts, Lines, Page, Section, Table

# What every kind has, in words of its own.
LEFT_OUT = ("kind", "schema_version")
# A chart of more rows is longer than a page.
MOST_DOTS = 40
LONGEST_CELL = 48
Number = Estimate | Difference | NotApplicable


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
    return value is None or isinstance(value, str | int | float | Number)


def _line(value: Any) -> str:
    if isinstance(value, Number):
        return in_full(value)
    if value is None:
        return "none"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def _blocks(value: Any) -> list[Block]:
    if isinstance(value, Mapping):
        value = dict(sorted(value.items()))
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        pairs = [(_words(name), _full(inner)) for name, inner in _leaves(value)]
        return [Facts(pairs)] if pairs else []
    if isinstance(value, Sequence):
        if value and all(isinstance(each, BaseModel) for each in value):
            return _rows(value)
        if value and not any(isinstance(each, (str, Mapping)) for each in value):
            return [Lines(["; ".join(map(_cell, value))])]
        return [Bullets(list(map(_full, value)))] if value else []
    return [Bullets([_line(value)])]


def _full(value: Any) -> str:
    """A leaf, or what several are together."""
    if isinstance(value, Mapping) or (isinstance(value, BaseModel) and not _is_line(value)):
        return "; ".join(f"{name} {_full(inner)}" for name, inner in _leaves(dict(value)))
    return _line(value) if _is_line(value) else ", ".join(map(_full, value))


def _rows(records: Sequence[BaseModel]) -> list[Block]:
    """Alike things as a table, and a chart for each of their numbers that has an interval."""
    rows = [dict(_leaves(dict(record))) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    used = [name for name in names if any(row.get(name) not in (None, "", ()) for row in rows)]
    # Sentences stand last, where they are in nobody's way.
    used.sort(key=lambda name: max(len(_cell(row.get(name))) for row in rows) > LONGEST_CELL)
    table = Table(
        list(map(_words, used)), [[_cell(row.get(name)) for name in used] for row in rows], left=len(used)
    )
    charts = _charts(rows, used)
    caption = f"With intervals, {counted(min(len(rows), MOST_DOTS), 'row')} of {len(rows):,}, in their order."
    return [*([Charts(charts, caption)] if charts else []), table]


def _charts(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Markup]:
    charts = []
    for name in names:
        found = [
            (_cell(row.get(names[0])), each)
            for row in rows[:MOST_DOTS]
            if isinstance(each := row.get(name), Estimate)
        ]
        if len(found) > 1:
            marks = [Dot(label, each.value, each.low, each.high) for label, each in found]
            quantity = Quantity(_words(name), found[0][1].unit)
            charts.append(dots(marks, quantity, label=f"{quantity.title} of each row", reference=0.0))
    return charts


def _leaves(value: Mapping[Any, Any], above: str = "") -> list[tuple[str, Any]]:
    """Whatever stands in one cell, by its names with dots."""
    found: list[tuple[str, Any]] = []
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            # A file has sorted keys, a record that was just made has not.
            found += _leaves(dict(sorted(inner.items())), f"{above}{name}.")
        elif isinstance(inner, BaseModel) and not _is_line(inner):
            found += _leaves(dict(inner), f"{above}{name}.")
        else:
            found.append((f"{above}{name}", inner))
    return found


def _cell(value: Any) -> str:
    """A leaf in brief: what all cells of a column share is said elsewhere."""
    if value is None:
        return ""
    if isinstance(value, Estimate):
        return f"{amount(value.value, value.unit)} ({interval(value)})".replace("-", "−")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_cell, value))
    return _line(value)

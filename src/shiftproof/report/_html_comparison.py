"""A comparison of two audits as a page: every difference as a chart and in a table."""

from __future__ import annotations

from shiftproof._charts import Quantity
from shiftproof.records import ComparedProtocolRecord, ComparisonRecord, DifferenceRecord
from shiftproof.report._comparison import COMPARED_COLUMNS, compared_about, compared_notes, compared_rows
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._page import Block, Bullets, Charts, Facts, Page, Section, Table, joined

FALLS = "↓"


def comparison_page(record: ComparisonRecord) -> Page:
    """A page of everything that the record of a comparison has."""
    headline, *about = compared_about(record)
    digests = [(model.name, f"digest {model.digest or 'unknown'}") for model in record.models]
    return Page(
        kind="comparison",
        headline=headline,
        about=[_named(line) for line in about],
        sections=[
            *(Section(f"Under {part.name}", _protocol(part)) for part in record.protocols),
            Section("Method", [Bullets(compared_notes(record))]),
            Section(
                "To reproduce it", [Facts([*digests, (record.data.name, f"digest {record.data.digest}")])]
            ),
        ],
    )


def _named(line: str) -> tuple[str, str]:
    name, colon, text = line.partition(": ")
    return (name, text) if colon else ("", line)


def _protocol(part: ComparedProtocolRecord) -> list[Block]:
    by_unit: dict[str, list[tuple[Dot, DifferenceRecord]]] = {}
    for row in part.rows:
        if isinstance(row.difference, DifferenceRecord):
            found = row.difference
            name = row.metric if row.higher_is_better else f"{row.metric} {FALLS}"
            unit = Quantity("", found.unit).unit_of_change
            by_unit.setdefault(unit, []).append((Dot(name, found.value, found.low, found.high), found))
    charts = [
        dots(
            [dot for dot, _ in rows],
            Quantity("difference", rows[0][1].unit),
            label=f"differences in {unit} under {part.name}, second minus first",
            title=f"second − first ({unit})",
            reference=0.0,
        )
        for unit, rows in by_unit.items()
    ]
    caption = (
        "Second minus first, with intervals; one that crosses the dashed line shows no difference. "
        f"{FALLS}: less is better."
    )
    rows = [
        [name, first, second, joined(difference), p_value, better]
        for name, first, second, difference, p_value, better in compared_rows(part)
    ]
    return [*([Charts(charts, caption)] if charts else []), Table(COMPARED_COLUMNS, rows)]

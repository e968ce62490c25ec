"""A comparison of two audits as a page: every difference as a chart and in a table."""

from __future__ import annotations

from shiftproof._charts import Quantity
from shiftproof._text import counted
from shiftproof.records import ComparedProtocolRecord, ComparisonRecord, Difference, NotApplicable
from shiftproof.report._comparison import COMPARED_COLUMNS, compared_about, compared_notes, compared_rows
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._html_words import words_section
from shiftproof.report._numbers import change
from shiftproof.report._page import (
    Block,
    Bullets,
    Card,
    Charts,
    Command,
    Facts,
    Lines,
    Page,
    Section,
    Table,
    joined,
)

FALLS = "↓"
MOST_CARDS = 4
# What most readers look for first.
FIRST = ("agreement", "accuracy", "worst-case-agreement", "clean-accuracy", "cosine")
WORDS = ("paired", "points", "interval", "n", "agreement", "accuracy", "worst case", "n/a")


def comparison_page(record: ComparisonRecord) -> Page:
    """A page of everything that the record of a comparison has."""
    headline, *about = compared_about(record)
    digests = [(model.name, f"digest {model.digest or 'unknown'}") for model in record.models]
    return Page(
        kind="comparison",
        headline=headline,
        about=[_named(line) for line in about],
        cards=_cards(record),
        sections=[
            *(Section(f"Under {part.name}", _protocol(part)) for part in record.protocols),
            Section("Not measured", [Bullets(_not_measured(record))]),
            Section("Method", [Bullets(compared_notes(record))]),
            Section(
                "To reproduce it",
                [
                    Command("shiftproof compare RUN_A RUN_B"),
                    Lines(["RUN_A and RUN_B are the directories of audits of these models on these images."]),
                    Facts([*digests, (record.data.name, f"digest {record.data.digest}")]),
                ],
            ),
            words_section(*WORDS),
        ],
    )


def _cards(record: ComparisonRecord) -> list[Card]:
    """The first differences of the first protocol that is shown."""
    part = record.protocols[0] if record.protocols else None
    found = [
        (row, row.difference) for row in (part.rows if part else ()) if isinstance(row.difference, Difference)
    ]
    found.sort(key=lambda pair: FIRST.index(pair[0].metric) if pair[0].metric in FIRST else len(FIRST))
    cards = []
    for row, each in found[:MOST_CARDS]:
        low, high = (change(end, each.unit) for end in (each.low, each.high))
        detail = f"{low} to {high}, n = {counted(each.n_images, 'image')}"
        note = f"second − first; {'more' if row.higher_is_better else 'less'} is better"
        cards.append(Card(row.metric, change(each.value, each.unit), detail, note))
    return cards


def _not_measured(record: ComparisonRecord) -> list[str]:
    """What has no difference, and why; and what two audits cannot say."""
    absent = [
        f"{row.metric} under {part.name}: {row.difference.reason}"
        for part in record.protocols
        for row in part.rows
        if isinstance(row.difference, NotApplicable)
    ]
    return [*absent, "Planes, curves and single images of each: they are in the pages of the two audits."]


def _named(line: str) -> tuple[str, str]:
    name, colon, text = line.partition(": ")
    return (name, text) if colon else ("", line)


def _protocol(part: ComparedProtocolRecord) -> list[Block]:
    by_unit: dict[str, list[tuple[Dot, Difference]]] = {}
    for row in part.rows:
        if isinstance(row.difference, Difference):
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

"""A fix as a page: what each edit is worth as a chart and in a table, what it changes, and what is proved."""

from __future__ import annotations

from shiftproof._charts import Quantity
from shiftproof._text import counted
from shiftproof.records import DifferenceRecord, FixRecord
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._fix import (
    LITTLE,
    LOST,
    about_fix,
    before_and_after,
    changes,
    columns,
    loss_rows,
    measured_rows,
    notes,
    row_cells,
)
from shiftproof.report._page import Block, Bullets, Charts, Page, Section, Table


def fix_page(record: FixRecord) -> Page:
    """A page of everything that the record of a fix has.

    Args:
        record: From `read_fix`.
    """
    lines = changes(record)
    return Page(
        kind="fix",
        headline=record.summary,
        about=[("", line) for line in about_fix(record)],
        sections=[
            Section("Each edit", _table(record)),
            *([Section(f"What {record.chosen} changes", [Bullets(lines)])] if lines else []),
            Section("Before and after", _side_by_side(record)),
            Section("Method", [Bullets(notes(record))]),
        ],
    )


def _side_by_side(record: FixRecord) -> list[Block]:
    """What audit, explain and certify say of the original and of the chosen model."""
    names = [row.name for row in before_and_after(record)]
    proved = ["proved", *(row.certificate for row in before_and_after(record))]
    blocks: list[Block] = [
        Table(
            ["", *names], measured_rows(record), caption=f"On {counted(record.about.n_reporting, 'image')}."
        ),
        Table(["", *names], [proved], left=1 + len(names), caption="What is proved of the answer."),
    ]
    lost = loss_rows(record)
    if lost:
        blocks.append(Table(["layer", *names], lost, caption=f"{LOST} {LITTLE}"))
    return blocks


def _table(record: FixRecord) -> list[Block]:
    found = [(row.name, row.differences["accuracy"]) for row in record.rows if row.verdict]
    drawn = [
        (Dot(name, each.value, each.low, each.high), each.unit)
        for name, each in found
        if isinstance(each, DifferenceRecord)
    ]
    charts: list[Block] = []
    if drawn:
        chart = dots(
            [dot for dot, _ in drawn],
            Quantity("difference", drawn[0][1]),
            label="how much more often the answer to a shifted image is right, by edit",
            title="edit − original (points)",
            reference=0.0,
        )
        charts = [Charts([chart], "Right under the shifts, minus that of the original, with intervals.")]
    return [*charts, Table(columns(), [row_cells(row, record) for row in record.rows])]

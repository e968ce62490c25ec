"""A fix as a page: what each edit is worth as a chart and in a table, what it changes, and what is proved."""

from __future__ import annotations

from shiftproof._charts import Quantity
from shiftproof._text import counted
from shiftproof.records import Difference, FixRecord, NotApplicable
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._fix import (
    LITTLE,
    LOST,
    OTHER_DIFFERENCES,
    SHOWN,
    about_fix,
    before_and_after,
    changes,
    choice_columns,
    choice_rows,
    choice_rule,
    columns,
    loss_rows,
    measured_rows,
    notes,
    other_columns,
    other_differences,
    row_cells,
)
from shiftproof.report._html_words import words_section
from shiftproof.report._numbers import NO_NUMBER, amount, change, interval
from shiftproof.report._page import Block, Bullets, Card, Charts, Facts, Page, Section, Table, facts

WORDS = ("edit", "accuracy", "agreement", "worst case", "interval", "n", "paired", "points", "n/a")


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
        cards=_cards(record),
        sections=[
            Section("Each edit", _table(record)),
            Section("How it was chosen", _choice(record)),
            *([Section(f"What {record.chosen} changes", [Bullets(lines)])] if lines else []),
            Section("Before and after", _side_by_side(record)),
            Section("Not measured", [Bullets(_not_measured(record))]),
            Section("Method", [Bullets(notes(record))]),
            Section("To reproduce it", [Facts(_reproduce(record))]),
            words_section(*WORDS),
        ],
    )


def _choice(record: FixRecord) -> list[Block]:
    """Every edit on the images for choosing; nothing for records from before."""
    if not record.tried:
        return []
    return [Table(choice_columns(record), choice_rows(record), left=2, caption=choice_rule(record))]


def _cards(record: FixRecord) -> list[Card]:
    """The chosen model: each number, and by how much it differs from the original's."""
    row = record.row
    cards = []
    for name, title in SHOWN.items():
        found, difference = row.estimates[name], row.differences.get(name)
        if isinstance(found, NotApplicable):
            cards.append(Card(title, NO_NUMBER, found.reason))
            continue
        detail = f"{interval(found)}, n = {counted(found.n_images, 'image')}"
        note = f"with {row.name}"
        if isinstance(difference, Difference):
            note = (
                f"{note}: {change(difference.value, difference.unit)} against the original, paired by image"
            )
        cards.append(Card(title, amount(found.value, found.unit), detail, note))
    return cards


def _not_measured(record: FixRecord) -> list[str]:
    """What the table cannot say."""
    protocol = record.about.protocol["name"]
    return [
        f"Other shifts than those of {protocol}: audit the model that was written under them.",
        "Other images: the edit was chosen by some of these images, and is reported on others of the set.",
        *([] if record.about.training else ["Training: edits that need it were not tried."]),
    ]


def _reproduce(record: FixRecord) -> list[tuple[str, str]]:
    about = record.about
    return [
        ("model", f"{record.model.name}, digest {record.model.digest or 'unknown'}"),
        *((name, text) for name, text in sorted(about.data.items())),
        *((f"protocol.{name}", text) for name, text in sorted(about.protocol.items())),
        *facts({} if about.training is None else about.training.to_dict()).pairs,
        ("seed", str(about.seed)),
        ("confidence", f"{about.confidence:g}"),
    ]


def _side_by_side(record: FixRecord) -> list[Block]:
    """What audit, explain and certify say of the original and of the chosen model."""
    names = [row.name for row in before_and_after(record)]
    proved = ["proved", *(row.certificate for row in before_and_after(record))]
    blocks: list[Block] = [
        Table(
            ["metric", *names],
            measured_rows(record),
            caption=f"On {counted(record.about.n_reporting, 'image')}.",
        ),
        Table(["law", *names], [proved], left=1 + len(names), caption="What is proved of the answer."),
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
        if isinstance(each, Difference)
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
    tables: list[Block] = [
        Table([*columns(record)[:-1], "verdict"], [row_cells(row, record) for row in record.rows])
    ]
    if other_differences(record):
        tables.append(Table(other_columns(), other_differences(record), caption=f"{OTHER_DIFFERENCES}."))
    return [*charts, *tables]

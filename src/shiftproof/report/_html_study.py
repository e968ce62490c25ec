"""A study as a page, a reproduction of its article, and the verdicts on its claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shiftproof._charts import Quantity
from shiftproof._text import counted, percent
from shiftproof.records import ClaimRecord, ClaimsRecord, EstimateRecord, ReproductionRecord, StudyRecord
from shiftproof.report._claims import COLOURS, MARKS, claims_headline, claims_notes
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._page import (
    Block,
    Bullets,
    Card,
    Charts,
    Facts,
    Lines,
    Page,
    Section,
    Table,
    facts,
    joined,
)
from shiftproof.report._reproduction import follows, reproduction_tables
from shiftproof.report._study_table import columns, footnotes, headline, row_cells

INCOMPLETE = "This run is incomplete: some parts failed, or it was stopped before they were done."
# A longer one is no headline: it stands below the title.
LONGEST_HEADLINE = 120
CLAIM_COLUMNS = ["#", "claim", "verdict", "what was found", "shown by"]
STATEMENT_COLUMNS = ["statement", "holds", "found", "shown by"]


def study_page(record: StudyRecord) -> Page:
    """A page of everything that the record of a study has."""
    found = headline(record)
    is_short = len(found) <= LONGEST_HEADLINE
    return Page(
        kind="study",
        headline=found if is_short else record.title,
        outcome="inconclusive" if record.status == "incomplete" else "none",
        about=[
            ("study", record.title) if is_short else ("found", found),
            ("source", record.source),
            ("preset", f"{record.preset}: {record.preset_summary}"),
            *(
                (name, f"{part.name}, {counted(part.n_images, 'image')}")
                for name, part in sorted(record.data.items())
            ),
        ],
        sections=study_sections(record),
    )


def study_sections(record: StudyRecord) -> list[Section]:
    """The table, its charts, and how to read them."""
    digests = [(part.name, f"digest {part.digest}") for _, part in sorted(record.data.items())]
    return [
        Section("Not complete", [Lines([INCOMPLETE])] if record.status == "incomplete" else []),
        Section("Networks", [_study_table(record)]),
        Section("Side by side", _study_charts(record)),
        Section("While training", _training(record)),
        Section("Method", [Bullets(footnotes(record))]),
        Section(
            "To reproduce it",
            [
                Facts([*digests, *facts(record.environment).pairs]),
                Table(
                    ["setting", "value"],
                    facts(record.config).pairs,
                    left=2,
                    caption="Every setting",
                    folded=True,
                ),
            ],
        ),
    ]


def _study_table(record: StudyRecord) -> Table:
    rows = [[joined(cell) for cell in row_cells(row, record)] for row in record.rows]
    return Table(columns(record), rows)


def _study_charts(record: StudyRecord) -> list[Block]:
    """Each column as a chart; of a study without columns, the accuracy under each protocol."""
    asked = [(column.title, column.protocol, column.metric) for column in record.columns]
    asked = asked or [(f"accuracy, {part.name}", part.name, "accuracy") for part in record.protocols]
    charts = []
    for title, protocol, metric in asked:
        found = _estimates(record, protocol, metric)
        if found:
            unit = next(iter(found.values())).unit
            rows = [Dot(name, each.value, each.low, each.high) for name, each in found.items()]
            quantity = Quantity(title, unit)
            charts.append(dots(rows, quantity, label=f"{title} of each network"))
    caption = "Every network, with its interval; in the order of the table."
    return [Charts(charts, caption)] if charts else []


def _estimates(record: StudyRecord, protocol: str, metric: str) -> dict[str, EstimateRecord]:
    return {
        row.name: cell.metrics[metric]
        for row in record.rows
        for cell in row.cells
        if cell.protocol == protocol and metric in cell.metrics
    }


def _training(record: StudyRecord) -> list[Block]:
    """Loss and accuracy of the last epoch of each training; all of them are in report.json."""
    rows = []
    for row in record.rows:
        for seed, curve in zip(row.seeds, row.curves, strict=False):
            if curve:
                loss, accuracy = curve[-1]
                rows.append([row.name, str(seed), f"{len(curve):,}", f"{loss:.4g}", percent(accuracy)])
    if not rows:
        return []
    titles = ["network", "seed", "epochs", "loss in the last", "accuracy in the last"]
    return [Table(titles, rows, caption="Of each training; every epoch is in report.json", folded=True)]


def reproduction_page(record: ReproductionRecord) -> Page:
    """A page of everything that the record of a reproduction has."""
    tables = [
        Section(title, [Table(heads, rows)])
        for title, (_, heads, rows) in zip(
            ("Networks in the package", "Trained today"), reproduction_tables(record), strict=False
        )
    ]
    about = study_page(record.table).about
    network, *others = study_sections(record.table)[1:]
    return Page(
        kind="reproduction",
        headline=headline(record.table),
        about=[*about, ("today", follows(record))],
        sections=[network, *tables, *others],
    )


def claims_page(record: ClaimsRecord) -> Page:
    """A page of every claim, with its verdict and its statements."""
    words: list[str] = [claim.verdict for claim in record.claims]
    rows = [[str(c.number), c.claim, c.verdict, c.sentence, c.shown_by] for c in record.claims]
    return Page(
        kind="claims",
        headline=claims_headline(record),
        outcome="inconclusive" if record.status == "incomplete" else "none",
        about=[("preset", f"{record.preset}: {record.preset_summary}")],
        cards=[Card(word, str(words.count(word)), f"of {counted(len(words), 'claim')}") for word in COLOURS],
        sections=[
            Section("Not complete", [Lines([INCOMPLETE])] if record.status == "incomplete" else []),
            Section(
                "Verdicts",
                [Table(CLAIM_COLUMNS, rows, left=len(CLAIM_COLUMNS)), Bullets(claims_notes(record))],
            ),
            *(Section(f"Claim {claim.number}", _claim(claim)) for claim in record.claims),
            Section("To reproduce it", [facts(record.environment)]),
        ],
    )


def _claim(claim: ClaimRecord) -> list[Block]:
    rows = [[check.says, MARKS[check.holds], check.found, check.source] for check in claim.checks]
    blocks: list[Block] = [
        Lines([claim.claim, f"{claim.verdict}: {claim.sentence}"]),
        Table(STATEMENT_COLUMNS, rows, left=len(STATEMENT_COLUMNS)),
    ]
    return [*blocks, *_effects(claim)]


def _effects(claim: ClaimRecord) -> list[Block]:
    """The numbers that decide, in a chart for each unit."""
    by_unit: dict[str, list[Dot]] = {}
    for number, check in enumerate(claim.checks, start=1):
        dot = _dot(f"statement {number}", check.effect)
        if dot is not None and check.effect is not None:
            by_unit.setdefault(str(check.effect.get("unit", "")), []).append(dot)
    charts = [
        dots(
            found,
            Quantity("effect", unit),
            label=f"the effects of claim {claim.number} in {unit}",
            title=f"effect ({Quantity('', unit).unit_of_change})",
            reference=0.0,
        )
        for unit, found in by_unit.items()
    ]
    return (
        [Charts(charts, "What decides each statement that has a number, with its interval.")]
        if charts
        else []
    )


def _dot(name: str, effect: Mapping[str, Any] | None) -> Dot | None:
    ends = [effect.get(key) for key in ("value", "low", "high")] if effect else []
    numbers = [float(end) for end in ends if isinstance(end, (int, float))]
    return Dot(name, *numbers) if len(numbers) == 3 else None

"""A study as a page, a reproduction of its article, and the verdicts on its claims."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from shiftproof._charts import Quantity
from shiftproof._text import counted, percent
from shiftproof.records import (
    ClaimRecord,
    ClaimsRecord,
    Difference,
    Estimate,
    ReproductionRecord,
    StudyRecord,
)
from shiftproof.report._claims import COLOURS, MARKS, claims_headline, claims_notes
from shiftproof.report._drawn_charts import Dot, dots
from shiftproof.report._html_learning import costs_blocks, learning_blocks
from shiftproof.report._html_words import words_section
from shiftproof.report._numbers import amount, interval
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
    facts,
    joined,
)
from shiftproof.report._reproduction import follows, reproduction_tables
from shiftproof.report._study_table import columns, footnotes, headline, row_cells

INCOMPLETE = "This run is incomplete: some parts failed, or it was stopped before they were done."
# A longer one is no headline: it stands below the title.
LONGEST_HEADLINE = 120
MOST_CARDS, MOST_ABSENT = 4, 12
WORDS = ("protocol", "accuracy", "worst case", "interval", "n", "seed", "epoch", "multiply-adds", "n/a")
CLAIM_WORDS = ("effect", "interval", "n", "points", "accuracy", "agreement", "seed")
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
        cards=_best(record),
        sections=study_sections(record),
    )


def study_sections(record: StudyRecord) -> list[Section]:
    """The table, its charts, and how to read them."""
    digests = [(part.name, f"digest {part.digest}") for _, part in sorted(record.data.items())]
    return [
        Section("Not complete", [Lines([INCOMPLETE])] if record.status == "incomplete" else []),
        Section("Networks", [_study_table(record)]),
        Section("Side by side", _study_charts(record)),
        Section("What it costs", costs_blocks(record)),
        Section("While training", [*learning_blocks(record), *_training(record)]),
        Section("Not measured", [Bullets(_not_measured(record))]),
        Section("Method", [Bullets(footnotes(record))]),
        Section(
            "To reproduce it",
            [
                Command(shlex.join(["shiftproof", "study", record.name, "--preset", record.preset])),
                Lines(
                    [f"{record.name} is a study of the package, or the name in a file that ends in .toml."]
                ),
                Facts([*digests, *facts(record.environment.to_dict()).pairs]),
                Table(
                    ["setting", "value"],
                    facts(record.config).pairs,
                    left=2,
                    caption="Every setting",
                    folded=True,
                ),
            ],
        ),
        words_section(*WORDS),
    ]


def _best(record: StudyRecord) -> list[Card]:
    """The best network in each of the first columns."""
    found = []
    for column in _asked(record)[:MOST_CARDS]:
        estimates = _estimates(record, column.protocol, column.metric)
        if not estimates:
            continue
        sign = 1 if column.higher_is_better else -1
        name = max(estimates, key=lambda each: sign * estimates[each].value)
        best = estimates[name]
        detail = f"{name}: {interval(best)}, n = {counted(best.n_images, 'image')}"
        note = f"{column.metric} under {column.protocol}; the best of {counted(len(estimates), 'network')}"
        found.append(Card(column.title, amount(best.value, best.unit), detail, note))
    return found


class _Column(NamedTuple):
    title: str
    protocol: str
    metric: str
    higher_is_better: bool


def _asked(record: StudyRecord) -> list[_Column]:
    """The columns of a study; of one without, the accuracy under each protocol."""
    asked = [
        _Column(each.title, each.protocol, each.metric, each.higher_is_better) for each in record.columns
    ]
    return asked or [
        _Column(f"accuracy, {part.name}", part.name, "accuracy", True) for part in record.protocols
    ]


def _not_measured(record: StudyRecord) -> list[str]:
    """What a reader may look for in vain."""
    absent = [
        f"{row.name}: {metric} under {cell.protocol}: {reason}"
        for row in record.rows
        for cell in row.cells
        for metric, reason in sorted(cell.not_applicable.items())
    ]
    protocols = ", ".join(part.name for part in record.protocols)
    return [
        *absent[:MOST_ABSENT],
        *([f"… and {len(absent) - MOST_ABSENT} more"] if len(absent) > MOST_ABSENT else []),
        f"Other shifts than those of {protocols}, and other images than those of {record.data['test'].name}.",
        "Planes and single images: `shiftproof audit zoo:NETWORK@RUN DATA` measures one network in full.",
        "Layers: `shiftproof explain zoo:NETWORK@RUN DATA` says which of them loses the invariance.",
    ]


def _study_table(record: StudyRecord) -> Table:
    rows = [[joined(cell) for cell in row_cells(row, record)] for row in record.rows]
    return Table(columns(record), rows)


def _study_charts(record: StudyRecord) -> list[Block]:
    """Each column as a chart; of a study without columns, the accuracy under each protocol."""
    charts = []
    for title, protocol, metric, _ in _asked(record):
        found = _estimates(record, protocol, metric)
        if found:
            unit = next(iter(found.values())).unit
            rows = [Dot(name, each.value, each.low, each.high) for name, each in found.items()]
            quantity = Quantity(title, unit)
            charts.append(dots(rows, quantity, label=f"{title} of each network"))
    caption = "Every network, with its interval; in the order of the table."
    return [Charts(charts, caption)] if charts else []


def _estimates(record: StudyRecord, protocol: str, metric: str) -> dict[str, Estimate]:
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
            Section("Not measured", [Bullets(_left_out(record))]),
            Section(
                "To reproduce it",
                [
                    Command(shlex.join(["shiftproof", "claims", "--preset", record.preset])),
                    facts(record.environment.to_dict()),
                ],
            ),
            words_section(*CLAIM_WORDS),
        ],
    )


def _left_out(record: ClaimsRecord) -> list[str]:
    """What the verdicts do not say."""
    opened = [
        f"Claim {claim.number}: “{check.says}” is open: {check.found}"
        for claim in record.claims
        for check in claim.checks
        if check.holds is None
    ]
    return [
        *opened,
        f"Other data than the preset's: {record.preset_summary}.",
        "Whether a claim holds for other networks than those of its experiment.",
    ]


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
        found = check.effect
        if isinstance(found, Estimate | Difference):
            dot = Dot(f"statement {number}", found.value, found.low, found.high)
            by_unit.setdefault(found.unit, []).append(dot)
    charts = [
        dots(
            drawn,
            Quantity("effect", unit),
            label=f"the effects of claim {claim.number} in {unit}",
            title=f"effect ({Quantity('', unit).unit_of_change})",
            reference=0.0,
        )
        for unit, drawn in by_unit.items()
    ]
    return (
        [Charts(charts, "What decides each statement that has a number, with its interval.")]
        if charts
        else []
    )

"""An explanation as a page: how much the answer changes, the staircase, and which layer loses it, and why."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from shiftproof._text import counted, percent
from shiftproof.records import Condition, Explanation, NotApplicable, Unit
from shiftproof.report._drawn_stairs import staircase_chart
from shiftproof.report._explanation import (
    explanation_about,
    explanation_columns,
    explanation_notes,
    explanation_row,
    explanation_sentences,
)
from shiftproof.report._html_any import record_page
from shiftproof.report._html_words import words_section
from shiftproof.report._numbers import NO_NUMBER, amount, interval
from shiftproof.report._page import Block, Bullets, Card, Charts, Command, Facts, Lines, Page, Section, Table

# Conditions in the order in which they add causes; a file has sorted keys.
CONDITIONS: Mapping[Condition, str] = {
    "multiples": "multiples of the stride, on a circle",
    "whole-pixel": "whole pixels, on a circle",
    "fractional": "fractions of a pixel, on a circle",
    "with-border": "whole pixels, with the real border",
}
UNITS: Mapping[Unit, str] = {
    "logits": "logits, 1 for another image",
    "flips": "share of predictions that change",
}
# A drawing of more cuts is longer than a page.
MOST_CUTS = 40
WORDS = (
    "cut",
    "staircase",
    "loss",
    "cause",
    "stride",
    "border",
    "circular shift",
    "agreement",
    "interval",
    "n",
)
# What the page shows in its own way; the rest of the record is shown by its shape.
SHOWN = ("model", "change", "stairs", "rows", "notes", "tied")


def explanation_page(record: Explanation) -> Page:
    """A page of everything that the record of an explanation has."""
    headline, *about = explanation_about(record)
    others = record_page(record, kind="explanation", headline=headline)
    kept = [section for section in others.sections if section.title.lower().replace(" ", "_") not in SHOWN]
    return Page(
        kind="explanation",
        headline=headline,
        about=[("", line) for line in about],
        cards=_cards(record),
        sections=[
            Section("Who loses it, and why", [Bullets(explanation_sentences(record))]),
            Section("The staircase", _staircase(record)),
            Section("Layers and blocks", _layers(record)),
            Section("Under each condition", _conditions(record)),
            *kept,
            Section("Not measured", [Bullets(_not_measured(record))]),
            Section("Method", [Bullets(explanation_notes(record))]),
            Section("To reproduce it", _reproduce(record)),
            words_section(*WORDS),
        ],
    )


def _cards(record: Explanation) -> list[Card]:
    """What changes, and who takes most of it."""
    flips, logits = record.whole["flips"], record.whole["logits"]
    images = f"n = {counted(flips.n_images, 'image')}"
    cards = [
        Card("predictions that change", amount(flips.value, flips.unit), f"{interval(flips)}, {images}"),
        Card(
            "change of the logits",
            f"{logits.value:.3g}",
            f"{logits.low:.3g} to {logits.high:.3g}, {images}",
            "1 is the change to another image",
        ),
    ]
    if record.rows:
        worst = record.ranked()[0]
        cards.append(Card("loses most", percent(worst.share), worst.layer, "its share of what is lost"))
        kept = max(record.rows, key=lambda row: row.agreement)
        note = f"if everything up to {kept.layer} moved with the image"
        cards.append(Card("predictions that would stay", percent(kept.agreement), "", note))
    return cards


def _staircase(record: Explanation) -> list[Block]:
    """What still changes after each cut, for each condition, as a drawing and in a table."""
    stairs = record.stairs
    if not stairs:
        return []
    conditions = [name for name in CONDITIONS if any(stair.change.get(name) for stair in stairs)]
    drawn = stairs if len(stairs) <= MOST_CUTS else stairs[:: -(-len(stairs) // MOST_CUTS)]
    charts = []
    for unit, title in UNITS.items():
        steps: dict[str, Sequence[float | None]] = {
            CONDITIONS[name]: [(stair.change.get(name) or {}).get(unit) for stair in drawn]
            for name in conditions
        }
        if any(value is not None for values in steps.values() for value in values):
            label = f"how much of the answer still changes after each cut, in {title}"
            charts.append(staircase_chart([stair.after for stair in drawn], steps, title=title, label=label))
    every = "" if len(drawn) == len(stairs) else f" Every {-(-len(stairs) // MOST_CUTS)}th cut is drawn."
    caption = (
        "If everything up to this layer moved perfectly with the image, so much of the answer would still "
        f"change. Where it falls, the layer loses.{every}"
    )
    columns = ["after", *(f"{CONDITIONS[name]}: {unit}" for name in conditions for unit in UNITS)]
    rows = [
        [
            stair.after,
            *(_number((stair.change.get(name) or {}).get(unit)) for name in conditions for unit in UNITS),
        ]
        for stair in stairs
    ]
    table = Table(columns, rows, caption=f"The numbers after {counted(len(stairs), 'cut')}", folded=True)
    return [*([Charts(charts, caption)] if charts else []), table]


def _number(value: float | None) -> str:
    return NO_NUMBER if value is None else f"{value:.4g}".replace("-", "−")


def _layers(record: Explanation) -> list[Block]:
    if not record.rows:
        return [Lines(["No layer could be told apart."])]
    rows = [list(explanation_row(row)) for row in record.rows]
    remedies = [
        f"{row.layer}: {row.remedy} removes {percent(row.remedy_removes)} of {row.remedy_cause}"
        for row in record.rows
        if row.remedy is not None and row.remedy_removes is not None
    ]
    caption = f"{len(rows):,} layers and blocks, in the order in which they run"
    table = Table(explanation_columns(), rows, caption=caption)
    return [table, *([Bullets(remedies)] if remedies else [])]


def _conditions(record: Explanation) -> list[Block]:
    rows = []
    for name in [each for each in CONDITIONS if each in record.change]:
        found = record.change[name]
        if isinstance(found, NotApplicable):
            rows.append([CONDITIONS[name], NO_NUMBER, found.reason, ""])
            continue
        for unit, each in sorted(found.items()):
            ends = f"{_number(each.low)} to {_number(each.high)}"
            rows.append([f"{CONDITIONS[name]}: {unit}", _number(each.value), ends, f"{each.n_images:,}"])
    return [Table(["condition", "change", "interval", "n"], rows)]


def _not_measured(record: Explanation) -> list[str]:
    absent = [
        f"{CONDITIONS[name]}: {found.reason}"
        for name, found in sorted(record.change.items())
        if isinstance(found, NotApplicable)
    ]
    return [
        *absent,
        *([] if record.lie_derivative else ["The Lie derivative is not in this record."]),
        *([] if record.sensitivity else ["Sensitivity maps: `shiftproof explain --map LAYER` draws them."]),
        f"Shifts of more than {record.reach_px} px, and other borders than {record.border}.",
        "Each image and class by itself: `shiftproof audit MODEL DATA` measures them.",
    ]


def _reproduce(record: Explanation) -> list[Block]:
    asked = ["shiftproof", "explain", record.model.name, record.data.name, "--border", record.border]
    return [
        Command(shlex.join([*asked, "--limit", str(record.n_images)])),
        Lines(["Names are as the record has them; give the paths of your model and images in their place."]),
        Facts(
            [
                ("model", f"{record.model.name}, digest {record.model.digest or 'unknown'}"),
                ("data", f"{record.data.name}, digest {record.data.digest}"),
            ]
        ),
    ]

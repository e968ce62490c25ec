"""An audit as a page: verdict, gates, the plane, curves, classes, worst images, and what was not measured."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from shiftproof._charts import Quantity
from shiftproof._text import counted, percent
from shiftproof.records import AuditRecord, MeasuredProtocolRecord, NotApplicable
from shiftproof.report._audit_figures import points, quantities
from shiftproof.report._audit_text import (
    GATE_COLUMNS,
    about_rows,
    by_severity,
    chance,
    chance_note,
    footnotes,
    gate_row,
    headline_columns,
    headline_rows,
    no_worst,
    not_measured,
    number_cells,
    phase_line,
    worst_columns,
    worst_note,
    worst_rows,
)
from shiftproof.report._drawn_charts import curves, dot, dots
from shiftproof.report._html_planes import by_importance, plane_blocks
from shiftproof.report._html_words import TERMS
from shiftproof.report._numbers import NO_NUMBER, amount, interval, title
from shiftproof.report._page import (
    Block,
    Bullets,
    Card,
    Charts,
    Command,
    Facts,
    Lines,
    Page,
    Picture,
    Pictures,
    Section,
    Table,
    facts,
)

RADIUS = "max(|dy|, |dx|) (px)"
# Of many classes as many are drawn; all of them are in the table.
MOST_CLASSES = 20
SMALL_PX = 64
NO_PICTURES = "The record has no pictures: it is from an earlier version, or they were left out."
WORDS = ("offset", "protocol", "border", "radius", "phase", "interval", "n", "chance", "n/a")


def audit_page(record: AuditRecord) -> Page:
    """A page of everything that the record of an audit has."""
    first = record.protocols[0]
    return Page(
        kind="audit",
        headline=record.verdict,
        outcome=record.outcome if record.gates else "none",
        about=[(name, text) for name, text in about_rows(record)],
        cards=[_card(record, first, name) for name in record.headline],
        sections=[
            Section("Gates", _gates(record)),
            *_each(record, "The plane of shifts", _plane),
            *_each(record, "By radius and phase", _radius_and_phase),
            *_each(record, "By class", _classes),
            *_each(record, "Images that change most", _worst),
            Section("All numbers", _all_numbers(record)),
            Section("Not measured", [Bullets([*not_measured(record), *NOT_HERE])]),
            Section("Method", [Bullets(footnotes(record))]),
            Section("To reproduce it", _reproduce(record)),
            Section("Words", [Facts([*((name, TERMS[name]) for name in WORDS), *_metric_terms(record)])]),
        ],
    )


NOT_HERE = (
    "Layers: an audit does not say which layer changes the prediction; `shiftproof explain MODEL DATA` does.",
    "Proof: an audit measures the images it was given; `shiftproof certify MODEL` proves for all of them.",
    "Comparison: `shiftproof compare RUN_A RUN_B` sets two audits of the same images side by side.",
)


def _each(record: AuditRecord, name: str, blocks: Any) -> list[Section]:
    """The section for each protocol, with its name where there are several."""
    several = len(record.protocols) > 1
    return [
        Section(f"{name}: {part.name}" if several else name, blocks(record, part))
        for part in record.protocols
    ]


def _card(record: AuditRecord, part: MeasuredProtocolRecord, name: str) -> Card:
    about, found = record.metrics[name], part.estimates[name]
    if isinstance(found, NotApplicable):
        return Card(title(name, about.unit), NO_NUMBER, found.reason, about.summary)
    detail = f"{interval(found)}, n = {counted(found.n_images, 'image')}"
    guess = chance(part, name)
    return Card(
        title(name, about.unit),
        amount(found.value, found.unit),
        f"{detail}; chance {guess}" if guess else detail,
        about.summary,
    )


def _gates(record: AuditRecord) -> list[Block]:
    if not record.gates:
        return [Lines(["No gates were set: nothing was demanded, so nothing passed or failed."])]
    rows = [gate_row(gate) for gate in by_severity(record.gates)]
    return [Table(GATE_COLUMNS, rows, left=len(GATE_COLUMNS))]


def _plane(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    reasons = {view.not_applicable for view in part.by_shift.values() if view.not_applicable}
    return plane_blocks(record, part) or [Lines([f"No plane: {reason}." for reason in sorted(reasons)])]


def _radius_and_phase(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    blocks = _by_radius(record, part) + _by_phase(record, part)
    return blocks or [Lines(["There is no number by radius or phase in this record."])]


def _by_radius(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    known = quantities(record)
    views = {
        name: points(view) for name, view in by_importance(part.by_radius) if view.points and name in known
    }
    if not views:
        return []
    by_unit: dict[str, list[str]] = {}
    for name in views:
        by_unit.setdefault(known[name].unit, []).append(name)
    charts = [
        curves(
            {name: views[name] for name in names},
            Quantity(", ".join(names), unit, True),
            x_title=RADIUS,
            label=f"{' and '.join(names)} against the radius, under {part.name}",
        )
        for unit, names in by_unit.items()
    ]
    columns = ["radius", *(cell for name in views for cell in (known[name].title, "interval", "n"))]
    rows = [
        [
            f"{radius} px",
            *(cell for name in views for cell in _point_cells(views[name].get(radius), known[name])),
        ]
        for radius in sorted({radius for view in views.values() for radius in view})
    ]
    caption = f"Against the radius, {RADIUS}; bands are intervals."
    return [
        Charts(charts, caption),
        Table(columns, rows, left=0, caption="The numbers by radius", folded=True),
    ]


def _by_phase(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    quantity = quantities(record).get("agreement")
    blocks: list[Block] = []
    charts, rows = [], []
    for stride, views in sorted(part.by_phase.items(), key=lambda pair: int(pair[0])):
        found = points(views["agreement"]) if "agreement" in views else {}
        if not found or quantity is None:
            continue
        named = {f"{dy:g}, {dx:g}": found[dy, dx] for dy, dx in sorted(found)}
        reference = found[0, 0].value if (0, 0) in found else None
        label = f"agreement by the offset modulo {stride} px, under {part.name}"
        axis = f"agreement (%) at (dy, dx) modulo {stride} px"
        drawn = [dot(at, point) for at, point in named.items()]
        charts.append(dots(drawn, quantity, label=label, title=axis, reference=reference))
        rows += [[f"{stride} px", at, *_point_cells(point, quantity)] for at, point in named.items()]
    if charts:
        caption = "Agreement by phase, over radii on which every phase lies; the dashed line is phase 0, 0."
        blocks.append(Charts(charts, caption))
        columns = ["stride", "dy, dx mod stride", "agreement", "interval", "n"]
        blocks.append(Table(columns, rows, left=2, caption="The numbers by phase", folded=True))
    remark = phase_line(part)
    return [*blocks, Lines([remark])] if remark else blocks


def _classes(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    known = quantities(record)
    views = {
        name: points(view) for name, view in by_importance(part.by_class) if view.points and name in known
    }
    if not views:
        return []
    charts = []
    for name, view in views.items():
        quantity = known[name]
        worst_first = sorted(
            view, key=lambda at: (view[at].value * (1 if quantity.higher_is_better else -1), at)
        )
        drawn = [dot(record.data.class_name(at), view[at]) for at in worst_first[:MOST_CLASSES]]
        charts.append(dots(drawn, quantity, label=f"{name} of each class, under {part.name}"))
    columns = ["class", *(cell for name in views for cell in (known[name].title, "interval", "n"))]
    rows = [
        [
            record.data.class_name(at),
            *(c for name in views for c in _point_cells(views[name].get(at), known[name])),
        ]
        for at in sorted({at for view in views.values() for at in view})
    ]
    left_out = len(rows) > MOST_CLASSES
    caption = (
        f"The {MOST_CLASSES} worst of {len(rows):,} classes." if left_out else "By class, the worst first."
    )
    return [Charts(charts, caption), Table(columns, rows, caption="The numbers by class", folded=True)]


def _point_cells(point: Any, quantity: Quantity) -> list[str]:
    if point is None:
        return ["", "", ""]
    ends = (amount(end, quantity.unit) for end in (point.low, point.high))
    return [amount(point.value, quantity.unit), " to ".join(ends), f"{point.n_images:,}"]


def _worst(record: AuditRecord, part: MeasuredProtocolRecord) -> list[Block]:
    if not part.worst:
        return [Lines([no_worst(record, part)])]
    columns, rows = worst_columns(record), worst_rows(record, part)
    note = Lines([worst_note(record)])
    if not any(worst.before for worst in part.worst):
        return [Table(columns, rows, left=3), note, Lines([NO_PICTURES])]
    table = Table(columns, rows, left=3, caption="The same as a table", folded=True)
    return [Pictures(_pictures(record, part, rows)), note, table]


def _pictures(
    record: AuditRecord, part: MeasuredProtocolRecord, rows: Sequence[Sequence[str]]
) -> list[Picture]:
    small = max(record.data.image_shape[1:]) <= SMALL_PX
    return [
        Picture(
            name=worst.name,
            # Of letters and digits alone, as the record has checked; and never cut, as long names are.
            before=Markup(worst.before),
            after=Markup(worst.after),
            answers=(answer, to),
            about=[
                f"label {label}; moved by {where}",
                f"changed at {percent(worst.share_of_shifts_that_change_it)} of the shifts",
            ],
            pixelated=small,
        )
        for worst, (_, label, answer, _, where, to) in zip(part.worst, rows, strict=True)
    ]


def _all_numbers(record: AuditRecord) -> list[Block]:
    blocks: list[Block] = []
    for part in record.protocols:
        caption = f"Under {part.name}: {part.summary}"
        blocks.append(Table(headline_columns(record), headline_rows(record, part), caption=caption))
        blocks.append(Lines([chance_note(record, part)]))
        columns = ["metric", "value", "interval", "n", "better", "what it is"]
        rows = [_metric_row(record, part, name) for name in sorted(part.estimates)]
        # Words after numbers: set to the left as well.
        blocks.append(
            Table(columns, rows, left=len(columns), caption=f"Every metric under {part.name}", folded=True)
        )
    return blocks


def _metric_row(record: AuditRecord, part: MeasuredProtocolRecord, name: str) -> list[str]:
    about = record.metrics[name]
    better = "higher" if about.higher_is_better else "lower"
    return [title(name, about.unit), *number_cells(part.estimates[name]), better, about.summary]


def _reproduce(record: AuditRecord) -> list[Block]:
    config = record.config
    asked = ["shiftproof", "audit", record.model.name, record.data.name]
    for part in record.protocols:
        asked += ["--protocol", part.name]
    for name in ("seed", "method", "confidence"):
        if name in config:
            asked += [f"--{name}", str(config[name])]
    digests = [
        ("model", f"{record.model.name}, digest {record.model.digest or 'unknown'}"),
        ("data", f"{record.data.name}, digest {record.data.digest}"),
        ("record", f"{record.kind}, schema version {record.schema_version}"),
    ]
    return [
        Command(shlex.join(asked)),
        Lines(["Names are as the record has them; give the paths of your model and images in their place."]),
        Facts([*digests, *facts(record.environment.to_dict()).pairs]),
        Table(["setting", "value"], list(facts(config).pairs), left=2, caption="Every setting", folded=True),
    ]


def _metric_terms(record: AuditRecord) -> list[tuple[str, str]]:
    shown = dict.fromkeys([*record.headline, "accuracy", "agreement", "drift"])
    return [(name, record.metrics[name].summary) for name in shown if name in record.metrics]

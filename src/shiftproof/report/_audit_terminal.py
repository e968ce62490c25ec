"""An audit in the terminal. Every name is printed as `Text`: square brackets in it are no markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof.records import AuditRecord, MeasuredProtocolRecord
from shiftproof.report._audit_map import draw_bars, draw_map
from shiftproof.report._audit_text import (
    about_rows,
    by_severity,
    chance_note,
    footnotes,
    gate_row,
    headline_columns,
    headline_rows,
    is_constant,
    no_worst,
    not_measured,
    phase_line,
    radius_columns,
    radius_remark,
    radius_rows,
    shares_by_radius,
    worst_columns,
    worst_note,
    worst_rows,
    worst_title,
)

# Where everything fits. On less, long words are broken.
WIDTH = 80
# No name of ours is longer.
LONGEST_METRIC = 22
# Names of classes wrap from here on.
MAX_CLASS = 10
# Colour repeats what the word says.
VERDICT_STYLES = {"pass": "green", "FAIL": "bold red", "INCONCLUSIVE": "bold yellow", "not applicable": "dim"}


def print_audit(record: AuditRecord, console: Console) -> None:
    """Print verdict, headline numbers, map, worst images, gates, and what was not measured.

    Args:
        record: From `read_audit`.
        console: Where to; everything fits 80 columns, and nothing needs colour to be read.
    """
    first, *others = record.protocols
    console.print(Text(record.verdict, style="bold"))
    _print_pairs(about_rows(record), console)
    _print_headline(record, first, console)
    _print_shifts(first, console)
    _print_worst(record, first, console)
    if others:
        _print_others(record, others, console)
    if record.gates:
        _print_gates(record, console)
    _print_remarks("Not measured", not_measured(record), console)
    for note in footnotes(record):
        console.print(Text(note, style="dim"))


def new_table(columns: Sequence[str], *, left: int = 1) -> Table:
    """A table without lines around it, the columns after the first ones to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(columns):
        table.add_column(Text(name), justify="left" if index < left else "right", overflow="fold")
    return table


def print_heading(text: str, console: Console) -> None:
    """An empty line, and the name of what follows."""
    console.print()
    console.print(Text(text, style="bold"))


def _print_pairs(rows: Sequence[Sequence[str]], console: Console) -> None:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
    console.print(table)


def _print_headline(record: AuditRecord, part: MeasuredProtocolRecord, console: Console) -> None:
    print_heading(f"Under {part.name}: {part.summary}", console)
    table = new_table(headline_columns(record))
    if console.width >= WIDTH:
        table.columns[0].min_width = LONGEST_METRIC
    for metric, value, *rest in headline_rows(record, part):
        table.add_row(Text(metric), Text(value, style="bold"), *map(Text, rest))
    console.print(table)
    console.print(Text(chance_note(record, part), style="bold" if is_constant(part) else "dim"))


def _print_shifts(part: MeasuredProtocolRecord, console: Console) -> None:
    view = part.by_shift.get("agreement")
    drawn = draw_map(view.points, width=console.width) if view else []
    curve = shares_by_radius(part)
    if drawn:
        print_heading("Agreement by shift: rows dy, columns dx, in px; + is down and right", console)
        for line in drawn:
            console.print(Text(line))
    rows = radius_rows(part)
    if not rows:
        return
    print_heading("Against the radius max(|dy|, |dx|)", console)
    if not drawn and len(curve) > 1:
        ends = f"{min(curve)} to {max(curve)} px: "
        bars = draw_bars(list(curve.values()), width=console.width - len(ends) - 26)
        console.print(Text(f"{ends}{bars}  (agreement, 0 to 100 %)"))
    table = new_table(radius_columns(part), left=0)
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for remark in filter(None, (radius_remark(part), phase_line(part))):
        console.print(Text(remark))


def _print_worst(record: AuditRecord, part: MeasuredProtocolRecord, console: Console) -> None:
    rows = worst_rows(record, part)
    if not rows:
        print_heading(no_worst(record, part), console)
        return
    print_heading(worst_title(record), console)
    table = new_table(worst_columns(record), left=3)
    for name, label, answer, *rest, to in rows:
        table.add_row(
            Text(_short(name, 60)), *(Text(_short(cell, 30)) for cell in (label, answer, *rest, to))
        )
    table.columns[-1].justify = "left"
    for index in (1, 2, 5):
        table.columns[index].max_width = MAX_CLASS
    console.print(table)
    console.print(Text(worst_note(record), style="dim"))


def _short(name: str, most: int) -> str:
    """A name without its middle: paths differ at the end, and their kinds at the beginning."""
    if len(name) <= most:
        return name
    head = (most - 1) // 3
    return f"{name[:head]}…{name[head - most + 1 :]}"


def _print_others(record: AuditRecord, parts: Sequence[MeasuredProtocolRecord], console: Console) -> None:
    print_heading("Other protocols", console)
    table = new_table(["protocol", *headline_columns(record)[:-2]], left=2)
    for part in parts:
        for index, row in enumerate(headline_rows(record, part)):
            table.add_row(Text("" if index else part.name), *map(Text, row[:-2]))
        table.add_section()
    console.print(table)


def _print_gates(record: AuditRecord, console: Console) -> None:
    print_heading(f"Gates: {record.outcome}", console)
    table = Table.grid(padding=(0, 2))
    for gate in by_severity(record.gates):
        verdict, demand, protocol, measured = gate_row(gate)
        text = Text(f"{demand} under {protocol}\n{measured}", overflow="fold")
        table.add_row(Text(verdict, style=VERDICT_STYLES[verdict]), text)
    console.print(table)


def _print_remarks(title: str, remarks: Sequence[str], console: Console) -> None:
    if remarks:
        print_heading(title, console)
    table = Table.grid(padding=(0, 1))
    for remark in remarks:
        table.add_row(Text("-"), Text(remark, overflow="fold"))
    console.print(table)
    console.print()

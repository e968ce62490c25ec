"""An audit as Markdown, for the summary of a step on GitHub, which takes a megabyte at most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shiftproof.records import AuditRecord, MeasuredProtocolRecord
from shiftproof.report._audit_text import (
    GATE_COLUMNS,
    about_rows,
    by_severity,
    chance_note,
    footnotes,
    gate_row,
    headline_columns,
    headline_rows,
    no_worst,
    not_measured,
    phase_line,
    radius_columns,
    radius_remark,
    radius_rows,
    worst_columns,
    worst_note,
    worst_rows,
    worst_title,
)
from shiftproof.report._markdown import escaped, table

MAX_BYTES = 200_000
CUT = "\nThe rest is in report.json: this summary has reached its limit.\n"


def audit_markdown(record: AuditRecord) -> str:
    """Verdict, gates, headline numbers, curve, worst images, and what was not measured.

    Args:
        record: From `read_audit`.

    Returns:
        Markdown of at most 200 kB, the same for the same record.
    """
    return capped(_lines(record))


def capped(lines: Iterable[str]) -> str:
    """Whole lines, up to the limit, with a remark where some are missing."""
    kept: list[str] = []
    room = MAX_BYTES - len(CUT.encode())
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            return "\n".join(kept) + "\n" + CUT
        kept.append(line)
    return "\n".join(kept) + "\n"


def _lines(record: AuditRecord) -> Iterable[str]:
    yield f"**{escaped(record.verdict)}**"
    if record.gates:
        rows = [gate_row(gate) for gate in by_severity(record.gates)]
        yield from _section(f"Gates: {record.outcome}", GATE_COLUMNS, rows, left=len(GATE_COLUMNS))
    for part in record.protocols:
        yield from _section(
            f"Under {part.name}: {part.summary}", headline_columns(record), headline_rows(record, part)
        )
        yield from ("", escaped(chance_note(record, part)))
    yield from _first_protocol(record, record.protocols[0])
    yield from _bullets("Not measured", not_measured(record))
    about = [f"{name}: {value}" if name else value for name, value in about_rows(record)]
    yield from _bullets("About", [*about, *footnotes(record)])


def _first_protocol(record: AuditRecord, part: MeasuredProtocolRecord) -> Iterable[str]:
    rows = radius_rows(part)
    if rows:
        yield from _section("Against the radius max(|dy|, |dx|)", radius_columns(part), rows, left=0)
    for remark in filter(None, (radius_remark(part), phase_line(part))):
        yield from ("", escaped(remark))
    if part.worst:
        title = worst_title(record)
        yield from _section(title, worst_columns(record), worst_rows(record, part), left=3)
        yield from ("", escaped(worst_note(record)))
    else:
        yield from ("", escaped(no_worst(record, part)))


def _section(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1
) -> Iterable[str]:
    yield from ("", f"### {escaped(title)}", "")
    yield from table(
        [escaped(name) for name in columns], [[escaped(cell) for cell in row] for row in rows], left=left
    )


def _bullets(title: str, remarks: Sequence[str]) -> Iterable[str]:
    if remarks:
        yield from ("", f"### {escaped(title)}", "")
    yield from (f"- {escaped(remark)}" for remark in remarks)

"""A comparison of two models: a table for each protocol, in the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof._text import counted
from shiftproof.records import (
    ComparedMetricRecord,
    ComparedProtocolRecord,
    ComparisonRecord,
    Estimated,
    NotApplicable,
)
from shiftproof.report._audit_markdown import capped
from shiftproof.report._audit_terminal import LONGEST_METRIC, WIDTH, new_table, print_heading
from shiftproof.report._markdown import escaped, table
from shiftproof.report._numbers import NO_NUMBER, amount, change, title, unit_of_change

NOT_SHOWN = "no difference shown"
SMALLEST_P = 0.001
COMPARED_COLUMNS = ("metric", "first", "second", "second − first", "p", "better")


def print_comparison(record: ComparisonRecord, console: Console) -> None:
    """Print both models, and for each protocol every metric with its difference.

    Args:
        record: From `read_comparison`.
        console: Where to.
    """
    headline, *about = compared_about(record)
    console.print(Text(headline, style="bold"))
    for line in about:
        console.print(Text(line))
    for part in record.protocols:
        print_heading(f"Under {part.name}", console)
        drawn = _new_table(console.width)
        for name, first, second, difference, p_value, better in compared_rows(part):
            cells = (name, first, second, "\n".join(difference), p_value)
            style = "" if better == NOT_SHOWN else "bold"
            drawn.add_row(*map(Text, cells), Text(better.replace("difference ", "difference\n"), style=style))
        console.print(drawn)
    console.print()
    for note in compared_notes(record):
        console.print(Text(note, style="dim"))


def comparison_markdown(record: ComparisonRecord) -> str:
    """The same as Markdown of at most 200 kB.

    Args:
        record: From `read_comparison`.
    """
    return capped(_lines(record))


def _lines(record: ComparisonRecord) -> Iterable[str]:
    headline, *about = compared_about(record)
    yield f"**{escaped(headline)}**"
    for line in about:
        yield from ("", escaped(line))
    for part in record.protocols:
        yield from ("", f"### {escaped(f'Under {part.name}')}", "")
        rows = [
            [
                *map(escaped, (name, first, second)),
                "<br>".join(map(escaped, difference)),
                escaped(p_value),
                better,
            ]
            for name, first, second, difference, p_value, better in compared_rows(part)
        ]
        yield from table(COMPARED_COLUMNS, rows)
    yield ""
    yield from (f"- {escaped(note)}" for note in compared_notes(record))


def _new_table(width: int) -> Table:
    drawn = new_table(COMPARED_COLUMNS)
    metric, first, second, difference, p_value, better = drawn.columns
    better.justify = "left"
    if width >= WIDTH:
        metric.min_width = metric.max_width = LONGEST_METRIC
        difference.max_width = len("−10.1 to +10.1 ")
        for column in (first, second, p_value, better):
            column.no_wrap = True
    return drawn


def compared_about(record: ComparisonRecord) -> list[str]:
    """What was found, in a sentence, and of which models and images."""
    first, second = record.models
    better = [_better(row) for part in record.protocols for row in part.rows]
    shown = [better.count(side) for side in ("first", "second")]
    same = ["Both have the same digest: they are the same model."] if _is_one_model(record) else []
    return [
        f"The second model is better in {shown[1]}, the first in {shown[0]} of "
        f"{counted(sum(map(bool, better)), 'metric')} compared.",
        f"first: {first.name}{_digest(first.digest)}",
        f"second: {second.name}{_digest(second.digest)}",
        *same,
        f"data: {record.data.name}, {counted(record.data.n_images, 'image')}; "
        f"intervals of {100 * record.confidence:g} %, paired by image",
    ]


def _is_one_model(record: ComparisonRecord) -> bool:
    first, second = record.models
    return bool(first.digest) and first.digest == second.digest


def _digest(digest: str) -> str:
    return f" (digest {digest[:12]})" if digest else ""


def compared_rows(part: ComparedProtocolRecord) -> Iterable[tuple[str, str, str, Sequence[str], str, str]]:
    """For each metric its cells; the fourth is the difference and its interval, as two lines."""
    for row in part.rows:
        found = row.difference
        units = [e.unit for e in (row.first, row.second) if not isinstance(e, NotApplicable)]
        name = title(row.metric, units[0]) if units else row.metric
        if isinstance(found, NotApplicable):
            yield name, _value(row.first), _value(row.second), [NO_NUMBER], "", ""
            continue
        value, low, high = (change(end, found.unit) for end in (found.value, found.low, found.high))
        unit = unit_of_change(found.unit)
        value += f" {unit}" if unit in ("points", "px") else ""
        p_value = f"<{SMALLEST_P:g}" if found.p_value < SMALLEST_P else f"{found.p_value:.3f}"
        yield name, _value(row.first), _value(row.second), [value, f"{low} to {high}"], p_value, _better(row)


def _value(found: Estimated) -> str:
    return NO_NUMBER if isinstance(found, NotApplicable) else amount(found.value, found.unit)


def _better(row: ComparedMetricRecord) -> str:
    """Which of the two, where the interval of the difference leaves 0 out; empty where there is none."""
    found = row.difference
    if isinstance(found, NotApplicable):
        return ""
    if found.low <= 0 <= found.high:
        return NOT_SHOWN
    return "second" if (found.low > 0) == row.higher_is_better else "first"


def compared_notes(record: ComparisonRecord) -> list[str]:
    """Why some have no difference, how the others were computed, and how to read many of them."""
    reasons: dict[str, list[str]] = {}
    methods: set[str] = set()
    for part in record.protocols:
        for row in part.rows:
            if isinstance(row.difference, NotApplicable):
                reasons.setdefault(row.difference.reason, []).append(f"{row.metric} under {part.name}")
            else:
                methods.add(row.difference.method)
    notes = [f"Not compared, since {reason}: {', '.join(names)}." for reason, names in reasons.items()]
    if methods:
        notes.append(f"Methods: {'; '.join(sorted(methods))}.")
    level = f"{100 * record.confidence:g} %"
    return [*notes, f"Each interval holds at {level} on its own; among many, some exclude 0 by chance."]

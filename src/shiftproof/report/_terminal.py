"""A study's table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof.records import StudyRecord
from shiftproof.report._study_table import columns, footnotes, headline, row_cells

Cells = list[list[str]]


def print_study(record: StudyRecord, console: Console) -> None:
    """Print headline, table and notes; a table that is too wide is printed in parts, one below the other."""
    console.print(Text(headline(record), style="bold"))
    titles, rows = columns(record), [row_cells(row, record) for row in record.rows]
    if record.columns:
        titles = [_folded(title) for title in titles]
    parts = _parts(titles, rows, console.width) if record.columns else [list(range(len(titles)))]
    for number, part in enumerate(parts):
        table = Table(
            title=None if number else Text(record.title),
            title_justify="left",
            show_lines=not record.columns,
            box=box.SIMPLE_HEAD if record.columns else box.HEAVY_HEAD,
            padding=(0, 1, 0, 0) if record.columns else (0, 1),
        )
        for index in part:
            table.add_column(Text(titles[index]), justify="right" if index else "left")
        for cells in rows:
            table.add_row(*(_two_lines(cells[index]) for index in part))
        console.print(table)
    for note in footnotes(record):
        console.print(Text(note, style="dim"))


def _parts(titles: list[str], rows: list[Cells], width: int) -> list[list[int]]:
    """Which columns go beside each other; the first one, with the names, stands in every part."""
    gap = 2  # of padding and the blank that divides columns

    def needs(index: int) -> int:
        cells = [line for row in rows for line in row[index]] + titles[index].split("\n")
        return gap + max(map(len, cells))

    parts: list[list[int]] = [[0]]
    for index in range(1, len(titles)):
        if len(parts[-1]) > 1 and sum(map(needs, [*parts[-1], index])) + 1 > width:
            parts.append([0])
        parts[-1].append(index)
    return parts


def _folded(title: str) -> str:
    """A title on lines of one or two words, no longer than a number with its interval."""
    lines: list[str] = []
    for word in title.replace("-", "- ").split():
        glue = "" if lines and lines[-1].endswith("-") else " "
        if lines and len(lines[-1] + glue + word) <= 11:
            lines[-1] += glue + word
        else:
            lines.append(word)
    return "\n".join(lines)


def _two_lines(cell: list[str]) -> Text:
    first, *rest = cell
    text = Text(first)
    for line in rest:
        text.append(f"\n{line}", style="dim")
    return text

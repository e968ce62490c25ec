"""A study's table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from shiftproof.report._record import StudyRecord
from shiftproof.report._study_table import columns, footnotes, headline, row_cells


def print_study(record: StudyRecord, console: Console) -> None:
    """Print headline, table and notes."""
    table = Table(title=record.title, title_justify="left", show_lines=True)
    for index, title in enumerate(columns(record)):
        table.add_column(title, justify="left" if index == 0 else "right")
    for row in record.rows:
        table.add_row(*(_two_lines(cell) for cell in row_cells(row, record)))
    console.print(Text(headline(record), style="bold"))
    console.print(table)
    for note in footnotes(record):
        console.print(Text(note, style="dim"))


def _two_lines(cell: list[str]) -> Text:
    first, *rest = cell
    text = Text(first)
    for line in rest:
        text.append(f"\n{line}", style="dim")
    return text

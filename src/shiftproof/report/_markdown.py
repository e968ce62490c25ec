"""Markdown from text that may hold anything."""

from __future__ import annotations

from collections.abc import Sequence

from shiftproof._text import printable

# Characters with a meaning to GitHub: code, emphasis, links, cells, headings, mathematics.
SPECIAL = "\\`*_[]|~#$"


def escaped(text: str) -> str:
    """Text that shows as it is, in a paragraph or in a cell.

    Example:
        >>> escaped("<b>|[x](y)")
        '&lt;b>\\\\|\\\\[x\\\\](y)'
    """
    text = printable(text)
    for character in SPECIAL:
        text = text.replace(character, f"\\{character}")
    return text.replace("&", "&amp;").replace("<", "&lt;")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """The lines of a table of escaped cells; all but the first columns are numbers, set to the right."""
    rule = ["---" if index < left else "---:" for index in range(len(columns))]
    return [line(columns), line(rule), *map(line, rows)]


def line(cells: Sequence[str]) -> str:
    """One line of a table, of escaped cells."""
    return f"| {' | '.join(cells)} |"

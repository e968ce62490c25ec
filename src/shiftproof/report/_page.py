"""What a page consists of: sections of tables, charts and lines. Every kind of record becomes one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from markupsafe import Markup

Outcome = Literal["pass", "fail", "inconclusive", "none"]


@dataclass(frozen=True, slots=True)
class Card:
    """One of the few numbers on top.

    Args:
        name: What it is.
        value: The number, or `n/a`.
        detail: Its interval and n, or why there is none.
        note: What it means.
    """

    name: str
    value: str
    detail: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """Paragraphs."""

    lines: Sequence[str]
    kind: ClassVar[str] = "lines"


@dataclass(frozen=True, slots=True)
class Bullets:
    """Remarks."""

    lines: Sequence[str]
    kind: ClassVar[str] = "bullets"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; all but the first `left` columns are numbers.

    Args:
        columns: Titles.
        rows: As many cells in each.
        left: Columns of words.
        caption: What it shows.
        folded: Whether one has to open it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1
    caption: str = ""
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True, slots=True)
class Facts:
    """Names, each with a line about it."""

    pairs: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True, slots=True)
class Charts:
    """Drawings beside each other, with what they show."""

    drawings: Sequence[Markup]
    caption: str
    kind: ClassVar[str] = "charts"


@dataclass(frozen=True, slots=True)
class Interactive:
    """The same as `Charts`, and with scripts a widget in their place.

    Args:
        drawings: What is shown without scripts, and printed.
        caption: What they show.
        data: JSON for the widget.
    """

    drawings: Sequence[Markup]
    caption: str
    data: Markup
    kind: ClassVar[str] = "interactive"


@dataclass(frozen=True, slots=True)
class Picture:
    """An image before and after a shift.

    Args:
        name: Of the image.
        before, after: As `data:` addresses, checked by the record; empty where it has none.
        answers: What the model said before and after.
        about: More about it.
        pixelated: Whether its pixels are shown as they are.
    """

    name: str
    before: Markup
    after: Markup
    answers: tuple[str, str]
    about: Sequence[str]
    pixelated: bool


@dataclass(frozen=True, slots=True)
class Pictures:
    """Images beside each other."""

    pictures: Sequence[Picture]
    kind: ClassVar[str] = "pictures"


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type."""

    line: str
    kind: ClassVar[str] = "command"


Block = Lines | Bullets | Table | Facts | Charts | Interactive | Pictures | Command


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a page."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """What a link to it names.

        Example:
            >>> Section("Worst images", []).anchor
            'worst-images'
        """
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page.

    Args:
        kind: Of the record: audit, comparison, …
        headline: The verdict in one sentence.
        outcome: What became of the demands; `none` where none were made.
        about: What was measured: names and lines.
        cards: The numbers on top.
        sections: Everything else; those without blocks are left out.
    """

    kind: str
    headline: str
    outcome: Outcome = "none"
    about: Sequence[tuple[str, str]] = ()
    cards: Sequence[Card] = ()
    sections: Sequence[Section] = field(default_factory=list)


def facts(values: Mapping[str, Any]) -> Facts:
    """A mapping as facts, by name; what is inside of it, with dots.

    Example:
        >>> facts({"b": [{"y": 1}, {"y": 2}], "a": [3, 4]}).pairs
        [('a', '3, 4'), ('b.1.y', '1'), ('b.2.y', '2')]
    """
    return Facts([pair for name in sorted(values) for pair in _pairs(name, values[name])])


def _pairs(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, (list, tuple)):
        if not any(isinstance(each, (Mapping, list, tuple)) for each in value):
            return [(name, ", ".join(map(str, value)))]
        value = {str(number): each for number, each in enumerate(value, start=1)}
        return [pair for number in value for pair in _pairs(f"{name}.{number}", value[number])]
    if isinstance(value, Mapping):
        return [(f"{name}.{inner}", text) for inner, text in facts(value).pairs]
    return [(name, str(value))]


def joined(lines: Sequence[str]) -> str:
    """A number and what stands below it, in one line.

    Example:
        >>> joined(["98.1", "97.0 to 99.0"]), joined(["n/a"])
        ('98.1 (97.0 to 99.0)', 'n/a')
    """
    first, *others = lines
    return f"{first} ({', '.join(others)})" if others else first

"""The one way to a terminal: nothing that is printed there is markup, an escape, or a command."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from shiftproof._text import printable_lines


class PlainConsole(Console):
    """A console of rich for text that may come from elsewhere.

    Square brackets and `:smile:` stay as they are, whoever prints them. What rich itself adds (colours,
    moves of the cursor) goes through; what stands in the text is made harmless after it was wrapped, since
    wrapping decides what a line begins with.

    Args:
        stderr: Whether it writes to stderr.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """A string as rich measures and prints it; harmless before its width is counted."""
        return super().render_str(printable_lines(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of anything that rich can show, with harmless text."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable_lines(text), style)

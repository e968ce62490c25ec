"""SVG from numbers: elements whose text is always escaped, and axes with round ticks.

Colours are classes, which the page gives a light, a dark and a printed version; those of a scale are colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from shiftproof._text import said

# The scale `cividis` (Nuñez, Anderton and Renslow 2018) at equal steps: from dark to bright for every reader.
SCALE = (
    "#00224e", "#002e6a", "#1a386f", "#32436d", "#434e6c", "#535a6d", "#61656f", "#6f7073", "#7d7c78",
    "#8c8878", "#9b9476", "#aba072", "#bcae6c", "#cdbb63", "#dec958", "#f0d846", "#fee838",
)  # fmt: skip
# Where the scale is bright enough for dark ink on it.
BRIGHT = 0.55
LONGEST_LABEL = 28
# About the width of a letter, in the font's size.
LETTER = 0.56
SIZE = 12


def tag(name: str, *inside: object, **attributes: object) -> Markup:
    """An element; text inside and in attributes is escaped, and `class_` and `stroke_width` lose their `_`.

    Example:
        >>> tag("text", "a<b", class_="ink", x=1.5)
        Markup('<text class="ink" x="1.5">a&lt;b</text>')
    """
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    given = "".join(f' {key}="{escape(_plain(value))}"' for key, value in named)
    content = "".join(each if isinstance(each, Markup) else escape(_plain(each)) for each in inside)
    return Markup(f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>")


def _plain(value: object) -> str:
    if isinstance(value, Markup):  # as long as it is, such as the places of a curve
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else said(value)


def drawing(width: float, height: float, label: str, inside: Iterable[Markup]) -> Markup:
    """A whole picture of this size, as wide as there is room; `label` is what it is read out as."""
    box = f"0 0 {_plain(float(width))} {_plain(float(height))}"
    about = {"class_": "chart", "viewBox": box, "role": "img", "aria_label": label}
    return tag("svg", *inside, **about, width=round(width), height=round(height))


def words(text: str, x: float, y: float, *, anchor: str = "start", kind: str = "ink") -> Markup:
    """A line of text; `anchor` is start, middle or end."""
    return tag("text", text, class_=kind, x=x, y=y, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """A straight line; `kind` is its class."""
    return tag("line", class_=kind, x1=x1, y1=y1, x2=x2, y2=y2)


def short(text: str, most: int = LONGEST_LABEL) -> str:
    """A label that fits beside an axis."""
    text = said(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def width_of(text: str) -> float:
    """About how wide a text is."""
    return LETTER * SIZE * len(text)


@dataclass(frozen=True, slots=True)
class Axis:
    """From numbers to places along a line.

    Args:
        low, high: Ends in numbers.
        start, end: Ends in places.
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a number is."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Round numbers within the ends, about five.

        Example:
            >>> Axis(0.0, 1.0, 0.0, 100.0).ticks
            [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        """
        step = _round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def axis_for(values: Sequence[float], start: float, end: float, *, within: tuple[float, float]) -> Axis:
    """An axis that holds these numbers with some room, but none beyond what they can be."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or max(0.02 * abs(high), 1e-6)
    low, high = max(low - room, within[0]), min(high + room, within[1])
    return Axis(low, high, start, end) if low < high else Axis(low - 0.5, high + 0.5, start, end)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))


def number(value: float) -> str:
    """A number at a tick.

    Example:
        >>> number(-0.5), number(97.0)
        ('−0.5', '97')
    """
    return f"{value:g}".replace("-", "−")


def colour(part: float) -> str:
    """The colour at a part of the scale, from 0 to 1; mixed between its steps.

    Example:
        >>> colour(0.0), colour(1.0), colour(0.5)
        ('#00224e', '#fee838', '#7d7c78')
    """
    place = min(max(part, 0.0), 1.0) * (len(SCALE) - 1)
    below = min(int(place), len(SCALE) - 2)
    pairs = ((int(SCALE[below + up][1 + 2 * k : 3 + 2 * k], 16) for up in (0, 1)) for k in range(3))
    return "#" + "".join(f"{round(a + (place - below) * (b - a)):02x}" for a, b in pairs)

"""Estimates and differences as text: shares as percent, other units with three digits."""

from __future__ import annotations

from shiftproof._text import counted, is_share, percent
from shiftproof.records import Difference, Estimate, NotApplicable

NO_NUMBER = "n/a"
# Short enough to stand behind each number; longer ones are named once.
SHORT_UNITS = ("px",)


def amount(value: float, unit: str) -> str:
    """A number in its unit, where that is short.

    Example:
        >>> amount(0.9871, "share of images"), amount(3.0, "px"), amount(0.12345, "probability")
        ('98.7 %', '3 px', '0.123')
    """
    if is_share(unit):
        return percent(value)
    return f"{value:.3g} {unit}" if unit in SHORT_UNITS else f"{value:.3g}"


def narrow(value: float, unit: str) -> str:
    """A number for a narrow column: shares in percent with two decimals, never 100 for what is less.

    Example:
        >>> tuple(narrow(share, "share of images") for share in (0.98712, 1.0, 0.99999))
        ('98.71', '100', '99.99')
    """
    if not is_share(unit):
        return f"{value:.3g}"
    if value in (0, 1):
        return f"{100 * value:.0f}"
    return f"{min(max(100 * value, 0.01), 99.99):.2f}"


def thousands(number: int) -> str:
    """A count with three digits and a letter.

    Example:
        >>> thousands(950), thousands(85_670), thousands(8_215_568), thousands(1_230_000_000)
        ('950', '85.7 k', '8.22 M', '1.23 G')
    """
    for letter, size in (("G", 10**9), ("M", 10**6), ("k", 1000)):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)


def change(value: float, unit: str) -> str:
    """A difference with its sign: in points for shares, never 0 for what is not quite that.

    Example:
        >>> change(0.0123, "share of images"), change(-0.00001, "share of images"), change(0.0, "px")
        ('+1.2', '−0.001', '0')
    """
    number = 100 * value if is_share(unit) else value
    if number == 0:
        return "0"
    text = f"{number:+.1f}" if is_share(unit) else f"{number:+.3g}"
    if is_share(unit) and not float(text):
        text = f"{number:+.1g}"
    return text.replace("-", "−")


def unit_of_change(unit: str) -> str:
    """What a difference of numbers in this unit is counted in."""
    return "points" if is_share(unit) else unit


def title(metric: str, unit: str) -> str:
    """A metric with its unit, where that does not stand behind its numbers."""
    return metric if is_share(unit) or unit in (*SHORT_UNITS, metric) else f"{metric} ({unit})"


def interval(estimate: Estimate) -> str:
    """Both ends of an interval."""
    return f"{amount(estimate.low, estimate.unit)} to {amount(estimate.high, estimate.unit)}"


def in_full(found: Estimate | Difference | NotApplicable) -> str:
    """A number with interval and n in one line, or why there is none."""
    if isinstance(found, NotApplicable):
        return found.reason
    n = f"n = {counted(found.n_images, 'image')}"
    if isinstance(found, Difference):
        value, low, high = (change(end, found.unit) for end in (found.value, found.low, found.high))
        return f"{value} {unit_of_change(found.unit)} ({low} to {high}, {n})"
    named = title("", found.unit).strip(" ()")
    return f"{amount(found.value, found.unit)} ({interval(found)}, {n}{named and f'; {named}'})"

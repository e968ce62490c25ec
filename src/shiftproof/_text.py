"""Numbers, names and records as a reader sees them."""

from __future__ import annotations

import json


def percent(share: float) -> str:
    """One decimal, but never 100 % or 0 % for what is not quite that.

    Example:
        >>> percent(0.99996), percent(1.0), percent(0.123), percent(0.0001)
        ('> 99.9 %', '100 %', '12.3 %', '< 0.1 %')
    """
    if share in (0, 1):
        return f"{share:.0%}".replace("%", " %")
    digits = f"{100 * share:.1f}"
    if digits in ("0.0", "-0.0"):
        return "< 0.1 %" if share > 0 else "> -0.1 %"
    if digits == "100.0":
        return "> 99.9 %" if share < 1 else "> 100 %"
    return f"{digits} %"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural where it is one.

    Example:
        >>> counted(1, "image"), counted(2500, "image")
        ('1 image', '2,500 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """A name from a file or a model on one line, without characters that do something to a terminal.

    Blanks of any kind become one kind of blank; control characters, marks that change the direction of
    writing, and halves of characters become `�`.

    Example:
        >>> printable("cat\\n\\x1b[2J")
        'cat �[2J'
    """
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def record_text(record: object) -> str:
    """A record as JSON for people and files: sorted keys, so that equal records are equal bytes.

    Example:
        >>> record_text({"b": "é", "a": 1})
        '{\\n "a": 1,\\n "b": "é"\\n}\\n'
    """
    return json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def is_share(unit: str) -> bool:
    """Whether a number in this unit is read as a percentage.

    A "share of the norm of the logits" is none: it may be larger than 1.
    """
    return unit.startswith("share of images")

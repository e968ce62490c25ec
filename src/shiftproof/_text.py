"""Numbers, names and records as a reader sees them."""

from __future__ import annotations

import json
import re


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
    """A text from elsewhere on one line, without anything that does something where it is shown.

    Blanks of any kind become one kind of blank; control characters, marks that change the direction of
    writing, and halves of characters become `�`. What a service that runs builds would take for a command
    (`::error::` at the beginning of a line for GitHub, `##[error]` for others) is taken apart.

    Example:
        >>> printable("cat\\n\\x1b[2J"), printable("::error::x")
        ('cat �[2J', ': :error::x')
    """
    plain = text if text.isprintable() else "".join(_printable(character) for character in text)
    return _COMMAND_OF_OTHERS.sub("# #", _COMMAND_OF_GITHUB.sub(r"\1: :", plain))


_COMMAND_OF_GITHUB = re.compile(r"^(\s*)::")
_COMMAND_OF_OTHERS = re.compile(r"##(?=\w*\[)")


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else "\N{REPLACEMENT CHARACTER}"


def printable_lines(text: str) -> str:
    """The same for a text that may have several lines, and keeps them.

    Example:
        >>> printable_lines("cat\\n\\x1b[2J")
        'cat\\n�[2J'
    """
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """A text of at most about so many characters: the middle of a longer one is left out, and said.

    Example:
        >>> shortened("0123456789" * 10, 20)
        '0123456789 … (100 characters) … 0123456789'
    """
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … ({len(text):,} characters) … {text[-half:]}"


def said(value: object, most: int = 1000) -> str:
    """Any value from elsewhere as harmless text: on one line, not long, whatever its own `__str__` does.

    Example:
        >>> said(ValueError("no\\nnumber")), said(10**5000)
        ('no number', 'an int that cannot be printed')
    """
    try:
        text = str(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # a class of others may do anything; an int of 5,000 digits refuses
        kind = type(value).__name__
        text = f"{'an' if kind[:1] in 'aeiouAEIOU' else 'a'} {kind} that cannot be printed"
    return printable(shortened(text, most))


def record_text(record: object) -> str:
    """A record as JSON for people and files: sorted keys, so that equal records are equal bytes.

    Characters that would do something to a terminal, and halves of characters, are written as `\\uXXXX`.

    Raises:
        ValueError: It holds NaN or infinity, which are no JSON.

    Example:
        >>> record_text({"b": "é", "a": 1})
        '{\\n "a": 1,\\n "b": "é"\\n}\\n'
    """
    return escaped_json(
        json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    )


def escaped_json(text: str) -> str:
    """JSON in which whatever would do something to a terminal, and half of a character, is a `\\uXXXX`.

    Such a character can only stand in a string, so the value stays what it is.

    Example:
        >>> escaped_json('["a\u202eb"]')
        '["a\\\\u202eb"]'
    """
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def is_share(unit: str) -> bool:
    """Whether a number in this unit is read as a percentage.

    A "share of the norm of the logits" is none: it may be larger than 1.
    """
    return unit.startswith(("share of images", "share of labels", "share of neighbours"))

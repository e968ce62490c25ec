"""The one door for TOML and JSON: text, nesting and numbers within bounds before anything looks at them."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shiftproof._inputs import Most, read_text
from shiftproof._text import said
from shiftproof.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError

MAX_DEPTH = 60
MAX_INTEGER = 2**63


def read_toml(path: Path) -> dict[str, Any]:
    """The table that a TOML file is.

    Raises:
        ConfigError: It cannot be read, is none, is nested too deep, or holds a number of more than 64 bits.
    """
    try:
        return parse_toml(read_text(path, Most.SETTINGS))
    except (OSError, ValueError) as error:
        raise ConfigError.cannot(f"read {path.name} as TOML", unreadable(error)) from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table of a TOML text; `ValueError` for anything that is none, or is out of bounds.

    Example:
        >>> parse_toml("a = [1, 2]")
        {'a': [1, 2]}
    """
    try:
        table = tomllib.loads(text)
    except RecursionError:
        raise ValueError("values that are nested too deep") from None
    check_bounds(table)
    return table


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON, or is out of bounds.
    """
    return parse_json(read_text(path, Most.RECORD))


def parse_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` for anything that is none, or is out of bounds.

    Example:
        >>> parse_json('{"a": 1}')
        {'a': 1}
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("values that are nested too deep") from None
    check_bounds(value)
    return value


def unreadable(error: Exception) -> object:
    """Why a file could not be read, for a message: without the path, which the message has.

    Example:
        >>> unreadable(OSError(2, "No such file or directory", "a.json"))
        'No such file or directory'
    """
    return getattr(error, "strerror", None) or error


def misfit(error: ValidationError) -> str:
    """The first thing in a document that is not as its model wants it: where, and what is wrong."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{said('.'.join(map(str, first['loc']))) or 'the whole'}: {first['msg']}"


def check_bounds(value: Any) -> None:
    """`ValueError` for nesting beyond `MAX_DEPTH`, integers beyond 64 bits, and what is not finite."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
            elif isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"the number {one}")
            elif isinstance(one, int) and not -MAX_INTEGER <= one < MAX_INTEGER:
                raise ValueError(f"an integer of {one.bit_length()} bits, where 64 are the most")
        if not inner:
            return
        level = inner
    raise ValueError(f"values that are nested more than {MAX_DEPTH} deep")


def _refuse(name: str) -> None:
    raise ValueError(f"{name}, which is no JSON")

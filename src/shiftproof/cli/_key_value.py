"""Options of the form KEY=VALUE."""

from __future__ import annotations

import tomllib
from typing import Any

from shiftproof._documents import parse_toml
from shiftproof.errors import ConfigError


def key_and_value(text: str, option: str) -> tuple[str, Any]:
    """Both sides of KEY=VALUE, the value as in TOML or else a plain word.

    Raises:
        ConfigError: Not of this form; names the option.

    Example:
        >>> key_and_value("sizes=[1, 2]", "--set"), key_and_value("name=resnet", "--set")
        (('sizes', [1, 2]), ('name', 'resnet'))
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"KEY=VALUE after {option}", repr(text))
    try:
        return key, parse_toml(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key, value
    except ValueError as error:
        raise ConfigError(f"a value of {key!r} after {option}", error) from error

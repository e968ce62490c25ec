"""Defaults for options, from `[tool.shiftproof]` of the nearest pyproject.toml."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shiftproof._registry import unknown_name
from shiftproof.cli._audit import audit
from shiftproof.errors import ConfigError

# Tables of this name define protocols; they are no option.
PROTOCOLS = "protocols"


def defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """What the parser takes where an option is not on the command line: for `audit` only.

    Raises:
        ConfigError: A pyproject.toml that cannot be read.
        UnknownNameError: A key that is no option.
    """
    if not arguments or arguments[0] != "audit":
        return {}
    here = Path.cwd()
    path = next(
        (d / "pyproject.toml" for d in (here, *here.parents) if (d / "pyproject.toml").is_file()), None
    )
    return {} if path is None else {"audit": _options(path)}


def _options(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("shiftproof", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} to be a TOML file", error) from error
    known = [name for name in inspect.signature(audit).parameters if name not in ("model", "data")]
    options = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == PROTOCOLS:
            continue
        if name not in known:
            raise unknown_name("option in [tool.shiftproof]", key, known)
        options[name] = value
    return options

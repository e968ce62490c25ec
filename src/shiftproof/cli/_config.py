"""Defaults for options, from `[tool.shiftproof]` of the nearest pyproject.toml.

Such a file comes with a folder, and may come from anybody: it says what is measured, never what is trusted.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from shiftproof._documents import read_toml
from shiftproof._registry import unknown_name
from shiftproof.cli._audit import audit
from shiftproof.errors import ConfigError

# Tables of this name define protocols; they are no option.
PROTOCOLS = "protocols"
NO_OPTIONS = ("model", "data", "return", "trust", "engine")


def defaults(arguments: Sequence[str]) -> dict[str, Any]:
    """What the parser takes where an option is not on the command line: for `audit` only.

    Raises:
        ConfigError: A pyproject.toml that cannot be read, holds a value that is none for its option, or
            gives trust.
        UnknownNameError: A key that is no option.
    """
    if not arguments or arguments[0] != "audit":
        return {}
    path = _nearest()
    return {} if path is None else {"audit": _options(path)}


def _nearest() -> Path | None:
    """The file in this folder or the nearest one above; None as well where there is no folder to look in."""
    try:
        here = Path.cwd()
        found = (folder / "pyproject.toml" for folder in (here, *here.parents))
        return next((path for path in found if path.is_file()), None)
    except OSError:
        return None


def _options(path: Path) -> dict[str, Any]:
    table = _table(path)
    known = _model().model_fields
    given = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name == "trust":
            raise ConfigError(
                f"no key `trust` in [tool.shiftproof] of {path}",
                repr(value),
                cause="Whoever wrote the file could have code of a model run on this machine.",
                fix="Remove it; where you trust a model, say --trust on the command line.",
            )
        if name == "engine":
            raise ConfigError(
                f"no key `engine` in [tool.shiftproof] of {path}",
                repr(value),
                cause="Whoever wrote the file could have images and models sent to a machine of theirs.",
                fix="Remove it; say --engine on the command line.",
            )
        if name != PROTOCOLS and name not in known:
            raise unknown_name("option in [tool.shiftproof]", key, known)
        if name != PROTOCOLS:
            given[name] = value
    try:
        return _model().model_validate(given).model_dump(mode="json", exclude_unset=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0])
        raise ConfigError(
            f"a value for {key!r} in [tool.shiftproof] of {path}", repr(given[key]), cause=f"{first['msg']}."
        ) from error


def _table(path: Path) -> dict[str, Any]:
    found: Any = read_toml(path)
    for key in ("tool", "shiftproof"):
        found = found.get(key, {})
        if not isinstance(found, dict):
            raise ConfigError(f"a table [tool.shiftproof] in {path}", repr(found))
    return typing.cast("dict[str, Any]", found)


@cache
def _model() -> type[BaseModel]:
    """The options of `audit` with their types, as fields."""
    fields: dict[str, Any] = {
        name: (kind, None) for name, kind in typing.get_type_hints(audit).items() if name not in NO_OPTIONS
    }
    config = ConfigDict(extra="forbid", coerce_numbers_to_str=True, allow_inf_nan=False)
    return create_model("ProjectOptions", __config__=config, **fields)

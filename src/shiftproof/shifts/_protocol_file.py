"""Protocols of one's own, in TOML.

    [protocols.jitter]
    law = "integer-box"
    dy = 2
    dx = 5
    n_draws = 10
    border = "edge"
    summary = "camera shake"

In a `pyproject.toml` the same tables are under `[tool.shiftproof]`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shiftproof._documents import read_toml
from shiftproof._registry import unknown_name
from shiftproof.errors import ConfigError
from shiftproof.shifts._laws import (
    Diagonal,
    Grid,
    IntegerBox,
    Law,
    Offsets,
    RelativeGrid,
    Ring,
    UniformBox,
)
from shiftproof.shifts._protocols import ShiftProtocol

MAX_NAME = 200
LAWS: Mapping[str, type] = {
    "grid": Grid,
    "ring": Ring,
    "diagonal": Diagonal,
    "relative-grid": RelativeGrid,
    "offsets": Offsets,
    "uniform-box": UniformBox,
    "integer-box": IntegerBox,
}


def read_protocols(path: Path) -> dict[str, ShiftProtocol]:
    """All protocols of a TOML file, by name.

    Raises:
        ConfigError: The file cannot be read, has no protocols, or one has fields without meaning.
        UnknownNameError: No such law, field, border or interpolation.
        OptionError: A border that the interpolation does not allow.
    """
    content = read_toml(path)
    tool = content.get("tool")
    if isinstance(tool, dict) and "protocols" not in content:
        content = tool.get("shiftproof", {})
    tables = content.get("protocols") if isinstance(content, dict) else None
    if not isinstance(tables, dict) or not tables:
        raise ConfigError(f"tables [protocols.NAME] in {path.name}", "none")
    return {name: parse_protocol(name, table) for name, table in tables.items()}


def parse_protocol(name: str, table: object) -> ShiftProtocol:
    """One protocol from its table.

    Example:
        >>> parse_protocol("mine", {"law": "grid", "radius_px": 2, "border": "edge"}).law
        Grid(radius_px=2, step_px=1)
    """
    if not isinstance(table, dict):
        raise ConfigError(f"a table [protocols.{name}]", repr(table))
    if len(name) > MAX_NAME:
        raise ConfigError(f"a name of at most {MAX_NAME} characters for a protocol", repr(name))
    fields = dict(table)
    border, interpolation = fields.pop("border", "zeros"), fields.pop("interpolation", "bilinear")
    texts = {key: str(fields.pop(key, "")) for key in ("summary", "source")}
    return ShiftProtocol(name, _law(name, fields), border, interpolation, **texts)


def _law(name: str, fields: dict[str, Any]) -> Law:
    kind = fields.pop("law", None)
    if not isinstance(kind, str) or kind not in LAWS:
        raise unknown_name("law", str(kind), LAWS)
    known = [field.name for field in dataclasses.fields(LAWS[kind])]
    for key in fields:
        if key not in known:
            raise unknown_name(f"field of law {kind!r} in protocol {name!r}", key, known)
    try:
        law: Law = TypeAdapter(LAWS[kind]).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its fields"
        raise ConfigError(
            f"the fields of law {kind!r} in protocol {name!r}", f"{where}: {first['msg'].rstrip('.')}"
        ) from error
    return law

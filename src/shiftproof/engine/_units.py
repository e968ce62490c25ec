"""Units of work named by what they are computed from, and the folder that keeps their results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shiftproof._digest import Json, digest_of

# Part of every key: raise it when the same unit would now give another result.
SCHEMA_VERSION = 2


@dataclass(frozen=True, eq=False)
class Unit:
    """One piece of work, as pure data.

    Args:
        kind: What is done, for example `train`.
        spec: All settings that the result depends on.
        inputs: Digests of the data, or keys of the units, that it starts from.

    Example:
        >>> Unit("train", {"epochs": 1}, {"data": "ab"}).key[:8]
        'ca577c28'
    """

    kind: str
    spec: Mapping[str, Json]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """64 hex digits that name the result: equal keys, equal results."""
        return digest_of([SCHEMA_VERSION, self.kind, dict(self.spec), dict(self.inputs)])


@dataclass(frozen=True, slots=True)
class UnitStore:
    """The folder with finished units; a file that is there is whole.

    Args:
        folder: Where the files are.
    """

    folder: Path

    def path(self, unit: Unit) -> Path:
        """Where the finished result is or will be."""
        return self.folder / f"{unit.kind}-{unit.key[:32]}.safetensors"

    def partial_path(self, unit: Unit) -> Path:
        """Where a unit that takes long keeps what it has so far."""
        return self.folder / f"{unit.kind}-{unit.key[:32]}.partial.safetensors"

    def has(self, unit: Unit) -> bool:
        """Whether it is finished."""
        return self.path(unit).is_file()

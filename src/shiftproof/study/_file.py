"""A study as it is written in TOML, and errors that say where it is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shiftproof._registry import unknown_name
from shiftproof.errors import ConfigError
from shiftproof.train import InputScale

M = TypeVar("M", bound=BaseModel)
# A study names the folder of its run.
SLUG = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MAX_SEEDS = 10_000


class Strict(BaseModel):
    """What stays as it was written, and has no keys but those that have a meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(Strict):
    """What one column of the table shows: a metric under a protocol.

    Args:
        protocol: Reference of a shift protocol, such as `grid:4`.
        metric: Name of a metric.
        title: Head of the column; by default the two names.
        judges: Whether remedies are judged by it: rows with a base are compared with that.
    """

    protocol: str
    metric: str = "accuracy"
    title: str = ""
    judges: bool = False


class Row(Strict):
    """One line of the table, as written: a network and what differs from the study's training.

    `base` is the row that it is meant to be better than.
    """

    name: str
    network: str
    title: str = ""
    note: str = ""
    base: str | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)
    published: Mapping[str, float] = Field(default_factory=dict)


class Variant(Strict):
    """Every row once more, with another training; its name is `ROW+VARIANT`."""

    training: Mapping[str, Any]

    def of(self, row: Row, name: str) -> Row:
        """The row with this training: based on the same variant of its base, else on the row itself."""
        return Row(
            name=f"{row.name}+{name}",
            network=row.network,
            title=row.title,
            base=f"{row.base}+{name}" if row.base else row.name,
            training={**row.training, **self.training},
        )


class Preset(Strict):
    """A named size of the study, as written.

    `test_limit` is for studies that train in seconds and measure for minutes: without it `limit` is for both.
    """

    summary: str
    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] | None = None
    limit: Annotated[int, Field(ge=1)] | None = None
    test_limit: Annotated[int, Field(ge=1)] | None = None
    rows_used: tuple[str, ...] | None = None
    input_scales: tuple[InputScale, ...] | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)


class StudyFile(Strict):
    """A study, as written in TOML."""

    schema_version: Literal[1]
    name: Annotated[str, Field(pattern=SLUG)]
    title: str
    source: str = ""
    data: str
    protocols: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ("accuracy",)
    columns: tuple[Column, ...] = ()
    costs: bool = False
    input_scales: tuple[InputScale, ...] = ("unit",)
    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] = 1
    training: Mapping[str, Any] = Field(default_factory=dict)
    presets: Mapping[str, Preset] = Field(default_factory=dict)
    variants: Mapping[str, Variant] = Field(default_factory=dict)
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]

    def all_rows(self) -> list[Row]:
        """The rows as they are, each followed by its variants."""
        return [
            each
            for row in self.rows
            for each in (row, *(variant.of(row, name) for name, variant in self.variants.items()))
        ]


def validate(model: type[M], value: Mapping[str, Any], where: str) -> M:
    """Validate, and turn the first complaint of pydantic into our own words."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _in_our_words(error, model, where) from error


def _in_our_words(error: ValidationError, model: type[BaseModel], where: str) -> ConfigError:
    """The first complaint; an unknown key comes before the missing one that it was meant to be."""
    complaints = sorted(error.errors(), key=lambda complaint: complaint["type"] != "extra_forbidden")
    first = complaints[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        suggestion = unknown_name("key", str(first["loc"][-1]), _keys_at(model, first["loc"][:-1]))
        return ConfigError(
            f"only known keys in {where}", repr(place), cause=suggestion.cause, fix=suggestion.fix
        )
    if first["type"] == "missing":
        return ConfigError(f"the key {place!r} in {where}", "none")
    return ConfigError.cannot(f"use {first['input']!r} as {place!r} in {where}", first["msg"])


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> Iterable[str]:
    """The legal keys of the nested model at a place such as ('rows', 0)."""
    nested: dict[str, type[BaseModel]] = {
        "rows": Row, "presets": Preset, "columns": Column, "variants": Variant,
    }  # fmt: skip
    found = nested.get(str(place[0])) if place and model is StudyFile else None
    return (found or model).model_fields

"""Declarative experiments: networks × training × protocols × seeds, from TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shiftproof._digest import Json
from shiftproof._registry import unknown_name
from shiftproof.errors import ConfigError
from shiftproof.metrics import metrics
from shiftproof.shifts import protocols
from shiftproof.train import InputScale, Recipe
from shiftproof.zoo import networks

_STRICT = ConfigDict(frozen=True, extra="forbid")
M = TypeVar("M", bound=BaseModel)
BUILT_IN = Path(__file__).parent


class Row(BaseModel):
    """One line of the table, as written: a network and what differs from the study's training."""

    model_config = _STRICT

    name: str
    network: str
    title: str = ""
    note: str = ""
    training: Mapping[str, Any] = Field(default_factory=dict)
    published: Mapping[str, float] = Field(default_factory=dict)


class Preset(BaseModel):
    """A named size of the study, as written."""

    model_config = _STRICT

    summary: str
    seeds: int | None = None
    rows_used: tuple[str, ...] | None = None
    input_scales: tuple[InputScale, ...] | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)


class StudyFile(BaseModel):
    """A study, as written in TOML."""

    model_config = _STRICT

    schema_version: Literal[1]
    name: str
    title: str
    source: str = ""
    data: str
    protocols: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    input_scales: tuple[InputScale, ...] = ("unit",)
    seeds: int = 1
    training: Mapping[str, Any] = Field(default_factory=dict)
    presets: Mapping[str, Preset] = Field(default_factory=dict)
    rows: tuple[Row, ...]


class Arm(BaseModel):
    """One row of the table, fully resolved.

    Args:
        name: Unique in the study.
        network: Name in the zoo.
        title: How the source calls it.
        note: One sentence for below the table.
        recipe: Every setting of the training.
        published: Accuracy by protocol, as published.
    """

    model_config = _STRICT

    name: str
    network: str
    title: str
    note: str
    recipe: Recipe
    published: Mapping[str, float]


class Study(BaseModel):
    """A study with preset and overrides applied: nothing is left to decide.

    Args:
        name: Slug.
        title: One line.
        source: What is repeated.
        preset: Name of the preset.
        preset_summary: What the preset leaves out.
        data: Reference of the data.
        limit: Use only so many training and test images; None for all.
        seeds: The seeds, one training each.
        shift_seed: Seed of the shifts that are measured; the same for all networks.
        protocols: Names of shift protocols.
        metrics: Names of metrics.
        arms: The rows.
    """

    model_config = _STRICT

    name: str
    title: str
    source: str
    preset: str
    preset_summary: str
    data: str
    limit: Annotated[int, Field(ge=1)] | None
    seeds: tuple[int, ...]
    shift_seed: int
    protocols: tuple[str, ...]
    metrics: tuple[str, ...]
    arms: tuple[Arm, ...]

    def config(self) -> dict[str, Json]:
        """All of it as JSON: the same configuration, the same run."""
        config: dict[str, Json] = self.model_dump(mode="json")
        return config


class Overrides(BaseModel):
    """What the command line changes; None leaves a field as the preset has it."""

    model_config = _STRICT

    data: str | None = None
    limit: int | None = None
    seeds: int | None = None
    networks: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    input_scales: tuple[InputScale, ...] | None = None
    training: Mapping[str, Any] = Field(default_factory=dict)

    def in_words(self) -> str:
        """What is changed, so that no report passes for the preset as it was written.

        Example:
            >>> Overrides(seeds=3, networks=("cnn1", "cnn2"), training={"epochs": 1}).in_words()
            'seeds 3, networks cnn1 cnn2, epochs 1'
        """
        changed = self.model_dump(exclude_defaults=True)
        changed |= changed.pop("training", {})
        words = {k: " ".join(v) if isinstance(v, tuple) else v for k, v in changed.items()}
        return ", ".join(f"{key} {value}" for key, value in words.items())


def load_study(reference: str, *, preset: str | None = None, overrides: Overrides | None = None) -> Study:
    """Read a study and resolve it.

    Later wins: the study's training, the row's, the preset's, the preset's for the row, overrides.

    Args:
        reference: Name of a built-in study, or a path that ends in `.toml`.
        preset: Name of one of its presets; the first one by default.
        overrides: Fields to change.

    Returns:
        The study with one arm per row and input scale.

    Raises:
        ConfigError: Not TOML, an unknown key, a value outside its range. The message says where,
            and suggests the nearest key.
        UnknownNameError: Unknown study, preset, row, network, protocol or metric.

    Example:
        >>> study = load_study("article")
        >>> study.preset, [arm.name for arm in study.arms]
        ('quick', ['standard-nn', 'dense-nn', 'cnn1', 'cnn2', 'cnn2-augmented'])
    """
    path = _find(reference)
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"a TOML file in {path.name}", f"an error: {error}") from error
    file = _validate(StudyFile, written, path.name)
    return _resolve(file, preset, overrides or Overrides())


def parse_overrides(fields: Mapping[str, Any]) -> Overrides:
    """Overrides from the fields of a command line; `ConfigError` names the one that is wrong.

    Example:
        >>> parse_overrides({"seeds": 2}).seeds
        2
    """
    return _validate(Overrides, fields, "the options")


def _find(reference: str) -> Path:
    if reference.endswith(".toml"):
        return Path(reference)
    built_in = {path.stem: path for path in sorted(BUILT_IN.glob("*.toml"))}
    if reference not in built_in:
        raise unknown_name("study", reference, built_in)
    return built_in[reference]


def _resolve(file: StudyFile, preset_name: str | None, overrides: Overrides) -> Study:
    preset_name = preset_name or next(iter(file.presets), "none")
    if preset_name not in file.presets and preset_name != "none":
        raise unknown_name("preset", preset_name, file.presets)
    preset = file.presets.get(preset_name, Preset(summary="as written"))
    by_name = {row.name: row for row in file.rows}
    if len(by_name) < len(file.rows):
        names = [row.name for row in file.rows]
        raise ConfigError("rows with different names", ", ".join(names))
    for name in preset.rows:
        _check_known("row", [name], by_name)
    used = overrides.networks or preset.rows_used or tuple(by_name)
    _check_known("row of this study", used, by_name)
    scales = overrides.input_scales or preset.input_scales or file.input_scales
    arms = [
        _arm(file, preset, by_name[name], scale, len(scales) > 1, overrides)
        for name in used
        for scale in scales
    ]
    _check_distinct(arms)
    study = Study(
        name=file.name,
        title=file.title,
        source=file.source,
        preset=preset_name,
        preset_summary="; changed: ".join(filter(None, [preset.summary, overrides.in_words()])),
        data=overrides.data or file.data,
        limit=overrides.limit,
        seeds=tuple(range(overrides.seeds or preset.seeds or file.seeds)),
        shift_seed=0,
        protocols=overrides.protocols or file.protocols,
        metrics=overrides.metrics or file.metrics,
        arms=tuple(arms),
    )
    _check_known("protocol", study.protocols, protocols.names())
    _check_known("metric", study.metrics, metrics.names())
    for arm in study.arms:
        _check_known("protocol", arm.published, protocols.names())
    return study


def _arm(
    file: StudyFile,
    preset: Preset,
    row: Row,
    scale: InputScale,
    several_scales: bool,
    overrides: Overrides,
) -> Arm:
    networks.get(row.network)
    recipe = {
        **file.training,
        **row.training,
        **preset.training,
        **preset.rows.get(row.name, {}),
        **overrides.training,
        "input_scale": scale,
    }
    return Arm(
        name=f"{row.name} ({scale})" if several_scales else row.name,
        network=row.network,
        title=row.title,
        note=row.note,
        recipe=_validate(Recipe, recipe, f"training of {row.name}"),
        published=row.published,
    )


def _check_distinct(arms: Iterable[Arm]) -> None:
    """Two equal arms would be one unit of work with two names."""
    seen: dict[str, str] = {}
    for arm in arms:
        what = f"{arm.network} {arm.recipe}"
        if what in seen:
            raise ConfigError(
                "rows that differ in network or training",
                f"{seen[what]!r} and {arm.name!r}, which are the same",
                fix="Leave one out with --networks, or drop the setting that makes them equal.",
            )
        seen[what] = arm.name


def _check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = tuple(known)
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)


def _validate(model: type[M], value: Mapping[str, Any], where: str) -> M:
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
    return ConfigError(f"{place!r} in {where} to be right", repr(first["input"]), cause=f"{first['msg']}.")


def _keys_at(model: type[BaseModel], place: tuple[int | str, ...]) -> Iterable[str]:
    """The legal keys of the nested model at a place such as ('rows', 0)."""
    nested: dict[str, type[BaseModel]] = {"rows": Row, "presets": Preset}
    found = nested.get(str(place[0])) if place and model is StudyFile else None
    return (found or model).model_fields

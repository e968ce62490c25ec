"""Declarative experiments: networks × training × protocols × seeds, from TOML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from shiftproof._digest import Json
from shiftproof._documents import read_toml
from shiftproof._registry import unknown_name
from shiftproof.errors import ConfigError
from shiftproof.metrics import metrics
from shiftproof.shifts import find_protocol
from shiftproof.study._file import MAX_SEEDS, Column, Preset, Row, Strict, StudyFile, validate
from shiftproof.train import InputScale, Recipe
from shiftproof.zoo import networks

PACKAGE = Path(__file__).parents[1]


class Arm(Strict):
    """One row of the table, fully resolved.

    Args:
        name: Unique in the study.
        network: Name in the zoo.
        title: How the source calls it.
        note: One sentence for below the table.
        recipe: Every setting of the training.
        published: Accuracy by protocol, as published.
        base: Name of the arm that it is compared with, if that is there.
    """

    name: str
    network: str
    title: str
    note: str
    recipe: Recipe
    published: Mapping[str, float]
    base: str | None = None


class Study(Strict):
    """A study with preset and overrides applied: nothing is left to decide.

    Args:
        name: Slug.
        title: One line.
        source: What is repeated.
        preset: Name of the preset.
        preset_summary: What the preset leaves out.
        data: Reference of the data.
        limit: Use only so many training images, and test images if `test_limit` is None; None for all.
        seeds: The seeds, one training each.
        shift_seed: Seed of the shifts that are measured; the same for all networks.
        protocols: References of shift protocols.
        metrics: Names of metrics, computed under every protocol.
        arms: The rows.
        columns: What the table shows; nothing for accuracy under each protocol.
        costs: Whether arithmetic and time of each network are counted and measured.
        test_limit: Use only so many test images.
    """

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
    columns: tuple[Column, ...] = ()
    costs: bool = False
    test_limit: Annotated[int, Field(ge=1)] | None = None

    def config(self) -> dict[str, Json]:
        """All of it as JSON: the same configuration, the same run. What a study does not use is left out."""
        config: dict[str, Any] = self.model_dump(mode="json")
        unused = ("columns", "costs", "test_limit")
        config = {key: value for key, value in config.items() if value or key not in unused}
        for arm in config["arms"]:
            if arm["base"] is None:
                del arm["base"]
        return config

    def metrics_under(self, protocol: str) -> tuple[str, ...]:
        """What is estimated under a protocol; always accuracy, for a table without it says nothing."""
        shown = (column.metric for column in self.columns if column.protocol == protocol)
        return tuple(dict.fromkeys(["accuracy", *self.metrics, *shown]))


class Overrides(Strict):
    """What the command line changes; None leaves a field as the preset has it."""

    data: str | None = None
    limit: int | None = None
    seeds: Annotated[int, Field(ge=1, le=MAX_SEEDS)] | None = None
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
    file = validate(StudyFile, read_toml(path), path.name)
    return _resolve(file, preset, overrides or Overrides())


def parse_overrides(fields: Mapping[str, Any]) -> Overrides:
    """Overrides from the fields of a command line; `ConfigError` names the one that is wrong.

    Example:
        >>> parse_overrides({"seeds": 2}).seeds
        2
    """
    return validate(Overrides, fields, "the options")


def _find(reference: str) -> Path:
    if reference.endswith(".toml"):
        return Path(reference)
    built_in = {path.stem: path for path in sorted(PACKAGE.glob("*/*.toml"))}
    if reference not in built_in:
        raise unknown_name("study", reference, built_in)
    return built_in[reference]


def _resolve(file: StudyFile, preset_name: str | None, overrides: Overrides) -> Study:
    preset_name = preset_name or next(iter(file.presets), "none")
    if preset_name not in file.presets and preset_name != "none":
        raise unknown_name("preset", preset_name, file.presets)
    preset = file.presets.get(preset_name, Preset(summary="as written"))
    by_name = _rows_by_name(file)
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
    shown = _columns(file, overrides)
    study = Study(
        name=file.name,
        title=file.title,
        source=file.source,
        preset=preset_name,
        preset_summary="; changed: ".join(filter(None, [preset.summary, overrides.in_words()])),
        data=overrides.data or file.data,
        limit=overrides.limit or preset.limit,
        seeds=tuple(range(overrides.seeds or preset.seeds or file.seeds)),
        shift_seed=0,
        protocols=overrides.protocols or file.protocols or tuple(dict.fromkeys(c.protocol for c in shown)),
        metrics=overrides.metrics or file.metrics,
        arms=tuple(arms),
        columns=shown,
        costs=file.costs,
        test_limit=None if overrides.limit else preset.test_limit,
    )
    _check_names(study)
    return study


def _rows_by_name(file: StudyFile) -> dict[str, Row]:
    rows = file.all_rows()
    by_name = {row.name: row for row in rows}
    if len(by_name) < len(rows):
        raise ConfigError("rows with different names", ", ".join(row.name for row in rows))
    _check_known("row", (row.base for row in rows if row.base), by_name)
    return by_name


def _columns(file: StudyFile, overrides: Overrides) -> tuple[Column, ...]:
    """The file's columns; of other protocols only those, where others are asked for."""
    if overrides.protocols is None or not file.columns:
        return file.columns
    return tuple(
        column
        for protocol in overrides.protocols
        for column in [c for c in file.columns if c.protocol == protocol] or [Column(protocol=protocol)]
    )


def _check_names(study: Study) -> None:
    if not study.protocols:
        raise ConfigError("the key 'protocols' or 'columns' in a study", "neither")
    shown = [column.protocol for column in study.columns]
    for reference in (*study.protocols, *shown, *(p for arm in study.arms for p in arm.published)):
        if find_protocol(reference).border == "scene":
            raise ConfigError(
                "protocols that move images of the data's own size",
                repr(reference),
                cause="It moves a window on a larger image, and there is none.",
                fix="Name another protocol, or audit the trained network on larger images.",
            )
    for reference in shown:
        _check_known("protocol of this study", [reference], study.protocols)
    _check_known("metric", (*study.metrics, *(column.metric for column in study.columns)), metrics.names())


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
        recipe=validate(Recipe, recipe, f"training of {row.name}"),
        published=row.published,
        base=f"{row.base} ({scale})" if row.base and several_scales else row.base,
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

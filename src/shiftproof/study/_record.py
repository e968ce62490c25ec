"""From the responses of a study to its record: every number that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from shiftproof._digest import Json
from shiftproof.errors import ShiftproofError
from shiftproof.metrics import Estimate, NotApplicable, metrics
from shiftproof.probe import Response
from shiftproof.shifts import find_protocol
from shiftproof.study._costs import Costs
from shiftproof.study._file import Column
from shiftproof.study._materials import Materials
from shiftproof.study._remedies import difference
from shiftproof.study._spec import Arm, Study
from shiftproof.train import EpochRecord
from shiftproof.zoo import build_network

SCHEMA_VERSION = 1
# One response for each protocol of the study, by its name.
Responses = dict[str, Response]
# By arm, for each seed, what its epochs measured.
Curves = dict[str, list[list[EpochRecord]]]


def study_record(
    materials: Materials,
    results: Sequence[Sequence[Responses | ShiftproofError]],
    costs: Mapping[str, Costs] | None = None,
    curves: Curves | None = None,
) -> dict[str, Json]:
    """The record of a study.

    Args:
        materials: Study and data.
        results: For each arm and seed the responses, or the error that ended it.
        costs: By network, where the study asks for them.
        curves: By arm what each epoch of each seed measured, where there was training.

    Returns:
        JSON that `shiftproof.report.read_study` accepts.
    """
    study = materials.study
    failed = any(isinstance(result, ShiftproofError) for arm in results for result in arm)
    rows = [_row(materials, arm, seeds) for arm, seeds in zip(study.arms, results, strict=True)]
    for row in rows:
        if costs is not None:
            row["costs"] = costs[str(row["network"])].to_dict()
        if curves is not None and row["name"] in curves:
            row["curves"] = [
                [[epoch.loss, epoch.accuracy] for epoch in seed] for seed in curves[str(row["name"])]
            ]
    _compare(study, results, rows)
    record: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "study",
        "status": "incomplete" if failed else "complete",
        "name": study.name,
        "title": study.title,
        "source": study.source,
        "preset": study.preset,
        "preset_summary": study.preset_summary,
        "protocols": [
            {"name": name, "summary": find_protocol(name).summary, "source": find_protocol(name).source}
            for name in study.protocols
        ],
        "data": {
            split: {"name": data.name, "n_images": len(data), "digest": data.digest}
            for split, data in (("train", materials.training), ("test", materials.test))
        },
        "environment": materials.environment(),
        "config": study.config(),
        "rows": [*rows],
    }
    if study.columns:
        record["columns"] = [_column(column) for column in study.columns]
    return record


def _column(column: Column) -> dict[str, Json]:
    metric = metrics.get(column.metric)
    return {
        "protocol": column.protocol,
        "metric": column.metric,
        "title": column.title or f"{column.metric}, {column.protocol}",
        "judges": column.judges,
        "higher_is_better": metric.higher_is_better,
        "unit": metric.unit,
        "summary": metric.summary,
    }


def _compare(
    study: Study, results: Sequence[Sequence[Responses | ShiftproofError]], rows: Sequence[dict[str, Json]]
) -> None:
    """Put beside each row how it differs from its base, where both are there and did not fail."""
    finished = {
        arm.name: responses
        for arm, seeds in zip(study.arms, results, strict=True)
        if len(responses := [seed for seed in seeds if not isinstance(seed, ShiftproofError)]) == len(seeds)
    }
    for arm, row in zip(study.arms, rows, strict=True):
        if arm.base in finished and arm.name in finished:
            row["against"] = {
                "base": arm.base,
                "differences": [
                    {
                        "column": index,
                        "found": difference(
                            [seed[column.protocol] for seed in finished[arm.name]],
                            [seed[column.protocol] for seed in finished[arm.base]],
                            metrics.get(column.metric),
                        ),
                    }
                    for index, column in enumerate(study.columns)
                    if column.judges
                ],
            }


def _row(materials: Materials, arm: Arm, results: Sequence[Responses | ShiftproofError]) -> dict[str, Json]:
    data = materials.training
    network = build_network(arm.network, image_shape=data.image_shape, n_classes=len(data.class_names))
    row: dict[str, Json] = {
        "name": arm.name,
        "network": arm.network,
        "title": arm.title,
        "note": arm.note,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "recipe": arm.recipe.model_dump(mode="json"),
        "seeds": list(materials.study.seeds),
        "cells": [],
        "error": None,
    }
    errors = [result for result in results if isinstance(result, ShiftproofError)]
    if errors:
        return {**row, "error": str(errors[0])}
    responses = [result for result in results if not isinstance(result, ShiftproofError)]
    cells: list[Json] = []
    for name in materials.study.protocols:
        seeds = [response[name] for response in responses]
        names = materials.study.metrics_under(name)
        cells.append(_cell(name, names, seeds, arm.published.get(name)))
    return {**row, "cells": cells}


def _cell(
    protocol: str, metric_names: Sequence[str], seeds: Sequence[Response], published: float | None
) -> dict[str, Json]:
    found = {name: metrics.get(name).estimate(*seeds) for name in metric_names}
    estimates = {name: each for name, each in found.items() if isinstance(each, Estimate)}
    accuracy = estimates["accuracy"]  # a study's data have labels
    inside = None if published is None else accuracy.low <= published <= accuracy.high
    return {
        "protocol": protocol,
        "metrics": {name: asdict(estimate) for name, estimate in estimates.items()},
        "not_applicable": {
            name: each.reason for name, each in found.items() if isinstance(each, NotApplicable)
        },
        "accuracy_per_seed": [_accuracy(seed) for seed in seeds],
        "published": published,
        "difference": None if published is None else accuracy.value - published,
        "published_inside_interval": inside,
    }


def _accuracy(response: Response) -> float:
    scores = metrics.get("accuracy").scores(response)
    assert not isinstance(scores, NotApplicable), "a study's data have labels"
    return scores.mean

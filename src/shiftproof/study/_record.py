"""From the responses of a study to its record: every number that a report shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shiftproof.errors import ShiftproofError
from shiftproof.metrics import Estimate, NotApplicable, metrics
from shiftproof.probe import Response
from shiftproof.records import (
    AgainstRecord,
    CellRecord,
    ChangeRecord,
    ColumnRecord,
    ProtocolRecord,
    RowRecord,
    SplitRecord,
    StudyRecord,
)
from shiftproof.shifts import find_protocol
from shiftproof.study._costs import Costs
from shiftproof.study._file import Column
from shiftproof.study._materials import Materials
from shiftproof.study._remedies import difference
from shiftproof.study._spec import Arm, Study
from shiftproof.train import EpochRecord
from shiftproof.zoo import build_network

# One response for each protocol of the study, by its name.
Responses = dict[str, Response]
# By arm, for each seed, what its epochs measured.
Curves = dict[str, list[list[EpochRecord]]]


def study_record(
    materials: Materials,
    results: Sequence[Sequence[Responses | ShiftproofError]],
    costs: Mapping[str, Costs] | None = None,
    curves: Curves | None = None,
) -> StudyRecord:
    """The record of a study.

    Args:
        materials: Study and data.
        results: For each arm and seed the responses, or the error that ended it.
        costs: By network, where the study asks for them.
        curves: By arm what each epoch of each seed measured, where there was training.
    """
    study = materials.study
    finished = {
        arm.name: responses
        for arm, seeds in zip(study.arms, results, strict=True)
        if len(responses := [seed for seed in seeds if not isinstance(seed, ShiftproofError)]) == len(seeds)
    }
    protocols = [find_protocol(name) for name in study.protocols]
    record = StudyRecord(
        schema_version=1,
        kind="study",
        status="complete" if len(finished) == len(study.arms) else "incomplete",
        name=study.name,
        title=study.title,
        source=study.source,
        preset=study.preset,
        preset_summary=study.preset_summary,
        protocols=tuple(
            ProtocolRecord(name=name, summary=protocol.summary, source=protocol.source)
            for name, protocol in zip(study.protocols, protocols, strict=True)
        ),
        data={
            split: SplitRecord(name=data.name, n_images=len(data), digest=data.digest)
            for split, data in (("train", materials.training), ("test", materials.test))
        },
        environment=materials.environment(),
        config=study.config(),
        rows=tuple(
            _row(materials, arm, seeds).having(
                costs=costs[arm.network].record() if costs is not None else None,
                curves=_curves(curves.get(arm.name, []) if curves is not None else []),
                against=_against(study, arm, finished),
            )
            for arm, seeds in zip(study.arms, results, strict=True)
        ),
    )
    return record.having(columns=tuple(map(_column, study.columns)))


def _column(column: Column) -> ColumnRecord:
    metric = metrics.get(column.metric)
    return ColumnRecord(
        protocol=column.protocol,
        metric=column.metric,
        title=column.title or f"{column.metric}, {column.protocol}",
        judges=column.judges,
        higher_is_better=metric.higher_is_better,
        unit=metric.unit,
        summary=metric.summary,
    )


def _curves(seeds: Sequence[Sequence[EpochRecord]]) -> tuple[tuple[tuple[float, float], ...], ...]:
    return tuple(tuple((epoch.loss, epoch.accuracy) for epoch in epochs) for epochs in seeds)


def _against(study: Study, arm: Arm, finished: Mapping[str, Sequence[Responses]]) -> AgainstRecord | None:
    """How a row differs from its base, where both are there and did not fail."""
    if arm.base is None or not {arm.base, arm.name} <= finished.keys():
        return None
    return AgainstRecord(
        base=arm.base,
        differences=tuple(
            ChangeRecord(
                column=index,
                found=difference(
                    [seed[column.protocol] for seed in finished[arm.name]],
                    [seed[column.protocol] for seed in finished[arm.base]],
                    metrics.get(column.metric),
                ),
            )
            for index, column in enumerate(study.columns)
            if column.judges
        ),
    )


def _row(materials: Materials, arm: Arm, results: Sequence[Responses | ShiftproofError]) -> RowRecord:
    data = materials.training
    network = build_network(arm.network, image_shape=data.image_shape, n_classes=len(data.class_names))
    error = next((result for result in results if isinstance(result, ShiftproofError)), None)
    responses = [result for result in results if not isinstance(result, ShiftproofError)]
    cells = (
        _cell(
            name,
            materials.study.metrics_under(name),
            [response[name] for response in responses],
            arm.published.get(name),
        )
        for name in materials.study.protocols
    )
    return RowRecord(
        name=arm.name,
        network=arm.network,
        title=arm.title,
        note=arm.note,
        n_parameters=sum(p.numel() for p in network.parameters()),
        recipe=arm.recipe.model_dump(mode="json"),
        seeds=tuple(materials.study.seeds),
        cells=tuple(cells) if error is None else (),
        error=None if error is None else str(error),
    )


def _cell(
    protocol: str, metric_names: Sequence[str], seeds: Sequence[Response], published: float | None
) -> CellRecord:
    found = {name: metrics.get(name).estimate(*seeds) for name in metric_names}
    estimates = {name: each for name, each in found.items() if isinstance(each, Estimate)}
    accuracy = estimates["accuracy"]  # a study's data have labels
    inside = None if published is None else accuracy.low <= published <= accuracy.high
    return CellRecord(
        protocol=protocol,
        metrics=estimates,
        not_applicable={name: each.reason for name, each in found.items() if isinstance(each, NotApplicable)},
        accuracy_per_seed=tuple(map(_accuracy, seeds)),
        published=published,
        difference=None if published is None else accuracy.value - published,
        published_inside_interval=inside,
    )


def _accuracy(response: Response) -> float:
    scores = metrics.get("accuracy").scores(response)
    assert not isinstance(scores, NotApplicable), "a study's data have labels"
    return scores.mean

"""From the responses of an audit to its record: every number that a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from shiftproof._device import describe_environment
from shiftproof.adapters import describe
from shiftproof.audits._gates import outcome
from shiftproof.audits._measure import Measured
from shiftproof.audits._question import AuditQuestion
from shiftproof.audits._task import SHOWN, headline
from shiftproof.audits._verdict import verdict
from shiftproof.audits._worst import images_that_change
from shiftproof.data import Images
from shiftproof.metrics import (
    Estimate,
    MetricSpec,
    NotApplicable,
    PhaseCurve,
    Selection,
    by_class,
    by_phase,
    by_radius,
    by_shift,
    chance_accuracy,
    chance_agreement,
    metrics,
    select,
)
from shiftproof.probe import Response
from shiftproof.records import (
    AuditRecord,
    ChanceRecord,
    DataRecord,
    GateRecord,
    MeasuredProtocolRecord,
    MetricRecord,
    NoiseRecord,
    PointRecord,
    SkippedRecord,
    TaskRecord,
    ViewRecord,
)

STRIDES_PX = (2, 4)
Parts = Mapping[Any, Estimate | NotApplicable] | NotApplicable


def audit_record(
    question: AuditQuestion,
    measured: Sequence[Measured],
    noise: NoiseRecord,
    gates: Sequence[GateRecord],
) -> AuditRecord:
    """The record of an audit: what was asked, measured and demanded, and what follows."""
    model = describe(question.classifier)
    task = TaskRecord(**question.task.identity(), why=question.task.why)
    protocols = [_protocol(question, part) for part in measured]
    return AuditRecord(
        schema_version=2,
        kind="audit",
        verdict=verdict(model, task, protocols[0], noise),
        outcome=outcome(gates),
        model=model,
        task=task,
        data=_data(question.images),
        headline=headline(measured[0].response),
        metrics={spec.name: MetricRecord.model_validate(spec, from_attributes=True) for spec in metrics},
        protocols=protocols,
        noise=noise,
        gates=gates,
        environment=describe_environment(question.device),
        config=question.config(),
    )


def _data(images: Images) -> DataRecord:
    return DataRecord(
        name=images.name,
        n_images=len(images),
        image_shape=images.image_shape,
        labelled=bool((images.labels >= 0).any()),
        class_names=images.class_names,
        digest=images.digest,
        skipped=[SkippedRecord(name=skipped.name, reason=skipped.reason) for skipped in images.skipped],
        conversions=images.conversions,
        note=images.note,
    )


def _protocol(question: AuditQuestion, part: Measured) -> MeasuredProtocolRecord:
    response, confidence = part.response, part.confidence
    shown = SHOWN[response.task.name]

    def view(look: Callable[..., Parts], names: Sequence[str] = shown.drawn) -> dict[str, ViewRecord[Any]]:
        return {name: _view(look(metrics.get(name), response, confidence=confidence)) for name in names}

    return MeasuredProtocolRecord(
        **part.protocol.describe(),
        n_images=response.n_images,
        n_shifts=response.n_shifts,
        n_moves=int((select(response).radius_px > 0).sum(-1).max()),
        n_classes=question.n_classes,
        reach_px=part.protocol.law.reach_px(question.shown_px(part.images, part.protocol)),
        method=part.method,
        method_reason=part.method_reason,
        stopped_early=part.stopped_early,
        decided=part.decided,
        confidence=confidence,
        files=part.files,
        chance=ChanceRecord(accuracy=chance_accuracy(response), agreement=chance_agreement(response)),
        estimates={spec.name: spec.estimate(response, confidence=confidence) for spec in metrics},
        by_shift=view(by_shift),
        by_radius=view(by_radius),
        by_phase={str(stride): view(phases_at_equal_radius(stride)) for stride in STRIDES_PX},
        by_class=view(by_class, shown.of_classes),
        **images_that_change(question, part),
    )


def phases_at_equal_radius(stride_px: int) -> Callable[..., PhaseCurve | NotApplicable]:
    """`by_phase` over the rings on which the phase (0, 0) lies.

    Over a whole square the phases are at different distances from the origin, and a model that loses
    agreement with distance alone would look as if it aliased.
    """

    def look(metric: MetricSpec, response: Response, *, confidence: float) -> PhaseCurve | NotApplicable:
        radii = select(response).radius_px
        if not ((radii > 0) & (np.mod(radii, stride_px) == 0)).any():
            return NotApplicable(f"no shift but 0 has a radius that is a multiple of {stride_px} px")
        return by_phase(metric, response, stride_px=stride_px, confidence=confidence, part=rings)

    def rings(selection: Selection) -> Selection:
        return selection.with_shifts(np.mod(selection.radius_px, stride_px) == 0)

    return look


def _view(parts: Parts) -> ViewRecord[Any]:
    """A curve or map: where it has a value, the value, its interval, and the images behind it."""
    if isinstance(parts, NotApplicable):
        return ViewRecord(not_applicable=parts.reason, points=())
    points: list[PointRecord[Any]] = [
        PointRecord(at=at, value=found.value, low=found.low, high=found.high, n_images=found.n_images)
        for at, found in parts.items()
        if isinstance(found, Estimate)
    ]
    reasons = [part.reason for part in parts.values() if isinstance(part, NotApplicable)]
    return ViewRecord(not_applicable=reasons[0] if reasons and not points else None, points=points)

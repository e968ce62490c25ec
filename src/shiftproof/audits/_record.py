"""From the responses of an audit to its record: every number that a report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from shiftproof._device import describe_environment
from shiftproof._digest import Json
from shiftproof.adapters import describe
from shiftproof.audits._measure import Measured
from shiftproof.audits._question import AuditQuestion
from shiftproof.audits._task import SHOWN
from shiftproof.audits._worst import worst
from shiftproof.data import Images
from shiftproof.metrics import (
    Estimate,
    MetricSpec,
    NotApplicable,
    PhaseCurve,
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

SCHEMA_VERSION = 2
STRIDES_PX = (2, 4)
Parts = Mapping[Any, Estimate | NotApplicable] | NotApplicable


def audit_record(question: AuditQuestion, measured: Sequence[Measured]) -> dict[str, Json]:
    """The record of an audit, but for gates and comparisons, which are no part of what was measured.

    Returns:
        JSON that `shiftproof.report.read_audit` accepts.
    """
    images = question.images
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "audit",
        "model": describe(question.classifier),
        "task": {**question.task.identity(), "why": question.task.why},
        "data": _data(images),
        "headline": list(headline(measured[0].response)),
        "metrics": {
            spec.name: {
                "summary": spec.summary,
                "unit": spec.unit,
                "bounds": list(spec.bounds),
                "higher_is_better": spec.higher_is_better,
                "source": spec.source,
                "tasks": list(spec.tasks),
            }
            for spec in metrics
        },
        "protocols": [_protocol(question, part) for part in measured],
        "environment": describe_environment(question.device),
        "config": question.config(),
    }


def headline(response: Response) -> tuple[str, ...]:
    """The four metrics that say most, with or without labels."""
    shown = SHOWN[response.task.name]
    return shown.headline if (response.labels >= 0).any() else shown.headline_without_labels


def _data(images: Images) -> dict[str, Json]:
    return {
        "name": images.name,
        "n_images": len(images),
        "image_shape": list(images.image_shape),
        "labelled": bool((images.labels >= 0).any()),
        "class_names": list(images.class_names),
        "digest": images.digest,
        "skipped": [{"name": skipped.name, "reason": skipped.reason} for skipped in images.skipped],
        "conversions": dict(images.conversions),
        "note": images.note,
    }


def _protocol(question: AuditQuestion, part: Measured) -> dict[str, Json]:
    response = part.response
    confidence = part.confidence

    shown = SHOWN[response.task.name]

    def view(look: Callable[..., Parts], names: Sequence[str] = shown.drawn) -> dict[str, Json]:
        return {name: _points(look(metrics.get(name), response, confidence=confidence)) for name in names}

    return {
        **part.protocol.describe(),
        "n_images": response.n_images,
        "n_shifts": response.n_shifts,
        "n_moves": int((select(response).radius_px > 0).sum(-1).max()),
        "n_classes": question.n_classes,
        "reach_px": list(part.protocol.law.reach_px(question.shown_px(part.images, part.protocol))),
        "method": part.method,
        "method_reason": part.method_reason,
        "stopped_early": part.stopped_early,
        "decided": part.decided,
        "confidence": part.confidence,
        "files": list(part.files),
        "chance": {
            "accuracy": _number(chance_accuracy(response)),
            "agreement": _number(chance_agreement(response)),
        },
        "estimates": {spec.name: asdict(spec.estimate(response, confidence=confidence)) for spec in metrics},
        "by_shift": view(by_shift),
        "by_radius": view(by_radius),
        "by_phase": {str(stride): view(phases_at_equal_radius(stride)) for stride in STRIDES_PX},
        "by_class": view(by_class, shown.of_classes),
        **worst(question, part),
    }


def phases_at_equal_radius(stride_px: int) -> Callable[..., PhaseCurve | NotApplicable]:
    """`by_phase` over the rings on which the phase (0, 0) lies.

    Over a whole square the phases are at different distances from the origin, and a model that loses
    agreement with distance alone would look as if it aliased.
    """

    def look(metric: MetricSpec, response: Response, *, confidence: float) -> PhaseCurve | NotApplicable:
        selection = select(response)
        rings = selection.with_shifts(np.mod(selection.radius_px, stride_px) == 0)
        if not rings.moved.any():
            return NotApplicable(f"no shift but 0 has a radius that is a multiple of {stride_px} px")
        return by_phase(metric, rings, stride_px=stride_px, confidence=confidence)

    return look


def _number(value: float | NotApplicable) -> Json:
    return asdict(value) if isinstance(value, NotApplicable) else value


def _points(parts: Parts) -> dict[str, Json]:
    """A curve or map: where it has a value, the value, its interval, and the images behind it."""
    if isinstance(parts, NotApplicable):
        return {**asdict(parts), "points": []}
    points: list[Json] = [
        {
            "at": list(at) if isinstance(at, tuple) else at,
            "value": estimate.value,
            "low": estimate.low,
            "high": estimate.high,
            "n_images": estimate.n_images,
        }
        for at, estimate in parts.items()
        if isinstance(estimate, Estimate)
    ]
    reasons = [part.reason for part in parts.values() if isinstance(part, NotApplicable)]
    return {"not_applicable": reasons[0] if reasons and not points else None, "points": points}

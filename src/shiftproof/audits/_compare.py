"""Two audits of the same images under the same shifts, paired by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from shiftproof._digest import Json
from shiftproof.audits._audit import Audit
from shiftproof.errors import ComparisonError
from shiftproof.metrics import compare_responses, metrics
from shiftproof.probe import Response

SCHEMA_VERSION = 1


def compare_audits(a: Audit, b: Audit, *, confidence: float = 0.95) -> dict[str, Json]:
    """What the second model does better or worse than the first: the record of a comparison.

    Args:
        a: One audit.
        b: Another, of the same images under the same shifts.
        confidence: Nominal coverage of each interval.

    Returns:
        JSON that `shiftproof.report.read_comparison` accepts; differences are those of b minus a.

    Raises:
        ComparisonError: No protocol in common, or other images or shifts; says which.
    """
    shared = [name for name in a.responses if name in b.responses]
    if not shared:
        raise ComparisonError(
            "two runs with a protocol in common",
            f"{', '.join(a.responses)} and {', '.join(b.responses)}",
            fix="Audit both with the same --protocol.",
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "models": [_model(a), _model(b)],
        "data": dict(a.record["data"]),
        "confidence": confidence,
        "protocols": [
            {"name": name, "rows": _rows(a.responses[name], b.responses[name], confidence)} for name in shared
        ],
    }


def _model(audit: Audit) -> Json:
    about: Mapping[str, Any] = audit.record["model"]
    return {"name": about["name"], "digest": about["digest"]}


def _rows(a: Response, b: Response, confidence: float) -> list[Json]:
    return [
        {
            "metric": spec.name,
            "higher_is_better": spec.higher_is_better,
            "first": asdict(spec.estimate(a, confidence=confidence)),
            "second": asdict(spec.estimate(b, confidence=confidence)),
            "difference": asdict(compare_responses(b, a, spec, confidence=confidence)),
        }
        for spec in metrics
        if {a.task.name, b.task.name} & set(spec.tasks)
    ]

"""Two audits of the same images under the same shifts, paired by image."""

from __future__ import annotations

from shiftproof.audits._audit import Audit
from shiftproof.errors import ComparisonError
from shiftproof.metrics import compare_responses, metrics
from shiftproof.probe import Response
from shiftproof.records import (
    ComparedMetricRecord,
    ComparedModelRecord,
    ComparedProtocolRecord,
    ComparisonRecord,
)


def compare_audits(a: Audit, b: Audit, *, confidence: float = 0.95) -> ComparisonRecord:
    """What the second model does better or worse than the first: the record of a comparison.

    Args:
        a: One audit.
        b: Another, of the same images under the same shifts.
        confidence: Nominal coverage of each interval.

    Returns:
        Every metric of both, and the differences: those of b minus a.

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
    return ComparisonRecord(
        schema_version=1,
        kind="comparison",
        models=[ComparedModelRecord(name=m.name, digest=m.digest) for m in (a.record.model, b.record.model)],
        data=a.record.data,
        confidence=confidence,
        protocols=[
            ComparedProtocolRecord(name=name, rows=_rows(a.responses[name], b.responses[name], confidence))
            for name in shared
        ],
    )


def _rows(a: Response, b: Response, confidence: float) -> list[ComparedMetricRecord]:
    return [
        ComparedMetricRecord(
            metric=spec.name,
            higher_is_better=spec.higher_is_better,
            first=spec.estimate(a, confidence=confidence),
            second=spec.estimate(b, confidence=confidence),
            difference=compare_responses(b, a, spec, confidence=confidence),
        )
        for spec in metrics
        if {a.task.name, b.task.name} & set(spec.tasks)
    ]

"""What an audit would compute, and about how long it would take."""

from __future__ import annotations

import time
from contextlib import closing

from shiftproof.audits._asking import Asking
from shiftproof.audits._question import AuditQuestion
from shiftproof.records import PlanRecord


def plan(question: AuditQuestion) -> list[PlanRecord]:
    """For each protocol: views, method, and the time for all images, judged by that for a few."""
    rows = []
    with closing(Asking(question, question.options.threads)) as asking:
        for part, (protocol, images) in enumerate(question.parts):
            probe = asking.probe(part)
            batches = probe.batches
            few = min(len(images), batches.batch_size * len(batches.evaluators))
            probe.measure(slice(0, min(few, 2)))  # what is only done once should not be multiplied
            start = time.perf_counter()
            probe.measure(slice(0, few))
            seconds = time.perf_counter() - start
            rows.append(
                PlanRecord(
                    protocol=protocol.name,
                    n_images=len(images),
                    n_shifts=batches.views.n_shifts,
                    forwards=len(images) * (1 + batches.views.n_shifts),
                    method=probe.choice.name,
                    method_reason=probe.choice.reason,
                    expected_s=seconds * len(images) / few,
                )
            )
    return rows

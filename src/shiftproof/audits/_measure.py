"""Measuring in shards that survive an interruption, and stopping as soon as the answer is sharp enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from shiftproof._digest import Json
from shiftproof.audits._question import AuditQuestion
from shiftproof.data import Images
from shiftproof.engine import Run, Unit
from shiftproof.metrics import NotApplicable, metrics
from shiftproof.probe import Probe, Response, probing
from shiftproof.shifts import ShiftProtocol

# Numbers in the images of a shard: what is lost at most when a run is killed.
NUMBERS_PER_SHARD = 5_000_000
SHARD_LIMITS = (32, 1000)
FIRST_LOOK = 250


@dataclass(frozen=True, slots=True)
class AuditProgress:
    """How far a measurement is.

    Args:
        protocol: Its name.
        n_images: Images done.
        n_images_total: All images.
        n_shifts: Shifts of each.
        seconds: Since its start.
    """

    protocol: str
    n_images: int
    n_images_total: int
    n_shifts: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Measured:
    """The response to one protocol, and how it was come by.

    Args:
        protocol: The protocol.
        images: The images, of which the response has the first.
        response: What the model answered.
        method: `direct` or `dense`.
        method_reason: Why that one.
        files: Names of the files with its shards in the run directory, in order.
    """

    protocol: ShiftProtocol
    images: Images
    response: Response
    method: str
    method_reason: str
    files: tuple[str, ...]

    @property
    def stopped_early(self) -> bool:
        """Whether the precision was reached before the last image."""
        return self.response.n_images < len(self.images)


def measure(
    question: AuditQuestion,
    protocol: ShiftProtocol,
    images: Images,
    *,
    run: Run | None = None,
    on_progress: Callable[[AuditProgress], None] = lambda progress: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Measured:
    """The response to one protocol; shards that the run has already are not computed again."""
    options = question.options
    with open_probe(question, protocol, images) as probe:
        parts: list[Response | Path] = []
        start = time.monotonic()
        n_shifts = probe.batches.views.n_shifts
        for rows in _shards(images, options.precision):
            parts.append(_shard(question, probe, rows, run, check_stop))
            seconds = time.monotonic() - start
            on_progress(AuditProgress(protocol.name, rows.stop, len(images), n_shifts, seconds))
            if options.precision is not None and rows.stop < len(images):
                so_far = Response.concatenate(parts)
                parts = parts if run else [so_far]
                if half_width(so_far, options.confidence) <= options.precision:
                    break
        files = tuple(part.name for part in parts if isinstance(part, Path))
        response = Response.concatenate(parts)
        choice = probe.choice
        return Measured(protocol, images, response, choice.name, choice.reason, files)


def open_probe(
    question: AuditQuestion, protocol: ShiftProtocol, images: Images
) -> AbstractContextManager[Probe]:
    """A probe with the settings of an audit."""
    options = question.options
    return probing(
        question.classifier,
        images,
        protocol,
        seed=options.seed,
        method=options.method,
        batch_size=options.batch_size,
        device=question.device,
        threads=options.threads,
    )


def half_width(response: Response, confidence: float) -> float:
    """Half the interval of the agreement, or of the accuracy where nothing moves; infinity without one."""
    for name in ("agreement", "accuracy"):
        estimate = metrics.get(name).estimate(response, confidence=confidence)
        if not isinstance(estimate, NotApplicable):
            return (estimate.high - estimate.low) / 2
    return float("inf")


def _shards(images: Images, precision: float | None) -> Iterator[slice]:
    """Rows of each shard: small for large images; each a look's worth where precision decides."""
    low, high = SHARD_LIMITS
    size = max(low, min(high, NUMBERS_PER_SHARD // int(np.prod(images.image_shape))))
    start = 0
    while start < len(images):
        # Looking at 250, 500, 1,000, 2,000, … images: few looks, so that chance rarely ends it early.
        stop = start + size
        if precision is not None:
            stop = FIRST_LOOK if start == 0 else 2 * start
        yield slice(start, min(stop, len(images)))
        start = stop


def _shard(
    question: AuditQuestion, probe: Probe, rows: slice, run: Run | None, check_stop: Callable[[], None]
) -> Response | Path:
    images, protocol = probe.batches.images, probe.batches.views.protocol
    provenance: dict[str, Json] = {"model": question.classifier.digest, "data": images.digest}
    if run is None:
        return probe.measure(rows, provenance=provenance, check_stop=check_stop)
    unit = Unit(
        "probe",
        {
            "protocol": protocol.describe(),
            "task": question.task.identity(),
            "seed": question.options.seed,
            "method": probe.choice.name,
            "rows": [rows.start, rows.stop],
            "device": question.device.type,
            "torch": torch.__version__,
        },
        {"model": question.classifier.digest, "data": images.digest},
    )
    path = run.units.path(unit)
    if not run.units.has(unit):
        check_stop()
        run.units.keep(unit, probe.measure(rows, provenance=provenance, check_stop=check_stop).to_bytes())
    return path

"""Measuring in shards that survive an interruption, and stopping as soon as the answer is sharp enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from shiftproof._digest import Json
from shiftproof.audits._looks import are_decided, confidence_at, looks
from shiftproof.audits._question import AuditOptions, AuditQuestion
from shiftproof.data import Images
from shiftproof.engine import Run, Unit
from shiftproof.metrics import Gate, NotApplicable, metrics
from shiftproof.probe import Probe, Response, probing
from shiftproof.shifts import ShiftProtocol

# Numbers in the images of a shard: what is lost at most when a run is killed.
NUMBERS_PER_SHARD = 5_000_000
SHARD_LIMITS = (32, 1000)


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
        confidence: Nominal coverage of each of its intervals; higher than asked for where gates were looked
            at repeatedly, so that all looks together have what was asked for.
        decided: Whether it ended because its gates were decided.
    """

    protocol: ShiftProtocol
    images: Images
    response: Response
    method: str
    method_reason: str
    files: tuple[str, ...]
    confidence: float
    decided: bool

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before the last image."""
        return self.response.n_images < len(self.images)


def measure(
    question: AuditQuestion,
    protocol: ShiftProtocol,
    images: Images,
    *,
    gates: Sequence[Gate] = (),
    run: Run | None = None,
    on_progress: Callable[[AuditProgress], None] = lambda progress: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Measured:
    """The response to one protocol; shards that the run has already are not computed again.

    Args:
        question: What is asked.
        protocol: Which shifts.
        images: Of which.
        gates: Those that may end it as soon as they are decided; see `AuditOptions.stop_when_decided`.
        run: Where shards are kept.
        on_progress: Called after each shard.
        check_stop: Called between batches; may raise `Stopped`.
    """
    options = question.options
    with open_probe(question, protocol, images) as probe:
        parts: list[Response | Path] = []
        start = time.monotonic()
        n_shifts = probe.batches.views.n_shifts
        about = [gate for gate in gates if gate.protocol in (None, protocol.name)]
        may_decide = options.stop_when_decided and bool(about)
        decided = False
        for rows, is_look in _shards(images, options):
            parts.append(_shard(question, probe, rows, run, check_stop))
            seconds = time.monotonic() - start
            on_progress(AuditProgress(protocol.name, rows.stop, len(images), n_shifts, seconds))
            if is_look:
                so_far = Response.concatenate(parts)
                parts = parts if run else [so_far]
                confidence = confidence_at(rows.stop, len(images), options.confidence)
                decided = may_decide and are_decided(about, so_far, confidence)
                if decided or _is_sharp(so_far, options):
                    break
        files = tuple(part.name for part in parts if isinstance(part, Path))
        response = Response.concatenate(parts)
        choice = probe.choice
        confidence = options.confidence
        if may_decide:
            confidence = confidence_at(response.n_images, len(images), confidence)
        return Measured(protocol, images, response, choice.name, choice.reason, files, confidence, decided)


def _is_sharp(so_far: Response, options: AuditOptions) -> bool:
    return options.precision is not None and half_width(so_far, options.confidence) <= options.precision


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


def _shards(images: Images, options: AuditOptions) -> Iterator[tuple[slice, bool]]:
    """Rows of each shard, small for large images, and whether to look at what there is after it."""
    low, high = SHARD_LIMITS
    size = max(low, min(high, NUMBERS_PER_SHARD // int(np.prod(images.image_shape))))
    early = looks(len(images)) if options.may_stop_early else [len(images)]
    start = 0
    while start < len(images):
        look = next(n for n in early if n > start)
        stop = min(start + size, look)
        yield slice(start, stop), stop == look < len(images)
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

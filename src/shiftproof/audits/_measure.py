"""Measuring in shards that survive an interruption, and stopping as soon as the answer is sharp enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from shiftproof._digest import Json
from shiftproof.audits._asking import Asking, shared_by
from shiftproof.audits._looks import are_decided, confidence_at, looks
from shiftproof.audits._question import AuditOptions, AuditQuestion
from shiftproof.data import Images
from shiftproof.engine import Channel, Engine, Run, StopsWhen, Unit, Workers, workers_of
from shiftproof.errors import ShiftproofError
from shiftproof.metrics import Gate, NotApplicable, metrics
from shiftproof.probe import Response
from shiftproof.shifts import ShiftProtocol

# Numbers in the images of a shard: what is lost at most when a run is killed.
NUMBERS_PER_SHARD = 5_000_000
SHARD_LIMITS = (32, 1000)
# Images × shifts; shards with more in all are not kept in memory until the end.
ANSWERS_IN_MEMORY = 2**24


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
    """The response to one protocol, and how it was obtained.

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
    *,
    gates: Sequence[Gate] = (),
    run: Run | None = None,
    on_progress: Callable[[AuditProgress], None] = lambda progress: None,
    check_stop: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """The response to each protocol; shards that the run has already are not computed again.

    Args:
        question: What is asked.
        gates: Those that may end it as soon as they are decided; see `AuditOptions.stop_when_decided`.
        run: Where shards are kept.
        on_progress: Called after each shard.
        check_stop: Called between batches; may raise `Stopped`.
    """
    engine = question.engine
    with (
        _shelf(run, engine) as shelf,  # goes after those who write into it
        closing(Asking(question, question.options.threads)) as asking,
        workers_of(engine, shared_by(asking, engine), stop=StopsWhen(check_stop)) as workers,
    ):
        return [
            _part(asking, workers, part, gates, shelf, on_progress) for part in range(len(question.parts))
        ]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Where shards are put until they are put together.

    Args:
        run: Keeps all of them; None where nobody does.
        folder: For large ones that nobody keeps; None where there is none that workers see.
    """

    run: Run | None
    folder: Path | None

    def put(self, unit: Unit, shard: Response, n_images: int) -> Response | Path:
        """A shard of so many images in all: where it is, or itself."""
        if self.run is not None:
            return self.run.units.keep(unit, shard.to_bytes())
        if self.folder is None or n_images * shard.n_shifts <= ANSWERS_IN_MEMORY:
            return shard
        path = self.folder / f"{unit.key}.safetensors"
        shard.save(path)
        return path


@contextmanager
def _shelf(run: Run | None, engine: Engine) -> Iterator[_Shelf]:
    """With a folder that goes at the end, where nobody keeps shards and this machine has room for them."""
    if run is not None or engine.kind != "local":
        yield _Shelf(run, None)
        return
    try:
        made = TemporaryDirectory(prefix="shiftproof-")
    except OSError:
        yield _Shelf(None, None)
        return
    with made as folder:
        yield _Shelf(None, Path(folder))


def _part(
    asking: Asking,
    workers: Workers,
    part: int,
    gates: Sequence[Gate],
    shelf: _Shelf,
    on_progress: Callable[[AuditProgress], None],
) -> Measured:
    """The response to one protocol: all shards up to the next look side by side."""
    options = asking.question.options
    protocol, images = asking.question.parts[part]
    probe = asking.probe(part)
    parts: list[Response | Path] = []
    watch = _Watch(protocol.name, len(images), probe.batches.views.n_shifts, on_progress)
    about = [gate for gate in gates if gate.protocol in (None, protocol.name)]
    may_decide = options.stop_when_decided and bool(about)
    decided = False
    for shards in _shards(images, options):
        parts += _found_or_measured(asking, workers, part, shards, shelf, watch)
        n_seen = shards[-1].stop
        if n_seen < len(images):
            so_far = Response.concatenate(parts)
            parts = parts if isinstance(parts[0], Path) else [so_far]
            confidence = confidence_at(n_seen, len(images), options.confidence)
            decided = may_decide and are_decided(about, so_far, confidence)
            if decided or _is_sharp(so_far, options):
                break
    files = tuple(each.name for each in parts if isinstance(each, Path) and shelf.run is not None)
    response = Response.concatenate(parts)
    confidence = options.confidence
    if may_decide:
        confidence = confidence_at(response.n_images, len(images), confidence)
    choice = probe.choice
    return Measured(protocol, images, response, choice.name, choice.reason, files, confidence, decided)


def _found_or_measured(
    asking: Asking,
    workers: Workers,
    part: int,
    shards: Sequence[slice],
    shelf: _Shelf,
    watch: _Watch,
) -> list[Response | Path]:
    """Shards in order; those that are there keep no worker busy, not even to look."""
    found: dict[int, Response | Path] = {}
    run = shelf.run
    units = [_unit(asking, part, rows) for rows in shards]
    if run is not None:
        for index, is_there in enumerate(run.units.has_each(units)):
            if is_there:
                found[index] = run.units.path(units[index])
                watch.done(shards[index], found[index])
    missing = [index for index in range(len(shards)) if index not in found]
    tasks = [partial(_shard, part=part, rows=shards[index], shelf=shelf) for index in missing]
    made = workers.run(tasks, lambda place, result: watch.done(shards[missing[place]], result))
    found |= dict(zip(missing, made, strict=True))
    if run is not None:
        run.units.take([units[index] for index in missing])
    return [found[index] for index in range(len(shards))]


class _Watch:
    """Counts the shards of a protocol as they come, in whatever order."""

    def __init__(
        self, protocol: str, n_images: int, n_shifts: int, on_progress: Callable[[AuditProgress], None]
    ) -> None:
        self._about = protocol, n_images, n_shifts
        self._on_progress = on_progress
        self._n_done = 0
        self._start = time.monotonic()

    def done(self, rows: slice, result: object) -> None:
        """A shard is measured; or it failed, and then all of it has."""
        if isinstance(result, ShiftproofError):
            raise result
        protocol, n_images, n_shifts = self._about
        self._n_done += rows.stop - rows.start
        seconds = time.monotonic() - self._start
        self._on_progress(AuditProgress(protocol, self._n_done, n_images, n_shifts, seconds))


def _is_sharp(so_far: Response, options: AuditOptions) -> bool:
    return options.precision is not None and half_width(so_far, options.confidence) <= options.precision


def half_width(response: Response, confidence: float) -> float:
    """Half the interval of the agreement, or of the accuracy where nothing moves; infinity without one."""
    for name in ("agreement", "accuracy"):
        estimate = metrics.get(name).estimate(response, confidence=confidence)
        if not isinstance(estimate, NotApplicable):
            return (estimate.high - estimate.low) / 2
    return float("inf")


def images_per_shard(image_shape: tuple[int, int, int]) -> int:
    """How many images are one unit of an audit: few where they are large.

    Example:
        >>> images_per_shard((1, 28, 28)), images_per_shard((3, 224, 224))
        (1000, 33)
    """
    low, high = SHARD_LIMITS
    return max(low, min(high, NUMBERS_PER_SHARD // int(np.prod(image_shape))))


def _shards(images: Images, options: AuditOptions) -> Iterator[list[slice]]:
    """Rows of the shards between two looks at what there is."""
    size = images_per_shard(images.image_shape)
    start = 0
    for look in looks(len(images)) if options.may_stop_early else [len(images)]:
        yield [slice(first, min(first + size, look)) for first in range(start, look, size)]
        start = look


def _shard(asking: Asking, channel: Channel, *, part: int, rows: slice, shelf: _Shelf) -> Response | Path:
    """Some images under one protocol, measured."""
    probe = asking.probe(part)
    provenance: dict[str, Json] = _inputs(asking, part)
    response = probe.measure(rows, provenance=provenance, check_stop=channel.check_stop)
    return shelf.put(_unit(asking, part, rows), response, len(asking.question.parts[part][1]))


def _unit(asking: Asking, part: int, rows: slice) -> Unit:
    question, probe = asking.question, asking.probe(part)
    spec: dict[str, Json] = {
        "protocol": question.parts[part][0].describe(),
        "task": question.task.identity(),
        "seed": question.options.seed,
        "method": probe.choice.name,
        "rows": [rows.start, rows.stop],
        "device": question.device.type,
        "torch": torch.__version__,
    }
    return Unit("probe", spec, _inputs(asking, part))


def _inputs(asking: Asking, part: int) -> dict[str, Any]:
    """Digests of what a shard starts from."""
    return {"model": asking.question.classifier.digest, "data": asking.question.parts[part][1].digest}

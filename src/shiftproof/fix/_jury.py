"""Candidates measured side by side, by workers that have the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import torch

from shiftproof.adapters import Classifier, SentClassifier, sent
from shiftproof.data import Images
from shiftproof.engine import Channel, Engine, Shared, StopsWhen, Workers, workers_of
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._measure import Measuring
from shiftproof.probe import Response

Parts = tuple[Images, ...]


@dataclass(frozen=True)
class Jury(Measuring):
    """As `Measuring`, where several candidates are measured by workers.

    Args:
        workers: They have the parts.
        parts: The images that may be asked about.
    """

    workers: Workers
    parts: Parts

    def responses(
        self, classifiers: Sequence[Classifier], images: Images, n_images: int
    ) -> list[Response | ShiftproofError]:
        """What each answers to the first images of a part, or the error that ended it."""
        part = next(number for number, each in enumerate(self.parts) if each is images)
        found = self.workers.run(
            [partial(_answers, candidate=sent(each), part=part, n_images=n_images) for each in classifiers]
        )
        for each in found:
            if isinstance(each, Stopped):
                raise each
        return found


@contextmanager
def measuring_by(
    engine: Engine, measuring: Measuring, original: Classifier, parts: Parts
) -> Iterator[Measuring]:
    """The same measurements, by the workers of an engine where these are not this process."""
    if engine.is_here:
        yield measuring
        return
    # What asks for a stop is of this process alone; whoever measures there is given another one.
    elsewhere = replace(measuring, threads=engine.threads_there, check_stop=_go_on)
    case = _Case(parts, elsewhere)
    shared = Shared(case, _There(case, sent(original)))
    with workers_of(engine, shared, stop=StopsWhen(measuring.check_stop)) as workers:
        yield Jury(**vars(measuring), workers=workers, parts=parts)


@dataclass(frozen=True, eq=False)
class _Case:
    """What candidates are asked about, and how."""

    parts: Parts
    measuring: Measuring


@dataclass(frozen=True, eq=False)
class _There:
    """What makes the case again. The original is loaded first: edited copies of it consist of its classes."""

    case: _Case
    original: SentClassifier

    def __call__(self, device: str) -> _Case:
        self.original.here()
        return replace(self.case, measuring=replace(self.case.measuring, device=torch.device(device)))


def _answers(
    case: _Case, channel: Channel, *, candidate: SentClassifier, part: int, n_images: int
) -> Response:
    images, measuring = case.parts[part], case.measuring
    shown = images if n_images == len(images) else images.take(torch.arange(n_images))
    classifier = candidate.here().to(measuring.device)
    return replace(measuring, check_stop=channel.check_stop).response(classifier, shown)


def _go_on() -> None: ...

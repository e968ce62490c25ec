"""Workers that measure and train candidates: they have the images, and what is learned."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from shiftproof.adapters import Classifier, SentClassifier, sent
from shiftproof.data import Images
from shiftproof.engine import Channel, Engine, Shared, StopsWhen, Workers, workers_of
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._count import Count, Tell
from shiftproof.fix._measure import Measuring
from shiftproof.fix._teach import Teaching
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
        self, classifiers: Sequence[Classifier], images: Images, n_images: int, tell: Tell
    ) -> list[Response | ShiftproofError]:
        """What each answers to the first images of a part, or the error that ended it."""
        part = next(number for number, each in enumerate(self.parts) if each is images)
        found = self.workers.run(
            [partial(_answers, candidate=sent(each), part=part, n_images=n_images) for each in classifiers],
            Count(len(classifiers), tell),
        )
        for each in found:
            if isinstance(each, Stopped):
                raise each
        return found


@dataclass(frozen=True, eq=False)
class Case:
    """What candidates are asked about and how, and what they learn, if they do."""

    parts: Parts
    measuring: Measuring
    teaching: Teaching | None = None


@contextmanager
def workers_for(
    case: Case, engine: Engine, original: Classifier, on_event: Callable[[Any], None] = lambda event: None
) -> Iterator[tuple[Measuring, Workers]]:
    """Who measures, and the workers of an engine, which have the case.

    Args:
        case: As it is in this process.
        engine: Where the workers are.
        original: What the candidates are made from.
        on_event: Called here with what tasks send.
    """
    stop = StopsWhen(case.measuring.check_stop)
    with workers_of(engine, _shared(case, engine, original), stop=stop, on_event=on_event) as workers:
        if engine.is_here:
            yield case.measuring, workers
        else:
            yield Jury(**vars(case.measuring), workers=workers, parts=case.parts), workers


def _shared(case: Case, engine: Engine, original: Classifier) -> Shared[Case]:
    if engine.is_here:
        return Shared.of(case)
    known = sent(original)
    # What asks for a stop is of this process alone; whoever works there is given another one.
    measuring = replace(case.measuring, threads=engine.threads_there, check_stop=_go_on)
    teaching = case.teaching and case.teaching.at(torch.device("cpu"), known.known)
    return Shared(case, _There(Case(case.parts, measuring, teaching), known))


@dataclass(frozen=True, eq=False)
class _There:
    """What makes the case again. The original is loaded first: edited copies of it consist of its classes."""

    case: Case
    original: SentClassifier

    def __call__(self, device: str) -> Case:
        place = torch.device(device)
        original = self.original.here().to(place)
        teaching = self.case.teaching and self.case.teaching.at(place, original)
        return Case(self.case.parts, replace(self.case.measuring, device=place), teaching)


def _answers(
    case: Case, channel: Channel, *, candidate: SentClassifier, part: int, n_images: int
) -> Response:
    images, measuring = case.parts[part], case.measuring
    shown = images if n_images == len(images) else images.take(torch.arange(n_images))
    classifier = candidate.here().to(measuring.device)
    return replace(measuring, check_stop=channel.check_stop).response(classifier, shown)


def _go_on() -> None: ...

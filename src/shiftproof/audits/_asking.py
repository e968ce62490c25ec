"""A question with the probe that is open for it, in this process or in a worker that was sent it."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from shiftproof.adapters import SentClassifier, Task, sent
from shiftproof.audits._question import AuditOptions, AuditQuestion
from shiftproof.data import Decoders, Images, read_ahead
from shiftproof.engine import HERE, Engine, Shared
from shiftproof.probe import Probe, probing
from shiftproof.shifts import ShiftProtocol


class Asking:
    """A question, and a probe for one of its parts at a time.

    Args:
        question: What is asked.
        threads: Batches at a time on a CPU; all cores by default.
    """

    def __init__(self, question: AuditQuestion, threads: int | None) -> None:
        self.question = question
        self._threads = threads
        self._decoders = Decoders(question.options.decoders)
        self._stack = ExitStack()
        self._open: tuple[int, Probe] | None = None

    def probe(self, part: int) -> Probe:
        """Of this part of the question, opened where another one was open."""
        if self._open is None or self._open[0] != part:
            self._leave()
            protocol, images = self.question.parts[part]
            options = self.question.options
            opened = probing(
                self.question.classifier,
                read_ahead(images, self._decoders),
                protocol,
                seed=options.seed,
                method=options.method,
                batch_size=options.batch_size,
                device=self.question.device,
                threads=self._threads,
            )
            self._open = part, self._stack.enter_context(opened)
        return self._open[1]

    def close(self) -> None:
        """Put the model back as it was, and let go of what decodes images."""
        self._leave()
        self._decoders.close()

    def _leave(self) -> None:
        self._open = None
        self._stack.close()


def shared_by(asking: Asking, engine: Engine) -> Shared[Asking]:
    """What the shards of an audit share; images are sent as they are, and the model by its reference."""
    if engine.is_here:
        return Shared.of(asking)
    question = asking.question
    there = _There(
        sent(question.classifier),
        question.parts,
        question.options,
        question.n_classes,
        question.task,
        engine.threads_there,
    )
    return Shared(asking, there)


@dataclass(frozen=True, eq=False)
class _There:
    """What makes the question again in another process."""

    model: SentClassifier
    parts: tuple[tuple[ShiftProtocol, Images], ...]
    options: AuditOptions
    n_classes: int
    task: Task
    threads: int | None

    def __call__(self, device: str) -> Asking:
        there = torch.device(device)
        options = replace(self.options, device=device, engine="local", gpus_per_worker=None)
        classifier = self.model.here().to(there)
        return Asking(
            AuditQuestion(classifier, self.parts, options, (there,), HERE, self.n_classes, self.task),
            self.threads,
        )

"""What a user may say about a fix."""

from __future__ import annotations

from dataclasses import dataclass

from shiftproof.adapters import read_steps
from shiftproof.data import AS_USUAL, Reading
from shiftproof.errors import OptionError
from shiftproof.fix._teach import Lesson
from shiftproof.shifts import ShiftProtocol

DEFAULT_PROTOCOL = "box:4,4,8"
CLEAN_MARGIN = 0.005


@dataclass(frozen=True)
class FixOptions:
    """Settings of a fix.

    Args:
        protocol: Which shifts; a name, as in `find_protocol`, or a protocol.
        edits: Only these edits, by name, or with options and layers in brackets, and `+` between those that
            are made together: `max-blur-pool(layer1) + average-logits(radius_px=2)`; all that fit, and the
            promising ones together, by default.
        budget: How many times as long as the original the chosen model may take; None for any.
        clean_margin: By how much less often than the original the chosen model may be right about images
            as they are; one image more is allowed where there are few.
        epochs: Passes of training over the training images; 0 for none.
        unlabelled: Train without labels also where there are some.
        learning_rate, batch_size, consistency, decoders: As in `Lesson`.
        limit: Use so many images, drawn at random; and so many to train on, where these are others.
        seed: Source of every random choice.
        confidence: Nominal coverage of the intervals.
        device: auto, cpu, cuda, cuda:N or mps; several with commas between, for a worker on each.
        engine: Where layers are explained, and candidates trained and measured: `local`, `ray` or
            `ray:ADDRESS`. The clock is of this process.
        gpus_per_worker: GPUs of each worker of a cluster.
        threads: Batches at a time on a CPU; all cores by default.
        max_bad: Largest share of files that may be skipped.
        reading: What a source of images cannot say of itself.

    Raises:
        OptionError: A budget below 1, or another number out of its range.
        UnknownNameError: No such edit.
    """

    protocol: str | ShiftProtocol = DEFAULT_PROTOCOL
    edits: tuple[str, ...] | None = None
    budget: float | None = None
    clean_margin: float = CLEAN_MARGIN
    epochs: int = 0
    unlabelled: bool = False
    learning_rate: float = 1e-3
    batch_size: int = 64
    consistency: float = 0.0
    decoders: int = 0
    limit: int | None = None
    seed: int = 0
    confidence: float = 0.95
    device: str = "auto"
    engine: str = "local"
    gpus_per_worker: float | None = None
    threads: int | None = None
    max_bad: float = 0.01
    reading: Reading = AS_USUAL

    def __post_init__(self) -> None:
        if self.budget is not None and not 1 <= self.budget < float("inf"):
            raise OptionError(
                "a budget of at least 1", self.budget, cause="It is in times of the original's own cost."
            )
        if not 0 <= self.clean_margin <= 1:
            raise OptionError("a clean margin from 0 to 1", self.clean_margin)
        if self.epochs < 0:
            raise OptionError("`epochs` of at least 0", self.epochs)
        if not 0 < self.confidence < 1:
            raise OptionError("a confidence between 0 and 1", self.confidence)
        for name in self.edits or ():
            read_steps(name)
        _ = self.lesson  # Its numbers are checked where it is made.

    @property
    def lesson(self) -> Lesson:
        """How a network is trained, if one is."""
        return Lesson(
            epochs=max(1, self.epochs),
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            consistency=self.consistency,
            decoders=self.decoders,
            seed=self.seed,
        )

"""Training after an edit: with labels, or without, by what the original answers to shifts of an image."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save
from torch import Tensor, nn

from shiftproof._digest import Json, canonical_json, derive_seed
from shiftproof._files import write_atomically
from shiftproof._inputs import UnfitFile
from shiftproof._seal import check_seal, sealed
from shiftproof.adapters import Classifier, explained
from shiftproof.data import UNKNOWN, Images
from shiftproof.edits import averaged
from shiftproof.errors import CheckpointError, DataError, OptionError, TrainingError
from shiftproof.shifts import Border, ShiftProtocol, translate

SECONDS_BETWEEN_REPORTS = 5.0


@dataclass(frozen=True)
class Lesson:
    """How an edited network is trained.

    Args:
        epochs: Passes over the images.
        batch_size: Images a step.
        learning_rate: Highest one; it rises over the first tenth and falls to zero as a cosine.
        weight_decay: Of AdamW.
        consistency: Weight of the divergence between the answers to an image and to its shift; 0 for none.
        radius_px: The original is asked about all whole shifts up to this; without labels.
        workers: Processes that decode images; 0 to decode here.
        seed: Of the order and the shifts.

    Raises:
        OptionError: A number out of its range.
    """

    epochs: int = 1
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    consistency: float = 0.0
    radius_px: int = 1
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2), ("radius_px", 0), ("workers", 0)):
            if getattr(self, name) < least:
                raise OptionError(f"`{name}` of at least {least}", getattr(self, name))
        for name in ("learning_rate", "weight_decay", "consistency"):
            if not 0 <= getattr(self, name) < math.inf:
                raise OptionError(f"a finite `{name}` of at least 0", getattr(self, name))

    def to_dict(self) -> dict[str, Json]:
        """What a recipe says of it."""
        return {name: value for name, value in asdict(self).items() if name != "workers"}


@dataclass(frozen=True)
class LessonProgress:
    """Where a training is.

    Args:
        step: Steps done.
        n_steps: Steps in all.
        loss: Mean of this session so far.
        seconds_left: At this speed.
    """

    step: int
    n_steps: int
    loss: float
    seconds_left: float


class Teaching:
    """Images, what is right for each of them, and how they are shifted: shared by all candidates.

    Args:
        images: To learn from.
        original: Without labels, what it answers to shifts of an image is right.
        labelled: Whether the labels are used.
        protocol: Law and border of the shifts; for a `scene` the border is the edge.
        lesson: How.
        device: Where to compute.

    Raises:
        DataError: Labels are asked for, and fewer than two classes have images.
    """

    def __init__(
        self,
        images: Images,
        original: Classifier,
        labelled: bool,
        protocol: ShiftProtocol,
        lesson: Lesson,
        device: torch.device,
    ) -> None:
        self.images, self.lesson, self.device, self.protocol = images, lesson, device, protocol
        self.original, self.labelled = original, labelled
        n_known = len(set(images.labels[images.labels != UNKNOWN].tolist()))
        if labelled and n_known < 2:
            raise DataError(
                "images of at least two classes to train with labels",
                f"images of {n_known}",
                fix="Train without: --unlabelled.",
            )
        if len(images) < lesson.batch_size:
            raise DataError(f"at least {lesson.batch_size} images to train on", len(images))
        self.targets = images.labels if labelled else self._answers()

    @torch.inference_mode()
    def _answers(self) -> Tensor:
        """Logarithms of the original's probabilities, averaged over shifts: (N, K)."""
        reach = range(-self.lesson.radius_px, self.lesson.radius_px + 1)
        offsets = tuple((dy, dx) for dy in reach for dx in reach)
        parts = [
            averaged(
                self.original, pixels.to(self.device).float() / 255, offsets, "edge", "probabilities"
            ).cpu()
            for pixels in _pixels(
                self.images,
                torch.tensor_split(torch.arange(len(self.images)), -(-len(self.images) // 256)),
                0,
            )
        ]
        return torch.cat(parts)

    @property
    def steps_per_epoch(self) -> int:
        """The last images of an epoch that fill no batch are left out; every epoch leaves out others."""
        return len(self.images) // self.lesson.batch_size

    @property
    def n_steps(self) -> int:
        """In all epochs."""
        return self.steps_per_epoch * self.lesson.epochs

    def batches(self, first: int, last: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Images in [0, 1], their shifts, and what is right, for the steps from `first` to before `last`."""
        rows = [self._rows(step) for step in range(first, last)]
        border: Border = "edge" if self.protocol.border == "scene" else self.protocol.border
        decoded = _pixels(self.images, rows, self.lesson.workers)
        for step, row, pixels in zip(range(first, last), rows, decoded, strict=True):
            images = pixels.to(self.device, non_blocking=True).float() / 255
            generator = torch.Generator().manual_seed(derive_seed(self.lesson.seed, "shifts", step))
            offsets = self.protocol.law.draw(len(row), (images.shape[2], images.shape[3]), generator)
            shifted = translate(
                images,
                _one_each(offsets, len(row), generator),
                border=border,
                interpolation=self.protocol.interpolation,
            )
            yield images, shifted, self.targets[row].to(self.device)

    def _rows(self, step: int) -> Tensor:
        """Which images a step is about: int64 (batch_size,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        size = self.lesson.batch_size
        return _order(len(self.images), self.lesson.seed, epoch)[place * size : (place + 1) * size]


@lru_cache(maxsize=2)
def _order(n_images: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(
        n_images, generator=torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
    )


def _one_each(offsets: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """One of the shifts for each image: (N, 2)."""
    which = torch.randint(offsets.shape[-2], (n,), generator=generator)
    return offsets[which] if offsets.ndim == 2 else offsets[torch.arange(n), which]


class _Rows(torch.utils.data.Dataset[Tensor]):
    """Batches of images by their places; decoded where it is asked, also in another process."""

    def __init__(self, images: Images, rows: Sequence[Tensor]) -> None:
        self.images, self.rows = images, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Tensor:
        rows = self.rows[index]
        return self.images.take(rows).pixels(slice(0, len(rows)))


def _pixels(images: Images, rows: Sequence[Tensor], workers: int) -> Iterator[Tensor]:
    """uint8 images of each batch, some batches ahead where there are workers."""
    loader = torch.utils.data.DataLoader(_Rows(images, rows), batch_size=None, num_workers=workers)
    return iter(loader)


class Student:
    """An edited network in training, with its optimiser.

    Args:
        network: Of preprocessed images, in evaluation mode; trained in place.
        teaching: Images, and what is right.

    Source:
        Loshchilov and Hutter 2019, arXiv:1711.05101 (AdamW); Hinton, Vinyals and Dean 2015,
        arXiv:1503.02531 (learning from another network's answers).
    """

    def __init__(self, network: nn.Module, teaching: Teaching) -> None:
        self.network, self.teaching = network, teaching
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        lesson = teaching.lesson
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=lesson.learning_rate, weight_decay=lesson.weight_decay
        )
        self.n_done = 0

    def advance(
        self,
        until: int,
        *,
        checkpoint: Path | None = None,
        on_progress: Callable[[LessonProgress], None] = lambda progress: None,
        check_stop: Callable[[], None] = lambda: None,
    ) -> None:
        """Train up to a step of the lesson.

        Args:
            until: The number of steps done after it.
            checkpoint: File with the full state, written after each epoch and at the end. Where it exists,
                training goes on from it, to the same bytes on a CPU.
            on_progress: Called every few seconds.
            check_stop: Called before each step; may raise `Stopped`. The last checkpoint stays.

        Raises:
            TrainingError: The loss is not finite.
            CheckpointError: The checkpoint belongs to another training, or is damaged.
        """
        if checkpoint is not None and checkpoint.is_file():
            self._restore(checkpoint)
        first, teaching = self.n_done, self.teaching
        total, start, reported = 0.0, time.monotonic(), 0.0
        self.network.train()
        try:
            for batch in teaching.batches(first, until) if first < until else ():
                check_stop()
                total += self._step(*batch)
                done, seconds = self.n_done - first, time.monotonic() - start
                if seconds - reported >= SECONDS_BETWEEN_REPORTS or self.n_done == until:
                    reported, left = seconds, seconds / done * (until - self.n_done)
                    on_progress(LessonProgress(self.n_done, teaching.n_steps, total / done, left))
                is_end = self.n_done % teaching.steps_per_epoch == 0 or self.n_done == until
                if checkpoint is not None and is_end:
                    self._save(checkpoint)
        finally:
            self.network.eval()

    def _step(self, images: Tensor, shifted: Tensor, target: Tensor) -> float:
        """One step; the loss before it."""
        lesson = self.teaching.lesson
        for group in self.optimizer.param_groups:
            group["lr"] = lesson.learning_rate * _warm_cosine(self.n_done, self.teaching.n_steps)
        device = images.device.type
        with (
            _own_randomness(derive_seed(lesson.seed, "step", self.n_done), images.device),
            torch.autocast(device, torch.bfloat16, enabled=device == "cuda"),
            explained("a network that trains"),
        ):
            logits = self._logits(shifted)
            loss = self._loss(logits, target)
            if lesson.consistency:
                still = self._logits(images).detach().log_softmax(1)
                loss = loss + lesson.consistency * _divergence(logits, still)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingError(
                "a finite loss",
                f"{value} at step {self.n_done + 1}",
                cause=f"The learning rate {lesson.learning_rate:g} may be too high.",
                fix="Lower --learning-rate.",
            )
        self.optimizer.step()
        self.n_done += 1
        return value

    def _logits(self, images: Tensor) -> Tensor:
        original = self.teaching.original
        answer = self.network(original.preprocess(images))
        logits: Tensor = answer if isinstance(answer, Tensor) else answer[original.logits]
        return logits.float()

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.teaching.labelled:
            return F.cross_entropy(logits, target, ignore_index=UNKNOWN)
        return _divergence(logits, target)

    def _save(self, path: Path) -> None:
        """Write everything that the rest of the training depends on."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
        content = save({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()})
        write_atomically(path, sealed(content, {"lesson": self._about(), "step": self.n_done}))

    def _restore(self, path: Path) -> None:
        try:
            about = check_seal(path)
        except (UnfitFile, OSError) as error:
            raise CheckpointError(
                f"{path.name} as it was written", error, fix="Delete it to begin anew."
            ) from error
        if about is None or about.get("lesson") != self._about():
            raise CheckpointError(
                f"a checkpoint of this training in {path.name}",
                "one of another",
                cause="Edits, images, labels or settings are other ones.",
                fix="Choose another folder with --out.",
            )
        tensors = load_file(path)
        own = {n.removeprefix("network/"): t for n, t in tensors.items() if n.startswith("network/")}
        self.network.load_state_dict(own)
        for index, parameter in enumerate(self.parameters):
            prefix = f"optimizer/{index}/"
            kept = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            # The counter stays on the CPU, as torch keeps it.
            self.optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in kept.items()
            }
        self.n_done = int(about["step"])

    def _about(self) -> str:
        teaching = self.teaching
        facts = {
            "lesson": teaching.lesson.to_dict(),
            "data": teaching.images.digest,
            "labelled": teaching.labelled,
            "protocol": teaching.protocol.identity(),
            "parameters": [list(p.shape) for p in self.parameters],
        }
        return canonical_json(facts)


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """What a network draws, as for dropout, comes from a seed; torch's own generators are as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def _divergence(logits: Tensor, log_target: Tensor) -> Tensor:
    return F.kl_div(logits.log_softmax(1), log_target, reduction="batchmean", log_target=True)


def _warm_cosine(step: int, n_steps: int) -> float:
    """1 after the first tenth of the steps, then down to 0 as a cosine.

    Example:
        >>> [round(_warm_cosine(step, 10), 2) for step in (0, 1, 5, 9)]
        [1.0, 1.0, 0.59, 0.03]
    """
    warm = max(1, n_steps // 10)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, n_steps - warm)))

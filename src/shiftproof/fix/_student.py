"""A network in training: its steps, its optimiser, and how it goes on where it was."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load, load_file, save
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from shiftproof._digest import canonical_json, derive_seed
from shiftproof._files import write_atomically
from shiftproof._inputs import UnfitFile
from shiftproof._seal import check_seal, sealed
from shiftproof.adapters import explained, is_out_of_memory
from shiftproof.data import UNKNOWN
from shiftproof.errors import CheckpointError, TrainingError
from shiftproof.fix._count import SECONDS_BETWEEN_REPORTS
from shiftproof.fix._teach import Teaching


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
        self._be_at(0)

    def _be_at(self, n_done: int) -> None:
        """After so many steps: the rate is that of the next one."""
        self.n_done = n_done
        rate = partial(_warm_cosine, n_steps=self.teaching.n_steps)
        self.schedule = LambdaLR(self.optimizer, rate, last_epoch=n_done - 1)

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
                    write_atomically(checkpoint, self.state())
        finally:
            self.network.eval()

    def _step(self, images: Tensor, shifted: Tensor, target: Tensor) -> float:
        """One step; the loss before it."""
        lesson = self.teaching.lesson
        device = images.device.type
        self.optimizer.zero_grad()
        with (
            _own_randomness(derive_seed(lesson.seed, "step", self.n_done), images.device),
            _enough_memory(len(images)),
            explained("train the network", but=is_out_of_memory),
        ):
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                logits = self._logits(shifted)
                loss = self._loss(logits, target)
                if lesson.consistency:
                    still = self._logits(images).detach().log_softmax(1)
                    loss = loss + lesson.consistency * _divergence(logits, still)
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
        self.schedule.step()
        self.n_done += 1
        return value

    def _logits(self, images: Tensor) -> Tensor:
        original = self.teaching.original
        answer = self.network(original.preprocess(images))
        logits: Tensor = answer if isinstance(answer, Tensor) else answer[original.logits]
        return self.teaching.logits(logits.float())

    def _loss(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.teaching.labelled:
            return F.cross_entropy(logits, target, ignore_index=UNKNOWN)
        return _divergence(logits, target)

    def state(self) -> bytes:
        """Everything that the rest of the training depends on, as a sealed file."""
        tensors = {f"network/{name}": value for name, value in self.network.state_dict().items()}
        for index, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer/{index}/{name}"] = torch.as_tensor(value)
        content = save({name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()})
        return sealed(content, {"lesson": self._about(), "step": self.n_done})

    def go_on_from(self, state: bytes, n_done: int) -> None:
        """Be where another student of this lesson was after so many steps."""
        self._take(load(state), n_done)

    def _restore(self, path: Path) -> None:
        try:
            about = check_seal(path)
        except (UnfitFile, OSError) as error:
            raise CheckpointError.cannot(
                f"read {path.name} as it was written", error, fix="Delete it to begin anew."
            ) from error
        if about is None or about.get("lesson") != self._about():
            raise CheckpointError(
                f"a checkpoint of this training in {path.name}",
                "one of another",
                cause="Edits, images, labels or settings are other ones.",
                fix="Choose another folder with --out.",
            )
        self._take(load_file(path), int(about["step"]))

    def _take(self, tensors: Mapping[str, Tensor], n_done: int) -> None:
        self.network.load_state_dict(weights_in(tensors))
        for index, parameter in enumerate(self.parameters):
            prefix = f"optimizer/{index}/"
            kept = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            # The counter stays on the CPU, as torch keeps it.
            self.optimizer.state[parameter] = {
                name: value if name == "step" else value.to(parameter.device) for name, value in kept.items()
            }
        self._be_at(n_done)

    def _about(self) -> str:
        teaching = self.teaching
        facts = {
            "lesson": teaching.lesson.identity(),
            "data": teaching.images.digest,
            "labelled": teaching.labelled,
            "protocol": teaching.protocol.identity(),
            "parameters": [list(p.shape) for p in self.parameters],
        }
        return canonical_json(facts)


def weights_in(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the network, by the names that it has for them, in the state of a student."""
    return {name.removeprefix("network/"): t for name, t in tensors.items() if name.startswith("network/")}


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """What a network draws, as for dropout, comes from a seed; torch's own generators are as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _enough_memory(batch_size: int) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError.cannot(
            f"learn from {batch_size} images at a time", "too little memory", fix="Lower --batch-size."
        ) from error


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

"""The training loop: epochs of steps, a checkpoint after each, stop when asked."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from shiftproof._digest import Json, derive_seed
from shiftproof._threads import in_order, worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import OptionError, TrainingError
from shiftproof.shifts import protocols
from shiftproof.train._checkpoint import EpochRecord, TrainingState
from shiftproof.train._layout import is_dense
from shiftproof.train._recipe import INPUT_SCALES, Recipe
from shiftproof.train._steps import EpochBatches, TrainingSteps, make_steps
from shiftproof.zoo import Network

SECONDS_BETWEEN_REPORTS = 0.25
# Images of 28 × 28 px that stay in the cache of a core, as for the probe.
EVALUATION_BATCH = 250


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is, for whoever shows it.

    Args:
        epoch: Epoch under way, 1 for the first.
        epochs: Epochs in all.
        n_images: Images learned from, over all epochs, finished ones of earlier sessions included.
        n_images_total: Images in all epochs together.
        loss: Mean loss of this epoch so far.
        accuracy: Share of right answers in this epoch so far.
        images_per_s: Speed of this session.
        epoch_done: Whether the epoch has just ended.
    """

    epoch: int
    epochs: int
    n_images: int
    n_images_total: int
    loss: float
    accuracy: float
    images_per_s: float
    epoch_done: bool = False

    @property
    def seconds_left(self) -> float:
        """Time to the last epoch at this speed."""
        return (self.n_images_total - self.n_images) / self.images_per_s


def fit(
    network: Network,
    data: LabelledImages,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    pool: Executor | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    check_stop: Callable[[], None] = lambda: None,
) -> list[EpochRecord]:
    """Train a network in place.

    Args:
        network: What to train; left on `device`, in evaluation mode. Parameters that need no gradient
            (`requires_grad=False`) stay as they are.
        data: Training images. With early stopping, a part of them is held out.
        recipe: All settings.
        seed: Source of order, dropout, augmentation and held-out part. On a CPU the same seed gives
            the same bytes, whatever the number of threads and however often it was interrupted.
        device: The CPU by default.
        pool: Workers to share with others on a CPU; all cores by default.
        checkpoint: File with the full state, written after each epoch. Where it exists already,
            training goes on from it.
        on_progress: Called about four times a second and after each epoch.
        check_stop: Called before each step; raises to stop. The last checkpoint stays.

    Returns:
        One record per epoch.

    Raises:
        TrainingError: The loss is not finite; says at which step.
        OptionError: `input_scale` of recipe and network differ, or there is nothing to train, or to train on.
        CheckpointError: `checkpoint` belongs to another training.

    Source:
        Kingma and Ba 2015, arXiv:1412.6980 (Adam).

    Example:
        >>> from shiftproof.data import load_data
        >>> from shiftproof.zoo import build_network
        >>> network = build_network("dense-nn", input_scale=1)
        >>> history = fit(network, load_data("mnist", "train").head(512),
        ...               Recipe(epochs=2, input_scale="unit"))
        >>> history[1].loss < history[0].loss
        True
    """
    if network.input_scale != INPUT_SCALES[recipe.input_scale]:
        raise OptionError(
            f"a network with input scale {INPUT_SCALES[recipe.input_scale]:g}",
            f"{network.input_scale:g}",
            cause=f"The recipe says {recipe.input_scale!r}.",
        )
    device = device or torch.device("cpu")
    training, held_out = _hold_out(data, recipe, seed)
    if not len(training):
        raise OptionError("at least one image to train on", "none")
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    if len(frozen) == len(list(network.parameters())):
        raise OptionError(
            "a parameter to learn",
            "none",
            cause="All layers are frozen.",
            fix="Call requires_grad_() on one.",
        )
    network.to(device).train()
    state = TrainingState(network, _adam(network, recipe, device))
    about: dict[str, Json] = {"recipe": recipe.model_dump(), "seed": seed, "data": data.digest}
    if frozen:
        about["frozen"] = [*frozen]
    if checkpoint is not None and checkpoint.is_file():
        state.load(checkpoint, about)
    augmentation = None if recipe.augmentation == "none" else protocols.get(recipe.augmentation)
    dtype = next(network.parameters()).dtype
    batches = EpochBatches(training, augmentation, seed, device, dtype)
    clock = _Clock(recipe, len(training), len(state.history), on_progress)
    try:
        with nullcontext(pool) if pool is not None else worker_pool() as workers:
            steps = make_steps(network, state.optimizer, batches, pool=workers, seed=seed)
            for epoch in range(len(state.history) + 1, recipe.epochs + 1):
                if _out_of_patience(state.history, recipe):
                    break
                generator = torch.Generator().manual_seed(derive_seed(seed, "order", epoch))
                steps.begin_epoch(epoch, torch.randperm(len(training), generator=generator))
                record = _epoch(steps, epoch, len(training), recipe, clock, check_stop, checkpoint)
                if held_out is not None:
                    record = _judge(state, record, held_out, device, workers)
                state.history.append(record)
                if checkpoint is not None:
                    state.save(checkpoint, about)
                clock.epoch_done(record)
    finally:
        network.eval()
    if state.best:
        network.load_state_dict(state.best)
    return state.history


def _epoch(
    steps: TrainingSteps,
    epoch: int,
    n_images: int,
    recipe: Recipe,
    clock: _Clock,
    check_stop: Callable[[], None],
    checkpoint: Path | None,
) -> EpochRecord:
    """All steps of one epoch."""
    tallies: list[Tensor] = []
    for start in range(0, n_images, recipe.batch_size):
        check_stop()
        stop = min(start + recipe.batch_size, n_images)
        tallies.append(steps.step(start, stop))
        if clock.due():
            _check_finite(tallies, epoch, recipe, checkpoint)
            clock.report(epoch, stop, *_means(tallies, stop))
    _check_finite(tallies, epoch, recipe, checkpoint)
    return EpochRecord(epoch, *_means(tallies, n_images))


def _means(tallies: list[Tensor], n_images: int) -> tuple[float, float]:
    """Mean loss and share of right answers."""
    loss, accuracy = (torch.stack(tallies).cpu().double().sum(0) / n_images).tolist()
    return loss, accuracy


def _adam(network: Network, recipe: Recipe, device: torch.device) -> torch.optim.Adam:
    return torch.optim.Adam(
        network.parameters(),
        lr=recipe.learning_rate,
        eps=recipe.adam_epsilon,
        # Fused steps walk through memory: a parameter with gaps would be updated in the wrong places.
        fused=device.type in ("cpu", "cuda") and all(map(is_dense, network.parameters())),
        capturable=device.type == "cuda",
    )


def _hold_out(
    data: LabelledImages, recipe: Recipe, seed: int
) -> tuple[LabelledImages, LabelledImages | None]:
    if recipe.early_stopping is None:
        return data, None
    return data.split(recipe.early_stopping.held_out, seed=seed)


def _judge(
    state: TrainingState,
    record: EpochRecord,
    held_out: LabelledImages,
    device: torch.device,
    pool: Executor,
) -> EpochRecord:
    """Add what the held-out images say, and keep the weights if they are the best so far."""
    loss, accuracy = _evaluate(state.network, held_out, device, pool)
    if all(loss < (earlier.held_out_loss or 0) for earlier in state.history):
        state.best = {k: v.detach().clone() for k, v in state.network.state_dict().items()}
    return EpochRecord(record.epoch, record.loss, record.accuracy, loss, accuracy)


def _evaluate(
    network: Network, data: LabelledImages, device: torch.device, pool: Executor
) -> tuple[float, float]:
    """Mean loss and share of right answers."""
    dtype = next(network.parameters()).dtype

    @torch.inference_mode()
    def tally(batch: slice) -> Tensor:
        labels = data.labels[batch].to(device)
        loss, logits = network.loss(data.images[batch].to(device).to(dtype).div_(255), labels)
        right = (logits.argmax(1) == labels).sum()
        return torch.stack([loss, right.to(dtype)])

    network.eval()
    starts = range(0, len(data), EVALUATION_BATCH)
    batches = [partial(tally, slice(start, start + EVALUATION_BATCH)) for start in starts]
    tallies = in_order(pool, batches) if device.type == "cpu" else [batch() for batch in batches]
    network.train()
    return _means(tallies, len(data))


def _out_of_patience(history: list[EpochRecord], recipe: Recipe) -> bool:
    if recipe.early_stopping is None or not history:
        return False
    losses = [record.held_out_loss or 0.0 for record in history]
    return len(losses) - 1 - losses.index(min(losses)) >= recipe.early_stopping.patience_epochs


def _check_finite(tallies: list[Tensor], epoch: int, recipe: Recipe, checkpoint: Path | None) -> None:
    losses = torch.stack(tallies)[:, 0]
    bad = (~torch.isfinite(losses)).nonzero()
    if not len(bad):
        return
    step = int(bad[0]) + 1
    kept = checkpoint is not None and checkpoint.is_file()
    raise TrainingError(
        "a finite loss",
        f"{float(losses[step - 1])} at step {step} of epoch {epoch}",
        cause=f"The learning rate {recipe.learning_rate:g} may be too high for this input.",
        fix="Lower --learning-rate."
        + (f" The state after epoch {epoch - 1} is kept in {checkpoint}." if kept else ""),
    )


class _Clock:
    """Decides when progress is due, and computes speed."""

    def __init__(
        self,
        recipe: Recipe,
        n_images: int,
        epochs_before: int,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.recipe = recipe
        self.n_images = n_images
        self.epochs_before = epochs_before
        self.on_progress = on_progress
        self.start = self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last >= SECONDS_BETWEEN_REPORTS

    def report(self, epoch: int, position: int, loss: float, accuracy: float, *, done: bool = False) -> None:
        self.last = time.monotonic()
        seen = (epoch - 1) * self.n_images + position
        here = seen - self.epochs_before * self.n_images
        self.on_progress(
            Progress(
                epoch=epoch,
                epochs=self.recipe.epochs,
                n_images=seen,
                n_images_total=self.recipe.epochs * self.n_images,
                loss=loss,
                accuracy=accuracy,
                images_per_s=here / max(1e-9, self.last - self.start),
                epoch_done=done,
            )
        )

    def epoch_done(self, record: EpochRecord) -> None:
        self.report(record.epoch, self.n_images, record.loss, record.accuracy, done=True)

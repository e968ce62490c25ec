"""Batches of a size that fits, on workers of their own, written into one record."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from shiftproof.adapters import is_out_of_memory, too_little_memory
from shiftproof.data import Images
from shiftproof.probe._outputs import Answers
from shiftproof.probe._views import BatchViews, Views

# Numbers in a batch of images at which small networks stay in the cache of a core.
NUMBERS_PER_BATCH = 200_000
# Few images are still shared between so many cores.
BATCHES_AT_LEAST = 8
BATCH_LIMITS = {"cpu": (8, 250), "cuda": (64, 4096), "mps": (32, 1024)}


class Evaluator(Protocol):
    """A way to get a model's answers to all views of a batch."""

    def evaluate(self, views: BatchViews, labels: Tensor) -> Answers:
        """The answers to n images; labels int64 (n,) or (n, K)."""


def automatic_batch_size(image_shape: Sequence[int], n_images: int, device: torch.device) -> int:
    """Images at a time: enough to be fast, few enough to stay small and to keep several cores busy.

    It does not depend on how many cores there are, so that the last bits of the answers do not either.

    Example:
        >>> automatic_batch_size((1, 28, 28), 10_000, torch.device("cpu"))
        250
        >>> automatic_batch_size((1, 28, 28), 400, torch.device("cpu"))
        50
        >>> automatic_batch_size((3, 224, 224), 10_000, torch.device("cpu"))
        8
    """
    low, high = BATCH_LIMITS.get(device.type, BATCH_LIMITS["cuda"])
    per_batch = NUMBERS_PER_BATCH * (high // BATCH_LIMITS["cpu"][1])
    size = max(low, min(high, per_batch // max(1, int(np.prod(image_shape)))))
    return max(low, min(size, -(-n_images // BATCHES_AT_LEAST))) if device.type == "cpu" else size


@dataclass
class Batches:
    """The batches of one measurement.

    Args:
        evaluators: One for each worker.
        images: The images.
        views: Their views.
        device: Where to compute.
        batch_size: Images at a time; halved for good when memory runs out.
    """

    evaluators: Sequence[Evaluator]
    images: Images
    views: Views
    device: torch.device
    batch_size: int

    def __post_init__(self) -> None:
        self.free: queue.SimpleQueue[Evaluator] = queue.SimpleQueue()
        for evaluator in self.evaluators:
            self.free.put(evaluator)

    def run(
        self,
        rows: slice,
        fill: Callable[[slice, Answers], None],
        *,
        pool: Executor | None,
        check_stop: Callable[[], None],
    ) -> None:
        """Ask about these rows and hand the answers to `fill`, in no particular order."""
        starts = range(rows.start, rows.stop, self.batch_size)
        parts = [slice(start, min(start + self.batch_size, rows.stop)) for start in starts]

        def task(part: slice) -> None:
            check_stop()
            self._ask(part, self.images.pixels(part), fill)

        if pool is None:
            self._one_by_one(parts, fill, check_stop)
            return
        futures = [pool.submit(task, part) for part in parts]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()

    def _one_by_one(
        self,
        parts: Sequence[slice],
        fill: Callable[[slice, Answers], None],
        check_stop: Callable[[], None],
    ) -> None:
        """While the model is busy with a batch, the next one is decoded."""
        with ThreadPoolExecutor(1) as ahead:
            coming = [ahead.submit(self.images.pixels, part) for part in parts[:1]]
            for number, part in enumerate(parts, start=1):
                check_stop()
                pixels = coming.pop().result()
                coming = [ahead.submit(self.images.pixels, after) for after in parts[number : number + 1]]
                self._ask(part, pixels, fill)

    def _ask(self, rows: slice, pixels: Tensor, fill: Callable[[slice, Answers], None]) -> None:
        n_images = rows.stop - rows.start
        if n_images > self.batch_size:
            half = n_images // 2
            middle = rows.start + half
            self._ask(slice(rows.start, middle), pixels[:half], fill)
            self._ask(slice(middle, rows.stop), pixels[half:], fill)
            return
        evaluator = self.free.get()
        try:
            fill(rows, self._answers(evaluator, rows, pixels))
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if n_images == 1:
                raise too_little_memory() from error
            self.batch_size = min(self.batch_size, n_images // 2)
        finally:
            self.free.put(evaluator)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self._ask(rows, pixels, fill)

    @torch.inference_mode()
    def _answers(self, evaluator: Evaluator, rows: slice, pixels: Tensor) -> Answers:
        images = pixels.to(self.device).float().div_(255)
        labels = self.images.labels[rows].to(self.device)
        return evaluator.evaluate(self.views.batch(images, rows), labels)

"""A model over images × shifts, once → one `Response`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shiftproof._digest import Json
from shiftproof._threads import available_cores, worker_pool
from shiftproof.adapters import (
    Classifier,
    Model,
    Task,
    as_classifier,
    check_outputs,
    evaluating,
    known_task,
    other_outputs,
)
from shiftproof.data import Images
from shiftproof.errors import DataError, ShapeError
from shiftproof.probe._batches import Batches, automatic_batch_size
from shiftproof.probe._method import Method, MethodChoice, choose_method
from shiftproof.probe._neighbours import Gallery, build_gallery, chosen_for_gallery
from shiftproof.probe._outputs import Answers, Reader
from shiftproof.probe._response import Response
from shiftproof.probe._task import told_task
from shiftproof.probe._views import Views
from shiftproof.shifts import ShiftProtocol


def measure_response(
    model: Model | Classifier,
    data: Images,
    protocol: ShiftProtocol,
    *,
    seed: int = 0,
    method: Method = "auto",
    rows: slice | None = None,
    batch_size: int | None = None,
    device: torch.device | None = None,
    threads: int | None = None,
    provenance: Mapping[str, Json] | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Response:
    """Ask a model about every image, unshifted and under each shift of a protocol.

    Args:
        model: Images (N, C, H, W), float32 in [0, 1], to logits (N, K), or to what its task says. A module
            is put in evaluation mode for the measurement and put back after it.
        data: The images.
        protocol: Which shifts, and what comes in from outside.
        seed: Source of the offsets; the same seed gives the same offsets to every model.
        method: `direct` shows the model every view; `dense` shares the work between them, and is
            refused where that is not exact; `auto` takes the cheaper of those that are. With `auto` a model
            that averages over shifts shares the work between these, where that is exact.
        rows: Only these images, with the offsets that they have among all; all by default.
        batch_size: Images at a time; by default by their size, and halved when memory runs out.
        device: Where the model is; the CPU by default.
        threads: Batches at a time on a CPU, each on one thread; all cores by default. A function that
            may not be called by several threads is called by one, with torch's own threads.
        provenance: What to remember of model and data, beside protocol and seed.
        check_stop: Called between batches; may raise `Stopped`.

    Returns:
        One row per image, one column per shift.

    Raises:
        ShapeError: The model does not answer with (N, K), or has fewer classes than the data.
        ModelError: It answers with something else, its task cannot be told, or it needs more memory than
            there is.
        UnknownNameError: No such method.
        OptionError: `dense` where it is not exact, or shifts as large as the image.
        DataError: No images.

    Example:
        >>> from shiftproof.data import load_data
        >>> from shiftproof.shifts import protocols
        >>> from shiftproof.zoo import build_network
        >>> response = measure_response(build_network("cnn1"), load_data("mnist", "test").head(20),
        ...                             protocols.get("article-small"))
        >>> response.n_images, response.n_shifts
        (20, 1)
    """
    with probing(
        model, data, protocol, seed=seed, method=method, batch_size=batch_size, device=device, threads=threads
    ) as probe:
        return probe.measure(rows or slice(None), provenance=provenance or {}, check_stop=check_stop)


@contextmanager
def probing(
    model: Model | Classifier,
    data: Images,
    protocol: ShiftProtocol,
    *,
    seed: int = 0,
    method: Method = "auto",
    batch_size: int | None = None,
    device: torch.device | None = None,
    threads: int | None = None,
) -> Iterator[Probe]:
    """A probe to measure part after part with; the arguments are those of `measure_response`."""
    classifier = as_classifier(model)
    device = device or torch.device("cpu")
    if not len(data):
        raise DataError("at least one image", "none")
    takes = classifier.framing.image_shape
    views = Views.draw(
        protocol, len(data), data.image_shape[1:], seed=seed, window_px=takes[1:] if takes else None
    )
    shown = (data.image_shape[0], *views.size_px)
    if takes is not None and shown != takes:
        raise ShapeError(f"images of shape {takes} for {classifier.name}", shown)
    with ExitStack() as stack:
        stack.enter_context(evaluating(classifier.model))
        choice = choose_method(method, classifier, views, data, device)
        size = batch_size or choice.batch_size or automatic_batch_size(data.image_shape, len(data), device)
        task = known_task(classifier) or told_task(classifier, views, data, device)
        gallery = _gallery(classifier, views, data, device, size, seed) if task.name == "embedding" else None
        reader = Reader(task, classifier.name, gallery)
        n_workers = (threads or available_cores()) if device.type == "cpu" else 1
        evaluators = choice.evaluators(reader, n_workers)
        # One evaluator that threads may not share keeps torch's own threads.
        pool = (
            stack.enter_context(worker_pool(len(evaluators))) if len(evaluators) > 1 or threads == 1 else None
        )
        yield Probe(choice, task, Batches(evaluators, data, views, device, size), pool, seed)


@dataclass(frozen=True, eq=False)
class Probe:
    """A model, images and shifts, ready to be measured.

    Args:
        choice: The method, and why.
        task: What an answer is.
        batches: Images, views and workers.
        pool: Threads for the workers; None to compute here.
        seed: Source of the offsets.
    """

    choice: MethodChoice
    task: Task
    batches: Batches
    pool: Executor | None
    seed: int

    def measure(
        self,
        rows: slice,
        *,
        provenance: Mapping[str, Json] | None = None,
        check_stop: Callable[[], None] = lambda: None,
    ) -> Response:
        """The response of these images; see `measure_response`."""
        images, views = self.batches.images, self.batches.views
        rows = slice(*rows.indices(len(images)))
        filled = _Filled(rows)
        self.batches.run(rows, filled.fill, pool=self.pool, check_stop=check_stop)
        offsets = views.offsets_px if views.shared else views.offsets_px[rows]
        return Response(
            **filled.arrays,
            offsets_px=offsets.numpy(),
            labels=images.labels[rows].numpy(),
            task=self.task,
            provenance={
                **(provenance or {}),
                **views.protocol.identity(),
                "seed": self.seed,
                "method": self.choice.name,
            },
        )


@torch.inference_mode()
def _gallery(
    classifier: Classifier, views: Views, data: Images, device: torch.device, batch_size: int, seed: int
) -> Gallery:
    """Embeddings of a sample of the images as they are, the same sample for every model."""

    def embed(place: Tensor) -> Tensor:
        pixels = data.take(place).pixels(slice(0, len(place)))
        outputs = classifier(views.unshifted(pixels.to(device).float().div_(255)))
        check_outputs(Task("embedding", "vector"), outputs, classifier.name)
        return outputs

    return build_gallery(embed, chosen_for_gallery(len(data), seed), batch_size)


class _Filled:
    """Arrays for the whole record from the start, so that putting parts together needs no second copy."""

    def __init__(self, rows: slice) -> None:
        self.first = rows.start
        self.n_images = rows.stop - rows.start
        self.arrays: dict[str, np.ndarray] = {}

    def fill(self, rows: slice, answers: Answers) -> None:
        here = slice(rows.start - self.first, rows.stop - self.first)
        for name, part in (answers.of_images | answers.of_shifts).items():
            found = part.cpu().numpy()
            array = self.arrays.get(name)
            if array is None:  # several threads may come here at once; the array of one of them stays
                array = self.arrays.setdefault(name, np.empty((self.n_images, *found.shape[1:]), found.dtype))
            if array.shape[1:] != found.shape[1:]:
                raise other_outputs(found.shape[-1], array.shape[-1])
            array[here] = found

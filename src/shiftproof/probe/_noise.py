"""What a model answers to the same image, asked again: the floor under every number about shifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from shiftproof._digest import derive_seed
from shiftproof.adapters import Classifier
from shiftproof.data import Images
from shiftproof.probe._batches import automatic_batch_size
from shiftproof.probe._measure import measure_response
from shiftproof.probe._neighbours import Gallery
from shiftproof.probe._outputs import Reader
from shiftproof.probe._response import Response
from shiftproof.shifts import Offsets, ShiftProtocol

# Columns of the response: in the same batches once more, and in other ones.
REPEATS = ("asked again", "in other batches")
# Of all forwards of a measurement; and how many images that may be.
SHARE_OF_FORWARDS = 0.05
IMAGES_AT_LEAST, IMAGES_AT_MOST = 32, 256


def measure_noise(
    classifier: Classifier,
    data: Images,
    protocol: ShiftProtocol,
    *,
    n_shifts: int,
    seed: int = 0,
    batch_size: int | None = None,
    device: torch.device | None = None,
    threads: int | None = None,
    check_stop: Callable[[], None] = lambda: None,
) -> Response:
    """Ask a model about the same images again, without moving them.

    Args:
        classifier: The model.
        data: The images; some of them are drawn at random.
        protocol: Of the measurement; its border says what a model is shown of an image.
        n_shifts: Of the measurement; a longer one affords more images here.
        seed: Of the draw, and of the order of images in the other batches.
        batch_size: Images at a time, as in the measurement; the other batches have half as many.
        device: Where the model is; the CPU by default.
        threads: Batches at a time on a CPU.
        check_stop: Called between batches; may raise `Stopped`.

    Returns:
        One row per image that was asked about, one column for each of `REPEATS`; the offsets are 0.
    """
    device = device or torch.device("cpu")
    generator = torch.Generator().manual_seed(derive_seed(seed, "noise"))
    affordable = int(SHARE_OF_FORWARDS * len(data) * (1 + n_shifts) / (1 + len(REPEATS)))
    n_images = min(len(data), max(IMAGES_AT_LEAST, min(IMAGES_AT_MOST, affordable)))
    images = data.take(torch.randperm(len(data), generator=generator)[:n_images].sort().values)
    size = batch_size or automatic_batch_size(images.image_shape, n_images, device)
    unmoved = replace(protocol, name="unmoved", law=Offsets(((0.0, 0.0),)))

    def ask(chosen: Images, batch_size: int) -> Response:
        return measure_response(
            classifier, chosen, unmoved, method="direct", batch_size=batch_size, device=device,
            threads=threads, check_stop=check_stop,
        )  # fmt: skip

    order = torch.randperm(n_images, generator=generator)
    first, again = ask(images, size), ask(images, size)
    elsewhere = torch.from_numpy(ask(images.take(order), size // 2 or 2).unshifted_output)[order.argsort()]
    repeated = torch.stack([torch.from_numpy(again.unshifted_output), elsewhere], 1)
    return replace(
        first,
        **_as_shifts(first, repeated, classifier.name),
        offsets_px=np.zeros((len(REPEATS), 2)),
        provenance={"model": classifier.digest, "data": images.digest, "seed": seed},
    )


def _as_shifts(first: Response, repeated: Tensor, name: str) -> dict[str, Any]:
    """What is kept of repeated answers (n, 2, K), as if each of them were a shift."""
    outputs = torch.from_numpy(first.unshifted_output)
    place = torch.arange(len(outputs))
    gallery = Gallery(normalize(outputs, dim=-1), place) if first.task.name == "embedding" else None
    reader = Reader(first.task, name, gallery)
    still = reader.still(outputs, torch.from_numpy(first.labels), place)
    answers = reader.answers(still, [reader.cells(repeated, still)])
    return {name: part.numpy() for name, part in (answers.of_images | answers.of_shifts).items()}

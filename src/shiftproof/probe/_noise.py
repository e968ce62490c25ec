"""What a model answers to the same image, asked again: the floor under every number about shifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof.adapters import Classifier
from shiftproof.data import Images
from shiftproof.probe._batches import automatic_batch_size
from shiftproof.probe._direct import reduced, shown_class
from shiftproof.probe._measure import measure_response
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

    def ask(chosen: Images, batch_size: int) -> Tensor:
        response = measure_response(
            classifier, chosen, unmoved, method="direct", batch_size=batch_size, device=device,
            threads=threads, check_stop=check_stop,
        )  # fmt: skip
        return torch.from_numpy(response.unshifted_logits)

    order = torch.randperm(n_images, generator=generator)
    first, again = ask(images, size), ask(images, size)
    elsewhere = ask(images.take(order), size // 2 or 2)[order.argsort()]
    shown = shown_class(first, images.labels)
    columns = [reduced(logits, first, shown) for logits in (again, elsewhere)]
    predicted, true_prob, drift = (torch.stack(column, 1).numpy() for column in zip(*columns, strict=True))
    return Response(
        predicted=predicted,
        true_prob=true_prob,
        drift=drift,
        offsets_px=np.zeros((len(REPEATS), 2)),
        labels=images.labels.numpy(),
        unshifted_logits=first.numpy(),
        provenance={"model": classifier.digest, "data": images.digest, "seed": seed},
    )

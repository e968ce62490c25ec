"""The direct probe: run any model over images × shifts, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from shiftproof._digest import Json
from shiftproof._threads import in_order, worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import ShapeError
from shiftproof.probe._response import Response
from shiftproof.shifts import ShiftProtocol, translate

BATCH_SIZE = 250


def measure_response(
    model: nn.Module | Callable[[Tensor], Tensor],
    data: LabelledImages,
    protocol: ShiftProtocol,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    pool: Executor | None = None,
    provenance: Mapping[str, Json] | None = None,
) -> Response:
    """Ask a model about every image, unshifted and under each shift of a protocol.

    Args:
        model: Images (N, C, H, W), float32 in [0, 1], to logits (N, K). A module is put in evaluation
            mode for the measurement and put back after it.
        data: The images.
        protocol: Which shifts, and what comes in from outside.
        seed: Source of the offsets; the same seed gives the same offsets to every model.
        device: Where the model is; the CPU by default.
        pool: Workers to share with others on a CPU; all cores by default.
        provenance: What to remember of model and data, beside protocol and seed.

    Returns:
        One row per image, one column per shift.

    Raises:
        ShapeError: The model does not answer with (N, K).

    Example:
        >>> from shiftproof.data import load_data
        >>> from shiftproof.shifts import protocols
        >>> from shiftproof.zoo import build_network
        >>> response = measure_response(build_network("cnn1"), load_data("mnist", "test").head(20),
        ...                             protocols.get("article-small"))
        >>> response.n_images, response.n_shifts
        (20, 1)
    """
    device = device or torch.device("cpu")
    offsets = protocol.draw(len(data), data.size_px, seed=seed)
    batches = [slice(i, i + BATCH_SIZE) for i in range(0, len(data), BATCH_SIZE)]
    answer = partial(_answer_batch, model, data, protocol, offsets, device)
    was_training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        if device.type != "cpu":
            parts = [answer(batch) for batch in batches]
        elif pool is not None:
            parts = in_order(pool, [partial(answer, batch) for batch in batches])
        else:
            with worker_pool() as own_pool:
                parts = in_order(own_pool, [partial(answer, batch) for batch in batches])
    finally:
        if was_training and isinstance(model, nn.Module):
            model.train()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Response(
        **columns,
        offsets_px=offsets.numpy(),
        labels=data.labels.numpy(),
        provenance={
            **(provenance or {}),
            "protocol": protocol.name,
            "law": repr(protocol.law),
            "border": protocol.border,
            "interpolation": protocol.interpolation,
            "seed": seed,
        },
    )


@torch.inference_mode()
def _answer_batch(
    model: Callable[[Tensor], Tensor],
    data: LabelledImages,
    protocol: ShiftProtocol,
    offsets_px: Tensor,
    device: torch.device,
    batch: slice,
) -> dict[str, np.ndarray]:
    """All shifts of one batch of images, so that memory does not grow with the number of images."""
    images = data.images[batch].to(device).float().div_(255)
    labels = data.labels[batch].to(device)
    n_classes = len(data.class_names)
    unshifted = _logits(model, images, n_classes)
    per_image = offsets_px.ndim == 3
    columns: list[tuple[Tensor, Tensor, Tensor]] = []
    for shift in range(offsets_px.shape[-2]):
        offset = offsets_px[batch, shift] if per_image else offsets_px[shift]
        logits = unshifted
        if bool(offset.any()):
            moved = translate(images, offset, border=protocol.border, interpolation=protocol.interpolation)
            logits = _logits(model, moved, n_classes)
        columns.append((logits.argmax(1), _true_prob(logits, labels), _drift(logits, unshifted)))
    predicted, true_prob, drift = (torch.stack(column, 1) for column in zip(*columns, strict=True))
    return {
        "predicted": predicted.cpu().numpy(),
        "true_prob": true_prob.cpu().numpy(),
        "drift": drift.cpu().numpy(),
        "unshifted_predicted": unshifted.argmax(1).cpu().numpy(),
        "unshifted_true_prob": _true_prob(unshifted, labels).cpu().numpy(),
    }


def _logits(model: Callable[[Tensor], Tensor], images: Tensor, n_classes: int) -> Tensor:
    logits = model(images)
    n = len(images)
    if logits.ndim != 2 or len(logits) != n or logits.shape[1] < n_classes:
        raise ShapeError(
            f"the model to answer {n} images with logits of shape ({n}, K), K of at least {n_classes}",
            tuple(logits.shape),
            cause=f"The data have {n_classes} classes.",
        )
    return logits.float()


def _drift(logits: Tensor, unshifted: Tensor) -> Tensor:
    change = (logits - unshifted).norm(dim=1)
    # A network that answers zeros to everything has not drifted.
    return torch.where(change == 0, 0.0, change / unshifted.norm(dim=1))


def _true_prob(logits: Tensor, labels: Tensor) -> Tensor:
    return logits.softmax(1).gather(1, labels[:, None])[:, 0]

"""Responses made by hand, and responses that a simulated network gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from shiftproof.probe import Response


def build_response(
    predicted: Sequence[Sequence[int]],
    labels: Sequence[int],
    unshifted: Sequence[int],
    *,
    offsets_px: Sequence[object] | None = None,
    true_prob: Sequence[Sequence[float]] | None = None,
    drift: Sequence[Sequence[float]] | None = None,
    logits: Sequence[Sequence[float]] | None = None,
) -> Response:
    """By hand. Offsets are (1, 1), (2, 2), … by default; logits are 1 for the unshifted answer, else 0."""
    array = np.array(predicted, np.int32).reshape(len(labels), len(predicted[0]) if predicted else 0)
    n, s = array.shape
    return Response(
        predicted=array,
        true_prob=np.zeros((n, s), np.float32) if true_prob is None else np.array(true_prob, np.float32),
        drift=np.zeros((n, s), np.float32) if drift is None else np.array(drift, np.float32),
        offsets_px=np.array([(i, i) for i in range(1, s + 1)] if offsets_px is None else offsets_px, float),
        labels=np.array(labels, np.int64),
        unshifted_output=np.eye(5, dtype=np.float32)[np.array(unshifted, int)]
        if logits is None
        else np.array(logits, np.float32),
        provenance={},
    )


def simulate_response(
    seed: int,
    n_images: int = 30,
    n_shifts: int = 6,
    n_classes: int = 4,
    *,
    skill: float = 1.0,
    tremor: float = 1.0,
    labelled: float = 1.0,
    per_image: bool = False,
) -> Response:
    """A network whose logits are `skill` for the true class plus noise, and move by `tremor` with a shift."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, n_classes, n_images)
    unshifted = (skill * np.eye(n_classes)[labels] + generator.normal(size=(n_images, n_classes))).astype("f")
    shape = (n_images, n_shifts, 2) if per_image else (n_shifts, 2)
    offsets = generator.integers(-3, 4, shape).astype(float)
    noise = tremor * generator.normal(size=(n_images, n_shifts, n_classes))
    stays = (offsets == 0).all(-1)
    logits = (unshifted[:, None] + noise * ~(stays if per_image else stays[None])[..., None]).astype("f")
    labels[generator.random(n_images) >= labelled] = -1
    shown = np.where(labels >= 0, labels, unshifted.argmax(1))
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    true_prob = powers[np.arange(n_images), :, shown] / powers.sum(-1)
    change = np.linalg.norm(logits - unshifted[:, None], axis=-1)
    return Response(
        predicted=logits.argmax(-1).astype(np.int32),
        true_prob=true_prob.astype(np.float32),
        drift=(change / np.linalg.norm(unshifted, axis=1)[:, None]).astype(np.float32),
        offsets_px=offsets,
        labels=labels,
        unshifted_output=unshifted,
        provenance={"data": "simulated", "seed": seed},
    )


@pytest.fixture(scope="session")
def build() -> Callable[..., Response]:
    return build_response


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Response]:
    return simulate_response

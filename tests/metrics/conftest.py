"""Responses made by hand, and responses that a simulated network gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from shiftproof._tasks import TaskName
from shiftproof.adapters import Task
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
    task: TaskName = "single-label",
) -> Response:
    """A network whose logits are `skill` for the true class plus noise, and move by `tremor` with a shift."""
    if task != "single-label":
        kinds = {"binary": simulate_binary, "multi-label": simulate_labels, "embedding": simulate_vectors}
        return kinds[task](seed, n_images, n_shifts, n_classes, skill, tremor, labelled, per_image)
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


Floats = npt.NDArray[np.floating[Any]]


def simulate_outputs(
    seed: int, truth: Floats, n_shifts: int, skill: float, tremor: float, per_image: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    """Outputs that are `skill` × truth plus noise: unshifted (N, K), shifted (N, S, K), and offsets."""
    generator = np.random.default_rng([seed, 1])
    unshifted = (skill * truth + generator.normal(size=truth.shape)).astype("f")
    offsets = generator.integers(-3, 4, (*truth.shape[:1], n_shifts, 2)[0 if per_image else 1 :]).astype(
        float
    )
    noise = tremor * generator.normal(size=(len(truth), n_shifts, truth.shape[1]))
    moves = (offsets != 0).any(-1)
    outputs = unshifted[:, None] + noise * (moves if per_image else moves[None])[..., None]
    return unshifted, outputs.astype("f"), offsets


def drift_of(unshifted: npt.NDArray[np.float32], outputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    change = np.linalg.norm(outputs - unshifted[:, None], axis=-1)
    drift: npt.NDArray[np.float32] = (change / np.linalg.norm(unshifted, axis=1)[:, None]).astype(np.float32)
    return drift


def simulate_binary(
    seed: int, n: int, s: int, k: int, skill: float, tremor: float, labelled: float, per_image: bool
) -> Response:
    """One logit; positive for class 1."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    unshifted, outputs, offsets = simulate_outputs(
        seed, 2.0 * labels[:, None] - 1, s, skill, tremor, per_image
    )
    labels[generator.random(n) >= labelled] = -1
    shown = np.where(labels >= 0, labels, unshifted[:, 0] > 0)
    positive = 1 / (1 + np.exp(-outputs[..., 0]))
    return Response(
        predicted=(outputs[..., 0] > 0).astype(np.int32),
        true_prob=np.where(shown[:, None] == 1, positive, 1 - positive).astype(np.float32),
        drift=drift_of(unshifted, outputs),
        offsets_px=offsets,
        labels=labels,
        unshifted_output=unshifted,
        provenance={"data": "simulated", "seed": seed},
        task=Task("binary", "logits", 0.5),
    )


def simulate_labels(
    seed: int, n: int, s: int, k: int, skill: float, tremor: float, labelled: float, per_image: bool
) -> Response:
    """One logit for each of k labels; where any label is unknown, all of them are."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((n, k)) < 0.4).astype(np.int64)
    unshifted, outputs, offsets = simulate_outputs(seed, 2.0 * labels - 1, s, skill, tremor, per_image)
    return Response(
        predicted=((outputs > 0) * 2 ** np.arange(k)).sum(-1),
        label_output=outputs.astype(np.float32),
        true_prob=np.empty((n, 0), np.float32),
        drift=drift_of(unshifted, outputs),
        offsets_px=offsets,
        labels=labels if labelled == 1 else np.full(n, -1),
        unshifted_output=unshifted,
        provenance={"data": "simulated", "seed": seed},
        task=Task("multi-label", "logits", 0.5),
    )


def simulate_vectors(
    seed: int, n: int, s: int, k: int, skill: float, tremor: float, labelled: float, per_image: bool
) -> Response:
    """Vectors of k + 4 numbers that belong to k classes; all images are the gallery."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, k, n)
    unshifted, outputs, offsets = simulate_outputs(seed, np.eye(k + 4)[labels], s, skill, tremor, per_image)
    labels[generator.random(n) >= labelled] = -1
    length = np.linalg.norm(unshifted, axis=-1), np.linalg.norm(outputs, axis=-1)
    directions = unshifted / length[0][:, None]
    near = (outputs / length[1][..., None]) @ directions.T
    near[np.arange(n), :, np.arange(n)] = -2
    still = directions @ directions.T - 3 * np.eye(n)
    n_near = max(1, min(10, (n - 1) // 2))
    neighbours = (-near).argsort(-1, kind="stable")[..., :n_near].astype(np.int32)
    return Response(
        predicted=neighbours[..., 0],
        cosine=np.clip((outputs * unshifted[:, None]).sum(-1) / length[0][:, None] / length[1], -1, 1).astype(
            np.float32
        ),
        neighbours=neighbours,
        unshifted_neighbours=(-still).argsort(-1, kind="stable")[:, :n_near].astype(np.int32),
        true_prob=np.empty((n, 0), np.float32),
        drift=drift_of(unshifted, outputs),
        offsets_px=offsets,
        labels=labels,
        unshifted_output=unshifted,
        provenance={"data": "simulated", "seed": seed},
        task=Task("embedding", "vector"),
    )


@pytest.fixture(scope="session")
def build() -> Callable[..., Response]:
    return build_response


@pytest.fixture(scope="session")
def simulate() -> Callable[..., Response]:
    return simulate_response

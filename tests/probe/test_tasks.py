"""Every kind of answer through the probe, against a loop over single images."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier, as_classifier, number_of_set, with_task
from shiftproof.data import LabelledImages
from shiftproof.errors import DataError, ModelError, ShapeError
from shiftproof.probe import Response, measure_noise, measure_response
from shiftproof.shifts import find_protocol, translate

SHIFTS = find_protocol("grid:1")


def network(n_outputs: int, *more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12 * 12, n_outputs)]
    return nn.Sequential(*layers, nn.BatchNorm1d(n_outputs, affine=False), *more).eval()


def images(n: int = 20, labels: Tensor | None = None) -> LabelledImages:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, 1, 28, 28), generator=generator, dtype=torch.uint8)
    unknown = torch.full((n,), -1)
    n_names = 0 if labels is None else labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1
    return LabelledImages("x", pixels, unknown if labels is None else labels, tuple(map(str, range(n_names))))


def outputs_of(model: nn.Module, data: LabelledImages) -> tuple[Tensor, Tensor]:
    """Unshifted (N, K) and shifted (N, S, K) outputs, one image at a time."""
    offsets = SHIFTS.draw(len(data), (28, 28), seed=0)
    rows = []
    with torch.inference_mode():
        for image in data.images[:, None].float() / 255:
            moved = [translate(image, offset, border="zeros") for offset in offsets]
            rows.append(torch.cat([model(image), *(model(one) for one in moved)]))
    found = torch.stack(rows)
    return found[:, 0], found[:, 1:]


@pytest.mark.parametrize("threshold", [0.5, 0.49])
@pytest.mark.parametrize("squashed", [False, True])
def test_binary(squashed: bool, threshold: float) -> None:
    model = network(1, *[nn.Sigmoid()] * squashed)
    data = images(20, torch.arange(20) % 2)
    classifier = with_task(as_classifier(model), threshold=threshold)
    response = measure_response(classifier, data, SHIFTS)
    unshifted, shifted = outputs_of(model, data)
    positive = shifted[..., 0] if squashed else shifted[..., 0].sigmoid()
    assert (response.task.name, response.n_classes) == ("binary", 2)
    assert response.task.outputs == ("probabilities" if squashed else "logits")
    assert response.predicted.tolist() == (positive > threshold).int().tolist()
    labels = data.labels[:, None]
    expected = torch.where(labels == 1, positive, 1 - positive)
    np.testing.assert_allclose(response.true_prob, expected, atol=1e-5)
    np.testing.assert_allclose(response.unshifted_output, unshifted, atol=1e-5)
    assert 0 < response.predicted.mean() < 1, "both answers occur"


def test_a_softmax_inside_is_not_applied_twice() -> None:
    data = images(20, torch.arange(20) % 3)
    once = measure_response(network(3), data, SHIFTS)
    inside = measure_response(network(3, nn.Softmax(1)), data, SHIFTS)
    assert (once.task.outputs, inside.task.outputs) == ("logits", "probabilities")
    np.testing.assert_allclose(inside.true_prob, once.true_prob, atol=1e-5)
    assert inside.predicted.tolist() == once.predicted.tolist()
    assert inside.unshifted_true_prob == pytest.approx(once.unshifted_true_prob, abs=1e-5)


@pytest.mark.parametrize("n_labels", [4, 70])
def test_several_labels(n_labels: int) -> None:
    model = network(n_labels)
    labels = (torch.arange(20)[:, None] % torch.arange(2, 2 + n_labels) == 0).long()
    data = images(20, labels)
    response = measure_response(model, data, SHIFTS)
    unshifted, shifted = outputs_of(model, data)
    assert response.task.name == "multi-label"
    assert response.label_output is not None
    np.testing.assert_allclose(response.label_output, shifted, atol=1e-5)
    assert np.array_equal(response.predicted, number_of_set(torch.from_numpy(response.label_output) > 0))
    assert np.array_equal(response.labels, labels)
    same = (response.label_output > 0) == (unshifted.sigmoid() > 0.5).numpy()[:, None]
    agrees = response.predicted == response.unshifted_predicted[:, None]
    assert agrees.tolist() == same.all(-1).tolist()
    assert agrees.any()
    predicted, before, right = response.small_numbers
    assert ((predicted == before[:, None]) == agrees).all()
    assert ((before == right) == ((unshifted.sigmoid() > 0.5) == (labels == 1)).all(1).numpy()).all()


def test_embeddings() -> None:
    model = network(16)
    data = images(30)
    classifier = with_task(as_classifier(model), task="embedding")
    response = measure_response(classifier, data, SHIFTS)
    unshifted, shifted = (found.double().numpy() for found in outputs_of(model, data))
    directions = unshifted / np.linalg.norm(unshifted, axis=1, keepdims=True)
    turned = shifted / np.linalg.norm(shifted, axis=-1, keepdims=True)
    assert response.cosine is not None
    assert response.neighbours is not None
    np.testing.assert_allclose(response.cosine, (turned * directions[:, None]).sum(-1), atol=1e-5)
    for i in range(30):
        others = [j for j in range(30) if j != i]
        near = np.array(others)[(-turned[i] @ directions[others].T).argsort(1)[:, :10]]
        assert response.neighbours[i].tolist() == near.tolist()
        assert response.predicted[i].tolist() == near[:, 0].tolist()
        still = np.array(others)[(-directions[others] @ directions[i]).argsort()[0]]
        assert response.unshifted_predicted[i] == still


def test_the_gallery_is_a_fixed_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours are places in the whole set, whatever part of it is measured, and never the image itself."""
    monkeypatch.setattr("shiftproof.probe._neighbours.GALLERY_AT_MOST", 12)
    classifier = with_task(as_classifier(network(8)), task="embedding")
    data = images(40)
    whole = measure_response(classifier, data, SHIFTS, seed=3)
    part = measure_response(classifier, data, SHIFTS, seed=3, rows=slice(25, 40), batch_size=4)
    assert whole.neighbours is not None
    assert part.neighbours is not None
    assert np.array_equal(part.neighbours, whole.neighbours[25:])
    assert len(np.unique(whole.neighbours)) <= 12
    assert whole.neighbours.shape[-1] == 5
    assert (whole.neighbours != np.arange(40)[:, None, None]).all()
    shards = [
        measure_response(classifier, data, SHIFTS, seed=3, rows=slice(*ends)) for ends in ((0, 25), (25, 40))
    ]
    assert np.array_equal(Response.concatenate(shards).predicted, whole.predicted)


MODELS: dict[str, Classifier] = {
    "single-label": as_classifier(network(3)),
    "binary": as_classifier(network(1)),
    "multi-label": with_task(as_classifier(network(5)), task="multi-label", threshold=0.4),
    "embedding": with_task(as_classifier(network(6)), task="embedding"),
}
BY_TASK = pytest.mark.parametrize("task", MODELS)


@BY_TASK
def test_dense_and_direct_say_the_same(task: str) -> None:
    first, second = (
        measure_response(MODELS[task], images(), SHIFTS, method=method) for method in ("dense", "direct")
    )
    assert (first.provenance["method"], second.provenance["method"]) == ("dense", "direct")
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=2e-5)


@BY_TASK
def test_batches_and_threads_change_nothing(task: str) -> None:
    first = measure_response(MODELS[task], images(), SHIFTS, batch_size=3, threads=2)
    second = measure_response(MODELS[task], images(), SHIFTS, batch_size=20, threads=1)
    assert np.array_equal(first.predicted, second.predicted)
    np.testing.assert_allclose(first.drift, second.drift, atol=1e-5)


@BY_TASK
def test_saved_and_merged(task: str, tmp_path: Path) -> None:
    response = measure_response(MODELS[task], images(), SHIFTS)
    paths = []
    for place, ends in enumerate(((0, 12), (12, 20))):
        paths.append(tmp_path / f"{place}.safetensors")
        measure_response(MODELS[task], images(), SHIFTS, rows=slice(*ends)).save(paths[-1])
    merged = Response.concatenate(paths)
    assert merged.task == response.task
    for field in dataclasses.fields(response):
        one, other = getattr(merged, field.name), getattr(response, field.name)
        if isinstance(other, np.ndarray):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, atol=1e-5)


@BY_TASK
def test_no_noise_in_a_steady_model(task: str) -> None:
    noise = measure_noise(MODELS[task], images(), SHIFTS, n_shifts=9)
    assert noise.task.name == task
    assert (noise.predicted == noise.unshifted_predicted[:, None]).all()
    assert noise.drift.max() < 1e-5


def test_a_file_with_numbers_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    labels = measure_response(MODELS["multi-label"], images(), SHIFTS)
    assert labels.label_output is not None
    dataclasses.replace(labels, label_output=labels.label_output * np.float32("nan")).save(path)
    with pytest.raises(DataError, match=r"`label_output` in r\.safetensors"):
        Response.load(path)
    vectors = measure_response(MODELS["embedding"], images(), SHIFTS)
    assert vectors.cosine is not None
    dataclasses.replace(vectors, cosine=vectors.cosine * np.float32("nan")).save(path)
    with pytest.raises(DataError, match=r"`cosine` in r\.safetensors"):
        Response.load(path)
    with pytest.raises(ShapeError, match="`cosine` in a response of the task embedding, got none"):
        dataclasses.replace(vectors, cosine=None)
    with pytest.raises(ShapeError, match=r"`labels` of shape \(20,\) or \(20, 5\), got \(20, 4\)"):
        dataclasses.replace(labels, labels=np.zeros((20, 4), np.int64))


def test_too_few_images_for_neighbours() -> None:
    with pytest.raises(DataError, match="at least 3 images for embeddings, got 2"):
        measure_response(MODELS["embedding"], images(2), SHIFTS)


def test_an_embedding_that_vanishes_under_a_shift() -> None:
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0, 0, :3]

    lit = torch.full((5, 1, 28, 28), 255, dtype=torch.uint8)
    data = LabelledImages("x", lit, torch.full((5,), -1), ())
    with pytest.raises(ModelError, match="embeddings with a direction as the answer of Corner"):
        measure_response(with_task(as_classifier(Corner()), task="embedding"), data, SHIFTS)


def test_labels_beyond_one_logit() -> None:
    with pytest.raises(ShapeError, match=r"at least 10 logits.*got 1\. One number for each image tells two"):
        measure_response(MODELS["binary"], images(20, torch.arange(20) % 10), SHIFTS)

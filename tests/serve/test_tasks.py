"""Answers that are not one class: sets of labels, and the nearest image, on the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from tests.serve.conftest import ADDRESS, TOKEN, guarded
from tests.serve.test_app import plane, png
from torch import Tensor, nn

from shiftproof.adapters import Classifier, Framing
from shiftproof.article import letter_image
from shiftproof.data import LabelledImages, load_data
from shiftproof.errors import DataError, ShapeError
from shiftproof.serve import Exhibit, demo, exhibit
from shiftproof.serve._worker import Worker

PX, RADIUS = 8, 2
NAMES = ("top", "left", "bright")


class Labels(nn.Module):
    """Whether there is something at the top, at the left, and much of it: three logits."""

    def forward(self, images: Tensor) -> Tensor:
        parts = (images[:, 0, :3].mean((1, 2)), images[:, 0, :, :3].mean((1, 2)), images.mean((1, 2, 3)))
        return 20 * torch.stack(parts, 1) - 4


class Profile(nn.Module):
    """The sums of the rows: a vector."""

    def forward(self, images: Tensor) -> Tensor:
        return images.sum((1, 3)) + 0.01


def blobs() -> LabelledImages:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 1, PX, PX), dtype=np.uint8))
    images[:, :, :2] //= 8
    labels = torch.tensor([[k & 1, k >> 1 & 1, k >> 2 & 1] for k in range(9)])
    return LabelledImages("blobs", images, labels, NAMES)


def shown(model: nn.Module, task: Any, **more: Any) -> Any:
    found = Classifier("model", model, framing=Framing((1, PX, PX)), task=task, **more)
    return exhibit([found], blobs(), radius_px=RADIUS)


@pytest.fixture
def labels() -> Iterator[Exhibit]:
    with shown(Labels(), "multi-label", outputs="logits", threshold=0.6) as found:
        yield found


@pytest.fixture
def vectors() -> Iterator[Exhibit]:
    with shown(Profile(), "embedding") as found:
        yield found


def client_of(found: Exhibit, worker: Worker) -> TestClient:
    return TestClient(guarded(found, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS})


def moved(image: Any, dy: int, dx: int) -> Any:
    """By NumPy alone, black from outside."""
    canvas = np.zeros((PX + 2 * RADIUS, PX + 2 * RADIUS))
    canvas[RADIUS + dy : RADIUS + dy + PX, RADIUS + dx : RADIUS + dx + PX] = image
    return canvas[RADIUS : RADIUS + PX, RADIUS : RADIUS + PX]


def offsets() -> Iterator[tuple[int, int, int]]:
    for place in range((2 * RADIUS + 1) ** 2):
        yield place, place // (2 * RADIUS + 1) - RADIUS, place % (2 * RADIUS + 1) - RADIUS


def test_a_set_of_labels_is_told_with_what_it_shares(labels: Exhibit, worker: Worker) -> None:
    image = blobs().images[3, 0].numpy() / 255

    def probabilities(view: Any) -> Any:
        logits = 20 * np.array([view[:3].mean(), view[:, :3].mean(), view.mean()]) - 4
        return 1 / (1 + np.exp(-logits))

    before = set(np.flatnonzero(probabilities(image) > 0.6))
    cells, lines = plane(client_of(labels, worker), image="3")
    assert not any(line["failure"] for line in lines)
    sizes = set()
    for place, dy, dx in offsets():
        chances = probabilities(moved(image, dy, dx))
        there = set(np.flatnonzero(chances > 0.6))
        answer = cells[place]
        assert answer["key"] == str(sum(1 << int(k) for k in there))
        assert answer["n"] == len(there)
        assert set(answer["ranked"][: 2 * len(there) : 2]) == there
        assert dict(zip(answer["ranked"][::2], answer["ranked"][1::2], strict=True)) == pytest.approx(
            dict(enumerate(chances)), abs=2e-5
        )
        assert answer["alike"] == pytest.approx(len(there & before) / len(there | before), abs=1e-5)
        sizes.add(len(there))
    assert len(sizes) > 1, "there is something to see"


def test_the_nearest_image_is_told_with_its_cosine(vectors: Exhibit, worker: Worker) -> None:
    every = blobs().images[:, 0].numpy() / 255
    gallery = every.sum(2) + 0.01
    cells, _ = plane(client_of(vectors, worker), image="4")
    for place, dy, dx in offsets():
        vector = moved(every[4], dy, dx).sum(1) + 0.01
        cosines = gallery @ vector / np.linalg.norm(gallery, axis=1) / np.linalg.norm(vector)
        itself, cosines[4] = cosines[4], -2
        answer = cells[place]
        assert answer["ranked"][::2] == np.argsort(-cosines)[:5].tolist()
        assert answer["ranked"][1::2] == pytest.approx(np.sort(cosines)[::-1][:5], abs=2e-5)
        assert answer["key"] == str(cosines.argmax())
        assert answer["alike"] == pytest.approx(itself, abs=2e-5)
    assert len({answer["key"] for answer in cells.values()}) > 1


def test_between_pixels_it_is_compared_too(vectors: Exhibit, labels: Exhibit, worker: Worker) -> None:
    for found in (vectors, labels):
        client = client_of(found, worker)
        asked = {"model": 0, "image": "4", "dy": 0, "dx": 0}
        answer = client.post("shift", json=asked).json()["answer"]
        assert answer["alike"] == 1
        assert client.post("shift", json={**asked, "dx": 0.5}).json()["answer"]["alike"] <= 1


def test_an_image_of_ones_own_may_be_next_to_itself(vectors: Exhibit, worker: Worker) -> None:
    client = client_of(vectors, worker)
    key = client.post("image", content=png(blobs().images[6, 0].numpy())).json()["key"]
    cells, _ = plane(client, image=key)
    assert cells[(2 * RADIUS + 1) ** 2 // 2]["ranked"][:2] == [6, 1]


def test_names_of_labels_and_of_images(vectors: Exhibit, labels: Exhibit, worker: Worker) -> None:
    start = client_of(vectors, worker).get("start").json()["models"][0]
    assert (start["task"], start["answer"]) == ("embedding", "nearest neighbour")
    assert start["classes"] == [f"blobs[{k}]" for k in range(9)]
    client = client_of(labels, worker)
    assert client.get("start").json()["models"][0]["classes"] == list(NAMES)
    assert client.get("image/3").json()["label"] == "top, left"
    assert client.get("image/8").json()["label"] == ""


def test_an_embedding_needs_others_beside_it() -> None:
    few = load_data("mnist", "test").head(2)
    model = Classifier("vector", Profile(), framing=Framing((1, 28, 28)), task="embedding")
    with pytest.raises(DataError, match="at least 3 images"), exhibit([model], few):
        pass


def test_the_example_is_an_image_too(client: TestClient, vectors: Exhibit, worker: Worker) -> None:
    assert client.get("start").json()["example"] == ""
    assert client.get("image/example").status_code == 400
    letter = letter_image((1, PX, 28))
    assert letter is None
    letter = letter_image((1, 28, 28))
    with demo(radius_px=RADIUS, example=letter) as found:
        shown_too = client_of(found, worker)
        assert shown_too.get("start").json()["example"] == "the letter C"
        facts = shown_too.get("image/example").json()
        assert (facts["name"], facts["label"]) == ("the letter C", "")
        assert len(plane(shown_too, image="example")[0]) == 25
    made = exhibit(vectors.models, blobs(), radius_px=RADIUS, example=letter)
    with pytest.raises(ShapeError, match="an example of shape"), made:
        pass


def test_a_vector_without_a_direction_has_no_answer(vectors: Exhibit, worker: Worker) -> None:
    model = replace(vectors.models[0], model=lambda images: images[:, 0, :, 0])
    images = blobs()
    images.images[:, :, :, 1] = 0
    with exhibit([model], images, radius_px=RADIUS) as found:
        cells, lines = plane(client_of(found, worker), image="0")
    blank = {place for place, _, dx in offsets() if dx > 0 or dx == -1}
    assert {place for place, answer in cells.items() if answer is None} == blank
    assert any("no direction" in line["failure"] for line in lines)

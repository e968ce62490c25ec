"""A server without a network: the guarded app, and a client that knows the address."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

from shiftproof.adapters import Classifier, Framing
from shiftproof.data import LabelledImages, load_data
from shiftproof.serve import Exhibit, demo, exhibit
from shiftproof.serve._answers import Answers
from shiftproof.serve._app import make_app
from shiftproof.serve._guard import Guard
from shiftproof.serve._hosts import hosts_of
from shiftproof.serve._worker import Worker

TOKEN = "the-token"
ADDRESS = "http://127.0.0.1:8765"
SIDE = 5


class FailsDown(nn.Module):
    """Two classes for images of 8 × 8 pixels; it fails for images whose first row is black."""

    def forward(self, images: Tensor) -> Tensor:
        if bool((images[:, :, 0].amax((1, 2)) == 0).any()):
            raise RuntimeError("the first row is <b>black</b>")
        return images.mean((1, 2, 3))[:, None] * torch.tensor([[1.0, -1.0]])


@pytest.fixture(scope="session")
def shown() -> Iterator[Exhibit]:
    """The packaged networks, and a plane of 5 × 5 shifts."""
    with demo(radius_px=SIDE // 2) as found:
        yield found


@pytest.fixture
def fragile() -> Iterator[Exhibit]:
    """A model that fails for some shifts, on one white image."""
    images = LabelledImages("white", torch.full((1, 1, 8, 8), 255).byte(), torch.tensor([0]), ("a", "b"))
    model = Classifier("fragile", FailsDown(), framing=Framing((1, 8, 8)), class_names=("a", "b"))
    with exhibit([model], images, radius_px=2) as found:
        yield found


class Bright(nn.Module):
    """Yes where an image is bright: one logit."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None] * 10 - 4


@pytest.fixture
def binary() -> Iterator[Exhibit]:
    """A model that says yes or no, above a probability of 0.9, of a white image."""
    images = LabelledImages(
        "white", torch.full((1, 1, 8, 8), 255).byte(), torch.tensor([1]), ("dark", "bright")
    )
    model = Classifier("bright", Bright(), framing=Framing((1, 8, 8)), task="binary", threshold=0.9)
    with exhibit([model], images, radius_px=2) as found:
        yield found


def guarded(shown: Exhibit, worker: Worker, *, host: str = "127.0.0.1") -> Guard:
    return Guard(make_app(shown, worker, Answers(shown)), TOKEN, hosts_of(host, 8765))


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


@pytest.fixture
def client(shown: Exhibit, worker: Worker) -> Iterator[TestClient]:
    """A browser that was given the address."""
    with TestClient(guarded(shown, worker), f"{ADDRESS}/{TOKEN}/", headers={"origin": ADDRESS}) as found:
        yield found


@pytest.fixture(scope="session")
def digits() -> LabelledImages:
    return load_data("mnist", "test").head(200)

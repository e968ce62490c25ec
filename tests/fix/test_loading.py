"""Images to learn from that are decoded when they are asked for, here or in other processes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from shiftproof.adapters import as_classifier
from shiftproof.data import Images, Skipped, load_images
from shiftproof.edits import apply_edit
from shiftproof.fix import Lesson, Student, Teaching
from shiftproof.shifts import find_protocol

CPU = torch.device("cpu")
BOX = find_protocol("box:2,2,2")


def small(classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*stem, nn.Flatten(), nn.Linear(4, classes)).eval()


def taught(images: Images, network: nn.Module, *, labelled: bool = True, decoders: int = 0) -> Teaching:
    lesson = Lesson(epochs=2, batch_size=4, decoders=decoders)
    return Teaching(images, as_classifier(network), labelled, BOX, lesson, CPU)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    generator = torch.Generator().manual_seed(0)
    for place in range(16):
        path = root / ("dark" if place % 2 else "light") / f"{place}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = torch.rand(12, 12, 3, generator=generator) * (80 if place % 2 else 255)
        Image.fromarray(pixels.byte().numpy()).save(path)
    return root


@pytest.mark.parametrize("labelled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_decoders_change_no_byte(folder: Path, labelled: bool) -> None:
    images = load_images(str(folder), image_shape=(3, 12, 12))
    here = apply_edit(small(), "max-blur-pool").module
    there = copy.deepcopy(here)
    for network, decoders in ((here, 0), (there, 2)):
        teaching = taught(images, small(), labelled=labelled, decoders=decoders)
        Student(network, teaching).advance(teaching.n_steps)
    for one, two in zip(here.state_dict().values(), there.state_dict().values(), strict=True):
        assert torch.equal(one, two)
    assert not torch.equal(here.state_dict()["0.weight"], small().state_dict()["0.weight"])


@dataclass(frozen=True, eq=False)
class Endless:
    """More images than any memory holds, made when they are asked for; refuses to make many at once."""

    places: Tensor
    name: str = "endless"
    class_names: tuple[str, ...] = ("a", "b")
    image_shape: tuple[int, int, int] = (3, 256, 256)
    digest: str = "endless"
    skipped: tuple[Skipped, ...] = ()
    not_considered: tuple[str, ...] = ()
    note: str = ""

    @property
    def labels(self) -> Tensor:
        return self.places % 2

    @property
    def conversions(self) -> Mapping[str, int]:
        return {}

    def __len__(self) -> int:
        return len(self.places)

    def pixels(self, rows: slice) -> Tensor:
        asked = self.places[rows]
        assert len(asked) <= 4, f"{len(asked)} images at once"
        return (asked[:, None, None, None] % 251).expand(-1, *self.image_shape).to(torch.uint8)

    def name_of(self, index: int) -> str:
        return str(int(self.places[index]))

    def take(self, index: Tensor) -> Endless:
        return replace(self, places=self.places[index])

    def with_labels(self, labels: Tensor, class_names: tuple[str, ...]) -> Endless:
        raise NotImplementedError


@pytest.mark.parametrize("decoders", [0, 1])
def test_images_larger_than_memory_are_seen_a_batch_at_a_time(decoders: int) -> None:
    images = Endless(torch.arange(2**21))  # 400 GB of pixels.
    teaching = taught(images, small(), decoders=decoders)
    assert teaching.n_steps == 2 * 2**19
    seen = list(teaching.batches(5, 9))
    assert [tuple(batch.shape) for batch, _, _ in seen] == [(4, 3, 256, 256)] * 4
    for batch, _, labels in seen:
        levels = (batch[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(levels, batch.amax((1, 2, 3)).mul(255).round().long())
        assert labels.shape == levels.shape
    network = apply_edit(small(), "max-blur-pool").module
    Student(network, teaching).advance(2)
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())

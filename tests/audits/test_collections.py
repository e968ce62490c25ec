"""What Python programs have is audited, explained and asserted like a folder of the same images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from shiftproof import Classifier
from shiftproof.adapters import Framing
from shiftproof.audits import audit
from shiftproof.data import LabelledImages, Reading
from shiftproof.errors import DataError, GateError, ShapeError
from shiftproof.explain import explain
from shiftproof.testing import check_shift_invariant
from shiftproof.zoo import build_network

FOLDER = Path(skimage.data.__file__).parent
PATHS = [FOLDER / name for name in ("astronaut.png", "camera.png", "coffee.png", "rocket.jpg")]
GRID = "grid:1"


class Photographs(Dataset[Any]):
    """Images of Pillow as they are, as torchvision's folders give them."""

    classes = ("grey", "colour")

    def __len__(self) -> int:
        return len(PATHS)

    def __getitem__(self, index: int) -> Any:
        return Image.open(PATHS[index]), int(index != 1)


def small(shape: tuple[int, int, int] = (3, 24, 24)) -> Classifier:
    torch.manual_seed(0)
    layers = [nn.Conv2d(shape[0], 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(2)]
    network = nn.Sequential(*layers).eval()
    with torch.inference_mode():
        network(torch.zeros(1, *shape))
    return Classifier("small", network, framing=Framing(shape), digest="small")


@pytest.fixture(scope="module")
def digit_tensors(test_digits: LabelledImages) -> tuple[Tensor, Tensor]:
    return test_digits.images[:60].float() / 255, test_digits.labels[:60]


def test_every_way_to_pass_the_same_images_is_one_response(digit_tensors: tuple[Tensor, Tensor]) -> None:
    images, labels = digit_tensors
    dataset = TensorDataset(images, labels)
    ways: list[Any] = [
        (images, labels),
        DataLoader(dataset, batch_size=16),
        dataset,
        [(image, int(label)) for image, label in zip(images, labels, strict=True)],
        (np.rint(images.permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8), labels.numpy()),
        ([Image.fromarray(np.rint(image[0].numpy() * 255).astype(np.uint8)) for image in images], labels),
    ]
    network = build_network("cnn1").eval()
    first, *others = (audit(network, way, protocols=[GRID]) for way in ways)
    assert first.record.data.labelled is True
    for other in others:
        for name in ("predicted", "labels", "unshifted_output", "drift"):
            assert np.array_equal(getattr(other.responses[GRID], name), getattr(first.responses[GRID], name))
    assert others[0].record.data.name == "DataLoader of TensorDataset"
    assert others[0].record.data.digest == others[1].record.data.digest


def test_a_dataset_of_photographs_is_the_folder_of_them() -> None:
    by_path = audit(small(), [(path, int(row != 1)) for row, path in enumerate(PATHS)], protocols=[GRID])
    by_dataset = audit(small(), Photographs(), protocols=[GRID])
    assert by_dataset.record.data.class_names == ("grey", "colour")
    assert by_dataset.record.data.conversions == {
        "colour profile to sRGB": 1, "grey repeated to RGB": 1, "reduced in size": 4,
    }  # fmt: skip
    ours, theirs = by_path.responses[GRID], by_dataset.responses[GRID]
    assert np.array_equal(ours.unshifted_output, theirs.unshifted_output)
    assert ours.labels.tolist() == theirs.labels.tolist() == [1, 0, 1, 1]


def test_a_run_with_a_loader_goes_on(tmp_path: Path, digit_tensors: tuple[Tensor, Tensor]) -> None:
    loader = DataLoader(TensorDataset(*digit_tensors), batch_size=7)
    network = build_network("cnn1").eval()
    first = audit(network, loader, protocols=[GRID], out=tmp_path / "r")
    units = sorted((tmp_path / "r" / "units").iterdir())
    times = [unit.stat().st_mtime_ns for unit in units]
    other = DataLoader(TensorDataset(*digit_tensors), batch_size=13)
    assert audit(network, other, protocols=[GRID], out=tmp_path / "r").to_json() == first.to_json()
    assert [unit.stat().st_mtime_ns for unit in units] == times


def test_scenes_are_cut_from_images_of_pillow() -> None:
    """Crops of a larger image need a margin, which a photograph has."""
    result = audit(small(), Photographs(), protocols=["zhang-crop"])
    assert result.record.data.n_images == 4


def test_a_window_in_a_call() -> None:
    deep = [
        Image.fromarray(np.random.default_rng(row).integers(0, 4096, (24, 24)).astype(np.uint16))
        for row in range(3)
    ]
    result = audit(
        small((1, 24, 24)), deep, protocols=[GRID], reading=Reading(window=(0, 4095)), task="single-label"
    )
    assert result.record.data.conversions == {"window 0 to 4095": 3}


def test_arrays_of_another_size_than_the_model_takes_are_not_framed() -> None:
    with pytest.raises(ShapeError, match=r"images of shape \(3, 24, 24\) for small, got \(3, 20, 20\)"):
        audit(small(), DataLoader(TensorDataset(torch.rand(4, 3, 20, 20))), protocols=[GRID])


def test_a_loader_that_shuffles_is_refused(digit_tensors: tuple[Tensor, Tensor]) -> None:
    loader = DataLoader(TensorDataset(*digit_tensors), batch_size=16, shuffle=True)
    for ask in (audit, explain, check_shift_invariant):
        with pytest.raises(DataError, match=r"two passes through DataLoader of TensorDataset.*It shuffles"):
            ask(build_network("cnn1").eval(), loader)


def test_the_fixture_takes_a_loader(digit_tensors: tuple[Tensor, Tensor]) -> None:
    loader = DataLoader(TensorDataset(*digit_tensors), batch_size=16)
    with pytest.raises(GateError, match=r"agreement>=0\.99 under grid:2"):
        check_shift_invariant(build_network("cnn1").eval(), loader, radius_px=2)


def test_datasets_are_explained_and_their_conversions_told() -> None:
    found = explain(small(), Photographs(), n_remedies=0)
    data = found.to_dict()["data"]
    assert isinstance(data, dict)
    assert data["conversions"] == {
        "colour profile to sRGB": 1, "grey repeated to RGB": 1, "reduced in size": 4,
    }  # fmt: skip
    loader = DataLoader(TensorDataset(torch.rand(6, 3, 24, 24)), batch_size=2)
    assert explain(small(), loader, n_remedies=0, limit=4).n_images == 4

"""The networks in the package are what their records say, and damaged ones are noticed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from shiftproof.data import load_data
from shiftproof.errors import CheckpointError, UnknownNameError
from shiftproof.probe import measure_response
from shiftproof.shifts import protocols
from shiftproof.zoo import _trained as trained_room
from shiftproof.zoo import load_trained, networks, read_checkpoint, trained_names, trained_network

ARTICLE = ("standard-nn", "dense-nn", "cnn1", "cnn2", "cnn2-augmented")
ALTERNATIVES = (
    "cnn2-blur", "cnn2-aps", "cnn2-lps", "cnn2-circular", "cnn2-gap", "cnn2-dpp", "strided-cnn",
    "cnn2-aliasfree",
)  # fmt: skip
MAX_BYTES = 2_000_000


def test_the_networks_worth_having_at_hand_are_there() -> None:
    assert set(trained_names()) == {*ARTICLE, *ALTERNATIVES}


@pytest.mark.parametrize("name", trained_names())
def test_a_record_says_how_the_network_came_to_be(name: str) -> None:
    trained = trained_network(name)
    assert trained.network in networks
    assert [number for number, _, _ in trained.curve] == list(range(1, trained.epochs + 1))
    assert trained.epochs == 1 or trained.curve[-1][1] < trained.curve[0][1], "the loss fell"
    assert trained.epochs == 100 or name not in ARTICLE
    assert trained.data == load_data("mnist", "train").digest
    assert trained.command.startswith("shiftproof study ")
    assert "CC BY-SA 3.0" in trained.licence
    assert (trained_room.FOLDER / f"{name}.safetensors").stat().st_size <= MAX_BYTES
    assert not any(key.startswith("optimizer/") for key in _tensors(name))


def _tensors(name: str) -> list[str]:
    with safe_open(trained_room.FOLDER / f"{name}.safetensors", framework="pt") as file:
        return list(file.keys())


@pytest.mark.slow
@pytest.mark.parametrize("name", trained_names())
def test_measured_again_each_network_is_as_accurate_as_recorded(name: str) -> None:
    """All 10,000 test images; of the article's networks under all its shifts. Processors may tip answers."""
    test = load_data("mnist", "test")
    for protocol, recorded in trained_network(name).accuracy.items():
        if name not in ARTICLE and protocol != "article-large":
            continue
        response = measure_response(load_trained(name), test, protocols.get(protocol), seed=0)
        assert (response.predicted == test.labels.numpy()[:, None]).mean() == pytest.approx(
            recorded, abs=3e-4
        )


@pytest.mark.parametrize("name", trained_names())
def test_the_first_images_are_answered_as_well_as_all(name: str) -> None:
    """Quick, for every day: 500 images, whose share of right answers has a standard error of a point."""
    test = load_data("mnist", "test").head(500)
    with torch.inference_mode():
        answers = load_trained(name)(test.images.float() / 255).argmax(1)
    right = float((answers == test.labels).float().mean())
    assert right == pytest.approx(trained_network(name).accuracy["article-none"], abs=0.05)


@pytest.fixture
def damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package's folder with one network in it, to spoil."""
    path = tmp_path / "cnn1.safetensors"
    path.write_bytes((trained_room.FOLDER / path.name).read_bytes())
    monkeypatch.setattr(trained_room, "FOLDER", tmp_path)
    trained_network.cache_clear()
    return path


def test_one_bit_of_a_weight_is_noticed(damaged: Path) -> None:
    content = np.frombuffer(damaged.read_bytes(), np.uint8).copy()
    content[-1000] ^= 1
    damaged.write_bytes(content.tobytes())
    with pytest.raises(CheckpointError, match=r"the weights that cnn1.safetensors was written with"):
        load_trained("cnn1")


def test_half_a_file_is_noticed(damaged: Path) -> None:
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_trained("cnn1")


@pytest.mark.parametrize(("version", "message"), [(1, "Train the network again"), (99, "version 2 in cnn1")])
def test_another_version_is_refused_with_the_reason(damaged: Path, version: int, message: str) -> None:
    checkpoint = read_checkpoint(damaged)
    header = json.dumps({**checkpoint.header, "schema_version": version})
    save_file(checkpoint.tensors, damaged, {"shiftproof": header})
    with pytest.raises(CheckpointError, match=message):
        load_trained("cnn1")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(UnknownNameError, match=r"trained network, got 'resnet20'"):
        load_trained("resnet20")

"""Layers that need no gradient stay as they are to the bit; the others learn as if they were constants."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shiftproof.data import LabelledImages
from shiftproof.errors import CheckpointError, OptionError, Stopped
from shiftproof.train import Recipe, fit, load_network
from shiftproof.zoo import Network, build_network

UNIT = Recipe(epochs=2, learning_rate=1e-3, input_scale="unit")
# One network for each fast arrangement of layers, with the layers to freeze.
FROZEN = {"standard-nn": ["dense1"], "dense-nn": ["dense1"], "cnn2": ["conv1", "conv2"]}


def build(name: str, frozen: list[str]) -> Network:
    network = build_network(name)
    for layer in frozen:
        network.body.get_submodule(layer).requires_grad_(False)
    return network


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_layers_stay_and_the_others_learn(name: str, digits: LabelledImages) -> None:
    network, before = build(name, FROZEN[name]), build_network(name).state_dict()
    fit(network, digits.head(200), UNIT)
    for key, after in network.state_dict().items():
        is_frozen = key.split(".")[1] in FROZEN[name]
        assert torch.equal(after, before[key]) == is_frozen, key


@pytest.mark.parametrize("name", FROZEN)
def test_the_first_step_of_the_others_is_that_of_the_whole_network(name: str, digits: LabelledImages) -> None:
    """One step: gradients of later layers do not depend on whether earlier ones are learned."""
    one_step = UNIT.model_copy(update={"epochs": 1})
    part, whole = build(name, FROZEN[name]), build(name, [])
    for network in (part, whole):
        fit(network, digits.head(100), one_step)
    for key, learned in part.state_dict().items():
        if key.split(".")[1] not in FROZEN[name]:
            assert torch.equal(learned, whole.state_dict()[key]), key


def test_an_interrupted_training_with_frozen_layers_continues_to_the_same_bytes(
    digits: LabelledImages, tmp_path: Path
) -> None:
    data = digits.head(200)
    whole, broken = tmp_path / "whole.safetensors", tmp_path / "broken.safetensors"
    fit(build("cnn2", FROZEN["cnn2"]), data, UNIT, checkpoint=whole)
    steps = iter(range(3))  # an epoch has two

    def check_stop() -> None:
        if next(steps, None) is None:
            raise Stopped.cannot("finish", "there was a request to stop")

    with pytest.raises(Stopped, match="a request to stop"):
        fit(build("cnn2", FROZEN["cnn2"]), data, UNIT, checkpoint=broken, check_stop=check_stop)
    with pytest.raises(CheckpointError, match="another recipe"):
        fit(build("cnn2", ["conv1"]), data, UNIT, checkpoint=broken)
    fit(build("cnn2", FROZEN["cnn2"]), data, UNIT, checkpoint=broken)
    assert broken.read_bytes() == whole.read_bytes()
    initial = build_network("cnn2").state_dict()["body.conv2.weight"]
    assert torch.equal(load_network(broken).state_dict()["body.conv2.weight"], initial)


def test_a_network_without_anything_to_learn_is_refused(digits: LabelledImages) -> None:
    network = build_network("cnn1").requires_grad_(False)
    with pytest.raises(OptionError, match="a parameter to learn, got none"):
        fit(network, digits, UNIT)

"""The article's networks: parameter counts, what they can see, how they start."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from shiftproof.errors import UnknownNameError
from shiftproof.zoo import NetworkSpec, build_network, networks

PUBLISHED = {"standard-nn": 794_310, "dense-nn": 89_610, "cnn1": 289_630, "cnn2": 85_670}


@pytest.mark.parametrize("spec", networks, ids=lambda spec: spec.name)
def test_reference_parameter_counts(spec: NetworkSpec) -> None:
    network = build_network(spec.name)
    assert sum(p.numel() for p in network.parameters()) == spec.n_parameters
    assert spec.n_parameters == PUBLISHED.get(spec.name, spec.n_parameters)
    assert network(torch.zeros(3, 1, 28, 28)).shape == (3, 10)


def test_reference_weight_sharing() -> None:
    """The article's counts: 28·28·100 weights in a dense layer; 20 and 40 filters of 5 × 5."""
    dense = build_network("dense-nn").body.dense1
    conv = build_network("cnn2").body.conv1
    assert isinstance(dense, nn.Linear)
    assert isinstance(conv, nn.Conv2d)
    assert dense.weight.numel() == 78_400
    assert conv.weight.numel() == 500


def test_standard_nn_treats_every_pixel_alone() -> None:
    """Keras applies Dense to the last axis: moving pixels about moves features with them."""
    body = build_network("standard-nn").body.eval()
    features = body[:7]
    images = torch.rand(2, 1, 28, 28)
    order = torch.randperm(784)
    shuffled = images.flatten(2)[:, :, order].reshape(images.shape)
    assert torch.equal(features(shuffled), features(images)[:, order])


@pytest.mark.parametrize("name", networks.names())
def test_starts_as_keras_does(name: str) -> None:
    """Glorot: uniform in ± sqrt(6 / (fan in + fan out)); biases are zero."""
    for module in build_network(name, seed=1).modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        receptive = math.prod(module.weight.shape[2:])
        fans = (module.weight.shape[0] + module.weight.shape[1]) * receptive
        limit = math.sqrt(6 / fans)
        largest = float(module.weight.detach().abs().max())
        assert largest <= limit
        # The largest of n uniform numbers is above 1 − 12/n of the limit but for a chance of e^−12.
        assert largest > (1 - 12 / module.weight.numel()) * limit
        assert module.bias is None or not module.bias.any()


def test_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in build_network("cnn2", seed=seed).parameters()])

    torch.manual_seed(0)
    first = weights(1)
    torch.manual_seed(5)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_raw_input_is_a_scale_inside_the_network() -> None:
    images = torch.rand(2, 1, 28, 28)
    unit, raw = (build_network("cnn1", input_scale=scale) for scale in (1, 255))
    assert torch.equal(raw(images), unit(images * 255))


def test_other_shapes_and_classes() -> None:
    network = build_network("cnn2", image_shape=(3, 32, 40), n_classes=7)
    assert network(torch.zeros(2, 3, 32, 40)).shape == (2, 7)


def test_unknown_network_suggests() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'cnn2' or 'cnn1'"):
        build_network("cnn3")

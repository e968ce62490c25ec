"""Layers in place of others: the same shape, the same weights, and a network that stays as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.explain.layer_toys import pictures
from torch import nn
from torch.testing import assert_close

from shiftproof.adapters import digest_of_module
from shiftproof.explain import Cause
from shiftproof.explain._swap import swapped
from shiftproof.layers import AliasFreeActivation, MaxBlurPool2d


def network_of(layer: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 1), layer, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


CASES: list[tuple[nn.Module, Cause, str]] = [
    (nn.MaxPool2d(2), "downsampling", "MaxBlurPool2d"),
    (nn.MaxPool2d(3, 2, 1), "downsampling", "MaxBlurPool2d"),
    (nn.MaxPool2d(2, (2, 1)), "downsampling", "MaxBlurPool2d"),
    (nn.AvgPool2d(2), "downsampling", "stride 1 and then BlurPool2d"),
    (nn.Conv2d(3, 5, 3, 2), "downsampling", "stride 1 and then BlurPool2d"),
    (nn.Conv2d(3, 4, 3, padding=1), "border", "circular padding"),
    (nn.ReLU(inplace=True), "non-linearity", "AliasFreeActivation"),
]


@pytest.mark.parametrize(("layer", "cause", "name"), CASES)
def test_shape_weights_and_network_stay(layer: nn.Module, cause: Cause, name: str) -> None:
    network, images = network_of(layer), pictures(size_px=15)
    before = digest_of_module(network)
    with torch.no_grad():
        shape = network[:2](images).shape
        swap = swapped(network, "1", cause, shape[1])
        assert swap is not None
        assert swap.replacement == name
        assert digest_of_module(network) == before
        replaced: Any = swap.network
        assert replaced[:2](images).shape == shape
    weights = dict(swap.network.named_parameters())
    for own in network.parameters():
        assert any(torch.equal(own, weight) for weight in weights.values())
    assert not any(layer.training for layer in swap.network.modules())


def test_the_blur_after_a_maximum_is_ours() -> None:
    network, images = network_of(nn.MaxPool2d(2)), pictures()
    swap = swapped(network, "1", "downsampling", 3)
    assert swap is not None
    ours: Any = nn.Sequential(network[0], MaxBlurPool2d(3))
    with torch.no_grad():
        replaced: Any = swap.network
        assert_close(replaced[1](replaced[0](images)), ours(images))


def test_the_activation_is_oversampled() -> None:
    network = network_of(nn.ReLU(inplace=True))
    swap = swapped(network, "1", "non-linearity", 3)
    assert swap is not None
    assert isinstance(swap.network.get_submodule("1"), AliasFreeActivation)


@pytest.mark.parametrize(
    ("layer", "cause"),
    [
        (nn.MaxPool2d(2, ceil_mode=True), "downsampling"),
        (nn.Conv2d(3, 3, 3), "downsampling"),
        (nn.MaxPool2d(2), "border"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), "border"),
        (nn.BatchNorm2d(3), "non-linearity"),
        (nn.MaxPool2d(2), "head"),
    ],
)
def test_where_none_fits_there_is_none(layer: nn.Module, cause: Cause) -> None:
    network = network_of(layer)
    assert swapped(network, "1", cause, 3) is None


def test_a_module_that_refuses_to_be_copied_is_left_alone() -> None:
    class Stubborn(nn.MaxPool2d):
        def __deepcopy__(self, memo: object) -> nn.Module:
            raise RuntimeError("no")

    network = network_of(Stubborn(2))
    assert swapped(network, "1", "downsampling", 3) is None

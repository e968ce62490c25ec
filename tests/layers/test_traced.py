"""torch.fx follows every layer and every network as they are: feature extractors and quantisation need it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, fx, nn
from torch.testing import assert_close

from shiftproof.errors import ShapeError
from shiftproof.layers import (
    AdaptivePolyphase2d,
    AliasFreeActivation,
    BlurPool2d,
    CapsuleLengths,
    CircularMaxPool2d,
    DetailPreservingPool2d,
    GlobalMeanPool,
    LearnedPolyphase2d,
    LowPassPool2d,
    MaxBlurPool2d,
    PolyphaseUnpool2d,
    PrimaryCapsules,
    RoutedCapsules,
    StridedConvPool2d,
    conv2d,
)
from shiftproof.shifts import BORDERS
from shiftproof.zoo import build_network, networks


class ThereAndBack(nn.Module):
    """A stride, and back by the same choice."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.back = AdaptivePolyphase2d(blur_size=3), PolyphaseUnpool2d(blur_size=3)

    def forward(self, maps: Tensor) -> Tensor:
        choice = self.down.choose(maps, maps.square())
        answer: Tensor = self.back(self.down.take(maps, choice), choice)
        return answer


LAYERS: dict[str, nn.Module] = {
    "adaptive": AdaptivePolyphase2d(norm="l1", blur_size=2),
    "alias-free": AliasFreeActivation(nn.ReLU()),
    "alias-free function": AliasFreeActivation(torch.tanh, factor=4),
    **{f"blur, {border}": BlurPool2d(3, border=border) for border in BORDERS},
    "blur of one tap": BlurPool2d(3, kernel_size=1),
    "blur, even": BlurPool2d(3, kernel_size=2, border="zeros"),
    "blur, learned": BlurPool2d(3, learned=True),
    "capsules": nn.Sequential(
        PrimaryCapsules(3, n_maps=2, length=4, kernel=3), RoutedCapsules(30, 5, in_length=4), CapsuleLengths()
    ),
    "circular convolution": conv2d(3, 2, 3, border="circular"),
    "circular maximum": CircularMaxPool2d(2),
    "detail, full": DetailPreservingPool2d(3, kind="full", symmetric=False),
    "detail, lite": DetailPreservingPool2d(3),
    "global mean": GlobalMeanPool(),
    "learned": LearnedPolyphase2d(3, 2),
    "low-pass": LowPassPool2d(2),
    **{f"max blur, {border}": MaxBlurPool2d(3, border=border) for border in BORDERS},
    "strided": StridedConvPool2d(3),
    "there and back": ThereAndBack(),
}


@pytest.mark.parametrize("training", [False, True], ids=["used", "trained"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_traced_is_the_same_layer(name: str, training: bool) -> None:
    """Of any number of images, with the same gradient."""
    layer = LAYERS[name].train(training)
    traced = fx.symbolic_trace(layer)
    for n in (1, 3):
        maps = torch.rand(n, 3, 8, 12, generator=torch.Generator().manual_seed(n), requires_grad=True)
        expected, answer = layer(maps), traced(maps)
        assert_close(answer, expected)
        if expected.requires_grad:
            gradients = [torch.autograd.grad(y.square().sum(), maps)[0] for y in (expected, answer)]
            assert_close(*gradients)


@pytest.mark.parametrize("name", ["blur, reflect", "max blur, circular", "detail, lite"])
def test_a_traced_layer_still_says_what_is_wrong(name: str) -> None:
    traced = fx.symbolic_trace(LAYERS[name])
    with pytest.raises(ShapeError, match="feature maps with 3 channels, got"):
        traced(torch.rand(1, 2, 8, 8))


@pytest.mark.parametrize("name", networks.names())
def test_a_network_of_the_zoo_that_is_traced_is_the_same_network(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name).eval()
    images = torch.rand(3, 1, 28, 28)
    with torch.no_grad():
        assert_close(fx.symbolic_trace(network)(images), network(images))

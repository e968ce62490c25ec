"""A strided convolution in place of a pool: sizes, what it commutes with, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d
from torch.testing import assert_close

from shiftproof.errors import OptionError
from shiftproof.layers import StridedConvPool2d


@pytest.mark.parametrize("stride", [1, 2, (1, 2), 3])
@pytest.mark.parametrize("size", [(8, 9), (7, 7), (1, 5)])
def test_oracle_a_convolution_then_relu(stride: int | tuple[int, int], size: tuple[int, int]) -> None:
    layer = StridedConvPool2d(3, stride=stride).double()
    features = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weight, bias = layer.state_dict()["conv.weight"], layer.state_dict()["conv.bias"]
    answer = layer(features)
    assert_close(answer.detach(), conv2d(features, weight, bias, stride, 1).clamp(min=0))
    sy, sx = (stride, stride) if isinstance(stride, int) else stride
    assert answer.shape == (2, 3, -(-size[0] // sy), -(-size[1] // sx))


def test_reference_it_takes_the_place_of_an_overlapping_pool() -> None:
    """The paper's pools are 3 × 3 with stride 2, and the convolution keeps channels, size and step."""
    features = torch.zeros(1, 96, 32, 32)
    layer = StridedConvPool2d(96)
    assert layer(features).shape == max_pool2d(features, 3, 2, 1).shape
    assert sum(p.numel() for p in layer.parameters()) == 9 * 96 * 96 + 96
    assert [type(part) for part in layer] == [nn.Conv2d, nn.ReLU]


def test_gradients() -> None:
    layer = StridedConvPool2d(2).double()
    features = torch.randn(1, 2, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(layer, (features.requires_grad_(),))


def test_bad_input_says_what_to_change() -> None:
    with pytest.raises(OptionError, match=r"an odd `kernel`, got 2\. Use kernel=3"):
        StridedConvPool2d(4, kernel=2)
    with pytest.raises(OptionError, match=r"`stride` of at least 1 px, got \(0, 2\)"):
        StridedConvPool2d(4, stride=(0, 2))
    with pytest.raises(OptionError, match="at least 1 in `channels`, got 0"):
        StridedConvPool2d(0)

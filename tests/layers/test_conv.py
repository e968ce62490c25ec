"""Convolutions with a named border, beside SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from torch import Tensor, nn

from shiftproof.errors import OptionError, ShiftproofError, UnknownNameError
from shiftproof.layers import CONV_BORDERS, ConvBorder, conv2d

SCIPY_MODES = {"zeros": "constant", "edge": "nearest", "reflect": "mirror", "circular": "wrap"}


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("border", CONV_BORDERS)
@pytest.mark.parametrize("kernel", [(3, 5), (1, 1), (2, 4)])
def test_oracle_scipy(border: ConvBorder, kernel: tuple[int, int]) -> None:
    if kernel == (2, 4) and border not in ("valid", "full"):
        with pytest.raises(OptionError, match=r"Expected an odd `kernel_size` with border .*, got \(2, 4\)"):
            conv2d(1, 1, kernel, border=border)
        return
    maps, conv = noise(1, 1, 9, 8), conv2d(1, 1, kernel, border=border, bias=False).double()
    assert type(conv) is nn.Conv2d
    image, weight = maps[0, 0].numpy(), conv.weight[0, 0].detach().numpy()
    if border in ("valid", "full"):
        expected = signal.correlate2d(image, weight, mode=border)
    else:
        mode: Any = SCIPY_MODES[border]
        expected = ndimage.correlate(image, weight, mode=mode)
    np.testing.assert_allclose(conv(maps)[0, 0].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("border", CONV_BORDERS)
@pytest.mark.parametrize("stride", [1, 2, 3, (1, 2)])
def test_sizes_are_those_of_the_docstring(border: ConvBorder, stride: int | tuple[int, int]) -> None:
    conv = conv2d(2, 3, 5, stride=stride, border=border)
    for n, found, s in zip((13, 12), conv(torch.zeros(1, 2, 13, 12)).shape[2:], conv.stride, strict=True):
        kept = -(-n // s)
        expected = {"valid": (n - 5) // s + 1, "full": (n + 5 - 2) // s + 1}.get(border, kept)
        assert found == expected


def test_circular_commutes_with_every_shift_and_others_do_not() -> None:
    maps = noise(1, 2, 6, 7)
    for border in CONV_BORDERS:
        conv = conv2d(2, 3, 3, border=border).double()
        rolled = conv(maps.roll((2, 3), (2, 3)))
        error = float((rolled - conv(maps).roll((2, 3), (2, 3))).detach().abs().max())
        assert error <= 1e-12 if border == "circular" else error > 0.01


def test_every_weight_meets_every_pixel_in_a_full_convolution_only() -> None:
    """So the sum of its maps is that of the image times that of the filter, wherever the content is."""
    image = torch.zeros(1, 1, 6, 6, dtype=torch.float64)
    image[..., 0, 5] = 1
    for border in ("full", "zeros", "valid"):
        conv = conv2d(1, 1, 3, border=border, bias=False).double()
        whole = bool(torch.isclose(conv(image).sum(), conv.weight.sum()))
        assert whole == (border == "full")


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"border": "same"}, UnknownNameError, "Expected the name of a border, got 'same'"),
        ({"stride": 0}, OptionError, "Expected `stride` of at least 1, got 0"),
        ({"kernel_size": (3, 0)}, OptionError, "Expected `kernel_size` of at least 1, got 0"),
        ({"out_channels": -1}, OptionError, "Expected `out_channels` of at least 1, got -1"),
        (
            {"kernel_size": 4, "border": "circular"},
            OptionError,
            r"Expected an odd `kernel_size` with border 'circular', got \(4, 4\)",
        ),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[ShiftproofError], match: str) -> None:
    with pytest.raises(error, match=match):
        conv2d(**{"in_channels": 1, "out_channels": 1, "kernel_size": 3, **options})

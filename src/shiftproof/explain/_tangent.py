"""How an image changes as it begins to move: the derivative of the shifted image at shift 0."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from shiftproof._registry import unknown_name
from shiftproof.errors import OptionError
from shiftproof.shifts import Border, check_border, extend

# Which continuous image lies between the pixels.
Between = Literal["fourier", "cubic"]


def tangent(maps: Tensor, axis: int, *, between: Between = "fourier", border: Border = "circular") -> Tensor:
    """d/dt of maps whose content moves by t px along one axis, at t = 0.

    Args:
        maps: (N, C, H, W), float32 or float64.
        axis: 0: down; 1: to the right.
        between: `fourier`: the band-limited image through the pixels, circular; each frequency f is
            multiplied by −2πif; the highest one of an axis of even length by 0, since it moves as cos(πt).
            `cubic`: Keys' cubic interpolation of the pixels; half the difference of both neighbours.
        border: What lies beyond the border; `circular` for `fourier`.

    Returns:
        The same shape, per px: minus the derivative of the image by its coordinate.

    Raises:
        UnknownNameError: Another interpolation or border.
        OptionError: `fourier` with a border that is not circular.

    Convention:
        Bilinear interpolation has a kink at every pixel, so that its derivative at 0 differs from both sides;
        their mean is that of `cubic`. Pinned by tests/explain/test_lie.py.

    Source:
        Keys 1981 (cubic convolution, a = −1/2).

    Example:
        >>> ramp = torch.tensor([[[[0., 1., 2., 3.]]]])
        >>> tangent(ramp, 1, between="cubic", border="edge")
        tensor([[[[-0.5000, -1.0000, -1.0000, -0.5000]]]])
    """
    if between not in get_args(Between):
        raise unknown_name("interpolation", between, get_args(Between))
    border = check_border(border)
    if between == "cubic":
        padded = extend(maps, (1 - axis, axis), border)
        size = maps.shape[2 + axis]
        return (padded.narrow(2 + axis, 0, size) - padded.narrow(2 + axis, 2, size)) / 2
    if border != "circular":
        raise OptionError(
            "border 'circular' with interpolation 'fourier'",
            repr(border),
            cause="A Fourier series repeats the image in every direction.",
            fix="Use border='circular' or between='cubic'.",
        )
    return _fourier_tangent(maps, 2 + axis)


def _fourier_tangent(maps: Tensor, dim: int) -> Tensor:
    size = maps.shape[dim]
    turns = -2 * torch.pi * torch.fft.rfftfreq(size, dtype=torch.float64)
    if size % 2 == 0:
        turns[-1] = 0  # What an inverse transform does with half a pair differs between devices.
    shape = [1, 1, 1, 1]
    shape[dim] = len(turns)
    spectrum = torch.fft.rfft(maps, dim=dim)
    factors = torch.complex(torch.zeros_like(turns), turns).to(spectrum.dtype).to(maps.device)
    moving: Tensor = torch.fft.irfft(spectrum * factors.reshape(shape), n=size, dim=dim)
    return moving

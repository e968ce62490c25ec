"""Ideal resampling of circular maps: exact for what a grid can hold, nothing of what it cannot."""

from __future__ import annotations

import torch
from torch import Tensor


def resample(maps: Tensor, height: int, width: int) -> Tensor:
    """The band-limited periodic function through the maps, read at another number of positions.

    Frequencies that either grid cannot hold without ambiguity are left out: those of n/2 cycles and more
    on an axis of n positions. The highest frequency of an axis of even length, n/2 itself, is left out
    too: it has no half-pixel shift. All that is left moves with every shift, also by a fraction.

    On each axis this is one matrix. For the sizes of feature maps, multiplying by it is twice as fast on
    a CPU as a Fourier transform there and back (measured up to 224 positions), can be compiled and
    exported, and has the same answer.

    Args:
        maps: (N, C, H, W) on a circle; float32 or float64. Half precision is computed in float32.
        height, width: Positions of the answer.

    Returns:
        (N, C, height, width), same dtype. Output i lies at input i · H / height. The mean is kept.

    Source:
        Oppenheim and Schafer, Discrete-Time Signal Processing; for networks, Michaeli, Michaeli and
        Soudry 2023, arXiv:2303.08085.

    Example:
        >>> wave = torch.tensor([[[[0., 1., 0., -1.]]]])
        >>> resample(wave, 1, 8).round(decimals=4).abs()
        tensor([[[[0.0000, 0.7071, 1.0000, 0.7071, 0.0000, 0.7071, 1.0000, 0.7071]]]])
    """
    rows, columns = _matrix(maps.shape[2], height, maps), _matrix(maps.shape[3], width, maps)
    wide = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    return (rows @ (wide @ columns.T)).to(maps.dtype)


def _matrix(n_from: int, n_to: int, like: Tensor) -> Tensor:
    """Shape (`n_to`, `n_from`), each row the weights of one output; computed in float64."""
    # Made on the device, since a CUDA graph that is recorded may not copy from the processor; but not on
    # Apple's GPUs, which have no float64.
    device = torch.device("cpu") if like.device.type == "mps" else like.device
    frequencies = torch.arange(1, (min(n_from, n_to) - 1) // 2 + 1, device=device)
    here, there = _angles(n_from, frequencies), _angles(n_to, frequencies)
    waves = there.cos() @ here.cos().T + there.sin() @ here.sin().T
    matrix = (1 + 2 * waves) / n_from
    dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
    return matrix.to(dtype).to(like.device)


def _angles(n: int, frequencies: Tensor) -> Tensor:
    """2π · position · frequency / n, by whole turns less: small angles are exact."""
    turns = torch.remainder(torch.arange(n, device=frequencies.device)[:, None] * frequencies, n)
    return turns.double() * (2 * torch.pi / n)

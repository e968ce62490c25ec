"""Checks that layers share, so that a wrong number is met when a layer is built."""

from __future__ import annotations

import torch
from torch import Tensor

from shiftproof.errors import OptionError, ShapeError

Size = int | tuple[int, int]


def positive(name: str, value: int) -> int:
    """The number itself, if it is a whole one of at least 1.

    Raises:
        OptionError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise OptionError(f"`{name}` of at least 1", repr(value), fix=f"Use a positive integer as `{name}`.")
    return value


def positive_pair(name: str, value: Size) -> tuple[int, int]:
    """(down, right); one number stands for both.

    Raises:
        OptionError: Not one or two whole numbers of at least 1.

    Example:
        >>> positive_pair("stride", 2), positive_pair("stride", (1, 2))
        ((2, 2), (1, 2))
    """
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2:
        raise OptionError(f"`{name}` as one number or (down, right)", repr(value))
    return positive(name, pair[0]), positive(name, pair[1])


def check_maps(maps: Tensor, channels: int | None = None) -> None:
    """Feature maps (N, C, H, W), with that many channels.

    Raises:
        ShapeError: Another number of axes or channels.
    """
    if maps.ndim != 4:
        raise ShapeError(
            "feature maps of shape (N, C, H, W)", tuple(maps.shape), fix="Add a batch axis with `maps[None]`."
        )
    if channels is not None and maps.shape[1] != channels:
        raise ShapeError(
            f"feature maps with {channels} channels",
            tuple(maps.shape),
            fix=f"Build the layer with channels={maps.shape[1]}.",
        )


def widened(values: Tensor) -> Tensor:
    """Half precision as float32; other floats as they are."""
    return values.float() if values.dtype.itemsize < 4 else values


def is_learning(maps: Tensor) -> bool:
    """Whether a gradient will be asked for."""
    return torch.is_grad_enabled() and maps.requires_grad


def channels_last_on_cpus(maps: Tensor, *, only_to_learn: bool = False) -> Tensor:
    """The same maps in the memory layout in which a CPU pools and blurs fastest.

    Args:
        maps: (N, C, H, W).
        only_to_learn: Leave them as they are where no gradient will be asked for.

    Pools and depthwise convolutions then read runs of memory: three to ten times faster, the copy
    included. Other devices keep the layout that they are given.
    """
    if maps.device.type != "cpu" or (only_to_learn and not is_learning(maps)):
        return maps
    return maps.contiguous(memory_format=torch.channels_last)

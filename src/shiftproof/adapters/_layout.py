"""The layout of images that a file declares: which axis is the channels', and what is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shiftproof.adapters._sources import ModelRequest
from shiftproof.errors import ModelError
from shiftproof.zoo import ImageShape

_USUAL_CHANNELS = frozenset({1, 3})


@dataclass(frozen=True, slots=True)
class Layout:
    """What a model's input says about images.

    Args:
        batch: How many images it takes at once; None: any number.
        image_shape: (C, H, W); None where one of them is free.
        channels_last: Whether it takes (N, H, W, C).
    """

    batch: int | None
    image_shape: ImageShape | None
    channels_last: bool


def read_layout(
    name: str, sizes: Sequence[int | None], request: ModelRequest, *, usual: bool | None = None
) -> Layout:
    """Find the channels among the sizes of an input.

    The request decides; otherwise the axis whose size is 1 or 3 where the other one's is not.

    Args:
        name: The model, for error messages.
        sizes: One per axis; None where it is free.
        request: May say where the channels are, how many there are, and how large images are.
        usual: Whether the channels are last where the sizes do not tell; None: that is an error.

    Raises:
        ModelError: Not four axes, channels that cannot be found, or a request that contradicts the file.

    Example:
        >>> read_layout("m", [None, 28, 28, 1], ModelRequest())
        Layout(batch=None, image_shape=(1, 28, 28), channels_last=True)
    """
    shown = "(" + ", ".join("free" if size is None else str(size) for size in sizes) + ")"
    if any(size is not None and size < 1 for size in sizes):
        raise ModelError(f"{name} to take images of at least one pixel", shown)
    if len(sizes) != 4:
        raise ModelError(f"{name} to take images of shape (N, C, H, W) or (N, H, W, C)", shown)
    last = request.channels_last
    if last is None:
        last = _channels_are_last(sizes, request.n_channels)
    if last is None:
        last = usual
    if last is None:
        raise ModelError(
            f"{name} to show which axis holds the channels",
            f"an input of shape {shown}",
            fix="Say it with --channels-last or --no-channels-last.",
        )
    batch, *rest = sizes
    height, width, channels = rest if last else (*rest[1:], rest[0])
    asked = (request.n_channels, *(request.size_px or (None, None)))
    for axis, fixed, wanted in zip(
        ("channels", "rows", "columns"), (channels, height, width), asked, strict=True
    ):
        if fixed is not None and wanted is not None and fixed != wanted:
            raise ModelError(f"images with {fixed} {axis} for {name}", wanted, cause=f"Its input is {shown}.")
    c, h, w = (fixed or wanted for fixed, wanted in zip((channels, height, width), asked, strict=True))
    known = (c, h, w) if c is not None and h is not None and w is not None else None
    return Layout(batch, known, last)


def _channels_are_last(sizes: Sequence[int | None], channels: int | None) -> bool | None:
    usual = _USUAL_CHANNELS if channels is None else {channels}
    first, last = (sizes[axis] in usual for axis in (1, 3))
    return last if first != last else None

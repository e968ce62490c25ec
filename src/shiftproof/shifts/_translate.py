"""The operator T of NN(T(x)) = NN(x): move the content of images by given offsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from shiftproof._registry import unknown_name
from shiftproof.errors import OptionError, ShapeError
from shiftproof.shifts._borders import Border, check_border, source_index, wrap_offset

Interpolation = Literal["bilinear", "fourier"]
INTERPOLATIONS: tuple[Interpolation, ...] = get_args(Interpolation)


def translate(
    images: Tensor,
    offsets_px: Tensor | Sequence[float],
    *,
    border: Border,
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Move the content of each image by its own offset, or of all images by one.

    Args:
        images: Shape (N, C, H, W); any float dtype, or uint8. Any device.
        offsets_px: Shape (N, 2), or (2,) for all images alike; (dy, dx) in pixels, any finite size.
        border: What comes in from outside: `zeros`, `edge` (the nearest pixel), `reflect` (mirrored
            without repeating the edge) or `circular`.
        interpolation: For the fractional part of an offset: `bilinear`, or `fourier` (circular
            border only), which moves each frequency by its phase.

    Returns:
        Same shape, dtype and device as `images`. A uint8 result is rounded to the nearest level.

    Raises:
        ShapeError: `images` is not 4-D, or `offsets_px` fits neither shape.
        UnknownNameError: Unknown border or interpolation.
        OptionError: Offsets that are not finite, an integer dtype other than uint8, or `fourier`
            with a border that is not circular.

    Convention:
        Positive dy moves the content down, positive dx to the right: output[y, x] is
        input[y − dy, x − dx]. An integer offset copies pixels bit by bit, whatever the
        interpolation. Sub-pixel `bilinear` weighs the four neighbours, border included, as OpenCV 5
        `warpAffine` does. `fourier` shifts compose exactly on axes of odd length; on an axis of even
        length the highest frequency has no real half-pixel shift and is multiplied by cos(π d), so
        images without that frequency compose exactly there too.
        Pinned by tests/shifts/test_translate.py.

    Example:
        >>> image = torch.tensor([[[[1., 2.], [3., 4.]]]])
        >>> translate(image, (0, 1), border="zeros")
        tensor([[[[0., 1.],
                  [0., 3.]]]])
        >>> translate(image, (0, 0.5), border="edge")
        tensor([[[[1.0000, 1.5000],
                  [3.0000, 3.5000]]]])
    """
    border = check_border(border)
    check_interpolation(interpolation, border)
    offsets = _checked_offsets(images, offsets_px)
    move = _move_fourier if interpolation == "fourier" else _move_bilinear
    exact = bool((offsets == offsets.round()).all())
    working = images if exact else images.to(_working_dtype(images.dtype))
    for axis, dim in enumerate((2, 3)):
        working = move(working, offsets[:, axis], dim, border)
    return _to_dtype(working, images.dtype)


def check_interpolation(interpolation: str, border: str) -> None:
    """Nothing for an interpolation that the border allows.

    Raises:
        UnknownNameError: No such interpolation.
        OptionError: `fourier` with a border that is not circular.

    Example:
        >>> check_interpolation("bilinear", "edge")
    """
    if interpolation not in INTERPOLATIONS:
        raise unknown_name("interpolation", str(interpolation), INTERPOLATIONS)
    if interpolation == "fourier" and border != "circular":
        raise OptionError(
            "border 'circular' with interpolation 'fourier'",
            repr(border),
            cause="A Fourier series repeats the image in every direction.",
            fix="Use border='circular' or interpolation='bilinear'.",
        )


def _checked_offsets(images: Tensor, offsets_px: Tensor | Sequence[float]) -> Tensor:
    """Offsets as float64 of shape (N, 2) or (1, 2), on the CPU: not every device has float64."""
    if images.ndim != 4:
        raise ShapeError(
            "`images` of shape (N, C, H, W)",
            tuple(images.shape),
            fix="Add the missing axes, for example with `images[None, None]`.",
        )
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise OptionError("`images` of a float dtype or uint8", images.dtype, fix="Convert with `.float()`.")
    here = offsets_px.cpu() if isinstance(offsets_px, Tensor) else offsets_px
    offsets = torch.as_tensor(here, dtype=torch.float64)
    if offsets.shape == (2,):
        offsets = offsets[None]
    elif offsets.shape != (len(images), 2):
        raise ShapeError(
            f"`offsets_px` of shape (2,) or ({len(images)}, 2)",
            tuple(offsets.shape),
            cause="There is one (dy, dx) for all images, or one for each.",
        )
    if not bool(torch.isfinite(offsets).all()):
        raise OptionError("finite `offsets_px`", "NaN or infinity")
    return offsets


def _working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision and bytes are weighed in float32, so that the error is that of the last rounding."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def _to_dtype(moved: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype == torch.uint8 and moved.dtype != torch.uint8:
        return moved.round_().clamp_(0, 255).to(torch.uint8)
    return moved.to(dtype)


def _move_bilinear(images: Tensor, offset_px: Tensor, dim: int, border: Border) -> Tensor:
    """Move along one axis: a copy for whole offsets, a blend of two copies for the rest."""
    offset_px = wrap_offset(offset_px, images.shape[dim], border)
    whole = offset_px.floor()
    fraction = offset_px - whole
    near = _copy_from(images, whole.long(), dim, border)
    if not bool(fraction.any()):
        return near
    far = _copy_from(images, whole.long() + 1, dim, border)
    weight = fraction.to(images.dtype).to(images.device)[:, None, None, None]
    # `where`: an image that does not move by a fraction stays bit-equal, even beside an infinity.
    return torch.where(weight == 0, near, torch.lerp(near, far, weight))


def _move_fourier(images: Tensor, offset_px: Tensor, dim: int, border: Border) -> Tensor:
    """Move along one axis by turning the phase of each frequency."""
    size_px = images.shape[dim]
    offset_px = wrap_offset(offset_px, size_px, border)
    whole = offset_px.floor()
    fraction = offset_px - whole
    near = _copy_from(images, whole.long(), dim, border)
    if not bool(fraction.any()):
        return near
    frequencies = torch.fft.rfftfreq(size_px, dtype=torch.float64)
    angle = -2 * torch.pi * fraction[:, None] * frequencies
    turns = torch.polar(torch.ones_like(angle), angle)
    shape = [len(fraction), 1, 1, 1]
    shape[dim] = len(frequencies)
    spectrum = torch.fft.rfft(near, dim=dim)
    turned = spectrum * turns.to(spectrum.dtype).to(images.device).reshape(shape)
    moved = torch.fft.irfft(turned, n=size_px, dim=dim)
    stays = (fraction == 0).to(images.device)[:, None, None, None]
    return torch.where(stays, near, moved)


def _copy_from(images: Tensor, offset_px: Tensor, dim: int, border: Border) -> Tensor:
    """Copy along one axis by whole offsets: int64 of shape (N,) or (1,)."""
    size_px = images.shape[dim]
    position = (torch.arange(size_px) - offset_px[:, None]).to(images.device)
    index = source_index(position, size_px, border)
    if len(index) == 1:
        copy = images.index_select(dim, index[0])
    else:
        shape = [len(index), 1, 1, 1]
        shape[dim] = size_px
        copy = images.gather(dim, index.reshape(shape).expand(images.shape))
    if border != "zeros":
        return copy
    shape = [len(index), 1, 1, 1]
    shape[dim] = size_px
    inside = ((position >= 0) & (position < size_px)).reshape(shape)
    return torch.where(inside, copy, torch.zeros((), dtype=copy.dtype, device=copy.device))

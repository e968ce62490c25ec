"""The shifts under which a network is explained: of each image its own, and every kind beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof.errors import OptionError
from shiftproof.metrics import NotApplicable
from shiftproof.records import Condition
from shiftproof.shifts import Border, extend, translate

# The longest shift, where nobody says: the image over this, but at least the total stride if that is at
# most half of the image.
PART_OF_IMAGE = 7
# What comes in from outside must not be sharper than the image moves: see `moved_images`.
MARGIN_PX = 16
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False, slots=True)
class OffsetsByCondition:
    """The shifts of each image.

    Args:
        by_condition: float64 (N, K, 2), (dy, dx) in px; or why there are none.
        reach_px: The longest on each axis.
        stride_px: Total stride of the network, (down, right).
    """

    by_condition: Mapping[Condition, Tensor | NotApplicable]
    reach_px: int
    stride_px: Pair


def draw_offsets(
    n_images: int, n_shifts: int, size_px: Pair, stride_px: Pair, *, max_shift_px: int | None, seed: int
) -> OffsetsByCondition:
    """Shifts of each image by multiples of a stride, by whole pixels near these, and half a pixel off those.

    The conditions share their distances, so that what differs between them is what they are about.

    Args:
        n_images, n_shifts: N and K.
        size_px: Of the images.
        stride_px: Total stride of the network.
        max_shift_px: Longest shift on each axis; by default a seventh of the image, or the stride.
        seed: Of the draw; the first images have the same shifts for any N.

    Raises:
        OptionError: A longest shift below 1, or no smaller than the image.

    Example:
        >>> found = draw_offsets(2, 1, (32, 32), (4, 4), max_shift_px=None, seed=0).by_condition
        >>> bool((found["multiples"] % 4 == 0).all()), bool((found["fractional"] % 1 == 0.5).any())
        (True, True)
    """
    smallest, stride = min(size_px), max(stride_px)
    reach = max(1, smallest // PART_OF_IMAGE)
    if 2 * stride <= smallest:
        reach = max(reach, stride)
    reach = reach if max_shift_px is None else max_shift_px
    if not 1 <= reach < smallest:
        raise OptionError(
            f"a longest shift from 1 to {smallest - 1} px",
            reach,
            cause=f"The images are {size_px[0]} × {size_px[1]}.",
            fix="Use a smaller max_shift_px, or larger images.",
        )
    generator = torch.Generator().manual_seed(derive_seed(seed, "shifts of an explanation"))
    draws = torch.rand(n_images, n_shifts, 3, 2, generator=generator, dtype=torch.float64)
    by = torch.tensor(stride_px, dtype=torch.float64)
    halves = _halves(draws[:, :, 2])
    if reach < stride:
        whole = _nonzero(draws[:, :, 0], torch.full((2,), reach, dtype=torch.float64))
        multiples: Tensor | NotApplicable = NotApplicable(
            f"shifts of at most {reach} px hold no multiple of the total stride of {stride} px"
        )
    else:
        multiples = _nonzero(draws[:, :, 0], torch.floor(reach / by)) * by
        near = _near(draws[:, :, 1], by)
        # What would lead out of the square leads back into it.
        near = torch.where((multiples + near).abs() > reach, -near, near)
        whole = multiples + near
    towards = torch.where(whole > 0, -1.0, 1.0)
    return OffsetsByCondition(
        {
            "multiples": multiples,
            "whole-pixel": whole,
            "fractional": whole + towards * halves,
            "with-border": whole,
        },
        reach,
        stride_px,
    )


def _nonzero(draws: Tensor, reach: Tensor) -> Tensor:
    """Whole numbers from −reach to reach on each axis, never both 0: draws in [0, 1), (N, K, 2)."""
    wide = 2 * reach + 1
    cells = wide.prod() - 1
    cell = torch.floor(draws[..., 0] * cells)
    cell = cell + (cell >= cells / 2)  # Beyond the middle one, which is (0, 0).
    return torch.stack([torch.floor(cell / wide[1]) - reach[0], cell % wide[1] - reach[1]], -1)


def _near(draws: Tensor, stride: Tensor) -> Tensor:
    """Whole numbers from −stride / 2 on, one for each residue of a stride, never both 0 where that exists."""
    cells = stride.prod()
    cell = 1 + torch.floor(draws[..., 0] * (cells - 1)) if cells > 1 else torch.zeros_like(draws[..., 0])
    residues = torch.stack([torch.floor(cell / stride[1]), cell % stride[1]], -1)
    return residues - stride * (residues >= (stride + 1) / 2)


def _halves(draws: Tensor) -> Tensor:
    """Half a pixel down, to the right, or both."""
    kind = torch.floor(draws[..., 0] * 3)
    return torch.stack([torch.where(kind != 1, 0.5, 0.0), torch.where(kind != 0, 0.5, 0.0)], -1).double()


def moved_images(images: Tensor, offsets_px: Tensor, border: Border) -> Tensor:
    """Images (N, C, H, W), each moved by its own offset (N, 2); fractions are moved band-limited.

    Fractions of a circular border are exact. For others the image is first given a margin of what lies
    outside, so that what the Fourier series wraps around stays out of the image.
    """
    if bool((offsets_px == offsets_px.round()).all()):
        return translate(images, offsets_px, border=border)
    if border == "circular":
        return translate(images, offsets_px, border=border, interpolation="fourier")
    margins = offsets_px.abs().amax(0).ceil().int() + MARGIN_PX
    my, mx = int(margins[0]), int(margins[1])
    wide = extend(images, (my, mx), border)
    wide = translate(wide, offsets_px, border="circular", interpolation="fourier")
    return wide[:, :, my:-my, mx:-mx].contiguous()

"""What an image processor of transformers does, as preprocessing and framing: read, then checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shiftproof._digest import derive_seed
from shiftproof.adapters._failures import explained
from shiftproof.adapters._preprocess import Framing, Preprocess, Resampling
from shiftproof.data import CROP, Fit
from shiftproof.errors import ModelError

_BY_NUMBER_IN_PILLOW: dict[int, Resampling] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_CONVNEXT_SQUASHES_FROM_PX = 384
_SQUASH = Fit("squash")


@dataclass(frozen=True, slots=True)
class ReadProcessor:
    """What was read.

    Args:
        preprocess: The numbers.
        framing: The size.
        notes: What is done in another way here.
    """

    preprocess: Preprocess
    framing: Framing
    notes: tuple[str, ...]


def read_processor(name: str, processor: Any, *, check: bool) -> ReadProcessor:
    """Read a processor, and compare with what it does to an image that needs no resizing.

    Args:
        name: The model, for error messages.
        processor: An image processor of transformers.
        check: Whether to compare.

    Raises:
        ModelError: It says too little, or does more than can be said with a scale, means and deviations.
    """
    with explained(
        f"tell how the image processor of {name} resizes and scales",
        cause="It works in a way of its own.",
        fix="For a model of timm, use timm:hf-hub:ORG/NAME.",
    ):
        says: dict[str, Any] = processor.to_dict()
        preprocess = _preprocess(says)
        framing, notes = _framing(says)
    read = ReadProcessor(
        preprocess,
        framing,
        (f"preprocessing of its {says.get('image_processor_type', 'image processor')}", *notes),
    )
    if check:
        _check(name, processor, read)
    return read


def _preprocess(says: dict[str, Any]) -> Preprocess:
    """Bytes · factor, less mean, by deviation; ours starts at bytes ÷ 255. What is not said is not done."""
    scale = 255 * says.get("rescale_factor", 1 / 255) if says.get("do_rescale") else 255.0
    scale = 1.0 if math.isclose(scale, 1) else scale
    bgr = bool(says.get("do_flip_channel_order"))
    if not says.get("do_normalize"):
        return Preprocess(scale=scale, bgr=bgr)
    return Preprocess(
        scale=scale, bgr=bgr, mean=_numbers(says["image_mean"]), std=_numbers(says["image_std"])
    )


def _numbers(value: Any) -> tuple[float, ...]:
    return (value,) if isinstance(value, int | float) else tuple(value)


def _framing(says: dict[str, Any]) -> tuple[Framing, list[str]]:
    notes = []
    number = int(says.get("resample", 2))
    resampling = _BY_NUMBER_IN_PILLOW.get(number, "bilinear")
    if number not in _BY_NUMBER_IN_PILLOW:
        notes.append(f"its own processor resizes with Pillow's filter {number}; here with {resampling!r}")
    size, crop = says["size"], says.get("crop_size") if says.get("do_center_crop") else None
    short_px = size.get("shortest_edge")
    fit = CROP
    if short_px is None:
        rows, columns = size["height"], size["width"]
        resize_px, fit = min(rows, columns), _SQUASH
        cut = (crop["height"], crop["width"]) if crop else (rows, columns)
        if crop and rows * cut[1] != columns * cut[0]:
            notes.append(
                f"its own processor resizes to {rows} × {columns}; here in the proportions of the cut"
            )
    elif crop:
        resize_px = int(short_px / (says.get("crop_pct") or 1))
        cut = crop["height"], crop["width"]
    elif "crop_pct" in says and short_px < _CONVNEXT_SQUASHES_FROM_PX:
        resize_px, cut = int(short_px / says["crop_pct"]), (short_px, short_px)
    else:
        resize_px, cut, fit = short_px, (short_px, short_px), _SQUASH
    return Framing((3, *cut), resize_px, resampling, fit), notes


def _check(name: str, processor: Any, read: ReadProcessor) -> None:
    """A square image of the size before the cut is only cut, scaled and normalised."""
    side_px = read.framing.resize_px
    _, rows, columns = read.framing.image_shape or (3, 0, 0)
    if side_px is None:
        return
    generator = torch.Generator().manual_seed(derive_seed(0, "image for a processor"))
    image = torch.randint(0, 256, (3, side_px, side_px), generator=generator, dtype=torch.uint8)
    theirs = torch.from_numpy(
        np.asarray(processor(image.permute(1, 2, 0).numpy(), return_tensors="np")["pixel_values"])
    )
    ours = [_cut(image, rows, columns, up) for up in (False, True)]
    if not any(_same(theirs, read.preprocess(cut)) for cut in ours):
        raise ModelError(
            f"the image processor of {name} to cut, scale and normalise",
            f"{type(processor).__name__}, which does something else",
            fix="Give --mean, --std and --size yourself.",
        )


def _cut(image: Tensor, rows: int, columns: int, up: bool) -> Tensor:
    """The centre in [0, 1]; libraries differ in how they round half a pixel."""
    top, left = ((side + up - cut) // 2 for side, cut in zip(image.shape[1:], (rows, columns), strict=True))
    return image[None, :, top : top + rows, left : left + columns].float() / 255


def _same(theirs: Tensor, ours: Tensor) -> bool:
    return theirs.shape == ours.shape and torch.allclose(theirs, ours, atol=1e-4)

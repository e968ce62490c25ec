"""Pictures of an image before and after a shift, as the model saw it, small enough to stand in a record."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor

from shiftproof.data import Images
from shiftproof.probe import Views
from shiftproof.shifts import ShiftProtocol

# Up to here a picture is kept bit by bit; a larger one is made smaller, and compressed.
SMALL_PX, LARGEST_PX = 64, 160
JPEG_QUALITY = 85
MODES = {1: "L", 3: "RGB"}


def pictures(
    images: Images,
    index: int,
    protocol: ShiftProtocol,
    offset_px: tuple[float, float],
    size_px: tuple[int, int],
) -> tuple[str, str]:
    """An image as it is and moved, as `data:` addresses; two empty texts where it has no colours to show.

    Args:
        images: The images of the protocol.
        index: Which of them.
        protocol: Border and interpolation.
        offset_px: (dy, dx) in pixels.
        size_px: (height, width) of what the model is shown.
    """
    if images.image_shape[0] not in MODES:
        return "", ""
    height, width = images.image_shape[1:]
    size = size_px if protocol.border == "scene" else (height, width)
    margin = ((height - size[0]) // 2, (width - size[1]) // 2)
    views = Views(protocol, torch.tensor([offset_px], dtype=torch.float64), size, margin)
    pixels = images.pixels(slice(index, index + 1)).float().div_(255)
    batch = views.batch(pixels, slice(0, 1))
    unshifted, shifted = batch.unshifted(), batch.shifted(0)
    return picture(unshifted[0]), picture((unshifted if shifted is None else shifted)[0])


def picture(pixels: Tensor) -> str:
    """One image, float (C, H, W) in [0, 1] with one or three channels, as a `data:` address."""
    levels = pixels.clamp(0, 1).mul(255).round().byte().movedim(0, -1).squeeze(-1).contiguous().numpy()
    image = Image.fromarray(levels, MODES[len(pixels)])
    file = io.BytesIO()
    if max(image.size) <= SMALL_PX:
        image.save(file, "PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((LARGEST_PX, LARGEST_PX))
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"

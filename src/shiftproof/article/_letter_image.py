"""The article's letter C as an image of any size: an example for feature maps."""

from __future__ import annotations

import torch

from shiftproof.article._draw_letter import draw_letter_c
from shiftproof.data import UNKNOWN, LabelledImages
from shiftproof.zoo import ImageShape

NAME = "the letter C"
# On a canvas of 28 px it is 7 px high and one pixel thick; on larger ones it is as many times larger.
CANVAS_PX, SIZE_PX, POSITION_PX = 28, 7, 10


def letter_image(image_shape: ImageShape) -> LabelledImages | None:
    """The letter on a canvas of this shape; None where there is no room for it.

    Args:
        image_shape: (C, H, W).

    Example:
        >>> letter_image((3, 224, 224)).images.shape
        torch.Size([1, 3, 224, 224])
        >>> letter_image((1, 16, 28)) is None
        True
    """
    channels, height, width = image_shape
    scale = min(height, width) // CANVAS_PX
    if not scale:
        return None
    letter = draw_letter_c(
        SIZE_PX * scale,
        stroke_px=scale,
        canvas_px=(height, width),
        position_px=(POSITION_PX * scale, POSITION_PX * scale),
    )
    return LabelledImages(NAME, letter.expand(-1, channels, -1, -1).clone(), torch.tensor([UNKNOWN]), ())

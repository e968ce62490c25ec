"""One image that came as bytes from elsewhere: through the same decoder and limits as a file in a folder."""

from __future__ import annotations

import torch

from shiftproof.data._decode import decode
from shiftproof.data._frame import CROP, Fit, Frame, Resampling
from shiftproof.data._images import UNKNOWN, LabelledImages
from shiftproof.data._samples import UnusableImage
from shiftproof.errors import DataError


def received_image(
    content: bytes,
    *,
    name: str,
    image_shape: tuple[int, int, int],
    resize_px: int | None = None,
    resampling: Resampling = "bilinear",
    fit: Fit = CROP,
) -> LabelledImages:
    """Decode and frame the bytes of one PNG, JPEG, WEBP, BMP or TIFF file.

    Args:
        content: The whole file.
        name: What to call it.
        image_shape: (C, H, W) that the model takes.
        resize_px: As for `load_images`.
        resampling: As for `load_images`.
        fit: As for `load_images`.

    Returns:
        One image without a label.

    Raises:
        DataError: It is no such file, is damaged, or is too large once decoded.
        OptionError: `resize_px` is too small for the shape.

    Example:
        >>> received_image(b"#!/bin/sh", name="upload", image_shape=(1, 28, 28))
        Traceback (most recent call last):
            ...
        shiftproof.errors.DataError: Cannot read 'upload' as an image: not a PNG, JPEG, WEBP, BMP or
        TIFF image.
    """
    frame = Frame(image_shape, resize_px=resize_px, resampling=resampling, fit=fit)
    try:
        image = decode(content).image
        if frame.is_too_large((image.height, image.width)):
            raise UnusableImage(
                f"{image.height} × {image.width} px, which is too long and thin to be resized"
            )
    except UnusableImage as error:
        raise DataError.cannot(f"read {name!r} as an image", error) from error
    frame.changes(len(image.getbands()), (image.height, image.width))
    pixels = torch.from_numpy(frame.apply(image).copy())[None]
    return LabelledImages(name, pixels, torch.tensor([UNKNOWN]), ())

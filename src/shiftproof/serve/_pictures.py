"""Images for a browser, pixel by pixel."""

from __future__ import annotations

import base64
import io

from PIL import Image
from torch import Tensor

MODES = {1: "L", 3: "RGB"}


def png_address(pixels: Tensor) -> str:
    """An image as a `data:` address that holds every pixel as it is.

    Args:
        pixels: uint8 (C, H, W), or float in [0, 1], which is rounded to the nearest level; C is 1 or 3.
    """
    levels = pixels if not pixels.is_floating_point() else pixels.clamp(0, 1).mul(255).round().byte()
    array = levels.movedim(0, -1).squeeze(-1).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array, MODES[len(pixels)]).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

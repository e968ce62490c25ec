"""The letter C of the article's worked example, as pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from shiftproof.errors import OptionError


def draw_letter_c(
    size_px: int = 7,
    *,
    stroke_px: int = 1,
    canvas_px: tuple[int, int] = (28, 28),
    position_px: tuple[int, int] = (10, 10),
) -> Tensor:
    """A letter C on a black canvas.

    Args:
        size_px: Height of the letter; its width is one less.
        stroke_px: Thickness; the opening needs at least one pixel.
        canvas_px: (height, width) of the image.
        position_px: (y, x) of the top left corner of the letter.

    Returns:
        uint8 (1, 1, H, W): 255 on the letter and 0 beside it.

    Raises:
        OptionError: A stroke that leaves no opening, or a letter that does not lie within its canvas.

    Convention:
        The canvas is larger than the letter, so that moving `position_px` moves the content and nothing is
        cut. Pinned by tests/data/test_letter.py.

    Source:
        The article shows the letter in a figure without saying how many pixels it has; the sizes are ours,
        the canvas is that of MNIST.

    Example:
        >>> letter = draw_letter_c(5, canvas_px=(5, 4), position_px=(0, 0))
        >>> print("\\n".join("".join(".#"[int(p > 0)] for p in row) for row in letter[0, 0]))
        .###
        #...
        #...
        #...
        .###
    """
    if not 1 <= stroke_px <= (size_px - 1) // 2:
        raise OptionError(
            "a stroke of at least 1 px that leaves an opening",
            f"{stroke_px} px in a letter of {size_px} px",
            fix="Use a size of at least 2 × the stroke + 1.",
        )
    glyph = _glyph(size_px, stroke_px)
    height, width = glyph.shape
    y, x = position_px
    if y < 0 or x < 0 or y + height > canvas_px[0] or x + width > canvas_px[1]:
        raise OptionError(
            f"a letter of {height} × {width} px within a canvas of {canvas_px[0]} × {canvas_px[1]} px",
            f"its corner at {position_px}",
        )
    canvas = torch.zeros(canvas_px, dtype=torch.uint8)
    canvas[y : y + height, x : x + width] = glyph
    return canvas[None, None]


def _glyph(size_px: int, stroke_px: int) -> Tensor:
    """Two bars and a back, without the outer corners: otherwise it is a bracket."""
    glyph = torch.zeros(size_px, size_px - 1, dtype=torch.uint8)
    glyph[:stroke_px] = glyph[size_px - stroke_px :] = glyph[:, :stroke_px] = 255
    for row in range(stroke_px):
        glyph[row, : stroke_px - row] = glyph[size_px - 1 - row, : stroke_px - row] = 0
    return glyph

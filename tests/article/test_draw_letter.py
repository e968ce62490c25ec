"""The letter C: what is drawn, and that moving its position moves its content."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from shiftproof.article import draw_letter_c
from shiftproof.errors import OptionError
from shiftproof.shifts import translate


def test_convention_the_letter_as_drawn_by_hand() -> None:
    drawn = ["..####", ".#####", "##....", "##....", "##....", ".#####", "..####"]
    letter = draw_letter_c(7, stroke_px=2, canvas_px=(7, 6), position_px=(0, 0))
    assert letter.dtype == torch.uint8
    assert letter.shape == (1, 1, 7, 6)
    assert letter[0, 0].tolist() == [[255 if c == "#" else 0 for c in row] for row in drawn]


@given(st.integers(0, 10), st.integers(0, 10))
def test_moving_its_position_moves_its_content(dy: int, dx: int) -> None:
    letter = draw_letter_c(9, stroke_px=2, position_px=(5, 6))
    moved = draw_letter_c(9, stroke_px=2, position_px=(5 + dy, 6 + dx))
    assert torch.equal(moved, translate(letter, (dy, dx), border="zeros"))


@given(st.integers(1, 6), st.integers(0, 8))
def test_it_is_one_piece_and_open_to_the_right(stroke_px: int, spare_px: int) -> None:
    size_px = 2 * stroke_px + 1 + spare_px
    letter = draw_letter_c(size_px, stroke_px=stroke_px, canvas_px=(size_px, size_px), position_px=(0, 0))[
        0, 0
    ].numpy()
    glyph = letter[:, : size_px - 1] > 0
    assert ndimage.label(glyph, ndimage.generate_binary_structure(2, 2))[1] == 1
    assert (glyph == glyph[::-1]).all()
    assert glyph[stroke_px : size_px - stroke_px, -1].sum() == (0 if size_px - 1 > stroke_px else 1)
    assert glyph[0, -1]
    assert glyph.any(0).all()
    assert glyph.any(1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stroke_px": 0}, "stroke of at least 1 px"),
        ({"stroke_px": 4}, "leaves an opening, got 4 px in a letter of 7 px"),
        ({"position_px": (22, 0)}, "letter of 7 × 6 px within a canvas of 28 × 28 px"),
        ({"position_px": (0, -1)}, "corner at"),
    ],
)
def test_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        draw_letter_c(7, **options)  # type: ignore[arg-type]

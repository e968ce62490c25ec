"""What the model is shown: every border, scenes, offsets of each image's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from shiftproof.errors import OptionError, ShapeError
from shiftproof.probe import Views
from shiftproof.shifts import (
    BORDERS,
    Grid,
    IntegerBox,
    Law,
    Offsets,
    ProtocolBorder,
    ShiftProtocol,
    UniformBox,
    find_protocol,
    translate,
)

IMAGES = torch.rand(3, 2, 9, 11, generator=torch.Generator().manual_seed(0))


def protocol(law: Law, border: ProtocolBorder) -> ShiftProtocol:
    return ShiftProtocol("test", law, border, "bilinear", "", "")


def shown(views: Views, shift: int, rows: slice = slice(0, 3), images: Tensor = IMAGES) -> Tensor:
    batch = views.batch(images[rows], rows)
    moved = batch.shifted(shift)
    return batch.unshifted() if moved is None else moved


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("law", [Grid(2), IntegerBox(2, 3, 4), UniformBox(2, 3, n_draws=2)], ids=repr)
def test_views_are_what_translate_gives(law: Law, border: ProtocolBorder) -> None:
    views = Views.draw(protocol(law, border), 3, (9, 11), seed=1)
    for shift in range(views.n_shifts):
        offset = views.offsets_px[..., shift, :]
        assert torch.equal(shown(views, shift), translate(IMAGES, offset, border=border))  # type: ignore[arg-type]


def test_a_batch_has_the_offsets_of_its_rows() -> None:
    views = Views.draw(protocol(IntegerBox(2, 3, 4), "zeros"), 3, (9, 11), seed=1)
    whole = shown(views, 2)
    assert torch.equal(shown(views, 2, slice(1, 3)), whole[1:3])


def test_nothing_is_computed_for_an_image_that_stays() -> None:
    views = Views.draw(protocol(Offsets(((0, 0), (0, 1))), "zeros"), 3, (9, 11), seed=0)
    batch = views.batch(IMAGES, slice(0, 3))
    assert batch.shifted(0) is None
    assert batch.shifted(1) is not None


@pytest.mark.parametrize("law", [Grid(2), IntegerBox(2, 2, 3), Offsets(((0.5, -1.5), (2, 0)))], ids=repr)
def test_convention_a_scene_is_a_moving_window(law: Law) -> None:
    """Moving the content down by dy shows the scene from dy rows further up; nothing is made up."""
    views = Views.draw(protocol(law, "scene"), 3, (9, 11), seed=0)
    assert (views.size_px, views.margin_px) == ((5, 7), (2, 2))
    assert torch.equal(views.unshifted(IMAGES), IMAGES[:, :, 2:7, 2:9])
    for shift in range(views.n_shifts):
        seen = shown(views, shift)
        for i in range(3):
            dy, dx = (views.offsets_px if views.shared else views.offsets_px[i])[shift].tolist()
            top, left = 2 - dy, 2 - dx
            whole = IMAGES[i : i + 1, :, int(top) : int(top) + 5, int(left) : int(left) + 7]
            if dy == int(dy) and dx == int(dx):
                assert torch.equal(seen[i : i + 1], whole)
            else:
                corners = IMAGES[i, :, int(top) : int(top) + 6, int(left) : int(left) + 8]
                mean = (corners[:, :-1] + corners[:, 1:]) / 2
                torch.testing.assert_close(seen[i], (mean[:, :, :-1] + mean[:, :, 1:]) / 2)


def test_a_scene_around_a_window_of_the_models_size() -> None:
    views = Views.draw(protocol(Grid(1), "scene"), 3, (9, 11), seed=0, window_px=(5, 5))
    assert (views.size_px, views.margin_px) == ((5, 5), (2, 3))
    with pytest.raises(ShapeError, match=r"1 px above and below .* got images of 9 × 11 px"):
        Views.draw(protocol(Grid(1), "scene"), 3, (9, 11), seed=0, window_px=(8, 5))


def test_shifts_beyond_the_image_are_refused() -> None:
    for reference in ("grid:9", "circular:9", "diagonal:11"):
        with pytest.raises(OptionError, match=r"smaller than the images \(9 × 11 px\)"):
            Views.draw(find_protocol(reference), 3, (9, 11), seed=0)
    with pytest.raises(ShapeError, match="moves a window on a larger image"):
        Views.draw(find_protocol("zhang-crop:5"), 3, (9, 11), seed=0)

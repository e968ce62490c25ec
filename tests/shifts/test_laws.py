"""Laws and protocols: ranges, order of axes, seeds, prefixes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.errors import OptionError, UnknownNameError
from shiftproof.shifts import Grid, IntegerBox, Law, UniformBox, protocols

SIZE_PX = (28, 20)


def draw(law: Law, n: int = 4000, seed: int = 0) -> torch.Tensor:
    return law.draw(n, SIZE_PX, torch.Generator().manual_seed(seed))


@given(st.integers(0, 6), st.integers(1, 3))
def test_grid_is_square_and_centred(steps: int, step_px: int) -> None:
    offsets = draw(Grid(steps * step_px, step_px))
    side = 2 * steps + 1
    assert offsets.shape == (side**2, 2)
    assert len(torch.unique(offsets, dim=0)) == side**2
    assert torch.equal(offsets.sort(0).values, -offsets.sort(0, descending=True).values)
    assert torch.equal(offsets[len(offsets) // 2], torch.zeros(2, dtype=torch.float64))


def test_convention_first_axis_is_y() -> None:
    offsets = draw(UniformBox(3, 0))
    assert offsets[..., 0].abs().max() > 2.9
    assert not offsets[..., 1].any()


def test_uniform_box_is_uniform() -> None:
    offsets = draw(UniformBox(3, 4, n_draws=5)).reshape(-1, 2)
    for axis, limit in enumerate((3, 4)):
        share = torch.histc(offsets[:, axis], bins=8, min=-limit, max=limit) / len(offsets)
        assert (share - 1 / 8).abs().max() < 0.01
        assert offsets[:, axis].abs().max() <= limit


def test_fractions_are_of_height_and_width() -> None:
    offsets = draw(UniformBox(0.1, 0.1, unit="image"))[:, 0]
    assert 2.7 < offsets[:, 0].abs().max() <= 2.8
    assert 1.9 < offsets[:, 1].abs().max() <= 2.0


def test_integer_box_has_every_offset_equally_often() -> None:
    offsets = draw(IntegerBox(1, 2), n=30_000)[:, 0]
    values, counts = torch.unique(offsets, dim=0, return_counts=True)
    assert len(values) == 15
    assert values.min(0).values.tolist() == [-1, -2]
    assert (counts / len(offsets) - 1 / 15).abs().max() < 0.01


@pytest.mark.parametrize("law", [UniformBox(3, 4, n_draws=3), IntegerBox(3, 4, n_draws=3)], ids=repr)
def test_fewer_images_are_a_prefix(law: Law) -> None:
    assert torch.equal(draw(law, n=7), draw(law, n=400)[:7])


@pytest.mark.parametrize("protocol", protocols, ids=lambda p: p.name)
def test_protocols_repeat_by_seed(protocol: object) -> None:
    from shiftproof.shifts import ShiftProtocol

    assert isinstance(protocol, ShiftProtocol)
    first = protocol.draw(50, SIZE_PX, seed=1)
    assert torch.equal(first, protocol.draw(50, SIZE_PX, seed=1))
    if isinstance(protocol.law, UniformBox):
        assert not torch.equal(first, protocol.draw(50, SIZE_PX, seed=2))
        assert len(torch.unique(first, dim=0)) == 50, "one draw per image"


def test_article_protocols_are_those_of_the_article() -> None:
    assert protocols.get("article-none").draw(3, (28, 28), seed=0).tolist() == [[0, 0]]
    assert protocols.get("article-small").law == UniformBox(1, 1)
    large = protocols.get("article-large").draw(10_000, (28, 28), seed=0)[:, 0].abs().amax(0)
    assert 2.99 < large[0] <= 3, "y: up to 3"
    assert 3.99 < large[1] <= 4, "x: up to 4"


def test_errors_say_what_to_do() -> None:
    with pytest.raises(OptionError, match="multiple of the step, got radius 3 px, step 2 px"):
        Grid(3, 2)
    with pytest.raises(OptionError, match="finite offsets"):
        UniformBox(-1, 2)
    with pytest.raises(OptionError, match="from 1 to 1,000,000 shifts"):
        IntegerBox(1, 1, n_draws=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'article-small'"):
        protocols.get("article-smal")

"""The network on a circle against the same network built with circular layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.explain._circular import CircularBorders
from shiftproof.layers import BlurPool2d
from shiftproof.shifts import translate


class Functional(nn.Module):
    """What is written as functions: padding of its own, pools by keyword and by position."""

    def forward(self, maps: Tensor) -> Tensor:
        maps = F.pad(maps, (1, 2, 0, 1))
        maps = F.max_pool2d(maps, (2, 4), 1, 0)
        maps = F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
        return F.pad(maps, (0, 0, 0, 0, 1, 0))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.Conv2d(2, 2, (5, 3), padding="same", dilation=(1, 2), groups=2),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.MaxPool2d(3, 1, 1),
        nn.AvgPool2d(3, 1, padding=1),
        nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(2, 2, 3)),
        BlurPool2d(2, stride=1, border="zeros"),
        BlurPool2d(2, stride=1, border="reflect"),
        Functional(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_commute_with_circular_shifts_on_a_circle_only(layer: nn.Module) -> None:
    maps = torch.rand(2, 2, 10, 12, generator=torch.Generator().manual_seed(0))
    maps[:, :, 0] += 5
    shift = (3, -4)
    with torch.no_grad():
        with CircularBorders():
            after = layer(translate(maps, shift, border="circular"))
            before = translate(layer(maps), shift, border="circular")
        assert_close(after, before)
        plain = layer(translate(maps, shift, border="circular"))
    assert not torch.allclose(plain, before, atol=1e-3)


def test_a_circular_twin_is_the_layer_built_so() -> None:
    torch.manual_seed(0)
    zeros = nn.Conv2d(2, 3, 5, stride=2, padding=2)
    around = nn.Conv2d(2, 3, 5, stride=2, padding=2, padding_mode="circular")
    around.load_state_dict(zeros.state_dict())
    maps = torch.rand(1, 2, 8, 8)
    with torch.no_grad(), CircularBorders():
        assert_close(zeros(maps), around(maps))
    with torch.no_grad():
        assert not torch.allclose(zeros(maps), around(maps))


def test_what_has_no_border_is_left_alone() -> None:
    maps = torch.rand(1, 2, 8, 8)
    cut = F.pad(maps, (-1, -1, 0, 0))
    with CircularBorders():
        assert torch.equal(F.pad(maps, (-1, -1, 0, 0)), cut)
        assert F.max_pool2d(maps, 2).shape == (1, 2, 4, 4)
        assert F.max_pool2d(maps, 2, return_indices=True)[1].shape == (1, 2, 4, 4)

"""A blur whose kernel follows the content."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers import AdaptiveBlurPool2d, BlurPool2d


def drawn() -> AdaptiveBlurPool2d:
    torch.manual_seed(0)
    layer = AdaptiveBlurPool2d(4, groups=2).eval()
    torch.nn.init.normal_(layer.conv.weight)
    return layer


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_it_starts_as_a_binomial_blur(kernel_size: int) -> None:
    maps = torch.rand(2, 4, 12, 13)
    found = AdaptiveBlurPool2d(4, groups=2, kernel_size=kernel_size)(maps)
    torch.testing.assert_close(found, BlurPool2d(4, kernel_size=kernel_size)(maps))


def test_it_is_the_sum_that_its_definition_says() -> None:
    layer, maps = drawn(), torch.rand(1, 4, 6, 7)
    wide = F.pad(maps, (1, 1, 1, 1), mode="reflect")
    with torch.no_grad():
        found, logits = layer(maps), layer.norm(layer.conv(wide))
    for group in (0, 1):
        for y, x in ((0, 0), (1, 2), (2, 3)):
            kernel = logits[0, 9 * group : 9 * group + 9, y, x].softmax(0).view(3, 3)
            for channel in (2 * group, 2 * group + 1):
                window = wide[0, channel, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
                torch.testing.assert_close(found[0, channel, y, x], (window * kernel).sum())


def test_a_constant_map_stays_and_gradients_reach_the_kernel() -> None:
    layer = drawn()
    torch.testing.assert_close(layer(torch.full((1, 4, 8, 8), 0.7)), torch.full((1, 4, 4, 4), 0.7))
    layer(torch.rand(1, 4, 8, 8)).square().sum().backward()
    assert layer.conv.weight.grad is not None
    assert float(layer.conv.weight.grad.abs().max()) > 0


def test_mistakes_are_said() -> None:
    with pytest.raises(OptionError, match="`groups` that divide the 4 channels"):
        AdaptiveBlurPool2d(4, groups=3)
    with pytest.raises(OptionError, match="an odd `kernel_size`"):
        AdaptiveBlurPool2d(4, groups=2, kernel_size=4)
    with pytest.raises(ShapeError, match="4 channels"):
        drawn()(torch.zeros(1, 3, 8, 8))

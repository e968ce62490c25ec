"""A blur that is built before it is known how many channels there will be."""

from __future__ import annotations

import pytest
import torch

from shiftproof.errors import OptionError
from shiftproof.layers import BlurPool2d, MaxBlurPool2d


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("border", ["zeros", "reflect", "circular"])
def test_it_is_that_of_the_channels_that_come(channels: int, border: str) -> None:
    maps = torch.rand(2, channels, 9, 10)
    for kind in (BlurPool2d, MaxBlurPool2d):
        found = kind(None, border=border)(maps)  # type: ignore[arg-type]
        assert torch.equal(found, kind(channels, border=border)(maps))  # type: ignore[arg-type]


def test_a_learned_kernel_needs_to_know() -> None:
    with pytest.raises(OptionError, match="`channels` of at least 1, got None"):
        BlurPool2d(None, learned=True)

"""Windows against torch: how many there are, and what each of them looks at."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given
from hypothesis import strategies as st

from shiftproof.anatomy import Border, Slide

MODES: dict[Border, str] = {
    "zeros": "constant",
    "edge": "replicate",
    "reflect": "reflect",
    "circular": "circular",
}


@given(
    st.integers(1, 12),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from(sorted(MODES)),
)
def test_windows_are_those_of_a_convolution(
    length: int, kernel_size: int, stride: int, dilation: int, padding: int, border: Border
) -> None:
    slide = Slide(
        (kernel_size, 1),
        (stride, 1),
        (padding, 0),
        (padding, 0),
        border,
        (dilation, 1),
    )
    assume(length + 2 * padding >= slide.extent(0))
    assume(padding < length)
    row = torch.eye(length, dtype=torch.float64)[:, None]
    padded = F.pad(row, (padding, padding), mode=MODES[border])
    seen = F.conv1d(
        padded, torch.ones(1, 1, kernel_size, dtype=torch.float64), stride=stride, dilation=dilation
    )[:, 0]
    assert slide.n_outputs(0, length) == seen.shape[1]
    for window in range(seen.shape[1]):
        assert slide.reads(0, length, window) == set(seen[:, window].nonzero().flatten().tolist())


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.booleans())
def test_pools_have_as_many_windows_as_torch_says(
    length: int, kernel_size: int, stride: int, padding: int, ceil: bool
) -> None:
    assume(2 * padding <= kernel_size)
    assume(length + 2 * padding >= kernel_size)
    slide = Slide((kernel_size, 1), (stride, 1), (padding, 0), (padding, 0), ceil=ceil)
    pooled = F.max_pool2d(
        torch.zeros(1, 1, length, 1), (kernel_size, 1), (stride, 1), (padding, 0), ceil_mode=ceil
    )
    assert slide.n_outputs(0, length) == pooled.shape[2]


@pytest.mark.parametrize(
    ("slide", "text", "padding"),
    [
        (Slide((3, 3), (2, 2), (1, 1), (1, 1)), "3, stride 2", "zeros 1"),
        (Slide((1, 3), border="circular", before=(0, 1), after=(0, 1)), "1 × 3", "circular 0 × 1"),
        (Slide((1, 1), before=(-1, 0)), "1 × 1", "crop"),
    ],
)
def test_windows_in_words(slide: Slide, text: str, padding: str) -> None:
    assert (str(slide), slide.padding) == (text, padding)

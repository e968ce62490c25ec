"""Which pixels a position sees, against the closed form for convolutions and pools."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftproof.adapters import as_classifier
from shiftproof.explain._space import Space, arranged
from shiftproof.explain._watched_network import WatchedNetwork, watch_network
from shiftproof.explain._watching import IMAGES
from shiftproof.layers import AdaptivePolyphase2d, BlurPool2d, LowPassPool2d, MaxBlurPool2d


class WithHead(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.body(images).flatten(1)
        return logits


def graph_of(*layers: nn.Module, size: tuple[int, int] = (24, 20), channels: int = 2) -> WatchedNetwork:
    with torch.no_grad():
        return watch_network(as_classifier(WithHead(*layers).eval()), torch.rand(2, channels, *size))


def space_of(*layers: nn.Module, size: tuple[int, int] = (24, 20)) -> Space:
    found = [step.space for step in graph_of(*layers, size=size).steps.values() if step.layer is not None]
    assert found[-1] is not None
    return found[-1]


def axis(space: Space, number: int) -> tuple[object, object, object]:
    first = space.first[number] if space.first else None
    last = space.last[number] if space.last else None
    return space.stride[number], first, last


LAYER = st.tuples(
    st.sampled_from(["conv", "max", "average"]),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(0, 2),
    st.sampled_from(["zeros", "circular", "reflect"]),
)


def build(kind: str, kernel: int, stride: int, padding: int, mode: Any) -> nn.Module:
    if kind == "conv":
        return nn.Conv2d(2, 2, kernel, stride, padding, padding_mode=mode)
    pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
    return pool(kernel, stride, min(padding, kernel // 2))


@settings(max_examples=15)
@given(st.lists(LAYER, min_size=1, max_size=2), st.sampled_from([(24, 20), (40, 36), (17, 19)]))
def test_stride_and_window_are_those_of_the_closed_form(
    layers: list[tuple[str, int, int, int, str]], size: tuple[int, int]
) -> None:
    stride, first, last = 1, 0, 0
    for kind, kernel, step, padding, _ in layers:
        padded = padding if kind == "conv" else min(padding, kernel // 2)
        last += (max(kernel, step) - 1 - padded) * stride  # of what a stride leaves out, any may be chosen
        first -= padded * stride
        stride *= step
    space = space_of(*(build(*layer) for layer in layers), size=size)
    for number in (0, 1):
        assert axis(space, number) == (stride, first, last)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (BlurPool2d(2, border="circular"), (2, -1, 1)),
        (BlurPool2d(2, kernel_size=5, stride=1), (1, -2, 2)),
        (MaxBlurPool2d(2), (2, -1, 2)),
        (AdaptivePolyphase2d(), (2, 0, 1)),
        (nn.Conv2d(2, 2, 3, dilation=2, padding=2), (1, -2, 2)),
        (nn.Upsample(scale_factor=2), (Fraction(1, 2), Fraction(-1, 2), 0)),
        (nn.PixelUnshuffle(2), (2, 0, 1)),
        (nn.ZeroPad2d(5), (1, -5, -5)),
        (nn.ReplicationPad2d((0, 0, 7, 2)), (1, -7, -7)),
        (nn.ZeroPad2d(-4), (1, 4, 4)),
        (nn.Sequential(nn.ZeroPad2d(6), nn.MaxPool2d(2)), (2, -6, -5)),
        (LowPassPool2d(), (2, None, None)),
        (nn.GroupNorm(1, 2), (1, None, None)),
        (nn.BatchNorm2d(2), (1, 0, 0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_are_none_of_torchs_own_windows(
    layer: nn.Module, expected: tuple[Fraction, Fraction | None, Fraction | None]
) -> None:
    assert axis(space_of(layer), 0) == expected


def test_a_step_down_only_has_its_own_stride() -> None:
    space = space_of(nn.MaxPool2d((3, 1), (3, 1)))
    assert axis(space, 0) == (3, 0, 2)
    assert axis(space, 1) == (1, 0, 0)


class Patches(nn.Module):
    """The beginning of a transformer: patches as tokens, one more token before them, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(2, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.mlp = nn.Linear(8, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patch(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = self.mlp(tokens)
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def test_tokens_are_positions() -> None:
    graph = watch_network(as_classifier(Patches().eval()), torch.rand(2, 2, 24, 20))
    mlp, attention = graph.steps["mlp"].space, graph.steps["attention"].space
    assert mlp is not None
    assert attention is not None
    assert (mlp.layout, mlp.size, mlp.n_extra) == ("nlc", (6, 5), 1)
    assert axis(mlp, 0) == (4, 0, 3)
    assert axis(attention, 1) == (4, None, None)
    assert graph.steps["head"].is_row
    assert graph.steps[graph.answer].kind == "Linear"


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((2, 6, 5, 8), "nhwc"),
        ((2, 8, 6, 5), "nchw"),
        ((2, 8, 30), "ncl"),
        ((2, 31, 8), "nlc"),
        ((2, 7), None),
    ],
)
def test_layouts(shape: tuple[int, ...], layout: str | None) -> None:
    found = arranged(shape, Space("nchw", 8, (6, 5)))
    assert (found.layout if found else None) == layout


def test_convention_maps_are_channels_rows_columns() -> None:
    tokens = torch.arange(2 * 7 * 3).reshape(2, 7, 3)
    maps = Space("nlc", 3, (2, 3), n_extra=1).maps(tokens)
    assert maps.shape == (2, 3, 2, 3)
    assert maps[1, 2, 1, 0] == tokens[1, 1 + 3, 2]
    rows = torch.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    assert Space("nhwc", 4, (2, 3)).maps(rows)[1, 3, 0, 2] == rows[1, 0, 2, 3]


def test_a_sum_sees_what_its_parts_see() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 5, padding=2)

        def forward(self, maps: Tensor) -> Tensor:
            total: Tensor = maps + self.conv(maps)
            return total

    graph = graph_of(Residual())
    space = graph.steps["body.0.add"].space
    assert space is not None
    assert axis(space, 0) == (1, -2, 2)
    assert set(graph.steps["body.0.add"].inputs) == {IMAGES, "body.0.conv"}

"""Where positions lie, by arithmetic that was done by hand; and which tensors are alive, by running on."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from shiftproof.anatomy import (
    Motion,
    Place,
    Placed,
    Reason,
    Steps,
    common_stride,
    commutes,
    find_cuts,
    find_places,
    read_network,
)
from shiftproof.layers import AdaptivePolyphase2d, BlurPool2d

Size = tuple[int, int]


def steps_of(network: nn.Module, size: Size, channels: int = 2) -> Steps:
    torch.manual_seed(0)
    steps = read_network(network.eval(), (channels, *size))
    assert isinstance(steps, Steps), str(steps)
    return steps


def last_place(*layers: nn.Module, size: Size = (24, 20)) -> Placed:
    """Of what the layers give, before a head."""
    steps = steps_of(nn.Sequential(*layers, nn.Flatten()), size)
    return find_places(steps)[steps.steps[-2].node]


@pytest.mark.parametrize(
    ("layers", "size", "positions", "stride", "content"),
    [
        ([nn.Conv2d(2, 3, 3)], (24, 20), (22, 18), 1, ((0, 22), (0, 18))),
        ([nn.Conv2d(2, 3, 3, 2, 1)], (24, 20), (12, 10), 2, ((0, 12), (0, 10))),
        ([nn.Conv2d(2, 3, 7, 2, 3), nn.MaxPool2d(3, 2, 1)], (24, 24), (6, 6), 4, ((0, 6), (0, 6))),
        # TF-style: one position after, then a window of 3: windows stand over 1, 3, 5 …
        ([nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 3, 3, 2)], (24, 20), (12, 10), 2, ((0, 12), (0, 10))),
        ([nn.ZeroPad2d(2)], (24, 20), (28, 24), 1, ((2, 26), (2, 22))),
        ([nn.ZeroPad2d(2), nn.Conv2d(2, 2, 5)], (24, 20), (24, 20), 1, ((0, 24), (0, 20))),
        # Padded by all but one tap: the outermost windows have their middle outside of the image.
        ([nn.Conv2d(2, 3, 5, padding=4)], (24, 20), (28, 24), 1, ((2, 26), (2, 22))),
        ([nn.MaxPool2d(2, ceil_mode=True)], (25, 21), (13, 11), 2, ((0, 13), (0, 11))),
        ([nn.Conv2d(2, 3, 3, padding=2, dilation=2)], (24, 20), (24, 20), 1, ((0, 24), (0, 20))),
        ([nn.MaxPool2d(4), nn.Upsample(scale_factor=2)], (24, 16), (12, 8), 2, ((0, 12), (0, 8))),
        ([nn.PixelUnshuffle(2)], (24, 20), (12, 10), 2, ((0, 12), (0, 10))),
        ([nn.Upsample(scale_factor=2)], (24, 20), (48, 40), Fraction(1, 2), ((0, 48), (0, 40))),
        ([BlurPool2d(2)], (24, 20), (12, 10), 2, ((0, 12), (0, 10))),
        ([AdaptivePolyphase2d(stride=2)], (24, 20), (12, 10), 2, ((0, 12), (0, 10))),
        ([nn.AdaptiveAvgPool2d((24, 20))], (24, 20), (24, 20), 1, ((0, 24), (0, 20))),
    ],
)
def test_stride_and_content_are_those_of_the_arithmetic(
    layers: list[nn.Module], size: Size, positions: Size, stride: int | Fraction, content: tuple[Size, Size]
) -> None:
    place = last_place(*layers, size=size)
    assert isinstance(place, Place)
    assert place.size == positions
    assert place.stride_px == (Fraction(stride), Fraction(stride))
    assert place.content == content
    assert not place.by_shape
    assert place.chosen == any(isinstance(layer, AdaptivePolyphase2d) for layer in layers)


def test_strides_of_the_case_stay_right_after_a_padding_layer() -> None:
    layers: list[nn.Module] = []
    for _ in range(5):
        layers += [nn.Conv2d(2, 2, 3, stride=2, padding=1), nn.ReLU()]
    for _ in range(3):
        layers += [nn.ZeroPad2d(2), nn.Conv2d(2, 2, 5, groups=2), nn.ReLU6()]
    place = last_place(*layers, size=(224, 224))
    assert isinstance(place, Place)
    assert place.size == (7, 7)
    assert place.stride_px == (Fraction(32), Fraction(32))
    padded = last_place(*layers[:11], size=(224, 224))
    assert isinstance(padded, Place)
    assert (padded.size, padded.content) == ((11, 11), ((2, 9), (2, 9)))
    assert padded.stride_px == place.stride_px


class Tokens(nn.Module):
    """A patch embedding, a class token, positions, and attention; the token is read."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, 8, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.position = nn.Parameter(torch.randn(1, 31, 8))
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], 1) + self.position
        tokens = tokens + self.attention(tokens, tokens, tokens, need_weights=False)[0]
        logits: Tensor = self.head(tokens[:, 0])
        return logits


def test_tokens_keep_their_places_and_those_before_them_have_none() -> None:
    steps = steps_of(Tokens(), (24, 20))
    places = find_places(steps)
    found = [places[step.node] for step in steps.steps]
    maps = [place for place in found if isinstance(place, Place)]
    assert maps[1].axes == (2, 3)
    after = maps[-1]
    assert (after.axes, after.size, after.n_extra) == ((1, 1), (6, 5), 1)
    assert after.stride_px == (Fraction(4), Fraction(4))
    assert not after.by_shape
    assert found[-2:] == [None, None], "the class token, and the answer"


def test_maps_are_seen_as_images_whatever_the_order_of_their_axes() -> None:
    values = torch.rand(2, 3, 4, 5)
    expected = values.clone()
    assert torch.equal(Place((2, 3), (4, 5)).maps(values), expected)
    assert torch.equal(Place((1, 2), (4, 5)).maps(values.permute(0, 2, 3, 1)), expected)
    lines = values.flatten(2)
    assert torch.equal(Place((2, 2), (4, 5)).maps(lines), expected)
    tokens = torch.cat([torch.zeros(2, 1, 3), lines.transpose(1, 2)], 1)
    assert torch.equal(Place((1, 1), (4, 5), n_extra=1).maps(tokens), expected)
    assert torch.equal(Place((0, 0), (4, 5), images=1).maps(lines.permute(2, 0, 1)), expected)
    assert torch.equal(Place((2, None), (4, 1)).maps(values[..., 0]), expected[..., :1])
    assert torch.equal(Place((None, 2), (1, 5)).maps(values[:, :, 0]), expected[:, :, :1])


def test_what_is_written_into_maps_is_written_into_the_tensor() -> None:
    tokens = torch.zeros(2, 21, 3)
    Place((1, 1), (4, 5), n_extra=1).maps(tokens)[:] = 1
    assert (tokens[:, :1] == 0).all()
    assert (tokens[:, 1:] == 1).all()


class Branches(nn.Module):
    """A residual sum, a gate, and a value that is computed early and read late."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 3, 2, 1)
        self.inner = nn.Conv2d(4, 4, 3, padding=1)
        self.gate = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        early = images.mean((2, 3))
        maps = self.stem(images)
        inner = self.inner(maps).relu()
        gated = inner * self.gate(inner.mean((2, 3), keepdim=True)).sigmoid()
        summed = (maps + gated).mean((2, 3))
        logits: Tensor = self.head(torch.cat([summed, early, early], 1))
        return logits


def test_what_is_alive_is_what_is_read_later() -> None:
    steps = steps_of(Branches(), (8, 8))
    alive = {cut.step.node.name: {node.name for node in cut.alive} for cut in find_cuts(steps)}
    assert alive["images"] == {"images"}
    assert alive["mean"] == {"images", "mean"}
    assert alive["stem"] == {"mean", "stem"}
    assert alive["inner"] == {"mean", "stem", "inner"}
    assert alive["gate"] == {"mean", "stem", "relu", "gate"}
    assert alive["add"] == {"mean", "add"}
    assert alive["head"] == {"head"}


def test_the_common_stride_is_the_least_that_all_move_by() -> None:
    def at(down: Fraction | int, right: int) -> Place:
        return Place((2, 3), (4, 4), (Fraction(down), Fraction(right)))

    assert common_stride([at(4, 2), at(6, 1), None]) == (12, 2)
    assert common_stride([at(Fraction(1, 2), 3)]) == (1, 3)
    assert common_stride([None]) == (1, 1)


AROUND, BETWEEN, BORDER, INSIDE = (
    Motion(around=True),
    Motion(around=True, fractions=True),
    Motion(around=True, real_border=True),
    Motion(around=False, real_border=True),
)


@pytest.mark.parametrize(
    ("layer", "motions"),
    [
        (nn.Conv2d(2, 2, 3, padding=1), {AROUND, BETWEEN}),
        (nn.Conv2d(2, 2, 3, stride=2, padding=1), set()),
        (nn.Conv2d(2, 2, 1), {AROUND, BETWEEN, BORDER}),
        (nn.MaxPool2d(3, 1, 1), {AROUND}),
        (nn.ReLU(), {AROUND, BORDER, INSIDE}),
        (nn.BatchNorm2d(2), {AROUND, BETWEEN, BORDER, INSIDE}),
        (nn.GroupNorm(1, 2), {AROUND, BORDER}),
        (nn.AdaptiveAvgPool2d(1), {AROUND, BETWEEN, BORDER}),
        (nn.AdaptiveMaxPool2d(1), {AROUND, BORDER}),
        (nn.Flatten(), set()),
        (AdaptivePolyphase2d(stride=2), set()),
        (nn.Upsample(scale_factor=2), set()),
    ],
)
def test_what_commutes_with_moves(layer: nn.Module, motions: set[Motion]) -> None:
    steps = steps_of(nn.Sequential(layer, nn.Flatten()), (8, 8))
    places = find_places(steps)
    parents = [places[steps.steps[0].node]]
    every = (AROUND, BETWEEN, BORDER, INSIDE)
    assert {m for m in every if commutes(steps.steps[1], parents, (8, 8), m)} == motions


def test_of_what_is_not_known_the_reason_is_kept() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d((3, 7)), nn.Flatten())  # Windows of different sizes.
    steps = steps_of(network, (8, 20))
    kept = [place for place in find_places(steps).values() if isinstance(place, Reason)]
    assert kept
    assert all(reason.text for reason in kept)

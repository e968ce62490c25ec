"""Every kind of layer that anatomy knows, once: by hand, by brute force, and in all rooms that read it.

A case says by hand how many positions a layer leaves, where they lie and what they see, under which circular
shifts its answer only rolls, and whether windows of a canvas share it. Brute force says whether that is so.
Then anatomy, explain, certify and dense are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from tests.anatomy.test_positions import chain, summary
from tests.certify.brute_force import broken_circular, change_under_rolls
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.anatomy import (
    Located,
    Motion,
    Place,
    Reason,
    Step,
    Steps,
    commutes,
    find_circular,
    find_places,
    locate,
    read_network,
)
from shiftproof.anatomy._calls import DROPOUT_LAYERS, LAYERS, POINTWISE_LAYERS
from shiftproof.anatomy._layer_rules import RULES
from shiftproof.certify import certify
from shiftproof.dense import NotPlanned, RollPlan, WindowPlan, plan_rolls, plan_windows
from shiftproof.explain._circular import CircularBorders
from shiftproof.explain._patch import moved_maps
from shiftproof.layers import (
    AdaptiveBlurPool2d,
    AdaptivePolyphase2d,
    AliasFreeActivation,
    BlurPool2d,
    CircularMaxPool2d,
    DetailPreservingPool2d,
    GlobalMeanPool,
    LearnedPolyphase2d,
    LowPassPool2d,
    MaxBlurPool2d,
    PolyphaseAnchor2d,
    PrimaryCapsules,
    RoutedCapsules,
)

Pair = tuple[int, int]
CHANNELS, HEIGHT, WIDTH = SHAPE = (4, 12, 8)
SIZE, HALVED, DOUBLED = (12, 8), (6, 4), (24, 16)
TOLERANCE = 1e-9
# Stride, centre and receptive field of two positions for each pixel, the first where it was.
BLOCKS, OVERLAPPING = (Fraction(1, 2), Fraction(-1, 4), 1), (Fraction(1, 2), Fraction(-1, 4), 2)
OFFSETS = torch.tensor([[0, 0], [1, 0], [-2, 4], [3, -5], [7, 2]])
N_WINDOWS = (2, 3)
MAPS, LINES, TOKENS = (2, 3), (2,), (1,)
# All read alike: two of them are tried every day.
OF_EACH_NUMBER = tuple(kind for kind in (*POINTWISE_LAYERS, *DROPOUT_LAYERS) if kind is not nn.Dropout1d)
ALIKE = {kind.__name__ for kind in OF_EACH_NUMBER} - {"ReLU", "Dropout2d"}


class Case(NamedTuple):
    """A layer of maps (N, 4, 12, 8).

    Args:
        build: The layer.
        n: Positions that it leaves, down and right; None where it leaves none.
        sees: What a position sees and where it lies: windows as in `chain`, or stride, centre and receptive
            field.
        all_over: Whether a position depends on all others as well.
        step: Multiples of so many pixels, down and right, by which images roll without changing the mean over
            all positions of a function of what it gives; None where there are none.
        shared: Whether windows of a canvas share it.
        quiet: Whether it does the same to maps that go around before and after they are moved.
        by_content: Whether it chooses positions by their content, which plans leave alone.
        axes: Of its answer, along which positions lie. Layers of `lines`, (N, 4, 96), and of `tokens`,
            (N, 96, 4), get these instead of maps.
        more: Whether finer steps happen to be true, by what its kernel or its padding holds.
    """

    build: Callable[[], nn.Module]
    n: Pair | None = SIZE
    sees: str | tuple[Fraction, Fraction, int] = "1"
    all_over: bool = False
    step: Pair | None = (1, 1)
    shared: bool = True
    quiet: bool = True
    by_content: bool = False
    axes: tuple[int, ...] = MAPS
    more: bool = False


def conv(*args: Any, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, CHANNELS, *args, **options)


def strided(build: Callable[[], nn.Module], sees: str = "2/2@0", *, shared: bool = True) -> Case:
    """Half as many positions on a grid that closes: rolls by 2 px remain."""
    return Case(build, HALVED, sees, step=(2, 2), shared=shared, quiet=False)


def bordered(
    build: Callable[[], nn.Module], n: Pair, sees: str | tuple[Fraction, Fraction, int], **others: Any
) -> Case:
    """What comes in from outside differs near the border, for windows and on a circle."""
    return Case(build, n, sees, step=None, shared=False, **others)


def finer(build: Callable[[], nn.Module]) -> Case:
    """Two positions down and two to the right for each pixel."""
    return Case(build, DOUBLED, BLOCKS, shared=False, quiet=False)


def statistics(build: Callable[[], nn.Module], **others: Any) -> Case:
    """Each position beside all others, whatever their order."""
    return Case(build, all_over=True, shared=False, **others)


def chosen(build: Callable[[], nn.Module]) -> Case:
    """Half of the positions, those that the content chooses: they follow every roll."""
    return Case(build, HALVED, "2/2@0", all_over=True, shared=False, quiet=False, by_content=True)


def each_number(kind: type[nn.Module]) -> Case:
    """The same function of each number alone."""
    return Case(lambda: kind(0.1, 0.0) if kind is nn.Threshold else kind())


class OfTokens(nn.Module):
    """Attention, of which the first answer is taken."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.MultiheadAttention(CHANNELS, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        found: Tensor = self.layer(tokens, tokens, tokens, need_weights=False)[0]
        return found


def capsules() -> PrimaryCapsules:
    """5 × 3 positions of 2 capsules."""
    return PrimaryCapsules(CHANNELS, n_maps=2, length=3, kernel=3)


def encoder_layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(CHANNELS, 2, 8, batch_first=True)


CASES: dict[str, Case] = {
    # Windows.
    "Conv2d": Case(lambda: conv(3), (10, 6), "3@0", step=None),
    "Conv2d, zeros": bordered(lambda: conv(3, padding=1), SIZE, "3"),
    "Conv2d, same": bordered(lambda: conv(4, padding="same"), SIZE, "4@1"),
    "Conv2d, reflected": bordered(lambda: conv(3, padding=1, padding_mode="reflect"), SIZE, "3"),
    "Conv2d, strided and padded": bordered(lambda: conv(3, 2, 1), HALVED, "3/2", quiet=False),
    "Conv2d, strided": strided(lambda: conv(2, 2)),
    "Conv2d, around": Case(lambda: conv(5, padding=2, padding_mode="circular"), sees="5", shared=False),
    "Conv2d, dilated": Case(
        lambda: conv(3, padding=2, dilation=2, padding_mode="circular"), sees="3x2", shared=False
    ),
    "Conv2d, depthwise": Case(
        lambda: conv(3, padding=1, padding_mode="circular", groups=4), sees="3", shared=False
    ),
    "MaxPool2d": strided(lambda: nn.MaxPool2d(2)),
    "MaxPool2d, padded": bordered(lambda: nn.MaxPool2d(3, 2, 1), HALVED, "3/2", quiet=False),
    "MaxPool2d, rounded up": bordered(
        lambda: nn.MaxPool2d(5, 4, ceil_mode=True), (3, 2), "5/4@0", quiet=False
    ),
    "AvgPool2d": strided(lambda: nn.AvgPool2d(2)),
    "LPPool2d": strided(lambda: nn.LPPool2d(2, 2)),
    "AdaptiveAvgPool2d": strided(lambda: nn.AdaptiveAvgPool2d(HALVED)),
    "AdaptiveMaxPool2d": strided(lambda: nn.AdaptiveMaxPool2d(HALVED)),
    "AdaptiveAvgPool2d, all": Case(lambda: nn.AdaptiveAvgPool2d(1), None),
    "AdaptiveMaxPool2d, all": Case(lambda: nn.AdaptiveMaxPool2d(1), None),
    "PixelUnshuffle": strided(lambda: nn.PixelUnshuffle(2)),
    # Borders.
    "ZeroPad2d": bordered(lambda: nn.ZeroPad2d(1), (14, 10), "1@1", more=True),
    "ZeroPad2d, TensorFlow": bordered(lambda: nn.ZeroPad2d((0, 1, 0, 1)), (13, 9), "1@0", more=True),
    "ConstantPad2d": bordered(lambda: nn.ConstantPad2d(1, 0.5), (14, 10), "1@1", more=True),
    "ReflectionPad2d": bordered(lambda: nn.ReflectionPad2d(1), (14, 10), "1@1"),
    "ReplicationPad2d": bordered(lambda: nn.ReplicationPad2d(1), (14, 10), "1@1"),
    "CircularPad2d": bordered(lambda: nn.CircularPad2d(1), (14, 10), "1@1"),
    "ZeroPad2d, cropping": Case(lambda: nn.ZeroPad2d((-1, 0, -1, 0)), (11, 7), "1@-1", step=None),
    # Finer grids.
    "Upsample": finer(lambda: nn.Upsample(scale_factor=2)),
    "Upsample, bilinear": bordered(
        lambda: nn.Upsample(scale_factor=2, mode="bilinear"), DOUBLED, OVERLAPPING, quiet=False
    ),
    "UpsamplingBilinear2d": bordered(
        lambda: nn.UpsamplingBilinear2d((23, 15)), (23, 15), (Fraction(1, 2), Fraction(0), 2), quiet=False
    ),
    "UpsamplingNearest2d": finer(lambda: nn.UpsamplingNearest2d(scale_factor=2)),
    "PixelShuffle": finer(lambda: nn.PixelShuffle(2)),
    "ConvTranspose2d": finer(lambda: nn.ConvTranspose2d(CHANNELS, 3, 2, 2)),
    "ConvTranspose2d, overlapping": bordered(
        lambda: nn.ConvTranspose2d(CHANNELS, 3, 4, 2, 1), DOUBLED, OVERLAPPING, quiet=False
    ),
    # Statistics of all positions.
    "GroupNorm": statistics(lambda: nn.GroupNorm(2, CHANNELS)),
    "InstanceNorm2d": statistics(lambda: nn.InstanceNorm2d(CHANNELS)),
    "LayerNorm of maps": statistics(lambda: nn.LayerNorm(SHAPE)),
    "RMSNorm of maps": statistics(lambda: nn.RMSNorm(SHAPE)),
    "MultiheadAttention": statistics(OfTokens, axes=TOKENS),
    "TransformerEncoderLayer": statistics(encoder_layer, axes=TOKENS),
    "TransformerEncoder": statistics(
        lambda: nn.TransformerEncoder(encoder_layer(), 2, enable_nested_tensor=False), axes=TOKENS
    ),
    # Each position alone.
    "BatchNorm2d": Case(lambda: nn.BatchNorm2d(CHANNELS)),
    "SyncBatchNorm": Case(lambda: nn.SyncBatchNorm(CHANNELS)),
    "LocalResponseNorm": Case(lambda: nn.LocalResponseNorm(2)),
    "ChannelShuffle": Case(lambda: nn.ChannelShuffle(2)),
    "PReLU": Case(lambda: nn.PReLU(CHANNELS)),
    "Softmax2d": Case(nn.Softmax2d),
    "Softmax": Case(lambda: nn.Softmax(1)),
    "Softmin": Case(lambda: nn.Softmin(1)),
    "LogSoftmax": Case(lambda: nn.LogSoftmax(1)),
    "GLU": Case(lambda: nn.GLU(1)),
    "LayerNorm": Case(lambda: nn.LayerNorm(CHANNELS), axes=TOKENS),
    "RMSNorm": Case(lambda: nn.RMSNorm(CHANNELS), axes=TOKENS),
    "Linear": Case(lambda: nn.Linear(CHANNELS, 3), axes=TOKENS),
    "BatchNorm1d": Case(lambda: nn.BatchNorm1d(CHANNELS), axes=LINES),
    "Dropout1d": Case(nn.Dropout1d, axes=LINES),
    "Flatten": Case(lambda: nn.Flatten(2), axes=LINES),
    "Unflatten": Case(lambda: nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Flatten(1, 2))),
    # Of this project.
    "AdaptiveBlurPool2d": strided(
        lambda: AdaptiveBlurPool2d(CHANNELS, groups=2, border="circular"), "3/2", shared=False
    ),
    "AdaptivePolyphase2d": chosen(AdaptivePolyphase2d),
    "AliasFreeActivation": Case(lambda: AliasFreeActivation(nn.ReLU()), all_over=True, shared=False),
    "BlurPool2d": strided(lambda: BlurPool2d(CHANNELS, border="circular"), "3/2", shared=False),
    "BlurPool2d, reflected": bordered(lambda: BlurPool2d(CHANNELS), HALVED, "3/2", quiet=False),
    "CircularMaxPool2d": Case(lambda: CircularMaxPool2d(2), sees="2@0", shared=False),
    "DetailPreservingPool2d": strided(lambda: DetailPreservingPool2d(CHANNELS)),
    "GlobalMeanPool": Case(GlobalMeanPool, None),
    "LearnedPolyphase2d": chosen(lambda: LearnedPolyphase2d(CHANNELS, 3)),
    "LowPassPool2d": strided(LowPassPool2d, "1/2", shared=False)._replace(all_over=True),
    "MaxBlurPool2d": strided(lambda: MaxBlurPool2d(CHANNELS, border="circular"), "2@0 3/2", shared=False),
    "PolyphaseAnchor2d": Case(
        lambda: PolyphaseAnchor2d(2), all_over=True, step=None, shared=False, quiet=False, more=True
    ),
    "PrimaryCapsules": Case(capsules, None, step=None, shared=False, quiet=False),
    "RoutedCapsules": Case(
        lambda: nn.Sequential(capsules(), RoutedCapsules(30, 2, in_length=3)),
        None, step=None, shared=False, quiet=False,
    ),
    **{kind.__name__: each_number(kind) for kind in OF_EACH_NUMBER},
}  # fmt: skip


class Arranged(nn.Module):
    """A layer of lines or tokens, on those of maps."""

    def __init__(self, layer: nn.Module, case: Case) -> None:
        super().__init__()
        self.layer, self.are_tokens = layer, case.axes == TOKENS

    def forward(self, maps: Tensor) -> Tensor:
        lines = maps.flatten(2)
        answer: Tensor = self.layer(lines.transpose(1, 2) if self.are_tokens else lines)
        return answer


class Head(nn.Module):
    """The mean over all positions, of a function of each number; all numbers where none are left."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.axes, self.has_positions = case.axes, case.n is not None

    def forward(self, answer: Tensor) -> Tensor:
        bent = torch.tanh(answer)
        return bent.mean(self.axes) if self.has_positions else bent.flatten(1)


def layer_of(case: Case) -> nn.Module:
    torch.manual_seed(0)
    layer = case.build()
    return (layer if case.axes == MAPS else Arranged(layer, case)).double().eval()


def network_of(case: Case) -> nn.Module:
    return nn.Sequential(layer_of(case), Head(case)).eval()


def images_of(case: Case) -> Tensor:
    return torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def read(network: nn.Module) -> Steps:
    steps = read_network(network, SHAPE, any_answer=True)
    assert isinstance(steps, Steps), steps
    return steps


def as_maps(answer: Tensor, case: Case) -> Tensor:
    assert case.n is not None
    if case.axes == MAPS:
        return answer
    lines = answer.transpose(1, 2) if case.axes == TOKENS else answer
    return lines.reshape(*lines.shape[:2], *case.n)


every_layer = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ALIKE else ()) for name in CASES],
)


def test_no_kind_of_layer_is_forgotten() -> None:
    networks = (layer_of(case) for case in CASES.values())
    kinds = {type(part) for network in networks for part in network.modules()}
    known = {*RULES, *LAYERS, *POINTWISE_LAYERS, *DROPOUT_LAYERS, nn.MultiheadAttention}
    assert known - kinds == set()


@every_layer
def test_positions_lie_where_arithmetic_says_and_see_what_brute_force_reaches(name: str) -> None:
    case = CASES[name]
    layer, images = layer_of(case), images_of(case)
    steps = read(nn.Sequential(layer).eval())
    found = locate(steps)[steps.steps[-1].node]
    if case.n is None:
        assert not isinstance(found, Located) or found.axes == (None, None)
        return
    assert isinstance(found, Located), found
    assert found.sees_all == case.all_over
    by_hand = chain(case.sees) if isinstance(case.sees, str) else case.sees
    with torch.no_grad():
        for axis, positions in enumerate(found.axes):
            assert positions is not None
            assert (positions.n, summary(positions)) == (case.n[axis], by_hand)
            reached = reached_by_rows(layer, images, case, axis)
            inside = [p for p in range(positions.n) if is_inside(positions.receptive_field(p), SIZE[axis])]
            assert inside
            ends = [tuple(map(Fraction, (min(reached[p]), max(reached[p])))) for p in inside]
            expected = [positions.receptive_field(p) for p in inside]
            assert (ends != expected) if case.all_over else (ends == expected)


def reached_by_rows(layer: nn.Module, images: Tensor, case: Case, axis: int) -> dict[int, set[int]]:
    """For each row of positions, or column, the rows of pixels that change it."""
    still = as_maps(layer(images), case)
    reached: dict[int, set[int]] = {p: set() for p in range(still.shape[2 + axis])}
    for row in range(SIZE[axis]):
        disturbed = images.clone()
        disturbed.select(2 + axis, row).add_(5 * torch.rand_like(disturbed.select(2 + axis, row)))
        changed = (as_maps(layer(disturbed), case) - still).abs().amax((0, 1, 3 - axis)) > TOLERANCE
        for position in changed.nonzero().flatten().tolist():
            reached[position].add(row)
    return reached


def is_inside(field: tuple[Fraction, Fraction], size: int) -> bool:
    return field[0] >= 0 and field[1] < size


@every_layer
def test_circular_laws_are_those_of_brute_force(name: str) -> None:
    case = CASES[name]
    network, images = network_of(case), images_of(case)
    if case.step is not None:
        assert change_under_rolls(network, images, case.step) < TOLERANCE
    if not case.more:
        assert all(change_under_rolls(network, images, step) > TOLERANCE for step in finer_steps(case.step))
    last = find_circular(read(network), SIZE).last
    assert (None if last.lost else last.step_px) == case.step
    law = certify(network, SHAPE, numeric=False).circular
    assert broken_circular(network, images, law) < TOLERANCE
    if not case.more:
        assert law.step_px == case.step


def finer_steps(step: Pair | None) -> Iterator[Pair]:
    """Steps along one axis that are a part of another one, or of a whole turn."""
    down, right = step or SIZE
    yield from ((down // part, WIDTH) for part in (2, 3) if down % part == 0)
    yield from ((HEIGHT, right // part) for part in (2, 3) if right % part == 0)


@every_layer
def test_maps_can_be_moved_before_a_layer_that_explain_passes_over(name: str) -> None:
    case = CASES[name]
    layer, images = layer_of(case), images_of(case)
    steps = read(nn.Sequential(layer).eval())
    places = find_places(steps)
    assert all(passes(step, steps) for step in steps.steps[1:]) == case.quiet
    before, after = (places[steps.steps[index].node] for index in (0, -1))
    assert isinstance(before, Place)
    if not case.quiet or (isinstance(after, Place) and not after.goes_around(SIZE)):
        return
    assert not isinstance(after, Reason)
    with torch.no_grad(), CircularBorders():
        still = layer(images)
        for offset in ((1.0, 0.0), (0.0, 1.0), (-3.0, 2.0)):
            by = [offset] * len(images)
            moved = layer(moved_maps(images, before, by, SIZE))
            expected = still if after is None else moved_maps(still, after, by, SIZE)
            assert_close(moved, expected, atol=TOLERANCE, rtol=0)


def passes(step: Step, steps: Steps) -> bool:
    places = find_places(steps)
    parents = [places[node] for node in step.node.all_input_nodes if node in places]
    return commutes(step, parents, SIZE, Motion(around=True))


@every_layer
def test_windows_and_rolls_are_planned_exactly_where_the_table_says(name: str) -> None:
    case = CASES[name]
    network, images = network_of(case), images_of(case)
    windows = plan_windows(network, SHAPE)
    assert isinstance(windows, WindowPlan if case.shared else NotPlanned), windows
    with torch.no_grad():
        if isinstance(windows, WindowPlan):
            canvas = torch.rand(1, CHANNELS, HEIGHT + 1, WIDTH + 2, dtype=torch.float64)
            each = [
                network(canvas[:, :, y : y + HEIGHT, x : x + WIDTH])
                for y, x in product(range(N_WINDOWS[0]), range(N_WINDOWS[1]))
            ]
            assert_close(windows.answer(canvas, N_WINDOWS).flatten(1, 2), torch.stack(each, 1).flatten(2))
        else:
            assert windows.layer.startswith("0")
        rolls = plan_rolls(network, SHAPE)
        assert isinstance(rolls, RollPlan) or case.by_content or case.step is None, rolls
        if isinstance(rolls, RollPlan):
            assert (case.step is None) == bool(rolls.head_layers)
            direct = [network(torch.roll(images, offset, (2, 3))) for offset in OFFSETS.tolist()]
            assert_close(rolls.answer(images, OFFSETS), torch.stack(direct, 1))

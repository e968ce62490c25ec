"""The numeric certificate: it sees what moves, allows for rounding, and says how much was tried."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor, nn

from shiftproof.certify import Certificate, certify
from shiftproof.certify._moves import boxes, random_images, rolls
from shiftproof.certify._numeric import Precisions, answers, check
from shiftproof.layers import GlobalMeanPool
from shiftproof.records import read_certificate

SHAPE = (1, 8, 8)


def circular(stride: int = 1) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 3, 3, stride, 1, padding_mode="circular")
    return nn.Sequential(conv, nn.ReLU(), GlobalMeanPool(), nn.Linear(3, 4)).eval()


def number(found: float | None) -> float:
    assert found is not None
    return found


def measured(network: nn.Module, step_px: tuple[int, int]) -> tuple[float, bool | None]:
    images = random_images(SHAPE, 3, seed=0)
    moves = rolls(images, step_px, n_most=1000, seed=0)
    found = check("circular", moves, Precisions.of(network, images, narrows=False))
    assert found.n_moves == found.n_possible == 8 // step_px[0] * (8 // step_px[1]) - 1
    return number(found.float64.relative), found.holds


def test_a_law_that_is_false_does_not_hold() -> None:
    """The stride of 2 in a claim about every pixel: found, and no rounding."""
    relative, holds = measured(circular(stride=2), (1, 1))
    assert relative > 1e-4
    assert holds is False
    relative, holds = measured(circular(stride=2), (2, 2))
    assert relative < 1e-14
    assert holds is True


def test_a_leak_of_ten_times_the_rounding_of_float32_is_seen() -> None:
    class Leaks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = circular()

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.inner(images) + 1e-6 * images[:, :, 0, 0]
            return answer

    assert measured(Leaks(), (1, 1))[1] is False


def test_change_is_that_of_the_definition() -> None:
    """An answer that is one pixel: the largest difference between any two pixels of one image."""
    images = random_images(SHAPE, 2, seed=4)
    conv = nn.Conv2d(1, 1, 8, bias=False)
    network = nn.Sequential(conv, nn.Flatten()).eval()
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 0, 0] = 1
    found = check(
        "circular", rolls(images, (1, 1), n_most=99, seed=0), Precisions.of(network, images, narrows=False)
    )
    expected = (images.flatten(1) - images[:, 0, 0, :1]).abs().max()
    assert found.float64.change == pytest.approx(float(expected), rel=1e-12)
    assert found.float64.relative == pytest.approx(float(expected / images.max()), rel=1e-12)


def test_predictions_that_change_are_counted() -> None:
    """Two classes, whether the first pixel is brighter than the second: by hand, on one image."""
    image = torch.tensor([[[[3.0, 1.0, 2.0]]]], dtype=torch.float64)
    network = nn.Flatten()
    found = check(
        "circular", rolls(image, (1, 1), n_most=9, seed=0), Precisions.of(network, image, narrows=False)
    )
    assert (found.n_images, found.n_moves) == (1, 2)
    assert found.float64.n_flips == 2  # The largest pixel moves twice.


def test_what_is_no_number_does_not_hold() -> None:
    class Nothing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3)) / 0 - images.amax((2, 3)) / 0

    found = certify(Nothing(), SHAPE)
    assert found.verdict == "all-shifts"
    assert found.holds is False
    assert found.checks[0].float64.relative is None
    assert not found.checks[0].float64.within
    assert read_certificate(json.loads(found.to_json())) == found


def test_rolls_are_those_of_the_group() -> None:
    moves = rolls(torch.zeros(1, 1, 6, 4), (3, 2), n_most=99, seed=0)
    assert moves.offsets_px == [(0, 2), (3, 0), (3, 2)]
    image = torch.arange(24.0).reshape(1, 1, 6, 4)
    shifted = rolls(image, (1, 1), n_most=99, seed=0).moved((1, 0))
    assert shifted[0, 0, 1].tolist() == image[0, 0, 0].tolist()


def test_samples_say_what_they_are_of() -> None:
    moves = rolls(torch.zeros(1, 1, 10, 10), (1, 1), n_most=7, seed=3)
    assert (len(moves.offsets_px), moves.n_possible) == (7, 99)
    assert {(0, 1), (9, 9)} <= set(moves.offsets_px)
    again = rolls(torch.zeros(1, 1, 10, 10), (1, 1), n_most=7, seed=3)
    other = rolls(torch.zeros(1, 1, 10, 10), (1, 1), n_most=7, seed=4)
    assert moves.offsets_px == again.offsets_px != other.offsets_px
    found = certify(circular(), SHAPE, n_moves=5)
    assert [(one.n_moves, one.n_possible) for one in found.checks] == [(5, 63), (3, 3)]
    assert "of 63" in str(found)


def test_boxes_keep_their_distance_and_their_content() -> None:
    images = random_images((2, 20, 17), 3, seed=1)
    moves = boxes(images, (2, 3), (4, 2), (3, 5), n_most=999, seed=0)
    assert moves.n_possible == len(moves.offsets_px) > 0
    for offset in [(0, 0), *moves.offsets_px]:
        assert offset[0] % 2 == offset[1] % 3 == 0
        moved = moves.moved(offset)
        background = moved[:, :, :1, :1]
        inside = (moved != background).any(0).any(0)
        assert not inside[:4].any()
        assert not inside[17:].any()
        assert not inside[:, :2].any()
        assert not inside[:, 12:].any()
        back = torch.roll(moved, (-offset[0], -offset[1]), (2, 3))
        assert torch.equal(back, moves.images)
    assert max(dy for dy, _ in moves.offsets_px) > 0


def test_networks_may_overwrite_what_they_are_given() -> None:
    images = random_images(SHAPE, 3, seed=0)
    before = images.clone()
    answers(nn.Sequential(nn.ReLU(inplace=True), nn.Threshold(0.5, 0.0, inplace=True)), images)
    assert torch.equal(images, before)


def test_a_network_that_rounds_by_itself_is_judged_by_float32() -> None:
    class Narrow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular")

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.conv(images).relu().float().mean((2, 3))
            return answer

    found = certify(Narrow().eval(), SHAPE)
    assert found.holds
    assert number(found.checks[0].float64.tolerance) > 1e-6
    assert 0 < number(found.checks[0].float64.relative) < 1e-5
    assert number(certify(circular(), SHAPE).checks[0].float64.tolerance) < 1e-12


def test_given_images_are_checked_too() -> None:
    whole = torch.randint(0, 256, (3, *SHAPE), dtype=torch.uint8)
    found: Certificate = certify(circular(), None, whole, n_images=2)
    assert found.image_shape == SHAPE
    assert [one.n_images for one in found.checks] == [5, 5]


def test_without_numbers_there_is_no_judgement() -> None:
    found = certify(circular(), SHAPE, numeric=False)
    assert found.checks == ()
    assert found.holds is None


def test_a_network_that_does_not_compute_in_float64_says_so() -> None:
    class OnlyFloat32(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = circular()

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.inner(images) @ torch.eye(4, dtype=torch.float32)
            return answer

    found = certify(OnlyFloat32().eval(), SHAPE)
    assert found.holds is None
    assert any(note.startswith("Not checked by numbers") for note in found.notes)


def test_an_answer_that_is_only_rounding_decides_nothing() -> None:
    """The mean of normalised maps is zero; what is computed is what rounding left of it."""
    network = nn.Sequential(circular_conv(), nn.InstanceNorm2d(3), GlobalMeanPool()).eval()
    found = certify(network, SHAPE)
    assert found.verdict == "all-shifts"
    assert found.holds is None
    assert "undecided" in str(found)


def circular_conv() -> nn.Conv2d:
    torch.manual_seed(2)
    return nn.Conv2d(1, 3, 3, padding=1, padding_mode="circular")

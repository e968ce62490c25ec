"""Edits around any model: answers averaged over shifts, images moved or cut by their own content."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftproof.edits import apply_edit, averaged, chosen_crop, placed
from shiftproof.errors import OptionError, ShapeError, UnknownNameError
from shiftproof.shifts import translate
from shiftproof.zoo import load_trained


def digit() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    image = torch.zeros(2, 1, 28, 28)
    image[:, :, 9:19, 10:17] = torch.rand(2, 1, 10, 7, generator=generator)
    return image


def test_an_average_is_the_mean_over_shifts() -> None:
    network, image = load_trained("cnn1"), digit()
    with torch.no_grad():
        found = apply_edit(network, "average-logits", images=image, border="zeros").module(image)
        views = [translate(image, (dy, dx), border="zeros") for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        answers = torch.stack([network(view) for view in views])
        torch.testing.assert_close(found, answers.mean(0))
        shares = apply_edit(network, "average-probabilities", border="zeros").module(image)
        torch.testing.assert_close(shares.exp(), answers.softmax(2).mean(0), rtol=1e-4, atol=1e-6)


def test_an_average_over_every_other_shift_keeps_the_image_itself() -> None:
    network, image = load_trained("cnn1"), digit()
    with torch.no_grad():
        found = apply_edit(network, "average-logits", radius_px=4, step_px=2, border="zeros").module(image)
        places = (-4, -2, 0, 2, 4)
        views = [translate(image, (dy, dx), border="zeros") for dy in places for dx in places]
        torch.testing.assert_close(found, torch.stack([network(view) for view in views]).mean(0))
    with pytest.raises(OptionError, match="a `radius_px` that is a multiple of `step_px`, got 3 and 2"):
        apply_edit(network, "average-logits", radius_px=3, step_px=2)
    with pytest.raises(OptionError, match="a `stride` that is a multiple of `step_px`, got 4 and 3"):
        apply_edit(network, "average-phases", stride=4, step_px=3)


def test_a_function_stays_one_and_has_the_same_answer() -> None:
    network, image = load_trained("cnn1"), digit()
    for edit in ("average-logits", "average-phases", "canonical-position"):
        around = apply_edit(network.forward, edit)
        with torch.no_grad():
            torch.testing.assert_close(around.model(image), apply_edit(network, edit).model(image))
    with pytest.raises(TypeError, match="The original is a function"):
        apply_edit(lambda images: images, "average-logits").module  # noqa: B018


def test_averaging_over_phases_is_exact_for_what_is_exact_at_the_stride() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1, padding_mode="circular"), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    )
    model = nn.Sequential(*network, nn.Flatten()).double()
    image = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    exact = apply_edit(model, "average-phases", stride=2).module
    with torch.no_grad():
        moved = torch.roll(image, (1, 3), (2, 3))
        assert not torch.allclose(model(image), model(moved))
        torch.testing.assert_close(exact(image), exact(moved), rtol=1e-12, atol=1e-12)


def test_averaging_over_the_phases_of_the_total_stride_is_the_mean_of_all_of_them() -> None:
    """Two strides of 2: sixteen phases are exact on a circle, and the four of one of them are not."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1, padding_mode="circular"), nn.ReLU(),
        nn.Conv2d(4, 4, 3, 2, 1, padding_mode="circular"), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    image = torch.rand(2, 1, 16, 16, dtype=torch.float64)
    moved = torch.roll(image, (1, 2), (2, 3))
    sixteen, four = (apply_edit(model, "average-phases", stride=stride).module for stride in (4, 2))
    with torch.no_grad():
        answers = [model(torch.roll(image, (dy, dx), (2, 3))) for dy in range(4) for dx in range(4)]
        torch.testing.assert_close(sixteen(image), torch.stack(answers).mean(0), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(sixteen(moved), sixteen(image), rtol=1e-12, atol=1e-12)
        some = apply_edit(model, "average-phases", stride=4, step_px=2).module
        answers = [model(torch.roll(image, (dy, dx), (2, 3))) for dy in (0, 2) for dx in (0, 2)]
        torch.testing.assert_close(some(image), torch.stack(answers).mean(0), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(some(torch.roll(image, 2, 2)), some(image), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(some(moved), some(image), rtol=1e-6)
        assert not torch.allclose(four(moved), four(image), rtol=1e-6)


@given(st.integers(-27, 27), st.integers(-27, 27), st.integers(0, 10**6))
def test_a_canonical_position_is_the_same_to_the_bit_on_a_circle(dy: int, dx: int, seed: int) -> None:
    image = torch.rand(1, 3, 12, 9, generator=torch.Generator().manual_seed(seed)).mul(3).floor().div(3)
    moved = torch.roll(image, (dy, dx), (2, 3))
    assert torch.equal(placed(image, "circular"), placed(moved, "circular"))


def test_a_canonical_position_centres_what_is_inside() -> None:
    image = digit()
    expected = placed(image, "zeros")
    for offset in ((3, 0), (-4, 5), (2, -6)):
        assert torch.equal(placed(translate(image, offset, border="zeros"), "zeros"), expected)
    columns = torch.arange(28.0)
    middle = (expected[0, 0].sum(0) * columns).sum() / expected[0, 0].sum()
    assert abs(float(middle) - 13.5) < 4


def test_the_crop_is_the_one_with_most_detail() -> None:
    generator = np.random.default_rng(0)
    scene = generator.random((1, 1, 40, 40)).astype(np.float32)
    scene[..., 12:28, 12:28] *= 5  # The detail is in the middle.
    pixels = torch.from_numpy(scene)
    image, moved = pixels[:, :, 4:36, 4:36], pixels[:, :, 5:37, 3:35]
    assert torch.allclose(chosen_crop(image, 16), chosen_crop(moved, 16))
    places = [(y, x) for y in range(17) for x in range(17)]
    y, x = max(places, key=lambda place: float(_detail(image[0, 0], *place)))
    expected = nn.functional.interpolate(image[:, :, y : y + 16, x : x + 16], (32, 32), mode="bilinear")
    torch.testing.assert_close(chosen_crop(image, 16), expected)
    with pytest.raises(ShapeError, match="images larger than the margin of 32 px"):
        chosen_crop(image, 32)


def _detail(image: Tensor, y: int, x: int) -> Tensor:
    """Differences of each pixel of a part to its right and lower neighbour, outside of the part as well."""
    down, right = torch.zeros_like(image), torch.zeros_like(image)
    down[:-1], right[:, :-1] = (image[1:] - image[:-1]).abs(), (image[:, 1:] - image[:, :-1]).abs()
    levels = ((down + right).double() * 2**16).round()
    return levels[y : y + 16, x : x + 16].sum()


def test_averaging_probabilities_of_one_shift_changes_nothing_but_the_scale() -> None:
    logits = torch.tensor([[1.0, 2.0, 4.0]])
    found = averaged(lambda images: logits, torch.zeros(1, 1, 4, 4), ((0, 0),), "edge", "probabilities")
    torch.testing.assert_close(found, logits - logits.logsumexp(1))
    two = averaged(lambda images: logits, torch.zeros(1, 1, 4, 4), ((0, 0), (0, 1)), "edge", "probabilities")
    assert math.isclose(float(two.exp().sum()), 1, rel_tol=1e-6)


def test_mistakes_are_said() -> None:
    network = load_trained("cnn1")
    with pytest.raises(OptionError, match="`radius_px` of at least 0"):
        apply_edit(network, "average-logits", radius_px=-1)
    with pytest.raises(OptionError, match="`radius_px` of at most 64"):
        apply_edit(network, "average-logits", radius_px=100)
    with pytest.raises(UnknownNameError, match="border"):
        apply_edit(network, "average-logits", border="mirror")
    with pytest.raises(OptionError, match="average-logits: radius_px, step_px, border, got 'space'"):
        apply_edit(network, "average-logits", space="x")
    with pytest.raises(OptionError, match="`margin_px` of at least 1"):
        apply_edit(network, "crop-choice", margin_px=0)


def test_the_model_inside_stays_in_its_mode() -> None:
    inside = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    model = nn.Sequential(inside, nn.Flatten())
    assert model.training
    apply_edit(model, "average-logits")
    assert not any(part.training for part in inside.modules())

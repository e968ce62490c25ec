"""Errors of layers against what can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.explain.layer_toys import CHANNELS, conv, good_network, pictures, smooth_pictures
from torch import Tensor, nn

from shiftproof.adapters import as_classifier
from shiftproof.explain._equivariance import (
    CONDITIONS,
    NOT_REACHED,
    SAME,
    UNPLACED,
    Condition,
    Frame,
    Measured,
    Plan,
    choose_frame,
    measure_errors,
)
from shiftproof.explain._graph import Graph, read_graph
from shiftproof.explain._views import View, choose_views
from shiftproof.layers import AdaptivePolyphase2d, GlobalMeanPool
from shiftproof.metrics import NotApplicable
from shiftproof.shifts import Border


def measured(
    network: nn.Module,
    images: Tensor,
    *offsets: tuple[float, float],
    frame: Frame = "interior",
    border: Border = "zeros",
    batch_size: int = 4,
) -> dict[str, Measured]:
    classifier = as_classifier(network.eval())
    graph = read_graph(classifier, images)
    plan = Plan(tuple(View(offset) for offset in offsets), border, frame, batch_size)
    return measure_errors(classifier, graph, images, plan)


def error(found: Measured, condition: Condition) -> float:
    value = found.errors[condition]
    assert not isinstance(value, NotApplicable), value
    return float(value.mean())


def headed(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, GlobalMeanPool())


@pytest.mark.parametrize("frame", ["interior", "circle"])
def test_circular_convolutions_are_exactly_equivariant(frame: Frame) -> None:
    network = good_network()
    found = measured(network, pictures(size_px=20), (1, 0), (-2, 1), (0, 3), frame=frame, border="circular")
    for name, step in found.items():
        if frame == "circle" or name not in ("6", "7"):
            assert error(step, "multiples") <= 1e-6
            assert error(step, "whole-pixel") <= 1e-6


@settings(max_examples=10)
@given(st.integers(0, 99), st.integers(1, 5), st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_valid_convolutions_are_exact_wherever_they_see_the_image(
    seed: int, kernel: int, offset: tuple[int, int]
) -> None:
    torch.manual_seed(seed)
    network = headed(nn.Conv2d(2, 3, kernel), nn.Tanh(), nn.Conv2d(3, 3, 3))
    found = measured(network, pictures(size_px=18, seed=seed), offset)
    for name in ("images", "0", "1", "2"):
        assert error(found[name], "whole-pixel") <= 1e-6
        assert error(found[name], "with-border") <= 1e-6


@pytest.mark.parametrize(
    ("offset", "expected"), [((0, 2), 0), ((2, -4), 0), ((0, 1), 1), ((1, 0), 1), ((3, 2), 1), ((1, 1), 1)]
)
def test_a_subsampler_of_white_noise_loses_everything_at_odd_shifts(
    offset: tuple[int, int], expected: float
) -> None:
    """Neighbours are independent: an odd shift shows other pixels, as different as those of another image."""
    found = measured(headed(nn.MaxPool2d(1, 2)), pictures(8, 64), offset, frame="circle", border="circular")
    assert error(found["0"], "whole-pixel") == pytest.approx(expected, abs=0.05)


def test_a_mean_of_two_keeps_what_it_can() -> None:
    """1 − 2/π of white noise under a shift by 1.

    The means m(i) of pixels 2i and 2i + 1, moved by half a position back with a sinc of weights 2/π at both
    neighbours, share one pixel with each: covariance 2 · 2/π · σ²/4 beside variances of σ²/2.
    """
    found = measured(headed(nn.AvgPool2d((1, 2))), pictures(8, 96), (0, 1), frame="circle", border="circular")
    assert error(found["0"], "whole-pixel") == pytest.approx(1 - 2 / math.pi, abs=0.02)


def test_adaptive_sampling_loses_nothing() -> None:
    found = measured(
        headed(conv(2), AdaptivePolyphase2d(), conv()), pictures(), (1, 0), (1, 3), (2, 2), frame="circle"
    )
    for name in ("1", "2", "3"):
        assert error(found[name], "whole-pixel") <= 1e-6


def test_squares_of_half_a_band_move_by_fractions_and_relu_does_not() -> None:
    class Square(nn.Module):
        def forward(self, maps: Tensor) -> Tensor:
            return maps * maps

    images = smooth_pictures(size_px=24)
    square = measured(headed(Square()), images, (0.5, 0), (0.5, 1.5), frame="circle")
    relu = measured(headed(conv(2), nn.ReLU()), images, (0.5, 0), (0.5, 1.5), frame="circle")
    assert error(square["0"], "fractional") <= 1e-6
    assert error(relu["0"], "fractional") <= 1e-6
    assert error(relu["1"], "fractional") > 1e-4


def test_zero_padding_shows_at_the_border_alone() -> None:
    network = headed(nn.Conv2d(2, CHANNELS, 7, padding=3))
    found = measured(network, pictures(size_px=20), (1, 0), (0, -2), border="circular")["0"]
    assert error(found, "multiples") <= 1e-6
    assert error(found, "with-border") > 0.05


def test_convention_errors_are_of_images_and_scaled_by_others() -> None:
    """Half the images answer with unrelated noise after the shift, half do not change."""

    class Noisy(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            moves = images[:, :1, :1, :1] > 0.5
            rolled: Tensor = torch.where(moves, images.flip(2).flip(3).roll(5, 2), images)
            return rolled

    images = pictures(8, 64)
    images[:, :, 0, 0] = 0
    images[4:, :, -1, 0] = 1  # What comes to the corner when all moves down by one.
    found = measured(headed(Noisy()), images, (1, 0), frame="circle", border="circular")["0"]
    per_image = found.errors["whole-pixel"]
    assert isinstance(per_image, np.ndarray)
    assert per_image.shape == (8,)
    assert per_image.mean() == pytest.approx(0.5, abs=0.03)
    assert per_image[:4] == pytest.approx(0.0, abs=0.05)
    assert per_image[4:] == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("batch_size", [2, 3, 7])
def test_batches_change_partners_and_little_else(batch_size: int) -> None:
    network, images = headed(conv(2), nn.MaxPool2d(2)), pictures(7, 32)
    one, parts = (
        measured(network, images, (1, 1), (2, 0), frame="circle", batch_size=size) for size in (8, batch_size)
    )
    for condition in CONDITIONS[:3]:
        assert error(parts["1"], condition) == pytest.approx(error(one["1"], condition), rel=0.1, abs=1e-6)


def test_what_has_no_answer_says_why() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dead = nn.Conv2d(3, 3, 1)
            nn.init.zeros_(self.dead.weight)
            self.rare = nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            first_axis_away = images.permute(1, 0, 2, 3) * 2
            if float(images[0, 0, 0, 0]) < 2 and not bool((images[:, :, :2] == 0).all()):
                images = self.rare(images)
            again = first_axis_away.permute(1, 0, 2, 3)
            logits: Tensor = (again + self.dead(images)).mean((2, 3))
            return logits

    found = measured(Odd(), pictures(channels=3), (2, 0))
    reasons = {name: step.errors["multiples"] for name, step in found.items()}
    assert reasons["mul"] == NotApplicable(UNPLACED)
    assert isinstance(found["add"].errors["with-border"], np.ndarray), "it is known again where this lies"
    assert reasons["dead"] == NotApplicable(SAME)
    assert reasons["rare"] == NotApplicable(NOT_REACHED)
    fractional = found["images"].errors["fractional"]
    assert isinstance(fractional, NotApplicable), "nothing was moved by a fraction"


def frame_of(network: nn.Module, size_px: int) -> Frame:
    graph: Graph = read_graph(as_classifier(network.eval()), pictures(size_px=size_px))
    views = choose_views((size_px, size_px), [step.stride for step in graph.steps.values()])
    return choose_frame(graph, views)


def test_a_circle_is_used_where_no_position_is_free_of_borders() -> None:
    shallow, deep = (
        [conv(2, border="zeros")],
        [conv(2, border="zeros"), *(conv(kernel=7, border="zeros"),) * 4],
    )
    assert frame_of(headed(*shallow), 16) == "interior"
    assert frame_of(headed(*deep), 16) == "circle"
    assert frame_of(headed(*deep, nn.MaxPool2d(2)), 16) == "circle"
    assert frame_of(headed(*deep, nn.MaxPool2d(3)), 16) == "interior", "sizes do not divide"

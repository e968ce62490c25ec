"""Tasks made of other images: classes chosen, dark and bright exchanged, stripes drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.article import draw_gratings, inverted, only_classes
from shiftproof.data import LabelledImages, load_data
from shiftproof.errors import DataError

FIFTY = load_data("mnist", "test").head(50)


@given(st.permutations(range(10)), st.integers(1, 10))
def test_classes_keep_their_images_and_names(order: list[int], n_classes: int) -> None:
    digits = FIFTY
    some = only_classes(digits, order[:n_classes])
    kept = [i for i, label in enumerate(digits.labels.tolist()) if label in order[:n_classes]]
    assert torch.equal(some.images, digits.images[kept])
    names = [some.class_names[label] for label in some.labels.tolist()]
    assert names == [str(digits.labels[i].item()) for i in kept]
    assert [some.name_of(i) for i in range(len(some))] == [digits.name_of(i) for i in kept]


def test_images_without_a_label_are_left_out(digits: LabelledImages) -> None:
    labels = digits.labels.clone()
    labels[:5] = -1
    some = only_classes(digits.with_labels(labels, digits.class_names), range(10))
    assert torch.equal(some.images, digits.images[5:])


@pytest.mark.parametrize("classes", [[0, 0], [10], [-1]])
def test_wrong_classes_are_refused(classes: list[int], digits: LabelledImages) -> None:
    with pytest.raises(DataError, match="different labels from 0 to 9"):
        only_classes(digits, classes)


def test_inverting_twice_is_nothing(digits: LabelledImages) -> None:
    twice = inverted(inverted(digits))
    assert torch.equal(twice.images, digits.images)
    assert twice.digest == digits.digest
    assert inverted(digits).digest != digits.digest


def test_the_class_of_a_grating_is_its_orientation() -> None:
    """The largest Fourier coefficient of each image lies in the direction that its label says."""
    gratings = draw_gratings(200, n_classes=4, size_px=(64, 64))
    images = gratings.images[:, 0].numpy().astype(float) / 255
    power = np.abs(np.fft.fft2(images - images.mean((1, 2), keepdims=True)))
    frequency = np.fft.fftfreq(64)
    peak = power.reshape(len(images), -1).argmax(1)
    fy, fx = frequency[peak // 64], frequency[peak % 64]
    angle = np.degrees(np.arctan2(fy, fx)) % 180
    away = np.abs((angle - 45 * gratings.labels.numpy() + 90) % 180 - 90)
    assert np.median(away) < 5
    assert (away < 22.5).mean() > 0.99


def test_gratings_are_the_same_for_a_seed_and_no_pixel_tells_the_class() -> None:
    gratings = draw_gratings(1000)
    assert gratings.digest == draw_gratings(1000).digest != draw_gratings(1000, seed=1).digest
    means = torch.stack([gratings.images[gratings.labels == k].float().mean(0) for k in range(5)])
    # 200 images of spread below 70 each: five standard errors.
    assert (means - means.mean(0)).abs().max() < 5 * 70 / 200**0.5

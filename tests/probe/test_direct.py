"""The direct probe on models whose answers are known, and against a loop of OpenCV shifts."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shiftproof.data import LabelledImages
from shiftproof.errors import ShapeError
from shiftproof.probe import measure_response
from shiftproof.shifts import Grid, IntegerBox, ShiftProtocol, protocols
from shiftproof.zoo import build_network


def protocol(law: Grid | IntegerBox, border: str = "zeros") -> ShiftProtocol:
    return ShiftProtocol("test", law, border, "bilinear", "", "")  # type: ignore[arg-type]


class Total(nn.Module):
    """Logits (sum of the image, 1): invariant to circular shifts, known by hand for zeros."""

    def forward(self, images: Tensor) -> Tensor:
        total = images.sum((1, 2, 3))
        return torch.stack([total, torch.ones_like(total)], 1)


def one_dot() -> LabelledImages:
    """One image of 3 × 3 with a white pixel in the top row."""
    images = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    images[0, 0, 0, 1] = 255
    return LabelledImages("dot", images, torch.tensor([0]), ("white", "black"))


def test_a_network_known_by_hand() -> None:
    """The dot leaves the frame when it moves up: the sum falls from 1 to 0."""
    response = measure_response(Total(), one_dot(), protocol(Grid(1)))
    left = response.offsets_px[:, 0] == -1
    assert response.predicted[0].tolist() == left.astype(int).tolist()
    assert response.unshifted_predicted.tolist() == [0], "a tie goes to the lowest class"
    np.testing.assert_allclose(response.drift[0], np.where(left, 1 / np.sqrt(2), 0), atol=1e-6)
    expected = np.where(left, 1 / (1 + np.e), 0.5)
    np.testing.assert_allclose(response.true_prob[0], expected, atol=1e-6)
    assert response.unshifted_true_prob[0] == pytest.approx(0.5)


def test_an_invariant_network_does_not_drift(test_digits: LabelledImages) -> None:
    data = dataclasses.replace(test_digits, labels=test_digits.labels % 2, class_names=("even", "odd"))
    response = measure_response(Total(), data, protocol(Grid(3), "circular"))
    assert response.drift.max() < 1e-6
    assert (response.predicted == response.unshifted_predicted[:, None]).all()


def test_a_network_that_answers_zeros_has_no_drift(test_digits: LabelledImages) -> None:
    response = measure_response(lambda images: torch.zeros(len(images), 10), test_digits, protocol(Grid(1)))
    assert not response.drift.any()


def test_oracle_a_loop_of_opencv_shifts(test_digits: LabelledImages) -> None:
    """One image at a time, shifted by OpenCV: same predictions, same probabilities."""
    network = build_network("cnn2", seed=3)
    data = test_digits.head(40)
    response = measure_response(network, data, protocols.get("article-large"), seed=7)
    for i in range(len(data)):
        dy, dx = response.offsets_px[i, 0]
        image = data.images[i, 0].numpy().astype(np.float32) / 255
        moved = cv2.warpAffine(image, np.array([[1, 0, dx], [0, 1, dy]]), (28, 28))
        with torch.inference_mode():
            logits = network(torch.from_numpy(moved)[None, None])[0]
        assert response.predicted[i, 0] == int(logits.argmax())
        assert response.true_prob[i, 0] == pytest.approx(float(logits.softmax(0)[data.labels[i]]), abs=1e-5)


def test_threads_and_batches_do_not_change_bytes(test_digits: LabelledImages) -> None:
    network = build_network("cnn1")
    small = protocols.get("article-small")
    first, second = (measure_response(network, test_digits, small, threads=n) for n in (1, 3))
    assert np.array_equal(first.true_prob, second.true_prob)
    assert np.array_equal(first.drift, second.drift)
    other = measure_response(network, test_digits, small, batch_size=37)
    assert np.array_equal(first.predicted, other.predicted)
    np.testing.assert_allclose(first.true_prob, other.true_prob, atol=1e-6)


def test_fewer_images_see_the_same_shifts(test_digits: LabelledImages) -> None:
    network = build_network("cnn1")
    few = measure_response(network, test_digits.head(10), protocols.get("article-large"))
    all_of_them = measure_response(network, test_digits, protocols.get("article-large"))
    assert np.array_equal(few.offsets_px, all_of_them.offsets_px[:10])
    assert np.array_equal(few.predicted, all_of_them.predicted[:10])


def test_the_model_comes_back_as_it_was(test_digits: LabelledImages) -> None:
    network = build_network("standard-nn").train()
    with pytest.warns(UserWarning, match="in training mode"):
        first = measure_response(network, test_digits.head(20), protocol(Grid(0)))
    assert network.training
    second = measure_response(network.eval(), test_digits.head(20), protocol(Grid(0)))
    assert not network.training
    assert np.array_equal(first.true_prob, second.true_prob), "dropout is off while measuring"
    assert all(p.grad is None for p in network.parameters())


def test_wrong_answers_are_refused(test_digits: LabelledImages) -> None:
    with pytest.raises(ShapeError, match=r"logits of shape \(1, K\), got \(1, 1, 28, 28\)"):
        measure_response(nn.Identity(), test_digits, protocol(Grid(0)))
    with pytest.raises(ShapeError, match=r"at least 10 logits, .* got 2"):
        measure_response(Total(), test_digits, protocol(Grid(0)))


def test_meaning_a_global_head_drifts_less_than_a_flat_one(test_digits: LabelledImages) -> None:
    """The same circular convolution: its mean is invariant, its flattened map is not."""
    torch.manual_seed(0)
    convolution = nn.Conv2d(1, 16, 3, padding=1, padding_mode="circular")
    heads = {
        "global": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
        "flat": nn.Sequential(nn.Flatten(), nn.Linear(16 * 784, 10)),
    }
    drift = {}
    for name, head in heads.items():
        network = nn.Sequential(convolution, nn.ReLU(), head)
        response = measure_response(network, test_digits.head(50), protocol(Grid(2), "circular"))
        drift[name] = float(response.drift[:, :12].mean())
    assert drift["global"] < 1e-5
    assert drift["flat"] > 0.1

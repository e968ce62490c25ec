"""Answers averaged over shifts: all at once they are what they are one by one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.adapters import Classifier, EditStep, Preprocess, as_classifier, edit_classifier
from shiftproof.data import load_data
from shiftproof.edits import forwards
from shiftproof.probe import AtOnce, averaged_at_once, measure_response, probing
from shiftproof.shifts import find_protocol
from shiftproof.zoo import load_trained


def averaged(classifier: Classifier, edit: str = "average-logits", **options: Any) -> Classifier:
    return edit_classifier(classifier, (EditStep(edit, None, options),)).classifier


def circular() -> Classifier:
    torch.manual_seed(0)
    stem = nn.Conv2d(1, 8, 5, 2, 2, padding_mode="circular")
    network = nn.Sequential(stem, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
    return as_classifier(network.eval())


@torch.inference_mode()
def answers(classifier: Classifier, images: Tensor) -> Tensor:
    return classifier(images)


@pytest.mark.parametrize("border", ["edge", "zeros", "reflect", "circular"])
@pytest.mark.parametrize("edit", ["average-logits", "average-probabilities"])
def test_all_at_once_is_what_each_shift_gives(edit: str, border: str) -> None:
    images = load_data("mnist", "test").head(5).images.float() / 255
    network = Classifier("mean", load_trained("cnn2"), preprocess=Preprocess(mean=(0.1,), std=(0.3,)))
    mean = averaged(network, edit, radius_px=2, border=border)
    found = averaged_at_once(mean, (1, 28, 28))
    assert isinstance(found.model, AtOnce)
    assert forwards(mean.model) == 25
    assert 1 < found.model.forwards < 25 / 4
    expected = answers(mean, images)
    assert_close(answers(found, images), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_only_shifts_to_one_side_and_every_other_one() -> None:
    images = load_data("mnist", "test").head(3).images.float() / 255
    for edit, options in (
        ("average-phases", {"stride": 3}),
        ("average-phases", {"stride": 3, "border": "zeros"}),
        ("average-logits", {"radius_px": 4, "step_px": 2}),
    ):
        mean = averaged(as_classifier(load_trained("cnn2")), edit, **options)
        found = averaged_at_once(mean, (1, 28, 28))
        assert isinstance(found.model, AtOnce)
        expected = answers(mean, images)
        assert_close(answers(found, images), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_a_circular_network_rolls_its_maps() -> None:
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mean = averaged(circular(), "average-logits", radius_px=2, border="circular")
    found = averaged_at_once(mean, (1, 16, 16))
    assert isinstance(found.model, AtOnce)
    assert found.model.forwards == pytest.approx(4, rel=0.01)  # One for each phase of the stride.
    assert_close(answers(found, images), answers(mean, images), rtol=1e-5, atol=1e-6)


def test_what_has_no_plan_is_left_as_it_is() -> None:
    padded = as_classifier(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten()).eval())
    for mean, size in (
        (averaged(padded), 8),
        (averaged(padded, radius_px=0), 8),
        (averaged(as_classifier(load_trained("cnn2").forward)), 28),
        (as_classifier(load_trained("cnn2")), 28),
    ):
        assert averaged_at_once(mean, (1, size, size)) is mean


def test_a_measurement_shares_the_work_and_has_the_same_record() -> None:
    digits = load_data("mnist", "test").head(40)
    mean = averaged(as_classifier(load_trained("cnn2")), radius_px=1)
    protocol = find_protocol("box:3,3,4")
    shared, direct = (
        measure_response(mean, digits, protocol, method=method, threads=1) for method in ("auto", "direct")
    )
    assert (shared.predicted == direct.predicted).mean() > 0.99
    assert isinstance(shared.true_prob, np.ndarray)
    np.testing.assert_allclose(shared.true_prob, direct.true_prob, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(shared.drift, direct.drift, rtol=1e-3, atol=1e-5)


def test_one_place_says_how_a_model_is_asked() -> None:
    """No plan for the model, but one for the shifts that it averages over; never where each is asked for."""
    mean = averaged(as_classifier(load_trained("cnn2")), radius_px=1)
    data, protocol = load_data("mnist", "test").head(4), find_protocol("box:3,3,2")
    with probing(mean, data, protocol) as probe:
        assert probe.choice.name == "direct"
        assert isinstance(probe.choice.classifier.model, AtOnce)
        assert probe.choice.reason.endswith("; shifts that it averages over share their work")
    with probing(mean, data, protocol, method="direct") as probe:
        assert probe.choice.classifier is mean
        assert probe.choice.reason == "asked for"


def test_every_measurement_sees_the_weights_of_its_time() -> None:
    digits = load_data("mnist", "test").head(10)
    network = load_trained("cnn2")
    mean = averaged(as_classifier(network))
    protocol = find_protocol("box:3,3,2")
    before = measure_response(mean, digits, protocol, threads=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    after = measure_response(mean, digits, protocol, threads=1)
    again = measure_response(replace(mean), digits, protocol, threads=1, method="direct")
    assert not np.allclose(before.true_prob, after.true_prob)
    np.testing.assert_allclose(after.true_prob, again.true_prob, rtol=1e-3, atol=1e-5)

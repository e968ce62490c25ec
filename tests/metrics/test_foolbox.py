"""Worst-case accuracy against foolbox's grid attack, which is another implementation of the same question."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from shiftproof.data import LabelledImages
from shiftproof.metrics import Estimate, metrics
from shiftproof.probe import measure_response
from shiftproof.shifts import Offsets, ShiftProtocol
from shiftproof.train import Recipe, fit
from shiftproof.zoo import build_network

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of SciPy, about how foolbox imports from it
    import foolbox


@pytest.mark.parametrize("radius_px", [1.0, pytest.param(1.5, marks=pytest.mark.slow)])
def test_oracle_foolbox_finds_the_same_images(
    radius_px: float, digits: LabelledImages, test_digits: LabelledImages
) -> None:
    """foolbox 3.3.4 moves by (n − 1)/n of what it is told, since its grid has its ends at pixel centres:
    "2 px" of 28 px are 1.929 px. It counts images that are wrong unshifted as found.
    """
    network = build_network("cnn1")
    fit(network, digits, Recipe(epochs=6, input_scale="unit", learning_rate=1e-3, batch_size=32), seed=0)
    network.eval()
    steps = (np.linspace(-radius_px, radius_px, 5) * 27 / 28).tolist()
    law = Offsets(tuple((dy, dx) for dy in steps for dx in steps))
    protocol = ShiftProtocol("foolbox", law, "zeros", "bilinear", "", "")
    ours = metrics.get("worst-case-accuracy").estimate(measure_response(network, test_digits, protocol))
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.SpatialAttack(
        max_translation=radius_px, max_rotation=0, num_translations=5, num_rotations=1
    )
    images = test_digits.images.float() / 255
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of torch, about how foolbox calls meshgrid
        _, _, found = attack(model, images, test_digits.labels)
    assert isinstance(ours, Estimate)
    assert 0.05 < ours.value < 0.95, "a case in which something can differ"
    assert ours.value == pytest.approx(1 - torch.as_tensor(found).float().mean().item(), abs=1e-6)

"""What averages over shifts cost in forward passes, by the operations that torch counts while they run."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from shiftproof.adapters import EditStep, Model, as_classifier, edit_classifier
from shiftproof.edits import forwards
from shiftproof.probe import AtOnce, averaged_at_once
from shiftproof.zoo import load_trained


@torch.no_grad()
def operations(model: Model) -> int:
    """Of two digits."""
    with FlopCounterMode(display=False) as counted:
        model(torch.rand(2, 1, 28, 28))
    return int(counted.get_total_flops())


@pytest.mark.parametrize(("name", "radius_px"), [("cnn1", 2), ("cnn2", 1), ("cnn2", 2)])
def test_the_cost_of_an_average_is_what_torch_counts(name: str, radius_px: int) -> None:
    network = as_classifier(load_trained(name))
    step = EditStep("average-logits", None, {"radius_px": radius_px})
    mean = edit_classifier(network, (step,)).classifier
    at_once = averaged_at_once(mean, (1, 28, 28)).model
    assert isinstance(at_once, AtOnce)
    one = operations(network)
    assert operations(mean) == forwards(mean.model) * one
    assert operations(at_once) == pytest.approx(at_once.forwards * one)

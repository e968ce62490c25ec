"""Costs: arithmetic beside closed forms and plans of `dense`, times with their order statistics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import nn

from shiftproof.dense import WindowPlan, plan_windows
from shiftproof.study import count_multiply_adds
from shiftproof.study._costs import NTH_HIGH, NTH_LOW, REPEATS, Costs, measure_costs
from shiftproof.zoo import build_network

CPU = torch.device("cpu")
IMAGE = torch.zeros(1, 1, 28, 28)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dense-nn", 784 * 100 + 100 * 100 + 100 * 10),
        ("cnn1", 24 * 24 * 20 * 25 + 12 * 12 * 20 * 100 + 100 * 10),
        ("cnn2", 24 * 24 * 20 * 25 + 8 * 8 * 40 * 20 * 25 + 4 * 4 * 40 * 100 + 100 * 10),
    ],
)
def test_multiply_adds_are_those_of_the_closed_form(name: str, expected: int) -> None:
    network = build_network(name).eval()
    assert count_multiply_adds(network, IMAGE) == expected
    plan = plan_windows(network, (1, 28, 28))
    assert isinstance(plan, WindowPlan)
    assert plan.direct_multiply_adds == expected, "the two ways to count agree"


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(1, 6, 3, stride=2, padding=1), 14 * 14 * 6 * 9),
        (nn.Sequential(nn.Conv2d(1, 6, 1), nn.Conv2d(6, 6, 3, groups=6)), 28 * 28 * 6 + 26 * 26 * 6 * 9),
        (nn.MaxPool2d(2), 0),
    ],
)
def test_strides_and_groups_are_counted_and_pools_are_not(layer: nn.Module, expected: int) -> None:
    assert count_multiply_adds(layer, IMAGE) == expected


def test_the_order_statistics_hold_the_median_in_95_of_100_cases() -> None:
    """The median is above the n-th of the ordered times if fewer than n of them are below it."""
    covered = binom(REPEATS, 0.5).cdf(NTH_HIGH - 1) - binom(REPEATS, 0.5).cdf(NTH_LOW - 1)
    narrower = binom(REPEATS, 0.5).cdf(NTH_HIGH - 2) - binom(REPEATS, 0.5).cdf(NTH_LOW)
    assert covered >= 0.95 > narrower


def test_costs_survive_their_file(tmp_path: Path) -> None:
    costs = Costs(123, np.arange(REPEATS, 0, -1) / 8, threads=1)
    (tmp_path / "costs.safetensors").write_bytes(costs.to_bytes())
    again = Costs.load(tmp_path / "costs.safetensors")
    assert again.record() == costs.record()
    time = again.record().ms_per_image
    assert (time.low, time.value, time.high) == (0.5, 1.0, 1.5)


def test_measuring_leaves_the_network_as_it_was() -> None:
    network = build_network("cnn1")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    costs, other = measure_costs([network, build_network("dense-nn")], CPU)
    assert (costs.ms_per_image > 0).all()
    assert (costs.multiply_adds, other.multiply_adds) == (577_000, 89_400)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())

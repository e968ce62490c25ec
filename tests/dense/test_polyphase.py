"""A choice that depends on the image is never planned as if it did not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from shiftproof.dense import NotPlanned, RollPlan, plan_rolls, plan_windows
from shiftproof.layers import AdaptivePolyphase2d, LearnedPolyphase2d
from shiftproof.zoo import build_network

SHAPE = (1, 8, 8)
OFFSETS = torch.tensor([[0, 0], [1, 0], [0, 1], [2, 2], [3, -1], [4, 4]])


@pytest.mark.parametrize("name", ["cnn2-aps", "cnn2-lps", "resnet20-aps", "resnet20-lps"])
def test_what_follows_a_choice_is_computed_for_each_shift(name: str) -> None:
    torch.manual_seed(0)
    network = build_network(name, image_shape=SHAPE).double().eval()
    plan = plan_rolls(network, SHAPE)
    assert isinstance(plan, RollPlan)
    assert plan.head_layers[0] in ("body.phase1", "body.block21.halve")
    images = torch.rand(2, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        direct = [network(torch.roll(images, offset, (2, 3))) for offset in OFFSETS.tolist()]
    assert_close(plan.answer(images, OFFSETS), torch.stack(direct, 1), atol=1e-9, rtol=1e-9)
    assert isinstance(plan_windows(network, SHAPE), NotPlanned)


@pytest.mark.parametrize("pool", [AdaptivePolyphase2d(), LearnedPolyphase2d(1, 3)], ids=["aps", "lps"])
def test_the_refusal_names_the_layer(pool: nn.Module) -> None:
    """Planned as a stride of 2 it would be wrong: it commutes with shifts by 1 px already."""
    network = nn.Sequential(pool, nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    plan = plan_rolls(network, SHAPE)
    assert isinstance(plan, NotPlanned)
    assert plan.layer == "0"
    assert "rounding may change the choice" in plan.reason

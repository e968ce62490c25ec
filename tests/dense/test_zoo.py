"""Which networks of the zoo are planned, and for which border. A refusal is no proof: this table is."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from shiftproof.dense import NotPlanned, RollPlan, WindowPlan, plan_rolls, plan_windows
from shiftproof.zoo import build_network, networks

SHAPE = (1, 28, 28)
# The total stride, and the first layer that runs for each shift, if any.
CIRCULAR: dict[str, tuple[int, str | None]] = {
    "cnn2-aliasfree": (1, None),
    "cnn2-aps": (1, "body.phase1"),
    "cnn2-circular": (4, None),
    "cnn2-lps": (1, "body.phase1"),
    "resnet20-aps": (1, "body.block21.halve"),
    "resnet20-lps": (1, "body.block21.halve"),
    "standard-nn": (1, "body.flatten"),
}
# The total stride. These look at nothing outside of their windows, whatever the border.
ANY_BORDER = {
    "cnn1": 2,
    "cnn2": 4,
    "cnn2-dpp": 4,
    "cnn2-gap": 4,
    "dense-nn": 1,
    "standard-nn": 1,
    "strided-cnn": 4,
}


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    return build_network(name).eval()


@pytest.mark.parametrize("name", networks.names())
def test_circular_shifts(name: str) -> None:
    network, images = built(name), torch.rand(2, *SHAPE)
    plan = plan_rolls(network, SHAPE)
    if name not in CIRCULAR:
        assert isinstance(plan, NotPlanned)
        assert "torch.fx" not in plan.reason
        return
    assert isinstance(plan, RollPlan), plan
    stride, head = CIRCULAR[name]
    assert plan.total_stride == (stride, stride)
    assert next(iter(plan.head_layers), None) == head
    offsets = torch.tensor([[0, 0], [-3, 5], [4, 8], [1, -27]])
    with torch.no_grad():
        direct = [network(torch.roll(images, offset, (2, 3))) for offset in offsets.tolist()]
    assert_close(plan.answer(images, offsets), torch.stack(direct, 1), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", networks.names())
def test_any_border(name: str) -> None:
    network, canvas = built(name), torch.rand(1, 1, 30, 29)
    plan = plan_windows(network, SHAPE)
    if name not in ANY_BORDER:
        assert isinstance(plan, NotPlanned)
        assert "torch.fx" not in plan.reason
        return
    assert isinstance(plan, WindowPlan), plan
    assert plan.total_stride == (ANY_BORDER[name],) * 2
    with torch.no_grad():
        expected = network(canvas[:, :, 2:30, 1:29])
    assert_close(plan.answer(canvas, (3, 2))[:, 2, 1], expected, atol=1e-4, rtol=1e-4)

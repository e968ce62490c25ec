"""Architectures that people ship, with circular padding or without places, and what is proved of them."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from tests.certify.brute_force import difference
from torch import nn

from shiftproof.certify import certify

pytestmark = pytest.mark.slow
Pair = tuple[int, int]


class Case(NamedTuple):
    """A model of timm, and the step of rolls that is proved not to change its answer."""

    name: str
    options: dict[str, object]
    size_px: int
    step_px: Pair


CASES = (
    Case("convnext_atto", {}, 128, (32, 32)),
    Case("efficientnet_lite0", {}, 64, (32, 32)),
    # Squeeze and excite.
    Case("mobilenetv3_small_050", {}, 64, (32, 32)),
    Case("vit_tiny_patch16_224", {"img_size": 64, "pos_embed": "none"}, 64, (16, 16)),
    Case("vit_tiny_patch16_224", {"img_size": 64, "pos_embed": "none", "class_token": False,
                                  "global_pool": "avg"}, 64, (16, 16)),
)  # fmt: skip


def _circular(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d) and layer.padding != (0, 0):
            layer.padding_mode = "circular"
    return model.double().eval()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{len(case.options)}")
def test_steps_of_architectures_are_proved_and_true(case: Case) -> None:
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    model = _circular(timm.create_model(case.name, pretrained=False, num_classes=10, **case.options))
    shape = (3, case.size_px, case.size_px)
    law = certify(model, shape, numeric=False).circular
    assert law.step_px == case.step_px, str(law)
    images = torch.rand(1, *shape, dtype=torch.float64)
    with torch.inference_mode():
        still = model(images)
        down, right = law.step_px
        for roll in ((down, 0), (0, right), (down, right)):
            assert difference(model(torch.roll(images, roll, (2, 3))), still) < 1e-9
        assert difference(model(torch.roll(images, (down // 2, 0), (2, 3))), still) > 1e-7

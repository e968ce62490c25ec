"""What is proved of a network with an edit around it, beside every roll of the image, one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from shiftproof.certify import certify
from shiftproof.edits import apply_edit


def circular() -> nn.Sequential:
    """Two strides of 2 on a circle, and a global mean: exact for multiples of 4 px."""
    torch.manual_seed(0)
    strided = [nn.Conv2d(n, 4, 3, 2, 1, padding_mode="circular") for n in (1, 4)]
    return nn.Sequential(strided[0], nn.ReLU(), strided[1], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def flat() -> nn.Sequential:
    """Knows each position by another weight."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))


@pytest.mark.parametrize(
    ("network", "edit", "options", "step_px"),
    [
        (circular, "average-phases", {"stride": 4}, (1, 1)),
        (circular, "average-phases", {"stride": 4, "step_px": 2}, (2, 2)),
        pytest.param(
            circular,
            "average-phases",
            {"stride": 4, "space": "probabilities"},
            (1, 1),
            marks=pytest.mark.slow,
        ),
        (circular, "average-phases", {"stride": 2}, (4, 4)),
        pytest.param(circular, "average-phases", {"stride": 3}, (4, 4), marks=pytest.mark.slow),
        (circular, "average-logits", {"radius_px": 1, "border": "circular"}, (4, 4)),
        pytest.param(flat, "average-phases", {"stride": 8}, (1, 1), marks=pytest.mark.slow),
        (flat, "average-phases", {"stride": 2}, None),
        (flat, "canonical-position", {}, (1, 1)),
        (circular, "average-phases", {"stride": 4, "border": "zeros"}, None),
        (circular, "canonical-position", {"border": "zeros"}, None),
    ],
)
def test_proved_is_what_every_roll_shows(
    network: Any, edit: str, options: dict[str, Any], step_px: tuple[int, int] | None
) -> None:
    edited = apply_edit(network().double().eval(), edit, **options).module
    found = certify(edited, (1, 8, 8), n_images=2)
    assert found.circular.step_px == step_px
    assert found.holds is not False
    images = torch.rand(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        answer = edited(images)
        exact = {
            (y, x)
            for y in range(8)
            for x in range(8)
            if torch.allclose(edited(torch.roll(images, (y, x), (2, 3))), answer, rtol=1e-9, atol=1e-12)
        }
    by = step_px or (8, 8)
    assert exact == {(y, x) for y in range(0, 8, by[0]) for x in range(0, 8, by[1])}


def test_what_cannot_be_followed_is_not_proved_by_what_is_around() -> None:
    class Chance(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3)) * torch.rand(())

    edited = apply_edit(Chance(), "canonical-position").module
    assert certify(edited, (1, 8, 8), n_images=1).verdict == "nothing"

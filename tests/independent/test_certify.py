"""`certify`: a proof for circular shifts, checked by trying every one of them in float64.

Shares no code with the product: circular convolutions are torch's on an image that is padded by hand, the
adaptive stride is a sum of squares and an `argmax`, the weights come from the checkpoint.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.independent.conftest import Command, Trained
from tests.independent.plain import Weights, batch_of, dense_layers, digits, weights_in
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

pytestmark = pytest.mark.slow

SIZE = 28


def around(maps: Tensor, before: int, after: int) -> Tensor:
    """Maps with margins from the opposite side."""
    for axis in (2, 3):
        n = maps.shape[axis]
        parts = [maps.narrow(axis, n - before, before), maps, maps.narrow(axis, 0, after)]
        maps = torch.cat(parts, axis)
    return maps


def strongest_phase(maps: Tensor) -> Tensor:
    """Of the four phases of a stride of 2 the one with the largest sum of squares, image by image."""
    phases = torch.stack([maps[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)], 1)
    chosen = phases.square().sum((2, 3, 4)).argmax(1)
    return phases[torch.arange(len(maps)), chosen]


def network(weights: Weights, images: Tensor, *, adaptive: bool) -> Tensor:
    """cnn2 on a circle with a global mean; its pools keep every second position, or the strongest phase."""
    maps = images
    for layer in ("conv1", "conv2"):
        maps = conv2d(around(maps, 2, 2), weights[f"{layer}.weight"], weights[f"{layer}.bias"]).relu()
        if adaptive:
            maps = strongest_phase(max_pool2d(around(maps, 0, 1), 2, stride=1))
        else:
            maps = max_pool2d(maps, 2)
    return dense_layers(weights, maps.mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "adaptive", "verdict", "step_px"),
    [("cnn2-circular", False, "strided-shifts", 4), ("cnn2-aps", True, "all-shifts", 1)],
)
def test_every_circular_shift(
    name: str, adaptive: bool, verdict: str, step_px: int, circular: Trained, command: Command
) -> None:
    path = circular.network(name)
    proved = command("certify", f"zoo:{name}@{path}", "demo:mnist", "--limit", "1", "--random", "1")
    assert (proved["verdict"], proved["circular"]["step_px"]) == (verdict, [step_px, step_px])
    (check,) = (each for each in proved["checks"] if each["law"] == "circular")
    assert check["n_possible"] == (SIZE // step_px) ** 2 - 1, "all but the one that moves nothing"
    assert proved["holds"] is True

    weights = weights_in(path)
    image = digits("test")[0][0] / 255
    answers = []
    for dy in range(SIZE):
        shown = np.stack([np.roll(image, (dy, dx), (0, 1)) for dx in range(SIZE)])
        answers.append(network(weights, batch_of(shown), adaptive=adaptive))
    change = (torch.stack(answers) - answers[0][0]).abs().amax(2) / answers[0][0].abs().max()
    multiples = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    multiples[::step_px, ::step_px] = True
    assert float(change[multiples].max()) < 1e-12, "proved, and so it is"
    assert float(check["float64"]["relative"]) < 1e-12
    if step_px > 1:
        assert float(change[~multiples].min()) > 1e-6, "what is not proved is not so"

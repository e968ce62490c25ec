"""How much of its work a network does at each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.utils.flop_counter import FlopCounterMode

from shiftproof.anatomy import BATCH, Trace
from shiftproof.zoo import ImageShape


def multiply_adds(traced: Trace, image_shape: ImageShape) -> dict[fx.Node, int]:
    """Multiplications of each step for one image, as torch counts those of convolutions and matrices."""
    counting = _Counting(traced.module)
    with torch.no_grad():
        counting.run(traced.images(BATCH, image_shape))  # Some layers refuse a single one.
    return counting.multiply_adds


class _Counting(fx.Interpreter):
    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.multiply_adds: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        with FlopCounterMode(display=False) as counter:
            answer = super().run_node(n)
        self.multiply_adds[n] = counter.get_total_flops() // (2 * BATCH)
        return answer

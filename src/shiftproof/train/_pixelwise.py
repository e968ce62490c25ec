from __future__ import annotations

from collections.abc import Callable

from numpy.random import BitGenerator
from torch import Tensor, nn


def pixelwise_stage(*layers: nn.Module) -> Callable[[Tensor, BitGenerator], Tensor] | None:
    return None

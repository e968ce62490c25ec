"""What a recorded CUDA graph asks of a training step, tried out without a GPU.

While a graph is recorded nothing may come from the processor: no tensor of Python's numbers, no copy
between devices. On torch's `meta` device, which computes shapes only, both show.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.train.test_plain_loop import SIZES_PX
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from shiftproof.zoo import build_network, networks


class FromTheProcessor(TorchDispatchMode):
    """Notes operations that read or give a tensor on the processor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.device.type == "cpu" for tensor in tensors):
            self.found.append(str(func))
        return result


class FromNumbers(TorchFunctionMode):
    """Notes tensors that are made of Python's numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.tensor, torch.as_tensor, torch.from_numpy):
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", networks.names())
@pytest.mark.parametrize("full_size", [False, True])
def test_nothing_comes_from_the_processor(name: str, full_size: bool) -> None:
    size_px = 28 if full_size else SIZES_PX[name]  # small maps are folded more than once at their borders
    network = build_network(name, image_shape=(1, size_px, size_px)).double().to("meta")
    images = torch.empty(4, 1, size_px, size_px, device="meta", dtype=torch.float64)
    labels = torch.empty(4, device="meta", dtype=torch.int64)
    with FromNumbers() as made, FromTheProcessor() as copied:
        loss, _ = network.loss(images, labels)
        torch.autograd.backward(loss)
    assert not made.found
    assert not copied.found


def test_what_is_copied_or_made_is_noticed() -> None:
    there = torch.empty(3, device="meta")
    with FromNumbers() as made, FromTheProcessor() as copied:
        there + torch.arange(3).to("meta") + torch.tensor([1.0, 2.0, 3.0], device="meta")
    assert made.found == ["tensor"]
    assert "aten._to_copy.default" in copied.found

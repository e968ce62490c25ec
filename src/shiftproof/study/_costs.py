"""What a network costs: arithmetic, counted, and time, measured."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from shiftproof._digest import canonical_json
from shiftproof._threads import one_thread_per_operation
from shiftproof.records import CostsRecord, TimeRecord
from shiftproof.zoo import Network

BATCH = 100
REPEATS = 15
# Of 15 draws, the median of what they are drawn from lies between the 4th and the 12th with 96.5 %.
NTH_LOW, NTH_HIGH = 4, 12


@dataclass(frozen=True, eq=False)
class Costs:
    """Arithmetic and time of one network.

    Args:
        multiply_adds: Of convolutions and matrix products, for one image. Pools, activations and sums,
            which are cheaper than the memory they read, are not counted.
        ms_per_image: float64 (REPEATS,); one measurement each, in the order in which they were made.
        threads: Of one operation, while measured.
    """

    multiply_adds: int
    ms_per_image: np.ndarray
    threads: int

    def record(self) -> CostsRecord:
        """The median time, and the order statistics around it."""
        ordered = np.sort(self.ms_per_image)
        time_ms = TimeRecord(
            value=float(np.median(ordered)),
            low=float(ordered[NTH_LOW - 1]),
            high=float(ordered[NTH_HIGH - 1]),
            n_repeats=len(ordered),
            batch_size=BATCH,
            threads=self.threads,
            confidence=0.95,
            method=f"median of {len(ordered)}, order statistics",
        )
        return CostsRecord(multiply_adds=self.multiply_adds, ms_per_image=time_ms)

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        header = canonical_json({"multiply_adds": self.multiply_adds, "threads": self.threads})
        return save({"ms_per_image": self.ms_per_image}, {"costs": header})

    @classmethod
    def load(cls, path: Path) -> Costs:
        """Read such a file."""
        with safe_open(path, framework="np") as file:
            header: dict[str, Any] = json.loads(file.metadata()["costs"])
            return cls(header["multiply_adds"], file.get_tensor("ms_per_image"), header["threads"])


def measure_costs(
    networks: Sequence[Network], device: torch.device, *, check_stop: Callable[[], None] = lambda: None
) -> list[Costs]:
    """Count and time the forward pass of networks in evaluation mode.

    Args:
        networks: Any of the zoo, for images of one size; their weights do not matter.
        device: Where to compute. On a CPU each operation has one thread: a network is not faster for
            having operations that are worth splitting.
        check_stop: Called between repeats; may raise `Stopped`.

    Returns:
        Times of batches of `BATCH` images divided by the images, after a round that is not counted. The
        networks take turns, so that whatever else the machine does meets all of them alike.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> (costs,) = measure_costs([build_network("dense-nn")], torch.device("cpu"))
        >>> costs.multiply_adds, costs.ms_per_image.shape
        (89400, (15,))
    """
    networks = [network.to(device).eval() for network in networks]
    generator = torch.Generator().manual_seed(0)
    # Noise, since a constant image has ties where some layers choose the larger part.
    images = torch.rand(BATCH, *networks[0].image_shape, generator=generator).to(device)
    seconds = np.empty((REPEATS + 1, len(networks)))
    with torch.no_grad(), one_thread_per_operation():
        arithmetic = [count_multiply_adds(network, images[:1]) for network in networks]
        for turn in seconds:
            for place, network in enumerate(networks):
                check_stop()
                turn[place] = _seconds(network, images)
        threads = torch.get_num_threads()
    ms_per_image = 1000 / BATCH * seconds[1:]
    return [
        Costs(n, np.ascontiguousarray(times), threads)
        for n, times in zip(arithmetic, ms_per_image.T, strict=True)
    ]


def count_multiply_adds(network: torch.nn.Module, images: Tensor) -> int:
    """Multiply-adds of the convolutions and matrix products that a forward pass runs.

    They are counted where torch dispatches them, so that it does not matter which layer asks for them.

    Example:
        >>> count_multiply_adds(torch.nn.Conv2d(3, 8, 5), torch.zeros(1, 3, 28, 28)) == 24 * 24 * 8 * 3 * 25
        True
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    return int(counter.get_total_flops()) // 2


def _seconds(network: Network, images: Tensor) -> float:
    start = time.perf_counter()
    logits = network(images)
    if logits.device.type != "cpu":
        logits.cpu()  # waits for the answer
    return time.perf_counter() - start

"""What a training step costs at least, operation by operation, and what each operation takes.

The floor of an operation is the larger of two times: its multiply-adds at the speed of a large matrix
product, and the bytes that it has to read and write, once each, at the speed of a copy between buffers of
the size of the largest maps. Both speeds are measured on all cores at once. Bytes are those of an
implementation that keeps every layer's result, computes ReLU with the pool, and keeps one byte for where a
maximum was. The floor of a step is the sum: operations follow one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from shiftproof._threads import available_cores, in_order, worker_pool
from shiftproof.data import load_data
from shiftproof.study import load_study
from shiftproof.train import INPUT_SCALES, fit
from shiftproof.zoo import build_network, networks

FLOAT = 4
BATCH = 128
# Of the lane of a batch that one thread computes.
LANE = 64
FLOATS_OF_LARGEST_MAPS = LANE * 20 * 24 * 24
N_COPIES = 10


@dataclass(frozen=True, slots=True)
class Operation:
    """A part of a training step, for one image.

    Args:
        name: What is computed.
        multiply_adds: How often a product is added to a sum.
        n_bytes: Read and written in memory.
    """

    name: str
    multiply_adds: float
    n_bytes: float

    def seconds(self, flops_per_s: float, bytes_per_s: float) -> float:
        return max(2 * self.multiply_adds / flops_per_s, self.n_bytes / bytes_per_s)


def operations(row: str) -> list[Operation]:
    """Forward, backward and update for one image of a row of the article's study."""
    name = row.removesuffix("-augmented")
    found = _pixelwise() if name == "standard-nn" else _convolutional((20,) if name == "cnn1" else (20, 40))
    # Once a batch: three passes read the weights, Adam reads four numbers of each and writes three.
    found.append(Operation("weights and Adam", 0, 10 * FLOAT * networks.get(name).n_parameters / BATCH))
    if row.endswith("-augmented"):
        # Two blends of two neighbours, one along each axis.
        found.insert(0, Operation("shift", 2 * 784, 4 * 784 * FLOAT))
    return found


def _convolutional(filters: tuple[int, ...]) -> list[Operation]:
    forward: list[Operation] = []
    backward: list[Operation] = []
    channels, size = 1, 28
    for block, n_filters in enumerate(filters, start=1):
        ins, maps = channels * size * size, n_filters * (size - 4) ** 2
        pooled = maps // 4
        multiply_adds, moved = maps * 25 * channels, FLOAT * (ins + maps)
        pool_bytes = FLOAT * (maps + pooled) + pooled
        forward += [
            Operation(f"convolution {block}", multiply_adds, moved),
            Operation(f"pool and ReLU {block}", 0, pool_bytes),
        ]
        # Of the weights and, but for the images, of the input.
        passes = 1 if block == 1 else 2
        backward += [
            Operation(f"convolution {block}, gradient", passes * multiply_adds, passes * moved),
            Operation(f"pool and ReLU {block}, gradient", 0, pool_bytes),
        ]
        channels, size = n_filters, (size - 4) // 2
    n_features = channels * size * size
    dense = n_features * 100 + 100 * 10
    forward.append(Operation("dense layers", dense, FLOAT * (n_features + 110)))
    backward.append(Operation("dense layers, gradient", 2 * dense, 2 * FLOAT * (n_features + 110)))
    return forward + backward[::-1]


def _pixelwise() -> list[Operation]:
    activations = 784 * 100
    at_pixels, head = 784 * (100 + 100 * 100), activations * 10
    moved = FLOAT * activations
    return [
        Operation("dense layers at every pixel", at_pixels, moved),
        Operation("last layer", head, moved),
        Operation("last layer, gradient", 2 * head, 2 * moved),
        Operation("dense layers at every pixel, gradient", 2 * at_pixels, moved),
    ]


def measure_machine() -> tuple[float, float]:
    """Floating-point operations and bytes moved in a second by all cores together; the best of many."""
    n = available_cores()
    squares = [torch.rand(1024, 1024) for _ in range(n)]
    products = [torch.empty(1024, 1024) for _ in range(n)]
    maps = [torch.rand(FLOATS_OF_LARGEST_MAPS) for _ in range(n)]
    copies = [torch.empty(FLOATS_OF_LARGEST_MAPS) for _ in range(n)]
    with worker_pool(n) as pool:
        multiply = _shortest(
            pool, [partial(torch.mm, a, a, out=c) for a, c in zip(squares, products, strict=True)]
        )
        copy = _shortest(pool, [partial(_copy, a, c) for a, c in zip(maps, copies, strict=True)])
    moved = 2 * N_COPIES * FLOAT * FLOATS_OF_LARGEST_MAPS
    return n * 2 * 1024**3 / multiply, n * moved / copy


def _copy(source: Tensor, target: Tensor) -> None:
    for _ in range(N_COPIES):
        target.copy_(source)


def _shortest(pool: Executor, tasks: list[Callable[[], object]]) -> float:
    times = []
    for _ in range(20):
        start = time.perf_counter()
        in_order(pool, tasks)
        times.append(time.perf_counter() - start)
    return min(times)


def profile_row(row: str, n_images: int) -> dict[str, float]:
    """Seconds per image that `fit` spends in each operation, on one thread, by torch's profiler.

    What has no floor (cutting batches, shifting, loss, bookkeeping, the profiler itself) is in
    `everything else`.
    """
    (arm,) = (arm for arm in load_study("article").arms if arm.name == row)
    recipe = arm.recipe.model_copy(update={"epochs": 1})
    data = load_data("mnist", "train").head(n_images)
    network = build_network(arm.network, input_scale=INPUT_SCALES[recipe.input_scale])
    found: dict[str, float] = {}
    with worker_pool(1) as pool:
        fit(network, data, recipe, pool=pool)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            fit(network, data, recipe, pool=pool)
    for event in profiler.key_averages(group_by_input_shape=True):
        name = _operation_of(event.key, event.input_shapes)
        found[name] = found.get(name, 0) + event.self_cpu_time_total * 1e-6 / n_images
    return found


def _operation_of(kernel: str, shapes: list[list[int]]) -> str:
    """The operation that a kernel of torch is a part of; maps of block 1 have 20 channels, of block 2 40."""
    maps = next((shape for shape in shapes if len(shape) == 4), None)
    block = 2 if maps and maps[1] == 40 else 1
    match kernel.removeprefix("aten::"):
        case "mkldnn_convolution":
            return f"convolution {1 if maps and maps[1] == 1 else 2}"
        case "convolution_backward":
            return f"convolution {block}, gradient"
        case "max_pool2d_with_indices" | "clamp_min" | "clamp_min_" if maps:
            return f"pool and ReLU {block}"
        case "max_pool2d_with_indices_backward" | "threshold_backward" | "fill_" if maps:
            return f"pool and ReLU {block}, gradient"
        case "addmm":
            return "dense layers"
        case "mm":
            return "dense layers, gradient"
        case "_fused_adam_":
            return "weights and Adam"
    return "everything else"

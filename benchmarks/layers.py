"""Each layer beside `MaxPool2d` of the same output size, and beside a peer's version of it.

Usage: python -m benchmarks.layers [--repeats N] [--threads N] [--only NAME] [--out FILE]

Those compared take turns in one process, so that a slow minute of the machine meets all of them; the
result is the ratio of medians, for the answer alone and for the answer with its gradient. Every single
time is kept in results/layers.json. A layer is a row of `ROWS`; add one to have it measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus
from torch import Tensor, nn

from shiftproof import layers
from shiftproof._device import describe_machine
from shiftproof._threads import available_cores

RESULTS = Path(__file__).parent / "results"
# (N, C, H, W): after the first convolution of cnn2 on a circle, and of a ResNet on photographs.
SIZES = ((64, 20, 28, 28), (4, 64, 112, 112))
# Ours divided by the peer's: none slower.
AIM = 1.0
# A turn repeats a task until it took at least so long: a timer cannot see less.
LEAST_S = 0.02

Build = Callable[[int], nn.Module]


class Row(NamedTuple):
    """A layer, built for a number of channels, and the same layer of other packages."""

    name: str
    ours: Build
    peers: dict[str, Build] = {}  # noqa: RUF012
    # What it takes the place of.
    plain: Build = lambda channels: nn.MaxPool2d(2)


def kornia_blur(kernel_size: int) -> Build:
    def build(channels: int) -> nn.Module:
        from kornia.filters import BlurPool2D

        layer: nn.Module = BlurPool2D(kernel_size, 2)
        return layer

    return build


def kornia_max_blur(channels: int) -> nn.Module:
    from kornia.filters import MaxBlurPool2D

    layer: nn.Module = MaxBlurPool2D(3, 2, 2)
    return layer


def timm_blur(kernel_size: int) -> Build:
    def build(channels: int) -> nn.Module:
        from timm.layers import BlurPool2d

        layer: nn.Module = BlurPool2d(channels, kernel_size, 2)
        return layer

    return build


def timm_max_blur(channels: int) -> nn.Module:
    """As in its ResNets, but for the size of the maximum, which is 3 there."""
    return nn.Sequential(nn.MaxPool2d(2, 1), timm_blur(3)(channels))


class MeanOfAll(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1)


# A peer stands where its definition is the same: kornia pads with zeros, timm reflects. Layers without
# a version in kornia or timm are beside the max pool alone.
ROWS = (
    Row(
        "BlurPool2d, 3 taps, zeros",
        lambda c: layers.BlurPool2d(c, border="zeros"),
        {"kornia": kornia_blur(3)},
    ),
    Row("BlurPool2d, 3 taps, reflect", layers.BlurPool2d, {"timm": timm_blur(3)}),
    Row(
        "BlurPool2d, 7 taps, reflect",
        lambda c: layers.BlurPool2d(c, kernel_size=7),
        {"timm": timm_blur(7)},
    ),
    Row("BlurPool2d, 3 taps, circular", lambda c: layers.BlurPool2d(c, border="circular")),
    Row("BlurPool2d, 3 taps, learned", lambda c: layers.BlurPool2d(c, learned=True)),
    Row(
        "MaxBlurPool2d, zeros",
        lambda c: layers.MaxBlurPool2d(c, border="zeros"),
        {"kornia": kornia_max_blur},
    ),
    Row("MaxBlurPool2d, reflect", layers.MaxBlurPool2d, {"timm": timm_max_blur}),
    Row("MaxBlurPool2d, circular", lambda c: layers.MaxBlurPool2d(c, border="circular")),
    Row(
        "LowPassPool2d after AliasFreeActivation",
        lambda c: nn.Sequential(layers.AliasFreeActivation(nn.ReLU()), layers.LowPassPool2d()),
        plain=lambda c: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
    ),
    Row(
        "GlobalMeanPool",
        lambda c: layers.GlobalMeanPool(),
        {"torch": lambda c: MeanOfAll()},
        plain=lambda c: nn.AdaptiveMaxPool2d(1),
    ),
    Row(
        "AdaptivePolyphase2d after a circular max",
        lambda c: nn.Sequential(layers.CircularMaxPool2d(2), layers.AdaptivePolyphase2d()),
        {"MaxBlurPool2d": lambda c: layers.MaxBlurPool2d(c, border="circular")},
    ),
    Row(
        "LearnedPolyphase2d after a circular max",
        lambda c: nn.Sequential(layers.CircularMaxPool2d(2), layers.LearnedPolyphase2d(c, max(1, c // 4))),
        {"MaxBlurPool2d": lambda c: layers.MaxBlurPool2d(c, border="circular")},
    ),
    Row("DetailPreservingPool2d", layers.DetailPreservingPool2d),
    Row("StridedConvPool2d", layers.StridedConvPool2d),
)


def answer(layer: nn.Module, maps: Tensor) -> Callable[[], object]:
    def task() -> object:
        with torch.inference_mode():
            return layer(maps)

    return task


def answer_and_gradient(layer: nn.Module, maps: Tensor) -> Callable[[], object]:
    learning = maps.clone(memory_format=torch.preserve_format).requires_grad_()
    inputs = [learning, *layer.parameters()]

    def task() -> object:
        output = layer(learning)
        return torch.autograd.grad(output, inputs, torch.ones_like(output))

    return task


def seconds(task: Callable[[], object], n: int) -> float:
    start = time.perf_counter()
    for _ in range(n):
        task()
    return (time.perf_counter() - start) / n


def in_turns(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, after turns that do not count."""
    n = {
        name: max(1, round(LEAST_S / min(seconds(task, 1) for _ in range(3)))) for name, task in tasks.items()
    }
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(float(f"{seconds(task, n[name]):.4g}"))
    return times


def beside(row: Row, shape: tuple[int, int, int, int], channels_last: bool, repeats: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(shape, generator=generator)
    if channels_last:
        maps = maps.contiguous(memory_format=torch.channels_last)
    builds = {"ours": row.ours, "plain": row.plain, **row.peers}
    built = {name: build(shape[1]) for name, build in builds.items()}
    found: dict[str, Any] = {"layer": row.name, "shape": list(shape), "channels_last": channels_last}
    for what, task_of in (("answer", answer), ("with_gradient", answer_and_gradient)):
        for layer in built.values():
            layer.train(what == "with_gradient")  # learned choices are mixtures while they learn
        times = in_turns({name: task_of(layer, maps) for name, layer in built.items()}, repeats)
        middle = {name: statistics.median(values) for name, values in times.items()}
        found[f"{what}_s"] = times
        found[f"{what}_ratios"] = {
            f"ours / {name}": round(middle["ours"] / middle[name], 3) for name in times if name != "ours"
        }
    print({k: v for k, v in found.items() if not k.endswith("_s")}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--out", type=Path, default=RESULTS / "layers.json")
    options = parser.parse_args()
    operators = torchvision_beside_torch_for_cpus()
    torch.set_num_threads(options.threads)
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "threads": options.threads,
        "versions": {
            **{name: version(name) for name in ("shiftproof", "torch", "kornia", "timm")},
            "python": platform.python_version(),
        },
        "aim": AIM,
        "rows": [
            beside(row, shape, channels_last, options.repeats)
            for row in ROWS
            if options.only in row.name
            for shape in SIZES
            for channels_last in (False, True)
        ],
    }
    del operators
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

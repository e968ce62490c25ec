"""What an explanation costs, in forward passes and seconds, beside a layer-wise Lie-derivative loop.

Usage: python -m benchmarks.explaining [--images N] [--lie-images N] [--networks NAME ...]

A forward pass is one image through the whole network: passes are counted in multiplications, which do not
depend on how busy the machine is, and given in seconds as well. The loop is that of Gruver et al. 2023
(arXiv:2210.02984): the Lie derivative of every layer by itself, weighed by gradients of the answer along
`PROBES` random directions.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from benchmarks.photographs import photographs
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from shiftproof._device import describe_environment
from shiftproof.explain import explain, tangent

RESULT = Path(__file__).parent / "results" / "explaining.json"
AIM = 60
PROBES = 100


def counted(task: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and multiplications with additions."""
    start = time.perf_counter()
    with FlopCounterMode(display=False) as counter:
        task()
    return time.perf_counter() - start, int(counter.get_total_flops())


def lie_loop(network: nn.Module, images: Tensor) -> list[float]:
    """Mean squared effect of every layer's own Lie derivative on the answer, by Gruver's definition."""
    found: list[tuple[Tensor, Tensor]] = []

    def look(layer: nn.Module, given: tuple[Tensor, ...], answer: Tensor) -> None:
        (maps,) = given
        if maps.ndim != 4 or answer.ndim != 4 or min(answer.shape[2:]) < 3:
            return
        with torch.no_grad():
            moving = tangent(maps.detach(), 1)
            _, moved, *_ = torch.func.jvp(
                lambda x: type(layer).forward(layer, x), (maps.detach(),), (moving,)
            )
            own = moved - tangent(answer.detach(), 1) * answer.shape[3] / maps.shape[3]
        found.append((answer, own))

    layers = [layer for layer in network.modules() if not list(layer.children())]
    for layer in layers:
        if hasattr(layer, "inplace"):
            vars(layer)["inplace"] = False
    handles = [layer.register_forward_hook(look) for layer in layers]
    try:
        logits = network(images.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    generator = torch.Generator().manual_seed(0)
    totals = torch.zeros(len(found))
    for _ in range(PROBES):
        probe = torch.randn(logits.shape, generator=generator)
        gradients = torch.autograd.grad(logits, [answer for answer, _ in found], probe, retain_graph=True)
        pairs = zip(gradients, found, strict=True)
        totals += torch.stack([(g * own).sum((1, 2, 3)).square().mean() for g, (_, own) in pairs])
    return (totals / PROBES).tolist()


def measured(name: str, n_images: int, n_lie_images: int) -> dict[str, Any]:
    """One network of torchvision with random weights."""
    from torchvision import models

    torch.manual_seed(0)
    network: nn.Module = getattr(models, name)(weights=None).eval()
    images = photographs()[:n_images].float() / 255

    def forward() -> None:
        with torch.inference_mode():
            network(images)

    forward()
    (seconds, flops), again = counted(forward), counted(forward)[0]
    pass_s, pass_flops = min(seconds, again) / n_images, flops / n_images

    def blame(n_shifts: int) -> None:
        explain(network, images, n_shifts=n_shifts, n_remedies=0)

    rows = []
    for what, task, n in (
        ("explain, one shift an image", lambda: blame(1), n_images),
        ("layer-wise Lie derivative", lambda: lie_loop(network, images[:n_lie_images].clone()), n_lie_images),
    ):
        seconds, flops = counted(task)
        rows.append(
            {
                "what": what,
                "n_images": n,
                "passes_per_image": flops / n / pass_flops,
                "seconds_per_image": seconds / n,
                "seconds_over_pass": seconds / n / pass_s,
            }
        )
        print(name, rows[-1])
    return {"network": name, "size_px": 224, "seconds_of_a_pass": pass_s, "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--lie-images", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=["resnet18", "resnet50"])
    options = parser.parse_args()
    library = torchvision_beside_torch_for_cpus()
    found = [measured(name, options.images, options.lie_images) for name in options.networks]
    del library
    record = {
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
        "aim_passes_per_image": AIM,
        "probes": PROBES,
        "networks": found,
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()

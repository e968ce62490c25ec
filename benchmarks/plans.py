"""Which networks get a dense plan, for which borders, and how much faster each is than shift by shift.

Usage: python -m benchmarks.plans [--only NAME …] [--out FILE]

All networks of the zoo, and some of torchvision and timm, with random weights; one has borders that go
around. A plan for windows serves any border; one for rolls serves circular shifts. Times are those of one
processor, for all whole shifts by up to 8 px; shift by shift, some of them are timed and the rest counted
like these.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus
from torch import Tensor, nn

from shiftproof._device import describe_machine
from shiftproof.adapters import ModelRequest, load_classifier
from shiftproof.dense import NotPlanned, plan_rolls, plan_windows
from shiftproof.zoo import ImageShape, networks

RESULT = Path(__file__).parent / "results" / "plans.json"
OTHERS = (
    "torchvision:resnet18", "torchvision:vgg11_bn", "torchvision:mobilenet_v2", "torchvision:convnext_tiny",
    "torchvision:efficientnet_b0", "timm:vit_tiny_patch16_224", "timm:mixer_s32_224", "timm:poolformer_s12",
    "circular timm:convnext_atto",
)  # fmt: skip
RADIUS_PX = 8
TIMED_SHIFTS = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path, default=RESULT)
    args = parser.parse_args()
    torch.set_num_threads(1)
    operators = torchvision_beside_torch_for_cpus()
    references = args.only or [*(f"zoo:{name}" for name in networks.names()), *OTHERS]
    rows = []
    for reference in references:
        rows.append(row(reference))
        print(json.dumps(rows[-1]), flush=True)
        report = {
            "date": datetime.now(UTC).date().isoformat(),
            "machine": describe_machine(torch.device("cpu")),
            "radius_px": RADIUS_PX,
            "rows": rows,
        }
        args.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    del operators


def row(reference: str) -> dict[str, Any]:
    """Both plans of a network, or why there is none."""
    *circular, name = reference.split()
    classifier = load_classifier(name, ModelRequest(untrained=True))
    module = classifier.pipeline
    assert module is not None
    if circular:
        go_around(module)
    shape: ImageShape = classifier.framing.image_shape or (1, 28, 28)
    return {
        "network": reference,
        "image_shape": list(shape),
        "any-border": of_windows(module, shape),
        "circular": of_rolls(module, shape),
    }


def go_around(network: nn.Module) -> None:
    """Give all convolutions that pad with zeros a circular border."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.padding not in (0, (0, 0)):
            layer.padding_mode = "circular"


def offsets() -> Tensor:
    """All whole shifts up to the radius, in pixels."""
    side = torch.arange(-RADIUS_PX, RADIUS_PX + 1)
    return torch.cartesian_prod(side, side)


def of_windows(module: nn.Module, shape: ImageShape) -> dict[str, Any]:
    """Against cutting out each window."""
    plan = plan_windows(module, shape)
    if isinstance(plan, NotPlanned):
        return {"planned": False, "because": str(plan)}
    n_windows = (2 * RADIUS_PX + 1,) * 2
    canvas = torch.rand(1, shape[0], shape[1] + 2 * RADIUS_PX, shape[2] + 2 * RADIUS_PX)

    def one(offset: Sequence[int]) -> Tensor:
        y, x = (RADIUS_PX - shift for shift in offset)
        answer: Tensor = module(canvas[:, :, y : y + shape[1], x : x + shape[2]])
        return answer

    return compared(lambda: plan.answer(canvas, n_windows).flip(1, 2).flatten(1, 2), one)


def of_rolls(module: nn.Module, shape: ImageShape) -> dict[str, Any]:
    """Against rolling each image."""
    plan = plan_rolls(module, shape, offsets())
    if isinstance(plan, NotPlanned):
        return {"planned": False, "because": str(plan)}
    if not plan.is_cheaper(offsets()):
        return {
            "planned": False,
            "because": f"from {plan.head_layers[0]} on each shift is computed by itself.",
        }
    images = torch.rand(1, *shape)

    def one(offset: Sequence[int]) -> Tensor:
        answer: Tensor = module(torch.roll(images, tuple(offset), (2, 3)))
        return answer

    return compared(lambda: plan.answer(images, offsets()), one)


@torch.inference_mode()
def compared(all_at_once: Callable[[], Tensor], one: Callable[[Sequence[int]], Tensor]) -> dict[str, Any]:
    """Times of both, and the largest difference between their answers relative to the largest answer."""
    shifts = offsets()
    chosen = torch.linspace(0, len(shifts) - 1, TIMED_SHIFTS).long().tolist()
    all_at_once()
    start = time.process_time()
    answers = all_at_once()
    dense_s = time.process_time() - start
    one(shifts[0].tolist())
    start = time.process_time()
    expected = torch.stack([one(shifts[place].tolist()) for place in chosen], 1)
    direct_s = (time.process_time() - start) * len(shifts) / TIMED_SHIFTS
    difference = (answers[:, chosen] - expected).abs().max() / expected.abs().max().clamp(min=1e-12)
    return {
        "planned": True,
        "dense_s": round(dense_s, 4),
        "direct_s": round(direct_s, 4),
        "times_faster": round(direct_s / dense_s, 2),
        "difference": float(f"{float(difference):.1e}"),
    }


if __name__ == "__main__":
    main()

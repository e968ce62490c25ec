"""Where a blur belongs: before the norm or behind the activation, in the stem, in shortcuts.

python -m benchmarks.where_to_blur

Small residual networks, trained on digits, whose strides are all in convolutions: in the stem, in a block and
in its shortcut. Agreement under `box:4,4,8` is measured on images that no training saw, right after each edit
and after an epoch of training. The network is the sampling unit: intervals are over networks, paired.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from benchmarks.first_and_last import N_MEASURED, N_TAUGHT, PROTOCOL, agreement, digits, teach
from torch import Tensor, nn

from shiftproof._device import describe_environment
from shiftproof._threads import one_thread_per_operation
from shiftproof.adapters import EditStep
from shiftproof.data import LabelledImages
from shiftproof.edits import apply_edit
from shiftproof.layers import GlobalMeanPool
from shiftproof.metrics._bounded import difference_interval
from shiftproof.shifts import find_protocol

RESULT = Path(__file__).parent / "results" / "where-to-blur.json"
N_NETWORKS, CONFIDENCE = 12, 0.95
STEPS = (
    EditStep("blur-strides"),
    EditStep("conv-blur-pool"),
    EditStep("conv-blur-pool", None, {"stem": False}),
    EditStep("conv-blur-pool", None, {"shortcuts": False}),
)
AS_IT_IS = "as it is"


class Block(nn.Module):
    """Two convolutions, the first one with a stride, and a shortcut with the same."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(before, after, 3, 2, 1, bias=False), nn.BatchNorm2d(after)
        self.conv2, self.norm2 = nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(maps)))))
        answer: Tensor = self.relu(inner + self.shortcut(maps))
        return answer


def network(seed: int) -> nn.Sequential:
    """A stem with a stride, two blocks and the mean over positions."""
    torch.manual_seed(seed)
    stem = (nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*stem, Block(8, 16), Block(16, 16), GlobalMeanPool(), nn.Linear(16, 10))


def measured(seed: int, taught: LabelledImages, others: LabelledImages) -> dict[str, tuple[float, float]]:
    """Agreement right after each edit and after an epoch more, by edit."""
    trained = network(seed)
    teach(trained, taught, epochs=4, seed=seed, shifts="box:1,1,1")
    trained.eval()
    models: dict[str, nn.Module] = {AS_IT_IS: copy.deepcopy(trained)}
    models |= {str(step): apply_edit(trained, step.edit, **step.options).module for step in STEPS}
    found = {}
    for name, model in models.items():
        without = agreement(model, others)
        teach(model, taught, epochs=1, seed=seed, shifts=PROTOCOL)
        found[name] = (without, agreement(model, others))
    return found


def row(name: str, found: list[dict[str, tuple[float, float]]], after: int) -> dict[str, float]:
    """Means over networks, and the difference from the network as it is, after as much training."""
    values = np.array([each[name][after] for each in found])
    rest = np.array([each[AS_IT_IS][after] for each in found])
    (low, high, _), _ = difference_interval(values - rest, CONFIDENCE, 1.0)
    return {
        "agreement": float(values.mean()),
        "difference": float((values - rest).mean()),
        "low": low,
        "high": high,
    }


def main() -> None:
    taught, others = digits("train", N_TAUGHT), digits("test", N_MEASURED)
    found = []
    with one_thread_per_operation():
        for seed in range(N_NETWORKS):
            found.append(measured(seed, taught, others))
            print(found[-1], flush=True)
    write(found)


def write(found: list[dict[str, tuple[float, float]]]) -> None:
    """The result of all networks."""
    record = {
        "n_networks": len(found),
        "protocol": find_protocol(PROTOCOL).describe(),
        "rows": {name: [row(name, found, after) for after in (0, 1)] for name in found[0]},
        "networks": found,
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""Whether a remedy that is measured in place removes what the staircase of `explain` promised.

Usage: python -m benchmarks.remedies [--networks N] [--out FILE]

Small random networks with faults that were put there: strides without a filter, and borders of zeros at one
convolution, at every one, and within residual blocks. Each layer that can be remedied is, in a copy: alone,
and together with all before it, which is what a step of the staircase speaks of. Promised and removed are
in the unit of the squared change of the logits. They are compared by their ranks, over layers and networks
of a kind.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from scipy.stats import spearmanr
from tests.explain.layer_toys import (
    CHANNELS,
    borders_everywhere,
    contrasts,
    residual_faults,
    smooth_pictures,
    three_faults,
)
from torch import nn

from shiftproof._device import describe_machine
from shiftproof.explain import Cause, Condition, Explanation, explain
from shiftproof.explain._swap import swapped

RESULT = Path(__file__).parent / "results" / "remedies.json"
KINDS: dict[str, Callable[[int], nn.Module]] = {
    "two strides, one border": three_faults,
    "two strides, three borders": borders_everywhere,
    "two strides, seven borders, residual": residual_faults,
}
CAUSES: tuple[Cause, ...] = ("downsampling", "border")
FAULTY: dict[Cause, Callable[[nn.Module], bool]] = {
    "downsampling": lambda layer: isinstance(layer, nn.MaxPool2d),
    "border": lambda layer: isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros",
}
# Cause, promised, removed.
Pair = tuple[str, float, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "n_networks": options.networks,
        "rows": [row(kind, options.networks) for kind in KINDS],
    }
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def row(kind: str, n_networks: int) -> dict[str, Any]:
    """The rank correlation of one kind of networks, also for each cause."""
    alone = [pair for seed in range(n_networks) for pair in remedied_alone(kind, seed)]
    together = [pair for seed in range(n_networks) for pair in remedied_together(kind, seed)]
    found = {"networks": kind, "alone": by_cause(alone), "together": by_cause(together)}
    print(json.dumps(found), flush=True)
    return found


def by_cause(pairs: list[Pair]) -> dict[str, Any]:
    """Rank correlations of all, and of each cause."""
    found: dict[str, Any] = {"n": len(pairs), "all": correlation(pairs)}
    return found | {cause: correlation([pair for pair in pairs if pair[0] == cause]) for cause in CAUSES}


def explained(network: nn.Module, seed: int, **options: Any) -> Explanation:
    images = 0.5 * smooth_pictures(12, 32, seed=seed) + 0.5 * contrasts(12, 32, seed=seed)
    return explain(network, images, border="circular", seed=seed, **options)


def remedied_alone(kind: str, seed: int) -> list[Pair]:
    """Cause, what the staircase has for it, and what the remedy removes, of each remedied layer."""
    pairs: list[Pair] = []
    for layer in explained(KINDS[kind](seed), seed, n_remedies=9).rows:
        if layer.remedy_cause in CAUSES and layer.remedy_removes is not None:
            promised = layer.split[layer.remedy_cause].value
            pairs.append((layer.remedy_cause, promised, layer.remedy_removes * promised))
    return pairs


def remedied_together(kind: str, seed: int) -> list[Pair]:
    """The same of all layers up to one."""
    network = KINDS[kind](seed)
    found = explained(network, seed, n_remedies=0)
    pairs: list[Pair] = []
    for cause in CAUSES:
        whole, promised, copy = of_cause(found, cause), 0.0, network
        for layer in found.rows:
            promised += layer.split[cause].value
            swaps = [
                path
                for path, module in network.named_modules()
                if f"{path}.".startswith(f"{layer.layer}.") and FAULTY[cause](module)
            ]
            for path in swaps:
                swap = swapped(copy, path, cause, CHANNELS)
                assert swap is not None
                copy = swap.network
            if swaps:
                after = explained(copy, seed, n_remedies=0, most_cuts=2)
                pairs.append((cause, promised, whole - of_cause(after, cause)))
    return pairs


def of_cause(found: Explanation, cause: Cause) -> float:
    """The whole change by it."""
    whole = changed(found, "whole-pixel")
    return changed(found, "with-border") - whole if cause == "border" else whole


def changed(found: Explanation, condition: Condition) -> float:
    """The change of the logits, nothing patched."""
    change = found.change[condition]
    assert isinstance(change, Mapping), "these images go around"
    return change["logits"].value


def correlation(pairs: list[Pair]) -> float | None:
    """Spearman's; None of fewer than three."""
    if len(pairs) < 3:
        return None
    _, promised, removed = zip(*pairs, strict=True)
    return round(float(spearmanr(promised, removed).statistic), 3)


if __name__ == "__main__":
    main()

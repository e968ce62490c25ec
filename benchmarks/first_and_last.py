"""Whether an edit helps more in the layer that `explain` names first than in the one that it names last.

python -m benchmarks.first_and_last

Twenty small networks, trained on digits, each with three layers with a stride: max pools, average pools and
strided convolutions, drawn at random. What is named, and what is taught, is by images of the training split;
what is measured, by others. tests/fix/test_first_and_last.py counts the same, on the same networks.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from shiftproof._device import describe_environment
from shiftproof._threads import one_thread_per_operation
from shiftproof.adapters import as_classifier
from shiftproof.data import LabelledImages, Split, load_data
from shiftproof.edits import apply_edit
from shiftproof.explain import explain
from shiftproof.fix import Lesson, Student, Teaching, losses_of
from shiftproof.layers import GlobalMeanPool
from shiftproof.metrics import Estimate, metrics
from shiftproof.probe import measure_response
from shiftproof.shifts import find_protocol

RESULT = Path(__file__).parent / "results" / "first-and-last.json"
N_NETWORKS, PROTOCOL = 20, "box:4,4,8"
N_TAUGHT, N_EXPLAINED, N_MEASURED = 3000, 16, 400
EDITS = {nn.MaxPool2d: "max-blur-pool", nn.AvgPool2d: "avg-blur-pool", nn.Conv2d: "blur-strides"}


@dataclass(frozen=True)
class Pair:
    """One network, and how often its answer stays under shifts.

    Args:
        seed: Of the network.
        first, last: The layers that lose most and least by downsampling.
        before: Agreement of the network as it is.
        first_edited, last_edited: With an edit in that layer, without training.
        first_taught, last_taught: The same after one epoch of training.
    """

    seed: int
    first: str
    last: str
    before: float
    first_edited: float
    last_edited: float
    first_taught: float
    last_taught: float


def digits(split: Split, n: int) -> LabelledImages:
    """Digits on 32 × 32 pixels, which three strides of 2 divide."""
    found = load_data("mnist", split).head(n)
    return LabelledImages(found.name, F.pad(found.images, (2, 2, 2, 2)), found.labels, found.class_names)


def network(seed: int) -> nn.Sequential:
    """Three stages of a convolution and a layer with a stride, and the mean over positions."""
    torch.manual_seed(seed)
    random = Random(seed)
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    channels = [1, *(random.choice((8, 12, 16)) for _ in range(3))]
    for stage in range(3):
        before, after = channels[stage : stage + 2]
        parts[f"conv{stage}"] = nn.Conv2d(before, after, 3, padding=1)
        parts[f"relu{stage}"] = nn.ReLU()
        parts[f"down{stage}"] = random.choice(
            (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(after, after, 3, 2, 1))
        )
    return nn.Sequential(OrderedDict(**parts, mean=GlobalMeanPool(), head=nn.Linear(channels[-1], 10)))


def teach(model: nn.Module, images: LabelledImages, *, epochs: int, seed: int, shifts: str) -> None:
    lesson = Lesson(epochs=epochs, batch_size=50, learning_rate=4e-3, seed=seed)
    protocol = find_protocol(shifts)
    teaching = Teaching(images, as_classifier(model), True, protocol, lesson, torch.device("cpu"))
    Student(model, teaching).advance(teaching.n_steps)


def agreement(model: nn.Module, images: LabelledImages) -> float:
    response = measure_response(model, images, find_protocol(PROTOCOL), threads=1)
    found = metrics.get("agreement").estimate(response)
    assert isinstance(found, Estimate)
    return found.value


def measured(seed: int, taught: LabelledImages, others: LabelledImages) -> Pair:
    """One network, trained, explained, edited in one layer and in another."""
    trained = network(seed)
    teach(trained, taught, epochs=4, seed=seed, shifts="box:1,1,1")
    found = explain(trained.eval(), taught.images[:N_EXPLAINED], n_remedies=0, device="cpu")
    losses = {
        layer: lost.get("downsampling", 0.0)
        for layer, lost in losses_of(found).items()
        if layer.startswith("down")
    }
    first, last = max(losses, key=losses.__getitem__), min(losses, key=losses.__getitem__)
    values = []
    for layer in (first, last):
        edit = EDITS[type(trained.get_submodule(layer))]
        edited = apply_edit(trained, edit, layers=[layer], images=taught.images[:2].float() / 255).module
        without = agreement(edited, others)
        teach(edited, taught, epochs=1, seed=seed, shifts=PROTOCOL)
        values.append((without, agreement(edited, others)))
    return Pair(
        seed,
        first,
        last,
        agreement(trained, others),
        values[0][0],
        values[1][0],
        values[0][1],
        values[1][1],
    )


def main() -> None:
    taught, others = digits("train", N_TAUGHT), digits("test", N_MEASURED)
    pairs = []
    with one_thread_per_operation():
        for seed in range(N_NETWORKS):
            pairs.append(measured(seed, taught, others))
            print(pairs[-1], flush=True)
    record = {
        "n_networks": N_NETWORKS,
        "protocol": find_protocol(PROTOCOL).describe(),
        "n_without_training": sum(pair.first_edited > pair.last_edited for pair in pairs),
        "n_after_training": sum(pair.first_taught > pair.last_taught for pair in pairs),
        "networks": [asdict(pair) for pair in pairs],
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

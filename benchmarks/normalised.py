"""A network with a mean and a standard deviation before it, audited at all shifts at once and shift by shift.

Usage: python -m benchmarks.normalised [--images N] [--out FILE]

The whole audit, as `audit zoo:cnn2 demo:mnist --mean 0.1307 --std 0.3081 --protocol grid:8` runs it,
noise floor and worst images included, in seconds of one processor.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from shiftproof import audit
from shiftproof._device import describe_machine
from shiftproof.adapters import ModelRequest, load_classifier
from shiftproof.data import load_data
from shiftproof.probe import Method

RESULT = Path(__file__).parent / "results" / "normalised.json"
MEAN, STD, PROTOCOL = 0.1307, 0.3081, "grid:8"
METHODS: tuple[Method, ...] = ("dense", "direct")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    classifier = load_classifier("zoo:cnn2", ModelRequest(mean=(MEAN,), std=(STD,)))
    images = load_data("mnist", "test").head(options.images)
    audit(classifier, images.head(20), protocols=(PROTOCOL,))  # What is only done once.
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {}
    for method in METHODS:
        start = time.process_time()
        found[method] = audit(classifier, images, protocols=(PROTOCOL,), method=method)
        seconds[method] = round(time.process_time() - start, 2)
        print(method, seconds[method], flush=True)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "mean": MEAN,
        "std": STD,
        "protocol": PROTOCOL,
        "n_images": len(images),
        **{f"{method}_s": value for method, value in seconds.items()},
        "times_faster": round(seconds["direct"] / seconds["dense"], 1),
    }
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(record))


if __name__ == "__main__":
    main()

"""Seconds per epoch beside Keras 3 with TensorFlow, on the same cores, in one run.

Usage: python benchmarks/training.py [--rows NAME,…] [--repeats N] [--images N] [--keras PYTHON] [--out FILE]

Ours and Keras take turns, each in a process of its own, so that a slow minute of the machine meets
both. The result is the ratio of medians; every single time is kept in results/training.json. Ours is
measured twice: one network on all cores, and as `shiftproof reproduce` works, two networks side by
side in processes of one thread each, where an epoch's time is that of the slower one divided by two.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from shiftproof._device import describe_machine

HERE = Path(__file__).parent
# Largest acceptable ratio to Keras, and multiply-adds per image of one training step (forward, and
# twice that backward but for the input of the first layer).
TARGETS = {"cnn1": 0.55, "cnn2": 0.45, "cnn2-augmented": 0.35, "standard-nn": 0.40}
FLOOR_GFLOPS = 150
# An epoch of this row takes minutes: once is what a run can afford.
REPEATS = {"standard-nn": 1}


def multiply_adds(row: str) -> int:
    """Multiply-adds of forward and backward for one image."""
    if row == "standard-nn":
        return 784 * (2 * 100 + 3 * 100 * 100) + 3 * 78_400 * 10
    conv1 = 24 * 24 * 25 * 20
    if row == "cnn1":
        return 2 * conv1 + 3 * (2880 * 100 + 100 * 10)
    return 2 * conv1 + 3 * (8 * 8 * 500 * 40 + 640 * 100 + 100 * 10)


def seconds(command: list[str], at_a_time: int = 1) -> float:
    """What a script prints; of several at a time, the slowest divided by their number."""
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(at_a_time)]
    outputs = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit(f"{' '.join(command)} failed")
    return round(max(float(output.split()[-1]) for output in outputs) / at_a_time, 3)


def measure(row: str, repeats: int, n_images: int, keras: str) -> dict[str, Any]:
    times: dict[str, list[float]] = {"keras_s": [], "ours_s": [], "ours_side_by_side_s": []}
    for _ in range(repeats):
        task = [row, str(n_images)]
        ours = [sys.executable, str(HERE / "our_epoch.py"), *task]
        times["keras_s"].append(seconds([keras, str(HERE / "keras_epoch.py"), *task]))
        times["ours_s"].append(seconds(ours))
        times["ours_side_by_side_s"].append(seconds([*ours, "1"], at_a_time=2))
    theirs, alone, beside = map(statistics.median, times.values())
    floor = 2 * multiply_adds(row) * n_images / (FLOOR_GFLOPS * 1e9)
    result = {
        "row": row,
        **times,
        "ratio": round(alone / theirs, 3),
        "ratio_side_by_side": round(beside / theirs, 3),
        "target": TARGETS[row],
        "floor_s": round(floor, 2),
        "share_of_floor": round(floor / alone, 3),
        "share_of_floor_side_by_side": round(floor / beside, 3),
    }
    print(
        f"{row:15s} keras {theirs:6.2f} s   ours {alone:6.2f} s, ratio {alone / theirs:.2f}   "
        f"side by side {beside:6.2f} s, ratio {beside / theirs:.2f}   target {TARGETS[row]:.2f}   "
        f"{floor / beside:.0%} of the floor",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default=",".join(TARGETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--keras", default=str(HERE.parent / ".venv-keras" / "bin" / "python"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "training.json")
    arguments = parser.parse_args()
    if arguments.out == parser.get_default("out") and (arguments.images, arguments.rows) != (
        parser.get_default("images"),
        parser.get_default("rows"),
    ):
        parser.error("a part of the benchmark does not replace the published result: name a file with --out")
    versions = ["-c", "import keras, tensorflow; print(keras.__version__, tensorflow.__version__)"]
    found = subprocess.run([arguments.keras, *versions], check=True, capture_output=True, text=True)
    keras, tensorflow = found.stdout.split()[-2:]
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "versions": {
            "shiftproof": version("shiftproof"),
            "torch": torch.__version__,
            "keras": keras,
            "tensorflow": tensorflow,
            "python": platform.python_version(),
        },
        "images": arguments.images,
        "floor_gflops": FLOOR_GFLOPS,
        "rows": [
            measure(row, REPEATS.get(row, arguments.repeats), arguments.images, arguments.keras)
            for row in arguments.rows.split(",")
        ],
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"Written to {arguments.out}; `make docs` takes it into the documents")


if __name__ == "__main__":
    main()

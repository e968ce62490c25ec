"""Seconds per epoch beside Keras 3 (TensorFlow, JAX) and PyTorch (plain, compiled), in one run.

Usage: python -m benchmarks.training [--rows NAME,…] [--repeats N] [--images N] [--keras PYTHON]
                                     [--device cpu|cuda] [--out FILE]

All compete in processes of their own that take turns (turns.py), on all cores. Ours is measured twice:
one network on all cores, and as `shiftproof reproduce` works, networks side by side in processes of one
thread each, where an epoch's time is that of the slowest divided by their number. A turn is a part of an
epoch, and times are scaled to 60,000 images. The ratio is that of medians, ours to the fastest peer; every
single time is kept in results/training.json, and beside it what the machine could do at best, and where the
time goes (floor.py). A peer that cannot run here is left out, with the reason.

With `--device cuda` all compete on one GPU, and the floor, which is that of a processor, is left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from benchmarks.floor import Operation, measure_machine, operations, profile_row
from benchmarks.turns import Competitor, CompetitorFailed, competing

from shiftproof._device import describe_machine
from shiftproof._threads import available_cores
from shiftproof._version import __version__

HERE = Path(__file__).parent
# Largest acceptable ratio to the fastest peer.
TARGETS = {"cnn1": 0.7, "cnn2": 0.6, "cnn2-augmented": 0.45, "standard-nn": 0.4}
# Images of an epoch, whole batches of 128: a few seconds for the slowest peer.
IMAGES = {"cnn1": 25_600, "cnn2": 19_200, "cnn2-augmented": 12_800, "standard-nn": 2_560}
# Results are for an epoch of the whole training set.
EPOCH = 60_000
PEERS = ("keras", "keras_jax", "torch", "torch_compiled")
OURS = ("ours", "ours_side_by_side")
SIDE_BY_SIDE_ON_CUDA = 4


def processes_of(
    who: str, row: str, n_images: int, keras: str, device: str
) -> list[AbstractContextManager[Competitor]]:
    """The process, or the processes that work side by side, of one competitor."""
    task = [row, str(n_images)]
    if who.startswith("keras"):
        backend = {"KERAS_BACKEND": "jax" if who == "keras_jax" else "tensorflow", "JAX_PLATFORMS": device}
        # TensorFlow would take a GPU that it sees.
        hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
        return [competing(keras, "keras_epoch", task, backend | hidden)]
    if who.startswith("torch"):
        how = "compiled" if who == "torch_compiled" else "plain"
        return [competing(sys.executable, "torch_epoch", [*task, how, device])]
    n = available_cores()
    threads, n_processes = (n, 1) if who == "ours" else (1, n if device == "cpu" else SIDE_BY_SIDE_ON_CUDA)
    ours = [*task, str(threads), device]
    return [competing(sys.executable, "our_epoch", ours) for _ in range(n_processes)]


def turn(processes: Sequence[Competitor]) -> float:
    """Seconds of an epoch; of several at a time, the slowest divided by their number."""
    for process in processes:
        process.begin()
    return max(process.seconds() for process in processes) / len(processes)


def race(
    row: str, repeats: int, n_images: int, keras: str, device: str
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds per turn of all that can run, and why the others cannot."""
    ready: dict[str, list[Competitor]] = {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        for who in (*PEERS, *OURS):
            competitors = processes_of(who, row, n_images, keras, device)
            processes = [stack.enter_context(process) for process in competitors]
            try:
                for process in processes:
                    process.wait_until_ready()
            except CompetitorFailed as error:
                if who in OURS:
                    raise
                left_out[who] = str(error)
            else:
                ready[who] = processes
        times: dict[str, list[float]] = {who: [] for who in ready}
        for _ in range(repeats):
            for who, processes in ready.items():
                times[who].append(turn(processes))
    return times, left_out


def measure(
    row: str, repeats: int, n_images: int, keras: str, device: str, machine: tuple[float, float] | None
) -> dict[str, Any]:
    """A row of the record; `machine` is what a processor can do at best, None on a GPU."""
    times, left_out = race(row, repeats, n_images, keras, device)
    epochs = {who: [round(t * EPOCH / n_images, 3) for t in turns] for who, turns in times.items()}
    medians = {who: statistics.median(seconds) for who, seconds in epochs.items()}
    fastest = min((who for who in medians if who in PEERS), key=medians.__getitem__)
    result: dict[str, Any] = {
        "row": row,
        "images_of_a_turn": n_images,
        **{f"{who}_s": seconds for who, seconds in epochs.items()},
        "left_out": left_out,
        "fastest_peer": fastest,
        "ratio": round(medians["ours"] / medians[fastest], 3),
        "ratio_side_by_side": round(medians["ours_side_by_side"] / medians[fastest], 3),
        "target": TARGETS[row],
    }
    if machine is not None:
        floor = EPOCH * sum(operation.seconds(*machine) for operation in operations(row))
        result |= {
            "floor_s": round(floor, 2),
            "share_of_floor": round(floor / medians["ours"], 3),
            "share_of_floor_side_by_side": round(floor / medians["ours_side_by_side"], 3),
            "profile": [] if row == "standard-nn" else profiled(row, n_images, machine),
        }
    print(f"{row:15s}" + "   ".join(f"{who} {seconds:.2f} s" for who, seconds in medians.items()))
    for who, reason in left_out.items():
        print(f"  {who} left out: {reason}")
    print(
        f"  ratio to {fastest} {result['ratio']:.2f}, side by side {result['ratio_side_by_side']:.2f}, "
        f"target {TARGETS[row]:.2f}"
        + (f"; {result['share_of_floor_side_by_side']:.0%} of the floor" if machine else ""),
        flush=True,
    )
    return result


def profiled(row: str, n_images: int, machine: tuple[float, float]) -> list[dict[str, Any]]:
    """What each operation of a step takes, and its floor: milliseconds for 1,000 images on one thread."""
    found = profile_row(row, n_images)
    floors = {operation.name: operation for operation in operations(row)}
    one_thread = [speed / available_cores() for speed in machine]
    return [
        {
            "operation": name,
            "ms": round(1e6 * seconds, 1),
            **(_floor(floors[name], one_thread) if name in floors else {}),
        }
        for name, seconds in sorted(found.items(), key=lambda item: -item[1])
    ]


def _floor(operation: Operation, machine: Sequence[float]) -> dict[str, float]:
    return {
        "arithmetic_ms": round(1e6 * 2 * operation.multiply_adds / machine[0], 1),
        "memory_ms": round(1e6 * operation.n_bytes / machine[1], 1),
    }


def keras_versions(keras: str) -> Mapping[str, str]:
    """Of those packages that are there; without the environment none is."""
    code = """if True:
    import json
    from importlib import metadata
    found = {d.name: d.version for d in metadata.distributions() if d.name in {'keras', 'tensorflow', 'jax'}}
    print(json.dumps(found))"""
    found = subprocess.run([keras, "-c", code], check=True, capture_output=True, text=True)
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", default=",".join(TARGETS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--images", type=int, help="by default, as many as take a few seconds")
    parser.add_argument("--keras", default=str(HERE.parent / ".venv-keras" / "bin" / "python"))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "training.json")
    arguments = parser.parse_args()
    published = arguments.out == parser.get_default("out")
    part = arguments.images or arguments.device != "cpu" or arguments.rows != parser.get_default("rows")
    if published and part:
        parser.error("a part of the benchmark does not replace the published result: name a file with --out")
    machine = measure_machine() if arguments.device == "cpu" else None
    record: dict[str, Any] = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device(arguments.device)),
        "versions": {
            "shiftproof": __version__,
            "torch": torch.__version__,
            **keras_versions(arguments.keras),
            "python": platform.python_version(),
        },
        "images": EPOCH,
    }
    if machine is not None:
        record["floor"] = (
            f"the larger of arithmetic at {machine[0] / 1e9:.0f} GFLOP/s and memory at "
            f"{machine[1] / 1e9:.0f} GB/s, operation by operation"
        )
    record["rows"] = [
        measure(
            row,
            arguments.repeats,
            arguments.images or (IMAGES[row] if machine else EPOCH),
            arguments.keras,
            arguments.device,
            machine,
        )
        for row in arguments.rows.split(",")
    ]
    arguments.out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"Written to {arguments.out}; `make docs` takes it into the documents")


if __name__ == "__main__":
    main()

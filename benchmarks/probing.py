"""The probe beside bare forward passes, beside itself, and beside what a user would write instead.

Usage: python -m benchmarks.probing [--images N] [--repeats N] [--out FILE]

Those compared take turns in one process, so that a slow minute of the machine meets all of them; the
result is the ratio of medians. Memory is measured in processes of its own. Every single time is kept
in results/probing.json; the cost of a shift against the number of shifts is drawn in probing.svg.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus
from torch import Tensor, nn

from shiftproof._device import describe_machine
from shiftproof._threads import available_cores, worker_pool
from shiftproof.adapters import as_classifier
from shiftproof.data import LabelledImages, load_data
from shiftproof.probe import Method, Response, measure_response, probing
from shiftproof.shifts import find_protocol
from shiftproof.zoo import build_network

RESULTS = Path(__file__).parent / "results"
# Ours divided by the other: what was aimed at.
AIMS = {"dense / direct, 17 × 17": 1 / 12, "direct / bare, cnn2": 1.15, "direct / bare, resnet18": 1.15}
MEMORY_AIM = 1.2
RADII = (1, 2, 4, 6, 8, 11, 14)
# A shift of the article's size, as a user's loop would have it: every whole offset up to 2 px.
LOOP = find_protocol("grid:2")


def seconds(task: Callable[[], object]) -> float:
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def in_turns(tasks: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each, after one turn that does not count."""
    for task in tasks.values():
        task()
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            times[name].append(round(seconds(task), 4))
    return times


def ratio(times: dict[str, list[float]], ours: str, other: str) -> float:
    return round(statistics.median(times[ours]) / statistics.median(times[other]), 4)


def cnn2() -> nn.Module:
    return build_network("cnn2").eval()


# --- dense beside direct ---------------------------------------------------------------------------


def dense_beside_direct(data: LabelledImages, radius: int, repeats: int) -> dict[str, Any]:
    protocol = find_protocol(f"grid:{radius}")
    found: dict[str, Response] = {}

    def ask(method: Method) -> None:
        found[method] = measure_response(cnn2(), data, protocol, method=method)

    times = in_turns({"dense": partial(ask, "dense"), "direct": partial(ask, "direct")}, repeats)
    side = 2 * radius + 1
    row = {
        "shifts": f"{side} × {side}",
        "n_shifts": side**2,
        "n_images": len(data),
        **{f"{name}_s": values for name, values in times.items()},
        "ratio": ratio(times, "dense", "direct"),
        **{
            f"{name}_us_per_shift": round(1e6 * statistics.median(values) / len(data) / side**2, 2)
            for name, values in times.items()
        },
        "predictions_that_differ": int((found["dense"].predicted != found["direct"].predicted).sum()),
    }
    print(row, flush=True)
    return row


def all_images(data: LabelledImages) -> dict[str, Any]:
    """Both ways over all images at 17 × 17 shifts, once."""
    protocol = find_protocol("grid:8")
    start = time.perf_counter()
    dense = measure_response(cnn2(), data, protocol, method="dense")
    middle = time.perf_counter()
    direct = measure_response(cnn2(), data, protocol, method="direct")
    end = time.perf_counter()
    row = {
        "n_images": len(data),
        "dense_s": round(middle - start, 2),
        "direct_s": round(end - middle, 2),
        "ratio": round((middle - start) / (end - middle), 4),
        "predictions_that_differ": int((dense.predicted != direct.predicted).sum()),
        "largest_difference_of_a_probability": float(np.abs(dense.true_prob - direct.true_prob).max()),
    }
    print(row, flush=True)
    return row


# --- direct beside bare forward passes -------------------------------------------------------------


def bare(model: nn.Module, data: LabelledImages, n_passes: int, batch_size: int) -> None:
    """As many forward passes, on as many threads, over batches of the same size."""
    replicas = [replica.model for replica in as_classifier(model).replicas(available_cores())]

    @torch.inference_mode()
    def one(index: int) -> None:
        images = data.images[index * batch_size : (index + 1) * batch_size].float().div_(255)
        for _ in range(n_passes):
            replicas[index % len(replicas)](images)

    n_batches = -(-len(data) // batch_size)
    with worker_pool(len(replicas)) as pool:
        list(pool.map(one, range(n_batches)))


def direct_beside_bare(
    name: str, model: nn.Module, data: LabelledImages, reference: str, repeats: int
) -> dict[str, Any]:
    protocol = find_protocol(reference)
    with probing(model, data, protocol, method="direct") as probe:
        batch_size = probe.batches.batch_size
        # The unshifted answer, and one pass for each shift but the zero one.
        n_passes = probe.batches.views.n_shifts
    tasks: dict[str, Callable[[], object]] = {
        "direct": partial(measure_response, model, data, protocol, method="direct"),
        "bare": partial(bare, model, data, n_passes, batch_size),
    }
    times = in_turns(tasks, repeats)
    row = {
        "model": name,
        "n_images": len(data),
        "n_passes": n_passes,
        "batch_size": batch_size,
        **{f"{name}_s": values for name, values in times.items()},
        "ratio": ratio(times, "direct", "bare"),
    }
    print(row, flush=True)
    return row


def resnet18() -> nn.Module:
    import torchvision

    torch.manual_seed(0)
    model: nn.Module = torchvision.models.resnet18(weights=None).eval()
    return model


def photos(n_images: int) -> LabelledImages:
    """Noise of the size of photographs: what is in them does not change the time."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (n_images, 3, 224, 224), dtype=torch.uint8, generator=generator)
    labels = torch.zeros(n_images, dtype=torch.long)
    return LabelledImages("noise", pixels, labels, tuple(map(str, range(1000))))


# --- beside what a user would write ----------------------------------------------------------------


@torch.inference_mode()
def loop(move: Callable[[Tensor, float, float], Tensor], data: LabelledImages) -> Tensor:
    model, offsets = cnn2(), LOOP.draw(1, (28, 28), seed=0)
    batches = (data.images[i : i + 250].float() / 255 for i in range(0, len(data), 250))
    return torch.cat(
        [
            torch.stack([model(move(batch, dy, dx)).argmax(1) for dy, dx in offsets.tolist()], 1)
            for batch in batches
        ]
    )


def by_torchvision(images: Tensor, dy: float, dx: float) -> Tensor:
    from torchvision.transforms.functional import InterpolationMode, affine

    angle, bilinear = 0.0, InterpolationMode.BILINEAR
    moved: Tensor = affine(images, angle, [dx, dy], scale=1.0, shear=[0.0], interpolation=bilinear)
    return moved


def by_kornia(images: Tensor, dy: float, dx: float) -> Tensor:
    from kornia.geometry.transform import translate

    moved: Tensor = translate(images, torch.tensor([[dx, dy]]).expand(len(images), 2))
    return moved


def by_foolbox(data: LabelledImages) -> Tensor:
    """The same 25 positions; it stops to look at an image once it is found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

        model = foolbox.PyTorchModel(cnn2(), bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.SpatialAttack(
            max_translation=2, max_rotation=0, num_translations=5, num_rotations=1
        )
        found = []
        for i in range(0, len(data), 250):
            images, labels = data.images[i : i + 250].float() / 255, data.labels[i : i + 250]
            found.append(attack(model, images, labels)[2])
        return torch.cat(found)


def beside_loops(data: LabelledImages, repeats: int) -> dict[str, Any]:
    tasks: dict[str, Callable[[], object]] = {
        "auto": partial(measure_response, cnn2(), data, LOOP),
        "direct": partial(measure_response, cnn2(), data, LOOP, method="direct"),
        "torchvision": partial(loop, by_torchvision, data),
        "kornia": partial(loop, by_kornia, data),
        "foolbox": partial(by_foolbox, data),
    }
    ours = measure_response(cnn2(), data, LOOP).predicted
    differ = {
        name: float((loop(move, data).numpy() != ours).mean())
        for name, move in (("torchvision", by_torchvision), ("kornia", by_kornia))
    }
    times = in_turns(tasks, repeats)
    row = {
        "n_images": len(data),
        "n_shifts": 25,
        **{f"{name}_s": values for name, values in times.items()},
        "share_of_predictions_that_differ": differ,
        "ratios": {
            f"{method} / {name}": ratio(times, method, name)
            for method in ("auto", "direct")
            for name in ("torchvision", "kornia", "foolbox")
        },
    }
    print(row, flush=True)
    return row


# --- memory ----------------------------------------------------------------------------------------


def peak_memory(n_images: int, method: str) -> dict[str, Any]:
    """Peak of a process that measures so many images at 289 shifts, with and without its response."""
    command = [sys.executable, "-m", "benchmarks.probing", "--memory-of", str(n_images), "--method", method]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, Any] = json.loads(done.stdout)
    print(row, flush=True)
    return row


def memory_of(n_images: int, method: str) -> None:
    data = load_data("mnist", "train").head(n_images)
    response = measure_response(cnn2(), data, find_protocol("grid:8"), method=method)  # type: ignore[arg-type]
    # Not ru_maxrss: a new process begins with that of the one that started it.
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]
    arrays = ("predicted", "true_prob", "drift", "unshifted_output", "labels", "offsets_px")
    held = sum(getattr(response, name).nbytes for name in arrays)
    print(
        json.dumps(
            {
                "n_images": n_images,
                "method": method,
                "peak_mb": round(peak / 1e6, 1),
                "response_mb": round(held / 1e6, 1),
                "beside_the_response_mb": round((peak - held) / 1e6, 1),
            }
        )
    )


# --- all of it -------------------------------------------------------------------------------------


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Microseconds per shift and image against the number of shifts."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "shiftproof", "font.size": 9})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.2, 3.2), layout="constrained")
    n_shifts = [row["n_shifts"] for row in rows]
    for method, style in (("direct", "o-"), ("dense", "s-")):
        axes.plot(n_shifts, [row[f"{method}_us_per_shift"] for row in rows], style, label=method)
    axes.set(xscale="log", yscale="log", xlabel="shifts of each image", ylabel="µs per shift and image")
    axes.set_xticks(n_shifts, [str(n) for n in n_shifts], minor=False)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="cnn2, 28 × 28 px, 2 cores")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--all-images", type=int, default=10_000)
    parser.add_argument("--memory-of", type=int)
    parser.add_argument("--method", default="dense")
    parser.add_argument("--out", type=Path, default=RESULTS / "probing.json")
    options = parser.parse_args()
    if options.memory_of:
        memory_of(options.memory_of, options.method)
        return
    test = load_data("mnist", "test")
    few = test.head(options.images)
    operators = torchvision_beside_torch_for_cpus()
    curve = [dense_beside_direct(test.head(options.images // 2), r, options.repeats) for r in RADII]
    record = {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(torch.device("cpu")),
        "versions": {
            **{name: version(name) for name in ("shiftproof", "torch", "torchvision", "kornia", "foolbox")},
            "python": platform.python_version(),
        },
        "aims": AIMS,
        "memory_aim": MEMORY_AIM,
        "dense_beside_direct": curve,
        "all_images": all_images(test.head(options.all_images)),
        "direct_beside_bare": [
            direct_beside_bare("cnn2", cnn2(), few, "grid:2", options.repeats),
            direct_beside_bare("resnet18", resnet18(), photos(32), "grid:1", options.repeats),
        ],
        "beside_loops": beside_loops(few, options.repeats),
        "memory": [peak_memory(n, "dense") for n in (6_000, 60_000)],
    }
    small, large = (row["beside_the_response_mb"] for row in record["memory"])  # type: ignore[attr-defined]
    record["memory_ratio"] = round(large / small, 3)
    del operators
    options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    draw(curve, options.out.with_suffix(".svg"))


if __name__ == "__main__":
    main()

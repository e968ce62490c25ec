"""The tables of docs/results/scale.md, from what was measured and from what is assumed of a GPU."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.tables import RESULTS

from shiftproof.audits import images_per_shard
from shiftproof.report import table

N_IMAGES, N_SHIFTS = 50_000, 1089
# Published, not measured here: images a second of ResNet-50 at 224 px on one RTX 4090, in mixed precision and
# batches of 1,024; results/benchmark-infer-amp-nchw-pt240-cu124-rtx4090.csv of timm's repository.
GPU_IMAGES_PER_S = 4217.6
DOLLARS_PER_GPU_HOUR = 1.0
IMAGES_PER_UNIT = images_per_shard((3, 224, 224))
N_UNITS = math.ceil(N_IMAGES / IMAGES_PER_UNIT)
UNIT_S = IMAGES_PER_UNIT * N_SHIFTS / GPU_IMAGES_PER_S
MANY = 1000


def measured() -> str:
    """What was measured on this machine."""
    record = _record()
    audit, decoding = record["audit_from_disk"], record["decoding"]
    rates = {threads: statistics.median(values) for threads, values in decoding["images_per_s"].items()}
    merged = {(row["where"], row["n_images"]): row for row in record["merging"]}
    small, large = sorted({row["n_images"] for row in record["merging"]})
    of_file = [merged["file", n]["grown_mb"] for n in (small, large)]
    of_memory = [merged["memory", n]["grown_mb"] for n in (small, large)]
    rows = [
        [
            "forward passes alone beside an audit from the disk, ResNet-18 at 224 px, "
            f"{audit['n_images']} JPEGs × {audit['n_passes']} views",
            f"{audit['bare_over_audit']:.3f} × its time",
            "0.9 ×",
        ],
        [
            f"the same for each image that the model is shown: {audit['n_shown']}, as some are asked again "
            "to know the task and the noise",
            f"{audit['bare_over_audit'] * audit['n_shown'] / (audit['n_images'] * audit['n_passes']):.2f} ×",
            "",
        ],
        ["JPEGs of 224 px decoded on one thread", f"{rates['1']:,.0f} a second", ""],
        ["the same on two threads", f"{rates['2']:,.0f} a second", ""],
        *_ahead_rows(record["decoding_ahead"]),
        [
            f"memory to put together shards of {small:,} and {large:,} images × {N_SHIFTS:,} shifts",
            f"{of_file[0]:.0f} and {of_file[1]:.0f} MB "
            f"(all in memory: {of_memory[0]:.0f} and {of_memory[1]:.0f} MB)",
            "flat",
        ],
        *_audit_memory_rows(record["audit_memory"]),
        *_driver_rows(record["driver"]),
        [
            f"record of an image under {N_SHIFTS:,} shifts, {record['record_bytes']['n_classes']:,} classes",
            f"{record['record_bytes']['per_image'] / 1000:.1f} kB",
            "",
        ],
        *_store_rows(record["storing"]),
    ]
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = table(["what", "measured", "aim"], rows, left=3)
    how = _conditions(list(record["conditions"].values()), "storing")
    return "\n".join([*lines, "", f"{record['machine']}; {versions}; medians, {how}."]) + "\n"


def _audit_memory_rows(audits: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """How much memory a whole command takes for more images."""
    images = " and ".join(f"{audit['n_images']:,}" for audit in audits)
    answers = " and ".join(f"{audit['response_mb']:.0f}" for audit in audits)
    peaks = " and ".join(f"{audit['peak_mb']:.0f}" for audit in audits)
    shifts = f"{audits[0]['n_shifts']:,} shifts"
    what = f"largest memory of a whole audit of {images} digits × {shifts}, whose answers are {answers} MB"
    return [[what, f"{peaks} MB", "flat"]]


def _driver_rows(driver: Mapping[str, Any]) -> list[list[str]]:
    """What one process does alone."""
    height, width = driver["size_px"]
    many = f"{driver['n_images']:,} images × {driver['n_shifts']:,} shifts, {driver['n_classes']:,} classes"
    return [
        [
            f"JPEGs of {height} × {width} px of which one core knows that they can be used",
            f"{driver['n_checked'] / statistics.median(driver['check_s']):,.0f} a second",
            "",
        ],
        [f"record and page of {many}, on one core", f"{driver['record_s']:.0f} s", ""],
    ]


def _alone_s() -> tuple[float, float]:
    """How long the driver looks at all images before the first unit, and makes the record after the last."""
    driver = _record()["driver"]
    return N_IMAGES * statistics.median(driver["check_s"]) / driver["n_checked"], driver["record_s"]


def _ahead_rows(ahead: Mapping[str, Any]) -> list[list[str]]:
    """How busy a device is kept."""
    height, width = ahead["size_px"]
    rows = []
    for device_ms, busy in ahead["busy"].items():
        shares = [f"{statistics.median(values):.0%}" for values in busy.values()]
        numbers = ", ".join("none" if n == "0" else n for n in busy)
        rows.append(
            [
                f"time that a device is busy which needs {device_ms} ms for an image, JPEGs of "
                f"{height} × {width} px, "
                f"decoders: {numbers}",
                ", ".join(shares),
                "",
            ]
        )
    return rows


def workers() -> str:
    """What it costs to have units computed by workers, on this machine and on Ray."""
    record = _record("scale")
    unit, ray, two = record["unit"], record["ray"], record["two_workers"]
    rows = [
        [f"two workers beside one: {two['audit']}", f"{two['efficiency']:.2f} of twice as fast", "0.85"],
        ["the same by the time that processors were used", f"{two['cpu_ratio']:.2f}", ""],
        [f"a unit that does nothing: {unit['local_workers']} workers here",
         f"{unit['local_worker_ms']:.2f} ms", "50 ms"],
        [f"the same on Ray: {ray['nodes']} nodes on this machine, {ray['workers']} workers",
         f"{ray['ms_per_unit']:.2f} ms", "50 ms"],
        ["a unit of 1,000 digits named and kept in a folder", f"{unit['keep_ms']:.1f} ms", "50 ms"],
        ["until the first unit is done: workers here", f"{unit['local_start_s']:.1f} s", ""],
        ["until the first unit is done: Ray, which already runs", f"{ray['start_s']:.1f} s", ""],
    ]  # fmt: skip
    parts = (unit, ray, two)
    environment = unit["environment"]
    about = f"{environment['machine']}; Ray {ray['version']}, torch {environment['torch']}"
    conditions = [{"measured": each["measured"], "load": each["load_before"][0]} for each in parts]
    lines = table(["what", "measured", "aim"], rows, left=3)
    return "\n".join([*lines, "", f"{about}; {_conditions(conditions, 'scaling')}."]) + "\n"


def _conditions(parts: Sequence[Mapping[str, Any]], module: str) -> str:
    days = " and ".join(sorted({part["measured"] for part in parts}))
    loads = sorted(part["load"] for part in parts)
    beside = f"load of the machine before each part {loads[0]:.1f} to {loads[-1]:.1f}"
    return f"measured {days} by `python -m benchmarks.{module}`; {beside}"


def _record(name: str = "storing") -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def _store_rows(stores: Mapping[str, Any]) -> list[list[str]]:
    return [
        row
        for name, store in stores.items()
        for row in (
            [f"a unit of {store['bytes'] / 1000:.0f} kB kept: {name}", f"{store['keep_ms']:.1f} ms", "50 ms"],
            [f"a unit looked for: {name}", f"{store['look_ms']:.1f} ms", ""],
            [f"names listed: {name}", f"{store['names_per_s']:,.0f} a second", ""],
            [f"units that are there brought and checked: {name}",
             f"{store['taken_per_s']:,.0f} a second", ""],
        )
    ]  # fmt: skip


def cost() -> str:
    """ImageNet's validation images on 1, 8 and 64 GPUs, on paper."""
    record = _record()
    gigabytes = record["record_bytes"]["per_image"] * N_IMAGES / 1e9
    alone_h = sum(_alone_s()) / 3600
    rows = []
    for n_gpus in (1, 8, 64):
        hours = math.ceil(N_UNITS / n_gpus) * UNIT_S / 3600 + alone_h
        rows.append(
            [
                str(n_gpus),
                f"{hours:.2f}",
                f"{alone_h:.2f}",
                f"{hours * n_gpus * DOLLARS_PER_GPU_HOUR:.2f}",
                f"{gigabytes:.2f} GB",
                f"{n_gpus * GPU_IMAGES_PER_S / N_SHIFTS:.0f} a second",
            ]
        )
    head = ["GPUs", "hours", "of these the driver alone", "dollars", "kept", "images to decode"]
    return "\n".join(table(head, rows, left=1)) + "\n"


def limits() -> str:
    """What 1,000 GPUs ask for, beside what was measured of it."""
    store = _record()["storing"]["S3 on this machine"]
    rounds = math.ceil(N_UNITS / MANY)
    all_s = N_UNITS / MANY * UNIT_S
    per_s = _record("scale")["ray"]["empty_units_per_s"]
    check_s, record_s = _alone_s()
    rows = [
        (check_s, "the driver looking at every image once, on one core"),
        (record_s, "the driver making the record and its page, on one core"),
        (N_UNITS / store["taken_per_s"], "one driver that has all units brought to it"),
        ((rounds - N_UNITS / MANY) * UNIT_S, f"{N_UNITS:,} units that do not divide evenly: {rounds} rounds"),
        (N_UNITS / per_s, "units handed out by Ray, at the rate of units that do nothing"),
        (N_UNITS / store["names_per_s"], "listing the names of all units once"),
        (rounds * store["keep_ms"] / 1000, "keeping units, each worker its own"),
    ]
    rows.sort(reverse=True)
    text = [[what, f"{lost:.2f} s", f"{100 * lost / all_s:.0f} %"] for lost, what in rows]
    return "\n".join(table(["what", "takes", f"beside {all_s:.0f} s of forward passes"], text, left=1)) + "\n"

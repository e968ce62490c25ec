"""What a large audit costs on paper: both tables again, from the record and the assumptions in the text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMAGES, SHIFTS, CLASSES = 50_000, 33 * 33, 1000
# timm's published rate of ResNet-50 at 224 px on an RTX 4090.
IMAGES_PER_S = 4217.6


def rows(name: str) -> list[list[str]]:
    """The cells of a rendered table, without its head."""
    text = (ROOT / "docs" / "results" / "scale.md").read_text(encoding="utf-8")
    block = text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]
    return [[cell.strip() for cell in line.strip("| ").split("|")] for line in block.split("\n")[3:] if line]


def record(name: str = "storing") -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def seconds_of_the_slowest(gpus: int) -> float:
    """Units of 33 images are dealt out like cards; the GPU with most of them is the last."""
    hands = [0] * gpus
    for unit, _ in enumerate(range(0, IMAGES, 33)):
        hands[unit % gpus] += 33
    return max(hands) * SHIFTS / IMAGES_PER_S


def driver_alone() -> tuple[float, float]:
    """Seconds to look at all images, and to make the record of as many answers as there are."""
    alone = record()["driver"]
    assert (alone["n_images"], alone["n_shifts"], alone["n_classes"]) == (IMAGES, SHIFTS, CLASSES)
    middle = sorted(alone["check_s"])[len(alone["check_s"]) // 2]
    return IMAGES * middle / alone["n_checked"], alone["record_s"]


def test_hours_dollars_and_bytes() -> None:
    shown = rows("cost")
    kept = record()["record_bytes"]
    alone = sum(driver_alone()) / 3600
    assert (kept["n_classes"], kept["n_shifts"]) == (CLASSES, SHIFTS)
    assert [row[0] for row in shown] == ["1", "8", "64"]
    for gpus, hours, of_these, dollars, gigabytes, decoded in shown:
        used = seconds_of_the_slowest(int(gpus)) / 3600 + alone
        assert hours == f"{used:.2f}"
        assert of_these == f"{alone:.2f}"
        assert dollars == f"{used * int(gpus):.2f}"
        assert gigabytes == f"{kept['per_image'] * IMAGES / 1e9:.2f} GB"
        assert decoded == f"{int(gpus) * IMAGES_PER_S / SHIFTS:.0f} a second"


def test_what_a_thousand_gpus_wait_for() -> None:
    store = record()["storing"]["S3 on this machine"]
    n_units = len(range(0, IMAGES, 33))
    evenly = n_units * 33 * SHIFTS / IMAGES_PER_S / 1000
    waits = [
        *driver_alone(),
        n_units / store["taken_per_s"],
        n_units / record("scale")["ray"]["empty_units_per_s"],
        seconds_of_the_slowest(1000) - evenly,
        n_units / store["names_per_s"],
        2 * store["keep_ms"] / 1000,
    ]
    shown = [(float(re.findall(r"[\d.]+", row[1])[0]), row[2]) for row in rows("limits")]
    assert len(shown) == len(waits)
    for (takes, share), wait in zip(shown, sorted(waits, reverse=True), strict=True):
        assert abs(takes - wait) <= 0.0051
        assert share == f"{100 * wait / evenly:.0f} %"


def test_what_two_workers_and_an_empty_unit_cost() -> None:
    shown = {row[0].split(":")[0]: row[1:] for row in rows("workers")}
    two = record("scale")["two_workers"]
    speed_up = min(two["one_s"]) / min(two["two_s"])
    assert shown["two workers beside one"] == [f"{speed_up / 2:.2f} of twice as fast", "0.85"]
    used = min(two["one_cpu_s"]) / min(two["two_cpu_s"])
    assert shown["the same by the time that processors were used"][0] == f"{used:.2f}"
    for what, part, rate in (
        ("a unit that does nothing", "unit", "local_empty_units_per_s"),
        ("the same on Ray", "ray", "empty_units_per_s"),
    ):
        assert shown[what] == [f"{1000 / record('scale')[part][rate]:.2f} ms", "50 ms"]

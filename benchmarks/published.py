"""A verdict on each of the twelve published accuracies: inside what we measure, or how far outside, and why.

    python -m benchmarks.published SNAPSHOTS

A training is one draw from many. How much another one would differ is put together from what was measured:
other images (binomial), other draws of the shifts, another seed, and another epoch at which to stop. A
published figure inside the 95 % prediction interval for one more training is explained by these. SNAPSHOTS
is a folder with `ROW-EPOCH.safetensors`, the checkpoints of the last epochs of `article-full`; `watch` below
copies them while the study runs.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from benchmarks.sets import TEST_SETS, accuracy, moved
from scipy.stats import t as student

from shiftproof.data import LabelledImages, load_data
from shiftproof.report import StudyRecord, read_study
from shiftproof.zoo import Network, load_network, load_trained, read_checkpoint

RESULTS = Path(__file__).parent / "results"
N_DRAWS = 10
N_EPOCHS = 10
BATCH = 500
LEVEL = 0.05


def watch(run: Path, folder: Path) -> None:
    """Copy each checkpoint that a running study writes; ends with the process."""
    seen: dict[Path, float] = {}
    while True:
        for path in (run / "units").glob("*.partial.safetensors"):
            if seen.get(path) != path.stat().st_mtime:
                seen[path] = path.stat().st_mtime
                header = read_checkpoint(path).header
                row = header["network"]["name"]
                row += "-augmented" if header["about"]["recipe"]["augmentation"] != "none" else ""
                shutil.copy(path, folder / f"{row}-{len(header['history']):03d}.safetensors")
        time.sleep(1)


@torch.inference_mode()
def accuracy_of_bytes(network: Network, test: LabelledImages, name: str) -> float:
    """The same with shifted images rounded to bytes, as the article's code stores them."""
    images = (moved(test, name) * 255).round() / 255
    answers = torch.cat([network(batch).argmax(1) for batch in torch.split(images, BATCH)])
    return int((answers == test.labels).sum()) / len(test)


def seeds_of(row: str, name: str) -> dict[str, Any] | None:
    """Accuracies of several seeds, from the study that has most of them for this row."""
    for record, study in (("article-seeds", f"{row} (raw)"), ("keras-agreement", row)):
        path = RESULTS / f"{record}.json"
        if not path.is_file():
            continue
        found = _per_seed(json.loads(path.read_text()), study, name)
        if found:
            return {"from": record, "accuracies": found, "sd": stdev(found)}
    return None


def _per_seed(record: dict[str, Any], row: str, name: str) -> list[float]:
    for each in record["rows"]:
        if each.get("name") == row and "cells" in each:
            cells = {cell["protocol"]: cell["accuracy_per_seed"] for cell in each["cells"]}
            return list(cells[name])
        if each.get("row") == row:
            return [run["accuracy"][name] for run in each["runs"]["ours"]]
    return []


def scale_of(row: str, name: str) -> float | None:
    """Accuracy with input divided by 255 minus that with raw input: means over seeds, where measured."""
    record = json.loads((RESULTS / "article-seeds.json").read_text())
    raw, unit = (_per_seed(record, f"{row} ({scale})", name) for scale in ("raw", "unit"))
    return mean(unit) - mean(raw) if raw and unit else None


def last_epochs(row: str, folder: Path, test: LabelledImages) -> dict[str, Any]:
    """Accuracies after each of the last epochs of one training."""
    paths = sorted(folder.glob(f"{row}-[0-9]*.safetensors"))[-N_EPOCHS:]
    measured: dict[str, list[float]] = {name: [] for name in TEST_SETS}
    for path in paths:
        network = load_network(path)
        for name in TEST_SETS:
            measured[name].append(accuracy(network, test, name))
    return {"epochs": [int(path.stem.rpartition("-")[2]) for path in paths], **measured}


def verdict(
    row: str, name: str, record: StudyRecord, network: Network, test: LabelledImages, epochs: dict[str, Any]
) -> dict[str, Any]:
    """One published figure beside what we measure."""
    (cell,) = (c for r in record.rows if r.name == row for c in r.cells if c.protocol == name)
    estimate, published = cell.metrics["accuracy"], cell.published
    assert published is not None
    value, n = estimate.value, estimate.n_images
    moves = name != "article-none"
    draws = [accuracy(network, test, name, seed) for seed in range(N_DRAWS)] if moves else []
    seeds, late = seeds_of(row, name), epochs[name]
    parts = {
        "images": math.sqrt(value * (1 - value) / n),
        "draws": stdev(draws) if draws else 0.0,
        "seeds": seeds["sd"] if seeds else 0.0,
        "epochs": stdev(late) if len(late) > 1 else 0.0,
    }
    # A seed's spread holds that of the epoch at which it was stopped: the larger of the two counts.
    spread = math.sqrt(parts["images"] ** 2 + parts["draws"] ** 2 + max(parts["seeds"], parts["epochs"]) ** 2)
    freedom = max(len(seeds["accuracies"]) if seeds else 0, len(late), 2) - 1
    distance = (published - value) / (spread * math.sqrt(1 + 1 / (freedom + 1)))
    found = {
        "row": row,
        "set": name,
        "published": published,
        "measured": value,
        "interval": [estimate.low, estimate.high],
        "inside_interval": cell.published_inside_interval,
        "standard_deviations": parts,
        "probability": float(2 * student.sf(abs(distance), freedom)),
        "bytes_minus_floats": accuracy_of_bytes(network, test, name) - value if moves else 0.0,
        "unit_minus_raw": scale_of(row, name),
        "seeds": seeds,
        "epochs": {"epochs": epochs["epochs"], "accuracies": late},
        "draws": draws,
    }
    return {**found, "reason": reason(found, spread)}


def reason(found: dict[str, Any], spread: float) -> str:
    """Why a published figure is where it is, in one sentence computed from what was measured."""
    if found["inside_interval"]:
        return "Inside our interval over images."
    parts = {part: 100 * sd for part, sd in found["standard_deviations"].items()}
    largest = max(parts, key=lambda part: parts[part])
    if found["probability"] >= LEVEL:
        return (
            f"Outside our interval over images, but within what another training gives: one standard "
            f"deviation over {largest} alone is {parts[largest]:.1f} points."
        )
    scale = found["unit_minus_raw"]
    gap = found["published"] - found["measured"]
    if scale is not None and scale * gap > 0 and abs(gap - scale) <= 2 * spread:
        return (
            f"Outside, and explained by the scale of the input: divided by 255 instead of raw moves the "
            f"accuracy by {100 * scale:+.1f} points in the study of both scales."
        )
    effects = [f"shifted images rounded to bytes {100 * found['bytes_minus_floats']:+.2f}"]
    effects += [f"input divided by 255 {100 * scale:+.1f}"] if scale is not None else []
    spreads = ", ".join(f"{part} {sd:.1f}" for part, sd in parts.items() if sd)
    return (
        f"Outside by {100 * gap:+.1f} points, and not explained. In points, standard deviations: {spreads}; "
        f"effects: {', '.join(effects)}."
    )


def misprint() -> list[dict[str, Any]]:
    """The published 0.919 of cnn1 under small shifts, under what three seeds of both scales give."""
    record = read_study(RESULTS / "article-seeds.json")
    found = []
    for row in record.rows:
        if not row.name.startswith("cnn1 "):
            continue
        (cell,) = (c for c in row.cells if c.protocol == "article-small")
        accuracies = list(cell.accuracy_per_seed)
        n = len(accuracies)
        distance = (0.919 - mean(accuracies)) / (stdev(accuracies) * math.sqrt(1 + 1 / n))
        found.append(
            {
                "row": row.name,
                "epochs": row.recipe.epochs,
                "accuracies": accuracies,
                "distance": distance,
                "probability_of_so_little_or_less": float(student.cdf(distance, n - 1)),
            }
        )
    return found


def main(folder: Path) -> None:
    record, test = read_study(RESULTS / "article-full.json"), load_data("mnist", "test")
    verdicts = []
    for row in record.rows:
        if any(cell.published is not None for cell in row.cells):
            network, epochs = load_trained(row.name), last_epochs(row.name, folder, test)
            verdicts += [verdict(row.name, name, record, network, test, epochs) for name in TEST_SETS]
    found = {"rows": verdicts, "misprint": misprint(), "environment": record.environment.to_dict()}
    (RESULTS / "published.json").write_text(json.dumps(found, indent=1) + "\n")
    for each in verdicts:
        print(each["row"], each["set"], each["published"], each["measured"], round(each["probability"], 4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

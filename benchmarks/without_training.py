"""What edits without training are worth: EfficientNet-Lite0 on scikit-image's photographs.

python -m benchmarks.without_training

Three views of each photograph: its middle, and two corners of it enlarged. Views of one photograph are
alike, so the photograph is the sampling unit: a number for each is the mean over its views, and intervals
are over photographs. Every edit was named before anything was measured, and all that were named are
reported; `MAIN` is the one that the question is about.

The answers to all shifts up to 3 px of every shifted view are asked for once, of the network as ONNX Runtime
runs it, and averaged in each way; that this is what the edits answer is checked on one view.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.photographs import SIZE_PX, efficientnet_lite0, scaled
from PIL import Image
from torch import Tensor

from shiftproof._device import describe_environment
from shiftproof._threads import one_thread_per_operation
from shiftproof.adapters import Classifier, EditStep, edit_classifier, load_classifier
from shiftproof.fix import export_onnx
from shiftproof.metrics._bounded import difference_interval, share_interval
from shiftproof.shifts import extend, find_protocol, translate

RESULT = Path(__file__).parent / "results" / "without-training.json"
PROTOCOL, REACH_PX, CONFIDENCE = "grid:2", 3, 0.95
# Everything in the package that was photographed; of the motorcycle's two pictures one.
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png",
    "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
# Short side of the photograph, and where the view lies in what is left: 0 for the start, 1 for the end.
VIEWS = ((256, 0.5, 0.5), (384, 0.0, 0.0), (384, 1.0, 1.0))

Classes = npt.NDArray[np.int64]
Found = Mapping[str, Classes]


@dataclass(frozen=True)
class Way:
    """How the answers to shifts of a view become one answer.

    Args:
        options: Of the edits `average-logits` and `average-probabilities`.
        space: What is averaged.
    """

    options: Mapping[str, int]
    space: str

    @property
    def offsets_px(self) -> list[tuple[int, int]]:
        radius, step = self.options["radius_px"], self.options.get("step_px", 1)
        reach = range(-radius, radius + 1, step)
        return [(y, x) for y in reach for x in reach]

    @property
    def step(self) -> EditStep:
        return EditStep(f"average-{self.space}", None, self.options)


_OPTIONS = (
    {"radius_px": 1},
    {"radius_px": 2},
    {"radius_px": 3},
    {"radius_px": 2, "step_px": 2},
    {"radius_px": 3, "step_px": 3},
)
WAYS = [Way(options, space) for options in _OPTIONS for space in ("logits", "probabilities")]
OTHERS = (EditStep("crop-choice"), EditStep("composer-blurpool"))
MAIN = "average-logits (radius_px=2)"
FIELD = [(y, x) for y in range(-REACH_PX, REACH_PX + 1) for x in range(-REACH_PX, REACH_PX + 1)]
COSTS = (
    {"original": 1} | {str(way.step): len(way.offsets_px) for way in WAYS} | {str(step): 1 for step in OTHERS}
)


def views() -> Tensor:
    """All views, those of a photograph together: (photographs, views, 3, 224, 224) in [0, 1]."""
    folder, found = files("skimage") / "data", []
    for name in PHOTOGRAPHS:
        with Image.open(str(folder / name)) as image:
            photograph = image.convert("RGB")
        found += [_cut(scaled(photograph, side), down, right) for side, down, right in VIEWS]
    return torch.stack(found).view(len(PHOTOGRAPHS), len(VIEWS), 3, SIZE_PX, SIZE_PX).float() / 255


def _cut(pixels: Tensor, down: float, right: float) -> Tensor:
    top = round(down * (pixels.shape[1] - SIZE_PX))
    left = round(right * (pixels.shape[2] - SIZE_PX))
    return pixels[:, top : top + SIZE_PX, left : left + SIZE_PX]


def averages(model: Classifier, view: Tensor, offsets_px: Tensor) -> dict[str, Classes]:
    """The class that each way answers to a view (3, H, W) under each shift: (S,), by name."""
    found: dict[str, list[int]] = {name: [] for name in ("original", *(str(way.step) for way in WAYS))}
    for offset in offsets_px:
        wide = extend(translate(view[None], offset, border="zeros"), (REACH_PX, REACH_PX), "edge")
        shown = [wide[:, :, REACH_PX - y :, REACH_PX - x :][:, :, :SIZE_PX, :SIZE_PX] for y, x in FIELD]
        logits = model(torch.cat(shown))
        found["original"].append(int(logits[FIELD.index((0, 0))].argmax()))
        for way in WAYS:
            rows = logits[[FIELD.index(each) for each in way.offsets_px]]
            rows = rows.softmax(1) if way.space == "probabilities" else rows
            found[str(way.step)].append(int(rows.mean(0).argmax()))
    return {name: np.array(classes) for name, classes in found.items()}


@torch.inference_mode()
def others(original: Classifier, view: Tensor, offsets_px: Tensor) -> dict[str, Classes]:
    """The same of the other edits."""
    moved = translate(view.expand(len(offsets_px), -1, -1, -1), offsets_px, border="zeros")
    models = {str(step): edit_classifier(original, (step,)).classifier for step in OTHERS}
    return {name: model(moved).argmax(1).numpy() for name, model in models.items()}


def check(exported: Classifier, view: Tensor, offset_px: Tensor) -> None:
    """That the edits answer as `averages` says, on one view under one shift."""
    expected = averages(exported, view, offset_px[None])
    moved = translate(view[None], offset_px, border="zeros")
    for way in WAYS:
        found = int(edit_classifier(exported, (way.step,)).classifier(moved).argmax())
        if found != expected[str(way.step)][0]:
            raise RuntimeError(f"{way.step} answers {found}, and not {expected[str(way.step)][0]}.")


def agreement(predicted: Classes, is_moved: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often the answer stays, for each photograph, from classes (photographs, views, S)."""
    same = predicted[:, :, is_moved] == predicted[:, :, ~is_moved]
    return np.asarray(same.mean((1, 2)))


def row(name: str, predicted: Found, is_moved: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """What an edit is worth beside the original."""
    sample, first = (agreement(predicted[each], is_moved) for each in (name, "original"))
    low, high, method = share_interval(sample, CONFIDENCE)
    interval, p_value = difference_interval(sample - first, CONFIDENCE, 1.0)
    same = predicted[name][:, :, ~is_moved] == predicted["original"][:, :, ~is_moved]
    return {
        "name": name,
        "forwards": COSTS[name],
        "agreement": {"value": float(sample.mean()), "low": low, "high": high, "method": method},
        "difference": {
            "value": float((sample - first).mean()),
            "low": interval[0],
            "high": interval[1],
            "p_value": p_value,
            "method": interval[2],
        },
        "same_answer_as_the_original": float(same.mean()),
    }


def main() -> None:
    original, pixels = efficientnet_lite0(), views()
    offsets_px = find_protocol(PROTOCOL).draw(1, (SIZE_PX, SIZE_PX), seed=0).reshape(-1, 2)
    found: list[dict[str, Classes]] = []
    start = time.process_time()
    with one_thread_per_operation(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lite0.onnx"
        export_onnx(original, (3, SIZE_PX, SIZE_PX), path)
        exported = load_classifier(str(path))
        check(exported, pixels[0, 0], offsets_px[0])
        for view in pixels.flatten(0, 1):
            found.append(averages(exported, view, offsets_px) | others(original, view, offsets_px))
            print(
                f"{len(found)} of {len(PHOTOGRAPHS) * len(VIEWS)}, {time.process_time() - start:.0f} s",
                flush=True,
            )
    shape = (*pixels.shape[:2], len(offsets_px))
    predicted = {name: np.stack([each[name] for each in found]).reshape(shape) for name in COSTS}
    is_moved = offsets_px.abs().amax(1).numpy() > 0
    record = {
        "protocol": find_protocol(PROTOCOL).describe(),
        "n_photographs": len(PHOTOGRAPHS),
        "views_of_each": len(VIEWS),
        "main": MAIN,
        "cpu_seconds": round(time.process_time() - start),
        "rows": [row(name, predicted, is_moved) for name in COSTS],
        "environment": describe_environment(torch.device("cpu")),
        "measured": f"{datetime.now(UTC):%Y-%m-%d}",
    }
    RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

"""The page without a server: answers of the packaged networks to some digits, computed before."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from shiftproof._files import make_folder, write_atomically
from shiftproof._text import said
from shiftproof.adapters import check_finite
from shiftproof.errors import DataError, ModelError
from shiftproof.probe import Views, choose_method
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._page import page_html
from shiftproof.serve._start import MOST_NAME, image_facts, start_facts
from shiftproof.serve._told import class_probabilities
from shiftproof.shifts import find_protocol

LEVELS = 65535
AT_ONCE = 20
READABLE = 0o644


def export_page(exhibit: Exhibit, folder: Path) -> Path:
    """Write the page with the answers to every image and whole shift in it, border `zeros`.

    Args:
        exhibit: What is shown: grey images, and models for which all shifts can be computed at once.
        folder: Where `index.html` is written; it is made.

    Returns:
        The file. Equal networks and images give equal bytes on equal machines.

    Raises:
        DataError: Images with colours.
        ModelError: A model that cannot be asked about all shifts at once.
        OutputError: It cannot be written.
    """
    images = exhibit.images
    n_images = len(images)
    if images.image_shape[0] != 1:
        raise DataError("grey images for a page without a server", f"{images.image_shape[0]} channels")
    data: dict[str, Any] = {
        "start": {**start_facts(exhibit), "borders": ["zeros"], "example": ""},
        "images": [
            {
                "name": said(images.name_of(row), MOST_NAME),
                "label": image_facts(str(row), images, row, exhibit)["label"],
            }
            for row in range(n_images)
        ],
        "pixels": _text(images.pixels(slice(0, n_images)).numpy()),
        "answers": [_text(plane_levels(exhibit, model)) for model in range(len(exhibit.models))],
    }
    file = make_folder(folder) / "index.html"
    write_atomically(file, page_html(data))
    file.chmod(READABLE)  # for the web server that hands it out
    return file


def plane_levels(exhibit: Exhibit, model: int) -> npt.NDArray[np.uint16]:
    """Probabilities in 65535ths, little-endian (N, S, K): shifts row by row from the top left.

    The class that is answered has the highest of them, and the lowest number of those that have it.
    """
    protocol = find_protocol(f"grid:{exhibit.radius_px}", border="zeros")
    views = Views.draw(protocol, len(exhibit.images), exhibit.size_px, seed=0)
    classifier, task = exhibit.models[model], exhibit.tasks[model]
    if task.name != "single-label":
        raise ModelError(f"one probability for each class as the answer of {classifier.name}", task.name)
    choice = choose_method("auto", classifier, views, exhibit.images, exhibit.device)
    if choice.plan is None:
        raise ModelError(
            f"a model whose answers to all shifts come at once, not {classifier.name}", choice.reason
        )
    places = views.offsets_px[:, 0] * (2 * exhibit.radius_px + 1) + views.offsets_px[:, 1]
    parts = []
    for start in range(0, len(exhibit.images), AT_ONCE):
        rows = slice(start, min(start + AT_ONCE, len(exhibit.images)))
        pixels = exhibit.images.pixels(rows).to(exhibit.device).float().div_(255)
        with torch.inference_mode():
            outputs = choice.plan.logits(views.batch(pixels, rows))[:, 1:][:, places.argsort()].cpu()
        check_finite(outputs, classifier.name)
        parts.append(_levels(class_probabilities(task, outputs).numpy(), task.decided(outputs).numpy()))
    return np.concatenate(parts)


def _levels(chances: npt.NDArray[np.float64], predicted: npt.NDArray[np.int32]) -> npt.NDArray[np.uint16]:
    levels = np.rint(LEVELS * chances).astype("<u2")
    # Where two classes are equally likely after rounding, the predicted one is put first.
    answered = predicted[..., None].astype(np.int64)
    highest = levels.max(-1, keepdims=True)
    np.put_along_axis(levels, answered, highest, -1)
    tied = (levels == highest) & (np.arange(levels.shape[-1]) < answered)
    told: npt.NDArray[np.uint16] = np.where(tied, levels - 1, levels).astype("<u2")
    return told


def _text(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()

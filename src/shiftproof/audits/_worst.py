"""The images whose answer changes most often, and their answers in words."""

from __future__ import annotations

import numpy as np

from shiftproof._digest import Json
from shiftproof.data import Images
from shiftproof.metrics import NotApplicable, Selection, agrees, metrics, select, smallest_flip_px
from shiftproof.probe import Response

N_WORST = 10
MAX_LABELS = 5
Answer = int | str


def worst_images(response: Response, images: Images) -> list[Json]:
    """The images whose answer changes most often, and at the smallest shift that changes it, to what."""
    answers = select(response)
    flips = metrics.get("flip-rate").scores(answers)
    if isinstance(flips, NotApplicable):
        return []
    nearest_px = smallest_flip_px(answers)
    order = np.lexsort((np.arange(answers.n_images), nearest_px, -flips.values))[:N_WORST]
    return [
        {
            "index": index,
            "name": images.name_of(index),
            "label": _label(response, images, index),
            "unshifted": _answer(response, images, index, None),
            "share_of_shifts_that_change_it": float(flips.values[index]),
            "smallest_flip_px": float(nearest_px[index]),
            **_nearest_flip(answers, response, images, index),
        }
        for index in order.tolist()
        if flips.values[index] > 0
    ]


def _nearest_flip(answers: Selection, response: Response, images: Images, index: int) -> dict[str, Json]:
    image = answers.with_images(np.arange(answers.n_images) == index)
    flips = image.moved & ~agrees(image)
    shift = int(np.where(flips, image.radius_px, np.inf).argmin())
    return {
        "flip_offset_px": image.offsets_px.reshape(-1, 2)[shift].tolist(),
        "flips_to": _answer(response, images, index, shift),
    }


def _label(response: Response, images: Images, index: int) -> Answer:
    if response.labels.ndim == 2:
        return _named(response.labels[index] == 1, images)
    return int(response.labels[index])


def _answer(response: Response, images: Images, index: int, shift: int | None) -> Answer:
    """The number of a class; in words a set of labels, or which image is nearest."""
    if response.label_prob is not None and response.unshifted_label_prob is not None:
        of_image = response.unshifted_label_prob[index]
        there = (of_image if shift is None else response.label_prob[index, shift]) > response.task.cut
        return _named(there, images)
    predicted = response.unshifted_predicted[index] if shift is None else response.predicted[index, shift]
    return images.name_of(int(predicted)) if response.task.name == "embedding" else int(predicted)


def _named(there: np.ndarray, images: Images) -> str:
    """The labels of a set, by name where there are names."""
    numbers = np.flatnonzero(there).tolist()
    known = images.class_names
    names = [known[number] if number < len(known) else str(number) for number in numbers[:MAX_LABELS]]
    more = [f"{len(numbers) - MAX_LABELS} more"] if len(numbers) > MAX_LABELS else []
    return ", ".join([*names, *more]) or "none"

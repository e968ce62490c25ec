"""What a page knows at its start, and about each image."""

from __future__ import annotations

from typing import Any

from shiftproof._tasks import WORDS
from shiftproof._text import said
from shiftproof.data import UNKNOWN, Images
from shiftproof.report import BRIGHT, SCALE
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._pictures import png_address
from shiftproof.shifts import BORDERS, INTERPOLATIONS

MOST_NAME = 200


def start_facts(exhibit: Exhibit) -> dict[str, Any]:
    """Models, number of images, and what can be chosen."""
    return {
        "models": [
            {
                "name": said(model.name, MOST_NAME).removeprefix("zoo:"),
                "notes": [said(note) for note in model.notes],
                "classes": [said(name, MOST_NAME) for name in exhibit.class_names(number)],
                "task": exhibit.tasks[number].name,
                "answer": WORDS[exhibit.tasks[number].name].answer,
            }
            for number, model in enumerate(exhibit.models)
        ],
        "n_images": len(exhibit.images),
        "example": said(exhibit.example.name, MOST_NAME) if exhibit.example else "",
        "data": said(exhibit.images.name, MOST_NAME),
        "labelled": "class" if exhibit.images.labels.ndim == 1 else "labels",
        "size_px": list(exhibit.size_px),
        "radius_px": exhibit.radius_px,
        "borders": list(BORDERS),
        "interpolations": list(INTERPOLATIONS),
        "colours": list(SCALE),
        "bright": BRIGHT,
    }


def image_facts(key: str, images: Images, row: int, exhibit: Exhibit) -> dict[str, Any]:
    """An image as a page shows it.

    Args:
        key: What the page asks by.
        images: The set that it is in.
        row: Its place there.
        exhibit: What is shown.
    """
    label = images.labels[row]
    names = exhibit.images.class_names
    of_image = (
        [names[k] for k in label.nonzero()[:, 0].tolist()]
        if label.ndim
        else [names[int(label)]] * (int(label) != UNKNOWN)
    )
    return {
        "key": key,
        "name": said(images.name_of(row) if len(images) > 1 else images.name, MOST_NAME),
        "label": said(", ".join(of_image), MOST_NAME),
        "png": png_address(images.pixels(slice(row, row + 1))[0]),
    }

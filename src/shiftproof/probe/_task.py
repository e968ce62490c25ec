"""The task of a model, where it has to be looked at to be known."""

from __future__ import annotations

import torch

from shiftproof.adapters import N_ASKED, Classifier, Task, tell_task
from shiftproof.data import Images
from shiftproof.probe._views import Views


def told_task(classifier: Classifier, views: Views, data: Images, device: torch.device) -> Task:
    """What a model answers with, by its answers to a few images from all over the set, as they are."""
    rows = torch.linspace(0, len(data) - 1, min(N_ASKED, len(data))).long()
    pixels = data.take(rows).pixels(slice(0, len(rows)))
    shown = views.unshifted(pixels.to(device).float().div_(255))
    return tell_task(classifier, shown, data.labels, data.class_names)[0]

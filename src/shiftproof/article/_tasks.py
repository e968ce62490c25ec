"""What is learned first, and what its layers are copied for: tasks of five classes, from near to far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from shiftproof.article._derived import inverted, only_classes
from shiftproof.article._gratings import draw_gratings
from shiftproof.data import LabelledImages, Split, load_data
from shiftproof.data import load_idx_folder as load_idx

FIRST, SECOND = range(5), range(5, 10)
N_CLASSES = 5


@dataclass(frozen=True, eq=False)
class Task:
    """Images of five classes, to learn from and to be judged by.

    Args:
        name: For a table.
        training: All images that may be learned from.
        test: The images to be judged by.
    """

    name: str
    training: LabelledImages
    test: LabelledImages


def base_images(n_images: int) -> LabelledImages:
    """Digits 0 to 4, for the network whose layers are copied."""
    return _digits(FIRST, "train").head(n_images)


def target_tasks(n_base: int, n_test: int, fashion: str) -> tuple[list[Task], dict[str, str]]:
    """The tasks that layers are copied for, in our order from the most similar to the base to the least.

    Args:
        n_base: Images of the base; none of them is learned from again.
        n_test: Test images of each task.
        fashion: Folder with Fashion-MNIST in the format of MNIST; left out where there is none.

    Returns:
        The tasks, and by name why one is left out.
    """
    makers: dict[str, Callable[[Split], LabelledImages]] = {
        "same digits": lambda split: _rest(_digits(FIRST, split), n_base if split == "train" else 0),
        "other digits": lambda split: _digits(SECOND, split),
        "inverted digits": lambda split: inverted(_digits(SECOND, split)),
        "clothes": lambda split: only_classes(load_idx(Path(fashion), split, name="fashion-mnist"), FIRST),
        "gratings": lambda split: draw_gratings(5000, seed=0 if split == "train" else 1),
    }
    left_out = {}
    if not Path(fashion).is_dir():
        del makers["clothes"]
        left_out["clothes"] = (
            "Fashion-MNIST is not on this machine; Debian has it as the package dataset-fashion-mnist."
        )
    tasks = [Task(name, make("train"), make("test").head(n_test)) for name, make in makers.items()]
    return tasks, left_out


def _digits(classes: range, split: Split) -> LabelledImages:
    return only_classes(load_data("mnist", split), classes)


def _rest(data: LabelledImages, n_used: int) -> LabelledImages:
    """What is left of the images when the first are used."""
    return data.take(torch.arange(n_used, len(data)))

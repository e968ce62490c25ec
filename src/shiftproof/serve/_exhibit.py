"""What a page shows: images of one shape, and models that take them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from shiftproof.adapters import N_ASKED, Classifier, Task, evaluating, load_classifier, tell_task
from shiftproof.data import Images, LabelledImages, load_data
from shiftproof.errors import DataError, ModelError, OptionError, ShapeError
from shiftproof.probe import chosen_for_gallery
from shiftproof.serve._told import TASKS

# The article's story: a network that is said to be invariant, one without convolutions, one that was
# trained on shifted digits. The first two are shown first.
DEMO_MODELS = ("cnn2", "cnn2-augmented", "cnn1", "standard-nn")
DEMO_IMAGES = 200
DEFAULT_RADIUS_PX = 8
# Of a larger plane nobody sees the cells.
MAX_RADIUS_PX = 32
GREY_OR_RGB = (1, 3)


@dataclass(frozen=True, eq=False)
class Exhibit:
    """Models and images that belong together; made by `exhibit`.

    Args:
        models: In the order in which they are offered, each in evaluation mode.
        tasks: What the answers of each model are.
        images: All of one shape, which each model takes.
        radius_px: How far an image can be moved in each direction.
        device: Where the models are.
        example: An image that shows well what feature maps do.
    """

    models: tuple[Classifier, ...]
    tasks: tuple[Task, ...]
    images: Images
    radius_px: int
    device: torch.device
    example: LabelledImages | None = None

    @property
    def size_px(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.images.image_shape[1], self.images.image_shape[2]

    def class_names(self, model: int) -> tuple[str, ...]:
        """What a model tells apart: its classes, or those of the data where it names none; empty where nobody
        knows; for an embedding, the images that may be the nearest.
        """
        places = self.gallery(model)
        if places is not None:
            return tuple(self.images.name_of(place) for place in places.tolist())
        return self.models[model].class_names or self.images.class_names

    def gallery(self, model: int) -> Tensor | None:
        """Among which images an embedding looks for the nearest: int64 (G,); None for other tasks."""
        return chosen_for_gallery(len(self.images), 0) if self.tasks[model].name == "embedding" else None


def largest_radius_px(image_shape: tuple[int, int, int]) -> int:
    """How far a page can move images of this shape (C, H, W): a pixel of them stays, and the plane is seen.

    Example:
        >>> largest_radius_px((1, 28, 28)), largest_radius_px((3, 224, 224))
        (27, 32)
    """
    return min(MAX_RADIUS_PX, min(image_shape[1:]) - 1)


@contextmanager
def exhibit(
    models: Sequence[Classifier],
    images: Images,
    *,
    radius_px: int = DEFAULT_RADIUS_PX,
    device: torch.device | None = None,
    example: LabelledImages | None = None,
) -> Iterator[Exhibit]:
    """Check that models and images fit together, and have the models answer as in use meanwhile.

    Raises:
        OptionError: A radius that is no number of pixels to move an image by.
        DataError: No images, images that have no colours to show, or too few for an embedding.
        ShapeError: A model that takes images of another shape.
        ModelError: A model whose answers are of a kind that a page cannot show.
    """
    device = device or torch.device("cpu")
    if not len(images):
        raise DataError("at least one image", "none")
    shape = images.image_shape
    if shape[0] not in GREY_OR_RGB:
        raise DataError("images with 1 or 3 channels, which can be shown", f"{shape[0]} channels")
    most = largest_radius_px(shape)
    if not 1 <= radius_px <= most:
        raise OptionError(
            f"a radius from 1 to {most} px for images of {shape[1]} × {shape[2]} px", f"{radius_px}"
        )
    if example is not None and example.image_shape != shape:
        raise ShapeError(f"an example of shape {shape}, as the other images", example.image_shape)
    for model in models:
        takes = model.framing.image_shape
        if takes is not None and takes != shape:
            raise ShapeError(
                f"{model.name} to take images of shape {shape}, as those on the page",
                takes,
                cause="All models of a page look at the same pixels.",
                fix="Give --size and --channels, or another model.",
            )
    with ExitStack() as stack:
        moved = tuple(model.to(device) for model in models)
        for model in moved:
            stack.enter_context(evaluating(model.model))
        tasks = tuple(_task(model, images, device) for model in moved)
        yield Exhibit(moved, tasks, images, radius_px, device, example)


@torch.inference_mode()
def _task(model: Classifier, images: Images, device: torch.device) -> Task:
    pixels = images.pixels(slice(0, min(N_ASKED, len(images))))
    task, _ = tell_task(model, pixels.to(device).float().div_(255), images.labels)
    if task.name not in TASKS:
        raise ModelError(
            f"one answer for each image from {model.name}",
            f"{task.name} ({task.why})",
            cause=f"The page shows answers that are {', '.join(TASKS)}.",
            fix="Use `shiftproof audit`; or say what the answers are with --task.",
        )
    if task.name == "embedding":
        chosen_for_gallery(len(images), 0)  # says where there are too few
    return task


@contextmanager
def demo(*, radius_px: int = DEFAULT_RADIUS_PX, example: LabelledImages | None = None) -> Iterator[Exhibit]:
    """The article's networks, trained, and the first digits of MNIST's test set.

    Example:
        >>> with demo() as shown:
        ...     len(shown.images), shown.models[0].name
        (200, 'zoo:cnn2')
    """
    models = [load_classifier(f"zoo:{name}") for name in DEMO_MODELS]
    digits = load_data("mnist", "test").head(DEMO_IMAGES)
    with exhibit(models, digits, radius_px=radius_px, example=example) as shown:
        yield shown

"""A mean of answers to shifts, for a network whose answers to all of them share their work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from shiftproof.adapters import Classifier, evaluating
from shiftproof.dense import NotPlanned, RollPlan, WindowPlan, plan_rolls, plan_windows
from shiftproof.edits import ShiftAveraged, mean_answer
from shiftproof.probe._checked import CHECKED_IMAGES, agree
from shiftproof.shifts import extend
from shiftproof.zoo import ImageShape


@dataclass(frozen=True, eq=False)
class AtOnce:
    """The mean of a network's answers to shifts of an image, all of them computed at once.

    It holds the weights as they were when it was made. Threads may share it.

    Args:
        answers: From images (N, C, H, W) to the answers to their shifts, (N, S, K).
        model: What it computes.
        forwards: How many forward passes of the network an answer costs, in multiplications.
    """

    answers: partial[Tensor]
    model: ShiftAveraged
    forwards: float

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, K)."""
        return mean_answer(self.answers(images).transpose(0, 1), self.model.space)


def averaged_at_once(classifier: Classifier, image_shape: ImageShape) -> Classifier:
    """A classifier that averages over shifts, all of them computed at once where that is exact and cheaper.

    The answers are the same up to the order of sums. No other thread may run any module meanwhile.

    Args:
        classifier: Such as an edit `average-logits` gives; on its device.
        image_shape: (C, H, W) of the images that it will be shown.

    Returns:
        A classifier whose model is an `AtOnce`, with the weights of now; or the given one where the edit is
        another one, or its network has no plan that is cheaper.

    Example:
        >>> from shiftproof.adapters import EditStep, as_classifier, edit_classifier
        >>> from shiftproof.zoo import load_trained
        >>> step = EditStep("average-logits", None, {"radius_px": 2})
        >>> mean = edit_classifier(as_classifier(load_trained("cnn2")), (step,)).classifier
        >>> found = averaged_at_once(mean, (1, 28, 28))
        >>> f"{found.model.forwards:.1f} forward passes instead of {len(mean.model.offsets_px)}"
        '5.7 forward passes instead of 25'
    """
    model = classifier.model
    if not isinstance(model, ShiftAveraged) or len(model.offsets_px) < 2:
        return classifier
    with evaluating(model):
        found = _windows(model, image_shape)
        if model.border == "circular":
            rolls = _rolls(model, image_shape)
            found = min(filter(None, (found, rolls)), key=lambda each: each.forwards, default=None)
        if found is None or not _agrees(found, image_shape):
            return classifier
    return replace(classifier, model=found, thread_safe=True)


def _windows(model: ShiftAveraged, image_shape: ImageShape) -> AtOnce | None:
    """By windows of the image and its border; None where the network looks outside of them."""
    plan = plan_windows(model.model, image_shape)
    if isinstance(plan, NotPlanned):
        return None
    rows, columns = zip(*model.offsets_px, strict=True)
    n_windows = (max(rows) - min(rows) + 1, max(columns) - min(columns) + 1)
    forwards = plan.multiply_adds(n_windows) / plan.direct_multiply_adds
    if forwards >= len(model.offsets_px):
        return None
    return AtOnce(partial(_by_windows, plan, model, n_windows), model, forwards)


def _by_windows(plan: WindowPlan, model: ShiftAveraged, n_windows: tuple[int, int], images: Tensor) -> Tensor:
    offsets = torch.tensor(model.offsets_px, device=images.device)
    most, reach = offsets.amax(0), int(offsets.abs().max())
    # The first window is that of the farthest shifts down and to the right.
    top, left = (reach - most).tolist()
    height, width = (size + n - 1 for size, n in zip(images.shape[2:], n_windows, strict=True))
    canvas = extend(images, (reach, reach), model.border)[:, :, top : top + height, left : left + width]
    rows, columns = (most - offsets).unbind(1)
    parts = torch.split(canvas, plan.images_per_batch(n_windows))
    return torch.cat([plan.answer(part, n_windows)[:, rows, columns] for part in parts])


def _rolls(model: ShiftAveraged, image_shape: ImageShape) -> AtOnce | None:
    """By rolls of the maps of a circular network; None for another one."""
    offsets = torch.tensor(model.offsets_px)
    plan = plan_rolls(model.model, image_shape, offsets)
    if isinstance(plan, NotPlanned) or not plan.is_cheaper(offsets):
        return None
    forwards = plan.multiply_adds(offsets) / plan.direct_multiply_adds
    return AtOnce(partial(_by_rolls, plan, offsets), model, forwards)


def _by_rolls(plan: RollPlan, offsets_px: Tensor, images: Tensor) -> Tensor:
    return plan.answer(images, offsets_px)


@torch.inference_mode()
def _agrees(found: AtOnce, image_shape: ImageShape) -> bool:
    """Whether it answers as the model does, on a few images."""
    first = next(found.model.parameters(), torch.zeros(()))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(CHECKED_IMAGES, *image_shape, generator=generator).to(first.device)
    return agree(found(images), found.model(images))

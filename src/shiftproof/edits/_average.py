"""Answers averaged over shifts of the image: any model, without training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from shiftproof.edits._record import Edit, Edited, Model, edits
from shiftproof.errors import ModelError, OptionError
from shiftproof.records import Change
from shiftproof.shifts import Border, check_border, extend

Space = Literal["logits", "probabilities"]
Offsets = tuple[tuple[int, int], ...]
MAX_SHIFTS = 4096


def averaged(
    model: Any, images: Tensor, offsets_px: Offsets, border: Border, space: Space = "logits"
) -> Tensor:
    """The mean of a model's answers to an image and its shifts.

    Args:
        model: Images (N, C, H, W) to logits (N, K).
        images: (N, C, H, W).
        offsets_px: Whole ones, (dy, dx).
        border: What comes in from outside.
        space: What is averaged; for probabilities the answer is the logarithm of their mean.

    Returns:
        (N, K).
    """
    height, width = images.shape[2:]
    reach = max(abs(d) for offset in offsets_px for d in offset)
    wide = extend(images, (reach, reach), border) if reach else images
    answers = []
    for dy, dx in offsets_px:
        view = wide[:, :, reach - dy : reach - dy + height, reach - dx : reach - dx + width]
        answers.append(model(view))
    return mean_answer(torch.stack(answers), space)


def mean_answer(answers: Tensor, space: Space) -> Tensor:
    """One answer of several.

    Args:
        answers: Logits (S, N, K).
        space: What is averaged; for probabilities the answer is the logarithm of their mean.

    Returns:
        (N, K).

    Example:
        >>> mean_answer(torch.tensor([[[1.0, 2.0]], [[3.0, 2.0]]]), "logits")
        tensor([[2., 2.]])
    """
    if space == "probabilities":
        return answers.log_softmax(2).logsumexp(0) - math.log(len(answers))
    return answers.mean(0)


class ShiftAveraged(nn.Module):
    """A network whose answer is the mean of its answers to shifts of the image; see `averaged`.

    Args:
        model: Images to logits.
        offsets_px: Whole ones, (dy, dx).
        border: What comes in from outside.
        space: What is averaged.
    """

    def __init__(
        self, model: nn.Module, offsets_px: Offsets, border: Border, space: Space = "logits"
    ) -> None:
        super().__init__()
        self.model = model
        self.offsets_px, self.border, self.space = offsets_px, border, space

    def forward(self, images: Tensor) -> Tensor:
        return averaged(self.model, images, self.offsets_px, self.border, self.space)

    def extra_repr(self) -> str:
        return f"{len(self.offsets_px)} shifts, border={self.border!r}, {self.space}"


def average(
    model: Model, *, radius_px: int = 1, step_px: int = 1, space: Space = "logits", border: Border = "edge"
) -> Edited:
    """The mean of the answers to every `step_px`-th whole shift up to a radius, in y and in x."""
    _check(radius_px, "radius_px", 0)
    _check(step_px, "step_px", 1)
    if radius_px % step_px:
        raise OptionError(
            "a `radius_px` that is a multiple of `step_px`",
            f"{radius_px} and {step_px}",
            cause="The image as it is has to be among the shifts.",
        )
    reach = range(-radius_px, radius_px + 1, step_px)
    offsets = sorted(((y, x) for y in reach for x in reach), key=lambda o: (max(map(abs, o)), o))
    return _edited(model, tuple(offsets), border, space)


def average_phases(
    model: Model,
    *,
    stride: int = 2,
    step_px: int = 1,
    space: Space = "logits",
    border: Border = "circular",
) -> Edited:
    """The mean of the answers to one shift of each phase of a stride, or of every `step_px`-th in y and in x.

    On a circle the answer to a shift by multiples of `step_px` is exactly the same if that of the network is
    to shifts by multiples of the stride.
    """
    _check(stride, "stride", 1)
    _check(step_px, "step_px", 1)
    if stride % step_px:
        raise OptionError("a `stride` that is a multiple of `step_px`", f"{stride} and {step_px}")
    reach = range(0, stride, step_px)
    offsets = tuple((y, x) for y in reach for x in reach)
    return _edited(model, offsets, border, space)


def _edited(model: Model, offsets: Offsets, border: Border, space: Space) -> Edited:
    if space not in ("logits", "probabilities"):
        raise OptionError("`space` logits or probabilities", repr(space))
    change = Change("model", "one answer", f"the mean of {len(offsets)} answers ({space}, border {border})")
    return Edited(around(model, averaged, ShiftAveraged, offsets, check_border(border), space), (change,))


def around(model: Model, function: Any, kind: type[nn.Module], *arguments: Any) -> Model:
    """A module around a module, or a function around a function.

    Raises:
        ModelError: One that does the same is there already.
    """
    if _does(model, function, kind):
        raise ModelError(
            "a model around which this is not done yet",
            "one around which it is",
            cause="A second time it would do something else than its name says.",
            fix="Edit the original, with all options in one edit.",
        )
    if isinstance(model, nn.Module):
        found = kind(model, *arguments)
        found.training = model.training  # Its own alone: `train` would change the model inside, too.
        return found
    return partial(_called, function, model, arguments)


def _called(function: Any, model: Any, arguments: Sequence[Any], images: Tensor) -> Any:
    return function(model, images, *arguments)


def _does(model: Any, function: Any, kind: type[nn.Module]) -> bool:
    """Whether a model, or one inside of it, does what a function does."""
    if isinstance(model, nn.Module):
        return any(isinstance(part, kind) for part in model.modules())
    while isinstance(model, partial) and model.func is _called:
        if model.args[0] is function:
            return True
        model = model.args[1]
    return False


def forwards(model: Model) -> int:
    """How many forward passes of what is inside an answer takes.

    Example:
        >>> forwards(average(nn.Flatten(), radius_px=2).model), forwards(nn.Flatten())
        (25, 1)
    """
    if isinstance(model, ShiftAveraged):
        return len(model.offsets_px) * forwards(model.model)
    if isinstance(model, partial) and model.func is _called:
        function, inside, arguments = model.args
        return (len(arguments[0]) if function is averaged else 1) * forwards(inside)
    if isinstance(model, nn.Module) and type(model).__module__.startswith("shiftproof.edits"):
        inside = getattr(model, "model", None)
        return forwards(inside) if isinstance(inside, nn.Module) else 1
    return 1


def _check(value: int, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(f"`{name}` of at least {least}", repr(value))
    if value**2 > MAX_SHIFTS:
        raise OptionError(
            f"`{name}` of at most {math.isqrt(MAX_SHIFTS)}", value, cause="Each shift is a forward pass."
        )


SOURCE = "test-time augmentation over shifts; Azulay and Weiss 2019, arXiv:1805.12177, on ensembles of shifts"
for _edit in (
    Edit(
        "average-logits",
        "free",
        average,
        "the mean of the logits over all shifts up to a radius, 1 px by default",
        SOURCE,
        "(2 · radius ÷ step + 1)² forward passes",
        fixed={"space": "logits"},
    ),
    Edit(
        "average-probabilities",
        "free",
        average,
        "the mean of the probabilities over all shifts up to a radius, 1 px by default",
        SOURCE,
        "(2 · radius ÷ step + 1)² forward passes",
        fixed={"space": "probabilities"},
    ),
    Edit(
        "average-phases",
        "free",
        average_phases,
        "the mean of the logits over the phases of a stride, on a circle; a stride of 2 by default",
        SOURCE,
        "(stride ÷ step)² forward passes",
    ),
):
    edits.register(_edit.name, _edit)

"""One call: a model, and the name of an edit, to another model."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof._registry import unknown_name
from shiftproof._text import said
from shiftproof.edits._record import Edit, Edited, Model, edits
from shiftproof.errors import ModelError, OptionError, ShapeError

# Given by the caller of an edit beside its options.
GIVEN = ("model", "layers", "images")


def apply_edit(
    model: Model,
    edit: str,
    *,
    layers: Sequence[str] | None = None,
    images: Tensor | None = None,
    **options: Any,
) -> Edited:
    """Make a network that loses less when its images move, out of one that is there.

    Args:
        model: A module of images (N, C, H, W) to logits (N, K); for edits of the kind `free` also a function.
            It stays as it is, to the bit.
        edit: A name from `edits`.
        layers: Change only these layers, by their paths as in `named_modules()`, and what is in them; all
            that the edit is about by default. For edits of the kind `surgery`.
        images: A few images as the model takes them. Edits that need to know sizes ask for them; and where
            they are given, the answer of the new model is checked to have the shape of that of the old one.
        options: What the edit itself takes, such as `kernel_size` and `border` of a blur.

    Returns:
        The new model, with the weights of the old one, in its mode; and what is different, by layer.

    Raises:
        UnknownNameError: No such edit, or no such layer.
        OptionError: An option that it does not take, or a value out of its range.
        ModelError: The model has no layer that the edit is about, as after that edit itself; or cannot be
            copied, followed, or run after the edit.
        ShapeError: The new model does not answer these images with the shape of the old answer.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        >>> found = apply_edit(net, "max-blur-pool")
        >>> found.changes[0].layer, found.changes[0].after
        ('2', 'MaxBlurPool2d')
        >>> found.model(torch.zeros(1, 1, 10, 10)).shape == net(torch.zeros(1, 1, 10, 10)).shape
        True
    """
    found = edits.get(edit)
    taken = inspect.signature(found.make).parameters
    _check_options(found, options, [name for name in taken if name not in (*GIVEN, *found.fixed)])
    if found.kind == "surgery" and not isinstance(model, nn.Module):
        raise ModelError(
            f"a module for the edit {edit}",
            "a function",
            cause="Its layers are not known.",
            fix=f"Use an edit that needs no training and no layers: {', '.join(free_edits())}.",
        )
    if layers is not None:
        _check_layers(model, layers)
        if "layers" not in taken:
            raise OptionError(
                f"no `layers` for {edit}", ", ".join(layers), cause="It is about the whole model."
            )
        options["layers"] = tuple(layers)
    if "images" in taken:
        options["images"] = images
    made = found.make(model, **dict(found.fixed), **options)
    if images is not None:
        check_answers(model, made.model, images, edit)
    return made


def free_edits() -> tuple[str, ...]:
    """Names of the edits that work with any model."""
    return tuple(edit.name for edit in edits if edit.kind == "free")


def check_answers(before: Model, after: Model, images: Tensor, edit: str) -> None:
    """Nothing where two models answer with tensors of one shape.

    Raises:
        ShapeError: They do not, or the second one cannot take the images.
        ModelError: The second one fails in another way.
    """
    with torch.no_grad():
        try:
            expected = before(images)
        except (RuntimeError, ValueError) as error:
            raise ShapeError("images that the model takes", tuple(images.shape), cause=said(error)) from error
        try:
            answer = after(images)
        except (RuntimeError, ValueError) as error:
            raise ShapeError.cannot(
                f"run the model on images of shape {tuple(images.shape)} after the edit {edit}",
                said(error),
                cause="The sizes of its maps do not allow the edit.",
                fix="Name the layers to change with `layers`, use another border, or images of another size.",
            ) from error
        except Exception as error:  # a forward of others may do anything
            raise ModelError.cannot(
                f"run the model after the edit {edit}",
                f"{type(error).__name__}: {said(error)}",
                cause="Its forward may look into layers that the edit replaced.",
                fix="Name the layers to change with `layers`, or use an edit around the model.",
            ) from error
    shapes = [tuple(value.shape) for value in (expected, answer) if isinstance(value, Tensor)]
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"an answer of shape {shapes[0]} after the edit {edit}",
            shapes[1],
            cause="The sizes of its maps do not allow the edit.",
            fix="Name the layers to change with `layers`, or use images of another size.",
        )


def _check_options(edit: Edit, options: dict[str, Any], known: list[str]) -> None:
    for name in options:
        if name not in known:
            raise OptionError(
                f"options of {edit.name}: {', '.join(known) or 'none'}",
                repr(name),
                fix=f"Leave out `{said(name)}`.",
            )


def _check_layers(model: Model, layers: Sequence[str]) -> None:
    known = [path for path, _ in model.named_modules() if path] if isinstance(model, nn.Module) else []
    for path in layers:
        if path not in known:
            raise unknown_name("layer", path, known)

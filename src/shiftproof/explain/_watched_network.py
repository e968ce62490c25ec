"""A network as it ran: its calls in order, what each reads, and where its answer lies in the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier
from shiftproof.anatomy import BATCH, is_row
from shiftproof.errors import ModelError
from shiftproof.explain._probed_windows import located
from shiftproof.explain._space import Pair, Space
from shiftproof.explain._watching import IMAGES, WatchedCall, watching
from shiftproof.zoo import ImageShape

# So that a layer that needs more than one image, or takes the first axis away, shows.
N_IMAGES = BATCH


@dataclass(frozen=True, eq=False, slots=True)
class WatchedStep:
    """One call of a network, or the images themselves.

    Args:
        name: See `WatchedCall`.
        kind: Class of a layer, name of a function, or `images`.
        layer: Path of the layer; None for functions.
        inputs: Names of the steps that it reads.
        space: Where its answer lies in the image; None where it does not.
        shape: Of its answer for one image.
        is_row: Whether the answer is features of the whole image: nothing in it is a place.
        stride: Pixels from one position to the next, (down, right); of what comes before it where it
            has no positions itself.
    """

    name: str
    kind: str
    layer: str | None
    inputs: tuple[str, ...]
    space: Space | None
    shape: tuple[int, ...]
    is_row: bool
    stride: Pair = (Fraction(1), Fraction(1))


@dataclass(frozen=True, eq=False, slots=True)
class WatchedNetwork:
    """All steps that depend on the images, in order, and the one that is the answer.

    Args:
        steps: By name; the first one is the images.
        answer: Name of the step that gives the logits.
        image_shape: (C, H, W).
    """

    steps: Mapping[str, WatchedStep]
    answer: str
    image_shape: ImageShape


def watch_network(classifier: Classifier, images: Tensor) -> WatchedNetwork:
    """Run a network once on the first images, and find out where the answers of its layers lie.

    Args:
        classifier: A module in evaluation mode.
        images: (N, C, H, W) in [0, 1] on its device, at least `N_IMAGES` of them.

    Raises:
        ModelError: The answer of the network does not come from the images.
        ShiftproofError: Its answer is none, as in `Classifier.checked`.
    """
    shown = classifier.preprocess(images[:N_IMAGES]).clone()
    space = _space_of_images(shown, images)
    steps = {IMAGES: WatchedStep(IMAGES, IMAGES, None, (), space, tuple(shown.shape[1:]), False)}
    anchors = {IMAGES: space}  # Of what has no layout of its own, that of what came before it.
    answers: dict[int, str] = {}

    def visit(call: WatchedCall) -> None:
        shape = tuple(call.answer.shape)
        opaque = [name for name, step in steps.items() if step.space is None]
        found = located(call, anchors, N_IMAGES, opaque=opaque)
        no_place = found is None and is_row(shape)
        inputs = tuple(name for name in call.inputs if name in steps)
        stride = found.stride if found else max((steps[name].stride for name in inputs), default=(one, one))
        steps[call.name] = WatchedStep(
            call.name, call.kind, call.layer, inputs, found, shape[1:], no_place, stride
        )
        anchor = found or next((anchors[n].blind for n in inputs if n in anchors), None)
        if anchor is not None and not no_place:
            anchors[call.name] = anchor
        answers[id(call.answer)] = call.name
        kept.append(call.answer)  # So that no other tensor gets its id.

    kept: list[Tensor] = []
    one = Fraction(1)
    with torch.backends.nnpack.flags(enabled=False):  # Its algorithms spread a NaN beyond the window.
        logits = run(classifier, shown, visit, repeatable=True)
    if id(logits) not in answers:
        raise ModelError(
            f"{classifier.name} to answer with a tensor that its layers computed",
            "one that does not come from the images",
            cause="It may be computed outside of torch, or inside a function compiled ahead of time.",
        )
    return WatchedNetwork(steps, answers[id(logits)], _shape_of(images))


def run(classifier: Classifier, shown: Tensor, visit: Any, *, repeatable: bool = False) -> Tensor:
    """Watch a network answer images that are preprocessed already; its logits, not yet checked."""
    network = classifier.model
    assert isinstance(network, nn.Module)
    ours: list[BaseException] = []

    def watched(call: WatchedCall) -> Tensor | None:
        try:
            other: Tensor | None = visit(call)
            return other
        except BaseException as error:  # not of the model that is watched
            ours.append(error)
            raise

    with torch.inference_mode(), classifier.wall(shown, but=lambda error: error in ours):
        with watching(network, shown, watched, repeatable=repeatable):
            answer = network(shown)
        classifier.checked(answer, len(shown))
    logits = answer if classifier.logits is None else answer[classifier.logits]
    assert isinstance(logits, Tensor)
    return logits


def _shape_of(images: Tensor) -> ImageShape:
    _, channels, height, width = images.shape
    return channels, height, width


def _space_of_images(shown: Tensor, images: Tensor) -> Space:
    channels, height, width = _shape_of(images)
    layout = "nchw" if tuple(shown.shape) == tuple(images[: len(shown)].shape) else "nhwc"
    return Space("nhwc" if layout == "nhwc" else "nchw", channels, (height, width))

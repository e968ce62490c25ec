"""What one layer answers to images in [0, 1], without a trace in the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof._registry import unknown_name
from shiftproof.adapters import Classifier, of_others
from shiftproof.errors import ModelError, OptionError
from shiftproof.explain._watching import tensors_in

Function = Callable[[Tensor], Tensor]


class _Reached(BaseException):
    """The layer has answered; what comes after it need not run. No `Exception`, which a model may catch."""


def layer_function(classifier: Classifier, layer: str | None) -> Function:
    """A function of images (N, C, H, W) to the answer of a layer, or to logits.

    Args:
        classifier: In evaluation mode; comes back unchanged from each call.
        layer: Path of the layer as in `named_modules`; None for the logits. Where it runs more than once, its
            first answer is taken; where it answers with several tensors, the first of them.

    Raises:
        OptionError: A layer of a model that is no module.
        UnknownNameError: No layer of that name.
    """
    network = classifier.model
    if layer is None:
        return _logits_function(classifier)
    if not isinstance(network, nn.Module):
        raise OptionError(
            "no layer for a model that is no module",
            repr(layer),
            cause="A function does not show what happens inside it.",
        )
    modules = dict(network.named_modules())
    if layer not in modules:
        raise unknown_name("layer", layer, [name for name in modules if name])

    def answer(images: Tensor) -> Tensor:
        found: list[Tensor] = []

        def stop(_: nn.Module, __: Any, given: Any) -> None:
            found.extend(tensor for tensor in tensors_in(given) if tensor.is_floating_point())
            raise _Reached

        handle = modules[layer].register_forward_hook(stop)
        try:
            with (
                classifier.wall(images, but=lambda error: isinstance(error, _Reached)),
                torch.compiler.set_stance("force_eager"),
            ):
                network(classifier.shown(images))
        except _Reached:
            pass
        finally:
            handle.remove()
        if not found:
            raise ModelError.cannot(
                f"measure the layer {layer}",
                "it gave no answer",
                cause="It does not run, or answers with something that is no tensor of numbers.",
            )
        return found[0]

    return answer


def _logits_function(classifier: Classifier) -> Function:
    """The logits in the precision of the model; a function of others answers in float32."""
    network = classifier.model
    if not isinstance(network, nn.Module):
        return classifier

    def answer(images: Tensor) -> Tensor:
        classifier.preprocess.check_channels(images.shape[1])
        with classifier.wall(images):
            given = network(classifier.shown(images))
            classifier.checked(given, len(images))
        logits = given if classifier.logits is None else given[classifier.logits]
        assert isinstance(logits, Tensor), "checked before"
        return logits

    return answer


def in_double(classifier: Classifier) -> Classifier | None:
    """A copy that computes in float64; None for a function, and for a module that cannot be copied."""
    if not isinstance(classifier.model, nn.Module):
        return None
    try:
        model = copy.deepcopy(classifier.model).double()
    except BaseException as error:  # whatever a model does in __deepcopy__, it can still be asked as it is
        of_others(error)
        return None
    return replace(classifier, model=model, preprocess=copy.deepcopy(classifier.preprocess).double())

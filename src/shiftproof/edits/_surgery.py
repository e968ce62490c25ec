"""Layers replaced in a copy of a network: one walk over its modules, whatever the edit."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import nn

from shiftproof._text import said
from shiftproof.edits._record import Edited
from shiftproof.errors import ModelError
from shiftproof.layers import AdaptiveBlurPool2d, Polyphase2d
from shiftproof.records import Change, LeftAlone

# What edits put in to keep some of the positions: its convolutions are its own, and no layers of the network.
_SAMPLERS = (AdaptiveBlurPool2d, Polyphase2d)


@dataclass(frozen=True, slots=True)
class New:
    """What comes in place of a layer.

    Args:
        layer: The new one.
        what: What it is, in words.
    """

    layer: nn.Module
    what: str


# From a layer of the copy to what takes its place, to the reason why nothing can, or to None where the
# edit is not about such a layer.
Rule = Callable[[nn.Module], New | str | None]


class NothingToEditError(ModelError):
    """A model has no layer that an edit is about."""


@dataclass(slots=True)
class Record:
    """What was changed so far, and what was not."""

    changes: list[Change] = field(default_factory=list)
    left_alone: list[LeftAlone] = field(default_factory=list)

    def of(self, model: nn.Module, edit: str) -> Edited:
        """The result.

        Raises:
            NothingToEditError: There is no layer that the edit is about.
            ModelError: There is one, and none could be changed.
        """
        wanted = f"a layer that {edit} changes"
        if not self.changes and not self.left_alone:
            raise NothingToEditError(wanted, "none", cause="There is nothing to fix.")
        if not self.changes:
            reasons = "; ".join(f"{each.layer}: {each.reason}" for each in self.left_alone)
            raise ModelError(wanted, "none", cause=f"What it is about cannot be changed: {reasons}")
        return Edited(model, tuple(self.changes), tuple(self.left_alone))


def copied(model: nn.Module) -> nn.Module:
    """A copy that shares no tensor with the original.

    Raises:
        ModelError: It refuses to be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a module of others may do anything when it is copied
        raise ModelError.cannot(
            "copy the model",
            f"{type(error).__name__}: {said(error)}",
            cause="An edit is made in a copy, so that the original stays as it is.",
        ) from error


def replace_layers(
    network: nn.Module, rule: Rule, *, layers: Sequence[str] | None = None, record: Record | None = None
) -> Record:
    """Put other layers into a network, in place.

    Args:
        network: A copy of somebody's.
        rule: What takes the place of which layer. It may use the layer that it is given.
        layers: Only these, and what is in them.
        record: Of what was changed before.

    Returns:
        The record.
    """
    record = record or Record()
    found: dict[int, New | str | None] = {}
    inside: list[str] = []  # what was replaced has taken its own layers with it
    for path, layer in list(network.named_modules(remove_duplicate=False)):
        if not path or is_in(path, inside) or not (layers is None or is_in(path, layers)):
            continue
        if isinstance(layer, _SAMPLERS):
            inside.append(path)
            continue
        if id(layer) not in found:  # a layer that stands in several places stays one layer
            before, new = type(layer).__name__, rule(layer)
            found[id(layer)] = new
            if isinstance(new, str):
                record.left_alone.append(LeftAlone(path, new))
            elif new is not None:
                record.changes.append(Change(path, before, new.what))
        new = found[id(layer)]
        if isinstance(new, New):
            put(network, path, new.layer)
            inside.append(path)
    return record


def put(network: nn.Module, path: str, layer: nn.Module) -> None:
    """Put a layer where the path says, in the mode of the one that was there."""
    parent, _, own = path.rpartition(".")
    layer.train(network.get_submodule(path).training)
    setattr(network.get_submodule(parent), own, layer)


def behind(network: nn.Module, name: str, kind: type[nn.Module]) -> set[int]:
    """Which convolutions have a layer right before them that an edit put there, by `id`.

    Args:
        network: Edited or not.
        name: What that layer is called beside its `conv`, as in `layer_before`.
        kind: What it is.
    """
    return {
        id(getattr(part, "conv", None))
        for part in network.modules()
        if isinstance(getattr(part, name, None), kind)
    }


def layer_before(conv: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """A convolution with a layer right before it."""
    return nn.Sequential(OrderedDict([(name, layer), ("conv", conv)]))


def is_in(path: str, layers: Sequence[str]) -> bool:
    """Whether a path is one of these, or in one of them.

    Example:
        >>> is_in("layer1.0.conv1", ["layer1"]), is_in("layer10.conv", ["layer1"])
        (True, False)
    """
    return any(path == layer or path.startswith(f"{layer}.") for layer in layers)

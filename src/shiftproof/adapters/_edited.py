"""Edits of a classifier: of its layers where it has some, and around it, on images as they are shifted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from shiftproof._digest import digest_of
from shiftproof._text import counted, said
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._failures import explained
from shiftproof.adapters._preprocess import Preprocess
from shiftproof.edits import GIVEN, apply_edit, edits
from shiftproof.errors import ModelError, OptionError
from shiftproof.records import Change, LeftAlone


@dataclass(frozen=True)
class EditStep:
    """One edit of several, as it is written down.

    Args:
        edit: A name from `shiftproof.edits.edits`.
        layers: Only these; all that it is about for None.
        options: What the edit takes.
    """

    edit: str
    layers: tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        how = [f"{name}={value}" for name, value in self.options.items()]
        how += [", ".join(self.layers)] if self.layers and len(self.layers) < 3 else []
        how += [counted(len(self.layers), "layer")] if self.layers and len(self.layers) >= 3 else []
        return f"{self.edit} ({'; '.join(how)})" if how else self.edit


def split_edits(text: str) -> tuple[str, ...]:
    """Several edits as a person writes them, with commas between, each as `read_steps` takes it.

    Example:
        >>> split_edits("max-blur-pool(layer1, layer2) + batch-statistics, average-logits")
        ('max-blur-pool(layer1, layer2) + batch-statistics', 'average-logits')
    """
    return tuple(part.strip() for part in _outside_of_brackets(",", text))


def read_steps(text: str) -> tuple[EditStep, ...]:
    """Steps that are made together, with `+` between, as the table of a fix names them.

    Each is the name of an edit, and in brackets its options and the layers that it is to change.

    Raises:
        UnknownNameError: No such edit.
        OptionError: Something else than options and layers in brackets.

    Example:
        >>> [step.edit for step in read_steps("max-blur-pool + average-logits(radius_px=2; border=zeros)")]
        ['max-blur-pool', 'average-logits']
        >>> read_steps("average-logits(radius_px=2; border=zeros)")[0].options
        {'radius_px': 2, 'border': 'zeros'}
        >>> read_steps("max-blur-pool (kernel_size=5; features.3, features.6)")[0].layers
        ('features.3', 'features.6')
    """
    return tuple(map(_read_step, _outside_of_brackets(r"\+", text)))


def _outside_of_brackets(separator: str, text: str) -> list[str]:
    return re.split(rf"{separator}(?![^(]*\))", text)


def _read_step(text: str) -> EditStep:
    name, bracket, rest = text.partition("(")
    edit = edits.get(name.strip()).name
    if not bracket:
        return EditStep(edit)
    inside, closing, after = rest.rpartition(")")
    options: dict[str, Any] = {}
    layers: list[str] = []
    for part in inside.split(";"):
        key, equals, value = (word.strip() for word in part.partition("="))
        if equals and key in GIVEN:
            raise OptionError(
                f"options of {edit}, and paths of layers", repr(key), fix=f"For layers: {edit}(PATH, PATH)."
            )
        if equals:
            options[key] = _read_value(value)
        else:
            layers += [path.strip() for path in key.split(",")]
    if not closing or after.strip() or not all([*layers, *options, *map(str, options.values())]):
        raise OptionError("an edit such as average-logits(radius_px=2; border=zeros)", repr(said(text)))
    return EditStep(edit, tuple(layers) or None, options)


def _read_value(text: str) -> Any:
    """A number, true or false; whatever else it is, a word."""
    try:
        found = json.loads(text)
    except ValueError:
        return text
    return found if isinstance(found, bool | int | float) else text


@dataclass(frozen=True, eq=False)
class EditedClassifier:
    """Another classifier, and what is different in it.

    Args:
        classifier: The new one.
        network: The module whose layers were replaced, or the original's where none were; None for a
            function.
        changes: What is different, step by step.
        left_alone: What should have been changed and could not be.
    """

    classifier: Classifier
    network: nn.Module | None
    changes: tuple[Change, ...]
    left_alone: tuple[LeftAlone, ...]


def edit_classifier(
    classifier: Classifier,
    steps: Sequence[EditStep],
    images: Tensor | None = None,
    *,
    finish: Callable[[nn.Module], None] = lambda network: None,
) -> EditedClassifier:
    """Edit the layers of a classifier's model, then what is around it.

    Args:
        classifier: Stays as it is.
        steps: In the order in which they are made; those of layers have to come first.
        images: Some of them, (N, C, H, W) in [0, 1], for edits that need to see images.
        finish: What else is done with the edited network, in place, such as putting trained weights into it.

    Raises:
        ModelError: A step that needs layers, for a model that has none; or it cannot be made.
        ShiftproofError: Whatever else is wrong with a step.
    """
    surgery = [step for step in steps if edits.get(step.edit).kind == "surgery"]
    around = [step for step in steps if edits.get(step.edit).kind == "free"]
    if [*surgery, *around] != list(steps):
        raise ModelError(
            "edits of layers before edits around the whole model",
            ", ".join(step.edit for step in steps),
            fix="Give them in this order: " + ", ".join(step.edit for step in (*surgery, *around)) + ".",
        )
    changes: list[Change] = []
    left_alone: list[LeftAlone] = []
    edited = classifier
    shown = None if images is None else classifier.preprocess(images)
    for step in surgery:
        with explained(f"make the edit {step.edit} of {classifier.name}"):
            made = apply_edit(edited.model, step.edit, layers=step.layers, images=shown, **step.options)
        edited = replace(edited, model=made.model)
        changes += made.changes
        left_alone += made.left_alone
    network = edited.model if isinstance(edited.model, nn.Module) else None
    if network is not None and surgery:
        finish(network)
        edited = replace(edited, digest=digest_of_module(network))
    for step in around:
        with explained(f"make the edit {step.edit} of {classifier.name}"):
            made = apply_edit(edited.pipeline or edited, step.edit, images=images, **step.options)
        digest = digest_of([edited.digest, asdict(step)])
        edited = replace(edited, model=made.model, preprocess=Preprocess(), logits=None, digest=digest)
        changes += made.changes
    notes = (*classifier.notes, *(f"edited: {step}" for step in steps))
    return EditedClassifier(replace(edited, notes=notes), network, tuple(changes), tuple(left_alone))

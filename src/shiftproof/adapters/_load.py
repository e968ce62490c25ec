"""`load_classifier`: find the source that a reference names, and refuse what it must not do."""

from __future__ import annotations

import difflib
import importlib.machinery
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from shiftproof._address import Address, place
from shiftproof.adapters._classifier import Classifier, Model, Origin, as_classifier
from shiftproof.adapters._code import PYTHON_FILE, PYTHON_MODULE
from shiftproof.adapters._exported import EXPORTED
from shiftproof.adapters._failures import explained
from shiftproof.adapters._fixed import fixed_source, load_fixed_with
from shiftproof.adapters._huggingface import HUGGINGFACE
from shiftproof.adapters._keras import H5, HDF5, KERAS
from shiftproof.adapters._onnx import ONNX
from shiftproof.adapters._overrides import overridden
from shiftproof.adapters._pickled import PT, PTH
from shiftproof.adapters._sources import ModelRequest, ModelSource, Taken, model_sources
from shiftproof.adapters._timm import TIMM
from shiftproof.adapters._torchvision import TORCHVISION
from shiftproof.adapters._zoo import CHECKPOINT, ZOO
from shiftproof.errors import ModelError, UnknownNameError

for _source in (
    ZOO, TORCHVISION, TIMM, HUGGINGFACE, CHECKPOINT, ONNX, KERAS, H5, HDF5, PT, PTH, EXPORTED, PYTHON_FILE,
    PYTHON_MODULE,
):  # fmt: skip
    model_sources.register(_source.name, _source)

_MODULE_AND_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_FLAGS: dict[Taken, str] = {
    "untrained": "--untrained",
    "weights": "--weights",
    "arguments": "--model-arg",
}


# What of a reference is a path of this machine, by source; of a file it is all of it.
_PATHS: Mapping[str, Callable[[str], str]] = {
    "zoo": lambda rest: rest.partition("@")[2],
    "hf": lambda rest: rest if rest.startswith(".") else "",
    "fixed": lambda rest: rest,
    PYTHON_FILE.name: lambda rest: rest.rpartition(":")[0],
}


class _Target(NamedTuple):
    source: ModelSource
    rest: str


_NOTHING_MORE = ModelRequest()


def load_classifier(reference: str, request: ModelRequest = _NOTHING_MORE) -> Classifier:
    """A classifier from a reference, with the preprocessing that its source says.

    Args:
        reference: `zoo:cnn2`, `zoo:cnn2@FILE`, `torchvision:NAME[@WEIGHTS]`, `timm:NAME`,
            `hf:ORG/NAME[@REV]`, `hf:./folder`, a file that ends in .safetensors, .onnx, .keras, .pt, .pth
            or .pt2, `file.py:callable`, `pkg.mod:callable`. `model_sources` lists them.
        request: What the reference does not say; it replaces what the source says, with a note.

    Returns:
        A classifier on the CPU, in evaluation mode. `torchvision:`, `timm:` and `hf:` have their published
        weights, unless the request says `untrained`, or names a file with other ones.

    Raises:
        ModelError: It would run code and is not trusted, or it cannot be loaded.
        UnknownNameError: No such source, or no such name in it.
        MissingDependencyError: It needs an optional package.
        CheckpointError: A damaged checkpoint, or one of another network.

    Example:
        >>> classifier = load_classifier("zoo:cnn2")
        >>> classifier.framing.image_shape, classifier.notes
        ((1, 28, 28), ('trained on MNIST for 100 epochs (raw input, 0 to 255)',))
    """
    source, rest = _target(reference)
    _check_trust(source, reference, request)
    _check_request(source, reference, request)
    with explained(f"load {reference}"):
        classifier = source.load(rest, request)
    if request.weights is not None:
        classifier = replace(classifier, notes=(*classifier.notes, f"weights from {request.weights.name}"))
    found = overridden(classifier, replace(request, logits=None) if source.picks_logits else request)
    return replace(found, origin=Origin(partial(load_classifier, reference, request), found.digest))


def load_fixed(
    folder: Path | str | Address, *, trust: bool = False, original: Model | Classifier | None = None
) -> Classifier:
    """A model that `shiftproof fix` wrote, or `Fixed.save`.

    Args:
        folder: With `recipe.json`, and `model.safetensors` where layers were edited; on this machine or at
            an address such as `s3://bucket/run`.
        trust: Whether code of the original may run.
        original: The model that was fixed, where no reference names it.

    Returns:
        A classifier on the CPU, in evaluation mode.

    Raises:
        ModelError: Not such a folder, or its original cannot be loaded.
        CheckpointError: The original is another one, or the weights are damaged.
    """
    given = None if original is None else as_classifier(original)
    return load_fixed_with(load_classifier, place(folder), trust=trust, original=given)


model_sources.register("fixed", fixed_source(load_classifier))


def _target(reference: str) -> _Target:
    scheme, colon, rest = reference.partition(":")
    if colon and scheme in model_sources and not scheme.startswith("."):
        return _Target(model_sources.get(scheme), rest)
    file, colon, _ = reference.rpartition(":")
    if colon and Path(file).suffix.lower() == PYTHON_FILE.name:
        return _Target(PYTHON_FILE, reference)
    suffix = Path(reference).suffix.lower()
    if suffix in model_sources and suffix != PYTHON_FILE.name:
        return _Target(model_sources.get(suffix), reference)
    if _MODULE_AND_NAME.fullmatch(reference) and _is_there(scheme.partition(".")[0]):
        return _Target(PYTHON_MODULE, reference)
    raise _unknown(reference, suffix if not colon else scheme)


def located(reference: str) -> str:
    """The same reference from whatever folder: a path in it in full.

    Example:
        >>> located("zoo:cnn2"), located("hf:org/name"), located("/models/../m.onnx")
        ('zoo:cnn2', 'hf:org/name', '/m.onnx')
    """
    source, rest = _target(reference)
    whole = rest if source.name.startswith(".") else ""
    path = _PATHS[source.name](rest) if source.name in _PATHS else whole
    where = place(path) if path else None
    if not isinstance(where, Path):
        return reference
    before, _, after = reference.rpartition(path)
    return f"{before}{where.expanduser().resolve()}{after}"


def _is_there(package: str) -> bool:
    """Whether Python would find a package; asking for it runs none of it."""
    places = [str(Path.cwd()), *sys.path]
    return package in sys.modules or importlib.machinery.PathFinder.find_spec(package, places) is not None


def _unknown(reference: str, said: str) -> UnknownNameError:
    near = difflib.get_close_matches(said, model_sources.names(), n=2)
    if said == PYTHON_FILE.name:
        near = [PYTHON_FILE.example]
    examples = ", ".join(source.example for source in model_sources if source is not HDF5)
    return UnknownNameError(
        "a model",
        repr(reference),
        cause=f"Did you mean {' or '.join(map(repr, near))}?" if near else "",
        fix=f"Examples: {examples}.",
    )


def _check_trust(source: ModelSource, reference: str, request: ModelRequest) -> None:
    if source.runs_code and not request.trust:
        raise ModelError.cannot(
            f"load {reference}",
            "it is not trusted",
            cause=f"Loading it runs {source.runs_code}.",
            fix="If you know where it comes from, add --trust (`trust=True` in Python).",
        )


def _check_request(source: ModelSource, reference: str, request: ModelRequest) -> None:
    for part, flag in _FLAGS.items():
        if getattr(request, part) and part not in source.takes:
            raise ModelError.cannot(
                f"use {flag} for {reference}", f"it is {source.summary}", fix=f"Leave out {flag}."
            )
    if request.untrained and request.weights is not None:
        raise ModelError("either --untrained or --weights", "both", fix="Leave out one of them.")

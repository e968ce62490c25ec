"""`fixed:DIR`: a model that `shiftproof fix` wrote, made again from the original and the recipe.

What is on a store is brought here to be read; messages name where it is kept.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from shiftproof import _store
from shiftproof._address import Address, place
from shiftproof._digest import Json
from shiftproof._documents import misfit, read_json, unreadable
from shiftproof._files import make_folder, write_atomically
from shiftproof._inputs import Most, UnfitFile
from shiftproof._seal import check_seal, sealed
from shiftproof._text import record_text
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._edited import EditStep, edit_classifier
from shiftproof.adapters._failures import explained
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.edits import edits
from shiftproof.errors import CheckpointError, ModelError

SCHEMA_VERSION = 1
RECIPE, WEIGHTS = "recipe.json", "model.safetensors"


class OriginalError(ModelError):
    """The original of a fixed model cannot be loaded."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Original(_Record):
    """What was fixed: how it is referred to, and which one it was."""

    reference: str | None
    name: str
    digest: str
    request: dict[str, Any]


class _Step(_Record):
    edit: str
    layers: tuple[str, ...] | None
    options: dict[str, Any]


class _Recipe(_Record):
    schema_version: Literal[1]
    kind: Literal["fixed model"]
    original: _Original
    image_shape: tuple[int, int, int]
    steps: tuple[_Step, ...]
    has_weights: bool
    trained: dict[str, Any] | None


def save_fixed(
    folder: Path,
    original: Classifier,
    steps: tuple[EditStep, ...],
    network: nn.Module | None,
    *,
    image_shape: tuple[int, int, int],
    reference: str | None = None,
    request: ModelRequest | None = None,
    trained: Mapping[str, Json] | None = None,
) -> None:
    """Write what `load_fixed` makes the fixed model again from.

    Args:
        folder: Made where it is missing.
        original: What was fixed.
        steps: The edits.
        network: The edited module; its weights are written where an edit changed its layers.
        image_shape: (C, H, W) of the images.
        reference: How to load the original; None for a module of one's own.
        request: What else it was loaded with.
        trained: How it was trained after the edits, if it was.

    Raises:
        OutputError: The folder cannot be written.
    """
    make_folder(folder)
    has_weights = network is not None and any(edits.get(step.edit).kind == "surgery" for step in steps)
    has_weights = has_weights or trained is not None
    given = {k: v for k, v in asdict(request or ModelRequest()).items() if v not in (None, False, {})}
    given.pop("trust", None)  # It is asked for anew, by whoever loads it.
    if given.get("weights") is not None:
        given["weights"] = str(Path(given["weights"]).resolve())
    recipe: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "fixed model",
        "original": {
            "reference": reference,
            "name": original.name,
            "digest": original.digest,
            "request": given,
        },
        "image_shape": list(image_shape),
        "steps": [asdict(step) for step in steps],
        "has_weights": has_weights,
        "trained": None if trained is None else dict(trained),
    }
    if has_weights and network is not None:
        tensors = {name: value.detach().cpu().clone().contiguous() for name, value in _state(network).items()}
        write_atomically(folder / WEIGHTS, sealed(save(tensors), {"recipe": recipe["steps"]}))
    write_atomically(folder / RECIPE, record_text(recipe))


def _state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}


Load = Callable[[str, ModelRequest], Classifier]


def load_fixed_with(
    load: Load, where: Path | Address, *, trust: bool = False, original: Classifier | None = None
) -> Classifier:
    """`load_fixed`, with the function that loads the original."""
    with _brought(where) as folder:
        return _made_again(load, where, folder, trust, original)


@contextmanager
def _brought(where: Path | Address) -> Iterator[Path]:
    """The folder, or one of this machine with what is read of it."""
    if isinstance(where, Path):
        yield where
        return
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            _store.download(where / RECIPE, folder / RECIPE, Most.SETTINGS)
        except OSError as error:
            raise _no_recipe(where, _store.reason_of(error)) from error
        try:
            _store.download(where / WEIGHTS, folder / WEIGHTS, Most.WEIGHTS)
        except FileNotFoundError:
            pass  # Not every edit has any; whether there should be some, the recipe says.
        except OSError as error:
            raise CheckpointError.cannot(f"read {where / WEIGHTS}", _store.reason_of(error)) from error
        yield folder


def _made_again(
    load: Load, where: Path | Address, folder: Path, trust: bool, original: Classifier | None
) -> Classifier:
    recipe = _read(where, folder)
    found = original if original is not None else _load_original(load, where, recipe, trust)
    if recipe.original.digest and found.digest != recipe.original.digest:
        raise CheckpointError(
            f"the original {recipe.original.name} that {where} was made from",
            "one with other weights or layers",
            cause="Its digest is not the one in recipe.json.",
            fix="Restore the original, or fix the new one.",
        )
    steps = tuple(EditStep(step.edit, step.layers, step.options) for step in recipe.steps)
    images = torch.rand(2, *recipe.image_shape, generator=torch.Generator().manual_seed(0))

    def put(network: nn.Module) -> None:
        if recipe.has_weights:
            _put_weights(network, where, folder)

    if recipe.has_weights and not any(edits.get(step.edit).kind == "surgery" for step in steps):
        # Trained without an edit of its layers: the weights go into a copy of the original.
        found = _with_weights(found, where, folder)
    edited = edit_classifier(found, steps, images, finish=put).classifier
    return replace(edited, name=f"fixed:{where.name}")


def _load_original(load: Load, where: Path | Address, recipe: _Recipe, trust: bool) -> Classifier:
    if recipe.original.reference is None:
        raise OriginalError.cannot(
            f"load the original {recipe.original.name} of {where}",
            "nothing says where it is",
            cause="It was a module in Python, which no reference names.",
            fix="Give it: load_fixed(folder, original=model).",
        )
    with explained(f"read in {where / RECIPE} how its original is loaded", cause="It is damaged."):
        request = _request(recipe.original.request, trust)
    try:
        return load(recipe.original.reference, request)
    except OriginalError:  # It is a fixed model itself.
        raise
    except ModelError as error:
        what = f"load the original {recipe.original.reference} of {where}"
        raise OriginalError.cannot(what, error.what, cause=error.cause, fix=error.fix) from error


def _request(given: Mapping[str, Any], trust: bool) -> ModelRequest:
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    if "weights" in fields:
        fields["weights"] = Path(fields["weights"])
    return ModelRequest(**fields, trust=trust)


def _read(where: Path | Address, folder: Path) -> _Recipe:
    try:
        return _Recipe.model_validate(read_json(folder / RECIPE))
    except ValidationError as error:
        raise ModelError.cannot(
            f"read {where / RECIPE} as the recipe of a fixed model", misfit(error)
        ) from error
    except (OSError, ValueError) as error:
        raise _no_recipe(where, unreadable(error)) from error


def _no_recipe(where: Path | Address, happened: object) -> ModelError:
    return ModelError.cannot(
        f"read {RECIPE}, the recipe of a fixed model, in {str(where)!r}",
        happened,
        fix="`shiftproof fix MODEL DATA --out DIR` writes one.",
    )


def _put_weights(network: nn.Module, where: Path | Address, folder: Path) -> None:
    path, known = folder / WEIGHTS, where / WEIGHTS
    with explained(f"read the weights of the fixed model in {known}", cause="It is missing or damaged."):
        try:
            if check_seal(path) is None:
                raise UnfitFile("a file without a seal, which `shiftproof fix` did not write")
        except UnfitFile as error:
            raise CheckpointError.cannot(f"read {known} as it was written", error) from error
        network.load_state_dict(load_file(path), strict=True)


def _with_weights(classifier: Classifier, where: Path | Address, folder: Path) -> Classifier:
    assert isinstance(classifier.model, nn.Module)
    network = copy.deepcopy(classifier.model)
    _put_weights(network, where, folder)
    return replace(classifier, model=network, digest=digest_of_module(network))


def fixed_source(load: Load) -> ModelSource:
    """The source `fixed`, with the function that loads originals."""

    def load_rest(rest: str, request: ModelRequest) -> Classifier:
        where = place(rest)
        if isinstance(where, Path):
            where = where.expanduser()
        return load_fixed_with(load, where, trust=request.trust)

    return ModelSource(
        "fixed",
        load_rest,
        "a model that `shiftproof fix` wrote, made from its original again",
        "fixed:DIR",
    )

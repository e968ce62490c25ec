"""`zoo:NAME`, `zoo:NAME@RUN` and `checkpoint.safetensors`: our own networks."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from shiftproof.adapters._classifier import Classifier, of_zoo
from shiftproof.adapters._failures import explained
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import checkpoint_of_ours, put_weights_if_any
from shiftproof.errors import CheckpointError, ModelError
from shiftproof.zoo import (
    Network,
    build_network,
    load_network,
    load_trained,
    networks,
    trained_names,
    trained_network,
)

# What the packaged networks answer.
DIGITS = tuple("0123456789")
RUNS_HAVE_NETWORKS = "Runs of `shiftproof study` have trained networks."
_N_SHOWN = 12


def _load_named(rest: str, request: ModelRequest) -> Classifier:
    name, _, place = rest.partition("@")
    if place:
        return _from_place(name, Path(place), request)
    if name not in trained_names():
        networks.get(name)
        return _built(name, name, request)
    trained = trained_network(name)
    if request.untrained or request.weights or request.arguments:
        return _built(name, trained.network, request)
    scale = "raw input, 0 to 255" if trained.input_scale != 1 else "input from 0 to 1"
    note = f"trained on MNIST for {trained.epochs} epochs ({scale})"
    return replace(_classifier(f"zoo:{name}", load_trained(name), note), class_names=DIGITS)


def _from_place(name: str, place: Path, request: ModelRequest) -> Classifier:
    """A network of one's own, from a checkpoint or from the directory of a run."""
    if request.untrained or request.weights or request.arguments:
        raise ModelError(
            "weights from one place",
            f"a checkpoint, and {'--untrained' if request.untrained else '--weights or --model-arg'}",
            cause="A checkpoint says how its network is built, and holds its weights.",
            fix="Leave one of them out.",
        )
    file = _trained_in(place, name) if place.is_dir() else place
    if not file.exists():
        raise CheckpointError(
            f"a checkpoint or the directory of a run at {place}",
            "nothing of that name",
            fix=_there_are(place.parent if place.parent.is_dir() else Path(), RUNS_HAVE_NETWORKS),
        )
    network = load_network(file)
    if name not in (network.name, _row(file)):
        raise CheckpointError(
            f"a checkpoint of {name!r} in {file.name}",
            f"one of {network.name!r}",
            fix=f"Use zoo:{network.name}@{place}.",
        )
    return _classifier(f"zoo:{name}@{file.name}", network)


def _trained_in(run: Path, name: str) -> Path:
    """The network of a run that was trained for a row, with the lowest seed.

    Args:
        run: Directory of a study's run, or its folder `networks`.
        name: Name of the row.

    Raises:
        CheckpointError: It has no such network; says which there are.
    """
    folder = run / "networks" if (run / "networks").is_dir() else run
    found = [path for path in folder.glob("*.safetensors") if _row(path) == name]
    if not found:
        raise CheckpointError(
            f"a network {name!r} in {run}",
            "a folder without it",
            fix=_there_are(folder, RUNS_HAVE_NETWORKS),
        )
    return min(found, key=lambda path: (len(path.stem), path.stem))


def _row(file: Path) -> str:
    """The row that a network in a run was trained for: `cnn2` for `cnn2-seed0.safetensors`."""
    return re.sub(r"-seed\d+$", "", file.stem)


def _there_are(folder: Path, otherwise: str) -> str:
    names = sorted(path.name for path in folder.glob("*.safetensors"))
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return f"There are: {', '.join(names[:_N_SHOWN])}{more}." if names else otherwise


def _load_file(file: str, request: ModelRequest) -> Classifier:
    path = Path(file)
    if not checkpoint_of_ours(path):
        raise ModelError(
            "a checkpoint of shiftproof",
            f"weights of some network in {path.name}",
            cause="Weights alone do not say what they are multiplied with.",
            fix=f"Name the architecture, for example: timm:resnet18 --weights {path.name}.",
        )
    return _classifier(path.name, load_network(path))


def _built(name: str, architecture: str, request: ModelRequest) -> Classifier:
    with explained(f"build {architecture!r} with these arguments", fix="See `shiftproof.build_network`."):
        network = build_network(architecture, **request.arguments).eval()
    return _classifier(f"zoo:{name}", network, *put_weights_if_any(network, request.weights))


def _classifier(name: str, network: Network, *notes: str) -> Classifier:
    return replace(of_zoo(network), name=name, notes=notes)


ZOO = ModelSource(
    "zoo",
    _load_named,
    "a network of shiftproof: trained where it comes so (`shiftproof zoo ls`), or one's own from a run",
    "zoo:cnn2@RUN",
    takes=frozenset({"untrained", "weights", "arguments"}),
)
CHECKPOINT = ModelSource(".safetensors", _load_file, "a checkpoint of shiftproof", "checkpoint.safetensors")

"""`zoo:NAME[@CHECKPOINT]` and `checkpoint.safetensors`: our own networks."""

from __future__ import annotations

from pathlib import Path

from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._failures import explained
from shiftproof.adapters._preprocess import Framing
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import checkpoint_of_ours, put_weights_if_any
from shiftproof.errors import CheckpointError, ModelError
from shiftproof.zoo import Network, build_network, load_network, networks


def _load_named(rest: str, request: ModelRequest) -> Classifier:
    name, _, file = rest.partition("@")
    networks.get(name)
    if not file:
        return _built(name, request)
    if request.untrained or request.weights or request.arguments:
        raise ModelError(
            "weights from one place",
            f"a checkpoint, and {'--untrained' if request.untrained else '--weights or --model-arg'}",
            cause="A checkpoint says how its network is built, and holds its weights.",
            fix="Leave one of them out.",
        )
    network = load_network(Path(file))
    if network.name != name:
        raise CheckpointError(
            f"a checkpoint of {name!r} in {Path(file).name}",
            f"one of {network.name!r}",
            fix=f"Use zoo:{network.name}@{file}.",
        )
    return _classifier(f"zoo:{name}@{Path(file).name}", network)


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


def _built(name: str, request: ModelRequest) -> Classifier:
    with explained(f"arguments that build {name!r}", fix="See `shiftproof.build_network`."):
        network = build_network(name, **request.arguments).eval()
    return _classifier(f"zoo:{name}", network, *put_weights_if_any(network, request.weights))


def _classifier(name: str, network: Network, *notes: str) -> Classifier:
    return Classifier(
        name,
        network,
        framing=Framing(network.image_shape),
        digest=digest_of_module(network),
        notes=notes,
    )


ZOO = ModelSource(
    "zoo",
    _load_named,
    "a network of shiftproof, untrained or from a checkpoint",
    "zoo:cnn2@checkpoint.safetensors",
    takes=frozenset({"untrained", "weights", "arguments"}),
)
CHECKPOINT = ModelSource(".safetensors", _load_file, "a checkpoint of shiftproof", "checkpoint.safetensors")

"""Networks that come trained with the package: one file each, with the record of its training.

The files are written by `benchmarks/package_networks.py` from the runs of two studies.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from shiftproof._registry import unknown_name
from shiftproof.zoo._checkpoint import Checkpoint, load_network, read_checkpoint
from shiftproof.zoo._spec import Network

FOLDER = Path(__file__).parent / "trained"


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """How a packaged network came to be, and how well it does.

    Args:
        name: What it is called: `zoo:NAME`.
        network: Its architecture, a name in `networks`.
        command: What trains it again.
        data: Digest of the training images.
        seed: Of initial weights, order, dropout and augmentation.
        epochs: Passes over the training images.
        input_scale: 1, or 255 for raw bytes.
        curve: For each epoch its number, the mean loss and the share of right answers while training.
        seconds: What the training took; None where it was interrupted.
        finished: Date on which it ended, as YYYY-MM-DD.
        environment: Versions and machine.
        accuracy: Share of the test images answered rightly, by protocol.
        weights_digest: SHA-256 of the weights.
        licence: Of the weights.
    """

    name: str
    network: str
    command: str
    data: str
    seed: int
    epochs: int
    input_scale: float
    curve: tuple[tuple[int, float, float], ...]
    seconds: float | None
    finished: str
    environment: dict[str, str]
    accuracy: dict[str, float]
    weights_digest: str
    licence: str


def trained_names() -> tuple[str, ...]:
    """Names of the networks that come trained, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))


def load_trained(name: str) -> Network:
    """A network that comes trained with the package, in evaluation mode, on the CPU.

    Args:
        name: One of `trained_names()`.

    Returns:
        A network for MNIST: grey images (N, 1, 28, 28) in [0, 1] to ten logits.

    Raises:
        UnknownNameError: No such network.
        CheckpointError: Its file is damaged.

    Example:
        >>> from shiftproof.data import load_data
        >>> test = load_data("mnist", "test")
        >>> answers = load_trained("cnn1")(test.images[:100].float() / 255).argmax(1)
        >>> bool((answers == test.labels[:100]).float().mean() > 0.95)
        True
    """
    return load_network(_path(name))


@cache
def trained_network(name: str) -> TrainedNetwork:
    """How a packaged network came to be.

    Raises:
        UnknownNameError: No such network.
        CheckpointError: Its file is damaged.

    Example:
        >>> trained_network("cnn1").epochs
        100
    """
    return _described(name, read_checkpoint(_path(name)))


def _path(name: str) -> Path:
    if name not in trained_names():
        raise unknown_name("trained network", name, trained_names())
    return FOLDER / f"{name}.safetensors"


def _described(name: str, checkpoint: Checkpoint) -> TrainedNetwork:
    header = checkpoint.header
    return TrainedNetwork(
        name=name,
        network=header["network"]["name"],
        input_scale=header["network"]["input_scale"],
        data=header["about"]["data"],
        seed=header["about"]["seed"],
        epochs=len(header["history"]),
        curve=tuple((record["epoch"], record["loss"], record["accuracy"]) for record in header["history"]),
        weights_digest=header["weights_digest"],
        **header["packaged"],
    )

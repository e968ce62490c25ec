"""The full state of a training in one safetensors file: weights, optimizer, history."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shiftproof._digest import Json, canonical_json
from shiftproof._files import write_atomically
from shiftproof.errors import CheckpointError
from shiftproof.zoo import Network, build_network

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch measured while training.

    Args:
        epoch: 1 for the first.
        loss: Mean cross-entropy over the epoch's steps, dropout and augmentation included.
        accuracy: Share of right answers, likewise.
        held_out_loss: Mean cross-entropy on held-out images after the epoch, if any are held out.
        held_out_accuracy: Likewise.
    """

    epoch: int
    loss: float
    accuracy: float
    held_out_loss: float | None = None
    held_out_accuracy: float | None = None


@dataclass
class TrainingState:
    """Everything that the next epoch depends on. Randomness is derived from seed and epoch.

    Args:
        network: The weights now.
        optimizer: Adam, with its moments.
        history: One record per finished epoch.
        best: Weights of the lowest held-out loss so far; empty without early stopping.
    """

    network: Network
    optimizer: torch.optim.Adam
    history: list[EpochRecord] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def save(self, path: Path, about: dict[str, Json]) -> None:
        """Write the state; `about` (recipe, seed, data digest) must be the same to load it again."""
        names = [name for name, _ in self.network.named_parameters()]
        moments = self.optimizer.state_dict()["state"]
        tensors = {f"network/{name}": t for name, t in self.network.state_dict().items()}
        tensors |= {
            f"optimizer/{name}/{key}": value
            for index, name in enumerate(names)
            for key, value in moments.get(index, {}).items()
        }
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        header = {
            "schema_version": SCHEMA_VERSION,
            "network": {
                "name": self.network.name,
                "input_scale": self.network.input_scale,
                "image_shape": list(self.network.image_shape),
                "n_classes": self.network.n_classes,
            },
            "about": about,
            "history": [asdict(record) for record in self.history],
        }
        contiguous = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        write_atomically(path, save(contiguous, {"shiftproof": canonical_json(header)}))

    def load(self, path: Path, about: dict[str, Json]) -> None:
        """Take over a saved state in place.

        Raises:
            CheckpointError: Damaged, or of another network, recipe, seed or data set.
        """
        header, tensors = _read(path)
        if header["about"] != about:
            raise CheckpointError(
                f"a checkpoint of this training in {path.name}",
                "one with another recipe, seed or data set",
                fix="Use another file.",
            )
        _load_weights(self.network, tensors, path)
        names = [name for name, _ in self.network.named_parameters()]
        state = self.optimizer.state_dict()
        state["state"] = {
            index: {
                key.rpartition("/")[2]: value
                for key, value in tensors.items()
                if key.startswith(f"optimizer/{name}/")
            }
            for index, name in enumerate(names)
        }
        self.optimizer.load_state_dict(state)
        self.history = [EpochRecord(**record) for record in header["history"]]
        self.best = _under("best/", tensors)


def load_network(path: Path) -> Network:
    """The trained network in a checkpoint, in evaluation mode, on the CPU.

    Where training kept the best weights of a held-out set, it is those.

    Raises:
        CheckpointError: Damaged, or not a checkpoint.
    """
    header, tensors = _read(path)
    about = header["network"]
    network = build_network(
        about["name"],
        input_scale=about["input_scale"],
        image_shape=tuple(about["image_shape"]),
        n_classes=about["n_classes"],
    )
    best = _under("best/", tensors)
    _load_weights(network, {f"network/{k}": v for k, v in best.items()} or tensors, path)
    return network.eval()


def load_history(path: Path) -> list[EpochRecord]:
    """What each epoch measured, from a checkpoint."""
    return [EpochRecord(**record) for record in _read(path)[0]["history"]]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("shiftproof", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} to be a checkpoint", error, cause="The file is missing or damaged."
        ) from error
    if header.get("schema_version") != SCHEMA_VERSION:
        raise CheckpointError(
            f"a checkpoint of schema version {SCHEMA_VERSION} in {path.name}",
            header.get("schema_version"),
        )
    return header, tensors


def _load_weights(network: Network, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict(_under("network/", tensors))
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights of {network.name!r} in {path.name}", "others", cause=str(error)
        ) from error


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

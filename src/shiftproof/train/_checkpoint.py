"""The full state of a training in one safetensors file: weights, optimizer, history."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from shiftproof._digest import Json
from shiftproof.errors import CheckpointError
from shiftproof.train._layout import laid_out_like
from shiftproof.zoo import Network, read_checkpoint, write_checkpoint


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one epoch measured while training.

    Args:
        epoch: 1 for the first.
        loss: Mean over the epoch's steps of what the network minimises, which is the cross-entropy if it
            has no objective of its own; dropout and augmentation included.
        accuracy: Share of right answers, likewise.
        held_out_loss: Its mean on held-out images after the epoch, if any are held out.
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
        header: dict[str, Json] = {
            "network": {
                "name": self.network.name,
                "input_scale": self.network.input_scale,
                "image_shape": list(self.network.image_shape),
                "n_classes": self.network.n_classes,
            },
            "about": about,
            "history": [asdict(record) for record in self.history],
        }
        write_checkpoint(path, header, tensors)

    def load(self, path: Path, about: dict[str, Json]) -> None:
        """Take over a saved state in place.

        Raises:
            CheckpointError: Damaged, or of another network, recipe, seed or data set.
        """
        checkpoint = read_checkpoint(path)
        if checkpoint.header["about"] != about:
            raise CheckpointError(
                f"a checkpoint of this training in {path.name}",
                "one with another recipe, seed or data set",
                fix="Use another file.",
            )
        checkpoint.put_into(self.network, checkpoint.under("network/"))
        state = self.optimizer.state_dict()
        state["state"] = {
            index: {
                key: laid_out_like(parameter, value) if value.shape == parameter.shape else value
                for key, value in checkpoint.under(f"optimizer/{name}/").items()
            }
            for index, (name, parameter) in enumerate(self.network.named_parameters())
        }
        self.optimizer.load_state_dict(state)
        self.history = [EpochRecord(**record) for record in checkpoint.header["history"]]
        self.best = checkpoint.under("best/")


def load_history(path: Path) -> list[EpochRecord]:
    """What each epoch measured, from a checkpoint."""
    return [EpochRecord(**record) for record in read_checkpoint(path).header["history"]]

"""Reading a checkpoint: a safetensors file whose header says which network its weights belong to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from shiftproof.errors import CheckpointError
from shiftproof.zoo._spec import Network, build_network

CHECKPOINT_SCHEMA_VERSION = 2
"""Version of the header that `shiftproof.train` writes and this file reads."""

_WRONG_TRAINING = (
    "Version 1 comes from a training with a fault: convolutions after the first could learn from "
    "gradients in the wrong order."
)
_NO_NETWORK = "Its header does not describe a network of shiftproof."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint holds.

    Args:
        path: The file, for error messages.
        header: Network, recipe, seed and history, as JSON.
        tensors: All tensors by name: `network/…`, `best/…`, `optimizer/…`.
    """

    path: Path
    header: dict[str, Any]
    tensors: dict[str, Tensor]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin so, without that beginning."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def put_into(self, network: Network, prefix: str = "network/") -> None:
        """Copy the weights under a prefix into a network.

        Raises:
            CheckpointError: They are the weights of another network.
        """
        try:
            network.load_state_dict(self.under(prefix))
        except RuntimeError as error:
            raise CheckpointError(
                f"the weights of {network.name!r} in {self.path.name}", "others", cause=str(error)
            ) from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Everything in a checkpoint.

    Raises:
        CheckpointError: Missing, damaged, or not a checkpoint of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("shiftproof", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} to be a checkpoint", error, cause="The file is missing or damaged."
        ) from error
    version = header.get("schema_version") if isinstance(header, dict) and "network" in header else None
    if version != CHECKPOINT_SCHEMA_VERSION:
        raise CheckpointError(
            f"a checkpoint of schema version {CHECKPOINT_SCHEMA_VERSION} in {path.name}",
            version,
            cause=_WRONG_TRAINING if version == 1 else _NO_NETWORK if version is None else "",
            fix="Train the network again." if version == 1 else "",
        )
    return Checkpoint(path, header, tensors)


def load_network(path: Path) -> Network:
    """The trained network in a checkpoint, in evaluation mode, on the CPU.

    Where training kept the best weights of a held-out set, it is those.

    Raises:
        CheckpointError: Damaged, or not a checkpoint.
    """
    checkpoint = read_checkpoint(path)
    about = checkpoint.header["network"]
    try:
        network = build_network(
            about["name"],
            input_scale=about["input_scale"],
            image_shape=tuple(about["image_shape"]),
            n_classes=about["n_classes"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path.name} to describe a network", error, cause="Its header is damaged."
        ) from error
    checkpoint.put_into(network, "best/" if checkpoint.under("best/") else "network/")
    return network.eval()

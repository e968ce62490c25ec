"""Checkpoints: safetensors files whose header says which network their weights belong to.

A training keeps its whole state in one (`shiftproof.train`). A network for use has its weights alone, and a
digest of them in the header, which is checked whenever they are read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shiftproof._digest import Json, canonical_json, digest_of_bytes
from shiftproof._files import write_atomically
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

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the best ones where training kept them, else the last."""
        return self.under("best/") or self.under("network/")

    def put_into(self, network: Network, weights: Mapping[str, Tensor]) -> None:
        """Copy weights of this checkpoint into a network.

        Raises:
            CheckpointError: They are the weights of another network.
        """
        try:
            network.load_state_dict(weights)
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
    if "weights_digest" in header and header["weights_digest"] != digest_of_tensors(tensors):
        raise CheckpointError(
            f"the weights that {path.name} was written with",
            "others",
            cause="The file was changed or damaged.",
            fix="Take a fresh copy of it.",
        )
    return Checkpoint(path, header, tensors)


def write_checkpoint(path: Path, header: Mapping[str, Json], tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint: the file is whole, or it is not there.

    Args:
        path: The file.
        header: Without the schema version, which is added.
        tensors: By name, as in `Checkpoint`.

    Raises:
        OutputError: The folder is missing, read-only or full.
    """
    stored = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = canonical_json({"schema_version": CHECKPOINT_SCHEMA_VERSION, **header})
    write_atomically(path, save(stored, {"shiftproof": text}))


def write_weights(
    checkpoint: Checkpoint, path: Path, *, half: bool = False, more: Mapping[str, Json] | None = None
) -> None:
    """Write the network of a training for use: its weights alone, with what is known of the training.

    Args:
        checkpoint: The state of a training.
        path: The file to write.
        half: Whether to store the weights as float16; they are float32 again once they are loaded.
        more: Further entries for the header.

    Raises:
        OutputError: The folder is missing, read-only or full.
    """
    weights = {f"network/{name}": tensor for name, tensor in checkpoint.weights.items()}
    if half:
        weights = {name: t.half() if t.dtype is torch.float32 else t for name, t in weights.items()}
    header = {key: checkpoint.header[key] for key in ("network", "about", "history")}
    header |= {"weights_digest": digest_of_tensors(weights), **(more or {})}
    write_checkpoint(path, header, weights)


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and contents, in the order of the names.

    Example:
        >>> a, b = torch.zeros(2), torch.ones(3)
        >>> digest_of_tensors({"a": a, "b": b}) == digest_of_tensors({"b": b, "a": a})
        True
    """
    parts: list[bytes] = []
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu()
        numbers = tensor.reshape(-1).contiguous().view(torch.uint8).numpy()
        parts += [f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode(), numbers.tobytes()]
    return digest_of_bytes(parts)


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
    checkpoint.put_into(network, checkpoint.weights)
    return network.eval()

"""Checkpoints: safetensors files whose header says which network their weights belong to.

A training keeps its whole state in one (`shiftproof.train`). A network for use has its weights alone, and a
digest of them in the header, which is checked whenever they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from shiftproof._digest import Json, canonical_json, digest_of_bytes
from shiftproof._documents import misfit, parse_json, unreadable
from shiftproof._files import write_atomically
from shiftproof._seal import check_seal, sealed
from shiftproof.errors import CheckpointError
from shiftproof.zoo._spec import Network, build_network

CHECKPOINT_SCHEMA_VERSION = 2
"""Version of the header that `shiftproof.train` writes and this file reads."""

_WRONG_TRAINING = (
    "Version 1 comes from a training with a fault: convolutions after the first could learn from "
    "gradients in the wrong order."
)
_NO_NETWORK = "Its header does not describe a network of shiftproof."


Side = Annotated[int, Field(ge=1, le=65_536)]


class _NetworkHeader(BaseModel):
    """How a network is built."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: Annotated[str, Field(max_length=100)]
    input_scale: Annotated[float, Field(gt=0, le=1e6)]
    image_shape: tuple[Side, Side, Side]
    n_classes: Annotated[int, Field(ge=1, le=1_000_000)]


class _EpochHeader(BaseModel):
    """What an epoch of its training measured."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    epoch: Annotated[int, Field(ge=1)]
    loss: float
    accuracy: float
    held_out_loss: float | None = None
    held_out_accuracy: float | None = None


class _Header(BaseModel):
    """The header of a checkpoint; the last two entries are of a network for use."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int
    network: _NetworkHeader
    about: dict[str, Any]
    history: list[_EpochHeader]
    weights_digest: str = ""
    packaged: dict[str, Any] = {}


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

    def check_fits(self, network: Network) -> None:
        """Fail where the weights to use have other names or shapes than those of a network.

        Raises:
            CheckpointError: As `put_into`; but the network may be one without numbers, on the device meta.
        """
        wanted, there = (
            {name: tuple(value.shape) for name, value in state.items()}
            for state in (network.state_dict(), self.weights)
        )
        if wanted != there:
            odd = [name for name in {**wanted, **there} if wanted.get(name) != there.get(name)]
            raise CheckpointError(
                f"the weights of {network.name!r} in {self.path.name}",
                "others",
                cause=f"{len(odd)} differ, such as {odd[0]}: {there.get(odd[0])} for {wanted.get(odd[0])}.",
            )

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
        check_seal(path)
        with safe_open(path, framework="pt") as file:
            header = parse_json((file.metadata() or {}).get("shiftproof", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError.cannot(
            f"read {path.name} as a checkpoint",
            unreadable(error),
            cause="The file is missing or damaged.",
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
    try:
        return Checkpoint(path, _Header.model_validate(header).model_dump(exclude_unset=True), tensors)
    except ValidationError as error:
        raise CheckpointError.cannot(
            f"read in {path.name} how its network is built", misfit(error), cause="Its header is damaged."
        ) from error


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
    write_atomically(path, sealed(save(stored, {"shiftproof": text}), {}))


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
    build = partial(build_network, **checkpoint.header["network"])
    try:
        # First without memory: the sizes in a header are not believed before the weights are of that size.
        with torch.device("meta"):
            sketch = build()
        checkpoint.check_fits(sketch)
        network = build()
    except CheckpointError:
        raise
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError.cannot(
            f"build the network of {path.name}", error, cause="Its header is damaged."
        ) from error
    checkpoint.put_into(network, checkpoint.weights)
    return network.eval()

"""Weights from a file into a module that was built without them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from shiftproof._inputs import Most, check_archive, check_file
from shiftproof.adapters._failures import explained
from shiftproof.adapters._pickle_check import check_pickle
from shiftproof.errors import ModelError

_PICKLED = (".pt", ".pth", ".bin", ".ckpt")
_NESTED_UNDER = ("state_dict", "model_state_dict", "model")
_PARALLEL = "module."
_N_SHOWN = 3


def put_weights(module: nn.Module, path: Path) -> None:
    """Fill a module with the weights in a file: all of them, and no others.

    Args:
        module: Changed in place.
        path: `.safetensors`, or a state dict by `torch.save` (`.pt`, `.pth`, `.bin`, `.ckpt`). The latter is
            read with `weights_only=True`: it may hold tensors and plain containers, and runs no code. One
            that lies under "state_dict", "model_state_dict" or "model" is found, and the "module." that
            data-parallel training puts before each name is taken off.

    Raises:
        ModelError: Missing, damaged, or weights of another module.
    """
    state = read_state_dict(path)
    wanted = module.state_dict()
    # Tensors that share memory are saved once: a name is missing only if no name of its memory is there.
    memory = {value.data_ptr() for name, value in wanted.items() if name in state and _is_stored(value)}
    missing = [
        name
        for name, value in wanted.items()
        if name not in state and not (_is_stored(value) and value.data_ptr() in memory)
    ]
    unexpected = [name for name in state if name not in wanted]
    if missing or unexpected:
        raise ModelError(
            f"the weights of this {type(module).__name__} in {path.name}",
            "others",
            cause=" ".join(filter(None, [_listed("Missing", missing), _listed("Unexpected", unexpected)])),
            fix="Name the architecture that they were saved from.",
        )
    sizes = [
        f"{name} {tuple(value.shape)} for {tuple(wanted[name].shape)}"
        for name, value in state.items()
        if value.shape != wanted[name].shape
    ]
    if sizes:
        raise ModelError(
            f"weights of the same shapes in {path.name}",
            "others",
            cause=_listed("Different", sizes),
            fix="Check the number of classes and of channels.",
        )
    module.load_state_dict(state, strict=False)


def put_weights_if_any(module: nn.Module, path: Path | None) -> list[str]:
    """Fill a module that was built without weights, where there is a file with some.

    Returns:
        What a reader must know of the weights: nothing, or that there are none.
    """
    if path is None:
        return ["untrained: its weights are as they were initialised"]
    put_weights(module, path)
    return []


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Tensors by name, from a file that runs no code.

    Raises:
        ModelError: Missing, damaged, of another format, or with something else in it.
    """
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        return _from_safetensors(path)
    if suffix in _PICKLED:
        return _from_pickle(path)
    raise ModelError(
        f"weights in a file that ends in .safetensors, {', '.join(_PICKLED)}",
        repr(path.name),
        fix="Save them with safetensors.torch.save_model.",
    )


def is_state_dict(value: object) -> bool:
    """Whether a value maps names to tensors."""
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(name, str) and isinstance(item, Tensor) for name, item in value.items())
    )


def checkpoint_of_ours(path: Path) -> bool:
    """Whether a safetensors file says that shiftproof wrote it.

    Raises:
        ModelError: Missing, or no safetensors file.
    """
    with explained(f"read {path.name} as a safetensors file", cause="The file is missing or damaged."):
        check_file(path, Most.WEIGHTS)
        with safe_open(path, framework="pt") as file:
            return "shiftproof" in (file.metadata() or {})


def _from_safetensors(path: Path) -> dict[str, Tensor]:
    if checkpoint_of_ours(path):
        raise ModelError(
            "weights alone",
            f"{path.name}, a checkpoint of shiftproof",
            fix=f"Name it as the model: {path.name}, or zoo:NAME@{path.name}.",
        )
    with explained(f"read {path.name} as a safetensors file", cause="The file is damaged."):
        return load_file(path)


def _from_pickle(path: Path) -> dict[str, Tensor]:
    with explained(
        f"read {path.name} as a state dict",
        cause="The file is missing, damaged, or holds more than tensors.",
        fix="Save `model.state_dict()`, best with safetensors.",
    ):
        check_archive(path, Most.WEIGHTS, stored=True)
        check_pickle(path)
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in _NESTED_UNDER:
        if isinstance(loaded, Mapping) and is_state_dict(loaded.get(key)):
            loaded = loaded[key]
    if not is_state_dict(loaded):
        raise ModelError(
            f"{path.name} to be a state dict",
            f"a {type(loaded).__name__} without tensors by name",
            fix="Save `model.state_dict()`, best with safetensors.",
        )
    parallel = all(name.startswith(_PARALLEL) for name in loaded)
    return {name.removeprefix(_PARALLEL) if parallel else name: value for name, value in loaded.items()}


def _is_stored(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() > 0


def _listed(kind: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return f"{kind}: {', '.join(names[:_N_SHOWN])}{more}." if names else ""

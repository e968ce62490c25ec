"""`model.pt`, `model.pth`: a module that `torch.save` pickled whole."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from shiftproof._inputs import Most, check_archive
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._code import importable_from
from shiftproof.adapters._failures import explained
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import put_weights
from shiftproof.errors import ModelError

_RUNS = "whatever its pickle says, which can be anything"


def _load(file: str, request: ModelRequest) -> Classifier:
    path = Path(file)
    with (
        explained(
            f"load {path.name} as a pickled module",
            cause="It is missing or damaged, or its class cannot be imported here.",
            fix="Use file.py:callable with --weights, which needs no class from a pickle.",
        ),
        importable_from(Path.cwd()),  # where the class of a module often is
        warnings.catch_warnings(),
    ):
        # TorchScript files are deprecated and still around: torch says so twice for each.
        warnings.filterwarnings("ignore", message=".*torch.jit.load.*")
        check_archive(path, Most.WEIGHTS)
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    if not isinstance(loaded, nn.Module):
        weights = isinstance(loaded, Mapping)
        raise ModelError(
            f"{path.name} to hold a module",
            f"a {type(loaded).__name__}",
            cause="It seems to hold weights alone, which do not say what computes with them."
            if weights
            else "",
            fix=f"Name the architecture, for example: timm:resnet18 --weights {path.name}.",
        )
    if request.weights:
        put_weights(loaded, request.weights)
    return Classifier(path.name, loaded.eval(), digest=digest_of_module(loaded))


PT, PTH = (
    ModelSource(
        suffix,
        _load,
        "a module that torch.save pickled whole",
        f"model{suffix}",
        takes=frozenset({"weights"}),
        runs_code=_RUNS,
    )
    for suffix in (".pt", ".pth")
)

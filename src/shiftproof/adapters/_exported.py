"""`model.pt2`: a program that `torch.export` saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof._digest import digest_of_bytes
from shiftproof._inputs import Most, check_archive, file_parts
from shiftproof.adapters._batches import in_batches_of
from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._failures import explained
from shiftproof.adapters._layout import read_layout
from shiftproof.adapters._preprocess import Framing, Preprocess
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.errors import ModelError


class _FixedBatch(nn.Module):
    """A module that takes a fixed number of images, asked about any number."""

    def __init__(self, model: nn.Module, batch: int) -> None:
        super().__init__()
        self.model = model
        self.batch = batch

    def forward(self, images: Tensor) -> Tensor:
        return in_batches_of(self.batch, self.model, images)


def _load(file: str, request: ModelRequest) -> Classifier:
    path = Path(file)
    with explained(
        f"load {path.name} with torch {torch.__version__}",
        cause="It is missing, damaged, or of another version of torch.",
    ):
        check_archive(path, Most.WEIGHTS)
        digest = digest_of_bytes(file_parts(path, Most.WEIGHTS))
        program = torch.export.load(path)
        module = program.module()
    layout = read_layout(path.name, _input_sizes(program, path.name), request, usual=False)
    return Classifier(
        path.name,
        module if layout.batch is None else _FixedBatch(module, layout.batch),
        Preprocess(channels_last=layout.channels_last),
        Framing(layout.image_shape),
        digest=digest,
    )


def _input_sizes(program: Any, name: str) -> list[int | None]:
    names = program.graph_signature.user_inputs
    if len(names) != 1:
        raise ModelError(
            f"{name} to have one input, the images", f"{len(names)}: {', '.join(map(str, names))}"
        )
    (value,) = (node.meta["val"] for node in program.graph.nodes if node.name == names[0])
    if not isinstance(value, Tensor):
        raise ModelError(f"{name} to take images", f"a {type(value).__name__}")
    return [size if isinstance(size, int) else None for size in value.shape]


EXPORTED = ModelSource(
    ".pt2", _load, "a program by torch.export", "model.pt2", runs_code="what its pickled parts say"
)

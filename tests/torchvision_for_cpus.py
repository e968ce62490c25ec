"""torchvision beside a torch without CUDA, for tests and benchmarks only."""

from __future__ import annotations

import importlib.metadata

import torch


def torchvision_beside_torch_for_cpus() -> torch.library.Library | None:
    """Let the torchvision of PyPI be imported beside a torch without CUDA, for which it is not built.

    It fails to import because two of its operators, which no classifier uses, are missing. Declaring them is
    enough. This is for tests only: a user is told to install the builds that belong together.
    """
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return None
    if "+cpu" not in torch.__version__ or "+cpu" in version:
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(  # type: ignore[no-untyped-call]
            f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    return library

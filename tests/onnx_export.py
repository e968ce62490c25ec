"""Exporting to ONNX in tests, without the warnings that the exporter makes about itself."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn


def export_onnx(network: nn.Module, images: Tensor, path: Path) -> Path:
    """Write a network for any number of images like these, in one file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (images,),
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=({0: torch.export.Dim("n")},),
        )
    return path

"""The fixed model as one ONNX file, which needs neither this package nor torch."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
import warnings
from pathlib import Path

import torch
from torch import nn

from shiftproof._files import write_atomically
from shiftproof._optional import require
from shiftproof.adapters import Classifier, explained
from shiftproof.errors import ModelError, ShiftproofError
from shiftproof.zoo import ImageShape


def export_onnx(classifier: Classifier, image_shape: ImageShape, path: Path) -> None:
    """Write preprocessing and model for any number of images (N, C, H, W) in [0, 1].

    Args:
        classifier: Its model is a module.
        image_shape: (C, H, W).
        path: The file.

    Raises:
        ModelError: It has operations that ONNX, or its exporter, does not have.
        MissingDependencyError: onnx or onnxscript are not installed.
        OutputError: The folder cannot be written.
    """
    module = classifier.pipeline
    if module is None:
        raise ModelError("a module to export", "a function, or an answer of several parts")
    for package in ("onnx", "onnxscript"):
        require(package, extra="export", purpose="model.onnx")
    images = torch.rand(2, *image_shape, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        with explained(f"export {classifier.name}", cause="ONNX does not have all of its operations."):
            _export(copy.deepcopy(module).cpu(), images, file)  # the model stays where it is
        _check_any_number(file, classifier.name)
        write_atomically(path, file.read_bytes())


def _check_any_number(file: Path, name: str) -> None:
    """Refuses a graph for as many images as the exporter was shown, to which it falls back without a word."""
    import onnx

    (images,) = onnx.load(file, load_external_data=False).graph.input
    first = images.type.tensor_type.shape.dim[0]
    if first.HasField("dim_value"):
        raise ModelError(
            f"an exported {name} that takes any number of images",
            f"one that takes {first.dim_value}",
            cause="Something in its forward depends on their number.",
        )


def _export(module: nn.Module, images: torch.Tensor, file: Path) -> None:
    """The exporter talks about itself, in warnings and on stdout."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (images,),
            file,
            dynamo=True,
            verbose=False,
            external_data=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
        )


def exported(classifier: Classifier, image_shape: ImageShape, path: Path) -> str | None:
    """Why there is no ONNX file; None where it was written."""
    try:
        export_onnx(classifier, image_shape, path)
    except ShiftproofError as error:
        path.unlink(missing_ok=True)
        return str(error)
    return None

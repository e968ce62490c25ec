"""`model.onnx` through onnxruntime."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shiftproof._digest import digest_of_bytes
from shiftproof._inputs import Most, file_parts, read_file
from shiftproof._optional import require
from shiftproof.adapters._batches import in_batches_of
from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._failures import explained, in_one_line
from shiftproof.adapters._layout import read_layout
from shiftproof.adapters._onnx_ending import onnx_ending
from shiftproof.adapters._onnx_files import external_files
from shiftproof.adapters._preprocess import Framing, Preprocess
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.errors import ModelError

_TYPES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(uint8)": torch.uint8,
}
_TOO_NEW = re.compile(r"Opset \d+ is under development|Unsupported model IR version: \d+[^.\n]*")
_ERRORS_ONLY_AS_EXCEPTIONS = 4  # onnxruntime's log level "fatal"


@dataclass(frozen=True, slots=True)
class _OnnxModel:
    """A session as a function of images; several threads may call it.

    Args:
        session: An `onnxruntime.InferenceSession`.
        input: Name of its input.
        output: Name of the output that holds the logits.
        dtype: What the input takes; bytes are rounded to the nearest.
        batch: How many images it takes at once; None: any number.
    """

    session: Any
    input: str
    output: str
    dtype: torch.dtype
    batch: int | None

    def __call__(self, images: Tensor) -> Tensor:
        if self.dtype == torch.uint8:
            images = images.round().clamp(0, 255)
        images = images.to("cpu", self.dtype)
        return self._ask(images) if self.batch is None else in_batches_of(self.batch, self._ask, images)

    def _ask(self, images: Tensor) -> Tensor:
        try:
            (answer,) = self.session.run([self.output], {self.input: images.contiguous().numpy()})
        except Exception as error:  # onnxruntime has a class of its own for each kind of failure
            if "allocate memory" in str(error):
                raise MemoryError(in_one_line(error)) from error
            raise ModelError.cannot(
                f"run the ONNX model on images of shape {tuple(images.shape)}", in_one_line(error)
            ) from error
        return torch.as_tensor(answer)


def _load(file: str, request: ModelRequest) -> Classifier:
    path = Path(file)
    runtime: Any = require("onnxruntime", extra="onnx", purpose=path.name)
    with explained(f"read {path.name}"):
        content = read_file(path, Most.MODEL)
    beside = external_files(content, path.parent)
    session = _session(runtime, path)
    images = _only_input(session, path.name)
    layout = read_layout(path.name, [n if isinstance(n, int) else None for n in images.shape], request)
    dtype = _TYPES[images.type]
    preprocess = Preprocess(scale=255 if dtype == torch.uint8 else 1, channels_last=layout.channels_last)
    if dtype == torch.uint8 and (request.mean or request.std):
        raise ModelError(
            f"no mean and std for {path.name}",
            "some",
            cause="It takes bytes, so it normalises them itself.",
            fix="Leave out --mean and --std.",
        )
    output = _output(session, request, path.name)
    return Classifier(
        path.name,
        _OnnxModel(session, images.name, output, dtype, layout.batch),
        preprocess,
        Framing(layout.image_shape),
        digest=digest_of_bytes([content, *(part for other in beside for part in _named(other, path.parent))]),
        thread_safe=True,
        ends_in=onnx_ending(content, output),
    )


def _named(path: Path, folder: Path) -> Iterator[bytes]:
    yield os.fsencode(path.relative_to(folder).as_posix())
    yield from file_parts(path, Most.WEIGHTS)


def _session(runtime: Any, path: Path) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # the caller's threads each hold a part of the images
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY_AS_EXCEPTIONS
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        too_new = _TOO_NEW.search(str(error))
        raise ModelError.cannot(
            f"load {path.name} with onnxruntime {runtime.__version__}",
            too_new[0] if too_new else in_one_line(error).replace(str(path), path.name),
            cause="It is newer than onnxruntime." if too_new else "It is damaged, or has unknown operators.",
            fix="Export it with an older opset, or install a newer onnxruntime." if too_new else "",
        ) from error


def _only_input(session: Any, name: str) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelError(
            f"{name} to have one input, the images", f"{len(inputs)}: {', '.join(one.name for one in inputs)}"
        )
    if inputs[0].type not in _TYPES:
        raise ModelError(f"{name} to take one of {', '.join(_TYPES)}", inputs[0].type)
    return inputs[0]


def _output(session: Any, request: ModelRequest, name: str) -> str:
    names: list[str] = [output.name for output in session.get_outputs() if output.type in _TYPES]
    wanted = request.logits
    if wanted is None and len(names) == 1:
        return names[0]
    if isinstance(wanted, int) and wanted in range(len(names)):
        return names[wanted]
    if isinstance(wanted, str) and wanted in names:
        return wanted
    raise ModelError(
        f"one output of {name} that holds the logits",
        repr(wanted) if wanted is not None else f"{len(names)}: {', '.join(names)}",
        cause="Only numeric outputs are considered.",
        fix=f"Give --logits with one of {', '.join(names)}, or an index from 0 to {len(names) - 1}."
        if names
        else "",
    )


ONNX = ModelSource(
    ".onnx", _load, "an ONNX model, run by onnxruntime", "model.onnx", extra="onnx", picks_logits=True
)

"""`model.keras` and `model.h5` through Keras 3 on the torch backend."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from shiftproof._digest import digest_of_bytes
from shiftproof._inputs import Most, check_archive, file_parts
from shiftproof._optional import require
from shiftproof.adapters._batches import in_batches_of
from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._ending import Ending
from shiftproof.adapters._failures import explained
from shiftproof.adapters._layout import read_layout
from shiftproof.adapters._preprocess import Framing, Preprocess
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.errors import ModelError


@dataclass(frozen=True, slots=True)
class _KerasModel:
    """A Keras model as a function of images.

    It chooses its device itself, and keeps state while it computes, so one thread calls it at a time.
    """

    model: Any
    batch: int | None

    def __call__(self, images: Tensor) -> Any:
        return self._ask(images) if self.batch is None else in_batches_of(self.batch, self._ask, images)

    def _ask(self, images: Tensor) -> Any:
        answer = self.model(images, training=False)
        return answer.to(images.device) if isinstance(answer, Tensor) else answer


def _load(file: str, request: ModelRequest) -> Classifier:
    path = Path(file)
    with explained(f"read {path.name}"):
        check_archive(path, Most.WEIGHTS)
        digest = digest_of_bytes(file_parts(path, Most.WEIGHTS))
    keras = _keras_on_torch(path.name)
    with explained(
        f"load {path.name} with Keras {keras.__version__}",
        cause="It is damaged, of another version, or holds weights alone (`save_weights`).",
        fix="Save the model itself: model.save('model.keras').",
    ):
        model = keras.saving.load_model(path, compile=False, safe_mode=False)
        shape = model.input_shape
    if not isinstance(shape, tuple) or not all(size is None or isinstance(size, int) for size in shape):
        raise ModelError(f"{path.name} to have one input, the images", shape)
    layout = read_layout(path.name, shape, request, usual=True)
    return Classifier(
        path.name,
        _KerasModel(model, layout.batch),
        Preprocess(channels_last=layout.channels_last),
        Framing(layout.image_shape),
        digest=digest,
        ends_in=_ending(model),
    )


def _keras_on_torch(name: str) -> Any:
    with _backend_in_environment():
        keras: Any = require("keras", extra="keras", purpose=name)
    backend = keras.config.backend()
    if backend != "torch":
        raise ModelError.cannot(
            "use Keras with torch",
            f"its backend is {backend}",
            cause="It was imported before, and keeps its backend.",
            fix="Set the environment variable KERAS_BACKEND=torch before it is imported.",
        )
    return keras


@contextmanager
def _backend_in_environment() -> Iterator[None]:
    """Keras reads its backend from the environment when it is imported, and only then."""
    before = os.environ.get("KERAS_BACKEND")
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("KERAS_BACKEND", None)
        else:
            os.environ["KERAS_BACKEND"] = before


def _ending(model: Any) -> Ending | None:
    """The activation of the last layer, where it says anything."""
    last = model.layers[-1] if getattr(model, "layers", None) else None
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    known: dict[str, Ending] = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": "linear"}
    return known.get(activation)


KERAS = ModelSource(
    ".keras",
    _load,
    "a model of Keras 3, on its torch backend",
    "model.keras",
    runs_code="the layers that the file describes",
    extra="keras",
)
H5, HDF5 = (
    ModelSource(
        suffix,
        _load,
        "a model of Keras in the older format, on the torch backend of Keras 3",
        f"model{suffix}",
        runs_code="the layers that the file describes, which Keras' safe mode does not stop here",
        extra="keras",
    )
    for suffix in (".h5", ".hdf5")
)

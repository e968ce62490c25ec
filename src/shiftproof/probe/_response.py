"""The one central record: what a model answered, per image and shift."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shiftproof._digest import Json, canonical_json
from shiftproof._files import write_atomically
from shiftproof.errors import ComparisonError, DataError, ShapeError

SCHEMA_VERSION = 1
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Response:
    """What a model answered to N images under S shifts. Every number shown is a function of this.

    Args:
        predicted: int64 (N, S); the class of the largest logit, the lowest index on a tie.
        true_prob: float32 (N, S); softmax probability of the true class.
        drift: float32 (N, S); ‖z(shifted) − z(unshifted)‖₂ ÷ ‖z(unshifted)‖₂ of the logits z; ≥ 0.
        offsets_px: float64 (S, 2) shared by all images, or (N, S, 2); (dy, dx) in pixels.
        labels: int64 (N,); the true classes.
        unshifted_predicted: int64 (N,); the answer to the image as it is.
        unshifted_true_prob: float32 (N,); its probability of the true class.
        provenance: Model, data, protocol, versions, device and seed, as JSON.

    Raises:
        ShapeError: The arrays do not fit together.
    """

    predicted: Ints
    true_prob: Floats
    drift: Floats
    offsets_px: npt.NDArray[np.float64]
    labels: Ints
    unshifted_predicted: Ints
    unshifted_true_prob: Floats
    provenance: Mapping[str, Json]

    def __post_init__(self) -> None:
        n, s = self.predicted.shape
        expected: dict[str, list[tuple[int, ...]]] = {
            "true_prob": [(n, s)],
            "drift": [(n, s)],
            "offsets_px": [(s, 2), (n, s, 2)],
            "labels": [(n,)],
            "unshifted_predicted": [(n,)],
            "unshifted_true_prob": [(n,)],
        }
        for name, shapes in expected.items():
            shape = getattr(self, name).shape
            if shape not in shapes:
                raise ShapeError(f"`{name}` of shape {' or '.join(map(str, shapes))}", shape)

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.predicted)

    @property
    def n_shifts(self) -> int:
        """S."""
        return int(self.predicted.shape[1])

    def save(self, path: Path) -> None:
        """Write to one safetensors file, whole or not at all."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        header = {"schema_version": SCHEMA_VERSION, "provenance": dict(self.provenance)}
        write_atomically(path, save(arrays, {"response": canonical_json(header)}))

    @classmethod
    def load(cls, path: Path) -> Response:
        """Read what `save` wrote.

        Raises:
            DataError: Not such a file, or of another schema version.
        """
        try:
            with safe_open(path, framework="np") as file:
                header = json.loads((file.metadata() or {}).get("response", "{}"))
                version = header.get("schema_version")
                if version != SCHEMA_VERSION:
                    raise DataError(f"a response of schema version {SCHEMA_VERSION} in {path.name}", version)
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path.name} to be a saved response", error) from error
        return cls(**arrays, provenance=header["provenance"])

    @classmethod
    def concatenate(cls, parts: Sequence[Response]) -> Response:
        """Put shards of one measurement together, in the given order of images.

        Raises:
            ComparisonError: The parts come from different models, data or protocols, or there is none.
        """
        if not parts:
            raise ComparisonError("at least one response", "none")
        first = parts[0]
        for part in parts[1:]:
            if part.provenance != first.provenance or part.n_shifts != first.n_shifts:
                raise ComparisonError(
                    "responses of one model, data set and protocol",
                    f"{canonical_json(part.provenance)} beside {canonical_json(first.provenance)}",
                )
        shared = first.offsets_px.ndim == 2
        if shared and any(not np.array_equal(p.offsets_px, first.offsets_px) for p in parts):
            raise ComparisonError("responses to the same shifts", "different offsets")
        arrays: dict[str, Any] = {
            name: first.offsets_px
            if shared and name == "offsets_px"
            else np.concatenate([getattr(part, name) for part in parts])
            for name in _ARRAYS
        }
        return cls(**arrays, provenance=first.provenance)


_ARRAYS = tuple(f.name for f in dataclasses.fields(Response) if f.name != "provenance")

"""The one central record: what a model answered, per image and shift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shiftproof._digest import Json, canonical_json
from shiftproof._documents import parse_json
from shiftproof._files import write_atomically
from shiftproof._inputs import Most, check_file
from shiftproof.errors import ComparisonError, DataError, ShapeError

SCHEMA_VERSION = 2
Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]


class _Header(BaseModel):
    """What a saved response says beside its arrays."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int | None = None
    provenance: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Response:
    """What a model answered to N images under S shifts. Every number shown is a function of this.

    Args:
        predicted: int32 (N, S); the class of the largest logit, the lowest index on a tie.
        true_prob: float32 (N, S); softmax probability of the true class; where the label is unknown, of
            the class that is answered to the unshifted image.
        drift: float32 (N, S); ‖z(shifted) − z(unshifted)‖₂ ÷ ‖z(unshifted)‖₂ of the logits z; ≥ 0.
        offsets_px: float64 (S, 2) shared by all images, or (N, S, 2); (dy, dx) in pixels.
        labels: int64 (N,); the true classes, −1 where unknown.
        unshifted_logits: float32 (N, K); the answer to the image as it is.
        provenance: Model, data, protocol, versions, device and seed, as JSON.

    Raises:
        ShapeError: The arrays do not fit together.
    """

    predicted: Ints
    true_prob: Floats
    drift: Floats
    offsets_px: npt.NDArray[np.float64]
    labels: Ints
    unshifted_logits: Floats
    provenance: Mapping[str, Json]

    def __post_init__(self) -> None:
        n, s = self.predicted.shape
        expected: dict[str, list[tuple[int, ...]]] = {
            "true_prob": [(n, s)],
            "drift": [(n, s)],
            "offsets_px": [(s, 2), (n, s, 2)],
            "labels": [(n,)],
            "unshifted_logits": [(n, self.unshifted_logits.shape[-1])],
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

    @property
    def n_classes(self) -> int:
        """K, the number of logits."""
        return int(self.unshifted_logits.shape[1])

    @cached_property
    def unshifted_predicted(self) -> Ints:
        """int64 (N,); the answer to the image as it is."""
        return np.asarray(self.unshifted_logits.argmax(1))

    @cached_property
    def unshifted_true_prob(self) -> Floats:
        """float32 (N,); the same probability as in `true_prob`, of the image as it is."""
        shown = np.where(self.labels >= 0, self.labels, self.unshifted_predicted)
        powers = np.exp(self.unshifted_logits - self.unshifted_logits.max(1, keepdims=True))
        return np.asarray(powers[np.arange(self.n_images), shown] / powers.sum(1), dtype=np.float32)

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        header = {"schema_version": SCHEMA_VERSION, "provenance": dict(self.provenance)}
        return save(arrays, {"response": canonical_json(header)})

    def save(self, path: Path) -> None:
        """Write to one safetensors file, whole or not at all."""
        write_atomically(path, self.to_bytes())

    @classmethod
    def load(cls, path: Path) -> Response:
        """Read what `save` wrote.

        Raises:
            DataError: Not such a file, of another schema version, or with numbers that cannot be.
        """
        try:
            check_file(path, Most.WEIGHTS)
            with safe_open(path, framework="np") as file:
                header = _Header.model_validate(parse_json((file.metadata() or {}).get("response", "{}")))
                if header.schema_version != SCHEMA_VERSION:
                    raise DataError(
                        f"a response of schema version {SCHEMA_VERSION} in {path.name}", header.schema_version
                    )
                arrays = {name: file.get_tensor(name) for name in _ARRAYS}
            for name, (dtype, n_axes) in _ARRAYS.items():
                if arrays[name].dtype != dtype or arrays[name].ndim not in n_axes:
                    raise DataError(f"`{name}` in {path.name} as it is saved", f"{arrays[name].dtype}")
            found = cls(**arrays, provenance=header.provenance)
        except ValidationError as error:
            raise DataError(f"{path.name} to be a saved response", error.errors()[0]["msg"]) from error
        except (SafetensorError, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"{path.name} to be a saved response", error) from error
        found._check_numbers(path.name)
        return found

    def _check_numbers(self, name: str) -> None:
        """`DataError` where a file holds numbers that no model can have answered."""
        k = self.n_classes
        possible = {
            "predicted": (self.predicted >= 0) & (self.predicted < k),
            "labels": (self.labels >= -1) & (self.labels < k),
            "true_prob": (self.true_prob >= 0) & (self.true_prob <= 1 + 1e-4),
            "drift": self.drift >= 0,
            "unshifted_logits": np.isfinite(self.unshifted_logits),
            "offsets_px": np.isfinite(self.offsets_px),
        }
        for array, fine in possible.items():
            if not fine.all():
                raise DataError(
                    f"`{array}` in {name} to be what a model with {k} classes can answer", "other"
                )

    @classmethod
    def concatenate(cls, parts: Sequence[Response | Path]) -> Response:
        """Put shards of one measurement together, in the given order of images.

        Args:
            parts: Responses, or files with one. A file is read when its turn comes, so that the whole is in
                memory once and not twice.

        Raises:
            ComparisonError: The parts come from different models, data or protocols, or there is none.
            DataError: A file is not a saved response.
        """
        if not parts:
            raise ComparisonError("at least one response", "none")
        if len(parts) == 1:
            return _opened(parts[0])
        first = _opened(parts[0])
        n_images = sum(_n_images(part) for part in parts)
        shared = first.offsets_px.ndim == 2
        arrays: dict[str, Any] = {"offsets_px": first.offsets_px} if shared else {}
        start = 0
        for index, source in enumerate(parts):
            part = first if index == 0 else _opened(source)
            _check_same_measurement(first, part)
            for name in _ARRAYS:
                if shared and name == "offsets_px":
                    continue
                values = getattr(part, name)
                whole = arrays.setdefault(name, np.empty((n_images, *values.shape[1:]), values.dtype))
                whole[start : start + part.n_images] = values
            start += part.n_images
        return cls(**arrays, provenance=first.provenance)


def _opened(part: Response | Path) -> Response:
    return Response.load(part) if isinstance(part, Path) else part


def _n_images(part: Response | Path) -> int:
    if isinstance(part, Response):
        return part.n_images
    try:
        with safe_open(part, framework="np") as file:
            return int(file.get_slice("labels").get_shape()[0])
    except (SafetensorError, OSError, IndexError) as error:
        raise DataError(f"{part.name} to be a saved response", error) from error


def _check_same_measurement(first: Response, part: Response) -> None:
    if part.provenance != first.provenance or part.n_shifts != first.n_shifts:
        raise ComparisonError(
            "responses of one model, data set and protocol",
            f"{canonical_json(part.provenance)} beside {canonical_json(first.provenance)}",
        )
    if first.offsets_px.ndim == 2 and not np.array_equal(part.offsets_px, first.offsets_px):
        raise ComparisonError("responses to the same shifts", "different offsets")


# Type and numbers of axes of each array, as it is saved.
_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "predicted": (np.int32, (2,)),
    "true_prob": (np.float32, (2,)),
    "drift": (np.float32, (2,)),
    "offsets_px": (np.float64, (2, 3)),
    "labels": (np.int64, (1,)),
    "unshifted_logits": (np.float32, (2,)),
}

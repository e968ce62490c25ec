"""The one central record: what a model answered, per image and shift."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from shiftproof._digest import Json, canonical_json
from shiftproof._documents import parse_json
from shiftproof._files import write_atomically
from shiftproof._inputs import Most, check_file
from shiftproof._tasks import Outputs, TaskName
from shiftproof.adapters import Task, number_of_set
from shiftproof.errors import ComparisonError, DataError, ShapeError

SCHEMA_VERSION = 4
# Of shards that are put together; what is larger as a whole is kept in files.
MOST_IN_MEMORY_BYTES = 2**28
# Of several labels, older files have probabilities in place of what the model answered.
READABLE = (3, SCHEMA_VERSION)
# Rounding, also of probabilities that were computed in half precision.
SLACK = 2e-3
SINGLE_LABEL = Task()
CLASSES: tuple[TaskName, ...] = ("single-label", "binary")
Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float32]


Probability = Annotated[float, Field(ge=0, le=1)]


class _SavedTask(BaseModel):
    """Of a saved response."""

    model_config = ConfigDict(extra="forbid")

    name: TaskName
    outputs: Outputs
    threshold: Probability | tuple[Probability, ...] | None

    @model_validator(mode="after")
    def _has_a_threshold(self) -> _SavedTask:
        if (self.threshold is None) != (self.name in ("single-label", "embedding")):
            raise ValueError(f"{self.name} with the threshold {self.threshold}")
        return self


class _Header(BaseModel):
    """What a saved response says beside its arrays."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int | None = None
    provenance: dict[str, Any] = {}
    task: _SavedTask | None = None


@dataclass(frozen=True, eq=False)
class Response:
    """What a model answered to N images under S shifts. Every number shown is a function of this.

    Which arrays there are depends on the task; the others are None, or have no columns.

    Args:
        predicted: int32 (N, S); the answer as a number. `single-label`: the class of the largest output, the
            lowest index on a tie. `binary`: 1 where the probability is above the threshold. `multi-label`:
            int64, the number of the set of labels, see `shiftproof.adapters.number_of_set`. `embedding`: the
            image whose unshifted embedding is nearest, by its place in the set.
        true_prob: float32 (N, S); for `single-label` and `binary` the probability of the true class; where
            the label is unknown, of the class that is answered to the unshifted image. Else (N, 0).
        drift: float32 (N, S); ‖y(shifted) − y(unshifted)‖₂ ÷ ‖y(unshifted)‖₂ of the outputs y; ≥ 0.
        offsets_px: float64 (S, 2) shared by all images, or (N, S, 2); (dy, dx) in pixels.
        labels: int64 (N,); the true classes, −1 where unknown. `multi-label`: (N, K) of 0 and 1 where known.
        unshifted_output: float32 (N, K); what the model answers to the image as it is: logits,
            probabilities or a vector, as the task says.
        provenance: Model, data, protocol, versions, device and seed, as JSON.
        task: What an answer is.
        label_output: float32 (N, S, K); for `multi-label` what the model answers for each label, a logit or
            a probability as in `unshifted_output`. Probabilities alone could not be ranked: in float32 those
            of all logits above 17 are 1.
        cosine: float32 (N, S); for `embedding` the cosine to the vector of the unshifted image.
        neighbours: int32 (N, S, k); for `embedding` the nearest images of a fixed sample of the set, as they
            are and without the image itself, the nearest first.
        unshifted_neighbours: int32 (N, k); the same for the unshifted image.

    Raises:
        ShapeError: The arrays do not fit together, or are not those of the task.
    """

    predicted: Ints
    true_prob: Floats
    drift: Floats
    offsets_px: npt.NDArray[np.float64]
    labels: Ints
    unshifted_output: Floats
    provenance: Mapping[str, Json]
    task: Task = SINGLE_LABEL
    label_output: Floats | None = None
    cosine: Floats | None = None
    neighbours: Ints | None = None
    unshifted_neighbours: Ints | None = None

    def __post_init__(self) -> None:
        n, s = self.predicted.shape
        k = self.unshifted_output.shape[-1]
        nearest = self.neighbours.shape[-1] if self.neighbours is not None else 0
        several = self.task.name == "multi-label"
        expected: dict[str, list[tuple[int, ...]]] = {
            "true_prob": [(n, s) if self.task.name in CLASSES else (n, 0)],
            "drift": [(n, s)],
            "offsets_px": [(s, 2), (n, s, 2)],
            "labels": [(n,), (n, k)] if several else [(n,)],
            "unshifted_output": [(n, k)],
            "label_output": [(n, s, k)],
            "cosine": [(n, s)],
            "neighbours": [(n, s, nearest)],
            "unshifted_neighbours": [(n, nearest)],
        }
        for name in _arrays_of(self.task.name):
            array = getattr(self, name)
            if array is None:
                raise ShapeError(f"`{name}` in a response of the task {self.task.name}", "none")
            if name in expected and array.shape not in expected[name]:
                raise ShapeError(f"`{name}` of shape {' or '.join(map(str, expected[name]))}", array.shape)

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
        """How many classes or labels there are; for an embedding, how many numbers."""
        return self.task.n_classes(int(self.unshifted_output.shape[1]))

    @cached_property
    def unshifted_predicted(self) -> Ints:
        """int64 (N,); the answer to the image as it is, as in `predicted`."""
        if self.unshifted_neighbours is not None:
            return self.unshifted_neighbours[:, 0].astype(np.int64)
        return np.asarray(self.task.decided(torch.from_numpy(self.unshifted_output)).long())

    @cached_property
    def unshifted_true_prob(self) -> Floats:
        """float32 (N,); the same probability as in `true_prob`, of the image as it is; empty without it."""
        if self.task.name not in CLASSES:
            return np.empty(0, dtype=np.float32)
        shown = np.where(self.labels >= 0, self.labels, self.unshifted_predicted)
        outputs = torch.from_numpy(self.unshifted_output)
        return np.asarray(self.task.probability_of(outputs, torch.from_numpy(shown)))

    @cached_property
    def true_answers(self) -> Ints:
        """int64 (N,); the right answer as in `predicted`, −1 where unknown."""
        if self.labels.ndim == 1:
            return self.labels
        return np.asarray(number_of_set(torch.from_numpy(self.labels) == 1))

    @cached_property
    def small_numbers(self) -> tuple[Ints, Ints, Ints]:
        """`predicted`, `unshifted_predicted` and `true_answers`; sets of labels numbered from 0."""
        parts = (self.predicted, self.unshifted_predicted, self.true_answers)
        if self.task.name != "multi-label":
            return parts
        places = np.unique(np.concatenate([part.ravel() for part in parts]), return_inverse=True)[1]
        ends = np.cumsum([part.size for part in parts])[:-1]
        found = [place.reshape(part.shape) for place, part in zip(np.split(places, ends), parts, strict=True)]
        return found[0], found[1], np.where(self.true_answers >= 0, found[2], -1)

    def to_bytes(self) -> bytes:
        """As a safetensors file."""
        names = _arrays_of(self.task.name)
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in names}
        header = {
            "schema_version": SCHEMA_VERSION,
            "provenance": dict(self.provenance),
            "task": self.task.identity(),
        }
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
                if header.task is None or header.schema_version not in _readable(header.task.name):
                    raise DataError(
                        f"a response of schema version {SCHEMA_VERSION} in {path.name}", header.schema_version
                    )
                task = Task(header.task.name, header.task.outputs, header.task.threshold)
                arrays = {name: file.get_tensor(name) for name in _arrays_of(task.name)}
            for name, array in arrays.items():
                dtype, n_axes = _ARRAYS[name]
                if name == "predicted" and task.name == "multi-label":
                    dtype = np.int64
                if array.dtype != dtype or array.ndim not in n_axes:
                    raise DataError(f"`{name}` in {path.name} as it is saved", f"{array.dtype}")
            found = cls(**arrays, provenance=header.provenance, task=task)
        except ValidationError as error:
            raise DataError.cannot(
                f"read {path.name} as a saved response", error.errors()[0]["msg"]
            ) from error
        except (SafetensorError, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError.cannot(f"read {path.name} as a saved response", error) from error
        found._check_numbers(path.name)
        return found

    def _check_numbers(self, name: str) -> None:
        """`DataError` where a file holds numbers that no model can have answered."""
        k = self.n_classes
        one_class = self.task.name in CLASSES
        of_labels = np.empty(0) if self.label_output is None else self.label_output
        neighbours = [each for each in (self.neighbours, self.unshifted_neighbours) if each is not None]
        possible: dict[str, Any] = {
            "predicted": (self.predicted >= 0) & ((self.predicted < k) | (not one_class)),
            "labels": (self.labels >= -1) & ((self.labels < k) | (self.task.name == "embedding")),
            "true_prob": (self.true_prob >= -SLACK) & (self.true_prob <= 1 + SLACK),
            "label_output": np.isfinite(of_labels),
            "neighbours": np.all([(each >= 0).all() and each.shape[-1] > 0 for each in neighbours]),
            "drift": self.drift >= 0,
            "unshifted_output": np.isfinite(self.unshifted_output),
            "offsets_px": np.isfinite(self.offsets_px),
        }
        if self.cosine is not None:
            possible["cosine"] = np.abs(self.cosine) <= 1
        if self.task.outputs == "probabilities":
            possible["label_output"] = (of_labels >= -SLACK) & (of_labels <= 1 + SLACK)
        if self.labels.ndim == 2:
            possible["labels"] = (self.labels == 0) | (self.labels == 1)
        for array, fine in possible.items():
            if not np.all(fine):
                raise DataError(
                    f"`{array}` in {name} to be what a model with {k} classes can answer", "other"
                )

    @classmethod
    def concatenate(cls, parts: Sequence[Response | Path]) -> Response:
        """Put shards of one measurement together, in the given order of images.

        Args:
            parts: Responses, or files with one. A file is read when its turn comes; what is large is
                put together in a file of the system's temporary folder (`TMPDIR`), so that memory does not
                grow with images × shifts.

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
        names = [name for name in _arrays_of(first.task.name) if not (shared and name == "offsets_px")]
        per_image = sum(getattr(first, name).nbytes for name in names) / max(1, first.n_images)
        room = np.empty if n_images * per_image <= MOST_IN_MEMORY_BYTES else _in_files
        arrays: dict[str, Any] = {"offsets_px": first.offsets_px} if shared else {}
        start = 0
        for index, source in enumerate(parts):
            part = first if index == 0 else _opened(source)
            _check_same_measurement(first, part)
            for name in names:
                values = getattr(part, name)
                if name not in arrays:
                    arrays[name] = room((n_images, *values.shape[1:]), values.dtype)
                whole = arrays[name]
                whole[start : start + part.n_images] = values
            start += part.n_images
        return cls(**arrays, provenance=first.provenance, task=first.task)


def _readable(task: TaskName) -> tuple[int, ...]:
    return (SCHEMA_VERSION,) if task == "multi-label" else READABLE


def _in_files(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array to be filled, in a file without a name, which goes with it; in memory if it finds no room."""
    n_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if not hasattr(os, "posix_fallocate"):
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(prefix="shiftproof-") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, n_bytes)  # a disk that gets full later ends the process
        except OSError:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r+", shape=shape).view(np.ndarray)


def _opened(part: Response | Path) -> Response:
    return Response.load(part) if isinstance(part, Path) else part


def _n_images(part: Response | Path) -> int:
    if isinstance(part, Response):
        return part.n_images
    try:
        with safe_open(part, framework="np") as file:
            return int(file.get_slice("labels").get_shape()[0])
    except (SafetensorError, OSError, IndexError) as error:
        raise DataError.cannot(f"read {part.name} as a saved response", error) from error


def _check_same_measurement(first: Response, part: Response) -> None:
    if (part.provenance, part.task, part.n_shifts) != (first.provenance, first.task, first.n_shifts):
        raise ComparisonError(
            "responses of one model, data set and protocol",
            f"{canonical_json(part.provenance)} beside {canonical_json(first.provenance)}",
        )
    if first.offsets_px.ndim == 2 and not np.array_equal(part.offsets_px, first.offsets_px):
        raise ComparisonError("responses to the same shifts", "different offsets")


# Type and numbers of axes of each array, as it is saved.
_ARRAYS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "predicted": (np.int32, (2,)),
    "drift": (np.float32, (2,)),
    "offsets_px": (np.float64, (2, 3)),
    "labels": (np.int64, (1, 2)),
    "unshifted_output": (np.float32, (2,)),
    "true_prob": (np.float32, (2,)),
    "label_output": (np.float32, (3,)),
    "cosine": (np.float32, (2,)),
    "neighbours": (np.int32, (3,)),
    "unshifted_neighbours": (np.int32, (2,)),
}
_ALWAYS = ("predicted", "true_prob", "drift", "offsets_px", "labels", "unshifted_output")
_OF_TASK: dict[TaskName, tuple[str, ...]] = {
    "single-label": (),
    "binary": (),
    "multi-label": ("label_output",),
    "embedding": ("cosine", "neighbours", "unshifted_neighbours"),
}


def _arrays_of(task: TaskName) -> tuple[str, ...]:
    return _ALWAYS + _OF_TASK[task]

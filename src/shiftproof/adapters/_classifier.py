"""Any model as one `Classifier`: images in [0, 1] in, checked numbers out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from shiftproof._device import full_precision
from shiftproof._digest import digest_of_bytes
from shiftproof._tasks import Outputs, TaskName
from shiftproof.adapters._ending import Ending
from shiftproof.adapters._failures import explained, is_out_of_memory
from shiftproof.adapters._pipeline import Pipeline
from shiftproof.adapters._preprocess import Framing, Preprocess
from shiftproof.adapters._thresholds import Threshold
from shiftproof.adapters._wrappers import copy_beside_weights, inside
from shiftproof.errors import ModelError, ShapeError
from shiftproof.records import ModelRecord
from shiftproof.zoo import Network

Model = nn.Module | Callable[[Tensor], Any]


class Origin(NamedTuple):
    """How a classifier was loaded, and what its digest was then: an edited copy has another one."""

    load: Callable[[], Classifier]
    digest: str


@dataclass(frozen=True, eq=False)
class Classifier:
    """A model, and everything that is needed to show it images.

    Args:
        name: How it was referred to, for reports.
        model: Preprocessed images to logits, or whatever else the task says. A module is called as it is: put
            it in evaluation mode with `evaluating`.
        preprocess: What happens to an image in [0, 1] before the model sees it, and after it was shifted.
        framing: Size of the images, and how files are brought to it, before they are shifted.
        logits: Where the logits are in an answer that is a tuple, a list or a mapping.
        class_names: One name per logit, or two where one number tells two classes apart, the negative one
            first; where the source of the model knows them.
        digest: SHA-256 that names the weights and the code, or empty where nothing can be said.
        notes: What a reader has to know: source of the preprocessing, untrained weights.
        thread_safe: Whether several threads may call a model that is no module.
        task: What an answer is, where that is known; see `Task`. `tell_task` finds out the rest.
        outputs: Whether the numbers are logits, probabilities or a vector, where that is known.
        threshold: Of the probability, for `binary` and `multi-label`: one number, one for each label in the
            order of the logits, or by name; None for 0.5.
        ends_in: The last operation of a model that is no module, where its source knows it.
        origin: What loads it again, where a reference did.

    Raises:
        OptionError: A mean or std for another number of channels than the framing has.

    Example:
        >>> mean = Classifier("mean", lambda images: images.mean((2, 3)))
        >>> mean(torch.ones(1, 3, 4, 4))
        tensor([[1., 1., 1.]])
    """

    name: str
    model: Model
    preprocess: Preprocess = field(default_factory=Preprocess)
    framing: Framing = field(default_factory=Framing)
    logits: int | str | None = None
    class_names: tuple[str, ...] | None = None
    digest: str = ""
    notes: tuple[str, ...] = ()
    thread_safe: bool = False
    task: TaskName | None = None
    outputs: Outputs | None = None
    threshold: Threshold | None = None
    ends_in: Ending | None = None
    origin: Origin | None = None

    def __post_init__(self) -> None:
        if self.framing.image_shape is not None:
            self.preprocess.check_channels(self.framing.image_shape[0])

    def __call__(self, images: Tensor) -> Tensor:
        """Logits or what else it answers with, float32 (N, K), of images (N, C, H, W), float32 in [0, 1].

        Images and answer have memory of their own: a model may write into what it is given, and into what it
        has answered before.

        Raises:
            OptionError: A mean or std for another number of channels.
            ShapeError: The answer is not (N, K), or K is not the number of class names.
            ModelError: The model raises, or ends the program; its answer is no tensor, or not finite.
            MemoryError, RuntimeError: Memory ran out, which fewer images may cure.
        """
        self.preprocess.check_channels(images.shape[1])
        with self.wall(images):
            return self.checked(self.model(self.shown(images)), len(images))

    def shown(self, images: Tensor) -> Tensor:
        """What the model is shown of images (N, C, H, W): preprocessed, in memory that nobody else reads."""
        shown: Tensor = self.preprocess(images)
        return shown.clone() if self.preprocess.keeps_numbers else shown

    def wall(
        self, images: Tensor, *, but: Callable[[BaseException], bool] = lambda error: False
    ) -> AbstractContextManager[None]:
        """`explained` around a run of the model on these images; lack of memory, and `but`, go through."""
        return explained(
            f"run {self.name} on images of shape {tuple(images.shape)}",
            cause="Its forward ended with this error.",
            fix="Check --size, --channels and --channels-last, and that it takes one batch of images.",
            but=lambda error: is_out_of_memory(error) or but(error),
        )

    @cached_property
    def pipeline(self) -> nn.Module | None:
        """Preprocessing, model and choice of the logits as one module; None if the model is none.

        It is the model itself where there is nothing else. Of a wrapped, compiled or scripted model it holds
        the module inside: compare the answers.
        """
        if self.inner is None:
            return None
        if self.preprocess.is_identity and self.logits is None:
            return self.inner
        return Pipeline(self.preprocess, self.inner, self.logits)

    @cached_property
    def inner(self) -> nn.Module | None:
        """The module that the model computes with, as `inside` finds it; None if it is none."""
        return inside(self.model) if isinstance(self.model, nn.Module) else None

    def to(self, device: torch.device) -> Classifier:
        """The same on a device; a model that is no module stays where it is."""
        if not isinstance(self.model, nn.Module):
            return self
        with explained(f"move {self.name} to the device {str(device)!r}"):
            return replace(self, model=self.model.to(device), preprocess=self.preprocess.to(device))

    def replicas(self, n_workers: int) -> list[Classifier]:
        """Up to so many copies for threads of their own, which share the weights.

        A module may keep what it computed in attributes of its own, so two threads never call one
        module. Where it cannot be copied, or is a function, there is this one alone.
        """
        if n_workers == 1:
            return [self]
        if not isinstance(self.model, nn.Module):
            return [self] * n_workers if self.thread_safe else [self]
        try:
            with explained("copy the model"):
                copies = [copy_beside_weights(self.model) for _ in range(n_workers)]
        except ModelError:  # whatever a model does in __deepcopy__, it can still be asked as it is
            return [self]
        return [replace(self, model=model) for model in copies]

    def part(self, answer: Any) -> Tensor:
        """The part of an answer of the model that holds the logits, as it is."""
        return _as_tensor(_picked(answer, self.logits, self.name), self.name)

    def _names_fit(self, n_outputs: int) -> bool:
        """One name for each number; for one number alone two, and for an embedding whatever they are."""
        if self.task == "embedding":
            return True
        return len(self.class_names or ()) == (2 if n_outputs == 1 else n_outputs)

    def checked(self, answer: Any, n_images: int) -> Tensor:
        """An answer of the model as float32 (N, K), or an error that says what is wrong with it."""
        logits = self.part(answer)
        if logits.ndim > 2 and set(logits.shape[2:]) == {1}:  # a last convolution whose map has one place
            logits = logits.flatten(1)
        if logits.ndim != 2 or len(logits) != n_images or logits.shape[1] == 0:
            raise ShapeError(
                f"{self.name} to answer {n_images} images with logits of shape ({n_images}, K)",
                tuple(logits.shape),
                cause="Each image needs one number per class, or a vector of at least one number.",
            )
        if self.class_names is not None and not self._names_fit(logits.shape[1]):
            raise ShapeError(
                f"one logit for each of the {len(self.class_names)} class names of {self.name}",
                logits.shape[1],
                cause="The names belong to another model.",
                fix="Give as many names as there are logits.",
            )
        logits = logits.to(torch.float32, copy=True)
        check_finite(logits, self.name)
        return logits


def check_finite(logits: Tensor, name: str) -> None:
    """`ModelError` where an answer holds what is no number."""
    if bool(torch.isfinite(logits).all()):
        return
    if bool(torch.isnan(logits).any()):
        raise ModelError(
            f"numbers as the answer of {name}",
            "NaN",
            cause="The weights are damaged, or the images are not scaled as in training.",
            fix="Check --mean, --std and --scale, and the model itself.",
        )
    raise ModelError(
        f"numbers as the answer of {name}",
        "infinity",
        cause="An infinite logit has no distance from another one, so its change cannot be measured.",
        fix="Leave out classes that are masked, or give them a large finite number.",
    )


def as_classifier(model: Model | Classifier, *, name: str = "model") -> Classifier:
    """A classifier for a module or function that takes images in [0, 1] and returns logits (N, K).

    Example:
        >>> as_classifier(nn.Flatten()).name
        'Flatten'
    """
    if isinstance(model, Classifier):
        return model
    if isinstance(model, nn.Module):
        if isinstance(model, Network):
            return of_zoo(model)
        name = type(model).__name__
        with explained(f"read the layers and weights of {name}"):
            return Classifier(name, model, digest=digest_of_module(model))
    with explained("read the name of the model"):
        return Classifier(str(getattr(model, "__name__", name)), model)


def of_zoo(network: Network) -> Classifier:
    """A classifier for a network of the zoo; what it answers is known, also where it lies in [0, 1]."""
    with explained(f"read the layers and weights of {network.name}"):
        return Classifier(
            network.name,
            network,
            framing=Framing(network.image_shape),
            digest=digest_of_module(network),
            task="single-label",
            outputs="logits",
        )


def digest_of_module(module: nn.Module) -> str:
    """SHA-256 over the structure of a module as printed, and every tensor that it computes with.

    That includes buffers that are not saved, such as the kernel of a blur.
    """

    def parts() -> Iterator[bytes]:
        yield repr(module).encode()
        state = module.state_dict()
        for name, value in (state | {k: v for k, v in module.named_buffers() if k not in state}).items():
            yield name.encode()
            if isinstance(value, Tensor):
                yield f"{value.dtype}{tuple(value.shape)}".encode()
                yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()

    return digest_of_bytes(parts())


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Have a module answer as in use, in full precision, and put each of its parts back as it was.

    Warns if dropout or batch normalisation was in training mode: it would have answered at random.

    Example:
        >>> layer = nn.Sequential(nn.ReLU())
        >>> with evaluating(layer):
        ...     layer.training
        False
        >>> layer.training
        True
    """
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    training = [module for module in modules if module.training]
    if any(isinstance(module, _RANDOM_IN_TRAINING) for module in training):
        warnings.warn(
            "The model was in training mode; it is measured in evaluation mode and put back after that.",
            stacklevel=3,
        )
    for module in training:
        module.training = False
    try:
        with full_precision():
            yield
    finally:
        for module in training:
            module.training = True


_RANDOM_IN_TRAINING = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)


def _picked(answer: Any, logits: int | str | None, name: str) -> Any:
    if isinstance(answer, Mapping):
        known: Sequence[Any] = list(answer)
    elif isinstance(answer, tuple | list):
        known = range(len(answer))
    elif logits is not None:
        raise ModelError(
            f"{name} to answer with several parts, as --logits {logits} names one",
            f"one {type(answer).__name__}",
            fix="Leave out --logits.",
        )
    else:
        return answer
    if logits is None or logits not in known:
        raise ModelError(
            f"{name} to answer with one tensor",
            f"a {type(answer).__name__} with {', '.join(map(repr, known)) or 'nothing'}",
            fix="Say which of them are the logits with --logits, or `logits=` in Python.",
        )
    return answer[logits]


def _as_tensor(logits: Any, name: str) -> Tensor:
    expected = f"{name} to answer with a tensor"
    try:
        found = logits if isinstance(logits, Tensor) else torch.as_tensor(logits)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(expected, f"a value of type {type(logits).__name__}") from error
    if found.layout != torch.strided or found.is_quantized or found.is_meta or found.is_complex():
        what = "one on the device meta" if found.is_meta else f"{found.dtype}, {found.layout}"
        raise ModelError(expected, what, cause="Logits are real numbers, one for each class, stored as such.")
    return found


def describe(classifier: Classifier) -> ModelRecord:
    """What a report says about a model."""
    return ModelRecord(
        name=classifier.name,
        digest=classifier.digest,
        preprocessing=classifier.preprocess.describe(),
        framing=classifier.framing.describe(),
        notes=classifier.notes,
    )

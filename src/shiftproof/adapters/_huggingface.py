"""`hf:ORG/NAME[@REV]` and `hf:./folder`: models of transformers, preprocessed as they say themselves."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from shiftproof._inputs import Most, check_file
from shiftproof._optional import require
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._failures import explained
from shiftproof.adapters._processor import ReadProcessor, read_processor
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import put_weights_if_any
from shiftproof.errors import ModelError

# A layer behind the first token, which a classifier of the same architecture does not have.
POOLING = "pooler."
# What the configuration of a model that was trained for several labels an image says.
SEVERAL_LABELS = "multi_label_classification"


class _Place(NamedTuple):
    """Where a model lies: a folder, or a repository at a revision."""

    name: str
    path: str
    revision: str | None

    @property
    def options(self) -> dict[str, Any]:
        return {"revision": self.revision, "trust_remote_code": False}


class _LogitsOf(nn.Module):
    """A model of transformers that answers with its logits alone.

    Args:
        model: Takes `pixel_values`, and answers with an object that has `logits`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


class _VectorOf(nn.Module):
    """An encoder of transformers that answers with one vector for each image.

    Args:
        model: Of images and texts: its `get_image_features`; of images: the pooled output.
        first_token: Whether the vector is that of the first token, which is what a classifier would see, in
            place of the pooled output.
    """

    def __init__(self, model: nn.Module, *, first_token: bool) -> None:
        super().__init__()
        self.model = model
        self.first_token = first_token

    def forward(self, images: Tensor) -> Tensor:
        asked: Any = getattr(self.model, "get_image_features", self.model)
        found: Any = asked(pixel_values=images)
        if self.first_token:
            return found.last_hidden_state[:, 0]  # type: ignore[no-any-return]
        vector: Tensor | None = found if isinstance(found, Tensor) else found.pooler_output
        if vector is None:
            raise ModelError("an encoder that pools its output to one vector", type(self.model).__name__)
        return vector.flatten(1)


def _load(rest: str, request: ModelRequest) -> Classifier:
    transformers: Any = require("transformers", extra="hf", purpose=f"hf:{rest}")
    if importlib.util.find_spec("torchvision"):  # transformers imports it then, and hides why that fails
        require("torchvision", extra="torchvision", purpose=f"transformers, for hf:{rest},")
    place = _place(rest)
    with _quiet(transformers):
        is_encoder = request.task == "embedding"
        model, absent, notes = _model(transformers, place, request, is_encoder)
        read = _preprocessing(transformers, place, request)
    if is_encoder:
        encoder = _VectorOf(model, first_token=bool(absent)).eval()
        vector = "the vector of its first token" if absent else "its pooled output"
        return _classifier(place, encoder, read, (*notes, f"the embedding is {vector}"), task="embedding")
    return _classifier(
        place,
        _LogitsOf(model).eval(),
        read,
        tuple(notes),
        class_names=_class_names(model.config.id2label) if not request.untrained else None,
        task="multi-label" if model.config.problem_type == SEVERAL_LABELS else None,
    )


def _classifier(
    place: _Place, module: nn.Module, read: ReadProcessor, notes: tuple[str, ...], **known: Any
) -> Classifier:
    return Classifier(
        place.name,
        module,
        read.preprocess,
        read.framing,
        digest=digest_of_module(module),
        notes=(*notes, *read.notes),
        **known,
    )


def _place(rest: str) -> _Place:
    folder = Path(rest)
    if folder.is_dir():
        _check_files(folder)
        return _Place(f"hf:{folder.name}", rest, None)
    if rest.startswith((".", "/", "~")):
        raise ModelError("a folder with a model of transformers", f"{rest!r}, which is not there")
    path, _, revision = rest.partition("@")
    return _Place(f"hf:{rest}", path, revision or None)


def _check_files(folder: Path) -> None:
    """Transformers opens files by their names; `ModelError` for what is none, or too large for one."""
    for path in folder.iterdir():
        if not path.is_dir():
            with explained(f"read {path.name!r} in {folder.name!r}"):
                check_file(path, Most.RECORD if path.suffix == ".json" else Most.WEIGHTS)


def _model(
    transformers: Any, place: _Place, request: ModelRequest, is_encoder: bool
) -> tuple[Any, list[str], list[str]]:
    """The model, which weights of a last pooling it has no file for, and notes."""
    auto = transformers.AutoModel if is_encoder else transformers.AutoModelForImageClassification
    kind = "an encoder of images" if is_encoder else "an image classifier"
    with explained(
        f"load {place.name} with transformers as {kind}",
        cause="It is not there, cannot be downloaded, needs code of its own, or has no safetensors file.",
        fix="Check its name and the network.",
    ):
        if request.untrained or request.weights:
            config = transformers.AutoConfig.from_pretrained(place.path, **place.options)
            model = auto.from_config(config, trust_remote_code=False)
            return model, [], put_weights_if_any(model, request.weights)
        only_safetensors = {} if request.trust else {"use_safetensors": True}
        model, loading = auto.from_pretrained(
            place.path, output_loading_info=True, **only_safetensors, **place.options
        )
    absent = sorted({*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])})
    if absent and is_encoder and all(key.startswith(POOLING) for key in absent):
        model.pooler = None  # its random weights are no part of the answer
        return model, absent, []
    if not absent:
        return model, [], []
    if is_encoder:
        raise ModelError(
            f"all weights of {place.name}",
            f"none for {', '.join(absent[:3])}",
            cause="Without them its vectors would be random.",
        )
    raise ModelError(
        f"all weights of {place.name}",
        f"none for {', '.join(absent[:3])}",
        cause="It is a backbone without a trained classifier, so it would answer at random.",
        fix="Choose a model that was fine-tuned for image classification, measure its vectors with --task "
        "embedding, or use --untrained.",
    )


def _preprocessing(transformers: Any, place: _Place, request: ModelRequest) -> ReadProcessor:
    with explained(
        f"load the image processor of {place.name} with transformers",
        fix="Choose a model that has a preprocessor_config.json.",
    ):
        # The images were resized by Pillow when the model was trained, or by something that follows it.
        processor = transformers.AutoImageProcessor.from_pretrained(
            place.path, backend="pil", **place.options
        )
    said_otherwise = (request.mean, request.std, request.scale, request.size_px, request.resize_px)
    return read_processor(place.name, processor, check=all(value is None for value in said_otherwise))


def _class_names(names: Mapping[int, str]) -> tuple[str, ...] | None:
    """Names by index, unless they are the placeholders of transformers."""
    ordered = tuple(names[index] for index in sorted(names))
    return None if all(name == f"LABEL_{index}" for index, name in enumerate(ordered)) else ordered


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars, which come in between those of the caller, and tables of weights."""
    logging = transformers.utils.logging
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


HUGGINGFACE = ModelSource(
    "hf",
    _load,
    "an image classifier or, as an embedding, an encoder of transformers, from a repository or a folder",
    "hf:microsoft/resnet-50@main",
    takes=frozenset({"untrained", "weights"}),
    extra="hf",
)

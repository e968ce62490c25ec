"""`torchvision:NAME[@WEIGHTS]`, with the preprocessing that torchvision publishes with the weights.

torchvision itself knows the addresses of its weights, and compares a hash of what it downloads.
"""

from __future__ import annotations

from typing import Any

from shiftproof._optional import require
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._failures import building, unknown_model
from shiftproof.adapters._preprocess import Framing, Preprocess
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import put_weights_if_any
from shiftproof.errors import ModelError


def _load(rest: str, request: ModelRequest) -> Classifier:
    models: Any = require("torchvision.models", extra="torchvision", purpose=f"torchvision:{rest}")
    name, _, tag = rest.partition("@")
    known = models.list_models(module=models)
    if name not in known:
        raise unknown_model("torchvision", name, known, listed_by="torchvision.models.list_models()")
    published = _published(models.get_model_weights(name), name, tag)
    fresh = request.untrained or request.weights is not None
    if published is None and not fresh:
        raise ModelError(
            f"published weights for torchvision:{name}", "none", fix="Use --untrained, or --weights FILE."
        )
    with building(f"torchvision:{rest}"):
        options = (_explicit_start(name) if fresh else {}) | dict(request.arguments)
        model = models.get_model(name, weights=None if fresh else published, **options)
    model.eval()
    notes = put_weights_if_any(model, request.weights) if fresh else []
    if published is None:
        notes.append("no preprocessing is published: images go in as they are")
        return Classifier(f"torchvision:{rest}", model, digest=digest_of_module(model), notes=tuple(notes))
    preprocess, framing = read_transforms(published.transforms())
    notes.append(f"preprocessing published with {published}")
    return Classifier(
        f"torchvision:{rest}",
        model,
        preprocess,
        framing,
        class_names=None if fresh else tuple(published.meta["categories"]),
        digest=digest_of_module(model),
        notes=tuple(notes),
    )


def _published(weights: Any, name: str, tag: str) -> Any:
    """The member of an enumeration of weights that a tag names; the default one for no tag."""
    if tag and tag not in weights.__members__:
        raise unknown_model(
            "torchvision",
            f"{name}@{tag}",
            [f"{name}@{member}" for member in weights.__members__],
            listed_by=f"list(torchvision.models.get_model_weights({name!r}))",
        )
    return weights[tag] if tag else getattr(weights, "DEFAULT", None)


def _explicit_start(name: str) -> dict[str, bool]:
    """These two warn where nobody says how to initialise them; this is what they do then."""
    return {"init_weights": True} if name in ("googlenet", "inception_v3") else {}


def read_transforms(transforms: Any) -> tuple[Preprocess, Framing]:
    """Preprocessing and framing of a transform that torchvision publishes with weights."""
    crop_px, resize_px = transforms.crop_size[0], transforms.resize_size[0]
    return (
        Preprocess(mean=transforms.mean, std=transforms.std),
        Framing((3, crop_px, crop_px), resize_px, transforms.interpolation.value),
    )


TORCHVISION = ModelSource(
    "torchvision",
    _load,
    "a model of torchvision, with its default weights or those after the @",
    "torchvision:resnet50@IMAGENET1K_V2",
    takes=frozenset({"untrained", "weights", "arguments"}),
    extra="torchvision",
)

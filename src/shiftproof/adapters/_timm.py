"""`timm:NAME`, with the preprocessing of timm's own configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

from shiftproof._optional import require
from shiftproof.adapters._classifier import Classifier, digest_of_module
from shiftproof.adapters._failures import building, unknown_model
from shiftproof.adapters._preprocess import Framing, Preprocess, Resampling
from shiftproof.adapters._sources import ModelRequest, ModelSource
from shiftproof.adapters._weights import put_weights_if_any
from shiftproof.data import CROP, Fit

_ELSEWHERE = ("hf-hub:", "local-dir:")  # timm's own schemes for models outside its list


def _load(name: str, request: ModelRequest) -> Classifier:
    timm: Any = require("timm", extra="timm", purpose=f"timm:{name}")
    if not name.startswith(_ELSEWHERE):
        _check_name(timm, name)
    fresh = request.untrained or request.weights is not None
    with building(f"timm:{name}"):
        model = timm.create_model(name, pretrained=not fresh, **request.arguments)
    model.eval()
    notes = put_weights_if_any(model, request.weights) if fresh else []
    if not fresh and {"num_classes", "in_chans"} & set(request.arguments):
        notes.append("untrained in part: layers that num_classes or in_chans changes are not published")
    preprocess, framing, said = read_config(_config(timm, model, request.arguments))
    return Classifier(
        f"timm:{name}",
        model,
        preprocess,
        framing,
        class_names=None if fresh else _class_names(timm, model),
        digest=digest_of_module(model),
        notes=(*notes, "preprocessing of timm's configuration", *said),
        task="embedding" if model.num_classes == 0 else None,
    )


def _check_name(timm: Any, name: str) -> None:
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise unknown_model("timm", name, timm.list_models(), listed_by="timm.list_models()")
    tagged = timm.list_pretrained(f"{architecture}.*")
    if tag and name not in tagged:
        raise unknown_model("timm", name, tagged, listed_by=f"timm.list_pretrained('{architecture}.*')")


def _config(timm: Any, model: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    sized = {key: arguments[key] for key in ("img_size",) if key in arguments}
    config: dict[str, Any] = timm.data.resolve_data_config(sized, model=model)
    if "in_chans" in arguments:  # timm keeps the published number
        config["input_size"] = (arguments["in_chans"], *config["input_size"][1:])
    return config


def read_config(config: Mapping[str, Any]) -> tuple[Preprocess, Framing, list[str]]:
    """Preprocessing and framing of a data configuration of timm, and what they leave out."""
    channels, height, width = config["input_size"]
    mean, std = tuple(config["mean"]), tuple(config["std"])
    notes = []
    if len(mean) != channels:  # timm keeps three numbers when in_chans says otherwise
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        notes.append(f"mean and std are averages, as the configuration has none for {channels} channels")
    resize_px = max(math.floor(side / config["crop_pct"]) for side in (height, width))
    fit = _fit(config["crop_mode"], mean)
    if fit is None:
        fit = CROP
        notes.append(f"timm's own crop mode is {config['crop_mode']!r}; here the centre is cut out")
    elif height != width:
        notes.append("timm resizes to sides that are not equal; here the short side fits the longer one")
    resampling: Resampling = "bicubic"
    if config["interpolation"] in get_args(Resampling):
        resampling = config["interpolation"]
    else:
        notes.append(f"timm resizes with {config['interpolation']!r}; here with {resampling!r}")
    return (
        Preprocess(mean=mean, std=std),
        Framing((channels, height, width), resize_px, resampling, fit),
        notes,
    )


def _fit(crop_mode: str, mean: tuple[float, ...]) -> Fit | None:
    """Ours of that name; timm fills borders with the mean."""
    bars = tuple(round(255 * value) for value in mean)
    known = {"center": CROP, "squash": Fit("squash"), "border": Fit("letterbox", bars)}
    return known.get(crop_mode)


def _class_names(timm: Any, model: Any) -> tuple[str, ...] | None:
    """Names in the configuration, or the WordNet numbers that ImageNet's folders are called by."""
    names = model.pretrained_cfg.get("label_names")
    subset = None if names else timm.data.infer_imagenet_subset(model)
    if subset:
        names = timm.data.ImageNetInfo(subset).label_names()
    return tuple(names) if names and len(names) == model.num_classes else None


TIMM = ModelSource(
    "timm",
    _load,
    "a model of timm with its published weights",
    "timm:resnet18.a1_in1k",
    takes=frozenset({"untrained", "weights", "arguments"}),
    extra="timm",
)

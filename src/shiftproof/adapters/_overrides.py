"""What a user says about a model beside its reference, put over what its source says."""

from __future__ import annotations

from dataclasses import replace

from shiftproof.adapters._classifier import Classifier
from shiftproof.adapters._preprocess import Framing
from shiftproof.adapters._sources import ModelRequest
from shiftproof.adapters._tell import with_task
from shiftproof.data import Fit
from shiftproof.errors import ModelError, OptionError
from shiftproof.zoo import ImageShape


def overridden(classifier: Classifier, request: ModelRequest) -> Classifier:
    """A classifier with the requested preprocessing, framing, logits, class names and task.

    A note says what was replaced. Where the size changes and `resize_px` is not requested, it changes in
    proportion, so that the same part of an image is seen.

    Raises:
        ModelError: A size without a number of channels that anyone knows, or the reverse.
        OptionError: Numbers that cannot be, or that do not fit the channels.
    """
    source = classifier
    preprocess = source.preprocess.replaced(
        scale=request.scale,
        mean=request.mean,
        std=request.std,
        bgr=request.bgr,
        channels_last=request.channels_last,
    )
    framing = _framing(source, request)
    said = []
    if preprocess.describe() != source.preprocess.describe() and not source.preprocess.is_identity:
        said.append(f"preprocessing as requested, instead of: {source.preprocess.describe()}")
    if framing != source.framing and source.framing.image_shape is not None:
        said.append(f"framing as requested, instead of: {source.framing.describe()}")
    if request.class_names is not None and source.class_names not in (None, request.class_names):
        said.append("class names as requested, instead of the source's")
    described = replace(
        classifier,
        preprocess=preprocess,
        framing=framing,
        logits=classifier.logits if request.logits is None else request.logits,
        class_names=request.class_names or classifier.class_names,
        notes=(*classifier.notes, *said),
    )
    return with_task(described, task=request.task, outputs=request.outputs, threshold=request.threshold)


def _framing(classifier: Classifier, request: ModelRequest) -> Framing:
    source = classifier.framing
    shape = _image_shape(source.image_shape, request, classifier.name)
    fit = _fit(source.fit, request)
    if fit.way != source.fit.way:
        return Framing(shape, request.resize_px, source.resampling, fit)
    resize_px = request.resize_px or source.resize_px
    if request.resize_px is None and resize_px and shape and source.image_shape:
        resize_px = round(resize_px * min(shape[1:]) / min(source.image_shape[1:]))
    return replace(source, image_shape=shape, resize_px=resize_px, fit=fit)


def _fit(source: Fit, request: ModelRequest) -> Fit:
    way = request.fit or source.way
    if request.fill is not None and way != "letterbox":
        raise OptionError("--fit letterbox with --fill", way, cause="Only a letterbox has bars to fill.")
    return Fit(way, request.fill or source.fill)


def _image_shape(source: ImageShape | None, request: ModelRequest, name: str) -> ImageShape | None:
    if request.size_px is None and request.channels is None:
        return source
    channels = request.channels or (source[0] if source else request.n_channels)
    size = request.size_px or (source[1:] if source else None)
    if channels is None or size is None:
        raise ModelError(
            f"size and channels of the images that {name} takes",
            f"{'channels' if size is None else 'a size'} alone",
            cause="Nothing else says the other one.",
            fix="Give both --size and --channels.",
        )
    return channels, size[0], size[1]

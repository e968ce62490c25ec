"""What an audit asks: one model, images for each protocol, and every setting the answer depends on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from shiftproof._device import choose_devices, describe_environment
from shiftproof._digest import Json, derive_seed
from shiftproof._tasks import Outputs, TaskName
from shiftproof._text import said
from shiftproof.adapters import (
    N_ASKED,
    Classifier,
    Model,
    ModelRequest,
    Task,
    Threshold,
    as_classifier,
    check_task,
    describe,
    evaluating,
    load_classifier,
    load_framed,
    tell_task,
    with_task,
)
from shiftproof.audits._task import fitted
from shiftproof.data import AS_USUAL, Decoders, Images, ImagesLike, Reading, without_found_labels
from shiftproof.engine import Engine, check_there, parse_engine
from shiftproof.errors import DataError, OptionError, ShapeError
from shiftproof.probe import Method, check_method
from shiftproof.shifts import ProtocolBorder, ShiftProtocol, find_protocol

DEFAULT_PROTOCOL = "grid:4"
MAX_IMAGES = 10**9
MOST_SAID = 300
# No machine has more cores, and each would be a thread that waits.
MAX_THREADS = 1024


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """Settings of an audit, as a user gives them.

    Args:
        protocols: References or protocols; the first one is that of the headline and of plain gates.
        border: Another border for all of them.
        seed: Source of offsets and of the choice of images.
        method: `auto`, `direct` or `dense`.
        precision: Stop as soon as the interval of the agreement is this wide on each side, or None.
        stop_when_decided: Stop a protocol as soon as all gates about it are decided. All looks together have
            the coverage of `confidence`, so each interval is wider than without.
        limit: Use so many images, drawn at random.
        max_bad: Largest share of files that may be skipped.
        confidence: Nominal coverage of every interval.
        device: auto, cpu, cuda, cuda:N or mps; several with commas between, for a worker on each.
        engine: Where shards are computed: `local`, `ray` or `ray:ADDRESS`; see `parse_engine`.
        gpus_per_worker: GPUs of each worker of a cluster; see `Engine`.
        batch_size: Images at a time; by default by their size.
        threads: Batches at a time on a CPU, in each worker; by default all cores, shared by the workers of
            this machine, or one for each worker of a cluster.
        decoders: Processes that decode image files: once before the measurement, to know that they can be
            used, and then ahead of the model, in each worker; by default none, and threads decode what is
            needed next.
        allow_noise: Go on where answers change as much without a shift as under shifts.
        task: What an answer is: `single-label`, `binary`, `multi-label` or `embedding`; by default as the
            answers say.
        outputs: What its numbers are: `logits`, `probabilities`, or `vector` for an embedding.
        threshold: Above which probability an answer is positive, or a label there; 0.5 by default. One
            number, or one for each label, in the order of the model's answers or by name.
        reading: What a source of images cannot say of itself: a root, columns, a window.
        pictures: Whether the record has the worst images themselves, small, before and after the shift.

    Raises:
        OptionError: A value outside its range.
        UnknownNameError: No such method or task.
    """

    protocols: Sequence[str | ShiftProtocol] = (DEFAULT_PROTOCOL,)
    border: ProtocolBorder | None = None
    seed: int = 0
    method: Method = "auto"
    precision: float | None = None
    stop_when_decided: bool = False
    limit: int | None = None
    max_bad: float = 0.01
    confidence: float = 0.95
    device: str = "auto"
    engine: str = "local"
    gpus_per_worker: float | None = None
    batch_size: int | None = None
    threads: int | None = None
    decoders: int = 0
    allow_noise: bool = False
    task: TaskName | None = None
    outputs: Outputs | None = None
    threshold: Threshold | None = None
    reading: Reading = AS_USUAL
    pictures: bool = True

    def __post_init__(self) -> None:
        if not self.protocols:
            raise OptionError("at least one protocol", "none")
        check_method(self.method)
        check_task(self.task, self.outputs, self.threshold)
        if self.precision is not None and not 0 < self.precision < 0.5:
            raise OptionError("a precision between 0 and 0.5", self.precision)
        if not 0 < self.confidence < 1:
            raise OptionError("a confidence between 0 and 1", self.confidence)
        for name, most in (("limit", MAX_IMAGES), ("batch_size", MAX_IMAGES), ("threads", MAX_THREADS)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise OptionError(f"{name} from 1 to {most:,}", value)
        Decoders(self.decoders)  # checks the number

    @property
    def may_stop_early(self) -> bool:
        """Whether the number of images is left to what is measured."""
        return self.precision is not None or self.stop_when_decided


@dataclass(frozen=True, eq=False)
class AuditQuestion:
    """One model, and for each protocol the images that it needs.

    Args:
        classifier: The model, on its device.
        parts: Protocol and images; a protocol of moving crops has larger ones.
        options: Every setting.
        devices: Where to compute: one, or one for each worker.
        engine: Where its shards are computed.
        n_classes: How many classes or labels there are; for an embedding, how many numbers.
        task: What an answer is.
    """

    classifier: Classifier
    parts: tuple[tuple[ShiftProtocol, Images], ...]
    options: AuditOptions
    devices: tuple[torch.device, ...]
    engine: Engine
    n_classes: int
    task: Task

    @property
    def device(self) -> torch.device:
        """Where the model is in this process."""
        return self.devices[0]

    @property
    def images(self) -> Images:
        """The images of the first protocol."""
        return self.parts[0][1]

    def shown_px(self, images: Images, protocol: ShiftProtocol) -> tuple[int, int]:
        """(height, width) of what the model is shown of these images."""
        takes = self.classifier.framing.image_shape
        if takes is not None:
            return takes[1:]
        my, mx = protocol.margin_px(images.image_shape[1:])
        return images.image_shape[1] - 2 * my, images.image_shape[2] - 2 * mx

    def config(self) -> dict[str, Json]:
        """Everything that the result depends on, and by which a run is known."""
        digest = self.classifier.digest or uuid.uuid4().hex
        return {
            "model": describe(self.classifier).to_dict() | {"digest": digest},
            "parts": [
                {"protocol": protocol.describe(), "data": images.digest} for protocol, images in self.parts
            ],
            "seed": self.options.seed,
            "method": self.options.method,
            "precision": self.options.precision,
            "stop_when_decided": self.options.stop_when_decided,
            "confidence": self.options.confidence,
            "task": self.task.identity(),
            "environment": describe_environment(self.device),
        }


def ask(
    model: str | Model | Classifier,
    images: ImagesLike,
    options: AuditOptions | None = None,
    *,
    request: ModelRequest | None = None,
) -> AuditQuestion:
    """Load the model and the images of an audit, and check that they fit together.

    Args:
        model: A reference such as `timm:resnet18`, a module, a function of images, or a classifier.
        images: A reference such as a folder; images; or what Python has: an array (N, C, H, W) or
            (N, H, W, C) of bytes or of numbers in [0, 1], a list of images of Pillow or of paths, each alone
            or in a tuple with labels; a dataset; a loader.
        options: Settings.
        request: What a reference to a model cannot say.

    Raises:
        ShiftproofError: Whatever is wrong with either, or with both together.
    """
    options = options or AuditOptions()
    devices = choose_devices(options.device)
    device, engine = devices[0], _engine(options, devices)
    check_there(engine)
    found = [_protocol(reference, options.border) for reference in options.protocols]
    names = [protocol.name for protocol in found]
    if len(set(names)) < len(names):
        raise OptionError("each protocol once", ", ".join(names))
    classifier = with_task(
        load_classifier(model, _request(request, options))
        if isinstance(model, str)
        else as_classifier(model),
        task=options.task,
        outputs=options.outputs,
        threshold=options.threshold,
    ).to(device)
    loaded: dict[tuple[int, int], Images] = {}
    parts = []
    task, n_classes = Task(), 0
    for protocol in found:
        shape = classifier.framing.image_shape
        margin = protocol.margin_px(shape[1:]) if shape else (0, 0)
        if margin not in loaded:
            raw = _loaded(images, classifier, margin, options)
            understood, task, n_classes = _understood(classifier, raw, margin, device)
            loaded[margin] = _in_random_order(understood, options)
        parts.append((protocol, loaded[margin]))
    known = with_task(classifier, task=task.name, outputs=task.outputs, threshold=task.threshold)
    return AuditQuestion(known, tuple(parts), options, devices, engine, n_classes, task)


def _loaded(
    images: ImagesLike, classifier: Classifier, margin_px: tuple[int, int], options: AuditOptions
) -> Images:
    with Decoders(options.decoders) as decoders:
        return load_framed(
            images,
            classifier.framing,
            margin_px=margin_px,
            limit=options.limit,
            seed=options.seed,
            max_bad=options.max_bad,
            reading=options.reading,
            decoders=decoders,
        )


def _engine(options: AuditOptions, devices: Sequence[torch.device]) -> Engine:
    return parse_engine(
        options.engine,
        devices=[str(device) for device in devices],
        threads=options.threads,
        gpus=options.gpus_per_worker,
    )


def _understood(
    classifier: Classifier, raw: Images, margin_px: tuple[int, int], device: torch.device
) -> tuple[Images, Task, int]:
    """Images with labels as the model numbers them, its task, and how many classes it tells apart.

    A table that nobody named, and that was only found beside the images, may be about something else.
    """
    try:
        task, n_classes = _told(classifier, raw, margin_px, device)
        return fitted(raw, classifier, task, n_classes), task, n_classes
    except DataError as error:
        why = said(error.what, MOST_SAID)
        bare = without_found_labels(raw, why)
        if bare is None:
            raise
    task, n_classes = _told(classifier, bare, margin_px, device)
    return bare, task, n_classes


def _request(request: ModelRequest | None, options: AuditOptions) -> ModelRequest:
    """The task too, as some sources have another model for another task."""
    request = request or ModelRequest()
    return request if options.task is None else replace(request, task=options.task)


def _protocol(reference: str | ShiftProtocol, border: ProtocolBorder | None) -> ShiftProtocol:
    if isinstance(reference, str):
        return find_protocol(reference, border=border)
    if border is None or border == reference.border:
        return reference
    return replace(reference, name=f"{reference.name}+{border}", border=border)


def _in_random_order(images: Images, options: AuditOptions) -> Images:
    """Stopping early needs every beginning of the set to be a fair sample of it."""
    if not options.may_stop_early:
        return images
    return images.take(_shuffled(len(images), options.seed))


def _shuffled(n_images: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive_seed(seed, "order of images"))
    return torch.randperm(n_images, generator=generator)


def _told(
    classifier: Classifier, images: Images, margin_px: tuple[int, int], device: torch.device
) -> tuple[Task, int]:
    """Ask about a few images: does the model take them, what does it answer, and with how many numbers?"""
    rows = torch.linspace(0, len(images) - 1, min(N_ASKED, len(images))).long()
    few = images.take(rows).pixels(slice(0, len(rows)))
    (my, mx), takes = margin_px, classifier.framing.image_shape
    if takes is not None and (my or mx):
        my, mx = (few.shape[2] - takes[1]) // 2, (few.shape[3] - takes[2]) // 2
    few = few[:, :, my : few.shape[2] - my, mx : few.shape[3] - mx].to(device).float() / 255
    if takes is not None and tuple(few.shape[1:]) != takes:
        raise ShapeError(f"images of shape {takes} for {classifier.name}", tuple(few.shape[1:]))
    with evaluating(classifier.model):
        task, n_outputs = tell_task(classifier, few, images.labels, images.class_names)
    return task, task.n_classes(n_outputs)

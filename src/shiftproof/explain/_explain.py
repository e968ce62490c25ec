"""One call: which layer loses translation invariance, why, and how much?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from shiftproof._device import choose_devices
from shiftproof._digest import digest_of_bytes
from shiftproof.adapters import (
    Classifier,
    Model,
    Task,
    TaskUnknownError,
    as_classifier,
    describe,
    evaluating,
    load_classifier,
    load_framed,
    tell_task,
)
from shiftproof.anatomy import Place, common_stride
from shiftproof.data import AS_USUAL, UNKNOWN, ImagesLike, Reading, is_images
from shiftproof.engine import StopsWhen, check_there, parse_engine, workers_of
from shiftproof.errors import DataError, ModelError, OptionError
from shiftproof.explain._batches import device_of
from shiftproof.explain._interventions import UNMOVED, Measurement
from shiftproof.explain._losses import WORTH_OPENING, loss_of, part_of_whole
from shiftproof.explain._offsets import draw_offsets
from shiftproof.explain._read import read_runs
from shiftproof.explain._remedies import remedies_for
from shiftproof.explain._report import explained
from shiftproof.explain._runs import Runs
from shiftproof.explain._segments import open_where_it_drops
from shiftproof.explain._staircase import Staircase
from shiftproof.explain._there import shared_by
from shiftproof.records import Explanation, Frame, ImageSetRecord
from shiftproof.shifts import Border, check_border

DEFAULT_LIMIT = 32
# Images by whose answers the task is told: half as many as an audit asks, since each costs a forward pass.
N_TOLD = 4
# Images at a time, and numbers at the cuts of one image that make these fewer.
MOST_AT_ONCE = 16
NUMBERS_KEPT = 2**26


def explain(
    model: str | Model | Classifier,
    images: ImagesLike,
    *,
    limit: int | None = DEFAULT_LIMIT,
    n_shifts: int = 2,
    max_shift_px: int | None = None,
    border: Border = "zeros",
    n_remedies: int = 3,
    most_cuts: int = 48,
    seed: int = 0,
    confidence: float = 0.95,
    device: str = "auto",
    engine: str = "local",
    gpus_per_worker: float | None = None,
    batch_size: int | None = None,
    reading: Reading = AS_USUAL,
    on_step: Callable[[str], None] = lambda step: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Explanation:
    """Find out by intervention which layer makes the answer change when the image moves, and why.

    The network is stopped after a step, and all tensors that are alive are replaced by what a perfectly
    equivariant network would hold: those of the image where it was, moved along. How much the answer still
    changes is what the steps after it cause, and the drop from one cut to the next is what is lost between
    them. Blocks are cut at their ends first, and inside only where the staircase drops.

    Args:
        model: A module of images (N, C, H, W) in [0, 1] to logits (N, K), such as a network of torchvision;
            a reference to one such as `timm:resnet18`; or a `Classifier`. Functions have no layers.
        images: A tensor (N, C, H, W) of bytes or of numbers in [0, 1]; `Images`; a reference such as a
            folder; or what `shiftproof.audit` takes. At least 2 different ones.
        limit: Use the first so many images of a tensor or of `Images`, or so many at random of all else.
        n_shifts: Of each image, in each condition.
        max_shift_px: Longest shift on each axis; see `draw_offsets`.
        border: What comes in from outside.
        n_remedies: How many of the layers that lose most are replaced, one at a time in a copy of the
            network, to measure what that would gain.
        most_cuts: After so many cuts no further block is opened.
        seed: Source of the choice of images and of the shifts.
        confidence: Nominal coverage of the intervals.
        device: auto, cpu, cuda, cuda:N or mps; several with commas between, for a worker on each.
        engine: Where batches and remedies are measured: `local`, `ray` or `ray:ADDRESS`.
        gpus_per_worker: GPUs of each worker of a cluster.
        batch_size: Images at a time; by default by what the maps take.
        reading: What a source of images cannot say of itself: a root, columns, a window.
        on_step: Told what is being done.
        check_stop: Called between runs of the network; may raise `Stopped`.

    Returns:
        The staircase, and a row for each layer or block, whose losses add up to the whole change.

    Raises:
        DataError: Fewer than 2 images, or all alike.
        ModelError: The model is no module, or gives another answer each time.
        OptionError: A number out of its range.
        ShiftproofError: Whatever else is wrong with the model or the images.

    Convention:
        The change is the squared distance of the logits over that between images, the change of the
        probability of the class that is answered to the unshifted image, and the share of shifts under which
        the class is another: with nothing patched, what an audit measures under the same shifts. Maps are
        moved by whole positions, as near as these come to the offset: by the nearest multiple of the strides
        of all tensors that are alive. Fractions of a pixel come on top of that, band-limited. Rows without
        positions are as they were. What is put in was computed with every border going around, so that it
        moves exactly; the row `images` is what the border of the images themselves costs. Where sizes close
        no circle, positions that come in from outside are as computed.
        The second call of a layer is `name#2`.
        Pinned by tests/explain/test_explain.py.

    Source:
        Interchange interventions: Geiger et al. 2021, arXiv:2106.02997; Zhang 2019, arXiv:1904.11486
        (downsampling); Karras et al. 2021, arXiv:2106.12423 (non-linearities and fractions of a pixel);
        Kayhan and van Gemert 2020, arXiv:2003.07064 (borders); Chaman and Dokmanic 2021, arXiv:2011.14214
        (circular shifts). Differs: what is put in is the unshifted run, moved.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        >>> found = explain(build_network("cnn1"), images, n_remedies=0)
        >>> found.ranked()[0].layer
        'body.flatten'
    """
    places = choose_devices(device)
    place = places[0]
    where = parse_engine(engine, devices=list(map(str, places)), gpus=gpus_per_worker)
    check_there(where)
    classifier = _with_layers(load_classifier(model) if isinstance(model, str) else as_classifier(model))
    for name, number, least in (
        ("n_shifts", n_shifts, 1),
        ("n_remedies", n_remedies, 0),
        ("most_cuts", most_cuts, 2),
        ("batch_size", batch_size, 1),
    ):
        if number is not None and number < least:
            raise OptionError(f"`{name}` of at least {least}", number)
    pixels, labels, data = _pixels(images, classifier, limit, seed, reading)
    border = check_border(border)
    home = device_of(classifier)
    try:
        classifier = classifier.to(place)
        with ExitStack() as stack:
            stack.enter_context(evaluating(classifier.model))
            shown = pixels.to(place)
            on_step("reading the network")
            task = _task(classifier, shown, labels)  # What is wrong with the model or the images shows here.
            runs, note = read_runs(classifier, shown)
            measurement = _measurement(runs, shown, n_shifts, max_shift_px, border, seed, batch_size)
            measurement = replace(measurement, task=task)
            shared = shared_by(classifier, runs, measurement, where)
            workers = stack.enter_context(workers_of(where, shared, stop=StopsWhen(check_stop)))
            staircase = Staircase(runs, measurement, check_stop, workers)

            def measure(at: Any) -> None:
                on_step(f"cutting {classifier.name} after {len(at)} of {len(runs.moments):,} steps")
                staircase.measure(at)

            measure([UNMOVED, 0, len(runs.moments) - 1])
            segments = open_where_it_drops(
                runs,
                measure,
                lambda segment: part_of_whole(staircase, loss_of(staircase, segment)),
                worth=WORTH_OPENING,
                most_cuts=most_cuts,
                begin=UNMOVED if measurement.moves_apart("with-border") else 0,
            )
            losses = [loss_of(staircase, segment) for segment in segments]
            remedies = remedies_for(staircase, losses, n_remedies, on_step)
    finally:
        classifier.to(home)
    return explained(
        staircase,
        losses,
        remedies,
        confidence=confidence,
        model=describe(classifier),
        data=data,
        notes=(*classifier.notes, *note),
    )


def _task(classifier: Classifier, shown: Tensor, labels: Tensor) -> Task:
    """As an audit tells it; classes by their logits where an audit would ask."""
    spread = torch.linspace(0, len(shown) - 1, min(N_TOLD, len(shown))).long()
    try:
        return tell_task(classifier, shown[spread.to(shown.device)], labels)[0]
    except TaskUnknownError:
        return Task()


def _measurement(
    runs: Runs,
    shown: Tensor,
    n_shifts: int,
    max_shift_px: int | None,
    border: Border,
    seed: int,
    batch_size: int | None,
) -> Measurement:
    size_px = (int(shown.shape[2]), int(shown.shape[3]))
    places = [p for i in range(len(runs.moments)) if isinstance(p := runs.placed(i), Place)]
    certain = [place for place in places if not place.by_shape] or places
    stride = common_stride(certain)
    offsets = draw_offsets(len(shown), n_shifts, size_px, stride, max_shift_px=max_shift_px, seed=seed)
    frame: Frame = "circle" if all(place.goes_around(size_px) for place in certain) else "border"
    numbers = sum(place.size[0] * place.size[1] for place in places)
    size = batch_size or max(1, min(MOST_AT_ONCE, NUMBERS_KEPT // max(1, 64 * numbers)))
    return Measurement(shown, offsets, border, frame, size)


def _with_layers(classifier: Classifier) -> Classifier:
    model = classifier.model
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{classifier.name} to be a torch module",
            f"a {type(model).__name__}",
            cause="Its layers cannot be seen.",
            fix="Give the network itself, for example as file.py:NAME.",
        )
    inner = getattr(model, "_orig_mod", model)  # of torch.compile
    return replace(classifier, model=inner) if inner is not model else classifier


def _pixels(
    images: ImagesLike, classifier: Classifier, limit: int | None, seed: int, reading: Reading
) -> tuple[Tensor, Tensor, ImageSetRecord]:
    """Numbers in [0, 1] of shape (N, C, H, W), labels, and what a report says of them."""
    if limit is not None and limit < 2:
        raise OptionError("`limit` of at least 2", limit, cause="Images are compared with others.")
    conversions: Mapping[str, int] = {}
    if isinstance(images, Tensor):
        pixels, name, digest = images[:limit], "images", ""
        labels = torch.full((len(pixels),), UNKNOWN)
    else:
        if not is_images(images):
            images = load_framed(images, classifier.framing, limit=limit, seed=seed, reading=reading)
        shown = images if limit is None else images.take(torch.arange(min(limit, len(images))))
        pixels, name, digest = shown.pixels(slice(None)), images.name, images.digest
        labels = shown.labels
        conversions = shown.conversions
    if pixels.ndim != 4 or len(pixels) < 2:
        raise DataError(
            "at least 2 images of shape (N, C, H, W)",
            tuple(pixels.shape),
            cause="The scale of a change is the difference between images.",
        )
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.detach()
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            "images in [0, 1]",
            f"numbers from {low:g} to {high:g}",
            cause="Normalisation belongs to the model, after the shift.",
        )
    if bool((pixels == pixels[:1]).all()):
        raise DataError.cannot(
            "compare images",
            "they are all equal",
            cause="The scale of a change is the difference between images.",
        )
    own = digest or digest_of_bytes([pixels.cpu().contiguous().numpy().tobytes()])
    _, channels, height, width = pixels.shape
    record = ImageSetRecord(
        name=name,
        n_images=len(pixels),
        image_shape=(channels, height, width),
        digest=own,
        conversions=conversions,
    )
    return pixels, labels, record

"""One call: which layer loses translation invariance, why, and how much?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from shiftproof._device import choose_device
from shiftproof._digest import Json, digest_of_bytes
from shiftproof.adapters import (
    Classifier,
    Model,
    as_classifier,
    describe,
    evaluating,
    load_classifier,
    load_framed,
)
from shiftproof.data import AS_USUAL, ImagesLike, Reading, is_images
from shiftproof.errors import DataError, ModelError, OptionError
from shiftproof.explain._batches import device_of
from shiftproof.explain._blame import NOTHING, WORTH_SHARING, Loss, blame, loss_of
from shiftproof.explain._calls import IMAGES
from shiftproof.explain._equivariance import (
    CONDITIONS,
    Condition,
    Errors,
    Floats,
    Measured,
    Plan,
    choose_frame,
    measure_errors,
)
from shiftproof.explain._explanation import Explanation, LayerRow
from shiftproof.explain._graph import Graph, read_graph
from shiftproof.explain._sentence import main_cause, sentence
from shiftproof.explain._swap import swapped
from shiftproof.explain._views import choose_views
from shiftproof.metrics import Estimate, NotApplicable, estimate_mean
from shiftproof.shifts import Border, check_border

DEFAULT_LIMIT = 32
# A layer is tried in place of those that lose at least so much.
WORTH_A_REMEDY = 0.02
UNIT = "squared difference, 1 for another image"
# What is kept of the unmoved images, in numbers: a quarter of a gigabyte.
NUMBERS_KEPT = 2**26


def explain(
    model: str | Model | Classifier,
    images: ImagesLike,
    *,
    limit: int | None = DEFAULT_LIMIT,
    max_shift_px: int | None = None,
    border: Border = "zeros",
    n_remedies: int = 3,
    seed: int = 0,
    confidence: float = 0.95,
    device: str = "auto",
    batch_size: int | None = None,
    reading: Reading = AS_USUAL,
    on_step: Callable[[str], None] = lambda step: None,
    check_stop: Callable[[], None] = lambda: None,
) -> Explanation:
    """Measure what each layer loses of translation equivariance, and why.

    A network is equivariant up to a layer if a shift of the image moves the layer's maps by as much, and
    invariant if it leaves the answer as it is. Images are shown as they are and moved; the maps are moved
    back and compared; and the error of a layer minus that of its inputs is what this layer loses.

    Args:
        model: A module of images (N, C, H, W) in [0, 1] to logits (N, K), such as a network of torchvision;
            a reference to one such as `timm:resnet18`; or a `Classifier`. Functions have no layers.
        images: A tensor (N, C, H, W) of bytes or of numbers in [0, 1]; `Images`; a reference such as a
            folder; or what `shiftproof.audit` takes. At least 2 different ones.
        limit: Use the first so many images of a tensor or of `Images`, or so many at random of all else.
        max_shift_px: Longest shift on each axis; see `choose_views`.
        border: What comes in from outside.
        n_remedies: How many of the layers that lose most are replaced, one at a time in a copy of the
            network, to measure what that would gain.
        seed: Source of the choice of images; shifts are the same every time.
        confidence: Nominal coverage of the intervals.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: Images at a time, at least 2; by default by what the maps take.
        reading: What a source of images cannot say of itself: a root, columns, a window.
        on_step: Told what is being done.
        check_stop: Called between runs of the network; may raise `Stopped`.

    Returns:
        A row for each layer, and how they add up.

    Raises:
        DataError: Fewer than 2 images, or all alike.
        ModelError: The model is no module.
        OptionError: A number out of its range.
        ShiftproofError: Whatever else is wrong with the model or the images.

    Convention:
        The error is a mean squared difference divided by the one between different images at the same
        positions: 0 is exact, 1 is unrelated. Maps are moved back by offset / total stride: whole
        positions as they are; between positions by a windowed sinc, or a Fourier series on a circle, or
        the nearest positions where these fit better. The second call of a layer is `name#2`. Layers that
        restore have negative increases; shares are of what the others lose.
        Pinned by tests/explain/test_explain.py.

    Source:
        Lenc and Vedaldi 2015 (equivariance of features); Zhang 2019, arXiv:1904.11486 (downsampling); Karras
        et al. 2021, arXiv:2106.12423 (non-linearities and fractions of a pixel); Kayhan and van Gemert 2020,
        arXiv:2003.07064 (borders); Chaman and Dokmanic 2021, arXiv:2011.14214 (circular shifts). Differs:
        errors are normalised by other images, and differences of conditions are taken layer by layer.

    Example:
        >>> from shiftproof.zoo import build_network
        >>> images = torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
        >>> found = explain(build_network("cnn1"), images, n_remedies=0)
        >>> [row.layer for row in found.rows][:3]
        ['body.conv1', 'body.relu1', 'body.pool1']
    """
    place = choose_device(device)
    classifier = _with_layers(load_classifier(model) if isinstance(model, str) else as_classifier(model))
    pixels, data = _pixels(images, classifier, limit, seed, reading)
    if n_remedies < 0:
        raise OptionError("`n_remedies` of at least 0", n_remedies)
    if batch_size is not None and batch_size < 2:
        raise OptionError("`batch_size` of at least 2", batch_size, cause="Images are compared with others.")
    border = check_border(border)
    assert isinstance(classifier.model, nn.Module)
    home = device_of(classifier)
    try:
        classifier = classifier.to(place)
        with evaluating(classifier.model):
            on_step("reading the network")
            shown = pixels.to(place)
            graph = read_graph(classifier, shown)
            strides = {step.stride for step in graph.steps.values()}
            views = choose_views(graph.image_shape[1:], strides, max_shift_px=max_shift_px)
            size = batch_size or _batch_size(graph)
            plan = Plan(views, border, choose_frame(graph, views), size)
            on_step(f"comparing {len(graph.steps):,} steps under {len(views)} shifts")
            measured = measure_errors(classifier, graph, shown, plan, check_stop=check_stop)
            _check_differ(measured)
            losses = blame(graph, measured, len(pixels))
            work = _Work(classifier, graph, shown, plan, confidence, check_stop)
            remedies = _remedies(work, losses, n_remedies, on_step)
    finally:
        classifier.to(home)
    return _explained(work, losses, remedies, data)


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
) -> tuple[Tensor, dict[str, Json]]:
    """Numbers in [0, 1] of shape (N, C, H, W), and what a report says of them."""
    if limit is not None and limit < 2:
        raise OptionError("`limit` of at least 2", limit, cause="Images are compared with others.")
    conversions: dict[str, Json] = {}
    if isinstance(images, Tensor):
        pixels, name, digest = images[:limit], "images", ""
    else:
        if not is_images(images):
            images = load_framed(images, classifier.framing, limit=limit, seed=seed, reading=reading)
        shown = images if limit is None else images.take(torch.arange(min(limit, len(images))))
        pixels, name, digest = shown.pixels(slice(None)), images.name, images.digest
        conversions = dict(shown.conversions)
    if pixels.ndim != 4 or len(pixels) < 2:
        raise DataError(
            "at least 2 images of shape (N, C, H, W)",
            tuple(pixels.shape),
            cause="The scale of an error is the difference between images.",
        )
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.detach()
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            "images in [0, 1]",
            f"numbers from {low:g} to {high:g}",
            cause="Normalisation belongs to the model, after the shift.",
        )
    own = digest or digest_of_bytes([pixels.cpu().contiguous().numpy().tobytes()])
    described: dict[str, Json] = {
        "name": name, "n_images": len(pixels), "image_shape": list(pixels.shape[1:]), "digest": own,
        "conversions": conversions,
    }  # fmt: skip
    return pixels, described


def _batch_size(graph: Graph) -> int:
    numbers = sum(int(np.prod(step.shape)) for step in graph.steps.values())
    return max(2, min(16, NUMBERS_KEPT // max(1, numbers)))


def _check_differ(measured: Mapping[str, Measured]) -> None:
    if all(isinstance(error, NotApplicable) for error in measured[IMAGES].errors.values()):
        raise DataError(
            "images that differ",
            "equal ones",
            cause="The scale of an error is the difference between images.",
        )


@dataclass(frozen=True, eq=False, slots=True)
class _Work:
    """What every part of the explanation needs."""

    classifier: Classifier
    graph: Graph
    images: Tensor
    plan: Plan
    confidence: float
    check_stop: Callable[[], None]

    def estimate(self, per_image: Floats) -> Estimate:
        found = estimate_mean(per_image, unit=UNIT, confidence=self.confidence)
        assert isinstance(found, Estimate), "there are two images at least"
        return found

    def estimates(self, errors: Errors) -> dict[Any, Estimate | NotApplicable]:
        return {c: e if isinstance(e, NotApplicable) else self.estimate(e) for c, e in errors.items()}


def _remedies(
    work: _Work, losses: Mapping[str, Loss], n_wanted: int, on_step: Callable[[str], None]
) -> dict[str, tuple[str, float]]:
    """For those that lose most: another layer, and the part of the increase that it takes away."""
    found: dict[str, tuple[str, float]] = {}
    for loss in sorted(losses.values(), key=lambda loss: -loss.share):
        if len(found) == n_wanted or loss.share < WORTH_A_REMEDY:
            break
        calls = [step for step in work.graph.steps.values() if step.layer == loss.step.layer]
        assert isinstance(work.classifier.model, nn.Module)
        swap = swapped(work.classifier.model, loss.step, main_cause(loss)) if len(calls) == 1 else None
        if swap is None:
            continue
        on_step(f"trying {swap.replacement} in place of {loss.step.name}")
        # Where borders go around, a layer that wraps is the same layer.
        wraps = work.plan.frame == "circle" and main_cause(loss) == "border"
        conditions: tuple[Condition, ...] = ("with-border",) if wraps else CONDITIONS
        level = _level_after(work, replace(work.classifier, model=swap.network), loss, conditions)
        if level is not None:
            before, after = loss.increase.mean(), loss.flow * (level - loss.before).mean()
            found[loss.step.name] = (swap.replacement, float(1 - after / before))
    return found


def _level_after(
    work: _Work, classifier: Classifier, loss: Loss, conditions: tuple[Condition, ...]
) -> Floats | None:
    """The loss of the step with another layer in its place; None where that cannot be measured as well."""
    graph = read_graph(classifier, work.images)
    name = loss.step.name
    step = graph.steps.get(name)
    if step is None or step.shape != loss.step.shape:
        return None
    measured = measure_errors(
        classifier,
        graph,
        work.images,
        work.plan,
        only=[name],
        conditions=conditions,
        check_stop=work.check_stop,
    )
    found = {c: (measured[name].errors if c in conditions else loss.errors)[c] for c in CONDITIONS}
    known = {c: error for c, error in found.items() if not isinstance(error, NotApplicable)}
    return loss_of(known) if len(known) == len(CONDITIONS) else None


def _explained(
    work: _Work, losses: Mapping[str, Loss], remedies: Mapping[str, tuple[str, float]], data: dict[str, Json]
) -> Explanation:
    total = sum(max(0.0, float(loss.increase.mean())) for name, loss in losses.items() if name != IMAGES)
    answer = losses[work.graph.answer]
    rows = tuple(
        _row(work, loss, total, remedies.get(name))
        for name, loss in losses.items()
        if name != IMAGES and _is_shown(loss)
    )
    return Explanation(
        rows=rows,
        image_loss=work.estimate(losses[IMAGES].level),
        output_loss=work.estimate(answer.level),
        output_errors=work.estimates(answer.errors),
        frame=work.plan.frame,
        border=work.plan.border,
        offsets_px=tuple(view.offset_px for view in work.plan.views),
        n_images=len(work.images),
        model=describe(work.classifier),
        data=data,
        notes=tuple(_notes(work, total)),
    )


def _is_shown(loss: Loss) -> bool:
    """Layers are; functions where they change anything: most only give the same numbers another shape."""
    if loss.step.layer is not None:
        return True
    return any(abs(float(part.mean())) > NOTHING for part in loss.split.values())


def _row(work: _Work, loss: Loss, total: float, remedy: tuple[str, float] | None) -> LayerRow:
    step = loss.step
    reasons = {error.reason for error in loss.errors.values() if isinstance(error, NotApplicable)}
    return LayerRow(
        layer=step.name,
        kind=step.kind,
        stride_px=(float(step.stride[0]), float(step.stride[1])),
        size=step.space.size if step.space else None,
        errors=work.estimates(loss.errors),
        increase=work.estimate(loss.increase),
        split={cause: float(part.mean()) for cause, part in loss.split.items()},
        share=loss.share,
        sentence=sentence(loss, work.graph, total=total, remedy=remedy),
        remedy=remedy[0] if remedy else None,
        remedy_removes=remedy[1] if remedy else None,
        not_applicable=_why_not(loss, reasons),
    )


def _why_not(loss: Loss, reasons: set[str]) -> str | None:
    if loss.flow == 0:
        return "the answer does not depend on it"
    everything = all(isinstance(error, NotApplicable) for error in loss.errors.values())
    return "; ".join(sorted(reasons)) if everything else None


def _notes(work: _Work, total: float) -> list[str]:
    notes = list(work.classifier.notes)
    if work.plan.frame == "circle":
        notes.append(
            "No position of the deepest maps sees the image alone. Every cause but the border was measured "
            "on the network with all borders and shifts going around."
        )
    if total < WORTH_SHARING:
        notes.append(f"All layers together lose {total:.1g}: too little to tell who loses it.")
    return notes

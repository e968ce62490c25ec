"""One call: for which shifts is a network's answer certain not to change?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from shiftproof._text import said
from shiftproof.adapters import (
    Classifier,
    Model,
    Pipeline,
    as_classifier,
    evaluating,
    explained,
    load_classifier,
    of_others,
)
from shiftproof.anatomy import (
    Adaptive,
    Choose,
    CircularFinding,
    Pair,
    PositionGrid,
    Randomness,
    Reason,
    Rolls,
    Steps,
    find_circular,
    read_network,
    rolled,
)
from shiftproof.certify._around import step_around
from shiftproof.certify._certificate import certificate, circular_law, interior_law, with_checks
from shiftproof.certify._interior import InteriorPass, Local, find_interior, where_it_begins
from shiftproof.certify._moves import boxes, random_images, rolls
from shiftproof.certify._numbering import finer_steps
from shiftproof.certify._numeric import Precisions, check
from shiftproof.certify._stages import stages_of
from shiftproof.errors import ModelError, OptionError, ShapeError
from shiftproof.records import Certificate, CircularLaw, InteriorLaw, LawCheck
from shiftproof.zoo import ImageShape

# Random images of a check: a proof is about the structure, so that more of them would say little more.
N_IMAGES = 4
# As many moves as make so many pixels, by default: all of 4 images of 28 × 28 px, 12 of 224 × 224.
BUDGET_PX = 2_500_000

REAL_ARITHMETIC = '"Proved" is meant in real arithmetic: computed answers differ by rounding.'
ADAPTIVE = (
    "Adaptive strides choose by content. Phases that are equally strong, within 2⁻³⁴, are told apart by a "
    "hash of their content: rounding before the layer may change which one is taken, and one time in about "
    "2⁴⁰ different phases have the same hash."
)
RECORDED = (
    "torch.fx cannot follow it: its steps were recorded while it ran on images of {} × {} px. "
    "Nothing is said about other sizes."
)
NUMBERED = (
    "The law of circular shifts was found by following each number of the network, for images of this size; "
    "the steps do not show it."
)


def certify(
    model: str | Model | Classifier,
    image_shape: ImageShape | None = None,
    images: Tensor | None = None,
    *,
    n_images: int = N_IMAGES,
    n_moves: int | None = None,
    numeric: bool = True,
    seed: int = 0,
) -> Certificate:
    """Prove for which shifts a network's answer cannot change, and check it by numbers.

    Args:
        model: A module of images (N, C, H, W) to logits or to maps, a reference such as
            `zoo:cnn2-aps`, or a `Classifier`, whose preprocessing is part of the network. It comes back as
            it was.
        image_shape: (C, H, W) of the images; by default what the classifier takes.
        images: Images to check on, as well as random ones: (n, C, H, W), numbers in [0, 1] or bytes.
        n_images: Random images to check on.
        n_moves: Check so many moves at most; by default by the size of the images. The first, the last,
            and others at random.
        numeric: Whether to check at all.
        seed: Source of images, of colours and of the choice of moves.

    Returns:
        Both laws, the strongest one as verdict, and the checks. What cannot be followed is not proved,
        and named.

    Raises:
        ModelError: It is a function or an exported graph, of which the layers are not known; its forward
            raises; or the module inside a wrapper computes something else.
        OptionError: No size of images is known, or fewer than one image or move.
        ShapeError: Images of another shape.

    Example:
        >>> layers = [nn.Conv2d(1, 4, 3, 2, padding=1, padding_mode="circular"), nn.ReLU(),
        ...           nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        >>> found = certify(nn.Sequential(*layers), (1, 8, 8))
        >>> found.verdict, found.circular.step_px, found.holds
        ('strided-shifts', (2, 2), True)
        >>> print(found.headline)
        Proved that the answer does not change under circular shifts by multiples of 2 px.
    """
    classifier = load_classifier(model) if isinstance(model, str) else as_classifier(model)
    shape = _shape(classifier, image_shape, images)
    _check_options(n_images, n_moves)
    if numeric and images is not None and tuple(images.shape[1:]) != shape:
        raise ShapeError(f"images of shape (n, {', '.join(map(str, shape))})", tuple(images.shape))
    module = _copied(classifier)
    with evaluating(module):
        _check_answers(classifier, module, shape)
        steps = read_network(module, shape)
        if isinstance(steps, Reason):
            found = _not_followed(classifier, shape, steps)
        else:
            found = _proved(classifier, module, shape, steps)
            claims = found.circular.proved or found.interior.answer is not None
            if claims and steps.trace.mixed is not None:
                found = _not_followed(classifier, shape, steps.trace.mixed)
        found = _with_what_is_around(found, classifier, module, shape)
        if not numeric:
            return found
        shown = _images(shape, images, n_images, seed)
        narrows = isinstance(steps, Steps) and steps.narrows
        budget = n_moves or max(1, BUDGET_PX // (len(shown) * shape[1] * shape[2]))
        grid = None if isinstance(steps, Reason) else steps.steps[-1].grid
        try:
            networks = Precisions.of(module, shown, narrows=narrows)
            checks = _checks(found, networks, shown, grid, budget, seed)
        except BaseException as error:  # Anything can happen in the forward of others, also in float64 alone.
            notes = (*found.notes, said(f"Not checked by numbers: {of_others(error)}"))
            return found.model_copy(update={"notes": notes})
        return with_checks(found, checks)


def _shape(classifier: Classifier, image_shape: ImageShape | None, images: Tensor | None) -> ImageShape:
    if image_shape is not None:
        return image_shape
    if classifier.framing.image_shape is not None:
        return classifier.framing.image_shape
    if images is not None and images.ndim == 4:
        channels, height, width = images.shape[1:]
        return channels, height, width
    raise OptionError(
        f"a size of the images that {classifier.name} takes",
        "none",
        cause="Whether strides divide the size decides what can be proved.",
        fix="Give --size and --channels, or `image_shape=(C, H, W)` in Python.",
    )


def _check_options(n_images: int, n_moves: int | None) -> None:
    if n_images < 1:
        raise OptionError("at least 1 image", n_images)
    if n_moves is not None and n_moves < 1:
        raise OptionError("at least 1 move", n_moves)


def _copied(classifier: Classifier) -> nn.Module:
    """The classifier as one module of our own."""
    with evaluating(classifier.model):
        if classifier.pipeline is not None:
            return _own_copy(classifier.pipeline)
    raise ModelError(
        f"a network of layers in {classifier.name}",
        type(classifier.model).__name__,
        cause="What a function or an exported graph does is not known layer by layer.",
        fix="Certify the PyTorch module that it was made from.",
    )


def _own_copy(module: nn.Module) -> nn.Module:
    """A copy, so that nothing that is done to it can be seen from outside; itself if it has none."""
    try:
        return copy.deepcopy(module)
    except BaseException as error:  # whatever a model does in __deepcopy__, it can still be read
        of_others(error)
        return module


def _asked(classifier: Classifier, module: nn.Module, shape: ImageShape) -> object:
    """The answer to two random images: a forward that raises is an error of the model, and no finding."""
    tensors = (tensor for tensor in [*module.parameters(), *module.buffers()] if tensor.is_floating_point())
    like = next(tensors, torch.zeros(()))
    images = random_images(shape, 2, seed=0).to(like.device, like.dtype)
    with (
        Randomness(),
        torch.inference_mode(),
        explained(
            f"run {classifier.name} on images of shape {tuple(images.shape)}",
            cause="Its forward ended with this error.",
            fix="Check --size, --channels and --channels-last, and that it takes a batch of images.",
        ),
    ):
        return module(images)


def _check_answers(classifier: Classifier, module: nn.Module, shape: ImageShape) -> None:
    """The network answers, and what is read inside a wrapper computes what the wrapper does."""
    answer, given = _asked(classifier, module, shape), classifier.model
    if not isinstance(given, nn.Module) or given is classifier.inner:
        return
    with evaluating(given):
        wrapped = _asked(classifier, Pipeline(classifier.preprocess, given, classifier.logits), shape)
    if not (isinstance(answer, Tensor) and isinstance(wrapped, Tensor)):
        return
    if not torch.allclose(answer, wrapped, rtol=1e-3, atol=1e-4 * float(answer.abs().max())):
        raise ModelError(
            f"the module inside {classifier.name} to answer as it does",
            "other answers",
            cause=f"It is a {type(given).__name__}, whose layers are read instead of it.",
            fix="Certify the module inside.",
        )


def _images(shape: ImageShape, images: Tensor | None, n_images: int, seed: int) -> Tensor:
    random = random_images(shape, n_images, seed=seed)
    if images is None:
        return random
    given = images.detach().cpu()
    given = given.double() / 255 if given.dtype == torch.uint8 else given.double()
    return torch.cat([random, given])


def _not_followed(classifier: Classifier, shape: ImageShape, reason: Reason) -> Certificate:
    size_px = shape[1:]
    circular = circular_law(size_px, None, None, None, (reason,), reason)
    interior = interior_law(size_px, None, "", (1, 1), (0, 0), (0, 0), False, None, reason)
    return certificate(classifier, shape, circular, interior, (), (REAL_ARITHMETIC, *classifier.notes))


def _proved(classifier: Classifier, module: nn.Module, shape: ImageShape, steps: Steps) -> Certificate:
    size_px = shape[1:]
    rolled, moved = find_circular(steps, size_px), find_interior(steps, size_px)
    by_steps = _circular(rolled, steps, size_px)
    circular = _by_numbering(by_steps, steps, shape)
    recorded = steps.trace.recorded is not None
    interior = _interior(moved, None if recorded else lambda px: read_network(module, (shape[0], *px)))
    adaptive = any(isinstance(o, Adaptive | Choose) for step in steps.steps for o in step.operations)
    notes = (
        REAL_ARITHMETIC,
        *([ADAPTIVE] if adaptive and circular.proved else []),
        *([RECORDED.format(*size_px)] if recorded else []),
        *([NUMBERED] if circular is not by_steps else []),
        *classifier.notes,
    )
    stages = stages_of(steps, rolled.last, moved)
    return certificate(classifier, shape, circular, interior, stages, notes)


def _with_what_is_around(
    found: Certificate, classifier: Classifier, module: nn.Module, shape: ImageShape
) -> Certificate:
    """The same, where an edit around the network makes it exact for finer circular shifts."""

    def law_of(inside: nn.Module) -> CircularLaw | None:
        steps = read_network(inside, shape)
        if isinstance(steps, Reason) or steps.trace.mixed is not None:
            return None
        return _proved(classifier, inside, shape, steps).circular

    around = step_around(module, law_of)
    if around is None or found.circular.step_px in (around[0], (1, 1)):
        return found
    law = circular_law(shape[1:], around[0], None, None, (), None)
    notes = (*found.notes, around[1])
    return certificate(classifier, shape, law, found.interior, found.stages, notes)


def _circular(finding: CircularFinding, steps: Steps, size_px: Pair) -> CircularLaw:
    limits = finding.limits
    if finding.last.lost is not None:
        return circular_law(size_px, None, None, None, limits, finding.last.lost)
    answer = finding.last.facts[steps.steps[-1].node]
    grid = steps.steps[-1].grid
    if not isinstance(answer, Rolls) or answer.stays or grid is None:
        return circular_law(size_px, finding.last.step_px, None, None, limits, None)
    rolls_by = (int(answer.turns[0].step), int(answer.turns[1].step))
    return circular_law(size_px, finding.last.step_px, rolls_by, grid.axes, limits, None)


def _by_numbering(law: CircularLaw, steps: Steps, shape: ImageShape) -> CircularLaw:
    """The same law for finer rolls, where following every number proves it."""
    known_px = law.step_px or law.image_px
    if law.rolls is not None or known_px == (1, 1):
        return law
    step_px = finer_steps(steps.trace, shape, known_px)
    if step_px == known_px:
        return law
    return circular_law(law.image_px, step_px, None, law.axes, (), None)


def _interior(found: InteriorPass, read: Callable[[Pair], Steps | Reason] | None) -> InteriorLaw:
    """The law; where images are too small for it also the size from which they are not, if it can be read."""
    answer: Literal["invariant", "equivariant"] | None = None
    if found.lost is None:
        answer = "equivariant" if isinstance(found.answer, Local) else "invariant"
    larger = None
    if read is not None and found.is_empty and answer is not None:
        larger = where_it_begins(read, found)
    final = (larger or found).final
    return interior_law(
        found.image_px,
        answer,
        final.layer if answer else found.reach.layer,
        final.step_px,
        final.before_px,
        final.after_px,
        found.is_empty,
        larger.image_px if larger else None,
        found.lost,
    )


def _checks(
    found: Certificate,
    networks: Precisions,
    images: Tensor,
    grid: PositionGrid | None,
    n_most: int,
    seed: int,
) -> tuple[LawCheck, ...]:
    """Each law by itself; without one of rolls, how much these change."""
    law = found.circular
    rolled = rolls(images, law.step_px or (1, 1), n_most=n_most, seed=seed)
    checks = []
    if rolled.offsets_px:

        def follows(answer: Tensor, offset_px: Pair) -> Tensor:
            return _rolled(answer, offset_px, law, grid)

        name: Literal["circular", "none"] = "circular" if law.proved else "none"
        checks.append(check(name, rolled, networks, follows if law.rolls is not None else None))
    inner = found.interior
    if inner.proved and inner.answer == "invariant":
        moved = boxes(images, inner.step_px, inner.before_px, inner.after_px, n_most=n_most, seed=seed)
        checks.append(check("interior", moved, networks))
    return tuple(checks)


def _rolled(answer: Tensor, offset_px: Pair, law: CircularLaw, grid: PositionGrid | None) -> Tensor:
    """Maps as the law says that they answer a roll of the images."""
    assert law.step_px is not None
    assert law.rolls is not None
    assert grid is not None
    amounts = [
        offset // step * by for offset, step, by in zip(offset_px, law.step_px, law.rolls, strict=True)
    ]
    return rolled(answer, grid, (amounts[0], amounts[1]))

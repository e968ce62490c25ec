"""The noise floor of an audit: how much answers differ where nothing moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from shiftproof._text import percent
from shiftproof.audits._measure import Measured
from shiftproof.audits._question import AuditQuestion
from shiftproof.engine import Run, Unit
from shiftproof.errors import ModelError
from shiftproof.metrics import Estimate, MetricSpec, NotApplicable, as_if_moved, metrics
from shiftproof.probe import REPEATS, Response, measure_noise
from shiftproof.records import NoiseRecord

# Below this change of the logits, in their norm, rounding in half precision explains it.
ROUNDING = 0.01
SAMPLED = ("flip-rate", "drift")


def ask_again(
    question: AuditQuestion, run: Run | None, check_stop: Callable[[], None] = lambda: None
) -> Response:
    """The answers to some images, asked again; kept by a run, so that its report stays the same."""
    protocol, images = question.parts[0]
    options = question.options
    n_shifts = protocol.draw(1, question.shown_px(images, protocol), seed=options.seed).shape[-2]
    unit = Unit(
        "noise",
        {
            "protocol": protocol.describe(),
            "task": question.task.identity(),
            "seed": options.seed,
            "batch_size": options.batch_size,
            "device": question.device.type,
            "torch": torch.__version__,
        },
        {"model": question.classifier.digest, "data": images.digest},
    )
    if run is not None and run.units.has(unit):
        return Response.load(run.units.path(unit))
    response = measure_noise(
        question.classifier,
        images,
        protocol,
        n_shifts=n_shifts,
        seed=options.seed,
        batch_size=options.batch_size,
        device=question.device,
        threads=options.threads,
        check_stop=check_stop,
    )
    if run is not None:
        run.units.keep(unit, response.to_bytes())
    return response


def noise_record(noise: Response, confidence: float) -> NoiseRecord:
    """What metrics make of the repetitions: the numbers that nothing but noise would reach."""
    asked = [spec for spec in metrics if noise.task.name in spec.tasks and _has_a_floor(spec)]
    return NoiseRecord(
        n_images=noise.n_images,
        repeats=REPEATS,
        largest_drift=float(noise.drift.max()),
        beyond_rounding=_is_beyond_rounding(noise),
        estimates={spec.name: _floor(spec, noise, confidence) for spec in asked},
    )


def check_noise(question: AuditQuestion, noise: Response, part: Measured) -> None:
    """Nothing where moving the image changes more than asking again.

    Raises:
        ModelError: The numbers of a protocol are those of the noise; says both.
    """
    if question.options.allow_noise or not _is_beyond_rounding(noise):
        return
    confidence = question.options.confidence
    for name in SAMPLED:
        spec = metrics.get(name)
        measured, floor = spec.estimate(part.response, confidence=confidence), _floor(spec, noise, confidence)
        if isinstance(measured, NotApplicable) or isinstance(floor, NotApplicable):
            continue
        if floor.value > 0 and floor.high >= measured.low and floor.value >= measured.value / 2:
            raise _drowned(question, noise, part, spec, floor, measured)


def _drowned(
    question: AuditQuestion,
    noise: Response,
    part: Measured,
    spec: MetricSpec,
    floor: Estimate,
    measured: Estimate,
) -> ModelError:
    steady = bool((noise.drift[:, 0] <= ROUNDING).all())
    return ModelError(
        f"{question.classifier.name} to change more under the shifts of {part.protocol.name} than when asked "
        "again without any",
        f"{spec.name} {_amount(spec, measured)} and {_amount(spec, floor)}",
        cause="Its answer to an image depends on what else is in the batch."
        if steady
        else "Its answer to the same image differs from call to call: dropout or noise is active.",
        fix="Fix the model, or add --allow-noise (`allow_noise=True` in Python) to go on.",
    )


def _amount(spec: MetricSpec, estimate: Estimate) -> str:
    return percent(estimate.value) if spec.name == "flip-rate" else f"{estimate.value:.3g}"


def _floor(spec: MetricSpec, noise: Response, confidence: float) -> Estimate | NotApplicable:
    """Of the repetition that changes more: an answer may depend on the batch and on nothing else."""
    answers = as_if_moved(noise)
    found = [
        spec.estimate(answers.with_shifts(np.arange(noise.n_shifts) == repeat), confidence=confidence)
        for repeat in range(noise.n_shifts)
    ]
    numbers = [each for each in found if isinstance(each, Estimate)]
    if not numbers:
        return found[0]
    worst = min if spec.higher_is_better else max
    return worst(numbers, key=lambda each: each.value)


def _has_a_floor(spec: MetricSpec) -> bool:
    """Distances have none, and neither has what does not ask about moved images."""
    return spec.needs_moves and spec.unit != "px"


def _is_beyond_rounding(noise: Response) -> bool:
    changed = noise.predicted != noise.unshifted_predicted[:, None]
    return bool(changed.any()) or bool((noise.drift > ROUNDING).any())

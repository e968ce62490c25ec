"""What is reported: a row for each finalist, on images that nothing was chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from torch import nn

from shiftproof.adapters import Classifier, EditStep, digest_of_module, of_others
from shiftproof.certify import certify
from shiftproof.data import Images
from shiftproof.errors import ModelError, OptionError, ShiftproofError
from shiftproof.fix._count import Tell
from shiftproof.fix._fixed import ORIGINAL
from shiftproof.fix._measure import (
    TIMED_IMAGES,
    Measuring,
    differences,
    estimates,
    milliseconds,
    n_parameters,
    on_the_front,
    passes,
    score,
)
from shiftproof.fix._search import Candidate
from shiftproof.metrics import Difference
from shiftproof.probe import Response
from shiftproof.records import EditRecord, FixedRow


def measured_table(
    classifier: Classifier,
    finalists: Sequence[Candidate],
    images: Images,
    measuring: Measuring,
    confidence: float,
    on_step: Tell,
) -> tuple[tuple[FixedRow, ...], Mapping[str, tuple[Classifier, nn.Module | None]]]:
    """A row for the original and for each finalist, and the models themselves, by name.

    Args:
        classifier: The original.
        finalists: Chosen by other images.
        images: To report on, with labels.
        measuring: How.
        confidence: Nominal coverage of the intervals.
        on_step: Told how far that is.
    """
    own = classifier.model if isinstance(classifier.model, nn.Module) else None
    models: dict[str, tuple[Classifier, nn.Module | None]] = {ORIGINAL: (classifier, own)}
    for each in finalists:
        models[each.name] = (_named(each), each.edited.network)
    asked = [classifier, *(each.edited.classifier for each in finalists)]
    responses: dict[str, Response] = {}
    for name, answers in zip(models, measuring.responses(asked, images, len(images), on_step), strict=True):
        if isinstance(answers, ShiftproofError):
            raise answers
        responses[name] = answers
    shown = images.pixels(slice(0, TIMED_IMAGES)).to(measuring.device).float() / 255
    ms = milliseconds({name: model for name, (model, _) in models.items()}, shown)
    estimated = {name: estimates(answers, confidence) for name, answers in responses.items()}
    front = on_the_front([ms[name] for name in models], [score(estimated[name]) for name in models])
    by_name = {each.name: each for each in finalists}
    rows = []
    for (name, (model, _)), on_front in zip(models.items(), front, strict=True):
        found = by_name.get(name)
        change = differences(responses[name], responses[ORIGINAL], confidence)
        n_forwards, forwards_at_once = passes(model, images.image_shape)
        rows.append(
            FixedRow(
                name=name,
                steps=_recorded(found.proposal.steps) if found else (),
                estimates=estimated[name],
                differences=change,
                ms_per_image=ms[name],
                cost=ms[name] / ms[ORIGINAL],
                n_forwards=n_forwards,
                forwards_at_once=forwards_at_once,
                n_parameters=n_parameters(model.model),
                on_front=on_front,
                verdict=_verdict(change["accuracy"]) if found else "",
                certificate=_certificate(model, images),
                changes=found.edited.changes if found else (),
                left_alone=found.edited.left_alone if found else (),
            )
        )
    return tuple(rows), models


def _recorded(steps: Sequence[EditStep]) -> tuple[EditRecord, ...]:
    return tuple(EditRecord.model_validate(step, from_attributes=True) for step in steps)


def _named(candidate: Candidate) -> Classifier:
    """The classifier of a finalist, with a digest of the weights that it ended with."""
    found = candidate.edited.classifier
    if not isinstance(found.model, nn.Module):
        return found
    return replace(found, digest=digest_of_module(found.model))


def _verdict(difference: object) -> Literal["helps", "harms", "undecided"]:
    if not isinstance(difference, Difference):
        return "undecided"
    return "helps" if difference.low > 0 else "harms" if difference.high < 0 else "undecided"


def _certificate(classifier: Classifier, images: Images) -> str:
    """What is proved of a model, in a sentence; why nothing is."""
    try:
        found = certify(classifier, images.image_shape, numeric=False)
    except (ModelError, OptionError) as error:
        return f"Nothing is proved: {of_others(error).partition(': ')[2]}"
    return str(found).partition("\n")[0]

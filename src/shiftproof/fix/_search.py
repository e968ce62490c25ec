"""Successive halving: all candidates on few images, the better half on twice as many, until few are left."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from shiftproof._text import counted
from shiftproof.adapters import Classifier, EditedClassifier, edit_classifier, of_others
from shiftproof.data import Images
from shiftproof.edits import edits
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._measure import Measuring, clean_score, score
from shiftproof.fix._propose import Proposal, combined

FIRST_IMAGES = 48
FINALISTS = 4
# Trains the network of a candidate in place, from one part of all epochs to another; see `fix`.
Train = Callable[[Classifier, nn.Module, str, float, float], None]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A proposal that was made real.

    Args:
        proposal: What it is.
        edited: The classifier, and what is different in it.
        score: On the images that it was chosen by, so far.
        clean: The same without shifts.
        trained: Which part of all epochs it was trained for.
    """

    proposal: Proposal
    edited: EditedClassifier
    score: float = 0.0
    clean: float = 0.0
    trained: float = 0.0

    @property
    def name(self) -> str:
        """Of the proposal."""
        return self.proposal.name


def search(
    classifier: Classifier,
    proposals: list[Proposal],
    images: Images,
    measuring: Measuring,
    *,
    train: Train | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[list[Candidate], list[Proposal]]:
    """The best few of many proposals, judged by the images for choosing alone.

    Args:
        classifier: The original, on its device.
        proposals: What to try, beside the original itself.
        images: For choosing, with labels.
        measuring: How.
        train: Trains a candidate; None for no training.
        on_step: Told what is being done.

    Returns:
        At most `FINALISTS`, the best first; and what turned out not to be possible.
    """
    failed: list[Proposal] = []
    alive = _made(classifier, proposals, images, measuring, failed)
    n_rungs = 1 + max(0, (len(alive) - 1) // FINALISTS).bit_length()
    for rung in range(1, n_rungs + 1):
        n_images = min(len(images), max(FIRST_IMAGES, len(images) >> (n_rungs - rung)))
        on_step(f"{counted(len(alive), 'edit')} on {counted(n_images, 'image')}")
        if train is not None:
            alive = _kept(alive, partial(_trained, train=train, until=rung / n_rungs), failed)
        part = images.take(torch.arange(n_images))
        alive = _kept(alive, partial(_scored, images=part, measuring=measuring), failed)
        alive.sort(key=lambda each: -each.score)
        if rung == n_rungs:
            break
        alive = alive[: max(FINALISTS, -(-len(alive) // 2))]
        if rung == 1:
            known = {each.name for each in alive}
            more = [found for best in alive[:2] for found in combined(best.proposal, classifier)]
            added = [proposal for proposal in more if proposal.name not in known]
            alive += _made(classifier, added, images, measuring, failed)
    return alive[:FINALISTS], failed


def _made(
    classifier: Classifier,
    proposals: list[Proposal],
    images: Images,
    measuring: Measuring,
    failed: list[Proposal],
) -> list[Candidate]:
    few = images.pixels(slice(0, 256)).to(measuring.device).float() / 255
    found = []
    for proposal in proposals:
        try:
            # As it is, it is trained in a copy.
            own = classifier if proposal.steps else copy.deepcopy(classifier)
            found.append(Candidate(proposal, edit_classifier(own, proposal.steps, few)))
        except Stopped:
            raise
        except ShiftproofError as error:
            failed.append(_not_possible(proposal, error))
    return found


def _kept(
    candidates: list[Candidate], step: Callable[[Candidate], Candidate], failed: list[Proposal]
) -> list[Candidate]:
    found = []
    for candidate in candidates:
        try:
            found.append(step(candidate))
        except Stopped:
            raise
        except ShiftproofError as error:
            failed.append(_not_possible(candidate.proposal, error))
    return found


def _trained(candidate: Candidate, train: Train, until: float) -> Candidate:
    network, steps = candidate.edited.network, candidate.proposal.steps
    has_own = not steps or any(edits.get(step.edit).kind == "surgery" for step in steps)
    if network is None or not has_own or candidate.trained >= until:
        return candidate
    train(candidate.edited.classifier, network, candidate.name, candidate.trained, until)
    return replace(candidate, trained=until)


def _scored(candidate: Candidate, images: Images, measuring: Measuring) -> Candidate:
    response = measuring.response(candidate.edited.classifier, images)
    return replace(candidate, score=score(response), clean=clean_score(response))


def _not_possible(proposal: Proposal, error: ShiftproofError) -> Proposal:
    return replace(proposal, not_possible=of_others(error).partition(": ")[2])

"""Successive halving: all candidates on few images, the better half on twice as many, until few are left."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import nn

from shiftproof._text import counted, percent
from shiftproof.adapters import Classifier, EditedClassifier, edit_classifier
from shiftproof.data import Images
from shiftproof.edits import edits
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.fix._measure import Estimates, Measuring, estimates, score
from shiftproof.fix._propose import Proposal, combined, together
from shiftproof.probe import Response
from shiftproof.records import TriedRecord

FIRST_IMAGES = 48
FINALISTS = 4
# Trains networks in place up to a part of all epochs, and says what failed; see `Trainings.train`.
Train = Callable[[Sequence[tuple[str, nn.Module]], float, float], Mapping[str, ShiftproofError]]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A proposal that was made real.

    Args:
        proposal: What it is.
        edited: The classifier, and what is different in it.
        estimates: What it was worth when it was last measured on images for choosing.
        n_images: So many of them.
        trained: Which part of all epochs it was trained for.
    """

    proposal: Proposal
    edited: EditedClassifier
    estimates: Estimates = field(default_factory=dict)
    n_images: int = 0
    trained: float = 0.0

    @property
    def name(self) -> str:
        """Of the proposal."""
        return self.proposal.name

    @property
    def score(self) -> float:
        """How often its answer to a shifted image is right."""
        return score(self.estimates)

    @property
    def tried(self) -> TriedRecord:
        """What is recorded of it, as if it were no finalist."""
        return TriedRecord(
            name=self.name,
            n_images=self.n_images,
            estimates=self.estimates,
            trained=self.trained,
            fate="dropped",
        )

    @property
    def learned(self) -> str | None:
        """The edits of layers, in words, after which there is something to train; None where there is not."""
        steps = self.proposal.steps
        surgery = tuple(step for step in steps if edits.get(step.edit).kind == "surgery")
        if self.edited.network is None or (steps and not surgery):
            return None
        return Proposal(surgery).name


@dataclass(frozen=True, eq=False)
class Searched:
    """What became of all proposals.

    Args:
        finalists: At most `FINALISTS`, the best first.
        dropped: What others were better than, those that went farthest first. Their networks are gone.
        failed: What turned out not to be possible.
    """

    finalists: Sequence[Candidate]
    dropped: Sequence[TriedRecord]
    failed: Sequence[Proposal]


def search(
    classifier: Classifier,
    proposals: list[Proposal],
    images: Images,
    measuring: Measuring,
    *,
    confidence: float = 0.95,
    train: Train | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Searched:
    """The best few of many proposals, judged by the images for choosing alone.

    Args:
        classifier: The original, on its device.
        proposals: What to try, beside the original itself.
        images: For choosing, with labels.
        measuring: How.
        confidence: Nominal coverage of the intervals.
        train: Trains their networks; None for no training.
        on_step: Told what is being done.
    """
    failed: list[Proposal] = []
    dropped: list[TriedRecord] = []
    known: dict[str, Response | ShiftproofError] = {}
    n_known = 0
    alive = _made(classifier, proposals, images, measuring, failed)
    n_rungs = 1 + max(0, (len(alive) - 1) // FINALISTS).bit_length()
    for rung in range(1, n_rungs + 1):
        n_images = min(len(images), max(FIRST_IMAGES, len(images) >> (n_rungs - rung)))
        until = _part(rung, n_rungs)
        trained = "" if train is None else f", trained for {percent(until)} of all epochs"
        if train is not None or n_images != n_known:
            known, n_known = {}, n_images  # Where there are few images, no rung has more of them.
        n_asked = sum(each.name not in known for each in alive)
        if n_asked:
            on_step(f"{counted(n_asked, 'edit')} on {counted(n_images, 'image')}{trained}")
        if train is not None:
            alive = _all_trained(alive, train, rung, n_rungs, failed)
        unknown = [each for each in alive if each.name not in known]
        responses = measuring.responses(
            [each.edited.classifier for each in unknown], images, n_images, on_step
        )
        known |= zip([each.name for each in unknown], responses, strict=True)
        alive = _kept(alive, partial(_scored, answers=known, confidence=confidence), failed)
        alive.sort(key=lambda each: -each.score)
        names = {each.name for each in alive}
        n_kept = FINALISTS if rung == n_rungs else _n_kept(len(alive))
        dropped = [*(each.tried for each in alive[n_kept:]), *dropped]
        alive = alive[:n_kept]
        if rung == 1 and rung < n_rungs:
            more = [found for best in alive[:2] for found in combined(best.proposal, classifier)]
            more += together([(each.proposal, each.edited.changes) for each in alive], classifier)
            added = [proposal for proposal in more if proposal.name not in names]
            alive += _made(classifier, added, images, measuring, failed)
            # After one edit another may find nothing left to change; nobody asked for both.
            failed = [each for each in failed if not each.has_no_layer]
    return Searched(alive, dropped, failed)


def _part(rung: int, n_rungs: int) -> float:
    """Which part of all epochs the candidates of a rung were trained for after it.

    Half as many for twice as long: every rung costs about the same.

    Example:
        >>> [_part(rung, 3) for rung in (0, 1, 2, 3)]
        [0.0, 0.25, 0.5, 1.0]
    """
    return 2.0 ** (rung - n_rungs) if rung else 0.0


def _n_kept(n: int) -> int:
    return max(FINALISTS, -(-n // 2))


def _all_trained(
    candidates: list[Candidate], train: Train, rung: int, n_rungs: int, failed: list[Proposal]
) -> list[Candidate]:
    """All of them, trained up to the part of a rung."""
    until = _part(rung, n_rungs)
    networks = [
        (each.learned, each.edited.network)
        for each in candidates
        if each.learned is not None and each.edited.network is not None
    ]
    later, n = 0.0, len({name for name, _ in networks})
    for after in range(rung + 1, n_rungs + 1):
        n = min(n, _n_kept(n))
        later += n * (_part(after, n_rungs) - _part(after - 1, n_rungs))
    errors = train(networks, until, later)

    def trained(candidate: Candidate) -> Candidate:
        if candidate.learned is None:
            return candidate
        if candidate.learned in errors:
            raise errors[candidate.learned]
        return replace(candidate, trained=until)

    return _kept(candidates, trained, failed)


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
            # As it is, it is trained in a copy, which is no more what the reference of the original loads.
            own = classifier if proposal.steps else replace(copy.deepcopy(classifier), origin=None)
            found.append(Candidate(proposal, edit_classifier(own, proposal.steps, few)))
        except Stopped:
            raise
        except ShiftproofError as error:
            failed.append(proposal.refused(error))
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
            failed.append(candidate.proposal.refused(error))
    return found


def _scored(
    candidate: Candidate, answers: Mapping[str, Response | ShiftproofError], confidence: float
) -> Candidate:
    response = answers[candidate.name]
    if isinstance(response, ShiftproofError):
        raise response
    return replace(candidate, estimates=estimates(response, confidence), n_images=response.n_images)

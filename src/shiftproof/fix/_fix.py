"""One call: from what is lost to a better model, measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shiftproof._digest import derive_seed
from shiftproof.adapters import (
    Classifier,
    Model,
    ModelRequest,
    Task,
    edit_classifier,
    located,
    of_others,
)
from shiftproof.audits import AuditOptions, AuditQuestion, ImagesLike, ask
from shiftproof.data import Images, data_sources, load_data, match_labels
from shiftproof.errors import DataError, ModelError, OptionError
from shiftproof.explain import Explanation, explain
from shiftproof.fix._choose import judged
from shiftproof.fix._fixed import ORIGINAL, Fixed
from shiftproof.fix._jury import Case, workers_for
from shiftproof.fix._measure import (
    TIMED_IMAGES,
    Measuring,
    estimates,
    milliseconds,
    with_truth,
)
from shiftproof.fix._options import FixOptions
from shiftproof.fix._propose import Proposal, propose
from shiftproof.fix._record import fix_record, worst_losses
from shiftproof.fix._rows import measured_table
from shiftproof.fix._search import Candidate, search
from shiftproof.fix._student import LessonProgress
from shiftproof.fix._teach import Teaching
from shiftproof.fix._trainings import Trainings
from shiftproof.probe import Response
from shiftproof.records import FixAboutRecord, FixedRow, Losses, TrainingRecord, TriedRecord
from shiftproof.shifts import ShiftProtocol

EXPLAINED_IMAGES = 16
LEAST_IMAGES = 2


def fix(
    model: str | Model | Classifier,
    images: ImagesLike,
    *,
    training: Images | None = None,
    request: ModelRequest | None = None,
    checkpoints: Path | None = None,
    on_step: Callable[[str], None] = lambda step: None,
    on_progress: Callable[[str, LessonProgress], None] = lambda name, progress: None,
    check_stop: Callable[[], None] = lambda: None,
    **options: Any,
) -> Fixed:
    """Find what to edit in a model so that it keeps its answers when the image moves, and what that costs.

    Explains which layers lose most, makes the edits that fit, each in a copy, and drops the worse half again
    and again on ever more of the images for choosing. What is reported is measured on the other half of the
    images, which nothing was chosen by.

    Args:
        model: A module or function of images (N, C, H, W) in [0, 1] to logits (N, K), a reference, or a
            `Classifier`. For what is no module only edits around it are tried.
        images: As for `audit`. Without labels, what the model itself answers to the image as it is counts
            as right.
        training: Images to train on. By default those of the training split of a reference that has one;
            else a third of the images, which is then neither for choosing nor for reporting.
        request: What a reference to a model cannot say.
        checkpoints: Folder in which trainings are kept, so that an interrupted fix goes on.
        on_step: Told what is being done.
        on_progress: Told how far the training of a candidate is, and how long all trainings will still take.
        check_stop: Called between batches; may raise `Stopped`.
        options: The fields of `FixOptions`: protocol, edits, budget, epochs, …

    Returns:
        The chosen model and the table: the one that is right most often under the shifts, among those
        within the budget that are right about the image as it is no less than half a point less often than
        the original; of several within half a point the one with the fewest forward passes. The original
        itself if none is better.

    Raises:
        DataError: Too few images, or labels of one class where training needs them.
        OptionError: A number out of its range.
        ModelError: No edit fits the model, none could be tried to its end, as where memory is too little, or
            the model does not answer with one class for each image.
        ShiftproofError: Whatever else is wrong with the model or the images.

    Example:
        >>> found = fix("zoo:cnn2", "demo:mnist", limit=120, edits=["average-logits", "padding-reflect"])
        >>> [row.name for row in found.table]
        ['original', 'average-logits']
    """
    settings = FixOptions(**options)
    question = ask(
        model,
        images,
        AuditOptions(
            protocols=(settings.protocol,),
            seed=settings.seed,
            limit=settings.limit,
            confidence=settings.confidence,
            device=settings.device,
            engine=settings.engine,
            gpus_per_worker=settings.gpus_per_worker,
            threads=settings.threads,
            max_bad=settings.max_bad,
            reading=settings.reading,
            decoders=settings.decoders,
        ),
        request=request,
    )
    _check_task(question.task, settings)
    if not isinstance(question.classifier.model, nn.Module):
        without = ", and nothing is trained" if settings.epochs else ""
        on_step(f"its layers are not known: only what is around it is changed{without}")
        settings = replace(settings, epochs=0)
    return _Fixing(question, settings, checkpoints, on_step, on_progress, check_stop).run(
        training if training is not None else _training_split(images, question, settings),
        reference=located(model) if isinstance(model, str) else None,
        request=request,
    )


def _check_task(task: Task, settings: FixOptions) -> None:
    """Refuses what has no class to be right about, and training where that is not written."""
    if task.name not in ("single-label", "binary"):
        raise ModelError(
            "a model that answers with one class for each image",
            f"the task {task.name} ({task.why})",
            cause="Edits are chosen by how often that class is right.",
            fix="Make one edit with `apply_edit`, and measure both models with `shiftproof audit`.",
        )
    if task.name == "binary" and settings.epochs:
        raise ModelError(
            "a model with one number for each class to train",
            "one with one number for each image",
            fix="Leave out --epochs: edits without training are for both.",
        )


def _check_tried(finalists: Sequence[Candidate], failed: Sequence[Proposal]) -> None:
    """Refuses to say that nothing was better where nothing was tried to its end."""
    if finalists:
        return
    reasons = dict.fromkeys(str(each.not_possible) for each in failed)
    raise ModelError("an edit that could be tried", "none", cause="; ".join(reasons))


def _training_split(images: ImagesLike, question: AuditQuestion, settings: FixOptions) -> Images | None:
    """The images for training of a reference that has some, as many as the limit says; None for another."""
    scheme = images.partition(":")[0] if isinstance(images, str) else ""
    if not settings.epochs or scheme not in data_sources or data_sources.get(scheme).load is None:
        return None
    assert isinstance(images, str)
    found = load_data(images, "train")
    if found.image_shape != question.images.image_shape:
        return None
    if settings.limit is not None and settings.limit < len(found):
        generator = torch.Generator().manual_seed(derive_seed(settings.seed, "training"))
        found = found.take(torch.randperm(len(found), generator=generator)[: settings.limit])
    return match_labels(found, question.classifier.class_names, question.n_classes)


@dataclass(frozen=True)
class _Fixing:
    question: AuditQuestion
    settings: FixOptions
    checkpoints: Path | None
    on_step: Callable[[str], None]
    on_progress: Callable[[str, LessonProgress], None]
    check_stop: Callable[[], None]

    @property
    def classifier(self) -> Classifier:
        return self.question.classifier

    def run(self, training: Images | None, *, reference: str | None, request: ModelRequest | None) -> Fixed:
        """The whole of it."""
        protocol, images = self.question.parts[0]
        images, is_labelled = with_truth(
            self.classifier, images, self.question.device, self.question.task, self.question.n_classes
        )
        choosing, reporting, third = self._parts(images, training)
        measuring = Measuring(
            protocol,
            self.settings.seed,
            self.question.device,
            None,
            self.settings.threads,
            self.check_stop,
        )
        explanation = self._explain(self.classifier, choosing, "which layers lose most")
        proposals, misfits = self._propose(explanation, choosing)
        labelled = is_labelled and not self.settings.unlabelled
        lessons = training if training is not None else third
        teaching = self._teaching(lessons, labelled, protocol)
        n_steps = 0 if teaching is None else teaching.n_steps
        trainings = Trainings(n_steps, self.classifier.digest, self.checkpoints, self.on_progress)
        case, engine = Case((choosing, reporting), measuring, teaching), self.question.engine
        with workers_for(case, engine, self.classifier, trainings.hear) as (measuring, workers):
            searched = search(
                self.classifier,
                proposals,
                choosing,
                measuring,
                confidence=self.settings.confidence,
                train=None if teaching is None else partial(trainings.train, workers),
                on_step=self.on_step,
            )
            finalists = searched.finalists
            _check_tried(finalists, searched.failed)
            self.on_step(f"{len(finalists)} finalists and the original on {len(reporting)} other images")
            original = measuring.response(self.classifier, choosing)
            rows, models = measured_table(
                self.classifier, finalists, reporting, measuring, self.settings.confidence, self.on_step
            )
        tried = (*self._judged(finalists, rows, original), *searched.dropped)
        chosen = next(each.name for each in tried if each.fate == "chosen")
        model, network = models[chosen]
        record = fix_record(
            self.classifier,
            rows,
            chosen,
            tried=tried,
            about=self._about(choosing, reporting, lessons, is_labelled, labelled),
            losses=self._losses(reporting, network),
            not_possible=(*misfits, *searched.failed),
        )
        return Fixed(
            model=model,
            record=record,
            steps=next((each.proposal.steps for each in finalists if each.name == chosen), ()),
            original=self.classifier,
            network=network,
            image_shape=images.image_shape,
            reference=reference,
            request=request,
        )

    def _parts(self, images: Images, training: Images | None) -> tuple[Images, Images, Images | None]:
        """Images to choose by, to report on, and to train on where no others are."""
        takes_third = bool(self.settings.epochs) and training is None
        n_parts = 3 if takes_third else 2
        if len(images) < LEAST_IMAGES * n_parts:
            raise DataError(
                f"at least {LEAST_IMAGES * n_parts} images",
                len(images),
                cause="What is chosen by one part of them is reported on another.",
            )
        generator = torch.Generator().manual_seed(derive_seed(self.settings.seed, "parts"))
        order = torch.randperm(len(images), generator=generator)
        parts = [images.take(rows.sort().values) for rows in order.tensor_split(n_parts)]
        return parts[0], parts[1], parts[2] if takes_third else None

    def _explain(self, classifier: Classifier, images: Images, step: str) -> Explanation | None:
        if not isinstance(classifier.model, nn.Module):
            return None
        self.on_step(step)
        try:
            return explain(
                classifier,
                images.take(torch.arange(min(EXPLAINED_IMAGES, len(images)))),
                n_remedies=0,
                device=self.settings.device,
                engine=self.settings.engine,
                gpus_per_worker=self.settings.gpus_per_worker,
                check_stop=self.check_stop,
            )
        except (ModelError, DataError) as error:
            self.on_step(f"not explained: {of_others(error).partition(': ')[2]}")
            return None

    def _losses(self, images: Images, network: nn.Module | None) -> tuple[Losses | None, Losses | None]:
        """What the layers lose before and after, on images that nothing was chosen by.

        Both are None where the layers are those of the original.
        """
        if network is None or network is self.classifier.model:
            return None, None
        edited = replace(self.classifier, model=network)
        found = [self._explain(each, images, "which layers lose now") for each in (self.classifier, edited)]
        before, after = (None if each is None else worst_losses(each) for each in found)
        return before, after

    def _propose(
        self, explanation: Explanation | None, images: Images
    ) -> tuple[list[Proposal], list[Proposal]]:
        few = images.pixels(slice(0, 4)).to(self.question.device).float() / 255
        fits, misfits = propose(
            self.classifier, explanation, few, names=self.settings.edits, trains=bool(self.settings.epochs)
        )
        if not fits:
            reasons = "; ".join(f"{each.name}: {each.not_possible}" for each in misfits)
            raise ModelError("an edit that fits the model", "none", cause=reasons)
        if self.settings.epochs:
            fits.append(Proposal(()))
        return self._within_budget(fits, images), misfits

    def _within_budget(self, proposals: list[Proposal], images: Images) -> list[Proposal]:
        """Those that the clock lets pass; all of them without a budget."""
        if self.settings.budget is None:
            return proposals
        shown = images.pixels(slice(0, TIMED_IMAGES)).to(self.question.device).float() / 255
        made = {
            each.name: edit_classifier(self.classifier, each.steps, shown).classifier for each in proposals
        }
        cost = milliseconds({ORIGINAL: self.classifier} | made, shown)
        allowed = [each for each in proposals if cost[each.name] <= self.settings.budget * cost[ORIGINAL]]
        if not allowed:
            cheapest = min(cost[each.name] for each in proposals) / cost[ORIGINAL]
            raise OptionError(
                "a budget that some edit keeps to",
                f"{self.settings.budget:g}",
                cause=f"The cheapest one takes {cheapest:.2f} times as long as the original.",
                fix=f"Give --budget {cheapest * 1.1:.1f} or more.",
            )
        return allowed

    def _teaching(self, images: Images | None, labelled: bool, protocol: ShiftProtocol) -> Teaching | None:
        if not self.settings.epochs or images is None:
            return None
        lesson = self.settings.lesson
        self.on_step("training images" if labelled else "what is right for the images to train on")
        return Teaching(images, self.classifier, labelled, protocol, lesson, self.question.device)

    def _judged(
        self, finalists: Sequence[Candidate], rows: Sequence[FixedRow], original: Response
    ) -> tuple[TriedRecord, ...]:
        """The original and the finalists on the images for choosing, one of them chosen."""
        as_it_is = TriedRecord(
            name=ORIGINAL,
            n_images=original.n_images,
            estimates=estimates(original, self.settings.confidence),
            trained=0.0,
            fate="another is better",
        )
        return judged(
            as_it_is,
            [each.tried for each in finalists],
            {row.name: row.cost for row in rows},
            {row.name: row.forwards_at_once or 1.0 for row in rows},
            clean_margin=self.settings.clean_margin,
            budget=self.settings.budget,
        )

    def _about(
        self, choosing: Images, reporting: Images, lessons: Images | None, given: bool, labelled: bool
    ) -> FixAboutRecord:
        settings, (protocol, images) = self.settings, self.question.parts[0]
        training = None
        if settings.epochs and lessons is not None:
            training = TrainingRecord(
                n_images=len(lessons),
                epochs=settings.epochs,
                learning_rate=settings.learning_rate,
                batch_size=settings.batch_size,
                consistency=settings.consistency,
                labelled=labelled,
            )
        return FixAboutRecord(
            data={"name": images.name, "digest": images.digest},
            n_choosing=len(choosing),
            n_reporting=len(reporting),
            truth="labels" if given else "what the original answers to the image as it is",
            protocol={name: str(fact) for name, fact in protocol.describe().items()},
            budget=settings.budget,
            clean_margin=settings.clean_margin,
            training=training,
            seed=settings.seed,
            confidence=settings.confidence,
        )

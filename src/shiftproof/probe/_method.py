"""Which way to ask: every view by itself, or all at once where that is exact and cheaper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from shiftproof._registry import unknown_name
from shiftproof.adapters import Classifier, is_out_of_memory, of_others
from shiftproof.data import Images
from shiftproof.dense import NotPlanned, plan_rolls, plan_windows
from shiftproof.errors import OptionError
from shiftproof.probe._averaged import averaged_at_once
from shiftproof.probe._batches import Evaluator
from shiftproof.probe._checked import CHECKED_IMAGES, CHECKED_SHIFTS, agree
from shiftproof.probe._dense import AllAtOnce, Dense, RollAnswers, WindowAnswers
from shiftproof.probe._direct import Direct
from shiftproof.probe._outputs import Reader
from shiftproof.probe._views import Views

Method = Literal["auto", "direct", "dense"]


@dataclass(frozen=True, eq=False)
class MethodChoice:
    """The way that was chosen.

    Args:
        reason: Why, for a reader.
        classifier: What is asked where each shift is asked for by itself: the model, or what answers as it
            does where the shifts that it averages over share their work.
        plan: The answers to all shifts at once, or None to ask for each by itself.
    """

    reason: str
    classifier: Classifier
    plan: AllAtOnce | None = None

    @property
    def name(self) -> str:
        """`direct` or `dense`."""
        return "direct" if self.plan is None else "dense"

    @property
    def batch_size(self) -> int | None:
        """Images at a time, or None for what fits the images."""
        return None if self.plan is None else self.plan.images_per_batch

    def evaluators(self, reader: Reader, n_workers: int) -> list[Evaluator]:
        """One for each worker; fewer where threads cannot share the model."""
        if self.plan is not None:
            return [Dense(self.plan, reader)] * n_workers
        return [Direct(replica, reader) for replica in self.classifier.replicas(n_workers)]


def check_method(method: str) -> None:
    """Nothing for a method that there is, `UnknownNameError` for any other.

    Example:
        >>> check_method("auto")
    """
    if method not in get_args(Method):
        raise unknown_name("method", str(method), get_args(Method))


def choose_method(
    method: Method, classifier: Classifier, views: Views, images: Images, device: torch.device
) -> MethodChoice:
    """The cheapest exact way, or the one that was asked for. No other thread may run any module meanwhile.

    Raises:
        UnknownNameError: No such method.
        OptionError: `dense` was asked for where it is not exact; says which layer prevents it.
    """
    check_method(method)
    if method == "direct":
        return MethodChoice("asked for", classifier)
    plan = _all_at_once(classifier, views, images.image_shape[0])
    objection = plan if isinstance(plan, str) else ""
    if not isinstance(plan, str):
        if method == "auto" and not plan.is_cheaper:
            objection = "computing all shifts at once would cost more than it saves"
        elif not (objection := _disagreement(plan, classifier, views, images, device)):
            return MethodChoice(plan.reason, classifier, plan)
    if method == "dense":
        raise OptionError(
            "a model and shifts for which `dense` is exact",
            objection,
            fix="Use the method `auto` or `direct`.",
        )
    shared = averaged_at_once(classifier, (images.image_shape[0], *views.size_px))
    if shared is not classifier:
        objection += "; shifts that it averages over share their work"
    return MethodChoice(objection, shared)


def _all_at_once(classifier: Classifier, views: Views, n_channels: int) -> AllAtOnce | str:
    """A plan for all shifts at once, or why there is none."""
    if not views.shared:
        return "each image has its own shifts"
    if not views.whole:
        return "some shifts are fractions of a pixel"
    if views.n_shifts == 1:
        return "there is only one shift"
    module = classifier.pipeline
    if module is None:
        return "what a function or an exported graph does is not known layer by layer"
    shape = (n_channels, *views.size_px)
    plans: list[AllAtOnce] = []
    reasons = []
    if views.protocol.border == "circular":
        rolls = plan_rolls(module, shape, views.offsets_px.long())
        if isinstance(rolls, NotPlanned):
            reasons.append(str(rolls))
        else:
            plans.append(RollAnswers(views, rolls))
    if not plans or not plans[0].is_cheaper:
        windows = plan_windows(module, shape)
        if isinstance(windows, NotPlanned):
            reasons.append(str(windows))
        else:
            plans.append(WindowAnswers(views, windows))
    if not plans:
        return "; ".join(dict.fromkeys(reasons)).rstrip(".")
    return next((plan for plan in plans if plan.is_cheaper), plans[0])


@torch.inference_mode()
def _disagreement(
    plan: AllAtOnce, classifier: Classifier, views: Views, images: Images, device: torch.device
) -> str:
    """Where a plan answers otherwise than the model, on a few images and shifts; empty where it does not."""
    rows = slice(0, min(CHECKED_IMAGES, len(images)))
    batch = views.batch(images.pixels(rows).to(device).float().div_(255), rows)
    try:
        logits = plan.logits(batch)[:, 1:]
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        # A function of others may refuse what all shifts together show it.
        return f"the dense method cannot be computed ({of_others(error)})"
    n_checked = min(CHECKED_SHIFTS, views.n_shifts)
    for shift in torch.linspace(0, views.n_shifts - 1, n_checked).long().tolist():
        moved = batch.shifted(shift)
        expected = classifier(batch.unshifted() if moved is None else moved)
        if not agree(logits[:, shift], expected):
            return "the dense method gave different answers than the direct one"
    return ""

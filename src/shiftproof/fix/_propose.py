"""Which edits to try on a model: those that fit it, first those about the layers that lose most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from torch import Tensor, nn

from shiftproof._text import said
from shiftproof.adapters import Classifier, EditStep, edit_classifier, of_others, read_steps
from shiftproof.edits import Change, Edit, NothingToEditError, edits
from shiftproof.errors import ShiftproofError, Stopped
from shiftproof.explain import Explanation

# Which cause of a loss an edit is about; the edits that are not here are about all of them.
CAUSES: Mapping[str, str] = {
    "max-blur-pool": "downsampling",
    "avg-blur-pool": "downsampling",
    "blur-strides": "downsampling",
    "conv-blur-pool": "downsampling",
    "composer-blurpool": "downsampling",
    "low-pass-pool": "downsampling",
    "adaptive-blur": "downsampling",
    "patch-blur": "downsampling",
    "patch-anchor": "downsampling",
    "aps": "downsampling",
    "lps": "downsampling",
    "padding-circular": "border",
    "padding-full": "border",
    "padding-reflect": "border",
    "padding-replicate": "border",
    "global-mean-head": "head",
    "no-positions": "head",
    "relative-positions": "head",
}
STATISTICS = EditStep("batch-statistics")
AVERAGE = EditStep("average-logits")
# Phases in y and in x: each pair of them is a forward pass.
MOST_PHASES = 4
# The layer that loses most is also edited alone where it is one of several.
ALONE = ("max-blur-pool", "blur-strides")


@dataclass(frozen=True)
class Proposal:
    """Edits that are tried together.

    Args:
        steps: In the order in which they are made; none for the model as it is, which may still be trained.
        addresses: Share of the loss of the answer that lies in what they change, in [0, 1]; None where it
            is not known.
        not_possible: Why they cannot be made with this model; None where they can.
        has_no_layer: Whether that is because the model has no layer that they are about.
    """

    steps: tuple[EditStep, ...]
    addresses: float | None = None
    not_possible: str | None = None
    has_no_layer: bool = False

    @property
    def causes(self) -> set[str]:
        """Which causes of a loss the steps are about; none for what is about all of them."""
        return {CAUSES[step.edit] for step in self.steps if step.edit in CAUSES}

    @property
    def is_surgery(self) -> bool:
        """Whether all steps change layers, so that others can follow; there is at least one."""
        return bool(self.steps) and all(edits.get(step.edit).kind == "surgery" for step in self.steps)

    @property
    def name(self) -> str:
        """The steps in words."""
        return said(" + ".join(map(str, self.steps))) or "as it is"

    def refused(self, error: ShiftproofError) -> Proposal:
        """The same, which cannot be made, and why."""
        why = of_others(error).partition(": ")[2]
        return replace(self, not_possible=why, has_no_layer=isinstance(error, NothingToEditError))


def propose(
    classifier: Classifier,
    explanation: Explanation | None,
    images: Tensor,
    *,
    names: Sequence[str] | None = None,
    trains: bool = False,
) -> tuple[list[Proposal], list[Proposal]]:
    """Edits that fit a model, and those that do not.

    Args:
        classifier: What is to be fixed.
        explanation: Which of its layers lose what; None for a model without layers.
        images: A few, (N, C, H, W) in [0, 1], on which each edit is tried for its shapes.
        names: Only these edits, as `read_steps` reads them; all by default.
        trains: Whether there will be training: edits that are of no use without are left out where not.

    Returns:
        What can be done, the most promising first; and what cannot, with the reason. What an edit is not
        about is not listed unless it was asked for by name.
    """
    losses = {} if explanation is None else losses_of(explanation)
    fits: list[Proposal] = []
    misfits: list[Proposal] = []
    asked: list[tuple[EditStep, ...]]
    if names is None:
        asked = [(_usual(edit, explanation),) for edit in edits if _is_of_use(edit, classifier, trains)]
    else:
        asked = [read_steps(name) for name in names]
    for steps in (each for one in asked for each in _variants(one, losses, classifier.model)):
        found = _tried(classifier, steps, images, losses)
        if found.not_possible is None:
            fits.append(found)
        elif names is not None or not found.has_no_layer:
            misfits.append(found)
    fits.sort(key=lambda proposal: -(proposal.addresses or 0))
    return fits, misfits


def losses_of(explanation: Explanation) -> dict[str, dict[str, float]]:
    """What each layer loses, by cause, as parts of the loss of all layers: the one place that reads this."""
    total = sum(max(0.0, row.loss["logits"].value) for row in explanation.rows) or 1.0
    losses: dict[str, dict[str, float]] = {}
    for row in explanation.rows:
        layer = losses.setdefault(row.layer.partition("#")[0], {})
        for cause, found in row.split.items():
            layer[cause] = layer.get(cause, 0.0) + max(0.0, found.value) / total
    return losses


def worst_layer(losses: Mapping[str, Mapping[str, float]], cause: str) -> str | None:
    """The layer that loses most by a cause; None where none loses by it."""
    found = max(losses, key=lambda layer: losses[layer].get(cause, 0.0), default=None)
    return found if found is not None and losses[found].get(cause, 0.0) > 0 else None


def _is_of_use(edit: Edit, classifier: Classifier, trains: bool) -> bool:
    if edit.kind == "surgery" and not isinstance(classifier.model, nn.Module):
        return False
    return trains or edit.needs != "training"


def _usual(edit: Edit, explanation: Explanation | None) -> EditStep:
    """An edit with its defaults; an average over phases with all those of the network, where they are few."""
    stride = 0 if explanation is None else max(explanation.stride_px)
    is_known = edit.name == "average-phases" and 1 < stride <= MOST_PHASES
    return EditStep(edit.name, None, {"stride": stride} if is_known else {})


def _variants(
    steps: tuple[EditStep, ...], losses: Mapping[str, Mapping[str, float]], model: object
) -> list[tuple[EditStep, ...]]:
    """Edits as they are, and one that is alone and about every layer also about the one that loses most."""
    modules = model.named_modules() if isinstance(model, nn.Module) else ()
    paths = {said(path): path for path, _ in modules}  # A record has harmless names.
    worst = worst_layer({layer: found for layer, found in losses.items() if layer in paths}, "downsampling")
    first, *others = steps
    if others or first.edit not in ALONE or first.layers is not None or worst is None:
        return [steps]
    return [steps, (replace(first, layers=(paths[worst],)),)]


def _tried(
    classifier: Classifier,
    steps: tuple[EditStep, ...],
    images: Tensor,
    losses: Mapping[str, Mapping[str, float]],
) -> Proposal:
    proposal = Proposal(steps)
    if any(step.edit == "average-probabilities" for step in steps) and not _answers_with_logits(classifier):
        return replace(
            proposal, not_possible="It does not answer with the logits of classes: use average-logits."
        )
    try:
        made = edit_classifier(classifier, steps, images)
    except Stopped:
        raise
    except ShiftproofError as error:
        return proposal.refused(error)
    if not proposal.causes or not losses:
        return proposal
    changed = [change.layer for change in made.changes]
    inside = sum(
        found.get(cause, 0.0)
        for cause in proposal.causes
        for layer, found in losses.items()
        if any(path == layer or path.startswith(f"{layer}.") for path in changed)
    )
    return replace(proposal, addresses=min(1.0, inside))


def _answers_with_logits(classifier: Classifier) -> bool:
    return classifier.task != "binary" and classifier.outputs != "probabilities"


def combined(proposal: Proposal, classifier: Classifier) -> list[Proposal]:
    """A promising proposal together with what goes well with every one."""
    if not proposal.is_surgery:
        return []
    more = [AVERAGE]
    if STATISTICS not in proposal.steps and has_batch_statistics(classifier.model):
        more.insert(0, STATISTICS)
    return [Proposal((*proposal.steps, step), proposal.addresses) for step in more]


def together(made: Sequence[tuple[Proposal, Sequence[Change]]], classifier: Classifier) -> list[Proposal]:
    """The two best edits of layers that are about other causes, or change other layers, made together.

    Args:
        made: Proposals and what they change, the best first.
        classifier: The original. Batch statistics are measured again where it has some.

    Returns:
        One, or none where every other edit is about the same.
    """
    surgeries = [
        (proposal, {change.layer for change in changes})
        for proposal, changes in made
        if proposal.is_surgery and proposal.causes
    ]
    for (one, its_layers), (other, other_layers) in combinations(surgeries, 2):
        if one.causes.isdisjoint(other.causes) or its_layers.isdisjoint(other_layers):
            again = (STATISTICS,) if has_batch_statistics(classifier.model) else ()
            return [Proposal((*one.steps, *other.steps, *again))]
    return []


def has_batch_statistics(model: object) -> bool:
    """Whether a model has statistics that can be measured again."""
    return isinstance(model, nn.Module) and any(
        isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
        for layer in model.modules()
    )

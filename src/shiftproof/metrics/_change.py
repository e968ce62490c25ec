"""How much the answer changes, short of another class: probabilities and logits."""

from __future__ import annotations

import numpy as np
import torch

from shiftproof._digest import derive_seed
from shiftproof.metrics._scores import MOVED, Scores, in_blocks, mean_over_shifts
from shiftproof.metrics._selection import Floats, Selection, needed
from shiftproof.metrics._spec import ALL, CLASSES, WITH_TRUTH, MetricSpec, metrics
from shiftproof.records import NotApplicable

MAX_IMAGES = 2000
PAIRS_PER_IMAGE = 20


def _wobble(answers: Selection) -> Scores:
    seen, unshifted = needed(answers.true_prob), needed(answers.unshifted_true_prob).astype(np.float64)
    largest = np.maximum(unshifted, seen.max(1, initial=0, where=answers.moved))
    smallest = np.minimum(unshifted, seen.min(1, initial=1, where=answers.moved))
    return Scores(largest - smallest, answers.is_moved, MOVED)


def _mean_abs_change(answers: Selection) -> Scores:
    if answers.task.name == "multi-label":
        outputs = (needed(answers.label_output), answers.unshifted_output)
        seen, unshifted = (np.asarray(answers.task.probabilities(torch.from_numpy(x))) for x in outputs)
        return mean_over_shifts(np.abs(seen - unshifted[:, None]).mean(-1), answers.moved)
    seen, unshifted = needed(answers.true_prob), needed(answers.unshifted_true_prob)
    return mean_over_shifts(np.abs(seen - unshifted[:, None]), answers.moved)


def _drift(answers: Selection) -> Scores:
    # Logits that are all 0 when unshifted have no relative change.
    return mean_over_shifts(answers.drift, answers.moved & np.isfinite(answers.drift), MOVED)


def _sensitivity(answers: Selection) -> Scores | NotApplicable:
    relative = in_blocks(answers, _drift)
    if not relative.counts.any():
        return NotApplicable(relative.reason)
    key = "distance between classes"
    found = answers.of_images.get(key) or answers.of_images.setdefault(
        key, _distance_between_classes(answers)
    )
    if isinstance(found, NotApplicable):
        return found
    distance, influence = found
    moved_by = relative.values * np.linalg.norm(answers.unshifted_output.astype(np.float64), axis=1)
    mean = float(moved_by[relative.counts].mean())
    return Scores(
        values=moved_by / distance,
        counts=relative.counts,
        reason=relative.reason,
        shared=-mean / distance**2 * influence,
    )


def _distance_between_classes(answers: Selection) -> tuple[float, Floats] | NotApplicable:
    """Median distance of the logits of two images of different classes, and each image's part in it.

    Pairs are those of a sample of images put in a ring, at 1 to `PAIRS_PER_IMAGE` places from each other,
    so every image is in as many; the same images are drawn for every network.

    Returns:
        The median, and float64 (N,): its influence function, from the share of an image's own pairs
        that are closer than the median and the density of distances there.
    """
    known = np.flatnonzero(answers.labelled)
    generator = np.random.default_rng(derive_seed(0, "pairs of classes"))
    ring = generator.permutation(known)[:MAX_IMAGES]
    steps = range(1, min(PAIRS_PER_IMAGE, (len(ring) - 1) // 2 or len(ring) - 1) + 1)
    first = np.concatenate([np.arange(len(ring)) for _ in steps] or [np.arange(0)])
    second = np.concatenate([np.roll(np.arange(len(ring)), -step) for step in steps] or [np.arange(0)])
    differ = answers.labels[ring[first]] != answers.labels[ring[second]]
    first, second = first[differ], second[differ]
    if not len(first):
        return NotApplicable("it compares with images of another class, and there are none")
    logits = answers.unshifted_output[ring].astype(np.float64)
    distances = np.sqrt(((logits[first] - logits[second]) ** 2).sum(1))
    middle = float(np.median(distances))
    if middle == 0:
        return NotApplicable("images of different classes have the same logits")
    influence = np.zeros(answers.n_images)
    influence[ring] = _influence_on_median(distances, first, second, len(ring))
    return middle, influence * answers.n_images / len(ring)


def _influence_on_median(distances: Floats, first: Floats, second: Floats, n: int) -> Floats:
    closer = np.tile((distances <= np.median(distances)) - 0.5, 2)
    below, above = np.quantile(distances, [0.4, 0.6])
    spread_per_share = (above - below) / 0.2  # 1 ÷ density
    total = np.bincount(np.concatenate([first, second]), closer, n)
    part = -total * n / len(distances) * spread_per_share
    return np.asarray(part - part.mean())


for _spec in (
    MetricSpec(
        "wobble",
        _wobble,
        "largest minus smallest probability of the true class, over the shifts and the unshifted image",
        False,
        "asked for in adobe/antialiased-cnns, issue 44; where the label is unknown, of the unshifted "
        "prediction",
        unit="probability",
    ),
    MetricSpec(
        "mean-abs-change",
        _mean_abs_change,
        "mean absolute change of the probability of the true class",
        False,
        "Azulay and Weiss 2019, arXiv:1805.12177, who take the top class; ours takes the true one, and the "
        "unshifted prediction where the label is unknown; of several labels, the mean over all of them",
        unit="probability",
        tasks=WITH_TRUTH,
    ),
    MetricSpec(
        "drift",
        _drift,
        "mean relative change of the logits, or of what else the model answers with, in the Euclidean norm",
        False,
        "‖z(shifted) − z‖ ÷ ‖z‖; images whose unshifted logits are all 0 are left out",
        unit="share of the norm of the logits",
        bounds=(0.0, None),
        kind="mean",
        tasks=ALL,
    ),
    MetricSpec(
        "sensitivity",
        _sensitivity,
        "mean change of the logits, as a share of the distance between images of different classes",
        False,
        "Kauderer-Abrams 2018, arXiv:1801.01450: median distance between classes; ours takes it over "
        f"{PAIRS_PER_IMAGE} pairs for each of at most {MAX_IMAGES:,} images",
        unit="share of the distance between classes",
        bounds=(0.0, None),
        kind="mean",
        needs_labels=True,
        tasks=(*CLASSES, "embedding"),
        of_each=False,
    ),
):
    metrics.register(_spec.name, _spec)

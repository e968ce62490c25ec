"""Scrambled faces: does a detector that never saw one take it for a face, and does pooling make it so?

Detectors learn faces from images without one that never show all parts, so that nothing tells them where
parts belong but the faces themselves. Each then takes as face whatever scores as high as 95 of 100 held-out
faces do: what they accept beyond that is compared at equal shares of accepted faces.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor

from shiftproof._figures import drawing
from shiftproof._text import counted, percent
from shiftproof._threads import in_order
from shiftproof.article._check import Effect, in_points, lies_above
from shiftproof.article._detector import Detector, more_taken
from shiftproof.article._detector_figure import draw_by_pools, draw_detectors, draw_examples
from shiftproof.article._face_rounds import FaceRound, drawings, photographs
from shiftproof.article._lab import Lab
from shiftproof.data import LabelledImages
from shiftproof.engine import Unit
from shiftproof.records import Check, Faces, ScrambledRecord
from shiftproof.train import INPUT_SCALES, Recipe
from shiftproof.zoo import Network, build_network, networks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Most of them: more than this share.
MOST = 0.5
BATCH = 250
N_EXAMPLES = 4
HEADS = {
    "flatten": "a head that keeps positions",
    "global": "a global mean before its head",
    "max": "a global maximum before its head",
}
POOLED = tuple(f"pooled-{n_pools}-{head}" for head in ("flatten", "global") for n_pools in (1, 2, 3))
UNPOOLED = "pooled-0-flatten"
MAXIMA = ("pooled-1-max", "pooled-2-max", "pooled-3-max")
PAIR = ("cnn2", "strided-cnn")


class ScrambledSettings(BaseModel):
    """What is trained, and on how much; by default so much that it takes an hour on two cores.

    Args:
        n_training: Drawings to train on, half of them faces.
        n_held_out: Drawn faces that decide from which score on an image is taken for a face.
        n_test: Drawings to test on, of each kind.
        size_px: Height and width of a drawing.
        epochs: Passes over the drawings.
        batch_size: Images per step.
        learning_rate: Of Adam.
        seeds: One training of each detector for each.
        detectors: Names in `networks` of those that learn drawings.
        photo_detectors: Of those that learn photographs; none: without photographs.
        photo_epochs: Passes over the photographs.
        true_positive_rate: Share of held-out faces that every detector accepts.

    Example:
        >>> ScrambledSettings.quick().n_training < ScrambledSettings().n_training
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_training: Annotated[int, Field(ge=2)] = 6000
    n_held_out: Annotated[int, Field(ge=1)] = 1000
    n_test: Annotated[int, Field(ge=2)] = 1000
    size_px: Annotated[int, Field(ge=17)] = 32
    epochs: Annotated[int, Field(ge=1)] = 20
    batch_size: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0, 1, 2, 3, 4)
    detectors: Annotated[tuple[str, ...], Field(min_length=1)] = (
        UNPOOLED, *POOLED, *MAXIMA, *PAIR, "cnn2-gap", "cnn2-dpp", "capsnet-small",
    )  # fmt: skip
    photo_detectors: tuple[str, ...] = (*POOLED, *MAXIMA, *PAIR, "cnn2-gap")
    photo_epochs: Annotated[int, Field(ge=1)] = 60
    true_positive_rate: Annotated[float, Field(gt=0, le=1)] = 0.95

    @field_validator("detectors", "photo_detectors")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            networks.get(name)
        return names

    @classmethod
    def quick(cls) -> ScrambledSettings:
        """Two minutes on two cores: drawings only, fewer of them, fewer detectors and seeds."""
        return cls(
            n_training=1600,
            n_held_out=400,
            n_test=400,
            epochs=10,
            learning_rate=2e-3,
            seeds=(0, 1, 2, 3),
            detectors=(*POOLED, *PAIR, "cnn2-gap"),
            photo_detectors=(),
        )


@dataclass(frozen=True, eq=False)
class ScrambledParts:
    """What all detectors take for faces.

    Args:
        settings: What was asked.
        detectors: In the order of the settings, those of drawings first.
        examples: By what is drawn or photographed, then by kind: uint8 (n, H, W) of the test images.
    """

    settings: ScrambledSettings
    detectors: tuple[Detector, ...]
    examples: Mapping[Faces, Mapping[str, npt.NDArray[np.uint8]]]

    def of(self, network: str, images: Faces = "drawn") -> Detector | None:
        """What a network takes for faces; None where it was not among those asked about."""
        both = (network, images)
        return next((one for one in self.detectors if (one.network, one.images) == both), None)

    def family(self, head: str, images: Faces = "drawn") -> list[Detector]:
        """The networks `pooled-K-HEAD` of one head, by K."""
        found = [
            (key[0], one)
            for one in self.detectors
            if one.images == images and (key := one.pools_and_head) and key[1] == head
        ]
        return [one for _, one in sorted(found, key=lambda pair: pair[0])]

    def record(self) -> ScrambledRecord:
        """The settings and all shares, as the record of the claims holds them."""
        return ScrambledRecord(
            settings=self.settings.model_dump(mode="json"),
            detectors=tuple(one.record() for one in self.detectors),
        )

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The one figure by name."""
        yield "scrambled", self.plot()[0]

    def plot(self) -> tuple[Figure, list[Axes]]:
        """A row for drawings and one for photographs: shares against pools, every detector, examples.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with drawing(len(self.examples), 3, inches=(11, 3.7 * len(self.examples))) as (figure, axes):
            for row, images in enumerate(self.examples):
                pools, bars, pictures = axes[3 * row : 3 * row + 3]
                asked = [one for one in self.detectors if one.images == images]
                draw_by_pools(pools, asked)
                draw_detectors(bars, asked)
                draw_examples(pictures, self.examples[images], images)
        return figure, axes


def scrambled_parts(settings: ScrambledSettings, lab: Lab) -> ScrambledParts:
    """Train detectors of faces, and ask them about scrambled ones.

    Drawings: all detectors learn the same, one training for each seed; see `draw_faces`. Photographs:
    the 100 faces and backgrounds are cut into four parts; two are learned, mirrored as well, one decides
    what counts as a face, and one is asked about, in turn, so that every image is asked about once for each
    seed; see `face_patches`.

    Args:
        settings: What and how much.
        lab: Keeps what is finished.

    Returns:
        One bit for each detector, seed and test image.

    Raises:
        MissingDependencyError: Photographs are asked for, and scikit-image is not installed.
        Stopped: The lab was asked to stop.
    """
    # First, so that a missing package is known before anything is trained.
    photos = photographs() if settings.photo_detectors else []
    drawn = [drawings(settings.n_training, settings.n_held_out, settings.n_test, settings.size_px)]
    asked: list[tuple[str, Faces]] = [(name, "drawn") for name in settings.detectors]
    asked += [(name, "photographed") for name in settings.photo_detectors]
    rounds: dict[Faces, list[FaceRound]] = {"drawn": drawn, "photographed": photos}
    lessons = {pair: _lessons(*pair, rounds[pair[1]], settings) for pair in asked}
    lab.ahead([lesson for each in lessons.values() for seed in each for lesson in seed])
    detectors = []
    for (network, images), each in lessons.items():
        taken = [[one(lab) for one in seed] for seed in each]
        detectors.append(Detector(network, images, _side_by_side(taken, [*rounds[images][0].tests])))
    examples: dict[Faces, dict[str, npt.NDArray[np.uint8]]] = {"drawn": _examples(drawn[0])}
    if photos:
        examples["photographed"] = _examples(photos[0])
    return ScrambledParts(settings, tuple(detectors), examples)


def _examples(asked: FaceRound) -> dict[str, npt.NDArray[np.uint8]]:
    return {kind: test.images[:N_EXAMPLES, 0].numpy() for kind, test in asked.tests.items()}


Taken = Mapping[str, Tensor]


def _lessons(
    network: str, images: Faces, rounds: Sequence[FaceRound], settings: ScrambledSettings
) -> list[list[Callable[[Lab], Taken]]]:
    """The trainings of a network: for each seed one for each round."""
    recipe = Recipe(
        epochs=settings.epochs if images == "drawn" else settings.photo_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        input_scale="unit",
    )
    rate = settings.true_positive_rate
    return [
        [
            partial(_taken, network=network, images=images, asked=one, recipe=recipe, rate=rate, seed=seed)
            for one in rounds
        ]
        for seed in settings.seeds
    ]


def _side_by_side(taken: Sequence[Sequence[Taken]], kinds: Sequence[str]) -> dict[str, npt.NDArray[np.bool_]]:
    """From what was taken for faces, for each seed in each round, to bool (seeds, N) by kind."""
    return {
        kind: np.stack([torch.cat([each[kind] for each in seed]).numpy() for seed in taken]) for kind in kinds
    }


def _taken(
    lab: Lab, *, network: str, images: Faces, asked: FaceRound, recipe: Recipe, rate: float, seed: int
) -> Taken:
    """Which test images one trained network takes for faces: bool (N,) by kind."""
    trained, unit = lab.trained(
        partial(
            build_network,
            network,
            seed=seed,
            input_scale=INPUT_SCALES[recipe.input_scale],
            image_shape=asked.training.image_shape,
            n_classes=len(asked.training.class_names),
        ),
        asked.training,
        recipe,
        seed=seed,
        label=f"{network}, {images} faces, seed {seed}",
    )

    def ask() -> Mapping[str, Tensor]:
        threshold = _threshold(_scores(trained, asked.held_out, lab), rate)
        return {kind: _scores(trained, test, lab) >= threshold for kind, test in asked.tests.items()}

    inputs = {kind: test.digest for kind, test in asked.tests.items()}
    inputs |= {"trained": unit.key, "held out": asked.held_out.digest}
    return lab.found_or_made(Unit("faces", {"true_positive_rate": rate}, inputs), ask)


def _scores(network: Network, images: LabelledImages, lab: Lab) -> Tensor:
    """Logit of a face minus that of none, float32 (N,)."""

    @torch.inference_mode()
    def score(start: int) -> Tensor:
        pixels = images.pixels(slice(start, start + BATCH)).to(lab.device).float().div_(255)
        none, face = network(pixels).cpu().unbind(1)
        difference: Tensor = face - none
        return difference

    batches = [partial(score, start) for start in range(0, len(images), BATCH)]
    return torch.cat(in_order(lab.pool, batches) if lab.device.type == "cpu" else [one() for one in batches])


def _threshold(scores: Tensor, rate: float) -> float:
    """The largest score that at least this share of the scores reaches.

    Example:
        >>> _threshold(torch.tensor([4.0, 1.0, 3.0, 2.0]), 0.75)
        2.0
    """
    n_below = math.floor((1 - rate) * len(scores) + 1e-9)
    return float(scores.sort().values[min(n_below, len(scores) - 1)])


def scrambled_checks(result: ScrambledParts) -> list[Check]:
    """Claim 9, for each head by itself; and whether it is the max pools that lose the relation.

    A head whose networks were not asked about has no check.
    """
    checks = []
    for images in result.examples:
        for head, words in HEADS.items():
            family = result.family(head, images)
            if family:
                checks.append(_taken_check(family[-1], words))
            if len(family) > 1:
                checks.append(_deeper_check(family[0], family[-1], words))
        pooled, strided = (result.of(name, images) for name in PAIR)
        if pooled and strided:
            checks.append(_pools_check(pooled, strided))
    return checks


def _taken_check(detector: Detector, head: str) -> Check:
    scrambled, faces, others = (
        percent(share.value) for share in (detector.scrambled, detector.share("face"), detector.others)
    )
    return lies_above(
        f"Most scrambled {detector.images} faces are taken for faces by a network with "
        f"{_pools(detector)} and {head}.",
        detector.scrambled,
        MOST,
        found=f"It accepts {scrambled} of them, {faces} of the faces, and {others} of other images "
        "without a face.",
        source=_source(detector),
    )


def _deeper_check(shallow: Detector, deep: Detector, head: str) -> Check:
    effect = more_taken(deep, shallow)
    return lies_above(
        f"With {head}, {_pools(deep)} take more scrambled {deep.images} faces for faces than "
        f"{_pools(shallow)}.",
        effect,
        0.0,
        found=_pair_text(deep, shallow, effect),
        source=_source(deep, shallow),
    )


def _pools_check(pooled: Detector, strided: Detector) -> Check:
    effect = more_taken(pooled, strided)
    return lies_above(
        f"It is max pooling: {pooled.network} takes more scrambled {pooled.images} faces for faces than "
        f"{strided.network}, which has strides in its place.",
        effect,
        0.0,
        found=_pair_text(pooled, strided, effect),
        source=_source(pooled, strided),
    )


def _pair_text(first: Detector, second: Detector, effect: Effect) -> str:
    values = ", ".join(f"{one.network} {percent(one.scrambled.value)}" for one in (first, second))
    return f"Scrambled faces accepted: {values}; {in_points(effect)}."


def _pools(detector: Detector) -> str:
    key = detector.pools_and_head
    assert key is not None, "only families are compared by their pools"
    return "no pool" if not key[0] else counted(key[0], "max pool")


def _source(*detectors: Detector) -> str:
    return f"scrambled parts, {detectors[0].images}: {', '.join(one.network for one in detectors)}"

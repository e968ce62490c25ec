"""Which faces a detector learns, which decide what it takes for one, and which it is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from shiftproof.article._face_patches import PatchKind, face_patches
from shiftproof.article._faces import NO_FACES, draw_faces, schematic_faces
from shiftproof.data import LabelledImages

N_FOLDS = 4


@dataclass(frozen=True, eq=False)
class FaceRound:
    """What one training of a detector is about.

    Args:
        training: Images to learn from.
        held_out: Faces that decide from which score on an image is taken for one.
        tests: By kind, images to ask about.
    """

    training: LabelledImages
    held_out: LabelledImages
    tests: Mapping[str, LabelledImages]


def drawings(n_training: int, n_held_out: int, n_test: int, size_px: int) -> FaceRound:
    """One round of drawings.

    Args:
        n_training: Images to learn from, half of them faces.
        n_held_out: Faces that decide.
        n_test: Images to ask about, of each kind.
        size_px: Height and width.
    """
    kinds = ("face", "scrambled", *NO_FACES)
    # One seed for all kinds: the faces that are asked about are those that are scrambled.
    return FaceRound(
        schematic_faces(n_training, seed=1, size_px=size_px),
        draw_faces(["face"] * n_held_out, seed=2, size_px=size_px),
        {kind: draw_faces([kind] * n_test, seed=3, size_px=size_px) for kind in kinds},
    )


def photographs() -> list[FaceRound]:
    """Four rounds, in which every quarter of the patches is asked about once, the next one decides, and the
    other two are learned, mirrored as well.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    kinds: tuple[PatchKind, ...] = ("face", "scrambled", "background", "partial")
    patches = {kind: face_patches(kind) for kind in kinds}
    numbers = torch.arange(len(patches["face"]))

    def part(kind: PatchKind, *folds: int) -> LabelledImages:
        return patches[kind].take(numbers[torch.isin(numbers % N_FOLDS, torch.tensor(folds))])

    rounds = []
    for first in range(N_FOLDS):
        asked, held_out, *learned = ((first + step) % N_FOLDS for step in range(N_FOLDS))
        # Twice, so that half of what is learned are faces.
        training = [part(kind, *learned) for kind in ("face", "face", "background", "partial")]
        rounds.append(
            FaceRound(
                _with_mirrored(training),
                part("face", held_out),
                {kind: part(kind, asked) for kind in patches},
            )
        )
    return rounds


def _with_mirrored(sets: Sequence[LabelledImages]) -> LabelledImages:
    images = torch.cat([one.images for one in sets])
    labels = torch.cat([one.labels for one in sets])
    both = torch.cat([images, images.flip(3)])
    return replace(sets[0], images=both, labels=labels.repeat(2), positions=None)

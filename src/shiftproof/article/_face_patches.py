"""Photographed faces in four quarters: in place, in part, or each quarter where another one belongs."""

from __future__ import annotations

from itertools import permutations
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from shiftproof._digest import derive_seed
from shiftproof._optional import require
from shiftproof._registry import unknown_name
from shiftproof.article._faces import FACE_CLASSES
from shiftproof.data import LabelledImages

PatchKind = Literal["face", "background", "partial", "scrambled"]
PATCH_KINDS: tuple[PatchKind, ...] = get_args(PatchKind)
N_FACES = 100

Bytes = npt.NDArray[np.uint8]
Order = tuple[int, ...]
IN_PLACE: Order = (0, 1, 2, 3)
# Every order in which no quarter is where it belongs.
DERANGED: tuple[Order, ...] = tuple(
    order for order in permutations(IN_PLACE) if all(a != b for a, b in zip(order, IN_PLACE, strict=True))
)


def face_patches(kind: PatchKind, *, seed: int = 0) -> LabelledImages:
    """The 100 faces, or 100 images without one, of the subset of LFW that scikit-image brings along.

    Every image, of whatever kind, is put together from four quarters that overlap by one pixel, and has
    the same cross of grey over where they meet: seams say nothing about what an image is.

    Args:
        kind: `face`: the faces. `background`: patches from behind them. `partial`: faces of which one to
            three quarters are there, in place, and background is in the others. `scrambled`: all four
            quarters of a face, none where it belongs. Image i of the last two is made from face i.
        seed: Which quarters, and which order.

    Returns:
        uint8 images (100, 1, 25, 25); label 1 for `face`, 0 for all others.

    Raises:
        UnknownNameError: No such kind.
        MissingDependencyError: scikit-image is not installed. Its wheel holds the patches: nothing is
            downloaded.

    Source:
        G. B. Huang, M. Ramesh, T. Berg, E. Learned-Miller, Labeled Faces in the Wild, 2007; the subset of
        scikit-image, `skimage.data.lfw_subset`.

    Example:
        >>> import pytest
        >>> _ = pytest.importorskip("skimage")
        >>> scrambled = face_patches("scrambled")
        >>> scrambled.images.shape, int(scrambled.labels.sum())
        (torch.Size([100, 1, 25, 25]), 0)
    """
    if kind not in PATCH_KINDS:
        raise unknown_name("kind of patch", kind, PATCH_KINDS)
    subset = require("skimage.data", extra="faces", purpose="Photographed faces").lfw_subset()
    patches = np.rint(255 * subset).astype(np.uint8)
    faces, backgrounds = patches[:N_FACES], patches[N_FACES:]
    made = [
        _made(kind, *pair, seed, number) for number, pair in enumerate(zip(faces, backgrounds, strict=True))
    ]
    labels = torch.full((N_FACES,), int(kind == "face"))
    return LabelledImages(
        "photographed faces", torch.from_numpy(np.stack(made))[:, None], labels, FACE_CLASSES
    )


def _made(kind: PatchKind, face: Bytes, background: Bytes, seed: int, number: int) -> Bytes:
    generator = np.random.default_rng(derive_seed(seed, "quarters of a face", number, kind))
    match kind:
        case "face":
            return _joined([_quarter(face, part) for part in IN_PLACE])
        case "background":
            return _joined([_quarter(background, part) for part in IN_PLACE])
        case "partial":
            kept = generator.permutation(4) < generator.integers(1, 4)
            return _joined([_quarter(face if kept[part] else background, part) for part in IN_PLACE])
        case "scrambled":
            order = DERANGED[generator.integers(len(DERANGED))]
            return _joined([_quarter(face, part) for part in order])


def _quarter(patch: Bytes, part: int) -> Bytes:
    """One of four squares that share the middle row and column: 13 of 25 px."""
    middle = len(patch) // 2
    top, left = (part // 2) * middle, (part % 2) * middle
    return patch[top : top + middle + 1, left : left + middle + 1]


def _joined(quarters: list[Bytes]) -> Bytes:
    """Four quarters as one image, with a grey cross that fades over a pixel on either side."""
    upper, lower = (
        np.concatenate([left[:, :-1], right], axis=1) for left, right in (quarters[:2], quarters[2:])
    )
    whole = np.concatenate([upper[:-1], lower]).astype(np.float64)
    distance_px = np.abs(np.arange(len(whole)) - len(whole) // 2)
    kept = np.minimum(distance_px / 2, 1)
    weight = np.minimum.outer(kept, kept)
    return np.asarray(np.rint(weight * whole + (1 - weight) * 128), dtype=np.uint8)

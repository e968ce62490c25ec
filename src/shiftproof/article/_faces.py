"""Schematic faces, what is none, and scrambled ones: all parts there, each in a wrong place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from shiftproof._digest import derive_seed
from shiftproof._registry import unknown_name
from shiftproof.data import LabelledImages
from shiftproof.errors import OptionError

FaceKind = Literal["face", "missing", "single", "shapes", "tangles", "scrambled"]
FACE_KINDS: tuple[FaceKind, ...] = get_args(FaceKind)
# Images without a face that do not tell where parts belong: none shows all of them.
NO_FACES: tuple[FaceKind, ...] = ("missing", "single", "shapes", "tangles")
FACE_CLASSES = ("no face", "face")

Floats = npt.NDArray[np.float64]
Point = tuple[float, float]
# What is drawn in one place: lines through points (down, right), in units of 1/32 of the image.
Strokes = Sequence[Sequence[Point]]

UNITS = 32.0
SMALLEST_PX = 16
STROKE = 1.2

EYE: Strokes = (
    ((0, -3.4), (-1.4, -2.2), (-2, 0), (-1.4, 2.2), (0, 3.4), (1.4, 2.2), (2, 0), (1.4, -2.2), (0, -3.4)),
    ((0, -0.3), (0, 0.3)),
)
NOSE: Strokes = (((-3, 0.8), (2, -1.9), (2, 1.9)),)
MOUTH: Strokes = (((-1.2, -4.4), (0.9, -2.6), (1.6, 0), (0.9, 2.6), (-1.2, 4.4), (-1.2, -4.4)),)
PARTS = {"eye": EYE, "nose": NOSE, "mouth": MOUTH}
# Where a face has which part: (down, right) from its middle.
PLACES: tuple[Point, ...] = ((-6.5, -6), (-6.5, 6), (0, 0), (7, 0))
FACE = ("eye", "eye", "nose", "mouth")
# Every way to put the same parts in the same places so that no place holds what belongs there.
SCRAMBLED = tuple(
    sorted({order for order in permutations(FACE) if all(a != b for a, b in zip(order, FACE, strict=True))})
)
SHAPES: tuple[Strokes, ...] = (
    (((-2.5, -2.5), (-2.5, 2.5), (2.5, 2.5), (2.5, -2.5), (-2.5, -2.5)),),
    (((-3, 0), (3, 0)), ((0, -3), (0, 3))),
    (((-2.5, -2.5), (2.5, 2.5)), ((-2.5, 2.5), (2.5, -2.5))),
    (((-1.5, -3), (-1.5, 3)), ((1.5, -3), (1.5, 3))),
    (((-3, -1.5), (3, -1.5)), ((-3, 1.5), (3, 1.5))),
)


def draw_faces(kinds: Sequence[FaceKind], *, seed: int = 0, size_px: int = 32) -> LabelledImages:
    """Draw one grey image for each kind: bright anti-aliased lines on a dim ground with clutter and noise.

    Middle, size, contrast, ground, clutter and noise of an image depend on the seed and on its number
    only: a face and a scrambled face of one number differ in nothing but which part is in which place.

    Args:
        kinds: `face`: two eyes, nose and mouth where they belong. `missing`: a face without one to three
            of them. `repeated`: one of them in all four places. `shapes`: other shapes in these places.
            `tangles`: random lines anywhere. `scrambled`: the parts of a face, each in a place where
            another one belongs.
        seed: Source of all that varies.
        size_px: Height and width, at least 16.

    Returns:
        uint8 images (N, 1, size, size); label 1 for `face`, 0 for all others, which are called `face`
        and `no face`.

    Raises:
        UnknownNameError: No such kind.
        OptionError: No image, or too small a one.

    Source:
        G. E. Hinton's argument on pooling and the relation between parts, with parts as simple as they
        can be: Sabour, Frosst and Hinton 2017, arXiv:1710.09829, section 1.

    Example:
        >>> drawn = draw_faces(["face", "scrambled", "missing"], seed=1)
        >>> drawn.images.shape, drawn.labels.tolist(), drawn.class_names
        (torch.Size([3, 1, 32, 32]), [1, 0, 0], ('no face', 'face'))
    """
    for kind in kinds:
        if kind not in FACE_KINDS:
            raise unknown_name("kind of drawing", kind, FACE_KINDS)
    if not kinds:
        raise OptionError("at least one image to draw", "none")
    if size_px < SMALLEST_PX:
        raise OptionError(
            f"a size of at least {SMALLEST_PX} px", size_px, cause="Lines thinner than a pixel vanish."
        )
    images = np.stack([_drawn(kind, seed, number, size_px) for number, kind in enumerate(kinds)])
    labels = torch.tensor([int(kind == "face") for kind in kinds])
    return LabelledImages("schematic faces", torch.from_numpy(images)[:, None], labels, FACE_CLASSES)


def schematic_faces(
    n_images: int, *, seed: int = 0, size_px: int = 32, no_faces: Sequence[FaceKind] = NO_FACES
) -> LabelledImages:
    """A set to train or test a detector on: every second image is a face, the others are none.

    Args:
        n_images: At least 1.
        seed: Source of all that varies.
        size_px: Height and width, at least 16.
        no_faces: Kinds of the others, in turn. With `scrambled` among them a detector is taught what
            it is asked about.

    Example:
        >>> schematic_faces(6).labels.tolist()
        [1, 0, 1, 0, 1, 0]
    """
    if not no_faces:
        raise OptionError("at least one kind of image without a face", "none")
    kinds: list[FaceKind] = [
        no_faces[number // 2 % len(no_faces)] if number % 2 else "face" for number in range(n_images)
    ]
    return draw_faces(kinds, seed=seed, size_px=size_px)


@dataclass(frozen=True, slots=True)
class _Look:
    """What an image of a number looks like, whatever it shows."""

    middle: Floats  # (2,) down, right
    scale: float
    place_jitter: Floats  # (4, 2)
    part_scale: Floats  # (4,)
    brightness: Floats  # (4,)
    ground: float
    slope: Floats  # (2,) change of the ground over the whole image
    clutter: Floats  # (3, 2, 2) lines
    clutter_brightness: Floats  # (3,)
    noise: Floats  # (size, size)


def _look(seed: int, number: int, size_px: int) -> _Look:
    draw = np.random.default_rng(derive_seed(seed, "look of a face", number)).uniform
    ground = float(draw(0.08, 0.25))
    return _Look(
        middle=draw(-2.5, 2.5, 2),
        scale=float(draw(0.85, 1.12)),
        place_jitter=draw(-0.7, 0.7, (4, 2)),
        part_scale=draw(0.85, 1.15, 4),
        brightness=ground + float(draw(0.35, 0.65)) + draw(-0.08, 0.08, 4),
        ground=ground,
        slope=draw(-0.12, 0.12, 2),
        clutter=draw(-16, 16, (3, 2, 2)),
        clutter_brightness=ground + draw(0.05, 0.25, 3),
        noise=draw(-0.06, 0.06, (size_px, size_px)) + draw(-0.06, 0.06, (size_px, size_px)),
    )


def _drawn(kind: FaceKind, seed: int, number: int, size_px: int) -> npt.NDArray[np.uint8]:
    look = _look(seed, number, size_px)
    centres = (np.arange(size_px) + 0.5) * UNITS / size_px - UNITS / 2
    at = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
    picture = look.ground + at @ look.slope / UNITS
    for line, brightness in zip(look.clutter, look.clutter_brightness, strict=True):
        picture = _over(picture, at, [line], brightness, size_px)
    generator = np.random.default_rng(derive_seed(seed, "content of a face", number, kind))
    for place, strokes in enumerate(_contents(kind, generator)):
        home = look.middle + look.scale * (np.asarray(PLACES[place]) + look.place_jitter[place])
        scale = look.scale * look.part_scale[place]
        lines = [home + scale * np.asarray(line, dtype=np.float64) for line in strokes]
        picture = _over(picture, at, lines, look.brightness[place], size_px)
    return np.rint(255 * np.clip(picture + look.noise, 0, 1)).astype(np.uint8)


def _contents(kind: FaceKind, generator: np.random.Generator) -> list[Strokes]:
    """What is drawn in each of the four places."""
    match kind:
        case "face":
            return [PARTS[part] for part in FACE]
        case "scrambled":
            return [PARTS[part] for part in SCRAMBLED[generator.integers(len(SCRAMBLED))]]
        case "missing":
            kept = generator.permutation(4) < generator.integers(1, 4)
            return [PARTS[part] if keep else () for part, keep in zip(FACE, kept, strict=True)]
        case "single":
            part, place = generator.integers(len(PARTS)), generator.integers(len(PLACES))
            return [list(PARTS.values())[part] if here == place else () for here in range(len(PLACES))]
        case "shapes":
            return [SHAPES[which] for which in generator.integers(len(SHAPES), size=4)]
        case "tangles":
            middles = generator.uniform(-5, 5, (4, 1, 1, 2))
            tangles: list[Strokes] = (middles + generator.uniform(-4, 4, (4, 3, 2, 2))).tolist()
            return tangles


def _over(picture: Floats, at: Floats, lines: Sequence[Floats], brightness: float, size_px: int) -> Floats:
    """The picture with lines over it, their edges as wide as a pixel."""
    if not lines:
        return picture
    distance = np.min([_distance(at, *ends) for line in lines for ends in pairwise(line)], axis=0)
    cover = np.clip((STROKE / 2 - distance) * size_px / UNITS + 0.5, 0, 1)
    return np.asarray(picture + cover * (brightness - picture))


def _distance(at: Floats, start: Floats, end: Floats) -> Floats:
    """From each point (H, W, 2) to the nearest point between two ends."""
    along = end - start
    where = np.clip((at - start) @ along / (along @ along), 0, 1)
    return np.asarray(np.sqrt(np.square(at - start - where[..., None] * along).sum(-1)))

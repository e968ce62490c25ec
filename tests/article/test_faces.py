"""Faces, drawn and photographed: what each kind shows, and what it must not tell a detector."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftproof.article import NO_FACES, FaceKind, PatchKind, draw_faces, face_patches, schematic_faces
from shiftproof.article._face_patches import DERANGED, PATCH_KINDS
from shiftproof.article._faces import FACE, FACE_KINDS, PARTS, SCRAMBLED, _contents, _distance, _over
from shiftproof.errors import MissingDependencyError, OptionError, UnknownNameError

NAMES = {id(strokes): name for name, strokes in PARTS.items()}


def shown(kind: FaceKind, seed: int) -> list[str]:
    """The name of what is in each place: a part, `other` or nothing."""
    contents = _contents(kind, np.random.default_rng(seed))
    return [NAMES.get(id(strokes), "other") if strokes else "" for strokes in contents]


def test_oracle_every_scrambled_order_has_each_part_in_a_place_of_another() -> None:
    everything = set(permutations(("eye", "eye", "nose", "mouth")))
    wrong = {o for o in everything if "eye" not in o[:2] and o[2] != "nose" and o[3] != "mouth"}
    assert set(SCRAMBLED) == wrong
    assert {tuple(shown("scrambled", seed)) for seed in range(30)} == wrong


@given(st.sampled_from(NO_FACES), st.integers(0, 10_000))
def test_no_ordinary_image_shows_all_parts_or_one_of_several_in_a_wrong_place(
    kind: FaceKind, seed: int
) -> None:
    places = shown(kind, seed)
    parts = Counter(name for name in places if name in PARTS)
    assert parts < Counter(FACE), "never a whole set"
    if sum(parts.values()) > 1:
        assert all(here in ("", home) for here, home in zip(places, FACE, strict=True))
    assert any(places), "never nothing at all"


def test_missing_lacks_one_to_three_parts() -> None:
    assert {shown("missing", seed).count("") for seed in range(50)} == {1, 2, 3}


@given(st.sampled_from(FACE_KINDS), st.integers(0, 100))
def test_an_image_depends_on_seed_and_number_only(kind: FaceKind, seed: int) -> None:
    first, second = (draw_faces([other, kind], seed=seed, size_px=16).images for other in ("face", "tangles"))
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], draw_faces(["face", kind], seed=seed + 1, size_px=16).images[1])


def test_a_face_and_its_scrambled_twin_have_the_same_ground() -> None:
    """Where neither draws, ground, clutter and noise are equal; what is drawn has about the same light."""
    face, scrambled = (draw_faces([kind] * 100, seed=4).images.float() for kind in ("face", "scrambled"))
    assert 0.5 < float((face == scrambled).float().mean()) < 0.95
    light = face.mean((1, 2, 3)), scrambled.mean((1, 2, 3))
    assert float(torch.corrcoef(torch.stack(light))[0, 1]) > 0.95
    assert float((light[0] / light[1] - 1).abs().max()) < 0.1


def test_convention_eyes_are_above_the_mouth() -> None:
    """Light of 300 faces: two eyes above, left and right; the mouth below, in the middle."""
    light = draw_faces(["face"] * 300).images.float().mean((0, 1))
    light = light - light.median()
    above, below = light[6:13], light[19:27]
    assert float(above[:, 6:14].mean()) > 2 * float(above[:, 14:18].mean())
    assert float(above[:, 18:26].mean()) > 2 * float(above[:, 14:18].mean())
    assert float(below[:, 12:20].mean()) > 2 * float(below[:, 2:8].mean())


def test_oracle_a_pixel_is_as_bright_as_its_share_under_the_line() -> None:
    """Beside the same line at ten times the size, averaged: anti-aliased, and as wide."""

    def line(size_px: int) -> np.ndarray:
        centres = (np.arange(size_px) + 0.5) * 32 / size_px - 16
        at = np.stack(np.meshgrid(centres, centres, indexing="ij"), axis=-1)
        return _over(np.zeros((size_px, size_px)), at, [np.array([[-8.3, -9.1], [7.7, 3.2]])], 1.0, size_px)

    expected = line(320).reshape(32, 10, 32, 10).mean((1, 3))
    # An edge as wide as a pixel is a little off at the ends; without it a pixel can be off by a half.
    assert np.abs(line(32) - expected).max() < 0.15
    assert line(32).sum() == pytest.approx(expected.sum(), rel=0.02)


@given(st.lists(st.floats(-9, 9), min_size=6, max_size=6))
def test_oracle_distance_is_that_of_many_points_on_the_line(numbers: list[float]) -> None:
    at, start, end = np.array(numbers).reshape(3, 2)
    if np.linalg.norm(end - start) < 1e-3:
        return
    points = start + np.linspace(0, 1, 20_001)[:, None] * (end - start)
    expected = np.linalg.norm(points - at, axis=1).min()
    assert float(_distance(at[None, None], start, end)[0, 0]) == pytest.approx(expected, abs=1e-3)


def test_a_set_is_half_faces_and_the_other_half_takes_turns() -> None:
    drawn = schematic_faces(24, seed=3)
    assert drawn.labels.tolist() == [1, 0] * 12
    kinds: list[FaceKind] = ["face", "missing", "face", "single", "face", "shapes", "face", "tangles"]
    assert torch.equal(drawn.images, draw_faces(kinds * 3, seed=3).images)
    taught = schematic_faces(4, no_faces=("scrambled",))
    assert torch.equal(taught.images, draw_faces(["face", "scrambled"] * 2).images)


def test_same_seed_same_digest() -> None:
    digests = {schematic_faces(20, seed=seed).digest for seed in (0, 0, 1)}
    assert len(digests) == 2


def test_drawings_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'face'"):
        draw_faces(["fase"])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="at least one image to draw, got none"):
        draw_faces([])
    with pytest.raises(OptionError, match="at least 16 px, got 8"):
        draw_faces(["face"], size_px=8)
    with pytest.raises(OptionError, match="at least one kind"):
        schematic_faces(4, no_faces=())


def inner_quarters(patch: torch.Tensor) -> list[torch.Tensor]:
    """The four quarters without the grey cross: 11 × 11 px."""
    return [patch[:11, :11], patch[:11, 14:], patch[14:, :11], patch[14:, 14:]]


def test_oracle_photographs_are_those_of_scikit_image_beside_the_cross() -> None:
    data = pytest.importorskip("skimage.data")
    patches = torch.from_numpy(np.round(data.lfw_subset() * 255).astype(np.uint8))
    kinds: tuple[PatchKind, ...] = ("face", "background")
    for kind, expected in zip(kinds, (patches[:100], patches[100:]), strict=True):
        found = face_patches(kind).images[:, 0]
        for rows in (slice(0, 11), slice(14, 25)):
            for columns in (slice(0, 11), slice(14, 25)):
                assert torch.equal(found[:, rows, columns], expected[:, rows, columns])


def test_every_photograph_has_the_same_cross() -> None:
    pytest.importorskip("skimage")
    for kind in PATCH_KINDS:
        images = face_patches(kind).images
        assert images.shape == (100, 1, 25, 25)
        assert bool((images[:, :, 12] == 128).all())
        assert bool((images[:, :, :, 12] == 128).all())


def test_scrambled_photographs_have_no_quarter_in_its_place() -> None:
    pytest.importorskip("skimage")
    assert len(DERANGED) == 9
    faces, scrambled = (face_patches(kind).images[:, 0] for kind in ("face", "scrambled"))
    orders = set()
    for face, other in zip(faces, scrambled, strict=True):
        homes, places = inner_quarters(face), inner_quarters(other)
        # At its own side of the cross a quarter ends one pixel further in: compare what both show.
        order = tuple(
            next(k for k, home in enumerate(homes) if _same_picture(home, k, place, j))
            for j, place in enumerate(places)
        )
        assert sorted(order) == [0, 1, 2, 3]
        assert all(k != j for j, k in enumerate(order))
        orders.add(order)
    assert orders == set(DERANGED)


def _same_picture(home: torch.Tensor, k: int, place: torch.Tensor, j: int) -> bool:
    """Whether quarter k of a face is what is in place j: moved by as much as the two hide at other sides."""

    def span(here: int, there: int) -> tuple[slice, slice]:
        return (
            (slice(0, 11), slice(0, 11))
            if here == there
            else ((slice(2, 11), slice(0, 9)) if here < there else (slice(0, 9), slice(2, 11)))
        )

    rows, columns = span(k // 2, j // 2), span(k % 2, j % 2)
    return torch.equal(home[rows[0], columns[0]], place[rows[1], columns[1]])


def test_partial_photographs_are_faces_in_part() -> None:
    pytest.importorskip("skimage")
    faces, grounds, partial = (face_patches(kind).images[:, 0] for kind in ("face", "background", "partial"))
    for face, ground, patch in zip(faces, grounds, partial, strict=True):
        kept = 0
        for of_face, of_ground, found in zip(*map(inner_quarters, (face, ground, patch)), strict=True):
            assert torch.equal(found, of_face) or torch.equal(found, of_ground)
            kept += torch.equal(found, of_face)
        assert 1 <= kept <= 3


def test_photographs_without_scikit_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[faces\]'"):
        face_patches("face")


def test_unknown_patch() -> None:
    with pytest.raises(UnknownNameError, match="kind of patch, got 'faces'"):
        face_patches("faces")  # type: ignore[arg-type]

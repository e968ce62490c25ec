"""Class matching: by name, else by number, else by count, else an error with both sides of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shiftproof.data import LabelledImages, load_data, load_images, match_labels
from shiftproof.errors import DataError


def data(*names: str, labels: list[int] | None = None) -> LabelledImages:
    labels = list(range(len(names))) if labels is None else labels
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None]
    return LabelledImages("x", pixels, torch.tensor(labels), names)


MODEL = ("tabby cat", "Great_Dane", "n01440764", "kite", "crane", "crane")


def test_names_are_found_in_the_model() -> None:
    matched = match_labels(data("kite", "tabby cat", labels=[0, 1, 1, -1]), MODEL, 6)
    assert matched.labels.tolist() == [3, 0, 0, -1]
    assert matched.class_names == MODEL
    assert matched.pixels(slice(None)).flatten().tolist() == [0, 1, 2, 3]


def test_case_and_blanks_do_not_matter() -> None:
    assert match_labels(data("TABBY_CAT", "great dane", "KITE"), MODEL, 6).labels.tolist() == [0, 1, 3]


def test_exact_names_come_first() -> None:
    assert match_labels(data("Polish", "polish"), ("polish", "Polish"), 2).labels.tolist() == [1, 0]


def test_wordnet_identifiers_match_exactly_only() -> None:
    assert match_labels(data("n01440764"), MODEL, 6).labels.tolist() == [2]
    with pytest.raises(DataError, match="1 that it does not have: 'N01440764'"):
        match_labels(data("N01440764"), MODEL, 6)


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (
            ("kite", *"abcdefg"),
            "like 'tabby cat', 'Great_Dane', .*, … that|got 7 .*: 'a', 'b', 'c', 'd', 'e', …",
        ),
        (("crane",), "one class of the model for 'crane', got 2: numbers 4, 5"),
        (("kite", "Kite"), "one class of the data for the model's 'kite', got 2: 'kite', 'Kite'"),
    ],
)
def test_disagreement_names_both_sides(names: tuple[str, ...], match: str) -> None:
    with pytest.raises(DataError, match=match):
        match_labels(data(*names), MODEL, 6)


def test_the_model_must_have_a_name_for_each_class() -> None:
    with pytest.raises(DataError, match="6 class names for a model with 6 classes, got 2"):
        match_labels(data("a"), ("a", "b"), 6)


def test_numbers_are_the_models() -> None:
    matched = match_labels(data("3", "07", labels=[1, 0, -1]), None, 10)
    assert matched.labels.tolist() == [7, 3, -1]
    assert matched.class_names == tuple("0123456789")
    with pytest.raises(DataError, match="labels from 0 to 4 for a model with 5 classes, got 7"):
        match_labels(data("3", "7"), None, 5)
    with pytest.raises(DataError, match="one class of the data for the model's '7', got 2: '07', '7'"):
        match_labels(data("07", "7"), None, 10)


def test_folders_of_numbers_are_not_in_their_order(tmp_path: Path) -> None:
    """Sorted as text, '10' comes before '2'."""
    for number in (2, 10, 1):
        (tmp_path / str(number)).mkdir()
        Image.fromarray(np.full((2, 2), number, np.uint8)).save(tmp_path / str(number) / "a.png")
    matched = match_labels(load_images(str(tmp_path), image_shape=None), None, 11)
    assert matched.labels.tolist() == matched.pixels(slice(None))[:, 0, 0, 0].tolist() == [1, 10, 2]


def test_digits_stay_as_they_are() -> None:
    digits = load_data("mnist", "test").head(20)
    assert match_labels(digits, None, 10) is digits
    assert match_labels(digits, tuple("0123456789"), 10).digest == digits.digest


def test_numbers_without_images_do_not_count() -> None:
    """An IDX file of two classes has the names of ten."""
    padded = data(*"0123456789", labels=[0, 1])
    assert match_labels(padded, None, 2).class_names == ("0", "1")
    assert match_labels(padded, ("0", "1"), 2).labels.tolist() == [0, 1]


def test_without_names_the_counts_must_agree() -> None:
    both = data("cat", "dog")
    assert match_labels(both, None, 2) is both
    with pytest.raises(DataError, match=r"\(3\), got 2: 'cat', 'dog'\. .* `--class-names FILE`"):
        match_labels(both, None, 3)


def test_unlabelled_images_stay_so(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    images = load_images(str(tmp_path), image_shape=None)
    assert match_labels(images, None, 7) is images
    named = match_labels(images, MODEL, 6)
    assert (named.labels.tolist(), named.class_names) == ([-1], MODEL)


def test_framed_images_are_matched_too(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        Image.new("L", (2, 2), ord(name)).save(tmp_path / name / "x.png")
    images = load_images(str(tmp_path), image_shape=(1, 2, 2))
    matched = match_labels(images, ("B", "A"), 2)
    assert matched.labels.tolist() == [1, 0]
    assert matched.name_of(1) == "b/x.png"
    assert matched.digest != images.digest

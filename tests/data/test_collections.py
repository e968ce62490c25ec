"""Arrays, lists, datasets and loaders: the same images by every way, and what is wrong with each said."""

from __future__ import annotations

import itertools
import pickle
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch._utils import ExceptionWrapper
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from shiftproof.data import Images, LabelledImages, Reading, load_images
from shiftproof.data._framed import FramedImages
from shiftproof.errors import DataError, OptionError

FOLDER = Path(skimage.data.__file__).parent
# Photographs of several sizes: colours, grey, with transparency, with a profile.
NAMES = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "horse.png", "rocket.jpg")
PATHS = [FOLDER / name for name in NAMES]
SHAPE = (3, 64, 64)
BYTES = np.random.default_rng(0).integers(0, 256, (10, 3, 6, 5), dtype=np.uint8)
LABELS = [1, 0, 2, 1, 0, 2, 2, 1, 0, 0]
NUMBERS = ("0", "1", "2")


def load(source: Any, shape: tuple[int, int, int] | None = SHAPE, **options: Any) -> Images:
    return load_images(source, image_shape=shape, **options)


def pixels(images: Images) -> np.ndarray:
    return images.pixels(slice(None)).numpy()


def tensors() -> TensorDataset:
    return TensorDataset(torch.tensor(BYTES) / 255, torch.tensor(LABELS))


class Answers(Dataset[Any]):
    """A dataset of whatever a function gives for a number."""

    def __init__(self, length: int, answer: Callable[[int], Any]) -> None:
        self.length = length
        self.answer = answer

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Any:
        if index >= self.length:
            raise IndexError(index)
        return self.answer(index)


class Stream(IterableDataset[Any]):
    """One that can only be gone through, each time with what a function gives."""

    def __init__(self, answers: Callable[[], Iterator[Any]]) -> None:
        self.answers = answers

    def __iter__(self) -> Iterator[Any]:
        return self.answers()


@pytest.fixture(scope="module")
def photographs() -> Images:
    """The photographs as files: what every other way has to give."""
    return load(PATHS)


def test_oracle_photographs_by_opencv() -> None:
    """Reduced eightfold in size by means of 8 × 8 pixels, which both libraries compute alike."""
    images = load([FOLDER / "coffee.png", FOLDER / "motorcycle_left.png"], (3, 48, 64))
    for row, name in enumerate(("coffee.png", "motorcycle_left.png")):
        image = cv2.imread(str(FOLDER / name))
        assert image is not None
        height, width = image.shape[:2]
        scale = max(48 / height, 64 / width)
        size = (max(64, int(width * scale)), max(48, int(height * scale)))
        reduced = cv2.resize(image, size, interpolation=cv2.INTER_AREA)[..., ::-1]
        top, left = (round((has - takes) / 2) for has, takes in zip(reduced.shape[:2], (48, 64), strict=True))
        expected = reduced[top : top + 48, left : left + 64].astype(float)
        found = images.pixels(slice(row, row + 1))[0].permute(1, 2, 0).numpy()
        # Pillow weighs by a triangle, OpenCV by a box: alike but at edges.
        assert np.abs(found - expected).mean() < 6
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.97


def test_a_list_of_paths_is_that_of_its_files(photographs: Images) -> None:
    assert isinstance(photographs, FramedImages)
    assert [photographs.name_of(row) for row in range(6)] == list(NAMES)
    assert photographs.labels.tolist() == [-1] * 6
    assert photographs.conversions == {
        "colour profile to sRGB": 1,
        "grey repeated to RGB": 1,
        "reduced in size": 6,
        "transparency on black": 1,
    }
    pairs = load([(path, row % 2) for row, path in enumerate(PATHS)])
    named = load(([str(path) for path in PATHS], np.array(["cat", "dog"] * 3)))
    assert pairs.labels.tolist() == named.labels.tolist() == [0, 1] * 3
    assert (pairs.class_names, named.class_names) == (("0", "1"), ("cat", "dog"))
    assert load(np.array([str(path) for path in PATHS])).digest == photographs.digest
    assert np.array_equal(pixels(pairs), pixels(photographs))


def test_a_list_of_paths_names_links_and_skips_what_is_bad(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.png").symlink_to(FOLDER / "coffee.png")
    Image.new("RGB", (80, 80), "red").save(tmp_path / "a.png")
    (tmp_path / "bad.png").write_bytes(b"no")
    images = load(["a.png", "b/link.png", "bad.png"], max_bad=0.5, reading=Reading(root=tmp_path))
    assert [images.name_of(row) for row in range(2)] == ["a.png", "b/link.png"]
    assert images.skipped == (("bad.png", "not a PNG, JPEG, WEBP, BMP or TIFF image"),)
    with pytest.raises(DataError, match=r"at most 1 % of 3 files .* 1: 'bad\.png'"):
        load(["a.png", "b/link.png", "bad.png"], reading=Reading(root=tmp_path))


def test_images_of_pillow_are_those_of_their_files(photographs: Images) -> None:
    opened = [Image.open(path) for path in PATHS]
    images = load((opened, ["a", "b"] * 3))
    assert np.array_equal(pixels(images), pixels(photographs))
    assert images.conversions == photographs.conversions
    assert images.labels.tolist() == [0, 1] * 3
    assert images.name_of(3) == "list[3]"
    for image in opened:
        image.close()


def test_orientation_and_depth_of_images_of_pillow() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.array([[3, 6], [2, 5], [1, 4]], np.uint8))
    turned.info["exif"] = exif.tobytes()
    images = load([turned], None)
    assert images.pixels(slice(None))[0, 0].tolist() == [[1, 2, 3], [4, 5, 6]]
    deep = Image.fromarray(np.array([[0, 2000, 4000]], np.uint16))
    assert pixels(load([deep], None)).ravel().tolist() == [0, 8, 16]
    windowed = load([deep], None, reading=Reading(window=(0, 4000)))
    assert pixels(windowed).ravel().tolist() == [0, 128, 255]
    assert windowed.conversions == {"window 0 to 4000": 1}


@pytest.mark.parametrize(
    "array",
    [
        BYTES,
        BYTES.transpose(0, 2, 3, 1),
        torch.tensor(BYTES),
        torch.tensor(BYTES).permute(0, 2, 3, 1),
        BYTES / 255,
        (BYTES / 255).astype(np.float32),
        torch.tensor(BYTES, requires_grad=False).double() / 255,
        BYTES.astype(np.uint16) * 257,
    ],
    ids=["bytes", "last", "tensor", "tensor last", "float64", "float32", "double", "16 bits"],
)
def test_arrays_of_every_layout_and_type_are_one(array: Any) -> None:
    images = load((array, LABELS), None)
    assert isinstance(images, LabelledImages)
    assert np.array_equal(images.images, BYTES)
    assert images.digest == load((BYTES, torch.tensor(LABELS)), None).digest
    assert (images.labels.tolist(), images.class_names) == (LABELS, NUMBERS)


def test_arrays_that_need_a_word() -> None:
    grey = load(BYTES[:, 0], None)
    assert np.array_equal(pixels(grey), BYTES[:, :1])
    many = np.zeros((2, 7, 8, 9), np.uint8)
    assert load(many, None).image_shape == (7, 8, 9)
    hounsfield = np.array([-2000, -1000, -300, 400, 3000], np.int16).reshape(1, 1, 1, 5)
    windowed = load(hounsfield, None, reading=Reading(window=(-1000, 400)))
    assert pixels(windowed).ravel().tolist() == [0, 0, 128, 255, 255]
    assert windowed.conversions == {"window -1000 to 400": 1}
    truth = load(np.eye(8, dtype=bool)[None, None], None)
    assert np.array_equal(pixels(truth)[0, 0], 255 * np.eye(8))
    half = load(torch.tensor(BYTES[:2, :, :4, :4]).to(torch.bfloat16) / 255, None)
    assert np.abs(pixels(half).astype(int) - BYTES[:2, :, :4, :4]).max() <= 1
    frozen = BYTES.copy()
    frozen.flags.writeable = False
    assert np.array_equal(pixels(load(frozen, None)), BYTES)


@pytest.mark.parametrize("shape", [(10, 1), (10,)])
@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool])
def test_labels_as_an_array(shape: tuple[int, ...], kind: type) -> None:
    """(N, 1) is what Keras' own datasets come with."""
    labels: np.ndarray = (np.array(LABELS) % 2).astype(kind).reshape(shape)
    assert load((BYTES, labels), None).labels.tolist() == [label % 2 for label in LABELS]


ONE_HOT = np.eye(3)[LABELS]
# Of each image 0 to 3 labels.
SEVERAL = np.array([[0, 1, 1], [0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0]] * 2)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, bool])
def test_several_labels_by_every_way(kind: type, tmp_path: Path) -> None:
    """Vectors of 0 and 1 of any type, as losses want them: in arrays, lists, datasets and loaders."""
    labels = torch.from_numpy(SEVERAL.astype(kind))
    pixels_and_labels = TensorDataset(torch.tensor(BYTES), labels)
    rows = Answers(10, lambda row: {"image": BYTES[row], "labels": SEVERAL[row].astype(kind).tolist()})
    for name in (f"{row}.png" for row in range(10)):
        Image.new("RGB", (5, 6)).save(tmp_path / name)
    files = [(str(tmp_path / f"{row}.png"), SEVERAL[row].astype(kind)) for row in range(10)]
    sources: list[Any] = [
        (BYTES, labels), (BYTES, SEVERAL.astype(kind)), (list(BYTES), SEVERAL.astype(kind).tolist()), files,
        pixels_and_labels, DataLoader(pixels_and_labels, 3), rows, Subset(rows, range(10)),
        DataLoader(rows, 4), DataLoader(rows, None),
    ]  # fmt: skip
    for source in sources:
        images = load(source, None)
        assert images.labels.tolist() == SEVERAL.tolist(), type(source)
        assert images.labels.dtype == torch.int64
        assert images.class_names == NUMBERS
    drawn = load(DataLoader(pixels_and_labels, 3), None, limit=4)
    again = load(pixels_and_labels, None, limit=4)
    assert drawn.labels.tolist() == again.labels.tolist()


def test_names_of_several_labels() -> None:
    rows = Answers(10, lambda row: (BYTES[row], SEVERAL[row]))
    rows.classes = ["ant", "bee", "cat"]  # type: ignore[attr-defined]
    assert load(DataLoader(rows, 4), None).class_names == ("ant", "bee", "cat")
    rows.classes = ["ant", "bee"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"as many names as labels .*'Answers' \(3\), got 2 names"):
        load(rows, None)


def test_a_batch_whose_labels_can_be_rows_or_columns() -> None:
    """Torch's loaders make of lists of numbers one tensor for each label, and not for each image."""
    rows = Answers(9, lambda row: (BYTES[row], SEVERAL[row].tolist()))
    assert load(DataLoader(rows, 4), None).labels.tolist() == SEVERAL[:9].tolist()
    with pytest.raises(
        DataError, match=r"a row for each image .* at DataLoader of Answers\[0\].*as a tensor"
    ):
        load(DataLoader(rows, 3), None)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (LABELS[:9], r"one label for each of the 10 images of images, got 9 labels"),
        (torch.tensor([*LABELS, 1]), "got 11 labels"),
        (np.array(LABELS) + 0.5, r"an integer or a name as the label of images\[0\], got float64 1\.5"),
        (ONE_HOT, r"got 3 numbers of 0 and 1 .* exactly one .* one-hot.*labels\.argmax\(1\)"),
        (torch.tensor(ONE_HOT), "one-hot"),
        (ONE_HOT * 0.5, r"as the label of images\[0\], got float64 of shape \(3,\)\. It has several numbers"),
        ([*SEVERAL[:9].tolist(), 1], "3 numbers of 0 and 1 as the labels .*'images', got 1 at place 9"),
        ([*SEVERAL[:9].tolist(), [0, 1]], "3 numbers of 0 and 1 as the labels .* got 2 at place 9"),
        (["a", "b"] * 4 + ["a", 3], "either numbers or names as the labels of 'images', got 3 and 'a'"),
        ([object()] * 10, r"the label of images\[0\], got object"),
        (7, "a sequence of labels of images, got int 7"),
        (np.array(LABELS) - 3, "from 0 to 999,999, or −1 for unknown, got -3"),
    ],
)  # fmt: skip
def test_labels_that_do_not_fit(labels: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        load((BYTES, labels), None)


@pytest.mark.parametrize(
    ("images", "match"),
    [
        (BYTES.astype(np.int64), "uint8 or uint16, or float .* got int64.*numpy.uint8"),
        (BYTES / 255 - 0.5, r"finite values from 0 to 1 .* got -0\.5 to 0\.5 in images 0 to 9\. Norm"),
        (np.full((2, 1, 5, 5), np.nan), "got nan to nan"),
        (BYTES[0], r"got \(3, 6, 5\)\. It could be one image.*images\[None\]"),
        (BYTES[0, 0], r"\(N, C, H, W\), .* got \(6, 5\)"),
        (BYTES[:0], "at least one image, got none"),
        (BYTES.astype(np.complex64), "numbers in images, got the type complex64"),
        ((BYTES, LABELS, LABELS), "images, alone or in a tuple with labels, got a tuple of 3"),
        ([], "at least one image, got none"),
        (TensorDataset(torch.zeros(0, 1, 4, 4)), "at least one image, got none in TensorDataset"),
        (object(), "a dataset or a loader, got a value of type object"),
        ({"train": [1], "test": [2]}, r"one set of images, got a dict of 'train', 'test'.*\['train'\]"),
        ([PATHS[0], Image.new("L", (4, 4))], "paths only, or pairs .* got Image at place 1"),
        ([BYTES[0], Image.new("L", (4, 4))], "either images of Pillow or arrays"),
        ([BYTES[0], "x.png"], r"an image of Pillow, a tensor or an array as list\[1\], got one of type str"),
        ([BYTES[0], BYTES[1, :, :4]], r"one shape, \(3, 6, 5\) as list\[0\], got \(3, 4, 5\) as list\[1\]"),
        ([{"picture": 1}], r"an image under a key such as 'image' in list\[0\], got 'picture'"),
        ([()], r"an image, alone or with a label, as list\[0\], got an empty tuple"),
    ],
)  # fmt: skip
def test_images_that_are_none(images: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        load(images, None)


def test_a_dataset_without_a_length_and_one_with_labels_of_its_own() -> None:
    class Endless(Dataset[Any]):
        def __getitem__(self, index: int) -> Any:
            return BYTES[0], 0

    with pytest.raises(DataError, match=r"needs a length \(`__len__`\)"):
        load(Endless(), None)
    with pytest.raises(DataError, match="a value of type DataLoader with labels"):
        load((DataLoader(tensors()), LABELS), None)
    labelled = load((Answers(10, lambda row: BYTES[row]), LABELS), None)
    assert labelled.labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (lambda row: (BYTES[row], 0.5), r"the label of Answers\[0\], got float 0\.5"),
        (lambda row: (BYTES[row], ONE_HOT[row]), "one-hot"),
        (lambda row: (BYTES[row], SEVERAL[row][: 3 - row // 9]), "3 numbers .* got 2 at place 9"),
        (lambda row: (BYTES[row], row - 5), "or −1 for unknown, got -5"),
        (lambda row: (1 / 0, 0), r"got none \('Answers\[0\]': its collection raised ZeroDivisionError"),
    ],
)
def test_elements_that_do_not_fit(answer: Callable[[int], Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        load(Answers(10, answer), None)


def test_a_bad_element_is_skipped_like_a_bad_file() -> None:
    def answer(row: int) -> Any:
        if row == 3:
            raise OSError("truncated")
        return BYTES[row], LABELS[row]

    with pytest.raises(
        DataError, match=r"at most 1 % of 10 files .* 1: 'Answers\[3\]': its collection raised"
    ):
        load(Answers(10, answer), None)
    images = load(Answers(10, answer), None, max_bad=0.1)
    assert images.skipped == (("Answers[3]", "its collection raised OSError: truncated"),)
    assert np.array_equal(pixels(images), np.delete(BYTES, 3, axis=0))


# Datasets


def test_torchvision_folders_are_our_folders(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    for row, path in enumerate(PATHS[:4]):
        target = tmp_path / ("cat", "ant")[row % 2] / path.name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    ours, theirs = load(tmp_path), load(torchvision.datasets.ImageFolder(tmp_path))
    assert np.array_equal(pixels(theirs), pixels(ours))
    assert theirs.labels.tolist() == ours.labels.tolist() == [0, 0, 1, 1]
    assert theirs.class_names == ours.class_names == ("ant", "cat")
    assert (theirs.name, theirs.name_of(2)) == ("ImageFolder", "ImageFolder[2]")
    # Torchvision makes every image RGB by itself.
    assert theirs.conversions == {"reduced in size": 4}
    assert load(torchvision.datasets.ImageFolder(tmp_path)).digest == theirs.digest


def test_torchvision_transforms_are_left_as_they_are(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    transforms = torchvision.transforms
    steps = [transforms.Resize(32), transforms.CenterCrop(32), transforms.ToTensor()]
    fake = torchvision.datasets.FakeData(8, (3, 40, 50), 3, transforms.Compose(steps))
    images = load(fake)
    assert images.image_shape == (3, 32, 32), "not the shape of the model: arrays are not framed"
    expected = np.stack([np.rint(fake[row][0].numpy() * 255) for row in range(8)])
    assert np.array_equal(pixels(images), expected)
    assert images.labels.tolist() == [int(fake[row][1]) for row in range(8)]
    assert images.conversions == {"rounded to 256 levels": 8}
    fake.transform.transforms.append(transforms.Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)))
    remedy = (
        r"Take Normalize out.*preprocess=Preprocess\(mean=\(0\.5, 0\.4, 0\.3\), std=\(0\.2, 0\.2, 0\.2\)\)"
    )
    for source in (fake, DataLoader(fake), Subset(fake, [1, 2])):
        with pytest.raises(DataError, match=remedy):
            load(source)


def test_names_of_classes_through_what_wraps_a_dataset() -> None:
    inner = Answers(10, lambda row: (BYTES[row], LABELS[row]))
    inner.classes = ["ant", "bee", "cat"]  # type: ignore[attr-defined]
    several: list[Any] = [inner, Subset(inner, [2, 5]), ConcatDataset([inner, inner])]
    for wrapped in [*several, DataLoader(Subset(inner, [2]))]:
        assert load(wrapped, None).class_names == ("ant", "bee", "cat")
    # As torchvision's ImageNet has them: several names that mean the same.
    inner.classes = [("tench", "Tinca tinca"), ("goldfish",), ("shark",)]  # type: ignore[attr-defined]
    assert load(inner, None).class_names == ("tench", "goldfish", "shark")
    assert load(Subset(inner, [2, 5]), None, limit=1).name == "Subset of Answers"
    inner.classes = ["ant", "bee"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="labels of 'Answers' from 0 to 1, or −1 for unknown, got 2"):
        load(inner, None)


def test_mappings_have_keys() -> None:
    images = load(Answers(10, lambda row: {"img": BYTES[row], "id": row, "label": LABELS[row]}), None)
    assert np.array_equal(pixels(images), BYTES)
    assert images.labels.tolist() == LABELS
    other = Answers(10, lambda row: {"photo": BYTES[row], "species": LABELS[row]})
    reading = Reading(path_column="photo", label_column="species")
    assert load(other, None, reading=reading).digest == images.digest
    with pytest.raises(DataError, match=r"a label under 'kind' in Answers\[0\]"):
        load(other, None, reading=Reading(path_column="photo", label_column="kind"))
    with pytest.raises(OptionError, match="no --root for a Answers"):
        load(other, None, reading=Reading(root="."))


def test_a_random_dataset_is_noticed() -> None:
    generator = np.random.default_rng(0)
    noisy = Answers(10, lambda row: (BYTES[row] ^ generator.integers(0, 2, dtype=np.uint8), LABELS[row]))
    images = load(noisy, None)
    with pytest.raises(
        DataError, match=r"Answers\[\d\] as it was when it was checked: another image.*random"
    ):
        list(map(images.pixels, [slice(None)] * 20))


def test_memory_does_not_grow_with_a_dataset() -> None:
    """Forty images of 300 kB each that are made when asked for; fewer than five are held at any time."""
    big = Answers(40, lambda row: (np.full((3, 320, 320), row, np.uint8), row))
    tracemalloc.start()
    images = load(big, None)
    for row in range(40):
        images.pixels(slice(row, row + 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 320 * 320 * 3 * 2


# Loaders


@settings(max_examples=25)
@given(batch_size=st.integers(1, 12), n_kept=st.integers(1, 10), with_labels=st.booleans())
def test_a_loader_gives_the_images_of_its_dataset(batch_size: int, n_kept: int, with_labels: bool) -> None:
    dataset = Subset(tensors(), range(n_kept))
    if not with_labels:
        dataset = Subset(TensorDataset(torch.tensor(BYTES)), range(n_kept))
    loaded = load(DataLoader(dataset, batch_size=batch_size), None)
    assert np.array_equal(pixels(loaded), BYTES[:n_kept])
    assert loaded.labels.tolist() == (LABELS[:n_kept] if with_labels else [-1] * n_kept)
    assert loaded.digest == load(DataLoader(dataset, batch_size=None), None).digest
    assert loaded.digest == load(dataset, None).digest


def test_loaders_of_every_form() -> None:
    rows = [{"image": torch.tensor(BYTES[row]), "label": LABELS[row]} for row in range(10)]
    expected = load(tensors(), None)
    grey = TensorDataset(torch.tensor(BYTES[:, 0]), torch.tensor(LABELS))
    assert np.array_equal(pixels(load(DataLoader(grey, batch_size=4), None)), BYTES[:, :1])
    forms: list[Any] = [
        DataLoader(rows, batch_size=3),  # type: ignore[arg-type]
        [(torch.tensor(BYTES[:6]), torch.tensor(LABELS[:6])), (torch.tensor(BYTES[6:]), LABELS[6:])],
        Stream(lambda: zip(BYTES, LABELS, strict=True)),
        DataLoader(Stream(lambda: zip(BYTES, LABELS, strict=True)), batch_size=4),
    ]
    for form in forms:
        images = load(iter_each_time(form) if isinstance(form, list) else form, None)
        assert np.array_equal(pixels(images), BYTES)
        assert images.labels.tolist() == LABELS
        assert images.digest == expected.digest


class iter_each_time:  # noqa: N801  # reads as a function
    """What can be gone through again and again, and nothing else."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


def test_a_stream_of_images_of_pillow_is_framed(photographs: Images) -> None:
    images = load(Stream(lambda: (Image.open(path) for path in PATHS)))
    assert np.array_equal(pixels(images), pixels(photographs))
    assert images.conversions == photographs.conversions
    with pytest.raises(DataError, match=r"one shape, \(3, 512, 512\) as the first, got \(1, 512, 512\)"):
        load(Stream(lambda: (Image.open(path) for path in PATHS)), None)


def test_a_part_of_a_loader_is_drawn_like_a_part_of_its_dataset() -> None:
    part = load(DataLoader(tensors(), batch_size=4), None, limit=4, seed=3)
    assert np.array_equal(pixels(part), pixels(load(tensors(), None, limit=4, seed=3)))
    assert part.class_names == NUMBERS, "counted over the whole of it"
    assert len({load(DataLoader(tensors()), None, limit=4, seed=seed).digest for seed in range(4)}) > 1


def test_a_loader_that_reuses_its_memory() -> None:
    def answers() -> Iterator[Any]:
        buffer = torch.empty(2, 3, 6, 5, dtype=torch.uint8)
        for start in range(0, 10, 2):
            yield buffer.copy_(torch.tensor(BYTES[start : start + 2])), LABELS[start : start + 2]

    assert np.array_equal(pixels(load(Stream(answers), None)), BYTES)


def halfway() -> Iterator[Any]:
    yield torch.tensor(BYTES[:4]), torch.tensor(LABELS[:4])
    yield torch.tensor(BYTES[4:, :, :5]), torch.tensor(LABELS[4:])


def raising() -> Iterator[Any]:
    yield torch.tensor(BYTES[:4]), LABELS[:4]
    raise RuntimeError("a worker is gone")


def leaving() -> Iterator[Any]:
    """What ends the program has not given its images, and must not pass a gate."""
    yield torch.tensor(BYTES[:4]), LABELS[:4]
    sys.exit(0)


def of_a_worker() -> Iterator[Any]:
    """What a loader with `num_workers` raises in place of the error of one of them."""
    try:
        raise ValueError("row 7 is missing")
    except ValueError:
        ExceptionWrapper(where="in DataLoader worker process 0").reraise()  # type: ignore[no-untyped-call]
    yield


def each_pass(answer: Callable[[int], Any]) -> Stream:
    """A stream of one batch, which depends on how often it was gone through before."""
    passes = itertools.count()
    return Stream(lambda: iter([answer(next(passes))]))


@pytest.mark.parametrize(
    ("loader", "match"),
    [
        (Stream(halfway), r"one shape, \(3, 6, 5\) as the first, got \(3, 5, 5\) at Stream\[4\]"),
        (DataLoader(tensors(), shuffle=True), r"to give the same images, got another .* It shuffles\."),
        (each_pass(lambda n: BYTES ^ n), r"another image at Stream\[0\]\. Its images are drawn or"),
        (each_pass(lambda n: BYTES[: 10 - n]), r"no more images at Stream\[9\]\. Its images are drawn"),
        (each_pass(lambda n: BYTES[: 5 + n]), r"another image at Stream\[5\]\. Its images are drawn"),
        (iter([BYTES[0], BYTES[1]]), r"no more images at .*\[0\]\. It can be gone through once only"),
        (Stream(raising), "Cannot go through Stream: RuntimeError: a worker is gone"),
        (Stream(leaving), "Cannot go through Stream: SystemExit: 0"),
        (Stream(of_a_worker), r"through Stream: ValueError: row 7 is missing\.$"),
        (Stream(lambda: iter([])), "at least one image, got none in Stream"),
        (Stream(lambda: iter([(BYTES, LABELS[:3])])), r"each of the 10 images of Stream\[0\], got 3 labels"),
        (Stream(lambda: iter([(BYTES, ONE_HOT)])), "one-hot"),
        (Stream(lambda: iter([(BYTES[0], SEVERAL[0])])), "one image with several labels, or several grey"),
        (Stream(lambda: iter([(BYTES / 100, LABELS)])), "finite values from 0 to 1.*Normalisation"),
        (DataLoader(tensors(), collate_fn=lambda batch: batch), "an array as .*, got one of type tuple"),
    ],
)  # fmt: skip
def test_loaders_that_cannot_be_used(loader: Any, match: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(DataError, match=match):
        load(loader, None)


def test_what_has_no_end_or_no_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from shiftproof.data import _passes

    monkeypatch.setattr(_passes, "MAX_BYTES", 5 * BYTES[0].nbytes)
    with pytest.raises(
        DataError, match=r"need at most 450 bytes together, got more, after 6.*the dataset itself"
    ):
        load(DataLoader(tensors()), None)
    assert len(load(DataLoader(tensors()), None, limit=5)) == 5
    monkeypatch.setattr(_passes, "MAX_IMAGES", 100)
    with pytest.raises(DataError, match=r"at most 100 images in Stream, got more\. It may have no end"):
        load(Stream(lambda: itertools.cycle(BYTES)), None, limit=5)


# Workers in other processes


def opened_photographs() -> list[Image.Image]:
    return [Image.open(path) for path in PATHS]


@pytest.mark.parametrize(
    "source",
    [
        tensors,
        lambda: DataLoader(tensors(), batch_size=4),
        lambda: Subset(tensors(), [3, 1, 4]),
        lambda: list(zip(BYTES, LABELS, strict=True)),
        opened_photographs,
        lambda: PATHS,
        lambda: faces(pytest.importorskip("datasets")),
    ],
    ids=[
        "dataset",
        "loader",
        "part of a dataset",
        "list of arrays",
        "list of Pillow's",
        "paths",
        "Hugging Face",
    ],
)
def test_images_of_every_kind_can_be_sent_to_workers(source: Callable[[], Any]) -> None:
    images = load(source(), SHAPE)
    there: Images = pickle.loads(pickle.dumps(images))
    assert np.array_equal(pixels(there), pixels(images))
    assert there.digest == images.digest
    assert torch.equal(there.labels, images.labels)


# Hugging Face


@pytest.fixture
def huggingface() -> Any:
    return pytest.importorskip("datasets")


def faces(datasets: Any, **columns: Any) -> Any:
    features = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["ant", "cat"])}
    values = {"image": [str(path) for path in PATHS], "label": [0, 1] * 3}
    for name, (feature, column) in columns.items():
        features[name], values[name] = feature, column
    return datasets.Dataset.from_dict(values, datasets.Features(features))


def test_a_dataset_of_hugging_face(huggingface: Any, photographs: Images) -> None:
    images = load(faces(huggingface))
    assert np.array_equal(pixels(images), pixels(photographs))
    assert images.conversions == photographs.conversions
    assert (images.labels.tolist(), images.class_names) == ([0, 1] * 3, ("ant", "cat"))
    several = huggingface.Sequence(huggingface.ClassLabel(names=["eye", "fur", "leg"]))
    lists = faces(huggingface, animals=(several, [[0, 1], [], [2], [2, 0], [0, 1, 2], [1]]))
    images = load(lists, reading=Reading(label_column="animals"))
    assert images.class_names == ("eye", "fur", "leg")
    table = [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 0]]
    assert images.labels.tolist() == table
    assert load(lists.remove_columns("label")).labels.tolist() == table
    part = faces(huggingface).select([3, 1])
    assert load(part).labels.tolist() == [1, 1]


def test_a_dataset_of_hugging_face_in_other_forms(huggingface: Any, photographs: Images) -> None:
    rows = faces(huggingface)
    streamed = load(rows.to_iterable_dataset())
    assert np.array_equal(pixels(streamed), pixels(photographs))
    assert streamed.class_names == ("ant", "cat")
    small = rows.map(lambda row: {"image": row["image"].convert("RGB").resize((8, 9))})
    for form in ("torch", "numpy"):
        images = load(small.with_format(form))
        assert images.image_shape == (3, 9, 8)
        assert images.labels.tolist() == [0, 1] * 3
    parts = huggingface.DatasetDict(train=rows, test=rows)
    with pytest.raises(DataError, match=r"got a DatasetDict of 'train', 'test'.*its \['train'\]"):
        load(parts)


def test_a_dataset_of_hugging_face_with_two_labels(huggingface: Any) -> None:
    rows = faces(huggingface, fine=(huggingface.ClassLabel(names=["x", "y", "z"]), [2, 1, 0] * 2))
    with pytest.raises(
        DataError, match=r"with a feature ClassLabel, got 'label', 'fine'.*label_column=\"label\""
    ):
        load(rows)
    assert load(rows, reading=Reading(label_column="fine")).class_names == ("x", "y", "z")

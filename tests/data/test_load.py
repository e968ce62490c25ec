"""Loading images to measure on: every source, what is skipped, what the digest sees, what stays in memory."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from shiftproof.data import UNKNOWN, Images, LabelledImages, Reading, data_sources, load_data, load_images
from shiftproof.data._framed import FramedImages
from shiftproof.errors import DataError, OptionError

STRANGE = ("naïve 猫.png", "two\nlines.png", "<img onerror=alert(1)>.png", "=1+1,'\".png")


def write(path: Path, *size: int, value: int | None = None, seed: int = 0) -> Path:
    """An image of (height, width) or (height, width, 3), of one value or noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
    Image.fromarray(pixels if value is None else np.full(size, value, np.uint8)).save(path)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Twelve images of 10 × 8 px, in the classes ant, bee and cat."""
    for row in range(12):
        write(tmp_path / "set" / ("ant", "bee", "cat")[row % 3] / f"{row:02}.png", 10, 8, 3, seed=row)
    return tmp_path / "set"


def load(path: Path, shape: tuple[int, int, int] | None = (3, 10, 8), **options: object) -> Images:
    return load_images(str(path), image_shape=shape, **options)  # type: ignore[arg-type]


def names(images: Images) -> list[str]:
    return [images.name_of(row) for row in range(len(images))]


def test_class_folders(classes: Path) -> None:
    images = load(classes)
    assert images.name == "set"
    assert images.class_names == ("ant", "bee", "cat")
    assert names(images)[:5] == ["ant/00.png", "ant/03.png", "ant/06.png", "ant/09.png", "bee/01.png"]
    assert images.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert images.labels.dtype == torch.int64
    expected = np.asarray(Image.open(classes / "bee" / "01.png")).transpose(2, 0, 1)
    assert np.array_equal(images.pixels(slice(4, 5))[0], expected)
    assert (images.conversions, images.skipped, images.not_considered) == ({}, (), ())


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    for row, name in enumerate(STRANGE):
        write(tmp_path / name, 4, 4, seed=row)
    images = load(tmp_path, (1, 4, 4))
    assert sorted(names(images)) == sorted(STRANGE)
    assert images.labels.tolist() == [UNKNOWN] * len(STRANGE)
    assert images.class_names == ()


def test_strange_names_survive_as_data(tmp_path: Path) -> None:
    for name in STRANGE:
        write(tmp_path / name.removesuffix(".png") / name, 4, 4)
    (tmp_path / "<b>").mkdir()
    (tmp_path / "<b>" / STRANGE[1]).write_bytes(b"")
    images = load(tmp_path, (1, 4, 4), max_bad=0.5)
    assert set(images.class_names) == {*(name.removesuffix(".png") for name in STRANGE), "<b>"}
    assert images.skipped == ((f"<b>/{STRANGE[1]}", "an empty file"),)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_no_utf8_become_text(tmp_path: Path) -> None:
    image = write(tmp_path / "a.png", 4, 4)
    try:
        image.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    images = load(tmp_path, (1, 4, 4))
    assert names(images) == [r"caf\xe9.png"]
    assert len(images.digest) == 64
    assert len(images.pixels(slice(None))) == 1


def test_hidden_and_other_files_are_not_considered(classes: Path) -> None:
    (classes / "ant" / "notes.txt").write_text("x")
    (classes / "ant" / ".hidden.png").write_text("x")
    (classes / "ant" / ".cache").mkdir()
    (classes / "LICENSE").write_text("x")
    write(classes / "ant" / "deep" / "er" / "x.png", 10, 8)
    images = load(classes)
    assert len(images) == 13
    assert images.not_considered == ("LICENSE", "ant/.cache/", "ant/.hidden.png", "ant/notes.txt")
    assert "ant/deep/er/x.png" in names(images)


def test_images_beside_class_folders_are_ambiguous(classes: Path) -> None:
    write(classes / "logo.png", 10, 8)
    with pytest.raises(DataError, match=r"either images or class folders .* both 'logo.png' and 'ant'"):
        load(classes)


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got an empty folder"):
        load(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b.txt").write_text("x")
    with pytest.raises(DataError, match=r"got only 'a', 'b.txt'"):
        load(tmp_path)


def test_an_empty_class_keeps_its_number(classes: Path) -> None:
    (classes / "antelope").mkdir()
    images = load(classes)
    assert images.class_names == ("ant", "antelope", "bee", "cat")
    assert images.labels.unique().tolist() == [0, 2, 3]  # type: ignore[no-untyped-call]


def test_one_image(classes: Path) -> None:
    images = load(classes / "ant" / "00.png", None)
    assert (len(images), names(images), images.image_shape) == (1, ["00.png"], (3, 10, 8))
    link = classes.parent / "link.png"
    link.symlink_to(classes / "ant" / "00.png")
    assert torch.equal(load(link, None).pixels(slice(None)), images.pixels(slice(None)))


def test_bad_files_are_skipped_with_their_reason(classes: Path) -> None:
    bad = classes / "ant"
    whole = (bad / "00.png").read_bytes()
    (bad / "empty.png").write_bytes(b"")
    (bad / "text.png").write_text("no image")
    (bad / "truncated.jpg").write_bytes(whole[:-150])
    (bad / "folder.png").mkdir()
    (bad / "scan.tif").write_bytes(b"II*\0")
    os.mkfifo(bad / "pipe.png")
    write(classes.parent / "outside.png", 10, 8)
    (bad / "link.png").symlink_to(classes.parent / "outside.png")
    (bad / "circle.png").symlink_to(bad / "circle.png")
    (bad / "nowhere.png").symlink_to(bad / "nothing")
    (bad / "linked").symlink_to(classes.parent)
    (bad / "same.png").symlink_to(bad / "00.png")
    images = load(classes, max_bad=0.5)
    reasons = {name.removeprefix("ant/"): reason for name, reason in images.skipped}
    assert len(images) == 13  # a link within the folder is fine
    assert reasons.pop("truncated.jpg").startswith("damaged")
    assert "cannot be read" in reasons.pop("circle.png")
    assert reasons == {
        "empty.png": "an empty file",
        "text.png": "not a PNG, JPEG, WEBP, BMP or TIFF image",
        "folder.png": "a folder, not a file",
        "scan.tif": "damaged (unpack requires a buffer of 4 bytes)",
        "pipe.png": "not an ordinary file",
        "link.png": "a link that leaves the folder",
        "nowhere.png": "cannot be read (No such file or directory)",
        "linked": "a link that leaves the folder",
    }


def test_links_are_followed_where_they_stay_inside(classes: Path) -> None:
    (classes / "dog").symlink_to(classes / "cat")
    (classes / "ant" / "more").symlink_to(classes / "bee")
    images = load(classes)
    assert images.class_names == ("ant", "bee", "cat", "dog")
    assert [int((images.labels == label).sum()) for label in range(4)] == [8, 4, 4, 4]
    assert "ant/more/01.png" in names(images)
    assert "dog/02.png" in names(images)


def test_links_out_are_followed_where_it_is_said(classes: Path, tmp_path: Path) -> None:
    """As in sets that are made of links into a store."""
    store = tmp_path / "a store"
    for row in range(3):
        write(store / "dogs" / f"{row}.JPEG", 10, 8, 3, seed=row)
    write(store / "one.PNG", 10, 8, 3)
    (classes / "dog").symlink_to(store / "dogs")
    (classes / "ant" / "x.png").symlink_to(store / "one.PNG")
    message = rf"'dog', which is a link that leaves it.*--root '{store}'\."
    with pytest.raises(DataError, match=message):
        load(classes)
    images = load(classes, reading=Reading(root=store))
    assert (len(images), images.skipped) == (16, ())
    assert images.class_names[-1] == "dog"
    assert {"ant/x.png", "dog/2.JPEG"} < set(names(images))
    assert len(images.pixels(slice(None))) == 16
    with pytest.raises(DataError, match=r"a folder for --root, got '.*nowhere'"):
        load(classes, reading=Reading(root=tmp_path / "nowhere"))


def test_links_in_a_circle_end(classes: Path) -> None:
    (classes / "ant" / "round").symlink_to(classes / "ant")
    (classes / "bee" / "up").symlink_to(classes)
    (classes / "ant" / "deep").mkdir()
    (classes / "ant" / "deep" / "back").symlink_to(classes / "ant" / "deep")
    images = load(classes, max_bad=0.5)
    skipped = dict(images.skipped)
    assert skipped["ant/round"] == skipped["ant/deep/back"] == "a folder, not a file"
    # The link up shows every class once more, until it meets a folder that it is in.
    assert "bee/up/cat/02.png" in names(images)
    assert "bee/up/bee" in skipped


@pytest.mark.slow
def test_a_thousand_folders_deep(tmp_path: Path) -> None:
    here = tmp_path / "ant"
    here.mkdir()
    folder = os.open(here, os.O_RDONLY)
    for _ in range(900):
        os.mkdir("d", dir_fd=folder)  # paths this long cannot be named at once
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    write(here / "x.png", 10, 8)
    assert len(load(tmp_path)) == 1


def test_what_systems_leave_is_no_class(classes: Path) -> None:
    """Of macOS' archives, of a store's thumbnails, of Windows; with images in some of them."""
    for name in ("__MACOSX/ant/._00.png", "@eaDir/00.png/THUMB.jpg", "bee/@eaDir/01.png/THUMB.jpg"):
        (classes / name).parent.mkdir(parents=True, exist_ok=True)
        (classes / name).write_bytes((classes / "ant" / "00.png").read_bytes())
    for name in ("ant/Thumbs.db", "desktop.ini", ".DS_Store", "cat/._02.png"):
        (classes / name).write_bytes(b"\0" * 10)
    images = load(classes)
    assert (len(images), images.class_names, images.skipped) == (12, ("ant", "bee", "cat"), ())
    assert set(images.not_considered) == {
        "__MACOSX/", "@eaDir/", "bee/@eaDir/", "ant/Thumbs.db", "desktop.ini", ".DS_Store", "cat/._02.png",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".PNG", ".JPG", ".JPEG", ".Jpg", ".TIF", ".TIFF", ".WEBP", ".BMP"])
def test_endings_in_capitals(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "ant" / f"a{suffix}", 10, 8)
    assert names(load(tmp_path)) == [f"ant/a{suffix}"]


def test_parts_of_a_set_are_no_classes(tmp_path: Path) -> None:
    for name in ("train/ant/a.png", "train/bee/a.png", "val/ant/a.png", "val/bee/a.png"):
        write(tmp_path / name, 10, 8)
    with pytest.raises(DataError, match=r"got 'train', 'val'\. These are parts of a set.*example .*val\."):
        load(tmp_path)
    assert load(tmp_path / "val").class_names == ("ant", "bee")
    write(tmp_path / "other" / "a.png", 10, 8)
    assert load(tmp_path).class_names == ("other", "train", "val")


def test_a_window_goes_into_the_digest_and_is_counted(tmp_path: Path) -> None:
    for row in range(2):
        samples = np.random.default_rng(row).integers(0, 4096, (10, 8)).astype(np.uint16)
        Image.fromarray(samples).save(tmp_path / f"{row}.tif")
    write(tmp_path / "plain.png", 10, 8)
    plain, low, high = (
        load(tmp_path, reading=Reading(window=window)) for window in (None, (0, 4095), (0, 5000))
    )
    assert plain.conversions == {"16 bits to 8": 2, "grey repeated to RGB": 3}
    assert low.conversions == {"window 0 to 4095": 2, "grey repeated to RGB": 3}
    assert len({plain.digest, low.digest, high.digest}) == 3
    assert high.pixels(slice(None)).float().mean() < low.pixels(slice(None)).float().mean()


def test_options_without_an_effect_are_refused(classes: Path) -> None:
    np.savez(classes.parent / "x.npz", images=np.zeros((2, 10, 8), np.uint8))
    cases: list[tuple[str, dict[str, object], str]] = [
        (
            str(classes),
            {"window": (0, 9)},
            "a window only for images of more than 8 bits .* 0,9 for 'set'",
        ),
        (str(classes), {"path_column": "x"}, "no --path-column for a folder of images, got 'x'"),
        ("mnist", {"root": "x"}, "no --root for mnist"),
        ("mnist", {"window": (0, 9)}, "no --window for mnist"),
        (str(classes.parent / "x.npz"), {"label_column": "y"}, "no --label-column for an .npz file"),
        (str(classes / "ant" / "00.png"), {"root": "x"}, "no --root for one image"),
    ]
    for source, options, match in cases:
        with pytest.raises(OptionError, match=match):
            load_images(source, image_shape=None, reading=Reading(**options))  # type: ignore[arg-type]
    for window in ((1, 1), (2, 1), (0, float("nan")), (0,)):
        with pytest.raises(OptionError, match="a window of two finite values, the lower one first"):
            Reading(window=window)  # type: ignore[arg-type]


def test_too_many_bad_files(classes: Path) -> None:
    for row in range(7):
        (classes / "bee" / f"bad{row}.png").write_bytes(b"no")
    with pytest.raises(
        DataError, match=r"at most 1 % of 19 files .* got 7: 'bee/bad0.png': not .*; and 2 more\."
    ):
        load(classes)
    with pytest.raises(DataError, match=r"--max-bad 0\.37"):
        load(classes)
    assert len(load(classes, max_bad=0.37)) == 12


def test_nothing_usable(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    for max_bad in (0.01, 1.0):
        with pytest.raises(DataError, match=r"at least one usable image, got none \('a.png': not a PNG"):
            load(tmp_path, max_bad=max_bad)


def test_limit_is_a_random_subset(classes: Path) -> None:
    everything, some = load(classes), load(classes, limit=6, seed=1)
    assert len(some) == 6
    assert set(names(some)) < set(names(everything))
    assert names(some) == names(load(classes, limit=6, seed=1))
    assert names(some) != names(load(classes, limit=6, seed=2))
    assert names(some) != sorted(names(some))
    assert names(load(classes, limit=3, seed=1)) == names(some)[:3]
    assert names(load(classes, limit=12)) == names(everything)
    for row, name in enumerate(names(some)):
        place = names(everything).index(name)
        assert torch.equal(some.pixels(slice(row, row + 1)), everything.pixels(slice(place, place + 1)))
        assert some.labels[row] == everything.labels[place]


def test_limit_replaces_bad_files(classes: Path) -> None:
    for row in range(4):
        (classes / "bee" / f"bad{row}.png").write_bytes(b"no")
    assert len(load(classes, limit=8, max_bad=0.9)) == 8


def test_limit_looks_only_at_what_it_needs(classes: Path) -> None:
    some = load(classes, limit=3)
    for row in range(12):
        path = classes / ("ant", "bee", "cat")[row % 3] / f"{row:02}.png"
        if f"{path.parent.name}/{path.name}" not in names(some):
            path.write_bytes(b"bad, but not in use")
    assert names(load(classes, limit=3)) == names(some)


@pytest.mark.parametrize("reference", ["demo:mnist", "mnist"])
def test_digits_come_untouched(reference: str) -> None:
    images = load_images(reference, image_shape=(1, 28, 28))
    assert isinstance(images, LabelledImages)
    assert images.digest == load_data("mnist", "test").digest
    assert images.name_of(3) == "mnist/test[3]"


def test_limited_digits_keep_their_numbers() -> None:
    images = load_images("mnist", image_shape=(1, 28, 28), limit=50, seed=4)
    everything = load_data("mnist", "test")
    assert len(images) == 50
    assert images.labels.unique().numel() > 5  # type: ignore[no-untyped-call]
    number = int(images.name_of(7).removeprefix("mnist/test[").removesuffix("]"))
    assert torch.equal(images.pixels(slice(7, 8))[0], everything.images[number])
    assert images.take(torch.tensor([7])).name_of(0) == images.name_of(7)


def test_arrays_of_another_shape_are_framed() -> None:
    images = load_images("mnist", image_shape=(3, 32, 30), margin_px=(2, 1), limit=4)
    assert isinstance(images, FramedImages)
    assert images.image_shape == (3, 36, 32)
    assert images.conversions == {"enlarged": 4, "grey repeated to RGB": 4}
    plain = load_images("mnist", image_shape=None, limit=4)
    digit = Image.fromarray(plain.pixels(slice(2, 3))[0, 0].numpy())
    # 28 × 28 is enlarged until 36 rows fit; of 36 columns, 30 − 2·1 … are cut from the middle.
    expected = np.asarray(digit.resize((36, 36), Image.Resampling.BILINEAR))[:, 2:34]
    assert np.array_equal(images.pixels(slice(2, 3))[0, 1], expected)
    assert images.name_of(2) == plain.name_of(2)


def test_idx_folder(tmp_path: Path) -> None:
    for name, head, shape in (
        ("images-idx3", b"\0\0\x08\x03", (3, 4, 4)),
        ("labels-idx1", b"\0\0\x08\x01", (3,)),
    ):
        sizes = b"".join(size.to_bytes(4, "big") for size in shape)
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(head + sizes + bytes(int(np.prod(shape))))
    assert load_images(f"idx:{tmp_path}", image_shape=(1, 4, 4)).labels.tolist() == [0, 0, 0]


def test_mixed_sizes_need_a_shape(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 10, 8)
    write(tmp_path / "b.png", 20, 9, 3)
    with pytest.raises(
        DataError, match="images of one size, as no size is given, got 2 sizes: 10 × 8, 20 × 9 px"
    ):
        load(tmp_path, None)
    images = load(tmp_path, (3, 12, 8))
    assert images.pixels(slice(None)).shape == (2, 3, 12, 8)
    assert images.conversions == {"enlarged": 1, "grey repeated to RGB": 1, "reduced in size": 1}


def test_without_a_shape_the_images_have_their_own(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 10, 8)
    write(tmp_path / "b.png", 10, 8)
    assert load(tmp_path, None).image_shape == (1, 10, 8)
    write(tmp_path / "c.png", 10, 8, 3)
    assert load(tmp_path, None).image_shape == (3, 10, 8)
    assert load(tmp_path, None).conversions == {"grey repeated to RGB": 2}


def test_conversions_follow_the_subset(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 10, 8)
    write(tmp_path / "b.png", 10, 8, 3)
    images = load(tmp_path)
    assert images.take(torch.tensor([1])).conversions == {}
    assert images.take(torch.tensor([True, False])).conversions == {"grey repeated to RGB": 1}


def test_a_margin_that_does_not_fit_is_said_first() -> None:
    """Before the folder is even looked for."""
    with pytest.raises(
        OptionError, match=r"at least 240 for a scene of 240 × 240 px .* got 232, which is 8 px"
    ):
        load_images("nowhere/", image_shape=(3, 224, 224), resize_px=232, margin_px=(8, 8))


def test_long_and_thin_images_are_skipped(tmp_path: Path) -> None:
    write(tmp_path / "thin.png", 1, 60_000, value=3)
    write(tmp_path / "good.png", 30, 30)
    images = load(tmp_path, (1, 24, 24), max_bad=0.5)
    assert images.skipped == (("thin.png", "1 × 60000 px: too long and thin to be resized"),)


def test_slices_agree_with_single_images(classes: Path) -> None:
    images = load(classes, (3, 7, 9), resize_px=11)
    whole = images.pixels(slice(None))
    assert whole.dtype == torch.uint8
    single = torch.cat([images.pixels(slice(row, row + 1)) for row in range(len(images))])
    assert torch.equal(whole, single)
    assert torch.equal(images.pixels(slice(2, 11, 3)), whole[2:11:3])
    assert torch.equal(images.pixels(slice(-3, None)), whole[-3:])
    assert images.pixels(slice(5, 5)).shape == (0, 3, 7, 9)
    order = torch.tensor([4, 0, 11])
    assert torch.equal(images.take(order).pixels(slice(None)), whole[order])


def test_order_is_that_of_the_names(classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load(classes)

    def backwards(original: Callable[[str], list[str]]) -> Callable[[str], list[str]]:
        return lambda path: sorted(original(path), reverse=True)

    scandir = os.scandir

    class Reversed:
        def __init__(self, path: str) -> None:
            self.entries = sorted(scandir(path), key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Reversed:
            return self

        def __exit__(self, *_: object) -> None: ...

        def __iter__(self) -> Reversed:
            return self

        def __next__(self) -> os.DirEntry[str]:
            if not self.entries:
                raise StopIteration
            return self.entries.pop(0)

        def close(self) -> None: ...

    monkeypatch.setattr(os, "listdir", backwards(os.listdir))
    monkeypatch.setattr(os, "scandir", Reversed)
    again = load(classes)
    assert names(again) == names(images)
    assert again.digest == images.digest


def test_digest_sees_contents_labels_and_framing_and_nothing_else(classes: Path, tmp_path: Path) -> None:
    digest = load(classes).digest
    assert load(classes).digest == digest
    classes.rename(tmp_path / "elsewhere")
    classes = tmp_path / "elsewhere"
    (classes / "notes.txt").write_text("x")
    os.utime(classes / "ant" / "00.png", (0, 0))
    assert load(classes).digest == digest
    options: list[dict[str, object]] = [
        {"resize_px": 10}, {"margin_px": (1, 0)}, {"resampling": "nearest"}, {"limit": 11},
        {"shape": (1, 10, 8)},
    ]  # fmt: skip
    digests = {load(classes, **option).digest for option in options}  # type: ignore[arg-type]
    assert len({digest, *digests}) == 6
    (classes / "bee").rename(classes / "bug")
    assert load(classes).digest not in digests | {digest}
    (classes / "bug").rename(classes / "bee")
    assert load(classes).digest == digest
    (classes / "ant" / "00.png").rename(classes / "cat" / "00.png")
    assert load(classes).digest != digest
    (classes / "cat" / "00.png").rename(classes / "ant" / "00.png")
    with (classes / "ant" / "00.png").open("ab") as file:
        file.write(b"!")
    assert load(classes).digest != digest


def test_digest_of_framed_arrays(tmp_path: Path) -> None:
    pixels = np.zeros((2, 5, 5), np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=np.array([0, 1]))
    digest = load(tmp_path / "a.npz", (3, 5, 5)).digest
    (tmp_path / "a.npz").rename(tmp_path / "b.npz")
    assert load(tmp_path / "b.npz", (3, 5, 5)).digest == digest
    assert load(tmp_path / "b.npz", (3, 5, 6)).digest != digest
    np.savez(tmp_path / "b.npz", images=pixels, labels=np.array([1, 1]))
    assert load(tmp_path / "b.npz", (3, 5, 5)).digest != digest


@pytest.mark.parametrize("change", ["bytes", "gone", "link"])
def test_a_file_that_changes_in_use_is_an_error(classes: Path, change: str) -> None:
    images = load(classes)
    path = classes / "ant" / "03.png"
    if change == "bytes":
        write(path, 10, 8, 3, seed=99)
    else:
        path.unlink()
    if change == "link":
        path.symlink_to(write(classes.parent / "x.png", 10, 8, 3, seed=3))
    assert len(images.pixels(slice(0, 1))) == 1
    with pytest.raises(DataError, match=r"the image 'ant/03.png' as it was when it was checked:"):
        images.pixels(slice(0, 4))


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    """Forty images of 300 kB each, of which Python and NumPy hold less than five at any time."""
    for row in range(40):
        write(tmp_path / f"{row}.png", 320, 320, 3, value=row)
    tracemalloc.start()
    images = load(tmp_path, (3, 320, 320))
    for row in range(40):
        images.pixels(slice(row, row + 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 320 * 320 * 3 * 2


def test_names_for_numbers() -> None:
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    images = load_images("mnist", image_shape=(1, 28, 28), limit=5, class_names=digits)
    assert images.class_names == digits
    with pytest.raises(DataError, match="a class name for each label up to 9, got 2 names"):
        load_images("mnist", image_shape=(1, 28, 28), class_names=("zero", "one"))


def test_names_of_the_source_are_kept(classes: Path) -> None:
    assert load(classes, class_names=("x", "y", "z")).class_names == ("ant", "bee", "cat")


@pytest.mark.parametrize("reference", ["minst", "", "nowhere/", "x.csv", "folder", "a" * 5000, "nul\0"])
def test_unknown_references_list_what_is_possible(reference: str) -> None:
    with pytest.raises(
        DataError, match=r"Possible: mnist, idx:FOLDER, demo:mnist, a folder of images, FILE\.csv"
    ):
        load_images(reference, image_shape=(1, 28, 28))


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(DataError, match="Its file type is not supported"):
        load(tmp_path / "model.onnx")
    with pytest.raises(DataError, match="'demo:mnist', got 'demo:cifar'"):
        load_images("demo:cifar", image_shape=None)


def test_sources_without_splits_cannot_be_trained_on() -> None:
    assert data_sources.names() == (
        "mnist",
        "idx",
        "demo",
        "folder",
        "csv",
        "npz",
        "tar",
        "parquet",
        "address",
        "image",
    )
    assert load_data("demo:mnist", "train").digest == load_data("mnist", "train").digest
    with pytest.raises(DataError, match="a training and a test split: mnist or idx:FOLDER, got 'folder'"):
        load_data("folder", "train")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"limit": 0}, "at least 1 image, got 0"),
        ({"max_bad": 2.0}, "from 0 to 1, got 2"),
        ({"max_bad": float("nan")}, "from 0 to 1, got nan"),
        ({"image_shape": (0, 1, 1)}, "positive integers"),
        ({"resampling": "magic"}, "got 'magic'"),
    ],
)
def test_options_are_checked(options: dict[str, object], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        load_images("mnist", **{"image_shape": (1, 28, 28), **options})  # type: ignore[arg-type]

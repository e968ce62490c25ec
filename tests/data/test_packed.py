"""Tar and Parquet files of images, and images on a store: the same images as in a folder, or one sentence."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.faulty_store import empty_faulty_store

from shiftproof import _store
from shiftproof._address import Address
from shiftproof.data import Images, Reading, load_images
from shiftproof.errors import DataError, OptionError

CLASSES = ("cat", "dog")


def png(seed: int, size: tuple[int, int] = (12, 10)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


SAMPLES = [(png(seed), seed % 2) for seed in range(10)]
Members = list[tuple[str, bytes]]


def tar(members: Sequence[tuple[str, bytes]], path: Path, **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def members(numbers: range, label: Callable[[int], tuple[str, bytes]]) -> Members:
    return [
        member
        for number in numbers
        for member in [
            (f"{number:04d}.png", SAMPLES[number][0]),
            (f"{number:04d}.{label(number)[0]}", label(number)[1]),
        ]
    ]


def cls(number: int) -> tuple[str, bytes]:
    return "cls", str(SAMPLES[number][1]).encode()


def in_json(number: int) -> tuple[str, bytes]:
    return "json", json.dumps({"label": CLASSES[SAMPLES[number][1]], "id": number}).encode()


def huggingface(path: Path, numbers: range = range(10), **options: Any) -> Path:
    names = {"info": {"features": {"label": {"names": list(CLASSES), "_type": "ClassLabel"}}}}
    image = pa.array([{"bytes": SAMPLES[n][0], "path": f"{n}.png"} for n in numbers])
    table = pa.table({"image": image, "label": pa.array([SAMPLES[n][1] for n in numbers])})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(names)}), path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, (content, label) in enumerate(SAMPLES):
        path = tmp_path / "images" / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "images"


def load(source: Path | str | Address, **options: Any) -> Images:
    return load_images(source, image_shape=(3, 12, 10), **options)


def as_set(images: Images) -> set[tuple[bytes, str]]:
    pixels = images.pixels(slice(0, len(images)))
    names = [images.class_names[label] if label >= 0 else "" for label in images.labels.tolist()]
    return {(one.numpy().tobytes(), name) for one, name in zip(pixels, names, strict=True)}


def test_every_form_holds_the_images_of_the_folder(folder: Path, tmp_path: Path) -> None:
    expected = as_set(load(folder))
    numbered = {(pixels, str(CLASSES.index(name))) for pixels, name in expected}
    shards = tmp_path / "shards"
    shards.mkdir()
    tar(members(range(6), cls), shards / "000.tar")
    tar(members(range(6, 10), cls), shards / "001.tar")
    for reference in (shards, f"{shards}/{{000..001}}.tar"):
        assert as_set(load(reference)) == numbered
    assert as_set(load(tar(members(range(10), in_json), tmp_path / "a.tar"))) == expected
    tables = tmp_path / "tables"
    tables.mkdir()
    huggingface(tables / "0.parquet", range(4), row_group_size=3)
    huggingface(tables / "1.parquet", range(4, 10), row_group_size=4)
    assert as_set(load(tables)) == as_set(load(huggingface(tmp_path / "b.parquet"))) == expected


def test_convention_order_and_names(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    tar([("./x/b.png", SAMPLES[0][0]), ("./x/a.png", SAMPLES[1][0])], tmp_path / "s" / "1.tar")
    tar([("b.PNG", SAMPLES[2][0]), ("b.cls", b"7\n")], tmp_path / "s" / "0.tar")
    images = load(tmp_path / "s")
    assert [images.name_of(row) for row in range(3)] == ["0.tar/b.png", "1.tar/x/b.png", "1.tar/x/a.png"]
    assert images.labels.tolist() == [7, -1, -1]
    table = load(huggingface(tmp_path / "t.parquet", range(3)))
    assert [table.name_of(row) for row in range(3)] == ["t.parquet[0]", "t.parquet[1]", "t.parquet[2]"]
    assert table.class_names == CLASSES
    torch.testing.assert_close(table.pixels(slice(2, 3)), load(tmp_path / "t.parquet").pixels(slice(2, 3)))


def test_a_random_part_is_that_of_any_source(tmp_path: Path) -> None:
    whole = load(huggingface(tmp_path / "a.parquet", row_group_size=2))
    part = load(tmp_path / "a.parquet", limit=4, seed=3)
    again = load(tmp_path / "a.parquet", limit=4, seed=3)
    assert part.digest == again.digest != load(tmp_path / "a.parquet", limit=4, seed=4).digest
    assert as_set(part) < as_set(whole)
    assert len(part) == 4


def test_columns_and_endings_can_be_named(tmp_path: Path) -> None:
    shard = tar(
        [("0.left.png", SAMPLES[0][0]), ("0.right.png", SAMPLES[1][0]), ("0.txt", b"dog")], tmp_path / "a.tar"
    )
    right = load(shard, reading=Reading(path_column="right.png", label_column="txt"))
    assert right.class_names == ("dog",)
    table = pa.table({"left": [SAMPLES[0][0]], "right": [SAMPLES[1][0]], "kind": ["dog"]})
    pq.write_table(table, tmp_path / "a.parquet")
    also = load(tmp_path / "a.parquet", reading=Reading(path_column="right", label_column="kind"))
    assert as_set(right) == as_set(also)
    with pytest.raises(DataError, match=r"a column with the bytes.*'left', 'right'.*--path-column left"):
        load(tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the column 'species'"):
        load(tmp_path / "a.parquet", reading=Reading(path_column="left", label_column="species"))
    with pytest.raises(OptionError, match="no --root for tar files"):
        load(shard, reading=Reading(root=tmp_path))


def link(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)


def device(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.type = tarfile.CHRTYPE
        archive.addfile(info)


def absolute(path: Path) -> None:
    tar([("/etc/a.png", SAMPLES[0][0])], path)


def upwards(path: Path) -> None:
    tar([("x/../../a.png", SAMPLES[0][0])], path)


def cut(path: Path) -> None:
    whole = tar(members(range(4), cls), path).read_bytes()
    path.write_bytes(whole[:700])


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(4096))


def zipped(path: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("a.png")
        archive.addfile(info)


def long_header(path: Path) -> None:
    tar([("a" * 2**21 + ".png", SAMPLES[0][0])], path, format=tarfile.PAX_FORMAT)


def two_images(path: Path) -> None:
    tar([("a.png", SAMPLES[0][0]), ("a.jpg", SAMPLES[1][0])], path)


def no_images(path: Path) -> None:
    tar([("a.txt", b"x")], path)


def deep_json(path: Path) -> None:
    tar([("a.png", SAMPLES[0][0]), ("a.json", b'{"label":' + b"[" * 5000 + b"]" * 5000 + b"}")], path)


def long_label(path: Path) -> None:
    tar([("a.png", SAMPLES[0][0]), ("a.cls", b"7" * 5000)], path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (link, r"only ordinary files in 'x\.tar', got 'a\.png': a link"),
        (device, r"only ordinary files in 'x\.tar', got 'a\.png': a link, a device"),
        (absolute, r"'/etc/a\.png': a name that leads out"),
        (upwards, r"'x/\.\./\.\./a\.png': a name that leads out"),
        (cut, r"'x\.tar' as a tar file"),
        (noise, r"'x\.tar' as a tar file"),
        (zipped, r"a plain tar file in 'x\.tar', got one that is compressed \(gzip\)"),
        (long_header, r"'x\.tar' as a tar file: a header of 2,"),
        (two_images, r"one image for .*--path-column png"),
        (no_images, r"images in the tar files of 'x\.tar', got none"),
        (deep_json, "JSON beside .*nested"),
        (long_label, "a label of at most 4,096 bytes"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_a_hostile_shard_is_one_sentence(make: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    make(tmp_path / "x.tar")
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.tar")
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"], "nothing is unpacked"


def test_an_image_that_cannot_be_used_is_skipped_with_a_reason(tmp_path: Path) -> None:
    bomb = io.BytesIO()
    Image.new("L", (6000, 6000)).save(bomb, "PNG")
    shard = tar(
        [("a.png", bomb.getvalue()), ("b.png", b""), ("c.png", b"no"), ("d.png", SAMPLES[0][0])],
        tmp_path / "x.tar",
    )
    images = load(shard, max_bad=0.9)
    assert [one.reason for one in images.skipped] == [
        "6,000 × 6,000 px, over the limit of 25 megapixels",
        "an empty file",
        "not a PNG, JPEG, WEBP, BMP or TIFF image",
    ]
    table = pa.table({"image": [bomb.getvalue(), None, b"no", SAMPLES[0][0]]})
    pq.write_table(table, tmp_path / "x.parquet")
    images = load(tmp_path / "x.parquet", max_bad=0.9)
    assert "no bytes: the row may name a file" in images.skipped[1].reason
    assert len(images) == 1


def test_a_hostile_table_is_one_sentence(tmp_path: Path) -> None:
    whole = huggingface(tmp_path / "a.parquet").read_bytes()
    for n_bytes in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / "x.parquet").write_bytes(whole[:n_bytes])
        with pytest.raises(DataError, match=r"'x\.parquet' as Parquet"):
            load(tmp_path / "x.parquet")
    pq.write_table(pa.table({"id": [1]}), tmp_path / "y.parquet")
    with pytest.raises(
        DataError, match=r"a column with the bytes of images, such as 'image', in .* got 'id'"
    ):
        load(tmp_path / "y.parquet")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "z.parquet")
    with pytest.raises(DataError, match="at least one image"):
        load(tmp_path / "z.parquet")


def test_a_table_that_inflates_is_noticed_before_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"image": pa.array([bytes(2**20)] * 60, pa.binary())})
    pq.write_table(table, tmp_path / "x.parquet", use_dictionary=True, compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 2**18, "60 MiB in less than a quarter of one"
    monkeypatch.setattr("shiftproof.data._tables.MAX_GROUP_BYTES", 2**24)
    with pytest.raises(DataError, match="at most 16,777,216 bytes in a group of rows"):
        load(tmp_path / "x.parquet", limit=2)


@pytest.mark.parametrize("kind", ["tar", "parquet", "store"])
def test_what_changes_during_the_run_is_noticed(kind: str, tmp_path: Path) -> None:
    empty_faulty_store({})
    if kind == "store":
        here = Address("faulty://bucket/a.png")
        _store.write(here, SAMPLES[0][0])
        images = load(here)
        _store.write(here, SAMPLES[1][0])
    else:
        path = tmp_path / f"x.{kind}"
        write = huggingface if kind == "parquet" else lambda path, numbers: tar(members(numbers, cls), path)
        images = load(write(path, range(2)))
        _forget_tables()
        write(path, range(2, 4))
    with pytest.raises(DataError, match=r"as it was when it was checked.*changed while it was in use"):
        images.pixels(slice(0, 1))


def _forget_tables() -> None:
    """What is decoded is kept for a while, and would be what it was."""
    from shiftproof.data._tables import _values

    _values.cache_clear()


def test_a_store_holds_folders_shards_and_tables(folder: Path, tmp_path: Path) -> None:
    empty_faulty_store({})
    here = Address("faulty://bucket/data")
    for path in folder.rglob("*.png"):
        _store.write(here / "images" / path.relative_to(folder).as_posix(), path.read_bytes())
    _store.write(here / "images" / ".DS_Store", b"x")
    _store.write(here / "images" / "cat" / "notes.txt", b"x")
    there = load(f"{here}/images")
    assert there.digest == load(folder).digest, "an address and a folder are the same set"
    assert there.not_considered == (".DS_Store", "cat/notes.txt")
    for number in range(2):
        shard = tar(members(range(5 * number, 5 * number + 5), in_json), tmp_path / f"{number}.tar")
        _store.write(here / "shards" / shard.name, shard.read_bytes())
    _store.write(here / "tables" / "a.parquet", huggingface(tmp_path / "a.parquet").read_bytes())
    for reference in (
        f"{here}/shards",
        f"{here}/shards/{{0..1}}.tar",
        here / "tables",
        f"{here}/tables/a.parquet",
    ):
        assert as_set(load(reference)) == as_set(there)
    assert len(load(f"{here}/images/cat")) == 5
    assert load(f"{here}/images/cat").class_names == ()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("faulty://bucket/none", "images, class folders .* at 'faulty://bucket/none', got nothing"),
        ("faulty://bucket/none.png", "at least one usable image, got none"),
        ("faulty://bucket/none.tar", "Cannot read 'faulty://bucket/none.tar': no such file"),
        ("faulty://bucket/{1..2}.png", "files that end in .tar or .parquet"),
        ("faulty://bucket/{5..2}.tar", "a range of at most"),
        ("nonsense://bucket/a", "no address of a store that is known"),
        ("{000..002}.tar", "all files of '{000..002}.tar': there is no '000.tar'"),
        ("{0..999999999}.tar", "a range of at most 1,000,000"),
    ],
)
def test_a_reference_that_leads_nowhere_is_one_sentence(reference: str, message: str) -> None:
    empty_faulty_store({})
    with pytest.raises(DataError, match=message):
        load(reference)


def test_faults_of_a_store_change_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "WAITS_S", (0.0, 0.0, 0.0))
    # One after the other, so that no image meets more faults than it is tried again.
    monkeypatch.setattr("shiftproof.data._side_by_side.available_cores", lambda: 1)
    store = empty_faulty_store({})
    here = Address("faulty://bucket/a.tar")
    content = tar(members(range(10), cls), tmp_path / "a.tar").read_bytes()
    _store.write(here, content)
    expected = load(here)
    store.plan["read"] = [ConnectionError("reset"), "half", None] * 30
    found = load(here)
    assert found.digest == expected.digest
    assert as_set(found) == as_set(expected)
    store.plan["read"] = [ConnectionError("reset")] * 999
    with pytest.raises(DataError, match="reset, 4 times in a row"):
        found.pixels(slice(0, 1))
    store.plan["read"] = []

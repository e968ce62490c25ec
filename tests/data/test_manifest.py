"""CSV manifests: order and names as written, nothing outside the folder, every fault by its row."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shiftproof.data import Images, Reading, load_images
from shiftproof.errors import DataError, OptionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    (root / "sub").mkdir(parents=True)
    for row, name in enumerate(("b.png", "a.png", "sub/c, d.png", "ü\n<b>.png")):
        Image.fromarray(np.full((3, 3), row, np.uint8)).save(root / name)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "outside.png")
    return root


def load(folder: Path, text: str | bytes, **options: object) -> Images:
    path = folder / "list.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_images(str(path), image_shape=None, **options)  # type: ignore[arg-type]


def test_rows_in_their_order(folder: Path) -> None:
    images = load(folder, 'path,label\nb.png,cat\n"sub/c, d.png",ant\na.png,cat\n"ü\n<b>.png",\n')
    assert [images.name_of(row) for row in range(4)] == ["b.png", "sub/c, d.png", "a.png", "ü\n<b>.png"]
    assert images.class_names == ("ant", "cat")
    assert images.labels.tolist() == [1, 0, 1, -1]
    assert images.pixels(slice(None))[:, 0, 0, 0].tolist() == [0, 2, 1, 3]
    assert images.name == "list.csv"


def test_numbers_are_the_labels(folder: Path) -> None:
    images = load(folder, "label,path,split\n2,b.png,x\n-1,a.png,y\n\n0,b.png,z\n")
    assert images.labels.tolist() == [2, -1, 0]
    assert images.class_names == ("0", "1", "2")
    assert load(folder, "path,label\nb.png,1\n", class_names=("no", "yes")).class_names == ("no", "yes")


def test_without_labels(folder: Path) -> None:
    images = load(folder, b"\xef\xbb\xbfpath\r\na.png\r\nb.png\r\n")
    assert images.labels.tolist() == [-1, -1]
    assert images.class_names == ()


def test_a_row_may_come_twice(folder: Path) -> None:
    images = load(folder, "path,label\na.png,0\na.png,1\na.png,1\n")
    assert images.labels.tolist() == [0, 1, 1]
    assert images.digest != load(folder, "path,label\na.png,0\na.png,1\n").digest


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (
            "path,label,label\na.png,1,2\n",
            "the column `label`, once, in .* of 'list.csv', got 'path', 'label'",
        ),
        ("", "the column `path`, once, in .* of 'list.csv', got an empty file"),
        ("file,label\na.png,0\n", "the column `path`.* got 'file', 'label'.*--path-column NAME"),
        ("path,path\na.png,a.png\n", "the column `path`"),
        ("path,label\n", "at least one image in 'list.csv', got only a header"),
        ("path,label\na.png,0\n../outside.png,1\n", "in row 3, got '../outside.png'"),
        ("path,label\nsub/../../outside.png,1\n", "inside the folder"),
        ("path,label\n/etc/hostname,1\n", "inside the folder of 'list.csv' in row 2, got '/etc/hostname'"),
        ("path,label\n,1\n", "inside the folder of 'list.csv' in row 2, got ''"),
        ("path,label\na.png\n", "2 cells in row 2 of 'list.csv', got 1"),
        (
            "path,label\nsub/c, d.png,1\n",
            "2 cells in row 2 .* got 3. A name with a comma must stand in quotes",
        ),
        ("path,label\na.png,-2\n", "from 0 to 999,999, or −1 for unknown, got -2"),
        ("path,label\na.png,123456789012\n", "from 0 to 999,999, or −1 for unknown, got 123456789012"),
        (b"path,label\n\xff\xfe.png,0\n", "as UTF-8 text: invalid"),
        ('path,label\n"a.png,0\n', "as CSV: "),
    ],
)
def test_faults_are_named(folder: Path, text: str | bytes, match: str) -> None:
    with pytest.raises(DataError, match=match):
        load(folder, text)


def test_links_out_of_the_folder_and_missing_files_are_skipped(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder.parent / "outside.png")
    images = load(folder, "path\na.png\nlink.png\nnowhere.png\nnul\0.png\nsub\n", max_bad=0.9)
    reasons = dict(images.skipped)
    assert len(images) == 1
    assert reasons["link.png"] == "a link that leaves the folder"
    assert "No such file" in reasons["nowhere.png"]
    assert "null byte" in reasons["nul\0.png"]
    assert reasons["sub"] == "a folder, not a file"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_marks_of_other_programs(folder: Path, delimiter: str, encoding: str) -> None:
    """As Excel saves it in different countries; with the columns of Keras' data frames."""
    (folder / "d;e,f.png").write_bytes((folder / "a.png").read_bytes())
    rows = [["filename", "class"], ["b.png", "Käfer, groß"], ["d;e,f.png", "a;b"], ["a.png", 'the "x"']]
    text = "\r\n".join(
        delimiter.join(f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in row) for row in rows
    )
    images = load(folder, text.encode(encoding))
    assert [images.name_of(row) for row in range(3)] == ["b.png", "d;e,f.png", "a.png"]
    assert [images.class_names[label] for label in images.labels] == ["Käfer, groß", "a;b", 'the "x"']


def test_blanks_around_cells_and_capitals_in_the_header(folder: Path) -> None:
    images = load(folder, 'Path , Label\na.png, "one, two"\nb.png, three\n')
    assert images.class_names == ("one, two", "three")
    assert images.labels.tolist() == [0, 1]


def test_columns_of_any_name(folder: Path) -> None:
    text = "id;photo;path;species\n1;a.png;nowhere.png;cat\n2;b.png;nowhere.png;ant\n"
    images = load(folder, text, reading=Reading(path_column="photo", label_column="species"))
    assert [images.name_of(row) for row in range(2)] == ["a.png", "b.png"]
    assert images.class_names == ("ant", "cat")
    assert load(folder, text, max_bad=1, reading=Reading(path_column="photo")).labels.tolist() == [-1, -1]
    for wrong in ("Photo", "pho"):
        with pytest.raises(DataError, match=f"the column `{wrong}`, once.* got 'id', 'photo', 'path'"):
            load(folder, text, reading=Reading(path_column=wrong))
    with pytest.raises(DataError, match="the column `kind`"):
        load(folder, text, reading=Reading(path_column="photo", label_column="kind"))


def test_absolute_paths_under_a_root(folder: Path) -> None:
    inside = f"path,label\n{folder}/a.png,0\n{folder}/sub/../b.png,1\n"
    images = load(folder, inside)
    assert [images.name_of(row) for row in range(2)] == ["a.png", "b.png"]
    elsewhere = folder.parent / "tables"
    elsewhere.mkdir()
    with pytest.raises(DataError, match="--root FOLDER"):
        load(elsewhere, inside)
    for root in (folder, folder.parent, str(folder)):
        assert len(load(elsewhere, inside, reading=Reading(root=root))) == 2
    relative = load(elsewhere, "path,label\na.png,0\nb.png,1\n", reading=Reading(root=folder))
    assert relative.digest == images.digest, "a root is no part of what an image is"
    with pytest.raises(DataError, match="in row 2, got '/etc/hostname'"):
        load(elsewhere, "path\n/etc/hostname\n", reading=Reading(root=folder))


def test_absolute_paths_through_a_link(folder: Path) -> None:
    link = folder.parent / "link"
    link.symlink_to(folder)
    for named, root in ((link, link), (folder, link)):
        images = load(folder.parent, f"path\n{named}/a.png\n", reading=Reading(root=root))
        assert images.name_of(0) == "a.png"


def test_a_path_that_stays_inside_is_fine(folder: Path) -> None:
    assert len(load(folder, "path\nsub/../a.png\n./b.png\n")) == 2


def flat_folder(folder: Path, table: str | None, name: str = "list.csv") -> Path:
    folder.mkdir(exist_ok=True)
    for number in range(3):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    if table is not None:
        (folder / name).write_text(table)
    return folder


@pytest.mark.parametrize(
    ("table", "labels", "names"),
    [
        ("path,label\n1.png,cat\n0.png,ant\n2.png,\n", [1, 0, -1], ("ant", "cat")),
        ("filename;class\n0.png;7\n1.png;0\n2.png;7\n", [7, 0, 7], tuple(map(str, range(8)))),
        ("path,labels\n0.png,a|b\n1.png,\n2.png,b\n", [[1, 1], [0, 0], [0, 1]], ("a", "b")),
    ],
)
def test_the_table_in_a_folder_of_images(
    tmp_path: Path, table: str, labels: list[Any], names: tuple[str, ...]
) -> None:
    folder = flat_folder(tmp_path / "photos", table)
    images = load_images(str(folder), image_shape=None)
    assert (images.name, images.labels.tolist(), images.class_names) == ("photos", labels, names)
    assert images.note == "labels from list.csv beside the images"
    assert images.not_considered == ()
    given = load_images(str(folder / "list.csv"), image_shape=None)
    assert given.digest == images.digest


@pytest.mark.parametrize(
    ("table", "note"),
    [
        (
            "path,label\n0.png,a\n1.png,b\n",
            r"list\.csv .* does not fit \(expected a row for each .* '2\.png'",
        ),
        ("path,label\n0.png,a\n1.png,b\n2.png,a\n3.png,b\n", r"got '3\.png', which is not there"),
        ("id,kind\n0,a\n", r"does not fit \(expected the column `path`"),
        ("path\n0.png\n1.png\n2.png\n", "expected a column with labels, got none"),
        ("path,label\n../x.png,a\n", "a path inside the folder"),
    ],
)
def test_a_table_that_does_not_fit_is_said(tmp_path: Path, table: str, note: str) -> None:
    images = load_images(str(flat_folder(tmp_path, table)), image_shape=None)
    assert images.labels.tolist() == [-1, -1, -1]
    assert images.not_considered == ("list.csv",)
    assert images.note.startswith("no labels: ")
    assert re.search(note, images.note)
    assert "\n" not in images.note
    with pytest.raises(DataError, match=r"(?i)expected"):
        load_images(str(tmp_path), image_shape=None, reading=Reading(label_column="nowhere"))


def test_which_of_several_tables_is_not_guessed(tmp_path: Path) -> None:
    folder = flat_folder(tmp_path, "path,label\n0.png,a\n1.png,b\n2.png,a\n")
    (folder / "other.csv").write_text("a,b\n1,2\n")
    images = load_images(str(folder), image_shape=None)
    assert images.note == "no labels: 2 tables beside the images"
    assert images.labels.tolist() == [-1, -1, -1]


def test_columns_of_the_table_in_a_folder(tmp_path: Path) -> None:
    folder = flat_folder(tmp_path, "path,label,kind\n0.png,a,x\n1.png,b,y\n2.png,a,y\n")
    images = load_images(str(folder), image_shape=None, reading=Reading(label_column="kind"))
    assert (images.labels.tolist(), images.class_names, images.note) == ([0, 1, 1], ("x", "y"), "")
    (folder / "list.csv").unlink()
    with pytest.raises(OptionError, match="no --label-column for a folder of images without a table"):
        load_images(str(folder), image_shape=None, reading=Reading(label_column="kind"))

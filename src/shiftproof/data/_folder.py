"""A folder of images: class sub-folders, or images without labels."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, NoReturn

from shiftproof._text import said
from shiftproof.data._check import Entry
from shiftproof.data._images import UNKNOWN
from shiftproof.data._listing import Listing, as_text, claims_to_be_image
from shiftproof.data._locations import InFolder
from shiftproof.data._manifest import list_manifest
from shiftproof.data._reading import AS_USUAL, Reading
from shiftproof.errors import DataError

N_SHOWN = 5
MOST_SAID = 300
# What systems leave in folders, with copies of the images in some of them: no class, and no part of one.
SYSTEM_FOLDERS = frozenset(
    {
        "__MACOSX",
        "@eaDir",
        "#recycle",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        "__pycache__",
    }
)
# Folders of these names alone are parts of a set, and no classes.
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing"})


class _Found(NamedTuple):
    """What is in a class folder: what claims to be an image, what does not, and the folders in it."""

    candidates: list[Path]
    others: list[Path]
    folders: list[Path]


def list_folder(folder: Path, reading: Reading = AS_USUAL) -> Listing:
    """List a folder, sorted by name.

    Each sub-folder is a class, with the images in it at any depth. Where no sub-folder holds an image, those
    in the folder itself are listed: as the one table beside them says, if it names each of them, else without
    labels. What is hidden, or a folder of the system, is not considered.

    Args:
        folder: The folder. It may be a link itself, and links in it are followed to where they stay in it.
        reading: Its root is where links may lead as well; its columns are those of the table.

    Raises:
        DataError: It holds no images, or images beside class folders, or a class folder that is a link to
            elsewhere, or its folders are named like the parts of a set that was split; or columns were named,
            and there is no table that has them.
    """
    roots = _roots(folder, reading)
    try:
        children = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        _cannot_list(error)
    images = [child for child in children if _is_candidate(child)]
    classes = [child for child in children if _is_class(child)]
    found = [_walk(one, roots) for one in classes if _stays_in(one, roots)]
    if images and any(each.candidates for each in found):
        raise DataError(
            f"either images or class folders with images in {folder.name!r}",
            f"both {images[0].name!r} and {classes[0].name!r}",
            fix="Move one or the other elsewhere.",
        )
    if images:
        beside = _others(children, images)
        flat = _listing(folder, roots, [(path, UNKNOWN) for path in images], (), beside)
        return _with_table(flat, folder, reading)
    reading.refuse("path_column", "label_column", source="a folder of images")
    _refuse_links([one for one in classes if not _stays_in(one, roots)], folder)
    deeper = [str(one) for one, each in zip(classes, found, strict=True) if each.folders]
    refuse_split_names([one.name for one in classes], deeper, folder.name)
    labelled = [(path, label) for label, each in enumerate(found) for path in each.candidates]
    if not labelled:
        present = ", ".join(repr(child.name) for child in children[:N_SHOWN])
        raise DataError(
            f"images or class folders with images in {folder.name!r}",
            f"only {present}" if present else "an empty folder",
        )
    beside = _others(children, classes) + [path for each in found for path in each.others]
    return _listing(folder, roots, labelled, tuple(as_text(one.name) for one in classes), beside)


def _others(children: Sequence[Path], some: Sequence[Path]) -> list[Path]:
    among = set(some)  # A folder may hold as many as a data set has.
    return [child for child in children if child not in among]


def _with_table(flat: Listing, folder: Path, reading: Reading) -> Listing:
    """The labels of the one table in a folder of images, where it names each of them; else a word on it."""
    names = [name for name in flat.not_considered if name.lower().endswith(".csv")]
    if len(names) != 1:
        reading.refuse("path_column", "label_column", source="a folder of images without a table")
        return replace(flat, note=f"no labels: {len(names)} tables beside the images" if names else "")
    try:
        table = list_manifest(folder / names[0], replace(reading, root=None))
        if not table.class_names:
            raise DataError("a column with labels", "none")
        _check_same_images(table, flat)
    except DataError as error:
        if reading.path_column or reading.label_column:
            raise
        why = said(error.what, MOST_SAID)
        return replace(flat, note=f"no labels: {names[0]} beside the images does not fit ({why})")
    beside = tuple(name for name in flat.not_considered if name not in names)
    # Who names its columns has asked for it; otherwise it may turn out to be about something else.
    note = "" if reading.path_column or reading.label_column else f"labels from {names[0]} beside the images"
    places = {entry.name: entry.place for entry in flat.entries}
    return replace(
        table,
        name=flat.name,
        entries=tuple(entry._replace(place=places[entry.name]) for entry in table.entries),
        not_considered=beside,
        note=note,
    )


def _check_same_images(table: Listing, flat: Listing) -> None:
    there = {entry.name for entry in flat.entries}
    listed = {entry.name for entry in table.entries}
    for missing, expected, got in (
        (listed - there, "the images of the folder in its rows", "which is not there"),
        (there - listed, "a row for each image of the folder", "which has none"),
    ):
        if missing:
            raise DataError(expected, f"{min(missing)!r}, {got}")


def _roots(folder: Path, reading: Reading) -> tuple[Path, ...]:
    here = folder.resolve()
    return (here,) if reading.folder is None else (here, reading.folder.resolve())


def _stays_in(path: Path, roots: Sequence[Path]) -> bool:
    """Whether a folder is what it seems, or a link to one that may be read."""
    return not path.is_symlink() or any(path.resolve().is_relative_to(root) for root in roots)


def _walk(folder: Path, roots: Sequence[Path]) -> _Found:
    """Everything in a class folder at any depth, links included; not those that go out, or around."""
    found = _Found([], [], [])
    # Each with the folders above it, which a link in it must not lead back to.
    open_folders = [(folder, frozenset({folder.resolve()}))]
    while open_folders:
        place, above = open_folders.pop()
        try:
            inside = list(place.iterdir())
        except OSError as error:
            _cannot_list(error)
        for path in inside:
            if not _is_class(path):
                (found.candidates if _is_candidate(path) else found.others).append(path)
            elif _stays_in(path, roots) and (real := path.resolve()) not in above:
                found.folders.append(path)
                open_folders.append((path, above | {real}))
            else:
                # A candidate, so that it will be skipped with a reason.
                found.candidates.append(path)
    found.candidates.sort(key=Path.as_posix)
    return found


def _listing(
    folder: Path,
    roots: tuple[Path, ...],
    labelled: list[tuple[Path, int]],
    class_names: tuple[str, ...],
    beside: list[Path],
) -> Listing:
    name = roots[0].name or str(roots[0])
    entries = (
        Entry(as_text(path.relative_to(folder).as_posix()), InFolder(path, roots), label)
        for path, label in labelled
    )
    others = (
        as_text(path.relative_to(folder).as_posix()) + ("/" if path.is_dir() else "") for path in beside
    )
    return Listing(as_text(name), tuple(entries), class_names, tuple(sorted(others)))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_candidate(path: Path) -> bool:
    return claims_to_be_image(path) and not _is_hidden(path)


def _is_class(path: Path) -> bool:
    named_like_one = not _is_hidden(path) and path.name not in SYSTEM_FOLDERS and not claims_to_be_image(path)
    return named_like_one and path.is_dir()


def _refuse_links(links: list[Path], folder: Path) -> None:
    if links:
        target = links[0].resolve()
        raise DataError(
            f"class folders in {folder.name!r}",
            f"{links[0].name!r}, which is a link that leaves it",
            cause="Such links are not followed: a class without its images would go unnoticed.",
            fix=f"Say that links may lead there: --root {shlex.quote(str(target.parent))}.",
        )


def refuse_split_names(classes: Sequence[str], deeper: Sequence[str], where: str) -> None:
    """The names of splits in place of classes would be labels, and every number a wrong one.

    Args:
        classes: The names of all folders.
        deeper: Those with folders in them, as they would be named.
        where: What holds them.
    """
    if classes and deeper and all(name.lower() in SPLITS for name in classes):
        raise DataError(
            f"class folders in {where!r}",
            ", ".join(map(repr, classes)),
            cause="These are parts of a set, and their folders seem to be the classes.",
            fix=f"Name one of them, for example {shlex.quote(deeper[-1])}.",
        )


def _cannot_list(error: OSError) -> NoReturn:
    name = Path(error.filename or "").name
    raise DataError.cannot(f"list the folder {name!r}", error.strerror or error) from error

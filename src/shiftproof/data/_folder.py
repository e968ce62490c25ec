"""A folder of images: class sub-folders, or images without labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from shiftproof.data._check import Entry
from shiftproof.data._images import UNKNOWN
from shiftproof.data._listing import Listing, as_text, claims_to_be_image
from shiftproof.errors import DataError

N_SHOWN = 5


def list_folder(folder: Path) -> Listing:
    """List a folder, sorted by name.

    Each sub-folder is a class, with the images in it at any depth; where no sub-folder holds an image,
    those in the folder itself are listed, without labels. What is hidden is not considered.

    Args:
        folder: The folder. It may be a link itself, but no link in it is followed out of it.

    Raises:
        DataError: It holds no images, or images beside class folders, or a class folder that is a link.
    """
    try:
        children = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        _cannot_list(error)
    images = [child for child in children if _is_candidate(child)]
    classes = [child for child in children if _is_class(child)]
    found = [_walk(one) for one in classes if not one.is_symlink()]
    if images and any(candidates for candidates, _ in found):
        raise DataError(
            f"either images or class folders with images in {folder.name!r}",
            f"both {images[0].name!r} and {classes[0].name!r}",
            fix="Move one or the other elsewhere.",
        )
    if images:
        beside = [child for child in children if child not in images]
        return _listing(folder, [(path, UNKNOWN) for path in images], (), beside)
    _refuse_links([one for one in classes if one.is_symlink()], folder)
    labelled = [(path, label) for label, (candidates, _) in enumerate(found) for path in candidates]
    if not labelled:
        present = ", ".join(repr(child.name) for child in children[:N_SHOWN])
        raise DataError(
            f"images or class folders with images in {folder.name!r}",
            f"only {present}" if present else "an empty folder",
        )
    beside = [child for child in children if child not in classes]
    beside += [path for _, others in found for path in others]
    return _listing(folder, labelled, tuple(as_text(one.name) for one in classes), beside)


def _walk(folder: Path) -> tuple[list[Path], list[Path]]:
    """What claims to be an image at any depth, and what does not; links to folders are not followed."""
    candidates: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_cannot_list):
        here = Path(place)
        deeper = [name for name in folders if _is_class(here / name) and not (here / name).is_symlink()]
        for path in (here / name for name in (*folders, *files) if name not in deeper):
            # A link to a folder is a candidate, so that it will be skipped with a reason.
            linked = _is_class(path) and path.is_symlink()
            (candidates if linked or _is_candidate(path) else others).append(path)
        folders[:] = deeper
    return sorted(candidates, key=Path.as_posix), others


def _listing(
    folder: Path, labelled: list[tuple[Path, int]], class_names: tuple[str, ...], beside: list[Path]
) -> Listing:
    root = folder.resolve()
    entries = (Entry(as_text(path.relative_to(folder).as_posix()), path, label) for path, label in labelled)
    others = (
        as_text(path.relative_to(folder).as_posix()) + ("/" if path.is_dir() else "") for path in beside
    )
    return Listing(as_text(root.name or str(root)), root, tuple(entries), class_names, tuple(sorted(others)))


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")


def _is_candidate(path: Path) -> bool:
    return claims_to_be_image(path) and not _is_hidden(path)


def _is_class(path: Path) -> bool:
    return path.is_dir() and not _is_hidden(path) and not claims_to_be_image(path)


def _refuse_links(links: list[Path], folder: Path) -> None:
    if links:
        raise DataError(
            f"class folders in {folder.name!r}",
            f"{links[0].name!r}, which is a link",
            cause="Links to folders are not followed: a class without its images would go unnoticed.",
            fix="Put the images themselves there.",
        )


def _cannot_list(error: OSError) -> NoReturn:
    name = Path(error.filename or "").name
    raise DataError(f"to be able to list the folder {name!r}", error.strerror or error) from error

"""Images from anywhere, brought to the size that a model takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftproof._documents import unreadable
from shiftproof._inputs import Most, check_archive, check_file
from shiftproof.adapters._preprocess import Framing
from shiftproof.data import AS_USUAL, MAX_BAD, Decoders, Images, ImagesLike, Reading, load_images
from shiftproof.errors import DataError


def load_framed(
    source: ImagesLike,
    framing: Framing,
    *,
    limit: int | None = None,
    seed: int = 0,
    margin_px: tuple[int, int] = (0, 0),
    max_bad: float = MAX_BAD,
    reading: Reading = AS_USUAL,
    decoders: Decoders | None = None,
) -> Images:
    """`shiftproof.data.load_images`, framed as a classifier wants it.

    Args:
        source: A folder or another reference, or what Python has: arrays, lists, datasets, loaders.
        framing: Of the classifier.
        limit: Use so many images, drawn at random; None for all.
        seed: Of the draw.
        margin_px: What to keep around the frame, for shifts that show what is there.
        max_bad: Largest share of files that may be skipped.
        reading: What the source cannot say of itself.
        decoders: Processes that decode files once, to know that they can be used.
    """
    with _readable(source):
        if isinstance(source, str | Path):
            text = str(source)
            _check_size(Path(text).expanduser() if text.startswith("~/") else Path(text))
        return load_images(
            source,
            image_shape=framing.image_shape,
            resize_px=framing.resize_px,
            resampling=framing.resampling,
            fit=framing.fit,
            margin_px=margin_px,
            limit=limit,
            seed=seed,
            max_bad=max_bad,
            reading=reading,
            decoders=decoders,
        )


@contextmanager
def _readable(source: ImagesLike) -> Iterator[None]:
    """Whatever is wrong with a place where files are said to lie is said in one sentence."""
    shown = repr(str(source)) if isinstance(source, str | Path) else f"of a {type(source).__name__}"
    try:
        yield
    except (OSError, RecursionError, UnicodeError) as error:
        raise DataError.cannot(f"read the images {shown}", unreadable(error)) from error
    except MemoryError as error:
        raise DataError.cannot(
            f"hold the images {shown}", "too little memory", fix="Use fewer of them: --limit."
        ) from error


def _check_size(path: Path) -> None:
    """One file that holds all images, or their names, is bounded before it is opened."""
    if path.is_dir() or not path.exists():
        return
    kind = Most.TABLE if path.suffix.lower() == ".csv" else Most.ARRAYS
    check_file(path, kind)
    if not path.stat().st_size:
        raise DataError(f"images, or their names, in {path.name!r}", "an empty file")
    check_archive(path, kind)

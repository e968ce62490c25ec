"""Images from a reference, brought to the size that a model takes."""

from __future__ import annotations

from shiftproof.adapters._preprocess import Framing
from shiftproof.data import MAX_BAD, Images, load_images


def load_framed(
    reference: str,
    framing: Framing,
    *,
    limit: int | None = None,
    seed: int = 0,
    margin_px: tuple[int, int] = (0, 0),
    max_bad: float = MAX_BAD,
) -> Images:
    """`shiftproof.data.load_images`, framed as a classifier wants it.

    Args:
        reference: A folder or another reference.
        framing: Of the classifier.
        limit: Use so many images, drawn at random; None for all.
        seed: Of the draw.
        margin_px: What to keep around the frame, for shifts that show what is there.
        max_bad: Largest share of files that may be skipped.
    """
    return load_images(
        reference,
        image_shape=framing.image_shape,
        resize_px=framing.resize_px,
        resampling=framing.resampling,
        margin_px=margin_px,
        limit=limit,
        seed=seed,
        max_bad=max_bad,
    )

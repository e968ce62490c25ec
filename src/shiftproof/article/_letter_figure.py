"""The article's figure of the letter C, from real numbers: where pooling hides a move, and where not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from shiftproof._figures import MAP, drawing
from shiftproof.article._filters import Filter, Integers, cropped
from shiftproof.article._pooling_law import Offset, Pools
from shiftproof.errors import OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Stages(NamedTuple):
    """An image on its way through convolution with ReLU, and max pools.

    Args:
        image: int64 (H, W).
        features: int64 (H − h + 1, W − w + 1), after ReLU.
        pooled: int64, after all pools.
    """

    image: Integers
    features: Integers
    pooled: Integers


@dataclass(frozen=True, eq=False)
class LetterPair:
    """A letter before and after a move.

    Args:
        position_px: (y, x) of its top left corner before the move.
        before: As it was.
        after: As it was moved.
    """

    position_px: Offset
    before: Stages
    after: Stages

    @property
    def same(self) -> bool:
        """Whether the pooled maps are equal in every number."""
        return bool(np.array_equal(self.before.pooled, self.after.pooled))


@dataclass(frozen=True, eq=False)
class LetterFigure:
    """A position from which a move is hidden, and one from which it is not.

    Args:
        offset_px: The move, (dy, dx).
        filter_name: Of the convolution.
        pools: Which pools.
        pairs: One with the same pooled map and one with another, in this order, as far as there are any.
        n_same: Positions with the same pooled map.
        n_positions: All of them.
    """

    offset_px: Offset
    filter_name: str
    pools: Pools
    pairs: tuple[LetterPair, ...]
    n_same: int
    n_positions: int

    def plot(self) -> tuple[Figure, list[Axes]]:
        """Draw image, feature map and pooled map, before and after the move; a row for each position.

        Lines in a feature map are the borders of what one number of the pooled map looks at.

        Returns:
            The figure and its axes, six for each position.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        dy, dx = self.offset_px
        with drawing(len(self.pairs), 6, inches=(12, 0.6 + 2.3 * len(self.pairs))) as (figure, axes):
            for row, pair in enumerate(self.pairs):
                highest = max(1, int(pair.before.features.max()))
                for column, (when, stages) in enumerate((("before", pair.before), ("after", pair.after))):
                    image, features, pooled = axes[6 * row + 3 * column : 6 * row + 3 * column + 3]
                    _draw(image, stages.image, max(1, int(stages.image.max())), f"image {when}")
                    _draw(features, stages.features, highest, f"features {when}")
                    _draw_borders(features, stages.features.shape, self.pools.total_stride_px)
                    _draw(pooled, stages.pooled, highest, f"pooled {when}")
                verdict = "the same" if pair.same else "not the same"
                axes[6 * row].set_ylabel(
                    f"from row {pair.position_px[0]}, column {pair.position_px[1]}:\n{verdict}"
                )
            figure.suptitle(
                f"{self.filter_name}; moved by ({dy}, {dx}) px: the pooled map stays the same "
                f"from {self.n_same} of {self.n_positions} positions",
                fontsize="large",
            )
        return figure, axes


def letter_figure(
    letter: npt.ArrayLike, filter_: Filter, *, n_pools: int = 1, offset_px: Offset = (1, 0)
) -> LetterFigure:
    """Move a letter from every position modulo the total stride, and keep one of each outcome.

    Args:
        letter: Whole numbers of at least 0, (H, W); what is around the letter is cut away.
        filter_: The convolution with ReLU.
        n_pools: Max pools of 2 × 2 in turn.
        offset_px: The move, whole pixels of at least 0.

    Raises:
        OptionError: An empty image, or a move up or to the left.

    Example:
        >>> from shiftproof.article import draw_letter_c, matched_filter
        >>> letter = draw_letter_c()[0, 0].numpy()
        >>> figure = letter_figure(letter, matched_filter(letter, alone=True))
        >>> figure.n_same, figure.n_positions, [pair.same for pair in figure.pairs]
        (2, 4, [True, False])
    """
    if min(offset_px) < 0:
        raise OptionError("a move down or to the right", offset_px)
    pools = Pools(n_pools)
    pixels = np.asarray(letter, dtype=np.int64)
    glyph = np.where(cropped(pixels != 0), int(pixels.max()), 0)
    margin = max(filter_.weights.shape)
    pairs = []
    for phase in product(range(pools.total_stride_px), repeat=2):
        position = (margin + phase[0], margin + phase[1])
        moved = (position[0] + offset_px[0], position[1] + offset_px[1])
        size = max(glyph.shape) + 2 * margin + pools.total_stride_px + max(offset_px)
        pairs.append(
            LetterPair(
                position,
                *(_stages(glyph, place, size, filter_, pools) for place in (position, moved)),
            )
        )
    hidden = [pair for pair in pairs if pair.same]
    shown = [pair for pair in pairs if not pair.same]
    return LetterFigure(offset_px, filter_.name, pools, (*hidden[:1], *shown[:1]), len(hidden), len(pairs))


def _stages(glyph: Integers, position: Offset, size_px: int, filter_: Filter, pools: Pools) -> Stages:
    canvas = np.zeros((size_px, size_px), np.int64)
    y, x = position
    canvas[y : y + glyph.shape[0], x : x + glyph.shape[1]] = glyph
    features = filter_.respond(canvas)
    # What the last pool cannot fill is cut off; an empty margin keeps all of the response.
    stride = pools.total_stride_px
    pooled = np.pad(features, [(0, -length % stride) for length in features.shape])
    for _ in range(pools.n_pools):
        pooled = pools.apply_one(pooled)
    return Stages(canvas, features, pooled)


def _draw(axes: Axes, numbers: Integers, highest: int, title: str) -> None:
    axes.imshow(numbers, cmap=MAP, vmin=0, vmax=highest, interpolation="nearest")
    axes.set_title(title, fontsize="small")
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_borders(axes: Axes, shape: tuple[int, ...], stride_px: int) -> None:
    for border in range(stride_px, shape[0], stride_px):
        axes.axhline(border - 0.5, color="w", linewidth=0.3)
    for border in range(stride_px, shape[1], stride_px):
        axes.axvline(border - 0.5, color="w", linewidth=0.3)

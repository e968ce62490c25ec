"""How often max pooling hides a move: counted over every position, beside what an isolated peak does.

The law. Max pools with windows of 2 × 2 and stride 2, k of them in turn, tell only in which cell of
s = 2^k pixels a peak lies: the cell of row y is ⌊y / s⌋. A move by d px down leaves it where
(y mod s) + d < s, which s − d of the s possible values of y mod s fulfil. So the pooled map is the same for
a share of 1 − d / s of all positions, and never for d ≥ s; for a move along both axes the shares multiply.

Where it holds: for one peak on an empty map, counted over all positions. For any other map on an empty
canvas it is a bound from above: its first row and its first column have to stay in their cells, as a peak
there would. So no move by s px or more is ever hidden. Where it does not hold:

- several peaks or edges: every one of them has to stay in its cell, or to be replaced by its equal, and
  they cross at different positions; two different values in neighbouring rows leave no position at all
  to one pool;
- a map of zeros, as ReLU makes it, hides every move;
- windows larger than the stride: a peak lies in several windows, and each has a border to cross. Pools of
  3 × 3 with stride 2 never hide a move by 1 px; k of them hide d px for a share of 1 − (d + 1) / s. Here
  other maps may do better than a peak, so that it is no bound;
- a convolution between pools: it sees more than one cell, and may answer alike to different maps.

What it does not say: that the position is lost. A peak that crosses moves by one cell; counted here beside
the other, as `n_moved`, are the positions where the pooled map keeps its pattern and moves as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from shiftproof._charts import placed
from shiftproof._figures import COLOURS, MARKERS
from shiftproof.article._filters import Filter, Integers, bounding_box
from shiftproof.errors import OptionError, ShapeError
from shiftproof.records import MoveRecord, PoolingLawRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Offset = tuple[int, int]
# Stacked strides up to here are counted in seconds.
MAX_STRIDE_PX = 32


@dataclass(frozen=True, slots=True)
class Pools:
    """Max pools in turn.

    Args:
        n_pools: How many, at least 1.
        window_px: Side of a window, at least the stride.
        stride_px: Of one pool, at least 2.

    Raises:
        OptionError: Anything else, or strides whose product is above 32 px.

    Example:
        >>> Pools(3).total_stride_px, Pools(2, window_px=3).total_window_px
        (8, 7)
    """

    n_pools: int
    window_px: int = 2
    stride_px: int = 2

    def __post_init__(self) -> None:
        if self.n_pools < 1 or self.stride_px < 2 or self.window_px < self.stride_px:
            raise OptionError(
                "at least 1 pool, with a stride of at least 2 px and a window of at least the stride",
                f"{self.n_pools} pools, window {self.window_px} px, stride {self.stride_px} px",
            )
        if self.total_stride_px > MAX_STRIDE_PX:
            raise OptionError(
                f"strides whose product is at most {MAX_STRIDE_PX} px",
                f"{self.total_stride_px} px",
                cause="Every one of its square of positions is counted.",
                fix="Use fewer pools.",
            )

    @property
    def total_stride_px(self) -> int:
        """Pixels from one output to the next."""
        return int(self.stride_px**self.n_pools)

    @property
    def total_window_px(self) -> int:
        """Pixels that one output looks at: max pools in turn are one max pool with a larger window."""
        steps = (self.total_stride_px - 1) // (self.stride_px - 1)
        return 1 + (self.window_px - 1) * steps

    def apply_one(self, maps: Integers) -> Integers:
        """One of them: (..., H, W) to (..., h, w), without padding."""
        windows = sliding_window_view(maps, (self.window_px, self.window_px), axis=(-2, -1))
        pooled: Integers = windows[..., :: self.stride_px, :: self.stride_px, :, :].max((-2, -1))
        return pooled

    def peak_count(self, offset_px: Offset) -> int:
        """For how many positions of an isolated peak the pooled map stays the same: the law.

        Along one axis windows begin, and end, once every stride of s px. These borders cut s into two arcs
        of w mod s and s − w mod s px (one of s where windows do not overlap); a move by d crosses none from
        max(0, length − d) positions of an arc.

        Args:
            offset_px: (dy, dx), of any sign.

        Returns:
            Out of the square of the stride.

        Example:
            >>> Pools(1).peak_count((1, 0)), Pools(2).peak_count((1, 1))
            (2, 9)
            >>> Pools(1, window_px=3).peak_count((1, 0))
            0
        """
        stride = self.total_stride_px
        first = self.total_window_px % stride
        counts = [sum(max(0, arc - abs(d)) for arc in (first, stride - first)) for d in offset_px]
        return counts[0] * counts[1]


@dataclass(frozen=True, eq=False)
class MoveCount:
    """What happened to the pooled map in one move, from every position.

    Args:
        offset_px: (dy, dx).
        same: bool (s, s), by (y mod s, x mod s) of the position before the move: the pooled map stayed
            equal in every number.
        moved: bool (s, s): it kept its pattern, in the same cells or moved by whole cells.
        n_expected: How many positions the law gives for an isolated peak.
    """

    offset_px: Offset
    same: npt.NDArray[np.bool_]
    moved: npt.NDArray[np.bool_]
    n_expected: int

    @property
    def n_positions(self) -> int:
        """All of them."""
        return self.same.size

    @property
    def n_same(self) -> int:
        """Positions with the same pooled map."""
        return int(self.same.sum())

    @property
    def n_moved(self) -> int:
        """Positions with the same pattern, in the same or in other cells."""
        return int(self.moved.sum())

    @property
    def share(self) -> float:
        """Positions with the same pooled map, in [0, 1]: an exact count, so it has no interval."""
        return self.n_same / self.n_positions

    def record(self) -> MoveRecord:
        """The counts."""
        return MoveRecord(
            offset_px=self.offset_px,
            n_positions=self.n_positions,
            n_same=self.n_same,
            n_moved=self.n_moved,
            n_expected=self.n_expected,
        )


@dataclass(frozen=True, eq=False)
class PoolingLaw:
    """What pooling hides, counted, and the law of an isolated peak.

    Args:
        subject: What was moved and filtered, in words.
        pools: Which pools.
        blocks: Whether a convolution stands before every pool, or before the first alone.
        fires: Whether anything was there to pool; an empty map is hidden whatever it does.
        moves: Down, to the right and along the diagonal, up to the total stride; the first does not move.
    """

    subject: str
    pools: Pools
    blocks: bool
    fires: bool
    moves: tuple[MoveCount, ...]

    @cached_property
    def by_offset(self) -> dict[Offset, MoveCount]:
        """The same by (dy, dx)."""
        return {move.offset_px: move for move in self.moves}

    @property
    def follows_law(self) -> bool:
        """Whether every count is that of an isolated peak."""
        return all(move.n_same == move.n_expected for move in self.moves)

    def record(self) -> PoolingLawRecord:
        """The counts of every move, and of what."""
        return PoolingLawRecord(
            subject=self.subject,
            n_pools=self.pools.n_pools,
            window_px=self.pools.window_px,
            stride_px=self.pools.stride_px,
            blocks=self.blocks,
            fires=self.fires,
            moves=tuple(move.record() for move in self.moves),
        )

    def plot(self, *, axes: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw the shares against the length of the move: markers are counts, lines are the law.

        Args:
            axes: Where to; those of a new figure by default.

        Returns:
            The figure and its axes.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        with placed(axes) as (figure, place):
            for number, (name, (down, right)) in enumerate(_DIRECTIONS.items()):
                lengths = range(self.pools.total_stride_px + 1)
                moves = [self.by_offset[d * down, d * right] for d in lengths]
                colour = COLOURS[number]
                law = [100 * move.n_expected / move.n_positions for move in moves]
                # Down and right follow the same law; drawn once.
                if number != 1:
                    place.plot(lengths, law, color=colour, linewidth=1, linestyle="--")
                place.plot(
                    lengths, [100 * move.share for move in moves], color=colour, label=name, linestyle="none",
                    marker=MARKERS[number], markersize=8 - 2 * number, markerfacecolor="none",
                )  # fmt: skip
            place.plot([], [], color="0.4", linewidth=1, linestyle="--", label="isolated peak, by the law")
            place.set_xlabel("length d of the move (px; along the diagonal d in both axes)")
            place.set_ylabel("same pooled map (% of positions)")
            pools = "1 max pool" if self.pools.n_pools == 1 else f"{self.pools.n_pools} max pools"
            place.set_title(f"{self.subject}; {pools}", fontsize="medium")
            place.locator_params(axis="x", integer=True)
            place.grid(visible=True, alpha=0.25)
            place.legend(frameon=False)
        return figure, place


_DIRECTIONS: dict[str, Offset] = {"down": (1, 0), "right": (0, 1), "diagonal": (1, 1)}


def pooling_law(
    n_pools: int,
    image: npt.ArrayLike | None = None,
    filters: Sequence[Filter] = (),
    *,
    blocks: bool = False,
    window_px: int = 2,
    stride_px: int = 2,
) -> PoolingLaw:
    """Count the positions from which a move leaves the max-pooled map as it was, to the last bit.

    The image is put on an empty canvas at every position modulo the total stride s, (s × s of them), then
    moved by 1 to s px down, to the right and along the diagonal. All numbers are integers, so nothing is
    rounded and nothing is sampled. Moves up and to the left have the same counts: they are the same pairs.

    Args:
        n_pools: Max pools in turn.
        image: Whole numbers of at least 0, shape (H, W), cut to what is not 0; by default one pixel of 1, an
            isolated peak.
        filters: Channels of a convolution with ReLU before the first pool; the maps of all of them together
            have to stay the same. None: the image itself is pooled.
        blocks: Convolve before every pool, with the same filters channel by channel.
        window_px: Side of the pooling windows.
        stride_px: Of each pool.

    Returns:
        Counts for each move, beside those of the law at the head of this file.

    Raises:
        ShapeError: An image that is not 2-D.
        OptionError: Numbers that are not whole or below 0, blocks without filters, or pools that `Pools`
            refuses.

    Convention:
        No padding; the canvas is large enough that nothing touches its border.
        Pinned by tests/explain/test_pooling_law.py.

    Source:
        The article's example of the letter C, with its "same result" counted.

    Example:
        >>> peak = pooling_law(2)
        >>> [(move.n_same, move.n_positions) for move in peak.moves[:5]]
        [(16, 16), (12, 16), (8, 16), (4, 16), (0, 16)]
        >>> peak.follows_law
        True
    """
    pools = Pools(n_pools, window_px, stride_px)
    picture = np.ones((1, 1), np.int64) if image is None else _checked(image)
    if blocks and not filters:
        raise OptionError("filters to convolve with before every pool", "none")
    exact, patterns, fires = _pooled_ids(picture, filters, pools, blocks)
    stride = pools.total_stride_px
    offsets = [(d * down, d * right) for down, right in _DIRECTIONS.values() for d in range(stride + 1)]
    moves = tuple(
        MoveCount(offset, _equal(exact, offset), _equal(patterns, offset), pools.peak_count(offset))
        for offset in dict.fromkeys(offsets)
    )
    what = "isolated peak" if image is None else f"image of {picture.shape[0]} × {picture.shape[1]} px"
    named = f", {filters[0].name}" if len(filters) == 1 else f", {len(filters)} filters" if filters else ""
    return PoolingLaw(what + named, pools, blocks, fires, moves)


def _checked(image: npt.ArrayLike) -> Integers:
    picture = np.asarray(image)
    if picture.ndim != 2 or not picture.size:
        raise ShapeError("an image of shape (H, W)", picture.shape, fix="Pass one channel of one image.")
    if not np.issubdtype(picture.dtype, np.integer) or int(picture.min()) < 0:
        raise OptionError(
            "whole numbers of at least 0",
            f"{picture.dtype} from {picture.min()}",
            cause="Equality to the last bit is counted, so nothing may be rounded.",
            fix="Use levels from 0 to 255.",
        )
    # Positions are those of the content, whatever is around it.
    box = bounding_box(picture != 0)
    return picture[box or ...].astype(np.int64)


def _equal(ids: Integers, offset_px: Offset) -> npt.NDArray[np.bool_]:
    """Whether the map from a position is that after a move: bool (s, s) of ids (2s, 2s)."""
    stride = len(ids) // 2
    dy, dx = offset_px
    return np.equal(ids[:stride, :stride], ids[dy : stride + dy, dx : stride + dx])


def _pooled_ids(
    picture: Integers, filters: Sequence[Filter], pools: Pools, blocks: bool
) -> tuple[Integers, Integers, bool]:
    """A number for each different pooled map and for each different pattern, by position: each (2s, 2s)."""
    count = 2 * pools.total_stride_px
    features = _feature_maps(picture, filters, pools, blocks)
    exact, patterns = np.empty((count, count), np.int64), np.empty((count, count), np.int64)
    seen: dict[bytes, int] = {}
    fires = False
    for y in range(count):
        # Nothing touches the border, so that turning the canvas around moves its content.
        placed_at = np.stack([np.roll(features, (y, x), (-2, -1)) for x in range(count)])
        pooled = _pooled(placed_at, filters, pools, blocks)
        for x, maps in enumerate(pooled):
            box = bounding_box((maps != 0).any(0))
            fires = fires or box is not None
            exact[y, x] = seen.setdefault(b"map" + maps.tobytes(), len(seen))
            pattern = maps[:, :0, :0] if box is None else maps[:, *box]
            key = f"pattern{pattern.shape}".encode() + np.ascontiguousarray(pattern).tobytes()
            patterns[y, x] = seen.setdefault(key, len(seen))
    return exact, patterns, fires


def _feature_maps(picture: Integers, filters: Sequence[Filter], pools: Pools, blocks: bool) -> Integers:
    """The maps before the first pool, of the image at the first position: (number of filters or 1, H, W)."""
    stride = pools.total_stride_px
    reach = max((each.reach_px for each in filters), default=0)
    reaches = [reach * pools.stride_px**level for level in range(pools.n_pools if blocks else 1)]
    # Whole strides, so that the first position has phase (0, 0).
    margin = stride * -(-(sum(reaches) + pools.total_window_px) // stride)
    canvas = np.pad(picture, [(margin, margin + 2 * stride)] * 2)
    return np.stack([each.respond(canvas) for each in filters]) if filters else canvas[None]


def _pooled(maps: Integers, filters: Sequence[Filter], pools: Pools, blocks: bool) -> Integers:
    """The pooled maps of feature maps (n, F, H, W)."""
    for level in range(pools.n_pools):
        if blocks and level:
            channels = [each.respond(maps[:, number]) for number, each in enumerate(filters)]
            maps = np.stack(channels, 1)
        maps = pools.apply_one(maps)
    return maps

"""Claims 4 to 6, the letter C: counted over every position, so there is nothing to estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from shiftproof._figures import drawing
from shiftproof._text import percent
from shiftproof.article._check import exactly
from shiftproof.article._draw_letter import draw_letter_c
from shiftproof.article._filters import Filter, edge_filters, matched_filter, random_filters
from shiftproof.article._letter_figure import letter_figure
from shiftproof.article._pooling_law import PoolingLaw, pooling_law
from shiftproof.records import Check, LetterRecord, PoolingLawRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE_DOWN, TWO_DOWN = (1, 0), (2, 0)


class LetterSettings(BaseModel):
    """What is moved, and through which filters.

    Args:
        size_px: Height of the letter.
        stroke_px: Of its strokes.
        n_random_filters: Random filters beside the six for edges and spots.
        random_filter_px: Their side; 5 as in the article's networks.
        most_pools: Max pools in turn, at most 4: 256 positions.
        seed: Of the random filters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_px: Annotated[int, Field(ge=3)] = 7
    stroke_px: Annotated[int, Field(ge=1)] = 1
    n_random_filters: Annotated[int, Field(ge=0)] = 20
    random_filter_px: Annotated[int, Field(ge=1)] = 5
    most_pools: Annotated[int, Field(ge=2, le=4)] = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LetterCounts:
    """What pooling hides of moves of the letter, with 1, 2, ... max pools.

    Args:
        settings: What was counted.
        peak: An isolated peak.
        detector: A filter that fires at the letter alone, once.
        in_a_row: Ordinary filters by name: one convolution, then all pools.
        in_blocks: The same filters before every pool.
        inactive: Filters that never fire, which are left out: an empty map is hidden whatever it does.
    """

    settings: LetterSettings
    peak: Sequence[PoolingLaw]
    detector: Sequence[PoolingLaw]
    in_a_row: Mapping[str, Sequence[PoolingLaw]]
    in_blocks: Mapping[str, Sequence[PoolingLaw]]
    inactive: tuple[str, ...]

    def record(self) -> LetterRecord:
        """The counts, as the record of the claims holds them."""
        return LetterRecord(
            settings=self.settings.model_dump(mode="json"),
            peak=_records(self.peak),
            detector=_records(self.detector),
            in_a_row={name: _records(laws) for name, laws in self.in_a_row.items()},
            in_blocks={name: _records(laws) for name, laws in self.in_blocks.items()},
            inactive=self.inactive,
        )

    def figures(self) -> Iterator[tuple[str, Figure]]:
        """The two figures by name."""
        yield "letter", self.plot()[0]
        yield "pooling-law", self.plot_law()[0]

    def plot(self) -> tuple[Figure, list[Axes]]:
        """The letter before and after a move by 1 px, through a convolution that fires at it and a max pool:
        from a position where the pooled map stays the same, and from one where it does not.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        letter = draw_letter(self.settings)
        return letter_figure(letter, matched_filter(letter, alone=True), offset_px=ONE_DOWN).plot()

    def plot_law(self) -> tuple[Figure, list[Axes]]:
        """The counts of the detector beside the law, for each number of pools.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        n = len(self.detector)
        with drawing(1, n, inches=(4.2 * n, 3.6), share_y=True) as (figure, axes):
            for place, law in zip(axes, self.detector, strict=True):
                law.plot(axes=place)
        return figure, axes


def count_letter(settings: LetterSettings) -> LetterCounts:
    """Count for a peak, a detector of the letter and ordinary filters, with every number of pools."""
    letter = draw_letter(settings)
    n_pools = range(1, settings.most_pools + 1)

    def with_pools(each: Filter, *, blocks: bool = False) -> list[PoolingLaw]:
        return [pooling_law(n, letter, [each], blocks=blocks) for n in n_pools]

    ordinary = (
        *edge_filters(),
        *random_filters(settings.n_random_filters, size_px=settings.random_filter_px, seed=settings.seed),
    )
    in_a_row = {each.name: with_pools(each) for each in ordinary}
    active = [each for each in ordinary if in_a_row[each.name][0].fires]
    return LetterCounts(
        settings,
        peak=[pooling_law(n) for n in n_pools],
        detector=with_pools(matched_filter(letter, alone=True)),
        in_a_row={each.name: in_a_row[each.name] for each in active},
        in_blocks={each.name: with_pools(each, blocks=True) for each in active},
        inactive=tuple(each.name for each in ordinary if each not in active),
    )


def draw_letter(settings: LetterSettings) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The letter of the settings in 0 and 1, int64 (H, W)."""
    drawn = draw_letter_c(
        settings.size_px,
        stroke_px=settings.stroke_px,
        canvas_px=(settings.size_px, settings.size_px),
        position_px=(0, 0),
    )
    letter: np.ndarray[tuple[int, ...], np.dtype[np.int64]] = (drawn[0, 0].numpy() > 0).astype(np.int64)
    return letter


def letter_checks(counts: LetterCounts) -> dict[int, list[Check]]:
    """What claims 4, 5 and 6 say about the letter, from the counts."""
    settings = counts.settings
    source = f"exact counts, letter C of {settings.size_px} px with a stroke of {settings.stroke_px} px"
    one = counts.detector[0].by_offset[ONE_DOWN]
    two = counts.detector[0].by_offset[TWO_DOWN]
    n_filters = len(counts.in_a_row)
    hidden = [laws[0].by_offset[ONE_DOWN].n_same > 0 for laws in counts.in_a_row.values()]
    changed = [laws[0].by_offset[TWO_DOWN].n_same == 0 for laws in counts.in_a_row.values()]

    def check(says: str, holds: bool, found: str) -> Check:
        return exactly(says, holds, found=found, source=source)

    same = f"From {one.n_same} of {one.n_positions} positions."
    fourth = [
        check(
            "Where a filter fires at the letter alone, the pooled map stays the same under a move down by "
            "1 px from some position.",
            one.n_same > 0,
            same,
        ),
        check(
            "Where a filter fires at the letter alone, the pooled map stays the same from every position.",
            one.n_same == one.n_positions,
            same,
        ),
        check(
            "Every ordinary filter, for edges or at random, has a position from which its pooled map stays "
            "the same when the letter moves down by 1 px.",
            all(hidden),
            f"{sum(hidden)} of {n_filters} filters have one.",
        ),
    ]
    fifth = [
        check(
            "After a move down by 2 px a filter that fires at the letter alone gives another pooled map, "
            "from every position.",
            two.n_same == 0,
            f"The map is another one from {two.n_positions - two.n_same} of {two.n_positions} positions.",
        ),
        check(
            "After a move down by 2 px every ordinary filter gives another pooled map, from every position.",
            all(changed),
            f"With {sum(changed)} of {n_filters} filters.",
        ),
    ]
    sixth = [
        _grows(
            "With a filter that fires at the letter alone, each further max pool hides a move by 1 px from a "
            "larger share of positions.",
            [counts.detector],
            source,
        ),
        _grows(
            "With ordinary filters each further max pool hides a move by 1 px from a larger share of "
            "positions, on average.",
            list(counts.in_a_row.values()),
            source,
        ),
        _grows(
            "With ordinary filters each further convolution and max pool hides a move by 1 px from a larger "
            "share of positions, on average.",
            list(counts.in_blocks.values()),
            source,
        ),
    ]
    return {4: fourth, 5: fifth, 6: sixth}


def _grows(says: str, of_filters: Sequence[Sequence[PoolingLaw]], source: str) -> Check:
    """Whether the share of positions, averaged over filters, is larger with every further pool."""
    shares = [
        float(np.mean([law.by_offset[ONE_DOWN].share for law in laws]))
        for laws in zip(*of_filters, strict=True)
    ]
    grows = len(shares) > 1 and all(np.diff(shares) > 0)
    listed = ", ".join(percent(share) for share in shares)
    found = f"With 1 to {len(shares)} pools: {listed} of the positions."
    return exactly(says, grows, found=found, source=source)


def _records(laws: Sequence[PoolingLaw]) -> tuple[PoolingLawRecord, ...]:
    return tuple(law.record() for law in laws)

"""Where to cut: at the ends of blocks first, and inside of a block only where the staircase drops."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shiftproof.anatomy import Reason
from shiftproof.explain._runs import Runs, is_quiet

# Of more ends than this, so many are taken at even distances.
MOST_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps that follow each other, from one cut to the next.

    Args:
        before: The step at whose end it begins; `UNMOVED` where it begins with how the images move.
        last: Its last step.
    """

    before: int
    last: int

    @property
    def n_steps(self) -> int:
        """How many."""
        return self.last - self.before

    def name(self, runs: Runs) -> str:
        """Of the steps that can lose anything the only one, the module that they are all of, or both ends."""
        moments, loud = runs.moments, self.loud(runs)
        if len(loud) < 2:
            return moments[loud[0] if loud else self.last].name
        first, last = moments[loud[0]], moments[loud[-1]]
        common = _common(first.path, last.path)
        if common and _is_all_of(common, loud, runs):
            return ".".join(common)
        return f"{first.name} … {last.name}"

    def loud(self, runs: Runs) -> list[int]:
        """The steps that can lose anything."""
        return [index for index in range(self.before + 1, self.last + 1) if not is_quiet(runs, index)]


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[str, ...]:
    """The modules that both are in."""
    found = []
    for a, b in zip(one[:-1], other[:-1], strict=False):
        if a != b:
            break
        found.append(a)
    return tuple(found)


def _is_all_of(module: tuple[str, ...], loud: Sequence[int], runs: Runs) -> bool:
    """Whether no other step in a module can lose anything."""
    depth = len(module)
    own = (i for i, moment in enumerate(runs.moments) if moment.path[:depth] == module)
    return all(loud[0] <= index <= loud[-1] or is_quiet(runs, index) for index in own)


def openings(segment: Segment, runs: Runs) -> list[int]:
    """Steps inside of a segment after which it can be cut: where its blocks end, the outermost first.

    Empty where a single step can lose anything, and where no cut inside is possible.
    """
    moments, loud = runs.moments, segment.loud(runs)
    if len(loud) < 2:
        return []
    between = range(loud[0], loud[-1])  # With what can lose something on both sides.
    deepest = max(len(moments[index].path) for index in (*between, loud[-1]))
    for depth in range(1, deepest + 1):
        ends = [i for i in between if moments[i].path[:depth] != moments[i + 1].path[:depth]]
        possible = [index for index in ends if not isinstance(runs.alive_at(index), Reason)]
        found = _spread(_different(possible, loud))
        if found:
            return found
    return []


def _different(ends: Sequence[int], loud: Sequence[int]) -> list[int]:
    """Those between which something can be lost, the last of each that are alike."""
    last = {bisect_right(loud, index): index for index in ends}
    return sorted(last.values())


def _spread(ends: Sequence[int]) -> list[int]:
    """All, or of many so many at even distances."""
    if len(ends) <= MOST_AT_ONCE:
        return list(ends)
    step = (len(ends) + 1) / (MOST_AT_ONCE + 1)
    return [ends[min(len(ends) - 1, round((i + 1) * step) - 1)] for i in range(MOST_AT_ONCE)]


def open_where_it_drops(
    runs: Runs,
    measure: Callable[[Sequence[int]], None],
    drop: Callable[[Segment], float],
    *,
    worth: float,
    most_cuts: int,
    begin: int,
) -> tuple[Segment, ...]:
    """Cut a network until what drops cannot be cut further, in the order in which it runs.

    Args:
        runs: The network.
        measure: Called with steps before `drop` is asked about segments between them.
        drop: What a segment loses, as a share of all.
        worth: Segments that lose at least so much are opened.
        most_cuts: After so many cuts no further segment is opened.
        begin: 0, or `UNMOVED` where it is a step of its own how the images move.
    """
    cuts = sorted({begin, 0, len(runs.moments) - 1})
    measure(cuts)
    closed: set[Segment] = set()
    while len(cuts) < most_cuts:
        segments = [Segment(a, b) for a, b in pairwise(cuts)]
        open_ones = [segment for segment in segments if segment not in closed and segment.n_steps > 1]
        if len(cuts) > 2 - begin:
            open_ones = [segment for segment in open_ones if drop(segment) >= worth]
        found: list[int] = []
        for segment in sorted(open_ones, key=drop, reverse=True):
            inside = openings(segment, runs)
            if not inside:
                closed.add(segment)
            if len(cuts) + len(found) + len(inside) <= most_cuts or not found:
                found += inside
        if not found:
            break
        measure(found)
        cuts = sorted({*cuts, *found})
    return tuple(Segment(a, b) for a, b in pairwise(cuts))

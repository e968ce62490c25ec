"""A map or a curve in characters: what changes the answer more has more ink."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shiftproof.records import Offset, PointRecord

# From the highest level to the lowest. A cell is two characters wide, which makes it about square.
SHADES = ("·", "░", "▒", "▓", "█")
CENTRE = "()"
BARS = "▁▂▃▄▅▆▇█"
# Steps between levels, in percent; each divides 100, so that the highest level can end there.
STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
MAX_CELLS = 33
LABEL = 6


@dataclass(frozen=True, slots=True)
class Levels:
    """Equal steps of a share, the highest first.

    Args:
        top: Upper end of the highest, in percent.
        step: Of each, in percent.
    """

    top: float
    step: float

    def of(self, share: float) -> int:
        """Which level a share belongs to; its lower end belongs to it."""
        below = (self.top - 100 * share) / self.step
        return max(0, min(len(SHADES) - 1, math.ceil(below - 1e-9) - 1))

    def text(self, level: int) -> str:
        """The range of a level."""
        low, high = (round(self.top - (level + down) * self.step, 1) for down in (1, 0))
        return f"{low:g} to {high:g} %"


def levels_for(shares: Sequence[float]) -> Levels:
    """The finest levels with round ends that cover all shares.

    Example:
        >>> levels = levels_for([0.93, 1.0])
        >>> [levels.text(level) for level in (0, 4)], levels.of(1.0), levels.of(0.93)
        (['98 to 100 %', '90 to 92 %'], 0, 3)
    """
    low, high = 100 * min(shares), 100 * max(shares)
    for step in STEPS:
        top = min(100.0, math.ceil(high / step - 1e-9) * step)
        if low >= top - len(SHADES) * step - 1e-9:
            return Levels(top, step)
    return Levels(100.0, STEPS[-1])


def draw_map(points: Sequence[PointRecord[Offset]], *, width: int) -> list[str]:
    """Lines of a map with its axes and legend; none where the offsets are no map but a line or a point.

    Args:
        points: Shares at (dy, dx).
        width: Characters in a line.
    """
    cells = {(point.at[0] + 0.0, point.at[1] + 0.0): point.value for point in points}
    rows, columns = (sorted({at[axis] for at in cells} | {0.0}) for axis in (0, 1))
    if min(len(rows), len(columns)) < 2 or len(cells) <= max(len(rows), len(columns)):
        return []
    every = _thinning(rows, columns, width)
    rows, columns = _thinned(rows, every), _thinned(columns, every)
    levels = levels_for(list(cells.values()))

    def cell(dy: float, dx: float) -> str:
        if dy == dx == 0:
            return CENTRE
        share = cells.get((dy, dx))
        return "  " if share is None else SHADES[levels.of(share)] * 2

    lines = [" " * LABEL + _axis(columns)]
    lines += [f"{dy:{LABEL - 1}g} {''.join(cell(dy, dx) for dx in columns)}".rstrip() for dy in rows]
    used = sorted({levels.of(share) for share in cells.values()})
    shades = [f"{SHADES[level] * 2} {levels.text(level)}" for level in used]
    lines.append("   ".join([*shades, f"{CENTRE} unshifted"]))
    if every > 1:
        lines.append(f"Every offset was measured; one in {every} is drawn, in each axis.")
    return lines


def _thinning(rows: Sequence[float], columns: Sequence[float], width: int) -> int:
    room = max(3, min(MAX_CELLS, (width - LABEL) // 2))
    # By odd steps: every second offset would have the phase of the centre, and hide aliasing at stride 2.
    every = 1
    while max(len(_thinned(rows, every)), len(_thinned(columns, every))) > room:
        every += 2
    return every


def _thinned(axis: Sequence[float], every: int) -> list[float]:
    """With the centre in any case."""
    return list(axis[axis.index(0.0) % every :: every])


def _axis(columns: Sequence[float]) -> str:
    """The first, middle and last offset, where they are."""
    line = [" "] * (2 * len(columns) + LABEL)
    for place in sorted({0, columns.index(0.0), len(columns) - 1}):
        label = f"{columns[place]:g}"
        start = 2 * place
        if all(c == " " for c in line[max(0, start - 1) : start + len(label)]):
            line[start : start + len(label)] = label
    return "".join(line).rstrip()


def draw_bars(shares: Sequence[float], *, width: int) -> str:
    """One bar for each share, from 0 to 100 %; thinned where there is no room.

    Example:
        >>> draw_bars([1.0, 0.5, 0.0], width=80)
        '█▅▁'
    """
    every = max(1, math.ceil(len(shares) / max(1, width)))
    return "".join(BARS[min(len(BARS) - 1, int(max(0.0, share) * len(BARS)))] for share in shares[::every])

"""Functions of other libraries that a trace does not enter, by the place of their code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shiftproof.anatomy._operations import Grid, Slide
from shiftproof.anatomy._question import LINEAR, Reading, unknown, varying


def _same(grid: Grid) -> Reading:
    return (LINEAR,), grid


def _merged(grid: Grid) -> Reading:
    """Blocks of 2 × 2 positions become one; a row and a column of zeros complete an odd number."""
    down, right = (size % 2 for size in grid.size)
    if None in grid.axes or grid.is_joint:
        return unknown("It merges positions that are not rows and columns.")
    slide = Slide((2, 2), (2, 2), after=(down, right), linear=True)
    size = (slide.n_outputs(0, grid.size[0]), slide.n_outputs(1, grid.size[1]))
    return (slide,), replace(grid, size=size)


def _in_windows(grid: Grid) -> Reading:
    return varying("It looks around in windows that lie at fixed places.", grid)


FUNCTIONS_OF_LIBRARIES: dict[str, Callable[[Grid], Reading]] = {
    "torchvision.models.swin_transformer._patch_merging_pad": _merged,
    "torchvision.models.swin_transformer.shifted_window_attention": _in_windows,
    "torchvision.ops.stochastic_depth.stochastic_depth": _same,
}

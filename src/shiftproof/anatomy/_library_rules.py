"""Functions of other libraries that a trace does not enter, by the place of their code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shiftproof.anatomy._map_call import LINEAR, Effect, unknown, varying
from shiftproof.anatomy._operations import PositionGrid, Slide


def _same(grid: PositionGrid) -> Effect:
    return (LINEAR,), grid


def _merged(grid: PositionGrid) -> Effect:
    """Blocks of 2 × 2 positions become one; a row and a column of zeros complete an odd number."""
    down, right = (size % 2 for size in grid.size)
    if None in grid.axes or grid.is_joint:
        return unknown("It merges positions that are not rows and columns.")
    slide = Slide((2, 2), (2, 2), after=(down, right), linear=True)
    size = (slide.n_outputs(0, grid.size[0]), slide.n_outputs(1, grid.size[1]))
    return (slide,), replace(grid, size=size)


def _in_windows(grid: PositionGrid) -> Effect:
    return varying("It looks around in windows that lie at fixed places.", grid)


FUNCTIONS_OF_LIBRARIES: dict[str, Callable[[PositionGrid], Effect]] = {
    "torchvision.models.swin_transformer._patch_merging_pad": _merged,
    "torchvision.models.swin_transformer.shifted_window_attention": _in_windows,
    "torchvision.ops.stochastic_depth.stochastic_depth": _same,
}

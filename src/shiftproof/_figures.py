"""How every figure looks, and how it becomes bytes that do not depend on the moment."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from shiftproof._optional import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito 2008, which the colour-blind can tell apart; with the markers, 28 series differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "os^D"
# From dark to bright in even steps for every reader, also in grey.
MAP = "cividis"
# A fixed salt for the ids of an SVG, where matplotlib would draw them at random.
SETTINGS: dict[str, Any] = {"svg.hashsalt": "shiftproof", "svg.fonttype": "none", "font.size": 9.0}


@contextmanager
def drawing(
    n_rows: int = 1,
    n_columns: int = 1,
    *,
    inches: tuple[float, float] = (6.4, 4.0),
    share_x: bool = False,
    share_y: bool = False,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure of its own, known to no window, and its axes row by row, to draw in.

    Args:
        n_rows: Axes from top to bottom.
        n_columns: Axes from left to right.
        inches: Width and height.
        share_x: Whether all axes have one scale to the right.
        share_y: Whether all axes have one scale upwards.

    Raises:
        MissingDependencyError: matplotlib is not installed.

    Example:
        >>> with drawing(1, 2) as (figure, (left, right)):
        ...     _ = left.plot([0, 1], [0, 1])
        >>> image_bytes(figure, "svg")[:5]
        b'<?xml'
    """
    matplotlib = require("matplotlib", extra="plot", purpose="A figure")
    figures = require("matplotlib.figure", extra="plot", purpose="A figure")
    with matplotlib.rc_context(SETTINGS):
        figure = figures.Figure(figsize=inches, layout="constrained")
        axes = figure.subplots(n_rows, n_columns, sharex=share_x, sharey=share_y, squeeze=False)
        yield figure, list(axes.flat)


def image_bytes(figure: Figure, kind: Literal["svg", "png"] = "svg") -> bytes:
    """The figure as a file: equal figures give equal bytes with one version of matplotlib.

    It says nothing of letters that matplotlib's font lacks: in an SVG the reader's has them.
    """
    matplotlib = require("matplotlib", extra="plot", purpose="A figure")
    file = io.BytesIO()
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font", category=UserWarning)
        figure.savefig(file, format=kind, dpi=144, metadata=metadata)
    return file.getvalue()

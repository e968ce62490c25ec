"""What detectors take for faces, drawn: against pools, network by network, and the images themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from shiftproof._figures import COLOURS, MARKERS
from shiftproof.article._detector import Detector
from shiftproof.metrics import Estimate
from shiftproof.records import Faces

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_by_pools(axes: Axes, detectors: Sequence[Detector]) -> None:
    """Share of scrambled faces taken for faces against the number of max pools, a line for each head."""
    heads: dict[str, list[tuple[int, Estimate]]] = {}
    for one in detectors:
        if key := one.pools_and_head:
            heads.setdefault(key[1], []).append((key[0], one.scrambled))
    for number, (head, family) in enumerate(heads.items()):
        pools, shares = zip(*sorted(family, key=lambda pair: pair[0]), strict=True)
        values = [100 * share.value for share in shares]
        below = [100 * (share.value - share.low) for share in shares]
        above = [100 * (share.high - share.value) for share in shares]
        # Side by side, so that no interval hides another.
        at = [n_pools + 0.05 * (number - (len(heads) - 1) / 2) for n_pools in pools]
        axes.errorbar(
            at, values, yerr=[below, above], color=COLOURS[number], marker=MARKERS[number],
            markersize=4, capsize=2, label=head,
        )  # fmt: skip
    axes.set_xticks(range(4))
    axes.set_xlim(-0.2, 3.2)
    axes.set_ylim(-3, 103)
    axes.set_xlabel("max pools")
    axes.set_ylabel(f"scrambled {detectors[0].images} faces\ntaken for faces (%)")
    axes.grid(visible=True, alpha=0.25)
    if heads:
        axes.legend(frameon=False, title="head")


def draw_detectors(axes: Axes, detectors: Sequence[Detector]) -> None:
    """For each network the shares of faces, scrambled faces and other images that it takes for faces."""
    rows = range(len(detectors))
    for number, what in enumerate(("faces", "scrambled faces", "other images")):
        shares = [(one.share("face"), one.scrambled, one.others)[number] for one in detectors]
        values = [100 * share.value for share in shares]
        low, high = [100 * share.low for share in shares], [100 * share.high for share in shares]
        colour = COLOURS[(2, 1, 0)[number]]
        axes.hlines(rows, low, high, color=colour, linewidth=1)
        axes.plot(
            values, rows, color=colour, marker=MARKERS[number], markersize=4.5, linestyle="none", label=what
        )
    axes.set_yticks(rows, [one.network for one in detectors])
    axes.set_ylim(len(detectors) - 0.5, -0.5)
    axes.set_xlim(-3, 103)
    axes.set_xlabel("taken for faces (%)")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=3, handletextpad=0.1)


def draw_examples(axes: Axes, kinds: Mapping[str, npt.NDArray[np.uint8]], images: Faces) -> None:
    """The first test images of each kind, a row for each."""
    size_px = next(iter(kinds.values())).shape[1]
    step_px = size_px + 2
    rows = [np.pad(row, ((0, 0), (0, 2), (0, 2)), constant_values=255) for row in kinds.values()]
    axes.imshow(np.concatenate([np.concatenate(row, axis=1) for row in rows]), cmap="gray", vmin=0, vmax=255)
    axes.set_yticks([step_px * row + size_px / 2 for row in range(len(kinds))], list(kinds))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(f"{images} images", fontsize="medium")

"""What the claims about weight sharing and pooling say, asked of a finished experiment."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from shiftproof._text import percent
from shiftproof.article._check import exactly, in_points, lies_above
from shiftproof.article._sharing import Sharing
from shiftproof.records import Check

SOURCE = "experiment sharing"


def sharing_checks(result: Sharing) -> list[Check]:
    """Claim 1: few weights, faster convergence, less overfitting, memory and time."""
    dense = result.settings.unshared
    checks = [_example()]
    for name in result.settings.convolutional:
        checks += [
            _fewer_parameters(result, name, dense),
            _converges_faster(result, name, dense),
            _overfits_less(result, name, dense),
            _less_memory(result, name, dense),
            _less_time(result, name, dense),
        ]
    return checks


def pooling_cost_checks(result: Sharing) -> list[Check]:
    """Claim 10: each pool cuts size, parameters and computation; networks with pools overfit less."""
    names = result.settings.pooled
    networks = [result.networks[name] for name in names]
    sizes = [each.map_px or (0, 0) for each in networks]
    counts = {
        "parameters": [each.n_parameters for each in networks],
        "multiply-adds for an image": [each.multiply_adds for each in networks],
    }
    source = f"{SOURCE}: {', '.join(names)}"
    checks = [
        exactly(
            "Each pool cuts the spatial size of the maps.",
            all(a[0] > b[0] and a[1] > b[1] for a, b in pairwise(sizes)),
            found=f"{', '.join(f'{height} × {width}' for height, width in sizes)} px.",
            source=source,
        )
    ]
    checks += [
        exactly(
            f"Each pool cuts the number of {what}.",
            all(a > b for a, b in pairwise(found)),
            found=f"{', '.join(f'{count:,}' for count in found)}.",
            source=source,
        )
        for what, found in counts.items()
    ]
    checks += [_overfits_less(result, name, names[0]) for name in names[1:]]
    return checks


def _example() -> Check:
    """The article's own numbers, counted in layers that are built as it describes them."""
    filters = nn.Conv2d(1, 40, 5).weight.numel()
    dense = nn.Linear(28 * 28, 100).weight.numel()
    in_second_layer = nn.Conv2d(20, 40, 5).weight.numel()
    return exactly(
        "40 filters of 5 × 5 have 1,000 weights, a dense layer of 100 on 28 × 28 pixels 78,400.",
        (filters, dense) == (1000, 78_400),
        found=f"{filters:,} and {dense:,}, for one channel of input; behind 20 maps, as in CNN model2, "
        f"the 40 filters have {in_second_layer:,}.",
        source="counted in the layers",
    )


def _fewer_parameters(result: Sharing, name: str, other: str) -> Check:
    ours, theirs = (result.networks[each].n_parameters for each in (name, other))
    return exactly(
        f"{name} has fewer parameters than {other}.",
        ours < theirs,
        found=f"{ours:,} against {theirs:,}.",
        source=f"{SOURCE}: {name}, {other}",
    )


def _converges_faster(result: Sharing, name: str, other: str) -> Check:
    saved = result.epochs_saved(name, other)
    return lies_above(
        f"{name} converges in fewer epochs than {other}.",
        saved,
        0.0,
        found=f"{100 * result.settings.goal:g} % of test images are right after "
        f"{_epochs_text(result, name)} against {_epochs_text(result, other)}; "
        f"{_signed(saved.value)} ({_signed(saved.low)} to {_signed(saved.high)}) epochs saved.",
        source=f"{SOURCE}: {name}, {other}",
    )


def _overfits_less(result: Sharing, name: str, other: str) -> Check:
    less = result.gap_difference(other, name)
    learned = [percent(result.networks[each].accuracy("train").value) for each in (name, other)]
    return lies_above(
        f"{name} overfits less than {other}.",
        less,
        0.0,
        found="Training images are right more often than test images by "
        f"{in_points(result.gap(name), sign=False)} against {in_points(result.gap(other), sign=False)}; "
        f"the difference is {in_points(less)}. Of the training images {learned[0]} against {learned[1]} are "
        "learned.",
        source=f"{SOURCE}: {name}, {other}",
    )


def _less_memory(result: Sharing, name: str, other: str) -> Check:
    ours, theirs = (result.networks[each].memory for each in (name, other))
    return exactly(
        f"A training step of {name} takes less memory than one of {other}.",
        ours.total < theirs.total,
        found=f"{ours.total / 1e6:.1f} MB against {theirs.total / 1e6:.1f} MB in a step of "
        f"{result.settings.recipe.batch_size} images, of which {ours.kept / 1e6:.1f} MB against "
        f"{theirs.kept / 1e6:.1f} MB are kept for the backward pass.",
        source=f"{SOURCE}: {name}, {other}",
    )


def _less_time(result: Sharing, name: str, other: str) -> Check:
    ratio = result.times_slower(other, name)
    return lies_above(
        f"An epoch of {name} takes less time than one of {other}.",
        ratio,
        1.0,
        found=f"{result.epoch_s(name).value:.3g} s against {result.epoch_s(other).value:.3g} s where it ran: "
        f"{ratio.value:.2g} ({ratio.low:.2g} to {ratio.high:.2g}) times as long for {other}.",
        source=f"{SOURCE}: {name}, {other}",
    )


def _epochs_text(result: Sharing, name: str) -> str:
    epochs, reached = result.epochs(name)
    return f"{epochs:.1f} epochs" if reached else f"more than {epochs:g} epochs"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")

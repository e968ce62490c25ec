"""`shiftproof explain`: which layer of a network loses translation invariance, and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._figures import check_drawable
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import messages, print_json, results
from shiftproof.cli._report import write_page
from shiftproof.cli._request import model_request, reading_request

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from shiftproof.audits import AuditQuestion
    from shiftproof.explain import SensitivityMap

HELP = (
    "Measure which layers of a network lose translation invariance, why, and how much.\n\n"
    "The network is stopped after a layer, and what it holds is replaced by what it held of the image where "
    "it was, moved along. How much the answer still changes is what the layers after it cause; what each of "
    "them loses is split into downsampling, border, head, and what fractions of a pixel add."
)

Limit = Annotated[int, typer.Option(help="Use so many images, drawn at random.", rich_help_panel=o.WHAT)]
Shifts = Annotated[int, typer.Option(help="Shifts of each image, in each condition.", rich_help_panel=o.WHAT)]
Cuts = Annotated[
    int, typer.Option(help="After so many cuts no further block is opened.", rich_help_panel=o.RUN)
]
MaxShift = Annotated[
    int | None,
    typer.Option(
        "--max-shift-px",
        help="Longest shift; by default a seventh of the image, or the total stride of the network.",
        rich_help_panel=o.WHAT,
    ),
]
Border = Annotated[
    str,
    typer.Option(
        help="What comes in from outside: zeros, edge, reflect or circular.",
        metavar="NAME",
        rich_help_panel=o.WHAT,
    ),
]
Remedies = Annotated[
    int,
    typer.Option(
        help="Of how many layers to measure what another one in their place would gain.",
        rich_help_panel=o.WHAT,
    ),
]
Maps = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="Also measure how far every shift moves the features of this layer, or the logits; repeatable.",
        metavar="LAYER",
        rich_help_panel=o.WHAT,
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        help="Draw the staircase, what is left of the change after each cut, as SVG, or PNG by its suffix.",
        metavar="FILE",
        rich_help_panel=o.RUN,
    ),
]


@grouped
def explain(
    model: o.Model,
    data: o.Data,
    *,
    limit: Limit = 32,
    shifts: Shifts = 2,
    max_shift_px: MaxShift = None,
    border: Border = "zeros",
    remedies: Remedies = 3,
    cuts: Cuts = 48,
    seed: o.Seed = 0,
    max_bad: o.MaxBad = 0.01,
    files: o.ReadingOptions,
    confidence: o.Confidence = 0.95,
    described: o.ModelOptions,
    device: o.Device = "auto",
    computed: o.EngineOptions,
    batch_size: o.BatchSize = None,
    maps: Maps = None,
    figure: Figure = None,
    html: o.Html = None,
    shown: o.Shown,
) -> None:
    """Measure which layers of a network lose translation invariance, why, and how much."""
    from shiftproof.audits import AuditOptions, ask
    from shiftproof.explain import explain as explain_network
    from shiftproof.explain import lie_derivative
    from shiftproof.report import print_explanation
    from shiftproof.shifts import check_border

    if figure is not None:
        check_drawable("--figure")
    options = AuditOptions(
        limit=limit,
        seed=seed,
        max_bad=max_bad,
        confidence=confidence,
        device=device,
        reading=reading_request(files),
    )
    question = ask(model, data, options, request=model_request(described))
    found = explain_network(
        question.classifier,
        question.images,
        limit=limit,
        n_shifts=shifts,
        max_shift_px=max_shift_px,
        border=check_border(border),
        n_remedies=remedies,
        most_cuts=cuts,
        seed=seed,
        confidence=confidence,
        device=device,
        engine=computed.engine,
        gpus_per_worker=computed.gpus_per_worker,
        batch_size=batch_size,
        on_step=(lambda step: None) if shown.quiet else _say,
    )
    if figure is not None:
        _draw(found.plot()[0], figure)
    derivative = lie_derivative(question.classifier, question.images, batch_size=batch_size or 32)
    drawn = [_sensitivity(question, each, max_shift_px, border, figure) for each in maps or ()]
    found = found.beside(derivative.record(), [each.record() for each in drawn])
    if html is not None:
        write_page(found, html)
    if shown.as_json:
        print_json(found.to_json())
    else:
        print_explanation(found, results)


def _say(step: str) -> None:
    messages.print(f"{step} …", soft_wrap=True, markup=False)


def _sensitivity(
    question: AuditQuestion, layer: str, max_shift_px: int | None, border: str, figure: Path | None
) -> SensitivityMap:
    """One map; drawn beside the other figure, where one is wanted."""
    from shiftproof.errors import DataError
    from shiftproof.explain import sensitivity_map
    from shiftproof.metrics import NotApplicable
    from shiftproof.shifts import check_border

    found = sensitivity_map(
        question.classifier,
        question.images,
        layer=None if layer == "logits" else layer,
        max_shift_px=max_shift_px or min(8, *(side - 1 for side in question.images.image_shape[1:])),
        border=check_border(border),
    )
    if isinstance(found, NotApplicable):
        raise DataError.cannot(f"compare features of {layer}", "they are equal", cause=found.reason)
    if figure is not None:
        _draw(found.plot()[0], figure.with_stem(f"{figure.stem}-{layer.replace('/', '-')}"))
    return found


def _draw(figure: MatplotlibFigure, path: Path) -> None:
    from shiftproof._figures import image_bytes
    from shiftproof._files import write_atomically

    write_atomically(path, image_bytes(figure, "png" if path.suffix.lower() == ".png" else "svg"))
    messages.print(f"Figure: {path}", soft_wrap=True, markup=False)

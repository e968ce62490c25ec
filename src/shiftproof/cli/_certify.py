"""`shiftproof certify`: for which shifts the answer of a network is certain not to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import Exit, print_json, results
from shiftproof.cli._report import write_page
from shiftproof.cli._request import model_request, reading_request

if TYPE_CHECKING:
    from torch import Tensor

    from shiftproof.adapters import Classifier
    from shiftproof.certify import Certificate
    from shiftproof.data import Reading

HELP = (
    "Prove for which shifts a network's answer cannot change, and check the proof by numbers.\n\n"
    "It reads the layers of the network: borders, strides, what combines their maps, and the head. What it "
    "does not know it names, and proves nothing past it. DATA are images to check on besides random ones.\n\n"
    "Exit codes: 0 something is proved and the numbers agree, 1 the numbers disagree with the proof, 2 a "
    "mistake in what was asked, 3 nothing is proved."
)

Data = Annotated[
    str | None,
    typer.Argument(
        metavar="[DATA]", help="Images to check on, as well as random ones; named as for `shiftproof audit`."
    ),
]
Limit = Annotated[int, typer.Option(help="Check on so many images of DATA.", rich_help_panel=o.WHAT)]
Images = Annotated[
    int, typer.Option("--random", help="Check on so many random images.", rich_help_panel=o.WHAT)
]
Moves = Annotated[
    int | None,
    typer.Option("--moves", help="Check so many shifts at most; default: by size.", rich_help_panel=o.WHAT),
]
Numeric = Annotated[
    bool, typer.Option("--numeric/--no-numeric", help="Check the proof by numbers.", rich_help_panel=o.WHAT)
]


@grouped
def certify(
    model: o.Model,
    data: Data = None,
    *,
    limit: Limit = 4,
    images: Images = 4,
    moves: Moves = None,
    numeric: Numeric = True,
    files: o.ReadingOptions,
    seed: o.Seed = 0,
    described: o.ModelOptions,
    html: o.Html = None,
    shown: o.Shown,
) -> None:
    """Prove for which shifts a network's answer cannot change, and check the proof by numbers."""
    from shiftproof.adapters import load_classifier
    from shiftproof.certify import certify as prove
    from shiftproof.report import print_certificate

    classifier = load_classifier(model, model_request(described))
    given = _images(classifier, data, limit, seed, reading_request(files))
    found = prove(classifier, images=given, n_images=images, n_moves=moves, numeric=numeric, seed=seed)
    if html is not None:
        write_page(found, html)
    if shown.as_json:
        print_json(found.to_json())
    else:
        print_certificate(found, results)
    raise typer.Exit(_exit(found))


def _images(
    classifier: Classifier, data: str | None, limit: int, seed: int, reading: Reading
) -> Tensor | None:
    from shiftproof.adapters import load_framed

    if data is None:
        return None
    images = load_framed(data, classifier.framing, limit=limit, seed=seed, reading=reading)
    return images.pixels(slice(0, limit))


def _exit(found: Certificate) -> Exit:
    if found.holds is False:
        return Exit.GATE_FAILED
    return Exit.INCOMPLETE if found.verdict == "nothing" else Exit.OK

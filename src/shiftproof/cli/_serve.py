"""`shiftproof serve`: a page on which one drags the image and sees the answer change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import Exit, messages, print_json, results
from shiftproof.cli._request import model_request, reading_request

if TYPE_CHECKING:
    from shiftproof.adapters import Classifier
    from shiftproof.data import Images
    from shiftproof.serve import Address, Exhibit

HELP = (
    "Open a page on which one drags an image and sees what models answer at every shift.\n\n"
    "Without arguments: four packaged networks and digits of MNIST. With the directory of an audit: its "
    "model and images, beginning with the one that changes most often; of a fix: the model before and "
    "after. Only this machine reaches the page, and only who has its address. Ctrl-C ends it."
)
PAGE = "Page"
N_IMAGES = 200

First = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN|MODEL]", help="Run directory of an audit or a fix, or a model as for `audit`."
    ),
]
Data = Annotated[
    str | None, typer.Argument(metavar="[DATA]", help="Images as for `audit`; digits of MNIST by default.")
]
Beside = Annotated[
    list[str] | None,
    typer.Option(help="Another model, which moves along; repeatable.", metavar="MODEL"),
]
Port = Annotated[
    int, typer.Option(help="Where to listen; the next free one if it is in use.", rich_help_panel=PAGE)
]
Host = Annotated[
    str, typer.Option(help="Another than 127.0.0.1 lets others reach the page.", rich_help_panel=PAGE)
]
IKnow = Annotated[bool, typer.Option("--i-know", help="Others may reach the page.", rich_help_panel=PAGE)]
Radius = Annotated[
    int | None,
    typer.Option(help="How far an image can be moved, in pixels; default: 8, or as in the run.", metavar="PX",
                 rich_help_panel=PAGE),
]  # fmt: skip
Export = Annotated[
    Path | None,
    typer.Option(
        help="Write the page with all answers in it into this folder instead, to be opened without Python.",
        metavar="DIR",
        rich_help_panel=PAGE,
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Show it in the browser.", rich_help_panel=PAGE)]
Limit = Annotated[
    int, typer.Option(help="Show so many images of DATA, drawn at random.", rich_help_panel=o.WHAT)
]


@grouped
def serve(
    first: First = None,
    data: Data = None,
    *,
    beside: Beside = None,
    port: Port = 8765,
    host: Host = "127.0.0.1",
    i_know: IKnow = False,
    radius: Radius = None,
    export: Export = None,
    open_it: Open = False,
    limit: Limit = N_IMAGES,
    seed: o.Seed = 0,
    files: o.ReadingOptions,
    described: o.ModelOptions,
    device: o.OneDevice = "auto",
    shown: o.Shown,
) -> None:
    """Open a page on which one drags an image and sees what models answer at every shift."""
    from shiftproof.serve import check_host, check_serving, export_page, run_server

    if export is None:
        check_serving()
        check_host(host, i_know=i_know)
    given = _Given(first, data, tuple(beside or ()), described, files, radius, limit, seed, device)
    with _opened(given) as (what, begins_at):
        if export is not None:
            _print("page", str(export_page(what, export)), shown)
            return

        def ready(address: Address) -> None:
            _warn(address, asked_port=port)
            _print("address", f"{address}{begins_at}", shown)
            if not shown.quiet:
                messages.print("Press Ctrl-C to stop.")
            if open_it:
                _open(f"{address}{begins_at}")

        run_server(what, host=host, port=port, on_ready=ready)
    if not shown.quiet:
        messages.print("Stopped.")
    _leave()


def _leave() -> None:
    """End the process now: a model that still computes cannot be stopped, and Python would wait for it."""
    results.file.flush()
    messages.file.flush()
    os._exit(Exit.OK)


class _Given(NamedTuple):
    """The command, but for where it is shown."""

    first: str | None
    data: str | None
    beside: tuple[str, ...]
    described: o.ModelOptions
    files: o.ReadingOptions
    radius: int | None
    limit: int
    seed: int
    device: str


class _Asked(NamedTuple):
    classifier: Classifier
    images: Images
    radius_px: int
    begins_at: str
    beside: tuple[str, ...] = ()


@contextmanager
def _opened(given: _Given) -> Iterator[tuple[Exhibit, str]]:
    """What is shown, and what the address of its beginning ends with."""
    from shiftproof._device import choose_device
    from shiftproof.adapters import ModelRequest, load_classifier
    from shiftproof.article import letter_image
    from shiftproof.serve import DEFAULT_RADIUS_PX, demo, exhibit, largest_radius_px
    from shiftproof.zoo import MNIST_SHAPE

    if given.first is None:
        radius_px = DEFAULT_RADIUS_PX if given.radius is None else given.radius
        with demo(radius_px=radius_px, example=letter_image(MNIST_SHAPE)) as shown:
            yield shown, ""
        return
    if given.data is None and (Path(given.first) / "run.json").is_file():
        asked = _of_run(Path(given.first), trust=given.described.trust)
    else:
        asked = _of_model(given.first, given)
    others = ModelRequest(trust=given.described.trust, untrained=given.described.untrained)
    models = [asked.classifier, *(load_classifier(name, others) for name in (*asked.beside, *given.beside))]
    image_shape = asked.images.image_shape
    radius_px = min(asked.radius_px, largest_radius_px(image_shape)) if given.radius is None else given.radius
    example = letter_image(image_shape)
    device = choose_device(given.device)
    with exhibit(models, asked.images, radius_px=radius_px, device=device, example=example) as shown:
        yield shown, asked.begins_at


def _of_model(model: str, given: _Given) -> _Asked:
    from shiftproof.adapters import load_classifier, load_framed
    from shiftproof.errors import DataError
    from shiftproof.serve import DEFAULT_RADIUS_PX
    from shiftproof.zoo import MNIST_SHAPE

    classifier = load_classifier(model, model_request(given.described))
    if given.data is None and classifier.framing.image_shape != MNIST_SHAPE:
        raise DataError(
            "images to show", "none", cause=f"{model} takes no digits of MNIST.", fix="Name them after it."
        )
    images = load_framed(
        given.data or "demo:mnist",
        classifier.framing,
        limit=given.limit,
        seed=given.seed,
        reading=reading_request(given.files),
    )
    return _Asked(classifier, images, DEFAULT_RADIUS_PX, "")


def _of_run(folder: Path, *, trust: bool) -> _Asked:
    from shiftproof.adapters import load_classifier, load_framed
    from shiftproof.cli._run_again import run_again
    from shiftproof.serve import DEFAULT_RADIUS_PX

    again = run_again(folder, trust=trust)
    classifier = load_classifier(again.model, model_request(again.described))
    images = load_framed(
        again.data,
        classifier.framing,
        limit=again.limit,
        seed=again.seed,
        max_bad=again.max_bad,
        reading=reading_request(again.files),
    )
    again.check(classifier.digest, images.digest)
    return _Asked(classifier, images, again.radius_px or DEFAULT_RADIUS_PX, again.begins_at, again.beside)


def _print(name: str, value: str, shown: o.Shown) -> None:
    """Where the page is: the answer of this command."""
    if shown.as_json:
        print_json(json.dumps({name: value}))
    else:
        results.print(value if name == "address" else f"Page: {value}", soft_wrap=True)
    results.file.flush()


def _warn(address: Address, *, asked_port: int) -> None:
    from shiftproof.serve import is_loopback

    if asked_port not in (0, address.port):
        messages.print(f"Port {asked_port} is in use; this is the next one that is free.")
    if not is_loopback(address.host):
        messages.print(
            f"Whoever reaches {address.host}:{address.port} and has this address can use the page: see the "
            "images, run the model, and send files to be decoded. Nothing is encrypted.",
            style="bold",
        )


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        messages.print("There is no browser here; open the address yourself.")

"""Options of the commands, each defined once, and grouped as the help shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer


def option(panel: str, text: str, *names: str, metavar: str | None = None) -> Any:
    """An option in a panel of the help."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


MODEL, WHAT, GATES, RUN = "Model", "What to measure", "Gates", "Run"

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="zoo:NAME\\[@FILE], torchvision:NAME, timm:NAME, hf:ORG/NAME, a file such as model.onnx, "
        "file.py:NAME or package.module:NAME; see `shiftproof models ls`.",
    ),
]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A folder of images, with or without folders of classes in it; list.csv; x.npz; "
        "idx:FOLDER; or demo:mnist. See `shiftproof data ls`.",
    ),
]  # fmt: skip

Protocols = Annotated[
    list[str] | None,
    option(WHAT, "Shifts, by name as in `shiftproof protocols ls`, or FILE.toml:NAME; repeatable.",
        "--protocol", metavar="NAME"),
]  # fmt: skip
Border = Annotated[
    str | None,
    option(WHAT, "What comes in from outside: zeros, edge, reflect, circular or scene.", metavar="NAME"),
]
Limit = Annotated[int | None, option(WHAT, "Use so many images, drawn at random.")]
Precision = Annotated[
    float | None, option(WHAT, "Stop as soon as the agreement is known to ± this, for example 0.005.")
]
Seed = Annotated[int, option(WHAT, "Source of every random choice.")]
MaxBad = Annotated[float, option(WHAT, "Largest share of files that may be skipped.")]
Confidence = Annotated[float, option(WHAT, "Nominal coverage of the intervals.")]
Method = Annotated[
    str, option(WHAT, "direct (every shift by itself), dense (all at once, where exact), auto.")
]
AllowNoise = Annotated[
    bool,
    option(WHAT, "Go on where answers change as much without a shift as under shifts.", "--allow-noise"),
]

Gates = Annotated[
    list[str] | None,
    option(GATES, "Demand such as 'agreement@4>=0.98', judged on the interval; repeatable.", "--gate",
        metavar="TEXT"),
]  # fmt: skip
Baseline = Annotated[
    Path | None, option(GATES, "Run directory that this run must not be worse than.", metavar="RUN")
]
Margin = Annotated[float, option(GATES, "By how much it may be worse.")]
Inconclusive = Annotated[
    str,
    option(GATES, "What an interval across the threshold means: exit code 3 (undecided), pass or fail."),
]

Out = Annotated[Path | None, option(RUN, "Run directory; by default a new one in runs/.", metavar="DIR")]
Figures = Annotated[
    bool,
    option(RUN, "Draw maps and curves as SVG into the folder figures of the run directory.", "--figures"),
]
Fresh = Annotated[bool, option(RUN, "Compute everything again.", "--fresh")]
Device = Annotated[str, option(RUN, "auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[int | None, option(RUN, "Images at a time; halved when memory runs out.")]
Threads = Annotated[int | None, option(RUN, "Batches at a time on a CPU; default: the cores.")]
DryRun = Annotated[bool, option(RUN, "Print what would be computed, and for how long.", "--dry-run")]


@dataclass(frozen=True)
class Shown:
    """How a command shows what it does: options of every command."""

    as_json: Annotated[bool, option(RUN, "Print one JSON document on stdout.", "--json")] = False
    quiet: Annotated[bool, option(RUN, "Show no progress.", "--quiet", "-q")] = False


@dataclass(frozen=True)
class ModelOptions:
    """What is known of a model beside its reference: options of every command that loads one."""

    mean: Annotated[
        str | None, option(MODEL, "Subtracted from the scaled image: one number, or one per channel.")
    ] = None
    std: Annotated[str | None, option(MODEL, "Divides the image after that.")] = None
    scale: Annotated[float | None, option(MODEL, "Factor on images in [0, 1], for example 255.")] = None
    size: Annotated[
        str | None,
        option(MODEL, "Size that the model takes, PX or HxW.", "--size", "--crop", metavar="PX"),
    ] = None
    resize: Annotated[int | None, option(MODEL, "Short side before the centre is cut out.", metavar="PX")] = (
        None
    )
    fit: Annotated[
        str | None,
        option(
            MODEL,
            "Images of other proportions: crop (the centre), squash, or letterbox (with bars).",
            metavar="WAY",
        ),
    ] = None
    fill: Annotated[
        str | None,
        option(MODEL, "Bars of a letterbox: a byte, or R,G,B; 0 by default.", metavar="BYTE"),
    ] = None
    channels: Annotated[int | None, option(MODEL, "Channels that the model takes.")] = None
    bgr: Annotated[
        bool | None,
        option(
            MODEL, "Order of the colours that the model takes, and that --mean and --std have.", "--bgr/--rgb"
        ),
    ] = None
    channels_last: Annotated[
        bool | None,
        option(MODEL, "Order of the axes that the model takes.", "--channels-last/--channels-first"),
    ] = None
    logits: Annotated[
        str | None, option(MODEL, "Which part of an answer holds the logits.", metavar="INDEX|NAME")
    ] = None
    class_names: Annotated[
        Path | None, option(MODEL, "Text file with one class name per line, in the order of the logits.")
    ] = None
    weights: Annotated[Path | None, option(MODEL, "Weights to put into the model, a .safetensors file.")] = (
        None
    )
    model_arg: Annotated[
        list[str] | None,
        option(MODEL, "Argument of the function that builds the model; repeatable.", metavar="KEY=VALUE"),
    ] = None
    untrained: Annotated[
        bool, option(MODEL, "Random weights in place of the published ones.", "--untrained")
    ] = False
    trust: Annotated[bool, option(MODEL, "Let code from the model's file run.", "--trust")] = False

"""The options of `shiftproof audit`, grouped as its help shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def _in(panel: str, text: str, *names: str, metavar: str | None = None) -> Any:
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
    _in(WHAT, "Shifts, by name as in `shiftproof protocols ls`, or FILE.toml:NAME; repeatable.",
        "--protocol", metavar="NAME"),
]  # fmt: skip
Border = Annotated[
    str | None,
    _in(WHAT, "What comes in from outside: zeros, edge, reflect, circular or scene.", metavar="NAME"),
]
Limit = Annotated[int | None, _in(WHAT, "Use so many images, drawn at random.")]
Precision = Annotated[
    float | None, _in(WHAT, "Stop as soon as the agreement is known to ± this, for example 0.005.")
]
Seed = Annotated[int, _in(WHAT, "Source of every random choice.")]
MaxBad = Annotated[float, _in(WHAT, "Largest share of files that may be skipped.")]
Confidence = Annotated[float, _in(WHAT, "Nominal coverage of the intervals.")]
Method = Annotated[str, _in(WHAT, "direct (every shift by itself), dense (all at once, where exact), auto.")]
AllowNoise = Annotated[
    bool,
    _in(WHAT, "Go on where answers change as much without a shift as under shifts.", "--allow-noise"),
]

Mean = Annotated[str | None, _in(MODEL, "Subtracted from the scaled image: one number, or one per channel.")]
Std = Annotated[str | None, _in(MODEL, "Divides the image after that.")]
Scale = Annotated[float | None, _in(MODEL, "Factor on images in [0, 1], for example 255.")]
Size = Annotated[
    str | None, _in(MODEL, "Size that the model takes, PX or HxW.", "--size", "--crop", metavar="PX")
]
Resize = Annotated[int | None, _in(MODEL, "Short side before the centre is cut out.", metavar="PX")]
Channels = Annotated[int | None, _in(MODEL, "Channels that the model takes.")]
ChannelsLast = Annotated[
    bool | None, _in(MODEL, "Order of the axes that the model takes.", "--channels-last/--channels-first")
]
Logits = Annotated[str | None, _in(MODEL, "Which part of an answer holds the logits.", metavar="INDEX|NAME")]
ClassNames = Annotated[
    Path | None, _in(MODEL, "Text file with one class name per line, in the order of the logits.")
]
Weights = Annotated[Path | None, _in(MODEL, "Weights to put into the model, a .safetensors file.")]
Arguments = Annotated[
    list[str] | None,
    _in(MODEL, "Argument of the function that builds the model; repeatable.", "--model-arg",
        metavar="KEY=VALUE"),
]  # fmt: skip
Untrained = Annotated[bool, _in(MODEL, "Random weights in place of the published ones.", "--untrained")]
Trust = Annotated[bool, _in(MODEL, "Let code from the model's file run.", "--trust")]

Gates = Annotated[
    list[str] | None,
    _in(GATES, "Demand such as 'agreement@4>=0.98', judged on the interval; repeatable.", "--gate",
        metavar="TEXT"),
]  # fmt: skip
Baseline = Annotated[
    Path | None, _in(GATES, "Run directory that this run must not be worse than.", metavar="RUN")
]
Margin = Annotated[float, _in(GATES, "By how much it may be worse.")]
Inconclusive = Annotated[
    str,
    _in(GATES, "What an interval across the threshold means: exit code 3 (undecided), pass or fail."),
]

Out = Annotated[Path | None, _in(RUN, "Run directory; by default a new one in runs/.", metavar="DIR")]
Figures = Annotated[
    bool, _in(RUN, "Draw maps and curves as SVG into the folder figures of the run directory.", "--figures")
]
Fresh = Annotated[bool, _in(RUN, "Compute everything again.", "--fresh")]
Device = Annotated[str, _in(RUN, "auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[int | None, _in(RUN, "Images at a time; halved when memory runs out.")]
Threads = Annotated[int | None, _in(RUN, "Batches at a time on a CPU; default: the cores.")]
DryRun = Annotated[bool, _in(RUN, "Print what would be computed, and for how long.", "--dry-run")]
Json = Annotated[bool, _in(RUN, "Print one JSON document on stdout.", "--json")]
Quiet = Annotated[bool, _in(RUN, "Show no progress.", "--quiet", "-q")]

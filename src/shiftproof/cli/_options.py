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
        metavar="DATA", help="A folder of images, with or without one subfolder per class; list.csv; x.npz; "
        "scan.tif; '{000..003}.tar'; x.parquet; s3://BUCKET/FOLDER; idx:FOLDER; or demo:mnist. See "
        "`shiftproof data ls`.",
    ),
]  # fmt: skip

Protocols = Annotated[
    list[str] | None,
    option(WHAT, "Shift protocol, a name from `shiftproof protocols ls` or FILE.toml:NAME; repeatable.",
        "--protocol", metavar="NAME"),
]  # fmt: skip
Border = Annotated[
    str | None,
    option(
        WHAT,
        "How the area beyond the image is filled: zeros, edge, reflect, circular or scene.",
        metavar="NAME",
    ),
]
Limit = Annotated[int | None, option(WHAT, "Number of images to use, drawn at random.")]
Precision = Annotated[
    float | None, option(WHAT, "Stop once the agreement is known to within ± this, for example 0.005.")
]
Seed = Annotated[int, option(WHAT, "Seed of all random choices.")]
MaxBad = Annotated[float, option(WHAT, "Largest share of files that may be skipped.")]
Confidence = Annotated[float, option(WHAT, "Confidence level of the intervals.")]
Method = Annotated[
    str, option(WHAT, "direct (each shift separately), dense (all shifts at once, where exact) or auto.")
]
AllowNoise = Annotated[
    bool,
    option(
        WHAT, "Go on even if predictions change as much without a shift as under shifts.", "--allow-noise"
    ),
]

Gates = Annotated[
    list[str] | None,
    option(GATES, "Requirement such as 'agreement@4>=0.98', judged on the interval; repeatable.", "--gate",
        metavar="TEXT"),
]  # fmt: skip
StopWhenDecided = Annotated[
    bool,
    option(GATES, "Stop as soon as every gate is decided; all looks together err no more often than one.",
        "--stop-when-decided"),
]  # fmt: skip
Baseline = Annotated[
    str | None, option(GATES, "Run directory that this run must not be worse than.", metavar="RUN")
]
Margin = Annotated[float, option(GATES, "By how much it may be worse.")]
Inconclusive = Annotated[
    str,
    option(
        GATES, "How to treat an interval that contains the threshold: undecided (exit code 3), pass or fail."
    ),
]

Out = Annotated[
    str | None,
    option(
        RUN,
        "Run directory, a folder or an address such as s3://bucket/run; by default a new one in runs/.",
        metavar="DIR",
    ),
]
Figures = Annotated[
    bool,
    option(
        RUN, "Draw maps and curves as SVG files, in the folder figures of the run directory.", "--figures"
    ),
]
Pictures = Annotated[
    bool,
    option(RUN, "Keep the worst images, small, in the record, for the report.", "--pictures/--no-pictures"),
]
Html = Annotated[Path | None, option(RUN, "Also write a report in HTML to this file.", metavar="FILE")]
Fresh = Annotated[bool, option(RUN, "Recompute everything.", "--fresh")]
Device = Annotated[
    str, option(RUN, "auto, cpu, cuda, cuda:N or mps; cuda:0,cuda:1 for a worker on each.", metavar="NAME,…")
]
OneDevice = Annotated[str, option(RUN, "auto, cpu, cuda, cuda:N or mps.")]
BatchSize = Annotated[int | None, option(RUN, "Batch size; halved when memory runs out.")]
Threads = Annotated[
    int | None,
    option(RUN, "Batches in parallel on a CPU; default: the number of cores, or 1 for each worker of Ray."),
]
Decoders = Annotated[
    int, option(RUN, "Processes that decode image files ahead of the model; for a GPU that waits for images.")
]
DryRun = Annotated[bool, option(RUN, "Print what would be computed and how long it would take.", "--dry-run")]


@dataclass(frozen=True)
class Shown:
    """How a command shows what it does: options of every command."""

    as_json: Annotated[bool, option(RUN, "Print one JSON document to stdout.", "--json")] = False
    quiet: Annotated[bool, option(RUN, "Do not show progress.", "--quiet", "-q")] = False


@dataclass(frozen=True)
class EngineOptions:
    """Where units are computed: options of every command that has some."""

    engine: Annotated[
        str,
        option(
            RUN,
            "local, or ray:HOST:PORT for a Ray cluster; ray alone: that of RAY_ADDRESS, or one started here.",
            metavar="NAME",
        ),
    ] = "local"
    gpus_per_worker: Annotated[
        float | None,
        option(RUN, "GPUs of each worker of Ray; 0.25 has four of them share one.", metavar="NUMBER"),
    ] = None


@dataclass(frozen=True)
class ReadingOptions:
    """What a source of images does not say itself: options of every command that reads images."""

    root: Annotated[
        Path | None,
        option(
            WHAT, "Folder that paths in list.csv are relative to, or that links may lead to.", metavar="DIR"
        ),
    ] = None
    path_column: Annotated[
        str | None, option(WHAT, "Column of list.csv with the paths; else path or filename.", metavar="NAME")
    ] = None
    label_column: Annotated[
        str | None, option(WHAT, "Column of list.csv with the labels; else label or class.", metavar="NAME")
    ] = None
    window: Annotated[
        str | None,
        option(
            WHAT,
            "Values of black and white in images of more than 8 bits, for example 0,4095.",
            metavar="LOW,HIGH",
        ),
    ] = None


@dataclass(frozen=True)
class ModelOptions:
    """What is known of a model beside its reference: options of every command that loads one."""

    mean: Annotated[
        str | None, option(MODEL, "Mean to subtract from the scaled image: one number, or one per channel.")
    ] = None
    std: Annotated[
        str | None, option(MODEL, "Standard deviation to divide by: one number, or one per channel.")
    ] = None
    scale: Annotated[float | None, option(MODEL, "Factor for images in [0, 1], for example 255.")] = None
    size: Annotated[
        str | None,
        option(MODEL, "Input size of the model, PX or HxW.", "--size", "--crop", metavar="PX"),
    ] = None
    resize: Annotated[
        int | None, option(MODEL, "Length of the short side before the centre crop.", metavar="PX")
    ] = None
    fit: Annotated[
        str | None,
        option(
            MODEL,
            "For images of another aspect ratio: crop (the centre), squash or letterbox (with bars).",
            metavar="WAY",
        ),
    ] = None
    fill: Annotated[
        str | None,
        option(MODEL, "Colour of the letterbox bars: 0 to 255, or R,G,B; 0 by default.", metavar="BYTE"),
    ] = None
    channels: Annotated[int | None, option(MODEL, "Input channels of the model.")] = None
    bgr: Annotated[
        bool | None,
        option(MODEL, "Channel order of the model, and of --mean and --std.", "--bgr/--rgb"),
    ] = None
    channels_last: Annotated[
        bool | None,
        option(MODEL, "Axis order of the model: NHWC or NCHW.", "--channels-last/--channels-first"),
    ] = None
    logits: Annotated[
        str | None, option(MODEL, "Which part of the model's output holds the logits.", metavar="INDEX|NAME")
    ] = None
    task: Annotated[
        str | None,
        option(
            MODEL,
            "What the model answers: single-label, binary, multi-label or embedding; inferred by default.",
            metavar="NAME",
        ),
    ] = None
    outputs: Annotated[
        str | None,
        option(MODEL, "What its numbers are: logits or probabilities; inferred by default.", metavar="NAME"),
    ] = None
    threshold: Annotated[
        str | None,
        option(
            MODEL,
            "Probability above which an answer is positive, or a label is there; 0.5 by default. One for "
            "all, one for each label (0.5,0.3,…), or a CSV file with the columns label,threshold.",
            metavar="P|P,P,…|FILE",
        ),
    ] = None
    class_names: Annotated[
        Path | None, option(MODEL, "Text file with one class name per line, in the order of the logits.")
    ] = None
    weights: Annotated[Path | None, option(MODEL, "Weights to load into the model, a .safetensors file.")] = (
        None
    )
    model_arg: Annotated[
        list[str] | None,
        option(MODEL, "Argument of the function that builds the model; repeatable.", metavar="KEY=VALUE"),
    ] = None
    untrained: Annotated[
        bool, option(MODEL, "Random weights instead of the published ones.", "--untrained")
    ] = False
    trust: Annotated[bool, option(MODEL, "Allow code in the model's file to run.", "--trust")] = False

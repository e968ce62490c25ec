"""`shiftproof fix`: a better model, and what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shiftproof.cli import _options as o
from shiftproof.cli._figures import check_drawable
from shiftproof.cli._groups import grouped
from shiftproof.cli._output import messages, print_json, results, run_directory, stoppable
from shiftproof.cli._request import engine_request, model_request, reading_request

if TYPE_CHECKING:
    from shiftproof.engine import Run
    from shiftproof.fix import Fixed, LessonProgress

HELP = (
    "Find what to edit in a model so that it keeps its answers when the image moves, and what that costs.\n\n"
    "Edits that fit are made in copies; the better half is tried on ever more images, with training where "
    "--epochs says so. The table is measured on images that nothing was chosen by. The run directory holds "
    "the chosen model: `fixed:DIR` names it.\n\n"
    "Stop it at any time: the same command goes on with what was trained."
)
EDITS, TRAINING = "What to try", "Training"
# Options on which nothing depends but the time.
NOT_IN_RESULTS = ("decoders", "threads", "reading", "engine", "gpus_per_worker")


Protocol = Annotated[str, o.option(EDITS, "Shifts, by name as in `shiftproof protocols ls`.", metavar="NAME")]
Edits = Annotated[
    str | None,
    o.option(
        EDITS,
        "Only these edits, with commas between, or + between those that are made together; options and "
        "layers in brackets; see `shiftproof edits ls`.",
        metavar="NAMES",
    ),
]
Budget = Annotated[
    str | None,
    o.option(EDITS, "How many times as long as the original it may take, such as 1.2x.", metavar="FACTOR"),
]
CleanMargin = Annotated[
    float, o.option(EDITS, "By how much less often it may be right about images as they are.")
]
Epochs = Annotated[int, o.option(TRAINING, "Passes over the training images; 0: no training.")]
Unlabelled = Annotated[
    bool,
    o.option(
        TRAINING, "Learn from the original's answers averaged over shifts also where there are labels.",
        "--unlabelled",
    ),
]  # fmt: skip
LearningRate = Annotated[float, o.option(TRAINING, "Highest learning rate of AdamW.")]
BatchSize = Annotated[int, o.option(TRAINING, "Images a step.")]
Consistency = Annotated[
    float, o.option(TRAINING, "Weight of the divergence between the answers to an image and to its shift.")
]
Onnx = Annotated[bool, o.option(o.RUN, "Also write model.onnx where that can be.", "--onnx/--no-onnx")]
Figure = Annotated[
    Path | None, o.option(o.RUN, "Draw cost and worth as SVG, or PNG by its suffix.", metavar="FILE")
]


@grouped
def fix(
    model: o.Model,
    data: o.Data,
    *,
    protocol: Protocol = "box:4,4,8",
    edits: Edits = None,
    budget: Budget = None,
    clean_margin: CleanMargin = 0.005,
    epochs: Epochs = 0,
    unlabelled: Unlabelled = False,
    learning_rate: LearningRate = 1e-3,
    batch_size: BatchSize = 64,
    consistency: Consistency = 0.0,
    decoders: o.Decoders = 0,
    limit: o.Limit = None,
    seed: o.Seed = 0,
    max_bad: o.MaxBad = 0.01,
    files: o.ReadingOptions,
    confidence: o.Confidence = 0.95,
    described: o.ModelOptions,
    out: o.Out = None,
    onnx: Onnx = True,
    figure: Figure = None,
    fresh: o.Fresh = False,
    device: o.Device = "auto",
    computed: o.EngineOptions,
    threads: o.Threads = None,
    shown: o.Shown,
) -> None:
    """Find what to edit in a model so that it keeps its answers when the image moves, and what that costs."""
    from shiftproof._device import choose_devices
    from shiftproof.adapters import split_edits
    from shiftproof.engine import Channel
    from shiftproof.fix import FixOptions
    from shiftproof.fix import fix as fix_model

    if figure is not None:
        check_drawable("--figure")
    request = model_request(described)
    options: dict[str, Any] = {
        "protocol": protocol,
        "edits": None if edits is None else split_edits(edits),
        "budget": _factor(budget),
        "clean_margin": clean_margin,
        "epochs": epochs,
        "unlabelled": unlabelled,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "consistency": consistency,
        "decoders": decoders,
        "limit": limit,
        "seed": seed,
        "confidence": confidence,
        "device": device,
        "engine": computed.engine,
        "gpus_per_worker": computed.gpus_per_worker,
        "threads": threads,
        "max_bad": max_bad,
        "reading": reading_request(files),
    }
    # What is wrong is said before anything is written.
    FixOptions(**options)
    engine_request(computed, choose_devices(device), None)
    said = {name: value for name, value in options.items() if name not in NOT_IN_RESULTS}
    said["device"] = device.partition(",")[0]
    config = {
        "model": model,
        "data": data,
        "options": said | {"edits": edits, "reading": str(options["reading"])},
    }
    with run_directory("fix", config, out=out, fresh=fresh) as run, stoppable() as stop:
        networks = run.folder / "networks"
        if fresh:
            for path in networks.glob("*.safetensors"):
                path.unlink()
        found = fix_model(
            model,
            data,
            request=request,
            checkpoints=networks if epochs else None,
            on_step=(lambda step: None) if shown.quiet else _say,
            on_progress=(lambda name, progress: None) if shown.quiet else _train,
            check_stop=Channel(lambda progress: None, stop.is_set).check_stop,
            **options,
        )
        _write(found, run.folder, onnx)
        run.write_report(found.record.to_json())
    if figure is not None:
        _draw(found, figure)
    _show(found, run, shown.as_json)


def _factor(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text.removesuffix("x").removesuffix("×"))
    except ValueError:
        raise typer.BadParameter("a factor such as 1.2x", param_hint="--budget") from None


def _write(found: Fixed, folder: Path, onnx: bool) -> None:
    from shiftproof._files import write_atomically
    from shiftproof.fix import exported
    from shiftproof.report import fix_markdown, write_html

    found.save(folder)
    write_html(folder, found.record)
    write_atomically(folder / "report.md", fix_markdown(found.record))
    if onnx:
        reason = exported(found.model, found.image_shape, folder / "model.onnx")
        if reason is not None:
            messages.print(f"No model.onnx: {reason}", soft_wrap=True, markup=False)


def _draw(found: Fixed, path: Path) -> None:
    from shiftproof._figures import image_bytes
    from shiftproof._files import write_atomically

    write_atomically(path, image_bytes(found.plot()[0], "png" if path.suffix.lower() == ".png" else "svg"))
    messages.print(f"Figure: {path}", soft_wrap=True, markup=False)


def _say(step: str) -> None:
    messages.print(f"{step} …", soft_wrap=True, markup=False)


def _train(name: str, progress: LessonProgress) -> None:
    messages.print(
        f"{name}: step {progress.step:,} of {progress.n_steps:,}, loss {progress.loss:.4f}; "
        f"about {_time_left(progress.seconds_left)} left for all trainings",
        soft_wrap=True,
        markup=False,
    )


def _time_left(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _show(found: Fixed, run: Run, as_json: bool) -> None:
    from shiftproof.report import print_fix

    if as_json:
        print_json(found.to_json())
        return
    print_fix(found.record, results)
    results.print(f"Model: fixed:{run.where()}", soft_wrap=True, markup=False)

"""What `shiftproof fix` reaches with training, on digits and on clothes, and what is proved.

python -m benchmarks.fixing [PART ...]

Time is that of the processor, on one thread. How much is trained follows from it: as much as two short
trials say fits into a tenth of the time of the original's own training. The network for clothes is trained
here first, for as many epochs as the article's, which takes half an hour of one thread.
"""

from __future__ import annotations

import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shiftproof._device import describe_environment
from shiftproof._threads import one_thread_per_operation, worker_pool
from shiftproof.adapters import as_classifier
from shiftproof.certify import certify
from shiftproof.data import LabelledImages, load_data
from shiftproof.edits import apply_edit
from shiftproof.fix import Fixed, Lesson, Student, Teaching, fix
from shiftproof.layers import GlobalMeanPool, conv2d
from shiftproof.shifts import find_protocol
from shiftproof.train import Recipe, fit
from shiftproof.zoo import Network, build_network, load_trained

RESULT = Path(__file__).parent / "results" / "fixing.json"
FASHION = "idx:/usr/share/datasets/fashion-mnist"
LEARNING_RATE = 5e-4
ARTICLE_EPOCHS = 100
# What a fix may take of the time of the original's own training.
SHARE_OF_TIME = 0.1
# Images of two trials, from which the time of a longer training follows.
TRIALS = (4_000, 12_000)
TRAINED = Path("runs") / "fixing"


def cpu_seconds(task: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    done = task()
    return done, time.process_time() - start


def seconds_of_an_epoch(training: LabelledImages) -> float:
    """What the original's own training takes for an epoch, on one thread."""
    network = build_network("cnn2", input_scale=255)
    few = training.head(6000)
    _, seconds = cpu_seconds(lambda: fit(network, few, Recipe(epochs=1)))
    return seconds * len(training) / len(few)


def fixed(
    network: Network, training: LabelledImages, test: LabelledImages, epochs: int, *, unlabelled: bool
) -> Fixed:
    return fix(
        network,
        test,
        training=training,
        protocol="article-large",
        edits=["max-blur-pool", "composer-blurpool"],
        epochs=epochs,
        learning_rate=LEARNING_RATE,
        unlabelled=unlabelled,
        threads=1,
        device="cpu",
        on_step=print,
    )


def lesson_for(seconds: float, times: Sequence[float], n_images: int) -> tuple[int, int]:
    """Images and epochs that take so many seconds, from what a fix took with each of `TRIALS`.

    At least as many images as the smaller trial had.
    """
    pace = (times[1] - times[0]) / (TRIALS[1] - TRIALS[0])
    affordable = int((seconds - times[0]) / pace) + TRIALS[0]
    if affordable >= n_images:
        return n_images, affordable // n_images
    return max(TRIALS[0], affordable // 1000 * 1000), 1


def trained(network: Network, training: LabelledImages, test: LabelledImages) -> dict[str, Any]:
    """A network fixed with labels and without, in a tenth of the time of its own training."""
    total = seconds_of_an_epoch(training) * ARTICLE_EPOCHS
    parts: dict[str, Any] = {
        "epochs_of_the_original": ARTICLE_EPOCHS,
        "cpu_seconds_of_the_original": round(total, 1),
    }
    for name, unlabelled in (("labelled", False), ("unlabelled", True)):
        trials = [
            cpu_seconds(lambda: fixed(network, training.head(n), test, 1, unlabelled=unlabelled))[1]  # noqa: B023
            for n in TRIALS
        ]
        n_images, epochs = lesson_for(SHARE_OF_TIME * total, trials, len(training))
        print(name, "trials", trials, "→", n_images, "images", epochs, "epochs", flush=True)
        found, seconds = cpu_seconds(
            lambda: fixed(network, training.head(n_images), test, epochs, unlabelled=unlabelled)  # noqa: B023
        )
        parts[name] = {
            "cpu_seconds": round(seconds, 1),
            "cpu_seconds_of_trials": {str(n): round(s, 1) for n, s in zip(TRIALS, trials, strict=True)},
            "record": found.record.to_dict(),
        }
        print(name, found, f"{seconds:.0f} s", flush=True)
    return parts


def mnist() -> dict[str, Any]:
    """The article's network as it comes trained."""
    training, test = load_data("mnist", "train"), load_data("mnist", "test")
    return trained(load_trained("cnn2"), training, test)


def fashion() -> dict[str, Any]:
    """The same network, trained here on Fashion-MNIST; what was trained before is kept in `TRAINED`."""
    training, test = load_data(FASHION, "train"), load_data(FASHION, "test")
    TRAINED.mkdir(parents=True, exist_ok=True)
    network = build_network("cnn2", input_scale=255)
    with worker_pool(1) as pool:
        fit(
            network,
            training,
            Recipe(epochs=ARTICLE_EPOCHS),
            pool=pool,
            checkpoint=TRAINED / "fashion.safetensors",
            on_progress=lambda at: print(at.epoch, at.loss, flush=True) if at.epoch_done else None,
        )
    return trained(network, training, test)


def circle() -> dict[str, Any]:
    """A network on a circle with a global head: what is proved with its strides, and with adaptive ones."""
    torch.manual_seed(0)
    network = nn.Sequential(
        OrderedDict(
            conv1=conv2d(1, 16, 3, border="circular"),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=conv2d(16, 32, 3, border="circular"),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            mean=GlobalMeanPool(),
            head=nn.Linear(32, 10),
        )
    ).eval()
    edited = apply_edit(network, "aps").module
    proved = {"original": certificate(network), "aps": certificate(edited)}
    teaching = Teaching(
        load_data("mnist", "train").head(20_000), as_classifier(edited), True, find_protocol("circular:8"),
        Lesson(epochs=1), torch.device("cpu"),
    )  # fmt: skip
    Student(edited, teaching).advance(teaching.n_steps)
    return proved | {"aps, trained": certificate(edited)}


def certificate(network: nn.Module) -> dict[str, Any]:
    found = certify(network, (1, 28, 28))
    return {"headline": str(found).partition("\n")[0], "record": found.to_dict()}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "circle": circle,
    "mnist": mnist,
    "fashion": fashion,
}


def main() -> None:
    record = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    with one_thread_per_operation():
        for name in sys.argv[1:] or PARTS:
            record[name] = PARTS[name]() | {
                "environment": describe_environment(torch.device("cpu")),
                "measured": f"{datetime.now(UTC):%Y-%m-%d}",
            }
            RESULT.write_text(json.dumps(record, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

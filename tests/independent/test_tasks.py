"""`audit` of the other kinds of answers: yes or no, several labels, embeddings, recomputed from definitions.

Shares no code with the product. The models are files of the user's own around trained weights: the digits
of two classes told apart by one logit, three labels of a digit, and the last hidden layer as an embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from sklearn.metrics import average_precision_score
from tests.independent.conftest import Command
from tests.independent.plain import PACKAGE, batch_of, cnn2, digits, moved, packaged
from torch import Tensor
from torch.nn.functional import conv2d, linear, max_pool2d

Bytes = npt.NDArray[np.integer[Any]]

RADIUS = 2
STEPS = range(-RADIUS, RADIUS + 1)
SHIFTS = [(dy, dx) for dy in STEPS for dx in STEPS]
OTHERS = [shift for shift in SHIFTS if shift != (0, 0)]
LABELS = {"even": (0, 2, 4, 6, 8), "loop": (0, 6, 8, 9), "small": (0, 1, 2, 3, 4)}
MODEL = """
import torch
from safetensors.torch import load_file
from torch.nn.functional import conv2d, linear, max_pool2d

WEIGHTS = {{k.removeprefix("network/body."): v.float() for k, v in load_file({path!r}).items()
           if k.startswith("network/body.")}}

class Model(torch.nn.Module):
    def forward(self, images):
        w, maps = WEIGHTS, 255 * images
        for n in ("1", "2"):
            maps = max_pool2d(conv2d(maps, w[f"conv{{n}}.weight"], w[f"conv{{n}}.bias"]).relu(), 2)
        hidden = linear(maps.flatten(1), w["dense1.weight"], w["dense1.bias"]).relu()
        z = linear(hidden, w["head.weight"], w["head.bias"])
        return {answer}

def build():
    return Model().eval()
"""


def model_file(folder: Path, answer: str) -> str:
    path = str(PACKAGE / "zoo" / "trained" / "cnn2.safetensors")
    (folder / "model.py").write_text(MODEL.format(path=path, answer=answer))
    return f"{folder / 'model.py'}:build"


def asked(command: Command, folder: Path, answer: str, data: Path, *words: str) -> dict[str, Any]:
    """The one protocol of the record of an audit, and its task."""
    model = model_file(folder, answer)
    record = command(
        "audit", model, str(data), "--trust", "--channels", "1", "--size", "28",
        "--protocol", f"grid:{RADIUS}", "--quiet", "--device", "cpu", "--out", str(folder / "run"), *words,
    )  # fmt: skip
    (found,) = record["protocols"]
    return {"task": record["task"]["name"], **{k: v.get("value") for k, v in found["estimates"].items()}}


def seen(images: Bytes) -> dict[tuple[int, int], Tensor]:
    """Each image, as bytes (N, 28, 28), under each shift, as the network is shown it."""
    return {
        shift: 255 * batch_of(np.stack([moved(each / 255, *shift) for each in images])) for shift in SHIFTS
    }


def write(folder: Path, images: Bytes, names: list[str]) -> None:
    for image, name in zip(images, names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)


def test_yes_or_no(command: Command, tmp_path: Path) -> None:
    """Fours and nines, told apart by one logit."""
    images, labels = (part[:600] for part in digits("test"))
    rows = np.flatnonzero(np.isin(labels, (4, 9)))
    images, is_nine = images[rows], labels[rows] == 9
    names = [f"{'nine' if nine else 'four'}/{n:03d}.png" for n, nine in enumerate(is_nine)]
    write(tmp_path / "data", images, names)
    found = asked(command, tmp_path, "z[:, 9:10] - z[:, 4:5]", tmp_path / "data")
    assert found["task"] == "binary"

    weights = packaged("cnn2")
    logits = {s: (z := cnn2(weights, x))[:, 9] - z[:, 4] for s, x in seen(images).items()}
    yes = {shift: (logit > 0).numpy() for shift, logit in logits.items()}
    chance = {shift: logit.sigmoid().numpy() for shift, logit in logits.items()}
    still = yes[0, 0]
    same = np.stack([yes[shift] == still for shift in OTHERS])
    right = np.stack([yes[shift] == is_nine for shift in OTHERS])
    expected = {
        "clean-accuracy": (still == is_nine).mean(),
        "agreement": same.mean(),
        "worst-case-agreement": same.all(0).mean(),
        "kept-when-right": right[:, still == is_nine].mean(),
        "mean-abs-change": np.mean([abs(chance[shift] - chance[0, 0]) for shift in OTHERS]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert expected["agreement"] < 1, "some answer changes"


def test_several_labels(command: Command, tmp_path: Path) -> None:
    """Whether a digit is even, has a loop, is small: the largest logit of those, less that of the others."""
    images, labels = (part[:80] for part in digits("test"))
    truth = np.stack([np.isin(labels, members) for members in LABELS.values()], 1)
    names = [f"{n:03d}.png" for n in range(len(images))]
    write(tmp_path / "data", images, names)
    lines = [
        f"{name},{'|'.join(label for label, there in zip(LABELS, row, strict=True) if there)}"
        for name, row in zip(names, truth, strict=True)
    ]
    table = tmp_path / "data" / "list.csv"
    table.write_text("path,labels\n" + "\n".join(lines) + "\n")
    rest = {label: tuple(set(range(10)) - set(members)) for label, members in LABELS.items()}
    parts = [f"z[:, {list(m)}].amax(1) - z[:, {list(rest[name])}].amax(1)" for name, m in LABELS.items()]
    found = asked(command, tmp_path, f"torch.stack([{', '.join(parts)}], 1)", table)
    assert found["task"] == "multi-label"

    weights = packaged("cnn2")
    logits = {}
    for shift, shown in seen(images).items():
        z = cnn2(weights, shown)
        logits[shift] = torch.stack(
            [z[:, m].amax(1) - z[:, list(rest[name])].amax(1) for name, m in LABELS.items()], 1
        ).numpy()
    there = {shift: values > 0 for shift, values in logits.items()}
    still = there[0, 0]
    same = np.stack([(there[shift] == still).all(1) for shift in OTHERS])
    # Ranked by logits: of those above 17 the probabilities in single precision are all 1.
    precision = {
        shift: np.mean([average_precision_score(truth[:, k], scores[:, k]) for k in range(len(LABELS))])
        for shift, scores in logits.items()
    }
    assert max(scores.max() for scores in logits.values()) > 17
    expected = {
        "clean-accuracy": (still == truth).all(1).mean(),
        "agreement": same.mean(),
        "worst-case-agreement": same.all(0).mean(),
        "label-flip-rate": np.mean([there[shift] != still for shift in OTHERS]),
        "clean-average-precision": precision[0, 0],
        "average-precision": np.mean([precision[shift] for shift in SHIFTS]),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert expected["label-flip-rate"] > 0, "some label comes or goes"


def test_embeddings(command: Command, tmp_path: Path) -> None:
    """A hundred numbers for each digit: do they turn, and does it keep its neighbours among the others?"""
    images, _ = (part[:50] for part in digits("test"))
    write(tmp_path / "data", images, [f"{n:03d}.png" for n in range(len(images))])
    found = asked(command, tmp_path, "hidden", tmp_path / "data", "--task", "embedding")

    weights = packaged("cnn2")
    vectors = {}
    for shift, shown in seen(images).items():
        maps = shown
        for n in ("1", "2"):
            maps = max_pool2d(conv2d(maps, weights[f"conv{n}.weight"], weights[f"conv{n}.bias"]).relu(), 2)
        hidden = linear(maps.flatten(1), weights["dense1.weight"], weights["dense1.bias"]).relu()
        vectors[shift] = (hidden / hidden.norm(dim=1, keepdim=True)).numpy()
    still, every = vectors[0, 0], np.arange(len(images))
    nearest = {}
    for shift, each in vectors.items():
        likeness = each @ still.T
        likeness[every, every] = -np.inf  # itself is no neighbour
        nearest[shift] = np.argsort(-likeness, 1)[:, :10]
    before = nearest[0, 0]
    same = np.stack([nearest[shift][:, 0] == before[:, 0] for shift in OTHERS])
    shared = [len(set(a) & set(b)) / 10 for s in OTHERS for a, b in zip(nearest[s], before, strict=True)]
    expected = {
        "cosine": np.mean([(vectors[shift] * still).sum(1) for shift in OTHERS]),
        "agreement": same.mean(),
        "worst-case-agreement": same.all(0).mean(),
        "neighbour-overlap": np.mean(shared),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert 0.2 < expected["neighbour-overlap"] < 1

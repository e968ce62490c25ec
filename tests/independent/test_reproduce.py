"""`reproduce`: the three test sets of the article, drawn again, and the accuracies on them; and its curve.

Shares no code with the product: the digits and the trained weights come from their bytes, the shifts from
OpenCV, the networks from torch's functions, the intervals from SciPy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.stats import beta
from tests.independent.plain import (
    PACKAGE,
    SETS,
    Weights,
    batch_of,
    cnn2,
    dense_nn,
    digits,
    packaged,
    seed_for,
    undecided,
    uniform,
    warped,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

pytestmark = pytest.mark.slow

RAW = 255.0  # the article does not divide the bytes


@pytest.mark.parametrize(("row", "network"), [("cnn2", cnn2), ("dense-nn", dense_nn)])
def test_shifted_sets_and_accuracies(
    reproduced: Any, row: str, network: Callable[[Weights, Tensor], Tensor]
) -> None:
    (found,) = (each for each in reproduced["table"]["rows"] if each["name"] == row)
    cells = {cell["protocol"]: cell for cell in found["cells"]}
    assert cells.keys() == SETS.keys()
    weights = {name: each.float() for name, each in packaged(row).items()}
    assert found["n_parameters"] == sum(each.numel() for each in weights.values())

    images, labels = digits("test")
    n = len(images)
    answers = {}
    for protocol, reach_px in SETS.items():
        offsets_px = (2 * uniform(protocol, n, 1)[:, 0] - 1) * reach_px
        shown = RAW * batch_of(warped(images / 255, offsets_px)).float()
        logits = torch.cat([network(weights, batch) for batch in torch.split(shown, 500)])
        answers[protocol] = logits.argmax(1).numpy()
        assert undecided(logits) <= 5

        accuracy = cells[protocol]["metrics"]["accuracy"]
        right = np.mean(answers[protocol] == labels)
        assert accuracy["value"] == pytest.approx(right, abs=undecided(logits) / n)
        k = round(accuracy["value"] * n)
        ends = (beta.ppf(0.025, k + 0.25, n - k + 0.75), beta.ppf(0.975, k + 0.75, n - k + 0.25))
        assert (accuracy["low"], accuracy["high"]) == pytest.approx(ends)
        assert accuracy["n_images"] == n
        if protocol != "article-none":
            same = np.mean(answers[protocol] == answers["article-none"])
            agreement = cells[protocol]["metrics"]["agreement"]["value"]
            assert agreement == pytest.approx(same, abs=2 * undecided(logits) / n)


@pytest.mark.slow
def test_the_first_epoch_of_the_recorded_training() -> None:
    """From scratch, in plain torch: initial weights as Keras draws them, order, Adam in its plain form."""
    with safe_open(PACKAGE / "zoo" / "trained" / "cnn2.safetensors", framework="pt") as file:
        recorded = json.loads(file.metadata()["shiftproof"])["history"][0]
    generator = torch.Generator().manual_seed(seed_for(0, "initial weights"))
    body = nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(20, 40, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(640, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip
    for layer in body:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            layer.bias.data.zero_()  # type: ignore[union-attr]
    adam = torch.optim.Adam(body.parameters(), lr=1e-4, eps=1e-7, fused=False, foreach=False)
    images, labels = (torch.from_numpy(part.copy()) for part in digits("train"))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed_for(0, "order", 1)))
    loss_sum, n_right = 0.0, 0
    for batch in torch.split(order, 128):
        logits = body(images[batch, None].float())
        loss = cross_entropy(logits, labels[batch])
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        loss_sum += float(loss.detach()) * len(batch)
        n_right += int((logits.argmax(1) == labels[batch]).sum())
    assert loss_sum / len(images) == pytest.approx(recorded["loss"], rel=0.002)
    assert n_right / len(images) == pytest.approx(recorded["accuracy"], abs=0.001)

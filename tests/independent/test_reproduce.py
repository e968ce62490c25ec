"""`reproduce` and `study article`: the article's three test sets, drawn again, and the accuracies on them.

Shares no code with the product: the digits come from their bytes, the shifts from OpenCV, the networks from
the weights in the checkpoints and torch's functions, the intervals from SciPy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from tests.independent.conftest import Trained
from tests.independent.plain import (
    PACKAGED,
    SETS,
    Weights,
    batch_of,
    cnn2,
    dense_nn,
    digits,
    undecided,
    uniform,
    warped,
    weights_in,
)
from torch import Tensor

N = 500


NETWORKS = [("cnn2", cnn2), ("dense-nn", dense_nn)]
RAW = 255.0  # the article does not divide the bytes


def logits_on(
    protocol: str, network: Callable[[Weights, Tensor], Tensor], weights: Weights, n_images: int
) -> Tensor:
    """The answers to the first test images of a set, moved by OpenCV."""
    offsets_px = (2 * uniform(protocol, n_images, 1)[:, 0] - 1) * SETS[protocol]
    parts = warped(digits("test")[0][:n_images] / 255, offsets_px)
    return torch.cat([network(weights, RAW * batch_of(part)) for part in np.array_split(parts, 20)])


@pytest.mark.parametrize(("row", "network"), NETWORKS)
def test_the_table_of_the_packaged_networks(
    reproduced: Any, row: str, network: Callable[[Weights, Tensor], Tensor]
) -> None:
    """All 10,000 images: the accuracies that `reproduce` prints follow from the files in the package."""
    (found,) = (each for each in reproduced["table"]["rows"] if each["name"] == row)
    weights, labels = weights_in(PACKAGED / f"{row}.safetensors"), digits("test")[1]
    for cell in found["cells"]:
        logits = logits_on(cell["protocol"], network, weights, len(labels))
        right = (logits.argmax(1).numpy() == labels).mean()
        accuracy = cell["metrics"]["accuracy"]
        assert accuracy["n_images"] == len(labels)
        assert abs(accuracy["value"] - right) <= undecided(logits) / len(labels)


@pytest.mark.parametrize(("row", "network"), NETWORKS)
def test_shifted_sets_and_accuracies(
    article: Trained, row: str, network: Callable[[Weights, Tensor], Tensor]
) -> None:
    (found,) = (each for each in article.printed["rows"] if each["name"] == row)
    cells = {cell["protocol"]: cell for cell in found["cells"]}
    assert cells.keys() == SETS.keys()
    weights = weights_in(article.network(row))
    assert found["n_parameters"] == sum(each.numel() for each in weights.values())

    labels = digits("test")[1][:N]
    answers = {}
    for protocol in SETS:
        logits = logits_on(protocol, network, weights, N)
        answers[protocol] = logits.argmax(1).numpy()
        right = answers[protocol] == labels
        assert right.mean() > 0.2, "something was learned"

        accuracy = cells[protocol]["metrics"]["accuracy"]
        assert abs(accuracy["value"] - right.mean()) <= undecided(logits) / N
        wilson = binomtest(round(accuracy["value"] * N), N).proportion_ci(method="wilson")
        assert (accuracy["low"], accuracy["high"]) == pytest.approx((wilson.low, wilson.high))
        assert accuracy["n_images"] == N
        if protocol != "article-none":
            same = np.mean(answers[protocol] == answers["article-none"])
            agreement = cells[protocol]["metrics"]["agreement"]["value"]
            assert agreement == pytest.approx(same, abs=undecided(logits) / N)

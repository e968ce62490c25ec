"""`reproduce`: the three test sets of the article, drawn again, and the accuracies on them.

Shares no code with the product: the digits come from their bytes, the shifts from OpenCV, the networks from
the weights in the checkpoints and torch's functions, the intervals from SciPy.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binomtest
from tests.independent.conftest import Trained
from tests.independent.plain import (
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


@pytest.mark.parametrize(("row", "network"), [("cnn2", cnn2), ("dense-nn", dense_nn)])
def test_shifted_sets_and_accuracies(
    article: Trained, row: str, network: Callable[[Weights, Tensor], Tensor]
) -> None:
    (found,) = (each for each in article.printed["rows"] if each["name"] == row)
    cells = {cell["protocol"]: cell for cell in found["cells"]}
    assert cells.keys() == SETS.keys()
    weights = weights_in(article.network(row))
    assert found["n_parameters"] == sum(each.numel() for each in weights.values())

    images, labels = (part[:N] for part in digits("test"))
    raw = 255.0  # the article does not divide the bytes
    answers = {}
    for protocol, reach_px in SETS.items():
        offsets_px = (2 * uniform(protocol, N, 1)[:, 0] - 1) * reach_px
        logits = network(weights, raw * batch_of(warped(images / 255, offsets_px)))
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

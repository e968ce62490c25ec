"""`compare`: the paired test of two networks on the same images, by SciPy.

Shares no code with the product: the answers of both networks are computed again from digits and weights;
McNemar's test is a binomial test of the images that one of them alone has right.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, bootstrap, norm
from tests.independent.conftest import Command
from tests.independent.plain import batch_of, cnn2, dense_nn, digits, moved, packaged

pytestmark = pytest.mark.slow

N = 1000
RING = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def test_the_paired_test(command: Command, tmp_path: Path) -> None:
    images, labels = digits("test")
    np.savez(tmp_path / "x.npz", images=images[:N, None], labels=labels[:N])
    for row in ("dense-nn", "cnn2"):
        words = [f"zoo:{row}", str(tmp_path / "x.npz"), "--protocol", "one-pixel"]
        command("audit", *words, "--quiet", "--out", str(tmp_path / row))
    record = command("compare", str(tmp_path / "dense-nn"), str(tmp_path / "cnn2"))
    (protocol,) = record["protocols"]
    rows = {each["metric"]: each for each in protocol["rows"]}

    right, kept = {}, {}
    for row, network in (("dense-nn", dense_nn), ("cnn2", cnn2)):
        weights = packaged(row)
        still = network(weights, 255 * batch_of(images[:N] / 255)).argmax(1).numpy()
        right[row] = still == labels[:N]
        kept[row] = np.zeros(N)
        for shift in RING:
            shown = np.stack([moved(each / 255, *shift) for each in images[:N]])
            answers = network(weights, 255 * batch_of(shown)).argmax(1).numpy()
            kept[row] += (answers == still) / len(RING)

    # One bit an image: clean accuracy.
    found = rows["clean-accuracy"]["difference"]
    gained = int((right["cnn2"] & ~right["dense-nn"]).sum())
    lost = int((right["dense-nn"] & ~right["cnn2"]).sum())
    assert gained + lost > 10, "the networks differ"
    assert found["value"] == pytest.approx((gained - lost) / N)
    assert found["p_value"] == pytest.approx(binomtest(gained, gained + lost).pvalue)
    # Bonett and Price 2012: one image more in each cell, over n + 2.
    p, q = (gained + 1) / (N + 2), (lost + 1) / (N + 2)
    half = norm.ppf(0.975) * np.sqrt((p + q - (p - q) ** 2) / (N + 2))
    assert (found["low"], found["high"]) == pytest.approx((p - q - half, p - q + half))

    # Several shifts an image: agreement. The image is what was sampled, so it is what the bootstrap draws.
    found = rows["agreement"]["difference"]
    change = kept["cnn2"] - kept["dense-nn"]
    assert found["value"] == pytest.approx(change.mean())
    assert rows["agreement"]["second"]["value"] == pytest.approx(kept["cnn2"].mean())
    drawn = bootstrap((change,), np.mean, n_resamples=4000, method="BCa", rng=np.random.default_rng(0))
    width = drawn.confidence_interval.high - drawn.confidence_interval.low
    assert found["low"] == pytest.approx(drawn.confidence_interval.low, abs=0.15 * width)
    assert found["high"] == pytest.approx(drawn.confidence_interval.high, abs=0.15 * width)
    assert (found["p_value"] < 0.05) == (found["low"] > 0 or found["high"] < 0)

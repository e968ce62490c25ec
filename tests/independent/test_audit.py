"""`audit` on a grid, with zeros outside and on a circle: the whole map, one shift at a time.

Shares no code with the product, which computes all shifts of an image at once here; this is a loop over
shifts, with the digits from their bytes and the trained weights from theirs.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.independent.conftest import Command, Trained
from tests.independent.plain import batch_of, cnn2, digits, limited, moved, packaged, weights_in
from tests.independent.test_certify import network

N, RADIUS = 100, 4


def test_the_whole_map(command: Command, tmp_path: Path) -> None:
    words = ["--protocol", f"grid:{RADIUS}", "--limit", str(N), "--method", "dense", "--quiet"]
    record = command("audit", "zoo:cnn2", "demo:mnist", *words, "--out", str(tmp_path / "run"))
    (found,) = record["protocols"]
    assert found["method"] == "dense"

    rows = limited(10_000, N)
    images, labels = (part[rows] for part in digits("test"))
    weights = packaged("cnn2")
    shifts = list(product(range(-RADIUS, RADIUS + 1), repeat=2))
    answers, drift = {}, {}
    unmoved = cnn2(weights, 255 * batch_of(images / 255))
    for shift in shifts:
        logits = cnn2(weights, 255 * batch_of(np.stack([moved(each / 255, *shift) for each in images])))
        answers[shift] = logits.argmax(1).numpy()
        drift[shift] = ((logits - unmoved).norm(dim=1) / unmoved.norm(dim=1)).mean().item()
    still = unmoved.argmax(1).numpy()

    for metric, reference in (("accuracy", labels), ("agreement", still)):
        drawn = {tuple(point["at"]): point["value"] for point in found["by_shift"][metric]["points"]}
        expected = {shift: float((answers[shift] == reference).mean()) for shift in shifts}
        if metric == "agreement":
            del expected[0, 0]  # it has to agree
        assert drawn == pytest.approx(expected), metric
    drawn = {tuple(point["at"]): point["value"] for point in found["by_shift"]["drift"]["points"]}
    assert drawn == pytest.approx({shift: drift[shift] for shift in drawn}, rel=1e-4)
    assert len(drawn) >= len(shifts) - 1

    shifted = np.stack([answers[shift] for shift in shifts if shift != (0, 0)])
    expected_numbers = {
        "clean-accuracy": (still == labels).mean(),
        "agreement": (shifted == still).mean(),
        "worst-case-agreement": (shifted == still).all(0).mean(),
        "kept-when-right": (shifted == labels)[:, still == labels].mean(),
        "worst-case-accuracy": ((shifted == labels).all(0) & (still == labels)).mean(),
    }
    for metric, value in expected_numbers.items():
        assert found["estimates"][metric]["value"] == pytest.approx(value), metric
    assert 0.2 < expected_numbers["agreement"] < 1, "the map has something to show"
    assert torch.isfinite(unmoved).all()


@pytest.mark.parametrize(("name", "adaptive"), [("cnn2-circular", False), ("cnn2-aps", True)])
def test_the_whole_map_on_a_circle(
    name: str, adaptive: bool, circular: Trained, command: Command, tmp_path: Path
) -> None:
    """Networks that repeat themselves after some shifts, of which the product computes one period only."""
    path = circular.network(name)
    words = ["--protocol", f"grid:{RADIUS}", "--border", "circular", "--limit", "40", "--method", "dense"]
    record = command(
        "audit", f"zoo:{name}@{path}", "demo:mnist", *words, "--quiet", "--out", str(tmp_path / "run")
    )
    (found,) = record["protocols"]
    assert found["method"] == "dense"

    rows = limited(10_000, 40)
    images, labels = (part[rows] for part in digits("test"))
    weights, whole = weights_in(path), batch_of(images / 255)
    shifts = list(product(range(-RADIUS, RADIUS + 1), repeat=2))
    logits = {shift: network(weights, whole.roll(shift, (2, 3)), adaptive=adaptive) for shift in shifts}
    still = logits[0, 0]
    drift = {shift: ((each - still).norm(dim=1) / still.norm(dim=1)).mean() for shift, each in logits.items()}
    accuracy = {shift: float((each.argmax(1).numpy() == labels).mean()) for shift, each in logits.items()}
    drawn = {
        metric: {tuple(point["at"]): point["value"] for point in found["by_shift"][metric]["points"]}
        for metric in ("accuracy", "drift")
    }
    assert drawn["accuracy"] == pytest.approx(accuracy)
    assert drawn["drift"] == pytest.approx({shift: float(drift[shift]) for shift in drawn["drift"]}, abs=1e-5)
    moves = [shift for shift in shifts if shift != (0, 0)]
    assert (max(drift[shift] for shift in moves) < 1e-9) == adaptive, "only the strided one changes"
    agreement = np.mean([(logits[s].argmax(1) == still.argmax(1)).double().mean() for s in moves])
    assert found["estimates"]["agreement"]["value"] == pytest.approx(agreement)

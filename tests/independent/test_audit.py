"""`audit` on a grid, with zeros outside and on a circle: the whole map, one shift at a time.

Shares no code with the product, which computes all shifts of an image at once here; this is a loop over
shifts, with the digits from their bytes and the trained weights from theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta
from tests.independent.conftest import Command, Trained
from tests.independent.plain import (
    PACKAGE,
    batch_of,
    cnn2,
    digits,
    limited,
    moved,
    packaged,
    seed_for,
    weights_in,
)
from tests.independent.test_certify import network

pytestmark = pytest.mark.slow

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
    assert_phases(found["by_phase"], answers, still)
    assert_images_that_change(found, answers, still)


Answers = Mapping[tuple[int, ...], np.ndarray[Any, Any]]


def assert_phases(found: Mapping[str, Any], answers: Answers, still: np.ndarray[Any, Any]) -> None:
    """Agreement by phase, over the shifts as far from the origin as a shift of phase (0, 0) is."""
    for stride in (2, 4):
        by_phase: dict[tuple[int, int], list[float]] = {}
        for (dy, dx), there in answers.items():
            if (dy, dx) != (0, 0) and max(abs(dy), abs(dx)) % stride == 0:
                by_phase.setdefault((dy % stride, dx % stride), []).append((there == still).mean())
        points = found[str(stride)]["agreement"]["points"]
        drawn = {tuple(point["at"]): point["value"] for point in points}
        assert drawn == pytest.approx({phase: np.mean(each) for phase, each in by_phase.items()}), stride


def assert_images_that_change(
    found: Mapping[str, Any], answers: Answers, still: np.ndarray[Any, Any]
) -> None:
    """Which images change most often and how far they are moved then, and who changes at each shift."""
    radius = {shift: max(map(abs, shift)) for shift in answers}
    flips = {shift: there != still for shift, there in answers.items()}
    n_flips = sum(each.astype(int) for each in flips.values())
    nearest = [min((radius[s] for s in flips if flips[s][i]), default=np.inf) for i in range(len(still))]
    order = sorted(np.flatnonzero(n_flips).tolist(), key=lambda i: (-n_flips[i], nearest[i], i))
    assert [each["index"] for each in found["worst"]] == order[:10]
    for each in found["worst"]:
        i, (dy, dx) = each["index"], each["flip_offset_px"]
        assert each["share_of_shifts_that_change_it"] == pytest.approx(n_flips[i] / (len(answers) - 1))
        assert each["smallest_flip_px"] == nearest[i] == max(abs(dy), abs(dx))
        assert each["flips_to"] == answers[int(dy), int(dx)][i] != still[i]
    expected = {
        shift: (int(each.sum()), [[i, int(answers[shift][i])] for i in order if each[i]][:6])
        for shift, each in flips.items()
        if each.any()
    }
    assert {tuple(each["at"]): (each["n_images"], each["examples"]) for each in found["changed"]} == expected


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


def beta_interval(n_right: int, n: int, confidence: float) -> tuple[float, float]:
    """Of a share, with a quarter and three quarters of an image added; by SciPy."""
    tail, n_wrong = (1 - confidence) / 2, n - n_right
    return (
        float(beta.ppf(tail, n_right + 0.25, n_wrong + 0.75)),
        float(beta.ppf(1 - tail, n_right + 0.75, n_wrong + 0.25)),
    )


def test_an_audit_that_stops_when_its_gate_is_decided(command: Command, tmp_path: Path) -> None:
    """At 250, 500 and 1,000 images in random order, with 1, 1 and 8 tenths of the error of 5 % in turn."""
    n, looks = 1000, ((250, 0.995), (500, 0.995), (1000, 0.96))
    rows = np.array(limited(10_000, n))
    generator = torch.Generator().manual_seed(seed_for(0, "order of images"))
    images = digits("test")[0][rows[torch.randperm(n, generator=generator).numpy()]]
    weights = packaged("cnn2")
    still, *others = (
        cnn2(weights, 255 * batch_of(np.stack([moved(each / 255, *shift) for each in images]))).argmax(1)
        for shift in sorted(product((-1, 0, 1), repeat=2), key=lambda shift: shift != (0, 0))
    )
    keeps = torch.stack([answer == still for answer in others]).all(0).numpy()
    ends = [beta_interval(int(keeps[:seen].sum()), seen, held) for seen, held in looks]
    # Thresholds that each look, and no earlier one, is sure of; and one that none is.
    gates = {
        ends[0][0] - 0.05: 0,
        (ends[0][1] + 1) / 2: 0,
        (ends[0][0] + ends[1][0]) / 2: 1,
        (ends[1][0] + ends[2][0]) / 2: 2,
        float(keeps.mean()) + 1e-3: None,
    }
    seen_at = []
    for place, (threshold, expected) in enumerate(gates.items()):
        sure = [low >= threshold or high < threshold for low, high in ends]
        first = sure.index(True) if any(sure) else 2
        assert first == (2 if expected is None else expected), "the thresholds are those that were meant"
        passes, fails = ends[first][0] >= threshold, ends[first][1] < threshold
        words = ["--gate", f"worst-case-agreement>={threshold!r}", "--stop-when-decided", "--quiet"]
        record = command(
            "audit", "zoo:cnn2", "demo:mnist", "--limit", str(n), "--protocol", "grid:1", *words,
            "--out", str(tmp_path / str(place)), exits=0 if passes else 1 if fails else 3,
        )  # fmt: skip
        (found,) = record["protocols"]
        n_seen, confidence = looks[first]
        estimate = found["estimates"]["worst-case-agreement"]
        assert (found["n_images"], estimate["n_images"]) == (n_seen, n_seen)
        assert found["confidence"] == pytest.approx(confidence)
        assert estimate["value"] == pytest.approx(keeps[:n_seen].mean())
        assert (estimate["low"], estimate["high"]) == pytest.approx(ends[first], abs=1e-9)
        assert found["decided"] == (first < 2)
        seen_at.append(n_seen)
    assert seen_at == [250, 250, 500, 1000, 1000]


IN_BATCHES = """
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
        z = linear(linear(maps.flatten(1), w["dense1.weight"], w["dense1.bias"]).relu(),
                   w["head.weight"], w["head.bias"])
        return z - z.mean(0)

def build():
    return Model().eval()
"""


def test_the_noise_floor(command: Command, tmp_path: Path) -> None:
    """A network that subtracts the mean of its batch: asked again it answers alike, in other batches not."""
    n, size = 120, 8
    path = str(PACKAGE / "zoo" / "trained" / "cnn2.safetensors")
    (tmp_path / "model.py").write_text(IN_BATCHES.format(path=path))
    words = ["--channels", "1", "--size", "28", "--limit", str(n), "--batch-size", str(size), "--method"]
    record = command(
        "audit", f"{tmp_path / 'model.py'}:build", "demo:mnist", "--trust", *words, "direct", "--protocol",
        "grid:1", "--allow-noise", "--quiet", "--device", "cpu", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    noise = record["noise"]
    # A twentieth of the forwards of 120 images under 9 shifts and as they are, for three answers each.
    assert noise["n_images"] == max(32, int(0.05 * n * 10 / 3)) == 32

    images = digits("test")[0][limited(10_000, n)]
    generator = torch.Generator().manual_seed(seed_for(0, "noise"))
    chosen = torch.randperm(n, generator=generator)[:32].sort().values
    order = torch.randperm(32, generator=generator)
    logits = cnn2(packaged("cnn2"), 255 * batch_of(images[chosen.numpy()] / 255))
    first = torch.cat([part - part.mean(0) for part in torch.split(logits, size)])
    elsewhere = torch.cat([part - part.mean(0) for part in torch.split(logits[order], size // 2)])[
        order.argsort()
    ]
    flips = first.argmax(1) != elsewhere.argmax(1)
    drift = (elsewhere - first).norm(dim=1) / first.norm(dim=1)
    change = (elsewhere.softmax(1) - first.softmax(1)).gather(
        1, torch.from_numpy(digits("test")[1][limited(10_000, n)])[chosen][:, None]
    )
    found = {name: each["value"] for name, each in noise["estimates"].items() if "value" in each}
    expected = {
        "flip-rate": flips.double().mean().item(),
        "agreement": 1 - flips.double().mean().item(),
        "drift": drift.double().mean().item(),
        "mean-abs-change": change.abs().double().mean().item(),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    assert noise["largest_drift"] == pytest.approx(drift.max().item(), rel=1e-4)
    assert noise["beyond_rounding"]
    assert expected["drift"] > 0.1, "batches matter"

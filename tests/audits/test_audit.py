"""The audit: its numbers are those of the metrics, and what is asked is what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.audits.conftest import constant, top_row, value_of
from tests.onnx_export import export_onnx
from torch import Tensor, nn

from shiftproof.adapters import N_ASKED, Classifier, Framing, Preprocess
from shiftproof.audits import Audit, AuditOptions, ask, audit, load_audit, plan
from shiftproof.audits._looks import confidence_at, looks
from shiftproof.data import LabelledImages, load_data
from shiftproof.errors import (
    ComparisonError,
    ConfigError,
    DataError,
    GateError,
    ModelError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from shiftproof.metrics import Estimate, NotApplicable, metrics
from shiftproof.probe import measure_response
from shiftproof.report import read_audit
from shiftproof.shifts import find_protocol
from shiftproof.zoo import build_network

GRID = "grid:2"


@pytest.fixture(scope="module")
def result() -> Audit:
    return audit(
        build_network("cnn2").eval(), "demo:mnist", protocols=[GRID, "article-small"], limit=100, seed=5
    )


def test_the_record_holds_what_the_metrics_say(result: Audit) -> None:
    assert [part.name for part in result.record.protocols] == [GRID, "article-small"]
    for part in result.record.protocols:
        for spec in metrics:
            assert part.estimates[spec.name] == spec.estimate(result.responses[part.name])
    agreement = result.estimate("agreement")
    assert isinstance(agreement, Estimate)
    assert f"{100 * agreement.value:.1f} %" in str(result)


def test_the_record_is_json_that_the_report_accepts(result: Audit) -> None:
    assert read_audit(json.loads(result.to_json())) == result.record


def test_the_images_are_a_random_part_in_the_probes_hands(result: Audit) -> None:
    response = result.responses[GRID]
    assert response.n_images == 100
    first = load_data("mnist", "test").head(100).labels.numpy()
    assert not np.array_equal(response.labels, first), "drawn at random, not the first ones"
    again = audit(build_network("cnn2").eval(), "demo:mnist", protocols=[GRID], limit=100, seed=5)
    assert np.array_equal(again.responses[GRID].predicted, response.predicted)
    other = audit(build_network("cnn2").eval(), "demo:mnist", protocols=[GRID], limit=100, seed=6)
    assert not np.array_equal(other.responses[GRID].labels, response.labels)


def test_the_response_is_that_of_a_plain_probe(test_digits: LabelledImages) -> None:
    network = build_network("cnn2").eval()
    audited = audit(network, test_digits, protocols=[GRID], method="direct").responses[GRID]
    probed = measure_response(network, test_digits, find_protocol(GRID), method="direct")
    assert np.array_equal(audited.predicted, probed.predicted)
    assert np.array_equal(audited.drift, probed.drift)


def test_known_by_hand_a_model_that_looks_at_the_top() -> None:
    """Digits in rows 5 to 24 of 28: class 0 unshifted; moved up by 2 px they light row 3."""
    images = torch.zeros(4, 1, 28, 28)
    images[:, :, 5:25, 10:18] = 1
    part = audit(top_row, images, protocols=[GRID]).record.protocols[0]
    flips = 5 / 24  # of the 24 shifts, the row dy = −2
    assert value_of(part.estimates["agreement"]) == pytest.approx(1 - flips)
    assert value_of(part.estimates["worst-case-agreement"]) == 0
    assert isinstance(part.estimates["clean-accuracy"], NotApplicable), "there are no labels"
    by_shift = {point.at: point.value for point in part.by_shift["agreement"].points}
    assert by_shift == {
        (dy, dx): float(dy > -2) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0)
    }
    worst = part.worst[0]
    assert worst.smallest_flip_px == 2
    assert worst.flip_offset_px[0] == -2
    assert (worst.unshifted, worst.flips_to) == (0, 1)


def test_meaning_a_constant_model_looks_as_useless_as_it_is(test_digits: LabelledImages) -> None:
    result = audit(constant, test_digits, protocols=[GRID])
    part = result.record.protocols[0]
    assert value_of(part.estimates["agreement"]) == 1
    assert part.chance.agreement == 1
    assert isinstance(part.estimates["agreement-above-chance"], NotApplicable)
    assert value_of(part.estimates["clean-accuracy"]) < 0.2
    assert "is meaningless" in str(result)


def test_meaning_a_global_circular_model_is_better_than_a_flat_one(test_digits: LabelledImages) -> None:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, padding_mode="circular"), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))
    flat = nn.Sequential(nn.Flatten(), nn.Linear(16 * 784, 10))
    agreement = [
        audit(nn.Sequential(body, end).eval(), test_digits, protocols=["circular:5"]).estimate("agreement")
        for end in (head, flat)
    ]
    assert isinstance(agreement[0], Estimate)
    assert isinstance(agreement[1], Estimate)
    assert agreement[0].value == 1
    assert agreement[1].high < 0.99


def test_unlabelled_images_of_every_kind() -> None:
    bytes_ = load_data("mnist", "test").head(20).images
    network = build_network("cnn1").eval()
    first = audit(network, bytes_, protocols=[GRID]).responses[GRID]
    for images in (bytes_.numpy(), bytes_.float() / 255, (bytes_, [0] * 20)):
        assert np.array_equal(
            audit(network, images, protocols=[GRID]).responses[GRID].predicted, first.predicted
        )
    assert (first.labels == -1).all()


def photos(folder: Path) -> Path:
    """Two classes of photographs, larger than the model's 12 × 12."""
    generator = np.random.default_rng(0)
    for name in ("0", "1"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            array = generator.integers(0, 256, (30, 24, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / name / f"{i}.png")
    return folder


def mean_color(images: Tensor) -> Tensor:
    return images.mean((2, 3))[:, :2]


def test_crops_of_a_larger_image_are_the_pixels_of_the_file(tmp_path: Path) -> None:
    """`zhang-crop` on files: each view is a cut of the file itself, found by its mean colour."""
    folder = photos(tmp_path / "photos")
    seen: list[Tensor] = []

    def spy(images: Tensor) -> Tensor:
        seen.append(images.clone())
        return mean_color(images)

    model = Classifier("spy", spy, framing=Framing((3, 12, 12), 24))
    result = audit(model, str(folder), protocols=["zhang-crop:4", "grid:1"], threads=1)
    response = result.responses["zhang-crop:4"]
    assert response.n_images == 12
    files = sorted(folder.glob("*/*.png"))
    assert all((folder / each.name).is_file() for each in result.record.protocols[0].worst)
    pixels = np.asarray(Image.open(files[0]).convert("RGB"), dtype=np.float32) / 255
    dy, dx = response.offsets_px[0, 0].astype(int)
    top, left = (30 - 12) // 2 - dy, (24 - 12) // 2 - dx
    expected = pixels[top : top + 12, left : left + 12].mean((0, 1))[:2]
    assert response.predicted[0, 0] == expected.argmax()


def test_a_scene_needs_larger_images() -> None:
    with pytest.raises((ShapeError, OptionError, DataError), match="px"):
        audit(build_network("cnn1").eval(), load_data("mnist", "test").head(5), protocols=["zhang-crop:4"])


# --- interruptions, precision ----------------------------------------------------------------------


def test_a_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shiftproof.audits._measure.SHARD_LIMITS", (10, 10))
    network = build_network("cnn1").eval()
    options = {"protocols": [GRID], "limit": 50, "out": tmp_path / "run"}
    whole = audit(network, "demo:mnist", **options).to_json()  # type: ignore[arg-type]
    units = sorted((tmp_path / "run" / "units").glob("probe-*"))
    assert len(units) == 5
    for unit in units[::2]:
        unit.unlink()
    kept = {unit: unit.stat().st_mtime_ns for unit in units[1::2]}
    assert audit(network, "demo:mnist", **options).to_json() == whole  # type: ignore[arg-type]
    assert {unit: unit.stat().st_mtime_ns for unit in units[1::2]} == kept, "nothing was computed twice"
    assert (tmp_path / "run" / "report.json").read_text() == whole
    assert load_audit(tmp_path / "run").to_json() == whole


def test_the_run_of_another_model_is_not_touched(tmp_path: Path) -> None:
    options = {"protocols": [GRID], "limit": 10, "out": tmp_path / "run"}
    audit(build_network("cnn1").eval(), "demo:mnist", **options)  # type: ignore[arg-type]
    with pytest.raises(OSError, match="a run with other settings"):
        audit(build_network("cnn1", seed=1).eval(), "demo:mnist", **options)  # type: ignore[arg-type]


def test_precision_stops_as_soon_as_it_is_reached() -> None:
    network = build_network("cnn1").eval()
    rough = audit(network, "demo:mnist", protocols=["grid:1"], precision=0.03)
    fine = audit(network, "demo:mnist", protocols=["grid:1"], precision=0.01)
    for result, precision in ((rough, 0.03), (fine, 0.01)):
        estimate = result.estimate("agreement")
        assert isinstance(estimate, Estimate)
        assert (estimate.high - estimate.low) / 2 <= precision
        assert result.record.protocols[0].stopped_early
    n = [result.responses["grid:1"].n_images for result in (rough, fine)]
    assert n[0] < n[1] < 10_000
    assert np.array_equal(fine.responses["grid:1"].predicted[: n[0]], rough.responses["grid:1"].predicted)
    labels = rough.responses["grid:1"].labels
    assert len(set(labels.tolist())) == 10, "in random order"


def test_a_gate_ends_an_audit_as_soon_as_it_is_decided(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "protocols": ["grid:1"],
        "gates": ["agreement>=0.2"],
        "stop_when_decided": True,
    }
    network = build_network("cnn1").eval()
    early = audit(network, "demo:mnist", out=tmp_path / "run", **options)
    (part,) = early.record.protocols
    assert (early.outcome, part.n_images, part.stopped_early, part.decided) == ("pass", 250, True, True)
    assert part.confidence == pytest.approx(1 - 0.05 * 0.2 / 6), "six looks come before the last"
    estimate = early.estimate("agreement")
    assert isinstance(estimate, Estimate)
    (gate,) = early.record.gates
    assert gate.measured == estimate == part.estimates["agreement"]
    assert estimate.confidence == part.confidence
    again = audit(network, "demo:mnist", out=tmp_path / "run", **options)
    assert again.to_json() == early.to_json() == load_audit(tmp_path / "run").to_json()


def test_an_undecided_gate_looks_on_and_pays_for_its_looks(test_digits: LabelledImages) -> None:
    network = build_network("cnn1").eval()
    value = audit(network, test_digits, protocols=["grid:1"]).estimate("agreement")
    assert isinstance(value, Estimate)
    gate = f"grid:1/agreement>={value.value:.6f}"
    result = audit(
        network, test_digits, protocols=["grid:1", "one-pixel"], gates=[gate], stop_when_decided=True
    )
    grid, other = result.record.protocols
    assert (result.outcome, grid.n_images, grid.decided) == ("inconclusive", len(test_digits), False)
    assert grid.confidence == pytest.approx(0.96)
    assert other.confidence == 0.95
    assert other.n_images == len(test_digits), "no gate is about it"
    found = result.estimate("agreement")
    assert isinstance(found, Estimate)
    assert found.high - found.low > value.high - value.low


def test_stopping_when_decided_needs_a_gate_and_no_baseline(
    tmp_path: Path, test_digits: LabelledImages
) -> None:
    network = build_network("cnn1").eval()
    with pytest.raises(OptionError, match="Expected a gate to stop at, got none"):
        audit(network, test_digits, protocols=[GRID], stop_when_decided=True)
    audit(network, test_digits.head(20), protocols=[GRID], out=tmp_path / "run")
    with pytest.raises(OptionError, match="compared on the same images"):
        audit(
            network,
            test_digits.head(20),
            protocols=[GRID],
            gates=["agreement>=0.5"],
            baseline=tmp_path / "run",
            stop_when_decided=True,
        )


@given(st.integers(1, 10**7), st.floats(0.5, 0.999))
def test_looks_spend_no_more_error_than_one(n: int, confidence: float) -> None:
    at = looks(n)
    assert at[-1] == n
    assert at == sorted(set(at))
    spent = sum(1 - confidence_at(each, n, confidence) for each in at)
    assert spent == pytest.approx(1 - confidence)


def test_a_plan_counts_and_computes_little() -> None:
    question = ask(
        build_network("cnn2").eval(), "demo:mnist", AuditOptions(protocols=["grid:4", "article-large"])
    )
    grid, large = plan(question)
    assert (grid.n_images, grid.n_shifts, grid.forwards) == (10_000, 81, 820_000)
    assert (grid.method, large.method) == ("dense", "direct")
    assert large.method_reason == "each image has its own shifts"
    assert grid.expected_s > 0


# --- gates -----------------------------------------------------------------------------------------


def test_all_shifts_at_once_also_of_normalised_images(test_digits: LabelledImages) -> None:
    """Preprocessing comes after the shift, so it is part of what is planned."""
    digits = test_digits.head(60)
    network = Classifier(
        "n", build_network("cnn2").eval(), Preprocess(mean=(0.1307,), std=(0.3081,)), Framing((1, 28, 28))
    )
    dense, direct = (audit(network, digits, protocols=[GRID], method=method) for method in ("auto", "direct"))
    assert dense.record.protocols[0].method == "dense"
    a, b = (each.responses[GRID] for each in (dense, direct))
    assert np.array_equal(a.predicted, b.predicted)
    assert np.allclose(a.drift, b.drift, rtol=1e-4, atol=1e-5)


def test_gates_are_judged_on_the_interval(test_digits: LabelledImages) -> None:
    network = build_network("cnn1").eval()
    low = audit(network, test_digits, protocols=["grid:1"]).estimate("agreement")
    assert isinstance(low, Estimate)
    middle = f"agreement>={low.value:.6f}"
    outcomes = {
        gate: audit(network, test_digits, protocols=["grid:1"], gates=[gate]).outcome
        for gate in ("agreement>=0", middle, "agreement>=1", "agreement@1>=0.01", "drift<=0")
    }
    assert list(outcomes.values()) == ["pass", "inconclusive", "fail", "pass", "fail"]
    failed = audit(network, test_digits, protocols=["grid:1"], gates=["agreement>=1", "agreement>=0"])
    assert not failed.passed()
    with pytest.raises(
        GateError, match=r"Expected agreement>=1\.0 under grid:1, got 0\.\d+ .* n = 300 images\): fail"
    ):
        failed.raise_if_failed()


def test_a_gate_without_meaning_has_not_passed() -> None:
    """Whether any answer is right only shows when it was measured."""
    images = (torch.rand(20, 1, 8, 8), [1] * 20)
    result = audit(constant, images, protocols=["grid:1"], gates=["kept-when-right>=0"])
    assert result.outcome == "inconclusive"
    with pytest.raises(GateError, match="no moved image is right when unshifted"):
        result.raise_if_failed()


@pytest.mark.parametrize(
    ("protocol", "gate", "message"),
    [
        ("grid:1", "agreement@99>=0.5", r"that was measured .*, got 99 px\. grid:1 reaches 1 px\."),
        ("grid:1", "grid:1/drift@1.5<=9", r"got 1\.5 px\. grid:1 reaches 1 px\."),
        ("box:3,4", "agreement@4.5>=0", r"got 4\.5 px\. box:3,4 reaches 4 px\."),
        ("ring:3", "agreement@2>=0", r"got 2 px\. The smallest shift of ring:3 is 3 px\."),
        ("half-pixel", "agreement@0.25>=0", r"got 0\.25 px\. The smallest shift of half-pixel is 0\.5 px\."),
        ("grid:1", "accuracy@1>=0", "images with known classes for the gate 'accuracy@1>=0.0', got images"),
        ("grid:1", "sensitivity<=9", "images with known classes"),
        ("article-none", "agreement>=0", "got article-none, which moves none"),
        ("grid:0", "wobble<=1", "got grid:0, which moves none"),
    ],
)
def test_a_gate_on_what_is_not_measured_is_a_mistake(protocol: str, gate: str, message: str) -> None:
    """Said before the first forward: the model here is only asked what it answers with."""
    asked: list[int] = []

    def counting(images: Tensor) -> Tensor:
        asked.append(len(images))
        return constant(images)

    with pytest.raises(ConfigError, match=message):
        audit(counting, torch.rand(20, 1, 12, 12), protocols=[protocol], gates=[gate])
    assert sum(asked) <= N_ASKED


@pytest.mark.parametrize(
    ("protocol", "gate"),
    [
        ("box:3,4", "agreement@4>=0"),
        ("box:3,4", "box:3,4/agreement@1>=0"),
        ("article-large", "agreement@0.9>=0"),
        ("article-none", "clean-accuracy>=0"),
        ("grid:0", "worst-case-accuracy>=0"),
    ],
)
def test_a_gate_within_the_reach_is_judged(protocol: str, gate: str) -> None:
    images = (torch.rand(300, 1, 12, 12), [0] * 300)
    assert audit(constant, images, protocols=[protocol], gates=[gate]).passed()


def test_no_worse_than_a_baseline(run_audit_in: Callable[..., Audit], tmp_path: Path) -> None:
    run_audit_in("first")
    same = run_audit_in("second", baseline=tmp_path / "first")
    assert same.outcome == "pass"
    assert len(same.record.gates) == 4
    images = load_data("mnist", "test")
    better = audit(constant, images.head(200), protocols=["grid:1"], out=tmp_path / "constant")
    worse = audit(
        build_network("cnn1").eval(), images.head(200), protocols=["grid:1"], baseline=tmp_path / "constant"
    )
    assert better.passed()
    assert worse.outcome == "fail"
    with pytest.raises(ComparisonError, match="the same"):
        run_audit_in("third", limit=50, baseline=tmp_path / "first")
    with pytest.raises(ComparisonError, match="a protocol of this audit"):
        run_audit_in("fourth", protocols=["grid:2"], baseline=tmp_path / "first")


# --- mistakes --------------------------------------------------------------------------------------


def nan(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :10] * float("nan")


@pytest.mark.parametrize(
    ("model", "images", "options", "error", "message"),
    [
        (nan, "demo:mnist", {}, ModelError, "got NaN"),
        (lambda x: (x, x), "demo:mnist", {}, ModelError, "a tuple with 0, 1"),
        (lambda x: {"a": x}, "demo:mnist", {}, ModelError, "a dict with 'a'"),
        (lambda x: x, "demo:mnist", {}, ShapeError, r"\(1, K\), got \(1, 1, 28, 28\)"),
        (lambda x: "cat", "demo:mnist", {}, ModelError, "a value of type str"),
        (lambda x, y: x, "demo:mnist", {}, ModelError, ": TypeError: .* missing 1 required"),
        (lambda x: x.view(3, -1), "demo:mnist", {}, ModelError, ": RuntimeError: "),
        (lambda x: x.flatten(1)[:, :4], "demo:mnist", {}, DataError, "4"),
        (constant, "demo:mnist", {"protocols": ["grid:28"]}, OptionError, "smaller than the images"),
        (constant, "demo:mnist", {"protocols": []}, OptionError, "at least one protocol"),
        (constant, "demo:mnist", {"protocols": [GRID, GRID]}, OptionError, "each protocol once"),
        (constant, "demo:mnist", {"gates": ["agreemnt>=1"]}, UnknownNameError, "Did you mean 'agreement'"),
        (constant, "demo:mnist", {"gates": ["agreement"]}, ConfigError, "a gate such as"),
        (constant, "demo:mnist", {"gates": ["grid:3/agreement>0"]}, ConfigError, "a protocol of this audit"),
        (constant, "demo:mnist", {"precision": 2}, OptionError, "a precision between 0 and 0.5"),
        (constant, "demo:mnist", {"confidence": 1}, OptionError, "a confidence"),
        (constant, "demo:mnist", {"limit": 0}, OptionError, "limit from 1 to"),
        (constant, "demo:mnist", {"method": "dense"}, OptionError, "what a function"),
        (constant, "demo:mnist", {"method": "fast"}, UnknownNameError, "name of a method, got 'fast'"),
        (constant, "demo:mnist", {"border": "wrap"}, UnknownNameError, "name of a border, got 'wrap'"),
        (constant, torch.zeros(0, 1, 8, 8), {}, DataError, "at least one image, got none"),
        (constant, torch.zeros(3, 8, 8), {}, DataError, r"\(N, C, H, W\)"),
        (constant, torch.full((1, 1, 8, 8), 2.0), {}, DataError, "from 0 to 1 .* got 2 to 2"),
        (constant, (torch.zeros(2, 1, 8, 8), [0, 99]), {}, DataError, "99"),
        (constant, "no-such-folder", {}, DataError, "no-such-folder"),
        ("zoo:cnn9", "demo:mnist", {}, UnknownNameError, "Did you mean"),
    ],
)
def test_mistakes_are_named(
    model: object, images: object, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        audit(model, images, **{"limit": 20, **options})  # type: ignore[arg-type]


def test_one_image_is_enough_to_measure() -> None:
    images = load_data("mnist", "test").head(1)
    result = audit(build_network("cnn1").eval(), images, protocols=[GRID])
    assert result.responses[GRID].n_images == 1
    assert "n = 1 image)" in str(result)


def test_a_folder_that_is_no_audit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read report\.json of a finished audit"):
        load_audit(tmp_path)
    (tmp_path / "report.json").write_text('{"kind": "study"}')
    with pytest.raises(DataError, match="the record of an audit"):
        load_audit(tmp_path)
    (tmp_path / "report.json").write_text('{"kind": "audit"}')
    with pytest.raises(
        DataError, match=r"the record of an audit in .*: schema_version: Field required \(and"
    ):
        load_audit(tmp_path)


# --- networks whose answers are known ---------------------------------------------------------------


class EverySecondPixel(nn.Module):
    """Looks at the pixels of even rows and columns only, as a stride of 2 without a low-pass does."""

    def forward(self, images: Tensor) -> Tensor:
        seen = images[:, :, ::2, ::2].mean((1, 2, 3))
        return torch.stack([seen, 0.1 - seen], 1)


def test_known_by_hand_a_subsampler_has_two_answers() -> None:
    """Light on even rows and columns only: seen unshifted and after even shifts, and after no others."""
    images = torch.zeros(6, 1, 8, 8)
    images[:, :, ::2, ::2] = 1
    result = audit(EverySecondPixel(), images, protocols=[find_protocol("grid:2", border="circular")])
    (part,) = result.record.protocols
    for point in part.by_shift["agreement"].points:
        dy, dx = point.at
        assert point.value == float(dy % 2 == 0 and dx % 2 == 0)
    phases = {point.at: point.value for point in part.by_phase["2"]["agreement"].points}
    assert phases == {(0, 0): 1.0, (0, 1): 0.0, (1, 0): 0.0}, "at equal distance: the phase decides alone"
    assert result.estimate("agreement").value == pytest.approx(8 / 24)  # type: ignore[union-attr]


def test_an_onnx_export_gives_the_same_response(tmp_path: Path, test_digits: LabelledImages) -> None:
    network = build_network("cnn2").eval()
    path = export_onnx(network, torch.zeros(2, 1, 28, 28), tmp_path / "cnn2.onnx")
    for protocol in ("grid:1", "article-large"):
        ours, theirs = (
            audit(model, test_digits, protocols=[protocol], method="direct").responses[protocol]
            for model in (network, str(path))
        )
        assert np.array_equal(ours.predicted, theirs.predicted)
        np.testing.assert_allclose(ours.true_prob, theirs.true_prob, atol=1e-5)
        np.testing.assert_allclose(ours.drift, theirs.drift, atol=1e-4)

"""Audits of every kind of answer: numbers, gates, comparison, figures, and labels that do not fit."""

from __future__ import annotations

import importlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from skimage import data as photographs
from tests.audits.conftest import value_of
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from shiftproof.adapters import Classifier
from shiftproof.audits import Audit, audit, compare_audits, load_audit
from shiftproof.data import load_images
from shiftproof.errors import ConfigError, DataError, GateError, ModelError, OptionError, OutputError
from shiftproof.metrics import Estimate, NotApplicable, by_class, metrics
from shiftproof.records import TaskRecord
from shiftproof.report import audit_figures, audit_junit, audit_markdown, print_comparison
from shiftproof.testing import check_shift_invariant


def network(n_outputs: int, *more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, n_outputs)]
    return nn.Sequential(*layers, nn.BatchNorm1d(n_outputs, affine=False), *more).eval()


def images(n: int = 40) -> Tensor:
    return torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(2))


def patches(n: int = 24, size: int = 224) -> Tensor:
    """Parts of scikit-image's photographs: bytes (n, 3, size, size)."""
    generator = np.random.default_rng(0)
    names = ("astronaut", "chelsea", "coffee", "rocket")
    found = [getattr(photographs, name)() for name in names]
    parts = []
    for i in range(n):
        photo = found[i % len(found)]
        y, x = (int(generator.integers(0, side - size)) for side in photo.shape[:2])
        parts.append(photo[y : y + size, x : x + size].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(parts))


SETS = (torch.rand(40, 4, generator=torch.Generator().manual_seed(3)) < 0.4).long()
QUESTIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "single-label": ((images(), torch.arange(40) % 3), {}),
    "binary": ((images(), torch.arange(40) % 2), {"threshold": 0.4}),
    "multi-label": ((images(), SETS), {}),
    "embedding": ((images(), torch.arange(40) % 5), {"task": "embedding"}),
}
N_OUTPUTS = {"single-label": 3, "binary": 1, "multi-label": 4, "embedding": 12}
BY_TASK = pytest.mark.parametrize("task", QUESTIONS)
PLAIN: dict[str, Any] = {"protocols": ["grid:2"], "device": "cpu"}


def audited(task: str, **options: Any) -> Audit:
    data, said = QUESTIONS[task]
    return audit(network(N_OUTPUTS[task]), data, **PLAIN, **said, **options)


@BY_TASK
def test_a_record_that_every_rendering_takes(task: str, tmp_path: Path) -> None:
    gates = ["agreement>=0.01", "drift<=1e6"]
    done = audited(task, out=tmp_path / "r", gates=gates)
    record = done.record
    assert (record.task.name, record.outcome) == (task, "pass")
    assert len(record.headline) == 4
    found = record.protocols[0].estimates
    for name, about in record.metrics.items():
        assert hasattr(found[name], "not_applicable") or task in about.tasks, name
    assert "task" in audit_markdown(record)
    assert audit_junit(record).count("<testcase") == 2
    again = load_audit(tmp_path / "r")
    assert np.array_equal(again.responses["grid:2"].predicted, done.responses["grid:2"].predicted)
    assert audited(task, out=tmp_path / "r", gates=gates).to_json() == done.to_json(), "units are found again"


@pytest.mark.parametrize("task", ["multi-label", "embedding"])
def test_figures(task: str) -> None:
    done = audited(task)
    drawn = audit_figures(done.record)
    assert {name.rsplit("-", 1)[1] for name in drawn} == {"shift.svg", "radius.svg", "phase.svg", "class.svg"}
    figure, axes = done.plot("label-flip-rate" if task == "multi-label" else "cosine")
    assert len(axes) >= 4
    figure.clear()


@BY_TASK
def test_compared_with_itself_moved_less(task: str) -> None:
    first = audited(task)
    record = compare_audits(first, first)
    assert {row.metric for row in record.protocols[0].rows} == {
        name for name, about in first.record.metrics.items() if task in about.tasks
    }
    differences = [row.difference for row in record.protocols[0].rows]
    assert all(getattr(each, "value", 0) == 0 for each in differences)
    out = io.StringIO()
    print_comparison(record, Console(file=out, width=80))
    assert "The second model is better in 0, the first in 0 of" in out.getvalue()


@BY_TASK
def test_the_fixture_and_a_baseline(task: str, tmp_path: Path) -> None:
    data, said = QUESTIONS[task]
    model = network(N_OUTPUTS[task])
    passed = check_shift_invariant(model, data, radius_px=1, min_agreement=0.0, device="cpu", **said)
    assert passed.passed()
    with pytest.raises(GateError, match=r"Expected agreement>=0\.999 under grid:1"):
        check_shift_invariant(model, data, radius_px=1, min_agreement=0.999, device="cpu", **said)
    audited(task, out=tmp_path / "before")
    no_worse = audited(task, baseline=tmp_path / "before", margin=0.2)
    assert no_worse.passed()
    assert len(no_worse.record.gates) == 4


def test_a_gate_on_another_task_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(
        ConfigError, match=r"a metric for binary in the gate 'cosine>=0\.9'.* is for embedding"
    ):
        audited("binary", gates=["cosine>=0.9"])
    with pytest.raises(ConfigError, match="a metric for embedding in the gate 'accuracy"):
        audited("embedding", gates=["accuracy>=0.9"])


def test_gates_on_metrics_of_the_task() -> None:
    done = audited("multi-label", gates=["average-precision@1>=0.01", "label-flip-rate<=1"])
    assert done.passed()
    done = audited("embedding", gates=["cosine>=-1", "neighbour-overlap@1>=0"])
    assert done.passed()


def test_labels_that_do_not_fit() -> None:
    digits = (images(20), torch.arange(20) % 10)
    with pytest.raises(DataError, match=r"labels from 0 to 1 .* got 9. One number for each image tells two"):
        audit(network(1), digits, **PLAIN)
    with pytest.raises(
        DataError, match=r"may have several labels.* got one class for each image.*path,labels"
    ):
        audit(network(4), (images(20), torch.arange(20) % 4), task="multi-label", **PLAIN)
    with pytest.raises(DataError, match=r"one class for each image, or none, .* Its task is single-label"):
        audit(network(4), (images(), SETS), task="single-label", **PLAIN)
    with pytest.raises(DataError, match=r"one class for each image, or none, .* Its task is embedding"):
        audit(network(4), (images(), SETS), task="embedding", **PLAIN)
    with pytest.raises(DataError, match="labels among the 3 of the model, got 4"):
        audit(network(3), (images(), SETS), **PLAIN)
    with pytest.raises(DataError, match="labels of 0 and 1"):
        audit(network(4), (images(), SETS * 2), **PLAIN)
    with pytest.raises(OptionError, match="no threshold for"):
        audit(network(3), images(), threshold=0.3, **PLAIN)
    with pytest.raises(OptionError, match="a threshold from 0 to 1"):
        audit(network(1), images(), threshold=3, **PLAIN)


def test_answers_that_no_embedding_is() -> None:
    for model, message in (
        (lambda x: x.flatten(1) * 0, "embeddings with a direction"),
        (lambda x: x.flatten(1) / 0 - x.flatten(1) / 0, "numbers as the answer of <lambda>, got NaN"),
    ):
        with pytest.raises(ModelError, match=message):
            audit(model, images(), task="embedding", **PLAIN)


def test_another_threshold_is_another_run(tmp_path: Path) -> None:
    """Units of one threshold are not those of another."""
    data, _ = QUESTIONS["binary"]
    rates = []
    for threshold in (0.5, 0.3):
        done = audit(network(1), data, threshold=threshold, out=tmp_path / f"{threshold}", **PLAIN)
        rates.append(done.responses["grid:2"].predicted.mean())
    assert rates[0] < rates[1]
    with pytest.raises(OutputError, match="a run with other settings"):
        audit(network(1), data, threshold=0.6, out=tmp_path / "0.5", **PLAIN)


def test_labels_of_a_table(tmp_path: Path) -> None:
    rows = ["path,labels"]
    for i in range(12):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png"
        )
        rows.append(
            f"{i}.png,{'|'.join(name for name, n in (('cat', 2), ('dog', 3), ('owl', 5)) if i % n == 0)}"
        )
    table = tmp_path / "list.csv"
    table.write_text("\n".join(rows))
    loaded = load_images(str(table), image_shape=(3, 16, 16))
    assert loaded.class_names == ("cat", "dog", "owl")
    assert loaded.labels[:4].tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0]]
    model = Classifier("m", network(4), class_names=("owl", "ant", "dog", "cat"))
    done = audit(model, str(table), **PLAIN)
    assert done.record.data.class_names == ("owl", "ant", "dog", "cat")
    assert done.responses["grid:2"].labels[0].tolist() == [1, 0, 1, 1]
    worst = done.record.protocols[0].worst
    assert worst
    assert worst[0].label in ("none", "cat", "dog", "owl", "dog, cat", "owl, cat", "owl, dog, cat")
    with pytest.raises(DataError, match="labels among the 4 of the model, got 3: 'cat', 'dog', 'owl'"):
        audit(network(4), str(table), **PLAIN)


def vit() -> Classifier:
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=224,
        patch_size=16,
    )  # fmt: skip
    return Classifier("vit", transformers.ViTModel(config).eval(), logits="pooler_output")


def clip() -> Classifier:
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=224,
        patch_size=32, projection_dim=24,
    )  # fmt: skip
    tower = transformers.CLIPVisionModelWithProjection(config).eval()
    return Classifier("clip", tower, logits="image_embeds")


@pytest.mark.parametrize("build", [vit, clip])
def test_embeddings_of_real_architectures(build: Any) -> None:
    """Parts of photographs; random weights."""
    done = audit(build(), patches(10), task="embedding", protocols=["one-pixel"], device="cpu")
    cosine = done.estimate("cosine")
    overlap = done.estimate("neighbour-overlap")
    assert isinstance(cosine, Estimate)
    assert isinstance(overlap, Estimate)
    assert 0.5 < cosine.value < 1
    assert 0 <= overlap.low < overlap.high <= 1
    assert done.record.task.name == "embedding"
    assert done.record.protocols[0].n_classes == (32 if build is vit else 24)


def test_the_projection_of_a_normalised_tower_is_told() -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tower = clip().model

        def forward(self, pixels: Tensor) -> Tensor:
            assert isinstance(self.tower, nn.Module)
            return nn.functional.normalize(self.tower(pixels).image_embeds)

    done = audit(Normalised(), patches(6), protocols=["one-pixel"], device="cpu")
    assert done.record.task == TaskRecord(
        name="embedding", outputs="vector", threshold=None, why="vectors of length 1"
    )


def test_a_loader_with_vectors_of_0_and_1() -> None:
    """As losses of several labels want them, in float; the same numbers as from arrays."""
    loader = DataLoader(TensorDataset(images(), SETS.float()), 16)
    done = audit(network(4), loader, **PLAIN)
    plain = audit(network(4), (images(), SETS), **PLAIN)
    assert done.record.task.name == "multi-label"
    assert done.record.protocols[0].estimates == plain.record.protocols[0].estimates


def test_oracle_a_threshold_for_each_label() -> None:
    """Each label is there above its own probability, by every metric; they rank as before."""
    each = (0.3, 0.5, 0.7, 0.9)
    one, many = audited("multi-label"), audited("multi-label", threshold=list(each))
    response = many.responses["grid:2"]
    assert response.task.threshold == each
    assert response.label_output is not None
    seen, still = (
        1 / (1 + np.exp(-x.astype(float))) for x in (response.label_output, response.unshifted_output)
    )
    there, before = seen > each, still > each
    moved = np.abs(response.offsets_px).max(-1) > 0
    flips = there[:, moved] != before[:, None]
    estimates = many.record.protocols[0].estimates
    found = {name: each.value for name, each in estimates.items() if isinstance(each, Estimate)}
    assert found["label-flip-rate"] == pytest.approx(flips.mean())
    assert found["agreement"] == pytest.approx((~flips).all(-1).mean())
    assert found["clean-accuracy"] == pytest.approx((before == SETS.numpy()).all(1).mean())
    rates = by_class(metrics.get("label-flip-rate"), response)
    assert not isinstance(rates, NotApplicable)
    of_labels = [each.value for each in rates.values() if isinstance(each, Estimate)]
    assert of_labels == pytest.approx(flips.mean((0, 1)))
    plain = one.record.protocols[0].estimates
    assert value_of(plain["average-precision"]) == pytest.approx(found["average-precision"])
    assert value_of(plain["label-flip-rate"]) != pytest.approx(found["label-flip-rate"])
    assert "0.3 for '0', 0.5 for '1', 0.7 for '2', 0.9 for '3'" in audit_markdown(many.record)


def test_thresholds_by_name_and_those_that_do_not_fit(tmp_path: Path) -> None:
    model = Classifier("m", network(4), class_names=("owl", "ant", "dog", "cat"))
    named = {"cat": 0.2, "dog": 0.4, "ant": 0.6, "owl": 0.8}
    done = audit(model, images(), task="multi-label", threshold=named, out=tmp_path / "r", **PLAIN)
    assert done.record.task.threshold == (0.8, 0.6, 0.4, 0.2)
    assert load_audit(tmp_path / "r").responses["grid:2"].task.threshold == (0.8, 0.6, 0.4, 0.2)
    for threshold, message in (
        ([0.5, 0.5], "one threshold, or one for each of the 4 numbers that the model answers with, got 2"),
        ({"cat": 0.2}, "a threshold for each of the 4 labels .* got none for 'owl', 'ant', 'dog'"),
        ({**named, "bee": 0.1}, "one for 'bee', which is none of them. They are 'owl', 'ant'"),
        ([0.5, 0.5, 0.5, 1.5], "a threshold from 0 to 1, got 1.5"),
        ([], "a threshold, or one for each label, got none"),
        ("high", "numbers as thresholds, got 'high'"),
        ([None] * 4, "numbers as thresholds"),
    ):
        with pytest.raises(OptionError, match=message):
            audit(model, images(), task="multi-label", threshold=threshold, **PLAIN)
    with pytest.raises(OptionError, match="one threshold, as the model answers with one number, got 2"):
        audit(network(1), images(), threshold=(0.5, 0.4), **PLAIN)
    declared = Classifier("m", network(4), task="multi-label", outputs="logits", threshold=(0.5, 0.4))
    with pytest.raises(OptionError, match=r"one for each of the 4 numbers .* got 2"):
        audit(declared, images(), **PLAIN)


@pytest.mark.parametrize(
    ("table", "said", "why"),
    [
        ("path,labels\n{}", {"task": "embedding"}, "one class for each image, or none"),
        ("path,label\n{}", {}, "as many classes in the data as in the model"),
        ("path,labels\n{}", {}, "labels among the 4 of the model"),
    ],
)
def test_a_table_that_was_only_found_need_not_fit_the_model(
    table: str, said: dict[str, Any], why: str, tmp_path: Path
) -> None:
    """It is said, and the audit goes on as without it; a table that was named is an error."""
    rows = []
    for i in range(6):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            tmp_path / f"{i}.png"
        )
        rows.append(f"{i}.png,{'up' if i % 2 else 'down'}")
    (tmp_path / "list.csv").write_text(table.format("\n".join(rows)))
    done = audit(network(4), str(tmp_path), **said, **PLAIN)
    record = done.record
    assert record.data.labelled is False
    assert record.data.note.startswith("no labels from list.csv beside the images, which do not fit (")
    assert why in record.data.note
    assert "no labels from list.csv beside the images" in audit_markdown(record).replace("\\", "")
    assert record.task.name == said.get("task", "single-label")
    with pytest.raises(DataError, match=why):
        audit(network(4), str(tmp_path / "list.csv"), **said, **PLAIN)

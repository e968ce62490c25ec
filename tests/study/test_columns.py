"""Columns, variants, bases and costs of a study: what is written, what is recorded, what stays as it was."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from shiftproof.engine import StopSignal, open_run
from shiftproof.errors import ConfigError, OptionError, Stopped, UnknownNameError
from shiftproof.metrics import Difference, Estimate, NotApplicable, compare_responses, metrics
from shiftproof.probe import Response
from shiftproof.study import Materials, Overrides, load_study, run_study
from shiftproof.study._remedies import difference

CPU = torch.device("cpu")
WRITTEN = """
schema_version = 1
name = "columns"
title = "Two columns under one protocol, a remedy, its variant"
data = "mnist"
columns = [
    { protocol = "article-none", title = "test" },
    { protocol = "grid:1", metric = "worst-case-accuracy", judges = true },
    { protocol = "circular:2", metric = "pairwise-consistency", title = "circular", judges = true },
]
costs = true

[training]
epochs = 1
learning_rate = 1e-3

[variants.aug]
training = { augmentation = "keras-augment" }

[presets.quick]
summary = "short"
limit = 120
test_limit = 40

[[rows]]
name = "dense-nn"
network = "dense-nn"

[[rows]]
name = "cnn1"
network = "cnn1"
base = "dense-nn"
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "columns.toml"
    path.write_text(WRITTEN)
    return path


@pytest.fixture
def what(written: Path) -> Materials:
    return Materials.load(load_study(str(written)), CPU)


def test_variants_follow_their_rows_and_are_based_on_variants(written: Path) -> None:
    study = load_study(str(written))
    assert [(arm.name, arm.base, arm.recipe.augmentation) for arm in study.arms] == [
        ("dense-nn", None, "none"),
        ("dense-nn+aug", "dense-nn", "keras-augment"),
        ("cnn1", "dense-nn", "none"),
        ("cnn1+aug", "dense-nn+aug", "keras-augment"),
    ]
    assert (study.limit, study.test_limit) == (120, 40)
    assert study.protocols == ("article-none", "grid:1", "circular:2")
    assert study.metrics_under("grid:1") == ("accuracy", "worst-case-accuracy")


def test_other_protocols_keep_the_columns_they_have(written: Path) -> None:
    study = load_study(str(written), overrides=Overrides(protocols=("circular:2", "grid:2"), limit=50))
    assert [(column.protocol, column.metric) for column in study.columns] == [
        ("circular:2", "pairwise-consistency"),
        ("grid:2", "accuracy"),
    ]
    assert study.protocols == ("circular:2", "grid:2")
    assert (study.limit, study.test_limit) == (50, None), "one limit for both, where one is given"


def test_what_a_study_does_not_use_is_not_in_its_configuration() -> None:
    config = load_study("article").config()
    assert not {"columns", "costs", "test_limit"} & set(config)
    arms = config["arms"]
    assert isinstance(arms, list)
    assert all("base" not in arm for arm in arms if isinstance(arm, dict))


def test_the_configuration_of_the_article_is_that_of_its_published_results() -> None:
    results = Path(__file__).parents[2] / "benchmarks" / "results" / "article-full.json"
    study = load_study("article", preset="article", overrides=Overrides(seeds=1))
    assert json.loads(results.read_text())["config"] == study.config()


def test_the_record_has_columns_costs_and_differences(what: Materials, tmp_path: Path) -> None:
    with open_run("columns", what.config(), out=tmp_path / "r") as run:
        record = run_study(what, run)
        units = {name: run.units.folder.glob(f"{name}-*") for name in ("train", "costs", "probe")}
        assert {name: len(list(found)) for name, found in units.items()} == {
            "train": 4, "costs": 2, "probe": 12,
        }  # fmt: skip
    assert {split: data.n_images for split, data in record.data.items()} == {"train": 120, "test": 40}
    assert [column.title for column in record.columns] == ["test", "worst-case-accuracy, grid:1", "circular"]
    by_name = {row.name: row for row in record.rows}
    for row in record.rows:
        assert row.costs is not None
        for column in record.columns:
            shown = record.shown(row, column)
            assert shown is not None
            assert shown.low <= shown.value <= shown.high
    assert by_name["cnn1"].costs == by_name["cnn1+aug"].costs, "a network is measured once"
    assert by_name["dense-nn"].against is None
    against = by_name["cnn1"].against
    assert against is not None
    assert against.base == "dense-nn"
    for change in against.differences:
        column = record.columns[change.column]
        first, second = (record.shown(by_name[name], column) for name in ("cnn1", "dense-nn"))
        assert first is not None
        assert second is not None
        assert getattr(change.found, "value", None) == pytest.approx(first.value - second.value, abs=1e-12)


def test_times_are_measured_once_so_that_going_on_gives_the_same_bytes(
    what: Materials, tmp_path: Path
) -> None:
    stop = StopSignal()
    with open_run("columns", what.config(), out=tmp_path / "r") as run:
        whole = run_study(what, run)
        reports = [(run.folder / "report.json").read_bytes()]
        trained = sorted(run.units.folder.glob("train-*"))
        trained[0].unlink()
    with open_run("columns", what.config(), out=tmp_path / "r") as run:
        assert run_study(what, run) == whole
        reports.append((run.folder / "report.json").read_bytes())
        stop.set()
        with pytest.raises(Stopped, match="a request to stop"):
            run_study(what, run, stop=stop)
    assert reports[0] == reports[1]


def response(seed: int, right: float) -> Response:
    """40 images under 3 shifts, of which a share is classified correctly."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(40) % 4
    wrong = torch.rand(40, 3, generator=generator) > right
    predicted = (labels[:, None] + wrong.long()) % 4
    logits = torch.nn.functional.one_hot(labels, 4).float()
    return Response(
        predicted.int().numpy(), torch.ones(40, 3).numpy(), torch.zeros(40, 3).numpy(),
        torch.tensor([[0.0, 1], [1, 0], [1, 1]]).double().numpy(), labels.numpy(), logits.numpy(), {},
    )  # fmt: skip


def test_differences_over_one_seed_are_those_of_compare_responses() -> None:
    a, b = response(0, 0.9), response(1, 0.6)
    expected = compare_responses(a, b, metrics.get("accuracy"))
    assert isinstance(expected, Difference)
    found = difference([a], [b], metrics.get("accuracy"))
    assert isinstance(found, Estimate)
    assert {**asdict(found), "p_value": expected.p_value} == {**asdict(expected), "n_seeds": 1}


def test_differences_over_seeds_are_the_mean_with_an_interval_of_both() -> None:
    remedies, bases = ([response(10 * i + k, p) for k in range(3)] for i, p in enumerate((0.95, 0.6)))
    accuracy = metrics.get("accuracy")
    found = difference(remedies, bases, accuracy)
    assert isinstance(found, Estimate)
    means = [[getattr(accuracy.scores(each), "mean", 0.0) for each in group] for group in (remedies, bases)]
    assert found.value == pytest.approx(sum(means[0]) / 3 - sum(means[1]) / 3)
    assert found.low < found.value < found.high
    assert found.low > 0.1, "95 % of the answers right beside 60 % is no chance"
    assert (found.n_seeds, found.n_images) == (3, 40)
    back = difference(bases, remedies, accuracy)
    assert isinstance(back, Estimate)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_a_difference_that_has_no_meaning_says_why() -> None:
    unmoved = response(0, 1.0)
    still = Response(**{**vars(unmoved), "offsets_px": unmoved.offsets_px * 0})
    for n_seeds in (1, 2):
        found = difference([still] * n_seeds, [still] * n_seeds, metrics.get("agreement"))
        assert isinstance(found, NotApplicable)
        assert "no image was moved" in found.reason


@pytest.mark.parametrize(
    ("old", "new", "kind", "message"),
    [
        ('"grid:1"', '"gird:1"', UnknownNameError, "name of a protocol, got 'gird'. Did you mean 'grid'"),
        ('"grid:1"', '"grid:x"', OptionError, "grid:RADIUS with whole numbers, got 'grid:x'"),
        ('"grid:1"', '"zhang-crop:2"', ConfigError, "moves a window on a larger image"),
        ('"pairwise-consistency"', '"pairwise"', UnknownNameError, "name of a metric, got 'pairwise'"),
        ("metric = ", "metrc = ", ConfigError, r"'columns\.1\.metrc'\. Did you mean 'metric'"),
        (
            'base = "dense-nn"',
            'base = "dense"',
            UnknownNameError,
            "a row, got 'dense'. Did you mean 'dense-nn'",
        ),
        ("columns = [", 'protocols = ["grid:2"]\ncolumns = [', UnknownNameError, "got 'article-none'"),
        ("limit = 120", "limit = 0", ConfigError, r"'presets\.quick\.limit' in columns\.toml"),
    ],
)
def test_wrong_columns_say_where(
    written: Path, old: str, new: str, kind: type[Exception], message: str
) -> None:
    assert old in WRITTEN
    written.write_text(WRITTEN.replace(old, new, 1))
    with pytest.raises(kind, match=message):
        load_study(str(written))


def test_a_study_without_protocols_is_refused(written: Path) -> None:
    start, end = WRITTEN.index("columns = ["), WRITTEN.index("costs = true")
    written.write_text(WRITTEN[:start] + WRITTEN[end:])
    with pytest.raises(ConfigError, match="'protocols' or 'columns' in a study, got neither"):
        load_study(str(written))


def test_shifts_out_of_the_frame_are_refused_before_training(written: Path) -> None:
    written.write_text(WRITTEN.replace("grid:1", "grid:28"))
    with pytest.raises(OptionError, match=r"smaller than the images \(28 × 28 px\), got grid:28"):
        Materials.load(load_study(str(written)), CPU)

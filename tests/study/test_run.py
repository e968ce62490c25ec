"""Running a study: the record, workers, interruptions."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from shiftproof.engine import Engine, StopSignal, open_run
from shiftproof.errors import Stopped, TrainingError
from shiftproof.report import read_study
from shiftproof.study import Materials, Overrides, Watcher, load_study, run_study
from shiftproof.train import Progress

CPU = torch.device("cpu")


def materials(path: Path, limit: int = 200, **training: object) -> Materials:
    overrides = Overrides(limit=limit, training=training)
    return Materials.load(load_study(str(path), overrides=overrides), CPU)


def test_the_record_holds_every_number(tiny_study: Path, tmp_path: Path) -> None:
    what = materials(tiny_study)
    with open_run("tiny", what.config(), out=tmp_path / "r") as run:
        record = run_study(what, run)
        assert read_study(run.folder / "report.json") == record
        trained = [event for event in run.events() if event["event"] == "trained"]
    assert sorted(event["what"] for event in trained) == ["cnn1, seed 0", "dense-nn, seed 0"]
    assert record.status == "complete"
    assert [row.name for row in record.rows] == ["dense-nn", "cnn1"]
    for row in record.rows:
        ((first, last),) = row.curves
        assert last[0] < first[0], "one seed, two epochs: the loss falls"
        assert [cell.protocol for cell in row.cells] == ["article-none", "article-large"]
        for cell in row.cells:
            moved = cell.protocol != "article-none"
            assert set(cell.metrics) == {"accuracy", "worst-case-accuracy"} | (
                {"agreement"} if moved else set()
            )
            assert set(cell.not_applicable) == (set() if moved else {"agreement"})
            accuracy = cell.metrics["accuracy"]
            assert accuracy.n_images == 200
            assert accuracy.low <= accuracy.value <= accuracy.high
            assert cell.accuracy_per_seed == (accuracy.value,)
            worst = cell.metrics["worst-case-accuracy"]
            assert worst.value <= accuracy.value
            if not moved:
                assert "no image was moved" in cell.not_applicable["agreement"]
                assert worst.value == accuracy.value
    published = record.rows[1].cells[0]
    assert published.difference == pytest.approx(published.metrics["accuracy"].value - 0.9)
    assert record.rows[0].n_parameters == 89_610


@pytest.mark.slow
def test_workers_threads_and_folders_do_not_change_bytes(tiny_study: Path, tmp_path: Path) -> None:
    what = materials(tiny_study)
    for name, workers, threads in (("a", 1, 1), ("b", 2, 2), ("c", 2, 1), ("d", 1, 3)):
        with open_run("tiny", what.config(), out=tmp_path / name) as run:
            run_study(what, run, engine=Engine(workers=workers), threads=threads)
    reports = {name: (tmp_path / name / "report.json").read_bytes() for name in "abcd"}
    assert len(set(reports.values())) == 1
    units = {name: sorted(p.name for p in (tmp_path / name / "units").iterdir()) for name in "abcd"}
    assert units["a"] == units["b"] == units["c"] == units["d"]
    for unit in units["a"]:
        assert (tmp_path / "a" / "units" / unit).read_bytes() == (
            tmp_path / "b" / "units" / unit
        ).read_bytes()


def test_finished_units_are_not_computed_again(tiny_study: Path, tmp_path: Path) -> None:
    what = materials(tiny_study)
    for _ in range(2):
        with open_run("tiny", what.config(), out=tmp_path / "r") as run:
            run_study(what, run)
            assert len([e for e in run.events() if e["event"] == "trained"]) == 2


class StopsAfter(Watcher):
    """Asks for a stop after some reports of progress."""

    def __init__(self, stop: StopSignal, reports: int) -> None:
        self.stop, self.reports = stop, reports

    def training(self, label: str, progress: Progress) -> None:
        self.reports -= 1
        if self.reports == 0:
            self.stop.set()

    def finished(self, label: str) -> None: ...


def test_a_stopped_study_goes_on_to_the_same_bytes(tiny_study: Path, tmp_path: Path) -> None:
    what = materials(tiny_study)
    with open_run("tiny", what.config(), out=tmp_path / "whole") as run:
        run_study(what, run)
    for reports in (1, 2, 1):
        stop = StopSignal()
        with open_run("tiny", what.config(), out=tmp_path / "r") as run:
            try:
                run_study(what, run, stop=stop, watcher=StopsAfter(stop, reports))
            except Stopped:
                assert not (run.folder / "report.json").exists()
    with open_run("tiny", what.config(), out=tmp_path / "r") as run:
        run_study(what, run)
    assert (tmp_path / "r" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


def test_one_failed_row_does_not_lose_the_others(
    tiny_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shiftproof.study import _units
    from shiftproof.train import fit as real

    def fit(network: object, *args: object, **kwargs: object) -> object:
        if getattr(network, "name", "") == "cnn1":
            raise TrainingError("a finite loss", "nan at step 3 of epoch 1")
        return real(network, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(_units, "fit", fit)
    what = materials(tiny_study)
    with open_run("tiny", what.config(), out=tmp_path / "r") as run:
        record = run_study(what, run)
    assert record.status == "incomplete"
    assert record.rows[0].error is None
    assert "nan at step 3" in (record.rows[1].error or "")


def test_when_all_rows_fail_the_error_is_raised(tiny_study: Path, tmp_path: Path) -> None:
    what = materials(tiny_study, learning_rate=1e30)
    with (
        open_run("tiny", what.config(), out=tmp_path / "r") as run,
        pytest.raises(TrainingError, match=r"a finite loss, got (nan|inf) at step \d+ of epoch \d"),
    ):
        run_study(what, run)


def command(study: Path, out: Path) -> list[str]:
    return [
        sys.executable, "-m", "shiftproof", "study", str(study), "--preset", "quick", "--limit", "900",
        "--epochs", "6", "--out", str(out), "--json", "--device", "cpu",
    ]  # fmt: skip


@pytest.mark.slow
def test_kill_9_at_random_moments(tiny_study: Path, tmp_path: Path) -> None:
    """Killed at any moment, the same command goes on and gives the same report, byte for byte."""
    start = time.monotonic()
    whole = subprocess.run(command(tiny_study, tmp_path / "whole"), capture_output=True, check=True)
    seconds = time.monotonic() - start
    moments = random.Random(0)
    for _ in range(5):
        process = subprocess.Popen(
            command(tiny_study, tmp_path / "r"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            process.wait(moments.uniform(0.3, 1) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
    last = subprocess.run(command(tiny_study, tmp_path / "r"), capture_output=True, check=True)
    assert last.stdout == whole.stdout
    assert (tmp_path / "r" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    tiny_study: Path, tmp_path: Path, number: signal.Signals
) -> None:
    long = [*command(tiny_study, tmp_path / "r"), "--epochs", "400"]
    process = subprocess.Popen(
        long, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "epoch 2/400" in line:
            break
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # a terminal sends Ctrl-C to the workers too
    else:
        process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "To resume: shiftproof study" in errors
    assert "Traceback" not in errors
    assert list((tmp_path / "r" / "units").glob("train-*.partial.safetensors"))
    header = json.loads((tmp_path / "r" / "run.json").read_text())
    assert header["config"]["study"]["name"] == "tiny"

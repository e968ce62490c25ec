"""The command line as its users meet it: streams, exit codes, errors, JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shiftproof.cli import main
from shiftproof.report import read_study
from shiftproof.zoo import networks, trained_names

QUICK = ["--limit", "150", "--quiet", "--device", "cpu"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_study_is_a_table_and_then_one_document_which_equals_the_library(
    tiny_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r"
    arguments = ("study", str(tiny_study), "--out", str(out), "--limit", "150", "--device", "cpu")
    code, stdout, stderr = run(capsys, *arguments)
    assert code == 0
    assert "(0.9)" in stdout
    assert "95 % interval" in stdout
    assert "Preset quick: two epochs; changed: limit 150." in stdout
    assert "one <pool> | pipe" in stdout
    assert "epoch 2/2" in stderr, "plain lines, since this is no terminal"
    assert "images/s" in stderr
    markdown = (out / "report.md").read_text()
    assert "one &lt;pool> \\| pipe" in markdown
    code, stdout, _ = run(capsys, *arguments, "--json", "--quiet")
    assert code == 0
    assert json.loads(stdout) == json.loads((out / "report.json").read_text())
    assert next(iter(json.loads(stdout))) == "config", "keys are sorted, bytes are stable"
    for row in read_study(json.loads(stdout)).rows:
        for cell in row.cells:
            assert cell.metrics["accuracy"].n_images == 150


def test_a_study_of_the_article(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, stderr = run(
        capsys, "study", "article", "--preset", "quick", "--networks", "cnn1", "--epochs", "1",
        "--seeds", "1", "--out", str(tmp_path / "r"), "--json", *QUICK,
    )  # fmt: skip
    assert code == 0
    record = read_study(json.loads(stdout))
    assert [cell.published for cell in record.rows[0].cells] == [0.986, 0.919, 0.718]
    assert record.rows[0].recipe.epochs == 1
    assert "Run directory" in stderr


def test_data_is_read_from_an_idx_folder(
    tiny_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mnist = Path(__file__).parents[2] / "src" / "shiftproof" / "data" / "mnist"
    code, stdout, _ = run(
        capsys, "study", str(tiny_study), "--data", f"idx:{mnist}", "--networks", "dense-nn",
        "--out", str(tmp_path / "r"), "--json", *QUICK,
    )  # fmt: skip
    assert code == 0
    assert json.loads(stdout)["data"]["test"]["n_images"] == 150


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "cnn7"], "Did you mean 'cnn2'"),
        (["--preset", "quik"], "Did you mean 'quick'"),
        (["--protocols", "article-lrge"], "Did you mean 'article-large'"),
        (["--set", "epoch=3"], "Did you mean 'epochs'"),
        (["--set", "epochs"], "KEY=VALUE after --set"),
        (["--set", "early_stopping.patience_epochs=0"], "'early_stopping.patience_epochs'"),
        (["--set", "augmentation=keras-augmnt"], "Did you mean 'keras-augment'"),
        (["--input-scales", "rew"], "'input_scales.0'"),
        (["--data", "minst"], "Did you mean 'mnist'"),
        (["--data", "idx:/nowhere"], "a folder with IDX files"),
        (["--device", "tpu9"], "a device such as"),
        (["--device", "cuda:7"], "Use --device auto"),
        (["--epochs", "0"], "Invalid value"),
        (["--epoch", "3"], "No such option"),
    ],
)
def test_mistakes_exit_2_with_one_message(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, stderr = run(capsys, "study", "article", "--out", str(tmp_path / "r"), *arguments)
    assert code == 2
    assert stdout == ""
    assert message in " ".join(stderr.split())
    assert "Traceback" not in stderr
    assert not (tmp_path / "r").exists()


def test_a_table_always_has_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--networks", "dense-nn", "--epochs", "1", "--metrics", "agreement"]
    code, stdout, _ = run(capsys, "study", "article", *arguments, "--out", str(tmp_path / "r"), *QUICK)
    assert code == 0
    assert "dense-nn" in stdout
    record = read_study(tmp_path / "r" / "report.json")
    assert list(record.rows[0].cells[-1].metrics) == ["accuracy", "agreement"]


def test_early_stopping_and_nested_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(
        capsys, "study", "article", "--networks", "dense-nn", "--set", "early_stopping.patience_epochs=2",
        "--set", "learning_rate=0.01", "--set", "augmentation=article-small", "--json",
        "--out", str(tmp_path / "r"), *QUICK,
    )  # fmt: skip
    assert code == 0
    recipe = json.loads(stdout)["rows"][0]["recipe"]
    assert recipe["early_stopping"]["patience_epochs"] == 2
    assert (recipe["learning_rate"], recipe["augmentation"]) == (0.01, "article-small")


def test_a_folder_that_cannot_be_written_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    code, _, stderr = run(capsys, "study", "article", "--out", str(tmp_path / "file" / "r"), *QUICK)
    assert code == 2
    assert "Choose another folder with --out" in " ".join(stderr.split())


def test_a_full_disk_exits_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, stderr = run(capsys, "study", "article", "--out", str(tmp_path / "r"), *QUICK)
    assert code == 2
    assert "No space left on device" in " ".join(stderr.split())


def test_nan_exits_2_and_says_where(
    tiny_study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--set", "learning_rate=1e30", "--networks", "cnn1", "--out", str(tmp_path / "r"), *QUICK]
    code, _, stderr = run(capsys, "study", str(tiny_study), *arguments)
    assert code == 2
    assert "a finite loss" in stderr
    assert "at step" in stderr


def test_a_defect_exits_70(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from shiftproof.study import _spec

    monkeypatch.setattr(_spec, "_find", lambda reference: 1 / 0)
    code, _, stderr = run(capsys, "study", "article", *QUICK)
    assert code == 70
    assert "This is a bug in shiftproof" in stderr


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "zoo", "ls", "cnn?", "--json")
    assert code == 0
    rows = {row["name"]: row["parameters"] for row in json.loads(stdout)}
    assert rows == {"cnn1": 289_630, "cnn2": 85_670}
    everything = {row["name"]: row["trained"] for row in json.loads(run(capsys, "zoo", "ls", "--json")[1])}
    assert everything.keys() == {*networks.names(), *trained_names()}
    assert everything["cnn2-augmented"] == "MNIST, 100 epochs"
    assert everything["resnet20"] == ""
    assert "794,310" in run(capsys, "zoo", "ls")[1]
    assert [row["name"] for row in json.loads(run(capsys, "data", "ls", "--json")[1])] == [
        "mnist",
        "idx",
        "demo",
        "folder",
        "csv",
        "npz",
        "tar",
        "parquet",
        "address",
        "image",
    ]
    facts = {row["what"]: row["value"] for row in json.loads(run(capsys, "doctor", "--json")[1])}
    assert facts["torch"].startswith("2.")
    assert "cores" in facts["machine"]


def test_version_and_no_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, _ = run(capsys, "--version")
    assert code == 0
    assert stdout.startswith("shiftproof 0.")
    code, stdout, stderr = run(capsys)
    assert code == 2
    assert "reproduce" in stdout + stderr
    assert run(capsys, "study", "--help")[0] == 0


def test_help_loads_nothing_heavy() -> None:
    """`--help` stays fast because torch, scipy and numpy are not imported to parse."""
    code = (
        "import sys; from shiftproof.cli import main; code = main(['reproduce', '--help']);"
        "sys.exit(code or any(m in sys.modules for m in ('torch', 'scipy', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["table", "json"])
def test_a_reader_that_leaves_early_is_no_error(arguments: list[str]) -> None:
    """`shiftproof zoo ls | head -0` must not end in a traceback."""
    command = [sys.executable, "-m", "shiftproof", "zoo", "ls", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0

"""Units, run directories and workers: nothing is lost, nothing foreign is touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from shiftproof._files import make_folder, write_atomically
from shiftproof.engine import Unit, UnitStore, open_run
from shiftproof.errors import OutputError


def test_a_key_depends_on_everything_and_on_no_order() -> None:
    base = Unit("train", {"epochs": 1, "rate": 0.1}, {"data": "a"})
    assert base.key == Unit("train", {"rate": 0.1, "epochs": 1}, {"data": "a"}).key
    others = [
        Unit("probe", base.spec, base.inputs),
        Unit("train", {"epochs": 2, "rate": 0.1}, base.inputs),
        Unit("train", base.spec, {"data": "b"}),
    ]
    assert len({base.key, *(unit.key for unit in others)}) == 4


def test_a_unit_is_finished_when_its_file_is_there(tmp_path: Path) -> None:
    store, unit = UnitStore(tmp_path), Unit("train", {}, {})
    store.partial_path(unit).touch()
    assert not store.has(unit)
    store.path(unit).touch()
    assert store.has(unit)


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"to be able to write 'report\.json' in .* got No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Choose another folder with --out"):
        make_folder(tmp_path / "file" / "sub")
    with pytest.raises(OutputError, match="Choose another folder with --out"):
        write_atomically(tmp_path / "absent" / "x", "")


def test_the_same_configuration_is_the_same_run(tmp_path: Path) -> None:
    with open_run("study", {"a": 1}, root=tmp_path) as run:
        first = run.folder
        run.log({"event": "x"})
    with open_run("study", {"a": 1}, root=tmp_path) as run:
        assert run.folder == first
        assert [event["event"] for event in run.events()] == ["x"]
    with open_run("study", {"a": 2}, root=tmp_path) as run:
        assert run.folder != first
    header = json.loads((first / "run.json").read_text())
    assert len(header["sessions"]) == 2
    assert header["config"] == {"a": 1}


def test_fresh_throws_units_away(tmp_path: Path) -> None:
    with open_run("s", {}, out=tmp_path / "r") as run:
        run.units.path(Unit("train", {}, {})).touch()
        run.write_report({})
    with open_run("s", {}, out=tmp_path / "r") as run:
        assert run.units.has(Unit("train", {}, {}))
    with open_run("s", {}, out=tmp_path / "r", fresh=True) as run:
        assert not run.units.has(Unit("train", {}, {}))
        assert not (run.folder / "report.json").exists()


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with (
        pytest.raises(OutputError, match=r"other files \(thesis\.tex\)\. Nothing .* is overwritten"),
        open_run("s", {}, out=tmp_path / "mine"),
    ):
        pass
    with open_run("s", {"a": 1}, out=tmp_path / "r"):
        pass
    with (
        pytest.raises(OutputError, match="a run with other settings"),
        open_run("s", {"a": 2}, out=tmp_path / "r", fresh=True),
    ):
        pass
    (tmp_path / "f").touch()
    with pytest.raises(OutputError, match="a folder for the run"), open_run("s", {}, out=tmp_path / "f"):
        pass


def test_a_run_that_died_before_its_header_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "r" / "units").mkdir(parents=True)
    (tmp_path / "r" / ".run.json.abc").touch()
    with open_run("s", {}, out=tmp_path / "r") as run:
        assert (run.folder / "run.json").is_file()


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    with (
        FileLock(tmp_path / "r" / ".lock"),
        pytest.raises(OutputError, match="another process is writing"),
        open_run("s", {}, out=tmp_path / "r"),
    ):
        pass


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    with open_run("s", {}, out=tmp_path / "r") as run:
        run.log({"event": "whole"})
        with (run.folder / "events.jsonl").open("a") as file:
            file.write('{"event": "ha')
        assert [event["event"] for event in run.events()] == ["whole"]

"""Units, run directories and workers: nothing is lost, nothing foreign is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from safetensors import safe_open
from safetensors.numpy import save

from shiftproof._files import make_folder, write_atomically
from shiftproof._text import record_text
from shiftproof.engine import Unit, UnitStore, check_unit_file, open_run
from shiftproof.errors import CheckpointError, ConfigError, DataError, OutputError


def test_a_key_depends_on_everything_and_on_no_order() -> None:
    base = Unit("train", {"epochs": 1, "rate": 0.1}, {"data": "a"})
    assert base.key == Unit("train", {"rate": 0.1, "epochs": 1}, {"data": "a"}).key
    others = [
        Unit("probe", base.spec, base.inputs),
        Unit("train", {"epochs": 2, "rate": 0.1}, base.inputs),
        Unit("train", base.spec, {"data": "b"}),
    ]
    assert len({base.key, *(unit.key for unit in others)}) == 4


CONTENT = save({"values": np.arange(4.0)}, {"a": "b"})


def test_a_unit_is_finished_when_its_file_is_there(tmp_path: Path) -> None:
    store, unit = UnitStore(tmp_path), Unit("train", {}, {})
    store.partial_path(unit).touch()
    assert not store.has(unit)
    path = store.keep(unit, CONTENT)
    assert store.has(unit)
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("values").tolist() == [0, 1, 2, 3]
        assert file.metadata()["a"] == "b"
    assert check_unit_file(path) == {"kind": "train", "key": unit.key}


def of_another(path: Path, store: UnitStore) -> None:
    path.write_bytes(store.keep(Unit("train", {"seed": 1}, {}), CONTENT).read_bytes())


def without_seal(path: Path, store: UnitStore) -> None:
    path.write_bytes(CONTENT)


def cut(path: Path, store: UnitStore) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def empty(path: Path, store: UnitStore) -> None:
    path.write_bytes(b"")


def a_folder(path: Path, store: UnitStore) -> None:
    path.unlink()
    path.mkdir()


def a_pipe(path: Path, store: UnitStore) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage", [of_another, without_seal, cut, empty, a_folder, a_pipe], ids=lambda f: f.__name__
)
def test_a_unit_that_does_not_fit_is_named_set_aside_and_computed_again(
    damage: Callable[[Path, UnitStore], None], tmp_path: Path
) -> None:
    store, unit = UnitStore(tmp_path), Unit("train", {}, {})
    path = store.keep(unit, CONTENT)
    whole = path.read_bytes()
    damage(path, store)
    with pytest.raises(DataError, match="as a whole and sealed unit"):
        check_unit_file(path)
    with pytest.warns(UserWarning, match=rf"{path.name} does not fit .*set-aside-1.*computed again"):
        assert not store.has(unit)
    assert not path.exists()
    assert os.path.lexists(tmp_path / f"{path.stem}.set-aside-1.safetensors")
    assert store.keep(unit, CONTENT).read_bytes() == whole
    assert store.has(unit)


def test_no_byte_of_a_unit_can_change_unnoticed(tmp_path: Path) -> None:
    store, unit = UnitStore(tmp_path), Unit("train", {"rows": [0, 4]}, {})
    path = store.keep(unit, CONTENT)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(DataError, match="as a whole and sealed unit"):
            check_unit_file(path)


def test_a_partial_file_that_does_not_fit_is_begun_anew(tmp_path: Path) -> None:
    store, unit = UnitStore(tmp_path), Unit("train", {}, {})
    store.partial_path(unit).write_bytes(b"x")

    def work(partial: Path) -> str:
        if partial.exists():
            raise CheckpointError("a checkpoint", "something else")
        partial.write_bytes(CONTENT)
        return "done"

    with pytest.warns(UserWarning, match="set aside"):
        assert store.finish(unit, work) == "done"
    assert store.has(unit)
    assert not store.partial_path(unit).exists()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no umask for files")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_a_file(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "new", b"")
        write_atomically(tmp_path / "new", b"again")
        with open_run("slug", {"a": 1}, out=tmp_path / "run") as run:
            run.log({"event": "x"})
            run.write_report(record_text({}))
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"new", "run.json", "report.json", "events.jsonl"} <= {path.name for path in files}
    assert {path.stat().st_mode & 0o777 for path in files} == {mode}


def test_writing_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.json"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"Cannot write 'report\.json' in .*: No space left"):
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
        run.units.keep(Unit("train", {}, {}), CONTENT)
        (run.units.folder / "mine.safetensors").touch()
        run.write_report(record_text({}))
    with open_run("s", {}, out=tmp_path / "r") as run:
        assert run.units.has(Unit("train", {}, {}))
    with open_run("s", {}, out=tmp_path / "r", fresh=True) as run:
        assert not run.units.has(Unit("train", {}, {}))
        assert not (run.folder / "report.json").exists()
        assert (run.units.folder / "mine.safetensors").exists(), "only what is ours is deleted"


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
    with pytest.raises(OutputError, match="Cannot write the run to"), open_run("s", {}, out=tmp_path / "f"):
        pass


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize(
    "there",
    ["units/probe-0.safetensors", ".ssh/key", "report.json", "run.json"],
)
def test_a_folder_without_a_header_of_ours_is_somebody_elses(there: str, fresh: bool, tmp_path: Path) -> None:
    path = tmp_path / "r" / there
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with (
        pytest.raises(OutputError, match=r"Cannot write this run to .*: it holds"),
        open_run("s", {}, out=tmp_path / "r", fresh=fresh),
    ):
        pass
    assert [p for p in (tmp_path / "r").rglob("*") if p.is_file()] == [path]


@pytest.mark.parametrize("change", [{"config": {"a": 2}}, {"config_digest": "0" * 64}, {"schema_version": 9}])
def test_a_header_has_to_vouch_for_itself(change: dict[str, object], tmp_path: Path) -> None:
    with open_run("s", {"a": 1}, out=tmp_path / "r"):
        pass
    header = json.loads((tmp_path / "r" / "run.json").read_text())
    (tmp_path / "r" / "run.json").write_text(json.dumps(header | change))
    with pytest.raises(OutputError, match="other files"), open_run("s", {"a": 1}, out=tmp_path / "r"):
        pass


@pytest.mark.parametrize("name", ["units", "events.jsonl", ".lock", "run.json", "networks", "report.json"])
def test_no_link_in_a_run_leads_out_of_it(name: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with open_run("s", {}, out=tmp_path / "r"):
        pass
    target = tmp_path / "r" / name
    if target.is_dir():
        target.rmdir()
    target.unlink(missing_ok=True)
    target.symlink_to(other / "thesis.tex" if "." in name else other)
    with (
        pytest.raises(OutputError, match="to be an ordinary f"),
        open_run("s", {}, out=tmp_path / "r", fresh=True),
    ):
        pass
    assert (other / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("slug", ["../../x", "a/b", "", ".", "a" * 65, "a\nb", "/tmp/x"])
def test_the_name_of_a_run_leads_nowhere(slug: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a name of letters"), open_run(slug, {}, root=tmp_path / "runs"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a" * 300, "x/" * 3000, "a\0b"])
def test_a_place_that_cannot_be_is_an_output_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="Cannot write the run to"), open_run("s", {}, out=tmp_path / name):
        pass


def test_names_that_are_no_text_are_names_all_the_same(tmp_path: Path) -> None:
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    for _ in range(2):
        with open_run("s", {"model": out.name}, out=out, about={"command": str(out)}) as run:
            run.log({"event": out.name})
    assert len(json.loads((out / "run.json").read_text())["sessions"]) == 2


def test_a_run_that_died_before_its_header_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
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

"""Run directories on a store: the same files as in a folder, whoever dies, and however many work on them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from tests.faulty_store import Faulty, empty_faulty_store

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._inputs import Most
from shiftproof._text import record_text
from shiftproof.engine import Unit, UnitStore, files_of_run, open_run
from shiftproof.errors import CheckpointError, OutputError

HERE = "faulty://bucket/run"
CONFIG = {"a": 1}
UNITS = [Unit("probe", {"rows": [n, n + 1]}, {}) for n in range(4)]


def content(number: int) -> bytes:
    return save({"values": np.full(3, float(number))})


def work(out: Path | str, *, fresh: bool = False, until: int = len(UNITS)) -> int:
    """A session: the number of units that it had to compute."""
    n_made = 0
    with open_run("s", CONFIG, out=out, fresh=fresh) as run:
        for number, unit in enumerate(UNITS[:until]):
            if not run.units.has(unit):
                run.units.keep(unit, content(number))
                n_made += 1
        if until < len(UNITS):
            raise KeyboardInterrupt("stop")
        (run.folder / "report.html").write_text("page")
        run.write_report(record_text({"b": [1, 2]}))
    return n_made


def there(store: type[Faulty]) -> dict[str, bytes]:
    return {name.removeprefix("/bucket/run/"): bytes(file.getbuffer()) for name, file in store.store.items()}


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    monkeypatch.setattr(_store, "WAITS_S", (0.0, 0.0, 0.0))
    yield empty_faulty_store({})
    empty_faulty_store({})


def test_an_address_holds_what_a_folder_would(store: type[Faulty], tmp_path: Path) -> None:
    assert work(tmp_path / "r") == work(HERE) == len(UNITS)
    names = {p.relative_to(tmp_path / "r").as_posix() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    found = there(store)
    assert set(found) == names - {".lock"}
    for name in names - {".lock", "run.json"}:
        assert found[name] == (tmp_path / "r" / name).read_bytes()
    assert json.loads(found["run.json"])["config"] == CONFIG


def test_a_second_session_goes_on(store: type[Faulty]) -> None:
    with pytest.raises(KeyboardInterrupt, match="stop"):
        work(HERE, until=2)
    assert "report.json" not in there(store)
    assert work(HERE) == 2
    before = there(store)
    assert work(HERE) == 0
    after = there(store)
    assert len(json.loads(after.pop("run.json"))["sessions"]) == 3
    before.pop("run.json")
    assert after == before
    assert work(HERE, fresh=True) == len(UNITS)


def test_the_record_comes_last(store: type[Faulty], monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    plain = Faulty.mv

    def mv(self: Faulty, old: str, new: str, **options: object) -> None:
        written.append(new.rpartition("/")[2])
        plain(self, old, new, **options)

    monkeypatch.setattr(Faulty, "mv", mv)
    work(HERE)
    assert written[0] == "run.json"
    assert written[-1] == "report.json"
    assert written.count("report.html") == 1


def test_two_at_once_end_in_the_same_bytes(store: type[Faulty]) -> None:
    work(HERE)
    alone = there(store)
    empty_faulty_store({})
    with open_run("s", CONFIG, out=HERE) as first, open_run("s", CONFIG, out=HERE) as second:
        for number, unit in enumerate(UNITS):
            for run in (first, second) if number % 2 else (second, first):
                run.units.keep(unit, content(number))
        for run in (first, second):
            (run.folder / "report.html").write_text("page")
            run.write_report(record_text({"b": [1, 2]}))
    together = there(store)
    del alone["run.json"], together["run.json"]
    assert together == alone


def test_one_takes_what_the_other_finished_meanwhile(store: type[Faulty]) -> None:
    with open_run("s", CONFIG, out=HERE) as first, open_run("s", CONFIG, out=HERE) as second:
        assert not second.units.has(UNITS[0])
        path = first.units.keep(UNITS[0], content(0))
        assert second.units.has(UNITS[0])
        assert second.units.path(UNITS[0]) != path
        assert second.units.path(UNITS[0]).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("where", ["folder", "address"])
def test_many_units_are_found_as_each_alone(where: str, store: type[Faulty], tmp_path: Path) -> None:
    """Whole, damaged or not there; those here already, and those that are only at the address."""
    address = Address(HERE) / "units" if where == "address" else None
    kept, looked = UnitStore(tmp_path / "kept", address), UnitStore(tmp_path / "kept", address)
    if address is not None:
        looked = UnitStore(tmp_path / "other", address)
        (tmp_path / "other").mkdir()
    (tmp_path / "kept").mkdir()
    for number in (0, 2, 3):
        kept.keep(UNITS[number], content(number))
    damaged = kept.path(UNITS[2]).read_bytes()[:-1]
    kept.path(UNITS[2]).write_bytes(damaged)
    if address is not None:
        _store.write(address / kept.path(UNITS[2]).name, damaged)
        looked.keep(UNITS[3], content(3))
    with pytest.warns(UserWarning, match="does not fit"):
        assert looked.has_each(UNITS) == [True, False, False, True]
    for number in (0, 3):
        with safe_open(looked.path(UNITS[number]), framework="np") as file:
            assert file.get_tensor("values").tolist() == [number] * 3


def test_units_that_are_not_there_are_one_question_to_the_store(store: type[Faulty], tmp_path: Path) -> None:
    many = [Unit("probe", {"rows": [n, n + 1]}, {}) for n in range(500)]
    looked = UnitStore(tmp_path, Address(HERE) / "units")
    assert looked.has_each(many) == [False] * 500
    assert store.calls == {"list": 1}
    for number in (7, 300):
        UnitStore(tmp_path / "elsewhere", Address(HERE) / "units").keep(many[number], content(number))
    store.calls.clear()
    assert [number for number, found in enumerate(looked.has_each(many)) if found] == [7, 300]
    assert store.calls["list"] == 1
    assert store.calls["read"] == 2


def test_what_workers_finished_elsewhere_is_taken_or_missed(store: type[Faulty], tmp_path: Path) -> None:
    elsewhere = UnitStore(tmp_path / "elsewhere", Address(HERE) / "units")
    for number, unit in enumerate(UNITS):
        elsewhere.keep(unit, content(number))
    driver = UnitStore(tmp_path / "driver", Address(HERE) / "units")
    store.calls.clear()
    driver.take(UNITS)
    assert store.calls["list"] == 0
    for unit in UNITS:
        there = _store.read(Address(HERE) / "units" / elsewhere.path(unit).name, Most.WEIGHTS)
        assert driver.path(unit).read_bytes() == there
    _store.delete(Address(HERE) / "units" / driver.path(UNITS[1]).name)
    with pytest.raises(OutputError, match="as a worker kept it: it is gone or does not fit"):
        UnitStore(tmp_path / "late", Address(HERE) / "units").take(UNITS)
    UnitStore(tmp_path / "nowhere").take(UNITS)  # of a folder, which the workers share


def test_names_that_cannot_be_listed_are_one_sentence(store: type[Faulty], tmp_path: Path) -> None:
    store.plan["list"] = [ConnectionError("refused")] * 9
    with pytest.raises(OutputError, match=r"Cannot list 'faulty://bucket/run/units': refused"):
        UnitStore(tmp_path, Address(HERE) / "units").has_each(UNITS)


def test_a_worker_elsewhere_needs_only_the_address(store: type[Faulty], tmp_path: Path) -> None:
    elsewhere = UnitStore(tmp_path / "not" / "there", Address(HERE) / "units")
    elsewhere.keep(UNITS[0], content(0))
    assert not list(tmp_path.iterdir()), "nobody would clear it away on that machine"
    with open_run("s", CONFIG, out="faulty://bucket/other") as run:
        assert not run.units.has(UNITS[0])
    assert UnitStore(tmp_path / "driver", Address(HERE) / "units").has(UNITS[0])


@pytest.mark.parametrize("damage", ["half", "other"])
def test_a_unit_that_does_not_fit_is_replaced(damage: str, store: type[Faulty]) -> None:
    work(HERE)
    alone = there(store)
    name = f"units/{UNITS[1].kind}-{UNITS[1].key[:32]}.safetensors"
    other = next(each for each in alone if each.startswith("units/") and each != name)
    wrong = alone[name][:-9] if damage == "half" else alone[other]
    _store.write(Address(f"{HERE}/{name}"), wrong)
    with pytest.warns(UserWarning, match="does not fit .* computed again"):
        assert work(HERE) == 1
    found = there(store)
    assert found[name] == alone[name]
    aside = name.replace(".safetensors", ".set-aside-1.safetensors")
    assert found[aside] == wrong


def test_a_long_unit_goes_on_from_what_was_left(store: type[Faulty]) -> None:
    unit = Unit("train", {}, {})
    steps: list[str] = []

    def train(partial: Path) -> None:
        steps.append("on" if partial.exists() else "anew")
        partial.write_bytes(content(7))
        if len(steps) == 1:
            raise KeyboardInterrupt("stop")

    with pytest.raises(KeyboardInterrupt, match="stop"), open_run("s", CONFIG, out=HERE) as run:
        run.units.finish(unit, train)
    assert any(name.endswith(".partial.safetensors") for name in there(store))
    with open_run("s", CONFIG, out=HERE) as run:
        run.units.finish(unit, train)
        assert run.units.has(unit)
    assert steps == ["anew", "on"]
    assert not any(".partial" in name for name in there(store))


def test_what_was_left_and_does_not_fit_is_begun_anew(store: type[Faulty]) -> None:
    unit = Unit("train", {}, {})
    partial = Address(HERE) / "units" / f"train-{unit.key[:32]}.partial.safetensors"
    with open_run("s", CONFIG, out=HERE):
        _store.write(partial, b"x")

    def train(path: Path) -> None:
        if path.exists():
            raise CheckpointError("a checkpoint", "something else")
        path.write_bytes(content(7))

    with pytest.warns(UserWarning, match="set aside"), open_run("s", CONFIG, out=HERE) as run:
        run.units.finish(unit, train)
    assert sum(name.startswith("units/train") for name in there(store)) == 2


def test_events_and_networks_are_those_of_all_sessions(store: type[Faulty]) -> None:
    for number in range(2):
        with open_run("s", CONFIG, out=HERE) as run:
            run.log({"event": str(number)})
            assert [event["event"] for event in run.events()] == [str(n) for n in range(number + 1)]
            network = run.folder / "networks" / "a.safetensors"
            assert network.exists() == (number == 1)
            network.parent.mkdir(exist_ok=True)
            network.write_bytes(b"weights")
    assert there(store)["networks/a.safetensors"] == b"weights"


def test_what_is_of_others_is_left_alone(store: type[Faulty]) -> None:
    _store.write(Address("faulty://bucket/mine/thesis.tex"), b"mine")
    with (
        pytest.raises(
            OutputError,
            match=r"Cannot write this run to 'faulty://bucket/mine': .*other files \(thesis\.tex\)",
        ),
        open_run("s", CONFIG, out="faulty://bucket/mine", fresh=True),
    ):
        pass
    work(HERE)
    before = there(store)
    with pytest.raises(OutputError, match="a run with other settings"), open_run("s", {"a": 2}, out=HERE):
        pass
    assert there(store) == before
    _store.write(Address(HERE) / "units" / "mine.safetensors", b"mine")
    work(HERE, fresh=True)
    assert there(store)["units/mine.safetensors"] == b"mine"


def test_faults_on_the_way_change_no_byte(store: type[Faulty]) -> None:
    work(HERE)
    alone = there(store)
    for seed in range(20):
        random = np.random.default_rng(seed)
        faults = [ConnectionError("reset"), "half", "twice", "lost answer", None, None, None]
        empty_faulty_store(
            {each: [faults[k] for k in random.integers(0, 7, 40)] for each in ("write", "read", "list")}
        )
        for _ in range(30):  # the same command again, until it is done
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    work(HERE)
                    break
                except OutputError:
                    continue
        found = there(store)
        assert {name for name in found if ".set-aside" not in name} == set(alone)
        assert all(found[name] == alone[name] for name in alone if name != "run.json")


def test_a_store_that_is_gone_is_one_sentence(store: type[Faulty]) -> None:
    store.plan["list"] = [ConnectionError("refused")] * 9
    with (
        pytest.raises(OutputError, match=r"Cannot open a run at 'faulty://bucket/run': refused, 4 times"),
        open_run("s", CONFIG, out=HERE),
    ):
        pass
    store.plan["list"] = []
    work(HERE)
    store.plan["read"] = [ConnectionError("refused")] * 99
    with files_of_run(HERE) as file, pytest.raises(OSError, match="refused"):
        file("report.json")
    store.plan["read"] = [None] + [ConnectionError("refused")] * 9
    with pytest.raises(OutputError, match="finished work is kept"):
        work(HERE)

"""`--out` with an address, and what `report`, `compare` and `--baseline` make of it, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faulty_store import Faulty, empty_faulty_store

from shiftproof import _store
from shiftproof._address import Address
from shiftproof.audits import audit, load_audit
from shiftproof.cli import main
from shiftproof.errors import DataError
from shiftproof.report import report_html

AUDIT = ["audit", "zoo:cnn1", "demo:mnist", "--untrained", "--limit", "40", "--protocol", "grid:1", "--quiet"]
HERE = "faulty://bucket/run"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.setattr(_store, "WAITS_S", (0.0, 0.0, 0.0))
    return empty_faulty_store({})


def content(store: type[Faulty], name: str) -> bytes:
    return bytes(store.store[f"/bucket/run/{name}"].getbuffer())


def test_the_same_command_at_an_address_gives_the_same_bytes(
    store: type[Faulty], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*AUDIT, "--out", "r", "--figures"]) == 0
    capsys.readouterr()
    assert main([*AUDIT, "--out", HERE, "--figures"]) == 0
    out, err = capsys.readouterr()
    assert f"Run directory: {HERE}\n" in err
    assert f"Record: {HERE}/report.json\n" in out
    files = [p.relative_to("r").as_posix() for p in Path("r").rglob("*") if p.is_file()]
    assert any(name.startswith("figures/") for name in files)
    for name in files:
        if name not in (".lock", "run.json"):
            assert content(store, name) == Path("r", name).read_bytes(), name
    assert main([*AUDIT, "--out", HERE, "--figures"]) == 0
    assert len(json.loads(content(store, "run.json"))["sessions"]) == 2


def test_what_is_there_is_shown_compared_and_a_baseline(
    store: type[Faulty], capsys: pytest.CaptureFixture[str]
) -> None:
    for out in ("r", HERE):
        assert main([*AUDIT, "--out", out]) == 0
    here, there = load_audit("r"), load_audit(HERE)
    assert here.to_json() == there.to_json()
    page = content(store, "report.html")
    store.store.pop("/bucket/run/report.html")
    capsys.readouterr()
    assert main(["report", HERE]) == 0
    assert capsys.readouterr().out == f"Report: {HERE}/report.html\n"
    assert content(store, "report.html") == page
    assert main(["report", f"{HERE}/report.json", "r", "--out", "both.html"]) == 0
    assert Path("both.html").read_text() == report_html(here.record, here.record)
    capsys.readouterr()
    assert main(["compare", "r", HERE, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["protocols"][0]["rows"]
    assert {row["difference"].get("value", 0.0) for row in rows} == {0.0}
    assert main([*AUDIT, "--baseline", HERE, "--out", "again"]) in (0, 3)


def test_the_library_takes_an_address_as_well(store: type[Faulty]) -> None:
    done = audit("zoo:cnn1", "demo:mnist", protocols=["grid:1"], limit=30, out=HERE)
    assert load_audit(Address(HERE)).to_json() == done.to_json()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "faulty://bucket/none"], "as the record of a run: no such file"),
        (["compare", HERE, HERE], "Cannot read report.json of a finished audit"),
        ([*AUDIT, "--out", "faulty://me:secret@host/run"], "an address without a user or a password in it"),
        ([*AUDIT, "--out", "nonsense://bucket/run"], "no address of a store that is known"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in " ".join(err.split())
    assert "Traceback" not in err
    assert "secret" not in err


def test_a_shard_that_is_gone_or_damaged_is_named(store: type[Faulty]) -> None:
    assert main([*AUDIT, "--out", HERE]) == 0
    name = next(name for name in store.store if "/units/probe-" in name)
    whole = bytes(store.store[name].getbuffer())
    _store.write(Address(f"faulty:/{name}"), whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(DataError, match="as a whole and sealed unit"):
        load_audit(HERE)
    store.store.pop(name)
    with pytest.raises(DataError, match=r"the shard 'units/probe-.*no such file"):
        load_audit(HERE)

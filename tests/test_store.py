"""Files by address: whole or absent, tried again, not waited for without an end."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.faulty_store import empty_faulty_store

from shiftproof import _store
from shiftproof._address import Address, is_address, place
from shiftproof._inputs import Most, UnfitFile
from shiftproof.errors import MissingDependencyError, OptionError, OutputError

CONTENT = bytes(range(256)) * 4
HERE = Address("faulty://bucket/run/a")
N_TRIES = len(_store.WAITS_S) + 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "WAITS_S", (0.0,) * (N_TRIES - 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://bucket/run/", Address("s3://bucket/run")),
        ("memory://a", Address("memory://a")),
        ("file:///tmp/a%20b", Path("/tmp/a b")),
        ("runs/a", Path("runs/a")),
        ("C:/runs", Path("C:/runs")),
        ("hf:org/name", Path("hf:org/name")),
        (Path("s3:/a"), Path("s3:/a")),
    ],
)
def test_convention_what_is_an_address(text: str | Path, expected: Path | Address) -> None:
    assert place(text) == expected
    assert is_address(text) == (isinstance(expected, Address) or str(text).startswith("file:"))


@pytest.mark.parametrize("text", ["ftp://me:secret@host/a", "s3://key@bucket/a", "zip::s3://a/b.zip"])
def test_no_password_and_no_chain_is_in_an_address(text: str) -> None:
    with pytest.raises(OptionError, match="an address with") as error:
        place(text)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "faults",
    [
        [],
        [ConnectionError("reset")],
        [TimeoutError(), OSError(5, "503 Slow Down"), ConnectionError("reset")],
        ["half"],
        ["half", ConnectionError("reset"), "half"],
        ["twice"],
        ["lost answer"],
    ],
    ids=str,
)
def test_what_fails_a_few_times_is_done(faults: list[object], tmp_path: Path) -> None:
    store = empty_faulty_store({"write": list(faults), "read": list(faults), "list": list(faults)})
    _store.write(HERE, CONTENT)
    assert list(store.store) == ["/bucket/run/a"], "nothing is left under another name"
    assert _store.read(HERE, Most.RECORD) == CONTENT
    store.plan["read"] = list(faults)
    _store.download(HERE, tmp_path / "a", Most.RECORD)
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert _store.list_folder(Address("faulty://bucket/run")) == [("a", False, len(CONTENT))]


@pytest.mark.parametrize("fault", [ConnectionError("reset by peer"), OSError(5, "503 Slow Down"), "half"])
def test_what_goes_on_failing_is_an_error_that_says_so(fault: object, tmp_path: Path) -> None:
    store = empty_faulty_store({})
    _store.write(HERE, b"before")
    store.calls.clear()
    store.plan |= {"write": [fault] * 9, "read": [fault] * 9}
    with pytest.raises(OutputError, match=rf"'faulty://bucket/run/a': .*{N_TRIES} times in a row"):
        _store.write(HERE, CONTENT)
    assert store.calls["write"] == N_TRIES, "not for ever"
    with pytest.raises(_store.StoreError, match="times in a row"):
        _store.read(HERE, Most.RECORD)
    with pytest.raises(_store.StoreError, match="times in a row"):
        _store.download(HERE, tmp_path / "a", Most.RECORD)
    assert not list(tmp_path.iterdir())


def test_what_no_second_try_changes_is_tried_once() -> None:
    store = empty_faulty_store({"write": [PermissionError(13, "Access Denied")]})
    with pytest.raises(OutputError, match=r"no right to do that \(Access Denied\)\. Check .* your rights"):
        _store.write(HERE, CONTENT)
    assert store.calls["write"] == 1


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "LONGEST_WAIT_S", 1.0)
    store = empty_faulty_store({"write": ["late"]})
    _store.write(HERE, CONTENT)  # the second try; the first one still waits
    assert store.calls["write"] == 2
    assert store.calls["arrived late"] == 0
    monkeypatch.setattr(_store, "LONGEST_WAIT_S", 0.05)
    store.plan["write"] = ["late"] * 9
    with pytest.raises(OutputError, match=r"no answer within 0\.05 s, 4 times in a row"):
        _store.write(HERE, b"other")
    assert _store.read(HERE, Most.RECORD) == CONTENT
    store.released.set()


def test_what_is_absent_or_too_large_is_said() -> None:
    empty_faulty_store({})
    assert _store.size_of(HERE) is None
    assert _store.list_folder(HERE) == []
    with pytest.raises(FileNotFoundError, match="no such file"):
        _store.read(HERE, Most.RECORD)
    _store.delete(HERE)
    _store.write(HERE, bytes(Most.SETTINGS + 1))
    with pytest.raises(UnfitFile, match="more than 1,048,576"):
        _store.read(HERE, Most.SETTINGS)


def test_an_unknown_protocol_and_an_absent_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=r"no address of a store that is known .*nonsense"):
        _store.write(Address("nonsense://a/b"), b"")
    monkeypatch.setattr("fsspec.core.url_to_fs", _raise(ImportError("Install webhdfs2")))
    with pytest.raises(MissingDependencyError, match="Cannot use addresses that begin with webhdfs2"):
        _store.write(Address("webhdfs2://a/b"), b"")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[remote\]'"):
        _store.read(HERE, Most.RECORD)


def _raise(error: Exception) -> object:
    def fail(*args: object, **options: object) -> None:
        raise error

    return fail

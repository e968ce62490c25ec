"""Run directories on a server that speaks S3: whole units, rights, and a driver that is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._inputs import Most
from shiftproof._text import record_text
from shiftproof.cli import main
from shiftproof.engine import Unit, open_run
from shiftproof.errors import OutputError

pytest.importorskip("moto.server")
pytest.importorskip("s3fs")

UNIT = Unit("probe", {"rows": [0, 1]}, {})
CONTENT = save({"values": np.arange(4.0)})
DIES = """
import os, signal, sys
import numpy as np
from safetensors.numpy import save
from shiftproof.engine import Unit, open_run
with open_run("s", {"a": 1}, out=sys.argv[1]) as run:
    run.units.keep(Unit("probe", {"rows": [0, 1]}, {}), save({"values": np.arange(4.0)}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "WAITS_S", (0.0, 0.0, 0.0))


def test_files_are_written_listed_read_and_deleted(bucket: str, tmp_path: Path) -> None:
    here = Address(bucket) / "files"
    content = os.urandom(6 * 2**20)  # more than one part of an upload
    _store.write(here / "a b.bin", content)
    _store.write(here / "deep" / "c", b"c")
    assert _store.list_folder(here) == [("a b.bin", False, len(content)), ("deep", True, 0)]
    assert _store.read(here / "a b.bin", Most.RECORD) == content
    _store.download(here / "a b.bin", tmp_path / "a", Most.RECORD)
    assert (tmp_path / "a").read_bytes() == content
    _store.write(here / "a b.bin", b"new")
    assert _store.read(here / "a b.bin", Most.RECORD) == b"new", "no cache says otherwise"
    _store.delete(here / "a b.bin")
    _store.delete(here / "a b.bin")
    assert _store.size_of(here / "a b.bin") is None
    assert [entry.name for entry in _store.list_folder(here)] == ["deep"]


def test_a_driver_that_is_killed_leaves_its_units_and_nothing_to_wait_for(
    bucket: str, tmp_path: Path
) -> None:
    out = f"{bucket}/killed"
    died = subprocess.run(
        [sys.executable, "-c", DIES, out], check=False, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert died.returncode == -signal.SIGKILL
    with open_run("s", {"a": 1}, out=out) as run:
        assert run.units.has(UNIT)
        run.write_report(record_text({"done": True}))
    assert json.loads(_store.read(Address(out) / "report.json", Most.RECORD)) == {"done": True}
    assert len(json.loads(_store.read(Address(out) / "run.json", Most.RECORD))["sessions"]) == 2


def test_two_runs_and_fresh(bucket: str) -> None:
    out = f"{bucket}/twice"
    for fresh in (False, True):
        with open_run("s", {"a": 1}, out=out, fresh=fresh) as run:
            assert not run.units.has(UNIT)
            run.units.keep(UNIT, CONTENT)
    with pytest.raises(OutputError, match="a run with other settings"), open_run("s", {"a": 2}, out=out):
        pass


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str) -> None:
    with (
        pytest.raises(OutputError, match=r"Cannot write 's3://no-such-bucket/r/run\.json': .*bucket"),
        open_run("s", {"a": 1}, out="s3://no-such-bucket/r"),
    ):
        pass


def test_a_fixed_model_is_used_from_where_it_was_written(
    bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--limit", "60", "--quiet", "--protocol", "box:3,3,1"]
    fixing = ["fix", "zoo:cnn2", "demo:mnist", "--edits", "max-blur-pool", "--clean-margin", "1"]
    assert main([*fixing, *options, "--out", f"{bucket}/fixed"]) == 0
    assert f"Model: fixed:{bucket}/fixed" in capsys.readouterr().out
    assert main(["audit", f"fixed:{bucket}/fixed", "demo:mnist", *options, "--out", f"{bucket}/audit"]) == 0
    record = json.loads(_store.read(Address(bucket) / "audit/report.json", Most.RECORD))
    assert record["model"]["name"] == "fixed:fixed"
    assert any("max-blur-pool" in note for note in record["model"]["notes"])


def test_no_credentials_are_one_sentence(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with (
        pytest.raises(OutputError, match=r"no right to do that \(Unable to locate credentials\)"),
        open_run("s", {"a": 1}, out=f"{bucket}/r"),
    ):
        pass
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def without_rights(bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The keys of a user to whom nobody gave any right, on a server that looks."""
    import s3fs

    boto3: Any = pytest.importorskip("boto3")
    server = os.environ["AWS_ENDPOINT_URL"]
    iam = boto3.client("iam", endpoint_url=server)
    iam.create_user(UserName="nobody")
    keys = iam.create_access_key(UserName="nobody")["AccessKey"]
    iam.close()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
    s3fs.S3FileSystem.clear_instance_cache()
    _asks_for_rights(server, "0")
    yield
    _asks_for_rights(server, "inf")
    s3fs.S3FileSystem.clear_instance_cache()


def _asks_for_rights(server: str, after_requests: str) -> None:
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{server}/moto-api/reset-auth", after_requests.encode(), plain)
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def test_a_place_without_rights_is_one_sentence(
    without_rights: None, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["audit", "zoo:cnn1", "demo:mnist", "--untrained", "--limit", "10", "--protocol", "one-pixel"]
    assert main([*command, "--quiet", "--out", f"{bucket}/denied"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"Cannot open a run at '{bucket}/denied': no right to do that (Access Denied)." in said
    assert "Check the address and your rights, or choose another with --out." in said
    assert "Traceback" not in said


def test_a_server_that_is_away_is_one_sentence(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with (
        pytest.raises(OutputError, match=r"Cannot open a run at 's3://bucket/r': .*127\.0\.0\.1:9"),
        open_run("s", {"a": 1}, out=f"{bucket}/r"),
    ):
        pass
    s3fs.S3FileSystem.clear_instance_cache()

"""More than a thousand hostile and clumsy inputs: each ends with its exit code, one sentence, and no harm.

python -m pytest -m slow tests/hostile
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import pytest
import torch
from tests.hostile import models, numbers_in_files, pages, places, processes, runs, shards, texts, visitors
from tests.hostile.cases import Case, all_cases

from shiftproof.cli import main

pytestmark = pytest.mark.slow
SECONDS = int(os.environ.get("SHIFTPROOF_HOSTILE_SECONDS", "120"))
MAX_GROWTH_BYTES = 2**30
MAX_CHARACTERS = 30_000
CASES = all_cases()
MODULES = (models, numbers_in_files, pages, places, processes, runs, shards, texts, visitors)


def test_there_are_enough_of_every_kind() -> None:
    counts = Counter(case.kind for case in CASES)
    assert len(CASES) >= 500
    assert len(set(map(str, CASES))) == len(CASES), "two cases have one name"
    assert len(counts) >= 20
    assert {module.__name__.rpartition(".")[2] for module in MODULES} == {
        path.stem for path in Path(__file__).parent.glob("*.py")
    } - {"cases", "conftest", "test_hostile", "__init__"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of one's own; whatever a model does to the process is undone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    path = [*sys.path]
    yield tmp_path
    sys.path[:] = path
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    os.chdir(tmp_path.parent)
    # Some paths in it are longer than any name may be.
    subprocess.run(["rm", "-rf", str(tmp_path)], check=False)


@contextmanager
def in_time() -> Iterator[None]:
    """What takes too long is interrupted, and so ends with another exit code."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return 0


@contextmanager
def in_little_memory() -> Iterator[None]:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    before = peak_bytes()
    yield
    assert peak_bytes() - before < MAX_GROWTH_BYTES, "it filled the memory"


def check_printed(text: str) -> None:
    assert "Traceback" not in text
    assert "bug in shiftproof" not in text
    assert len(text) < MAX_CHARACTERS
    odd = {character for character in text if not (character.isprintable() or character == "\n")}
    assert not odd, f"{odd!r} reached the terminal"
    lines = text.splitlines()
    assert not [line for line in lines if line.lstrip().startswith("::")]
    assert not [line for line in lines if "##vso[" in line or "##[" in line]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_input_ends_as_it_should(
    case: Case, here: Path, capsys: pytest.CaptureFixture[str], record_property: object
) -> None:
    assert callable(record_property)
    record_property("kind", case.kind)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        arguments = case.make(here)
        for _ in range(1 + case.twice):
            capsys.readouterr()
            with in_time(), in_little_memory():
                code = main(arguments)
            out, err = capsys.readouterr()
            check_printed(out)
            check_printed(err)
            assert code in case.codes, f"exit code {code}: {err[-2000:]}"
            if code == 2:
                assert out == ""
                assert len(re.findall(r"(?m)^Error:", err)) == 1
    if case.check is not None:
        case.check(here, out + err)


@pytest.mark.parametrize("case", processes.CASES, ids=lambda case: case.name)
def test_a_process_ends_as_it_should(
    case: processes.ProcessCase, here: Path, record_property: object
) -> None:
    assert callable(record_property)
    record_property("kind", "processes")
    done = case.run(here)
    check_printed(done.stdout + done.stderr)
    assert done.returncode in case.codes, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    assert not case.says or case.says in " ".join(done.stderr.split())
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir(exist_ok=True)


@pytest.fixture(scope="module")
def server() -> Iterator[visitors.Server]:
    with visitors.serving() as found:
        yield found


@pytest.mark.parametrize("visitor", visitors.all_visitors(), ids=str)
def test_a_server_outlives_its_visitors(
    server: visitors.Server, visitor: visitors.Visitor, record_property: object
) -> None:
    assert callable(record_property)
    record_property("kind", f"visitors: {visitor.kind}")
    statuses, answer = visitors.visited(server, visitor)
    assert statuses <= visitor.statuses, answer[:500]
    text = answer.decode("utf-8", "replace")
    assert "Traceback" not in text
    assert server.token not in text
    assert "root:" not in text
    assert visitor.says in text
    assert "access-control-allow-origin" not in text.lower()
    assert server.process.poll() is None
    visitors.still_answers(server)

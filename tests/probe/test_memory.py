"""Memory does not grow with images × shifts when shards are put together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import shiftproof.probe._response as module
from shiftproof.probe import Response

N_IMAGES, N_SHIFTS, N_SHARDS = 400, 2000, 20
MERGES = """
import resource, sys
from pathlib import Path
import numpy as np
import shiftproof.probe._response as module
from shiftproof.probe import Response

shards = sorted(Path(sys.argv[1]).glob("*.safetensors"))
Response.concatenate(shards[:2])  # what is only done once needs its memory now
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 40 * 2**20, resource.RLIM_INFINITY))
module.MOST_IN_MEMORY_BYTES = 2**20
whole = Response.concatenate(shards)
print(whole.predicted.sum(), whole.drift[-1, -1])
module.MOST_IN_MEMORY_BYTES = 2**40
try:
    Response.concatenate(shards)
except MemoryError:
    print("not enough memory")
"""


def shard(number: int) -> Response:
    shape = (N_IMAGES, N_SHIFTS)
    return Response(
        predicted=np.full(shape, number % 10, np.int32),
        true_prob=np.full(shape, 0.5, np.float32),
        drift=np.full(shape, float(number), np.float32),
        offsets_px=np.zeros((N_SHIFTS, 2)),
        labels=np.zeros(N_IMAGES, np.int64),
        unshifted_output=np.zeros((N_IMAGES, 10), np.float32),
        provenance={"model": "m"},
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="says how much memory a process has")
def test_shards_are_put_together_in_less_memory_than_they_need(tmp_path: Path) -> None:
    for number in range(N_SHARDS):
        shard(number).save(tmp_path / f"{number:02d}.safetensors")
    # One array of the whole is 64 MB, and three of them are merged; 40 MiB are left beside what is there.
    done = subprocess.run(
        [sys.executable, "-c", MERGES, str(tmp_path)], capture_output=True, text=True, check=True
    )
    total = sum(number % 10 for number in range(N_SHARDS)) * N_IMAGES * N_SHIFTS
    assert done.stdout.split("\n")[:2] == [f"{total} {N_SHARDS - 1}.0", "not enough memory"]


def test_where_it_is_put_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [shard(number) for number in range(3)]
    in_memory = Response.concatenate(parts)
    monkeypatch.setattr(module, "MOST_IN_MEMORY_BYTES", 0)
    in_file = Response.concatenate(parts)
    assert type(in_file.predicted) is np.ndarray
    assert in_file.to_bytes() == in_memory.to_bytes()

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    assert Response.concatenate(parts).to_bytes() == in_memory.to_bytes()


def test_no_array_is_too_large_where_all_together_are(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [shard(number) for number in range(3)]
    in_files: list[tuple[int, ...]] = []

    def room(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        in_files.append(shape)
        return np.empty(shape, dtype)

    monkeypatch.setattr(module, "_in_files", room)
    one_array = 3 * parts[0].predicted.nbytes
    monkeypatch.setattr(module, "MOST_IN_MEMORY_BYTES", 2 * one_array)
    Response.concatenate(parts)
    assert in_files.count((3 * N_IMAGES, N_SHIFTS)) == 3
    in_files.clear()
    monkeypatch.setattr(module, "MOST_IN_MEMORY_BYTES", 4 * one_array)
    Response.concatenate(parts)
    assert not in_files

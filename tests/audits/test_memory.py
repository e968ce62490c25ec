"""What an audit makes of its answers is made in blocks of images: the same record, in flat memory."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.audits.test_worst import LeftOrRight, bars
from tests.metrics.test_blocks import response

from shiftproof.audits import _measure, audit
from shiftproof.audits._record import phases_at_equal_radius
from shiftproof.audits._worst import _examples, _most_often_first
from shiftproof.metrics import Selection, metrics, select
from shiftproof.probe import Response

WHOLE = Selection.blocks


def in_small_blocks(
    self: Selection, n_cells: int = 2**14, *, order: npt.NDArray[np.int64] | None = None
) -> Iterator[Selection]:
    return WHOLE(self, n_cells, order=order)


def test_a_record_made_in_blocks_is_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def record() -> dict[str, Any]:
        (part,) = audit(LeftOrRight(), bars(200), protocols=["grid:4"], pictures=False).record.protocols
        return part.to_dict()

    whole = record()
    monkeypatch.setattr(Selection, "blocks", in_small_blocks)
    assert record() == whole
    assert len(whole["changed"]) > 10


@pytest.mark.parametrize("options", [{}, {"precision": 0.001}], ids=["all", "looks"])
def test_large_shards_that_nobody_keeps_are_put_in_files_until_the_end(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> str:
        return audit(LeftOrRight(), bars(600), protocols=["grid:1"], pictures=False, **options).to_json()

    in_memory = found()
    concatenated: list[bool] = []
    concatenate = Response.concatenate

    def seen(parts: Sequence[Response | Path]) -> Response:
        concatenated.extend(isinstance(part, Path) for part in parts)
        return concatenate(parts)

    monkeypatch.setattr(Response, "concatenate", seen)
    monkeypatch.setattr(_measure, "ANSWERS_IN_MEMORY", 0)
    monkeypatch.setattr(_measure, "SHARD_LIMITS", (32, 200))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert found() == in_memory
    assert len(concatenated) >= 3
    assert all(concatenated)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    assert found() == in_memory, "where there is no folder for them, they are in memory"


LOOKS: dict[str, Callable[[Response], object]] = {
    "phases": lambda answers: phases_at_equal_radius(2)(metrics.get("agreement"), answers, confidence=0.95),
    "which change most often": lambda answers: _most_often_first(select(answers)),
    "which change where": lambda answers: _examples(select(answers), np.arange(answers.n_images)),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_memory_does_not_grow_with_images_times_shifts(look: Callable[[Response], object]) -> None:
    """Not by a byte for an answer, as a mask would be."""
    offsets = np.array([(dy, dx) for dy in range(-8, 9) for dx in range(-8, 9)], float)
    small, large = response(16_000, offsets=offsets), response(32_000, offsets=offsets)
    n_more = large.predicted.size - small.predicted.size
    assert peak(look, large) - peak(look, small) < n_more / 2


def peak(look: Callable[[Response], object], answers: Response) -> int:
    tracemalloc.start()
    look(answers)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found

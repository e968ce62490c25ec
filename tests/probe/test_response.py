"""The record: saving, loading, concatenating, and what it refuses."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from shiftproof.data import LabelledImages
from shiftproof.errors import ComparisonError, DataError, ShapeError
from shiftproof.probe import Response, measure_response
from shiftproof.shifts import protocols
from shiftproof.zoo import build_network


@pytest.fixture(scope="module")
def response(test_digits: LabelledImages) -> Response:
    return measure_response(
        build_network("cnn1"), test_digits, protocols.get("article-large"), provenance={"network": "é"}
    )


def part(response: Response, rows: slice) -> Response:
    arrays = {
        f.name: getattr(response, f.name)[rows]
        for f in dataclasses.fields(response)
        if isinstance(getattr(response, f.name), np.ndarray)
    }
    return Response(**arrays, provenance=response.provenance, task=response.task)


def same(a: Response, b: Response) -> bool:
    arrays = [
        (getattr(a, f.name), getattr(b, f.name))
        for f in dataclasses.fields(a)
        if f.name not in ("provenance", "task")
    ]
    return (a.provenance, a.task) == (b.provenance, b.task) and all(
        x is y is None or (np.array_equal(x, y) and x.dtype == y.dtype) for x, y in arrays
    )


def test_what_is_saved_is_loaded(response: Response, tmp_path: Path) -> None:
    response.save(tmp_path / "r.safetensors")
    assert same(Response.load(tmp_path / "r.safetensors"), response)
    first = (tmp_path / "r.safetensors").read_bytes()
    response.save(tmp_path / "r.safetensors")
    assert (tmp_path / "r.safetensors").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["r.safetensors"], "no temporary file stays"


def test_shards_merge_to_the_whole(response: Response) -> None:
    shards = [
        part(response, slice(0, 100)),
        part(response, slice(100, 101)),
        part(response, slice(101, None)),
    ]
    assert same(Response.concatenate(shards), response)


def test_strangers_do_not_merge(response: Response) -> None:
    other = dataclasses.replace(response, provenance={"network": "another"})
    with pytest.raises(ComparisonError, match="of one model, data set and protocol"):
        Response.concatenate([response, other])
    with pytest.raises(ComparisonError, match="at least one"):
        Response.concatenate([])


def test_shared_offsets_must_be_the_same(response: Response) -> None:
    shared = dataclasses.replace(response, offsets_px=np.zeros((1, 2)))
    assert Response.concatenate([shared, shared]).offsets_px.shape == (1, 2)
    with pytest.raises(ComparisonError, match="different offsets"):
        Response.concatenate([shared, dataclasses.replace(shared, offsets_px=np.ones((1, 2)))])


def test_arrays_must_fit(response: Response) -> None:
    with pytest.raises(ShapeError, match=r"`labels` of shape \(300,\), got \(299,\)"):
        dataclasses.replace(response, labels=response.labels[1:])
    with pytest.raises(ShapeError, match=r"\(1, 2\) or \(300, 1, 2\)"):
        dataclasses.replace(response, offsets_px=np.zeros((2, 2)))


def test_damaged_files_are_refused(response: Response, tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    with pytest.raises(DataError, match=r"read r\.safetensors as a saved response"):
        Response.load(path)
    response.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"read r\.safetensors as a saved response"):
        Response.load(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(DataError, match="schema version 4"):
        Response.load(path)

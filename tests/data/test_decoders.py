"""Images decoded by other processes are those that would be decoded here."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shiftproof.audits import AuditOptions, ask, run_audit
from shiftproof.data import MOST_DECODERS, Decoders, Images, load_images, read_ahead
from shiftproof.engine import open_run
from shiftproof.errors import DataError, OptionError, WorkerError
from shiftproof.zoo import build_network

N_IMAGES = 20


def files(folder: Path) -> Path:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(N_IMAGES):
        Image.fromarray(random.integers(0, 256, (28, 28), np.uint8)).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    return load_images(files(tmp_path_factory.mktemp("decoders") / "images"), image_shape=(1, 28, 28))


@pytest.fixture(scope="module")
def one() -> Iterator[Decoders]:
    with Decoders(1) as decoders:
        yield decoders


@pytest.mark.parametrize(
    "asked",
    [
        [slice(0, 7), slice(7, 14), slice(14, 20)],
        [slice(12, 20), slice(0, 4), slice(2, 6), slice(2, 6)],
        [slice(0, 20, 3), slice(5, 5), slice(None)],
    ],
)
def test_the_same_images_in_any_order(images: Images, one: Decoders, asked: list[slice]) -> None:
    there = read_ahead(images, one)
    for rows in asked:
        assert torch.equal(there.pixels(rows), images.pixels(rows))


def test_of_images_in_another_order_the_next_ones_are_those_of_that_order(
    images: Images, one: Decoders
) -> None:
    order = torch.arange(N_IMAGES).flip(0)
    there = read_ahead(images, one).take(order)
    assert torch.equal(
        torch.cat([there.pixels(slice(0, 5)), there.pixels(slice(5, 20))]),
        images.take(order).pixels(slice(0, 20)),
    )


def test_the_next_images_are_decoded_before_they_are_asked_for(tmp_path: Path, one: Decoders) -> None:
    """Seen by taking the files away: what was not begun in time could not be read any more."""
    folder = files(tmp_path / "images")
    there = read_ahead(load_images(folder, image_shape=(1, 28, 28)), one)
    there.pixels(slice(0, 5))
    for begun in vars(one)["_coming"].values():
        begun.result()
    for path in folder.iterdir():
        path.unlink()
    assert there.pixels(slice(5, 10)).shape == (5, 1, 28, 28)
    with pytest.raises(DataError, match=r"Cannot read the image '1[0-4]\.png' as it was when it was checked"):
        there.pixels(slice(10, 15))


def test_what_can_be_used_is_known_by_them_as_well(tmp_path: Path, one: Decoders) -> None:
    """Images, labels, conversions, and what is skipped for which reason, an image that inflates among it."""
    for name in ("cat", "dog"):
        files(tmp_path / name)
    Image.new("L", (20_000, 20_000)).save(tmp_path / "cat" / "bomb.png", compress_level=9)
    Image.new("RGBA", (40, 30)).save(tmp_path / "dog" / "other.png")
    (tmp_path / "dog" / "cut.png").write_bytes((tmp_path / "dog" / "00.png").read_bytes()[:99])
    here = load_images(tmp_path, image_shape=(1, 28, 28), max_bad=0.1)
    there = load_images(tmp_path, image_shape=(1, 28, 28), max_bad=0.1, decoders=one)
    assert (there.digest, there.skipped, there.conversions) == (here.digest, here.skipped, here.conversions)
    assert torch.equal(there.labels, here.labels)
    assert [skipped.name for skipped in there.skipped] == ["cat/bomb.png", "dog/cut.png"]
    with pytest.raises(DataError, match=r"at most 1 % of 43 files to be unusable, got 2"):
        load_images(tmp_path, image_shape=(1, 28, 28), decoders=one)


def test_arrays_are_not_sent_to_other_processes(one: Decoders) -> None:
    array = np.zeros((3, 1, 8, 8), np.uint8)
    there = read_ahead(load_images(array, image_shape=(1, 8, 8)), one)
    assert torch.equal(there.pixels(slice(0, 3)), torch.zeros(3, 1, 8, 8, dtype=torch.uint8))


def test_a_process_that_dies_is_an_error_of_ours(images: Images) -> None:
    with Decoders(1) as decoders:
        there = read_ahead(images, decoders)
        there.pixels(slice(0, 1))
        (process,) = vars(decoders)["_pool"]._processes
        os.kill(process, signal.SIGKILL)
        for _ in range(2):  # While it is noticed, and once it is known.
            with pytest.raises(WorkerError, match=r"Cannot decode images .*: one died\. .*Use fewer"):
                there.pixels(slice(1, 20))
        with pytest.raises(WorkerError, match=r"Cannot decode images .*: one died\. .*Use fewer"):
            decoders.each(abs, [1])


def test_decoders_that_are_sent_are_as_many_elsewhere(one: Decoders) -> None:
    there = pickle.loads(pickle.dumps(one))
    assert vars(there)["_n_processes"] == 1
    assert vars(there)["_pool"] is None


@pytest.mark.parametrize("n", [-1, MOST_DECODERS + 1])
def test_a_number_of_decoders_out_of_range(n: int) -> None:
    for make in (Decoders, lambda decoders: AuditOptions(decoders=decoders)):
        with pytest.raises(OptionError, match="decoders from 0 to 1,024"):
            make(n)


def test_an_audit_is_the_same_with_decoders(images: Images, tmp_path: Path) -> None:
    def report(decoders: int) -> Any:
        options = AuditOptions(protocols=("grid:1",), decoders=decoders, device="cpu", pictures=False)
        question = ask(build_network("cnn1"), images, options)
        with open_run("audit", question.config(), out=tmp_path / f"run-{decoders}") as run:
            return run_audit(question, run=run).to_json()

    assert report(1) == report(0)

"""Batches: automatic sizes, memory that runs out, functions that threads may not share."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import Classifier
from shiftproof.data import LabelledImages
from shiftproof.errors import ModelError, OptionError, ShapeError, Stopped
from shiftproof.probe import Views, measure_response, probing
from shiftproof.probe._batches import Batches
from shiftproof.probe._outputs import Answers
from shiftproof.probe._views import BatchViews
from shiftproof.shifts import find_protocol
from shiftproof.zoo import build_network

GRID = find_protocol("grid:1")


class OnlyFew(nn.Module):
    """A linear model that has no memory for more than so many images."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.head = nn.Linear(784, 10, bias=False)
        nn.init.normal_(self.head.weight, generator=torch.Generator().manual_seed(0))

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")
        answer: Tensor = self.head(images.flatten(1))
        return answer


@pytest.mark.parametrize("threads", [1, 2])
def test_out_of_memory_halves_the_batch(test_digits: LabelledImages, threads: int) -> None:
    roomy, tight = OnlyFew(1000), OnlyFew(37)
    expected = measure_response(roomy, test_digits, GRID, threads=threads, method="direct")
    with probing(tight, test_digits, GRID, threads=threads, method="direct") as probe:
        response = probe.measure(slice(None))
        assert 18 < probe.batches.batch_size <= 37
    assert np.array_equal(response.predicted, expected.predicted)
    np.testing.assert_allclose(response.true_prob, expected.true_prob, atol=1e-6)


def test_one_image_without_memory_is_an_error(test_digits: LabelledImages) -> None:
    with pytest.raises(ModelError, match="Cannot run the model on one image at a time: too little memory"):
        measure_response(OnlyFew(0), test_digits.head(3), GRID, method="direct")


def test_other_errors_of_the_model_are_model_errors(test_digits: LabelledImages) -> None:
    with pytest.raises(ModelError, match="shapes cannot be multiplied"):
        measure_response(nn.Sequential(nn.Flatten(), nn.Linear(3, 10)), test_digits, GRID, method="direct")


class Counter:
    """How many threads are in here at once."""

    def __init__(self) -> None:
        self.inside = 0
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, images: Tensor) -> Tensor:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.002)
        with self.lock:
            self.inside -= 1
        return images.flatten(1)[:, 300:310]


def test_threads_share_a_function_only_where_it_says_so(test_digits: LabelledImages) -> None:
    for thread_safe in (False, True):
        counter = Counter()
        classifier = Classifier("counter", counter, thread_safe=thread_safe)
        measure_response(classifier, test_digits, GRID, batch_size=10, threads=4)
        assert (counter.most > 1) == thread_safe


class Remembers(nn.Module):
    """Keeps what it computed in an attribute and reads it back, as many models do."""

    def forward(self, images: Tensor) -> Tensor:
        self.features = images.flatten(1)
        time.sleep(0.001)
        return self.features[:, 300:310] * 4  # beyond 1, as no probability is


def test_threads_never_share_a_module(test_digits: LabelledImages) -> None:
    alone, together = (
        measure_response(Remembers(), test_digits, GRID, batch_size=10, threads=n) for n in (1, 4)
    )
    assert np.array_equal(alone.predicted, together.predicted)
    assert np.array_equal(alone.drift, together.drift)


def test_what_shares_its_work_needs_no_copies(
    test_digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_copies(classifier: Classifier, n_workers: int) -> list[Classifier]:
        raise AssertionError(f"{n_workers} copies of {classifier.name}")

    monkeypatch.setattr(Classifier, "replicas", no_copies)
    with probing(build_network("cnn1"), test_digits, GRID, threads=3, method="dense") as probe:
        assert len(probe.batches.evaluators) == 3
    with pytest.raises(AssertionError, match="3 copies of cnn1"):
        measure_response(build_network("cnn1"), test_digits, GRID, threads=3, method="direct")


def test_a_stop_comes_through_and_ends_the_threads(test_digits: LabelledImages) -> None:
    before = threading.active_count()
    calls: list[int] = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Stopped.cannot("finish", "there was a request to stop")

    with pytest.raises(Stopped, match="a request to stop"):
        measure_response(Remembers(), test_digits, GRID, batch_size=5, check_stop=stop)
    assert threading.active_count() == before


def test_rows_have_the_shifts_that_they_have_among_all(test_digits: LabelledImages) -> None:
    protocol = find_protocol("box:2,2,3")
    whole = measure_response(Remembers(), test_digits, protocol)
    part = measure_response(Remembers(), test_digits, protocol, rows=slice(100, 140))
    assert np.array_equal(part.predicted, whole.predicted[100:140])
    assert np.array_equal(part.offsets_px, whole.offsets_px[100:140])
    assert np.array_equal(part.labels, whole.labels[100:140])


def test_unknown_labels_are_recorded_as_such(test_digits: LabelledImages) -> None:
    unknown = LabelledImages("x", test_digits.images, torch.full((300,), -1), ())
    response = measure_response(Remembers(), unknown, GRID)
    assert (response.labels == -1).all()
    assert response.unshifted_true_prob == pytest.approx(
        torch.tensor(response.unshifted_output).softmax(1).amax(1).numpy(), abs=1e-6
    ), "the probability of the class that is answered"


def test_mistakes_are_named(test_digits: LabelledImages) -> None:
    with pytest.raises(OptionError, match="shifts smaller than the images"):
        measure_response(Remembers(), test_digits, find_protocol("grid:28"))

    low = dataclasses.replace(test_digits, images=test_digits.images[:, :, :20])
    with pytest.raises(ShapeError, match=r"images of shape \(1, 28, 28\) .* got \(1, 20, 28\)"):
        measure_response(build_network("cnn1"), low, GRID)


def test_the_next_batch_is_decoded_while_the_model_is_busy(test_digits: LabelledImages) -> None:
    """A device has one worker: without reading ahead it would wait for every image."""
    order: list[tuple[str, int]] = []
    busy, read = threading.Event(), threading.Event()

    class Decoded(LabelledImages):
        def pixels(self, rows: slice) -> Tensor:
            if rows.start == 10:
                assert busy.wait(30), "the model is asked about the first batch before"
                read.set()
            order.append(("read", rows.start))
            return super().pixels(rows)

    class Waits:
        def evaluate(self, views: BatchViews, labels: Tensor) -> Answers:
            busy.set()
            assert read.wait(30), "the second batch is read meanwhile"
            order.append(("asked", len(order)))
            return Answers({"unshifted_output": torch.zeros(len(labels), 1)}, {})

    images = Decoded("d", test_digits.images[:30], test_digits.labels[:30], test_digits.class_names)
    views = Views.draw(GRID, 30, images.image_shape[1:], seed=0)
    batches = Batches([Waits()], images, views, torch.device("cpu"), 10)
    filled: list[slice] = []
    batches.run(slice(0, 30), lambda rows, _: filled.append(rows), pool=None, check_stop=lambda: None)
    assert [rows.start for rows in filled] == [0, 10, 20]
    assert [what for what, _ in order].count("read") == 3

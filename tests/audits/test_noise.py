"""The noise floor: what is measured of a model that answers the same image differently."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.audits.conftest import top_row, value_of
from torch import Tensor, nn

from shiftproof.adapters import Classifier, as_classifier
from shiftproof.audits import Audit, audit
from shiftproof.data import load_images
from shiftproof.errors import ModelError
from shiftproof.probe import measure_noise
from shiftproof.records import NoiseRecord
from shiftproof.report import audit_markdown, print_audit
from shiftproof.shifts import find_protocol
from shiftproof.zoo import build_network

N_CLASSES = 4
IMAGES = torch.rand(300, 1, 12, 12, generator=torch.Generator().manual_seed(0))


def at_random(images: Tensor) -> Tensor:
    return torch.rand(len(images), N_CLASSES) - 0.5


def dropout_left_on(images: Tensor) -> Tensor:
    return nn.functional.dropout(images.flatten(1)[:, :N_CLASSES], 0.5, training=True)


def beside_others(images: Tensor) -> Tensor:
    """Whether an image is brighter than the mean of its batch."""
    brightness = images.mean((1, 2, 3))
    above = brightness - brightness.mean()
    return torch.stack([above, -above], 1) - 1


def a_little_noisy(images: Tensor) -> Tensor:
    return top_row(images) + 0.01 * torch.rand(len(images), 10)


def floor(result: Audit, metric: str) -> float:
    return value_of(noise_of(result).estimates[metric])


def noise_of(result: Audit) -> NoiseRecord:
    assert result.record.noise is not None
    return result.record.noise


def test_known_by_hand_random_answers_are_all_noise() -> None:
    """Of two independent draws among K classes, 1/K agree, moved or not."""
    torch.manual_seed(0)
    with pytest.raises(
        ModelError, match=r"under the shifts of grid:1 than .* flip-rate 7.* and [78].* dropout"
    ):
        audit(at_random, IMAGES, protocols=["grid:1"])
    result = audit(at_random, IMAGES, protocols=["grid:1"], allow_noise=True)
    n = noise_of(result).n_images
    assert n == 50, "a twentieth of the forwards"
    spread = np.sqrt(N_CLASSES**-1 * (1 - N_CLASSES**-1) / (2 * n))
    assert floor(result, "agreement") == pytest.approx(1 / N_CLASSES, abs=5 * spread)
    assert floor(result, "drift") > 0.3
    assert "without any shift, asked again, it keeps" in str(result)


@pytest.mark.parametrize(
    ("model", "cause"),
    [(dropout_left_on, "dropout or noise is active"), (beside_others, "what else is in the batch")],
)
def test_an_answer_that_is_no_function_of_the_image_is_an_error(
    model: Callable[[Tensor], Tensor], cause: str
) -> None:
    with pytest.raises(ModelError, match=cause):
        audit(model, IMAGES, protocols=["ring:1"], batch_size=7)


def test_noise_that_is_small_is_stated_beside_every_number() -> None:
    images = torch.zeros(40, 1, 28, 28)
    images[:, :, 5:25, 10:18] = 1
    result = audit(a_little_noisy, images, protocols=["grid:2", "ring:2"])
    assert 0 < floor(result, "drift") < 0.1
    assert floor(result, "agreement") == 1
    out = io.StringIO()
    print_audit(result.record, Console(file=out, width=80))
    assert out.getvalue().count("unmoved") == 3, "of both protocols, and explained"
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "| unmoved |" in audit_markdown(result.record)


def test_a_network_without_noise_says_so() -> None:
    result = audit(build_network("cnn1").eval(), "demo:mnist", protocols=["grid:1"], limit=60)
    noise = noise_of(result)
    assert not noise.beyond_rounding
    assert noise.largest_drift < 1e-5
    assert floor(result, "agreement") == 1
    out = io.StringIO()
    print_audit(result.record, Console(file=out, width=80))
    assert "none: same predictions for 32 images when asked again" in " ".join(out.getvalue().split())
    assert "unmoved" not in out.getvalue()
    assert "asked again" not in str(result)


def test_the_report_of_a_noisy_model_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "run"
    first = audit(as_named(at_random), IMAGES, protocols=["grid:1"], allow_noise=True, out=path)
    again = audit(as_named(at_random), IMAGES, protocols=["grid:1"], allow_noise=True, out=path)
    assert first.to_json() == again.to_json()
    with pytest.raises(ModelError, match="--allow-noise"):
        audit(as_named(at_random), IMAGES, protocols=["grid:1"], out=path)


def as_named(model: Callable[[Tensor], Tensor]) -> Classifier:
    """With a digest, by which a run knows it again."""
    return replace(as_classifier(model), digest="1234")


def test_each_image_is_asked_beside_others_and_put_back_in_its_place() -> None:
    """A model that answers with the image itself: any mistake in the order would be a flip."""
    seen: list[int] = []

    def first_pixels(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.flatten(1)[:, :N_CLASSES] - 0.5

    response = measure_noise(
        as_classifier(first_pixels),
        load_images(IMAGES, image_shape=None),
        find_protocol("grid:1"),
        n_shifts=9,
        batch_size=10,
        threads=1,
    )
    assert response.drift.max() == 0
    assert (response.predicted == response.unshifted_predicted[:, None]).all()
    assert response.n_images == 50
    assert max(seen) == 10
    assert 5 in seen, "other batches have half as many"


@pytest.mark.parametrize("n_images", [1, 2, 3])
def test_few_images_are_enough(n_images: int) -> None:
    result = audit(top_row, torch.rand(n_images, 1, 12, 12), protocols=["grid:1"], batch_size=1)
    assert noise_of(result).n_images == n_images

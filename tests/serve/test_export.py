"""The page without a server: small enough, right in every cell, and with nothing in it that runs."""

from __future__ import annotations

import base64
import html
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from shiftproof.data import LabelledImages
from shiftproof.errors import ModelError
from shiftproof.serve import Exhibit, demo, export_page
from shiftproof.serve._export import _levels, plane_levels
from shiftproof.shifts import translate
from shiftproof.zoo import load_trained

MOST_BYTES = 8_000_000
NETWORKS = ("cnn2", "cnn2-augmented", "cnn1", "standard-nn")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    with demo() as shown:
        file = export_page(shown, tmp_path_factory.mktemp("export") / "new" / "folder")
    assert file.stat().st_size <= MOST_BYTES
    assert file.stat().st_mode & 0o777 == 0o644
    return file.read_text(encoding="utf-8")


def test_it_asks_for_nothing_and_runs_one_script(page: str) -> None:
    assert not re.search(r'(?:src|href|action)="(?!data:)', page)
    assert page.count("<script") == 2  # its data, and its code
    assert "default-src 'none'" in html.unescape(page.partition("</head>")[0])
    assert "unsafe" not in page.partition("</head>")[0]


def test_digits_are_those_of_the_set(page: str, digits: LabelledImages) -> None:
    data = json.loads(re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)[0])
    pixels = np.frombuffer(base64.b64decode(data["pixels"]), np.uint8).reshape(200, 1, 28, 28)
    assert np.array_equal(pixels, digits.images.numpy())
    assert [image["label"] for image in data["images"]] == [str(label) for label in digits.labels.tolist()]
    assert [model["name"] for model in data["start"]["models"]] == list(NETWORKS)
    for number, name in enumerate(NETWORKS):
        levels = np.frombuffer(base64.b64decode(data["answers"][number]), "<u2").reshape(200, 289, 10)
        network = load_trained(name)
        for place in (0, 16, 100, 144, 288):
            moved = translate(digits.images.float() / 255, (place // 17 - 8, place % 17 - 8), border="zeros")
            with torch.inference_mode():
                chances = network(moved).double().softmax(1).numpy()
            assert np.array_equal(levels[:, place].argmax(1), chances.argmax(1))
            np.testing.assert_allclose(levels[:, place] / 65535, chances, atol=1e-4)


def test_ties_are_told_as_they_were_decided() -> None:
    chances = np.array([[[0.5 - 1e-9, 0.5 + 1e-9, 0.0]], [[0.4, 0.2, 0.4]]])
    levels = _levels(chances, np.array([[1], [0]], dtype=np.int32))
    assert levels.argmax(-1).tolist() == [[1], [0]]


@pytest.mark.slow
def test_equal_answers_are_equal_bytes(tmp_path: Path, shown: Exhibit) -> None:
    first, second = export_page(shown, tmp_path / "a"), export_page(shown, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()


def test_a_model_without_a_plan_is_refused(fragile: Exhibit) -> None:
    with pytest.raises(ModelError, match="all shifts"):
        plane_levels(fragile, 0)

"""`serve --export`: the answers in the page, of whole planes, recomputed from bytes and weights.

Shares no code with the product. The page holds its digits as bytes and, for each network, the probabilities
of every class at every shift as sixteen-bit levels; every one of them is compared.
"""

from __future__ import annotations

import base64
import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from tests.independent.plain import batch_of, cnn2, digits, moved, packaged

pytestmark = pytest.mark.slow

N, RADIUS = 25, 8
SHIFTS = list(product(range(-RADIUS, RADIUS + 1), repeat=2))


@pytest.mark.parametrize("name", ["cnn2", "cnn2-augmented"])
def test_every_answer_of_the_planes(name: str, exported: Path) -> None:
    page = exported.read_text(encoding="utf-8")
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    data = json.loads(text)
    pixels = np.frombuffer(base64.b64decode(data["pixels"]), np.uint8).reshape(-1, 28, 28)
    number = [model["name"] for model in data["start"]["models"]].index(name)
    levels = np.frombuffer(base64.b64decode(data["answers"][number]), "<u2")
    levels = levels.reshape(len(pixels), len(SHIFTS), 10)

    known = {image.tobytes(): label for image, label in zip(*digits("test"), strict=True)}
    known |= {image.tobytes(): label for image, label in zip(*digits("train"), strict=True)}
    assert [image["label"] for image in data["images"]] == [str(known[each.tobytes()]) for each in pixels]

    weights = packaged(name)
    rows = np.linspace(0, len(pixels) - 1, N).astype(int)
    changed = 0
    for place, shift in enumerate(SHIFTS):
        shown = 255 * batch_of(np.stack([moved(pixels[row] / 255, *shift) for row in rows]))
        logits = cnn2(weights, shown)
        expected = logits.softmax(1).numpy()
        assert np.abs(levels[rows, place] / 65535 - expected).max() < 1e-4, shift
        assert (levels[rows, place].argmax(1) == expected.argmax(1)).all(), shift
        changed += int((levels[rows, place].argmax(1) != levels[rows, len(SHIFTS) // 2].argmax(1)).sum())
    assert changed > 0, "there is something to see"

"""`explain`: the whole change of the answer, which the losses of all layers add up to.

Shares no code with the product: images are moved by slices, or between pixels by their Fourier series; the
answers come from the weights in the package. The change is the squared difference of the logits, over
that between an image and the one before it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.independent.conftest import Command
from tests.independent.plain import Floats, batch_of, cnn2, digits, limited, moved, packaged

N = 12
STRIDE_PX = 4  # of two pools
MARGIN_PX = 16


def moved_by(image: Floats, dy: float, dx: float) -> Floats:
    """By whole pixels as they are; between pixels band-limited, on a canvas that is empty far around."""
    if dy == round(dy) and dx == round(dx):
        return moved(image, int(dy), int(dx))
    margins = [MARGIN_PX + int(np.ceil(abs(d))) for d in (dy, dx)]
    wide = np.pad(image, [(margin, margin) for margin in margins])
    spectrum = np.fft.fft2(wide)
    for axis, d in enumerate((dy, dx)):
        n = wide.shape[axis]
        turns = np.exp(-2j * np.pi * np.fft.fftfreq(n) * d)
        turns[n // 2] = np.cos(np.pi * d)  # the highest frequency of an even length cannot turn
        spectrum = spectrum * (turns[:, None] if axis == 0 else turns)
    found = np.fft.ifft2(spectrum).real
    return found[margins[0] : margins[0] + 28, margins[1] : margins[1] + 28]


def test_the_change_of_the_answer(command: Command) -> None:
    words = ["--limit", str(N), "--remedies", "0", "--device", "cpu", "--quiet"]
    record = command("explain", "zoo:cnn2", "demo:mnist", *words)
    assert (record["frame"], record["border"], record["n_images"]) == ("interior", "zeros", N)

    weights = packaged("cnn2")
    images = digits("test")[0][limited(10_000, N)] / 255
    still = cnn2(weights, 255 * batch_of(images))
    others = (still - still.roll(1, 0)).square().mean()  # every image beside the one before it

    def change(offsets_px: list[list[float]]) -> float:
        answers = [
            cnn2(weights, 255 * batch_of(np.stack([moved_by(image, dy, dx) for image in images])))
            for dy, dx in offsets_px
        ]
        return float(torch.stack([(each - still).square().mean() for each in answers]).mean() / others)

    offsets_px: list[list[float]] = record["offsets_px"]
    whole = [offset for offset in offsets_px if all(d == round(d) for d in offset)]
    between = [offset for offset in offsets_px if offset not in whole]
    spread = whole[: offsets_px.index(between[0])]  # before the fractions; after them, multiples of strides
    multiples = [offset for offset in whole if all(d % STRIDE_PX == 0 for d in offset)]
    assert (len(spread), len(between)) == (8, 8)
    expected = {
        "whole-pixel": change(spread),
        "fractional": change(between),
        "multiples": change(multiples),
        "with-border": change(multiples),  # an answer without positions has no border of its own
    }
    found = {name: error["value"] for name, error in record["output_errors"].items()}
    assert found == pytest.approx(expected, rel=1e-4)

    whole_change = expected["fractional"] + expected["with-border"] - expected["multiples"]
    assert record["output_loss"]["value"] == pytest.approx(whole_change, rel=1e-4)
    assert 0.05 < whole_change < 5, "there is a change to explain"
    # What the layers lose adds up to it.
    parts = sum(row["increase"]["value"] for row in record["rows"]) + record["image_loss"]["value"]
    assert parts == pytest.approx(whole_change, rel=1e-4)

"""`explain`: the whole change of the answer, which the losses of all layers add up to.

Shares no code with the product: images are moved by slices, or between pixels by their Fourier series; the
answers come from the weights in the package. The change is the squared distance of the logits, over that
between an image and the one after it; the share of answers that are another class; how far the probability
of the class moves that is answered to the unshifted image.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.independent.conftest import Command
from tests.independent.plain import Floats, batch_of, cnn2, digits, limited, moved, packaged

N, SHIFTS = 12, 2
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
    words = ["--limit", str(N), "--shifts", str(SHIFTS), "--remedies", "0", "--device", "cpu", "--quiet"]
    record = command("explain", "zoo:cnn2", "demo:mnist", *words)
    assert (record["frame"], record["border"], record["n_images"]) == ("border", "zeros", N)

    weights = packaged("cnn2")
    images = digits("test")[0][limited(10_000, N)] / 255
    still = cnn2(weights, 255 * batch_of(images))
    others = (still - still.roll(-1, 0)).square().sum(1).mean()
    answered = still.argmax(1)
    for condition in ("multiples", "fractional", "with-border"):
        offsets_px = record["offsets_px"][condition]
        changes = []
        for shift in range(SHIFTS):
            pairs = zip(images, offsets_px, strict=True)
            shown = np.stack([moved_by(image, *offsets[shift]) for image, offsets in pairs])
            logits = cnn2(weights, 255 * batch_of(shown))
            probability = (logits.softmax(1) - still.softmax(1))[torch.arange(N), answered].abs()
            distance = (logits - still).square().sum(1) / others
            changes.append(torch.stack([distance, probability, (logits.argmax(1) != answered).float()]))
        means = torch.stack(changes).mean((0, 2)).tolist()
        expected = dict(zip(("logits", "probability", "flips"), means, strict=True))
        found = {unit: estimate["value"] for unit, estimate in record["change"][condition].items()}
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    multiples = np.array(record["offsets_px"]["multiples"])
    assert (multiples % 4 == 0).all()
    assert (np.abs(np.array(record["offsets_px"]["with-border"]) - multiples) <= 4).all()

    whole = record["change"]["with-border"]
    assert 0.01 < whole["logits"]["value"] < 5, "there is a change to explain"
    # What the layers lose adds up to it, in every unit.
    for unit, estimate in whole.items():
        parts = sum(row["loss"][unit]["value"] for row in record["rows"])
        assert parts == pytest.approx(estimate["value"], abs=1e-9)

"""A model that averages over shifts, on the page: they share their work, and the answers are the same."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from shiftproof.adapters import EditStep, as_classifier, edit_classifier
from shiftproof.data import LabelledImages
from shiftproof.probe import AtOnce
from shiftproof.serve import exhibit
from shiftproof.serve._answers import Answers, Shown
from shiftproof.shifts import translate
from shiftproof.zoo import load_trained


def test_a_plane_is_what_the_model_answers_to_each_shift(digits: LabelledImages) -> None:
    step = EditStep("average-logits", None, {"radius_px": 1})
    model = edit_classifier(as_classifier(load_trained("cnn2")), (step,)).classifier
    with exhibit([model], digits.head(2), radius_px=1) as shown:
        answers, pixels = Answers(shown), shown.images.pixels(slice(0, 1))
        assert isinstance(answers.way(0, "zeros").choice.classifier.model, AtOnce)
        parts = list(answers.plane(0, Shown(pixels[0], 0), "zeros"))
        found = {cell.place: cell.answer for part in parts for cell in part.cells}
        for place, offset in enumerate(product((-1, 0, 1), repeat=2)):
            with torch.inference_mode():
                chances = model(translate(pixels.float() / 255, offset, border="zeros")).softmax(1)[0]
            told = found[place]
            assert told is not None
            assert told.key == str(int(chances.argmax()))
            assert told.ranked[1] == pytest.approx(float(chances.max()), abs=1e-4)

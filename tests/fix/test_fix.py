"""From what is lost to a better model: what is tried, what is chosen, what is reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.report.reading import tables
from torch import Tensor, nn

from shiftproof._text import percent
from shiftproof.adapters import as_classifier, digest_of_module, load_classifier, load_fixed
from shiftproof.data import LabelledImages, load_data
from shiftproof.edits import apply_edit, edits
from shiftproof.errors import DataError, ModelError, OptionError, ShiftproofError, UnknownNameError
from shiftproof.explain import explain
from shiftproof.fix import Fixed, export_onnx, exported, fix, losses_of, propose
from shiftproof.metrics import Difference, Estimate
from shiftproof.report import fix_markdown, read_fix, report_html
from shiftproof.zoo import load_trained

FEW = ("average-logits", "canonical-position", "max-blur-pool")


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return load_data("mnist", "test").head(120)


@pytest.fixture(scope="module")
def found(digits: LabelledImages) -> Fixed:
    """A network that was trained without shifts, and edits that need no training."""
    return fix(load_trained("cnn2"), digits, protocol="box:4,4,3", edits=FEW, threads=1)


def test_the_chosen_model_is_better_on_images_that_nothing_was_chosen_by(found: Fixed) -> None:
    assert found.chosen != "original"
    row = found.row
    difference = row.differences["accuracy"]
    assert isinstance(difference, Difference)
    assert difference.low > 0
    assert row.verdict == "helps"
    assert isinstance(row.estimates["agreement"], Estimate)
    assert row.estimates["agreement"].n_images == found.record.about.n_reporting == 60


def test_the_halves_share_no_image(found: Fixed) -> None:
    assert found.record.about.n_choosing == 60
    assert found.table[0].name == "original"
    assert found.table[0].cost == 1


def test_the_original_is_as_it_was(digits: LabelledImages) -> None:
    network = load_trained("cnn2").train()
    before, images = digest_of_module(network), digits.images[:4].float() / 255
    made = fix(network, digits, protocol="box:4,4,1", edits=["max-blur-pool"], threads=1)
    assert digest_of_module(network) == before
    assert network.training
    assert made.original.model is network
    assert made.table[1].changes[0].layer.startswith("body.pool")
    assert images.shape == (4, 1, 28, 28)


def test_the_record_is_read_and_rendered(found: Fixed) -> None:
    record = read_fix(json.loads(found.to_json()))
    assert record.chosen == found.chosen
    text = fix_markdown(record)
    assert str(found).split(":")[1].split(",")[0].strip() in text
    assert text.count("|") > 3 * len(found.table)
    figure, axes = found.plot()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [row.name for row in found.table]
    assert axes.get_ylabel() == "right under shifts (%)"


def test_the_record_says_what_was_chosen_by(found: Fixed) -> None:
    original, *others = found.record.tried
    assert original.name == "original"
    assert {each.name for each in others} == set(FEW) | {row.name for row in found.table[1:]}
    assert [each.name for each in found.record.tried if each.fate == "chosen"] == [found.chosen]
    assert {each.n_images for each in found.record.tried} == {found.record.about.n_choosing}
    chosen = next(each for each in others if each.fate == "chosen")
    shifted = _value(chosen.estimates["accuracy"])
    assert shifted > _value(original.estimates["accuracy"])
    assert found.record.about.clean_margin == 0.005
    page = report_html(found.record)
    (table,) = [each for each in tables(page) if each[0][:2] == ["edit", "outcome"]]
    assert [row[:2] for row in table[1:]] == [[each.name, each.fate] for each in found.record.tried]
    cell = table[1 + found.record.tried.index(chosen)][-1]
    assert cell.startswith(percent(shifted))


def test_a_record_from_before_is_read_and_has_no_table_of_the_choice(found: Fixed) -> None:
    document = json.loads(found.to_json())
    del document["tried"], document["about"]["clean_margin"]
    record = read_fix(document)
    assert record.to_dict() == document
    assert "How it was chosen" in report_html(found.record)
    assert "How it was chosen" not in report_html(record)


def test_it_is_saved_and_made_again(found: Fixed, tmp_path: Path, digits: LabelledImages) -> None:
    found.save(tmp_path)
    again = load_fixed(tmp_path, original=found.original)
    images = digits.images[:8].float() / 255
    with torch.inference_mode():
        assert torch.equal(again(images), found.model(images))
    with pytest.raises(ModelError, match=r"load_fixed\(folder, original=model\)"):
        load_classifier(f"fixed:{tmp_path}")


def test_without_labels_the_answer_to_the_image_as_it_is_counts_as_right(digits: LabelledImages) -> None:
    made = fix(load_trained("cnn2"), digits.images, protocol="box:4,4,2", edits=FEW, threads=1)
    first = made.table[0].estimates
    assert isinstance(first["clean-accuracy"], Estimate)
    assert first["clean-accuracy"].value == 1
    assert isinstance(first["accuracy"], Estimate)
    assert isinstance(first["agreement"], Estimate)
    assert first["accuracy"].value == pytest.approx(first["agreement"].value)
    assert "what the original answers" in made.record.about.truth


def test_a_function_gets_edits_around_it_only(digits: LabelledImages) -> None:
    network = load_trained("cnn2")

    def model(images: Tensor) -> Tensor:
        answer: Tensor = network(images)
        return answer

    told: list[str] = []
    made = fix(model, digits, protocol="box:4,4,1", threads=1, on_step=told.append)
    assert told[0] == "its layers are not known: only what is around it is changed"
    kinds = {edits.get(step.edit).kind for row in made.table for step in row.steps}
    assert kinds == {"free"}
    with pytest.raises(ModelError, match="Its layers are not known"):
        fix(model, digits, protocol="box:4,4,1", edits=["max-blur-pool"])
    steps: list[str] = []
    again = fix(
        model,
        digits.head(8),
        protocol="box:4,4,1",
        edits=["canonical-position"],
        epochs=3,
        threads=1,
        on_step=steps.append,
    )
    assert again.record.about.training is None
    assert steps[0].endswith("only what is around it is changed, and nothing is trained")


def test_a_model_that_always_says_the_same_is_not_chosen() -> None:
    """It would agree with itself under every shift."""
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(64, 1, 8, 8)
    images[:, 0, 2:6, 2:6] = torch.rand(64, 4, 4, generator=generator)

    class Parity(nn.Module):
        """Answers by the column of the brightest pixel, which a mean over positions forgets."""

        def __init__(self) -> None:
            super().__init__()
            self.flatten, self.head = nn.Flatten(), nn.Linear(64, 2)
            columns = torch.arange(64) % 2
            with torch.no_grad():
                self.head.weight.copy_(torch.stack([columns == 0, columns == 1]).float())
                self.head.bias.zero_()

        def forward(self, maps: Tensor) -> Tensor:
            answer: Tensor = self.head(self.flatten(maps**4))
            return answer

    made = fix(
        Parity(), images, protocol="box:0,1,4", edits=["global-mean-head", "average-logits"], threads=1
    )
    row = next(row for row in made.table if row.name == "global-mean-head")
    assert isinstance(row.estimates["agreement"], Estimate)
    assert row.estimates["agreement"].value == 1
    assert made.chosen != "global-mean-head"


def test_the_layer_that_loses_most_comes_first(digits: LabelledImages) -> None:
    network, images = load_trained("cnn2"), digits.images[:16].float() / 255
    explanation = explain(network, images, n_remedies=0)
    losses = losses_of(explanation)
    assert min(min(layer.values()) for layer in losses.values()) >= 0
    assert max(losses, key=lambda layer: losses[layer]["head"]) == "body.flatten"
    fits, misfits = propose(as_classifier(network), explanation, images[:2], trains=True)
    assert fits == sorted(fits, key=lambda proposal: -(proposal.addresses or 0))
    assert all(proposal.not_possible for proposal in misfits)
    assert fits[0].name == "global-mean-head"
    assert (fits[0].addresses or 0) > 0.5


def test_a_budget_keeps_out_what_takes_longer(digits: LabelledImages) -> None:
    with pytest.raises(OptionError, match=r"a budget that some edit keeps to, got 1\.5"):
        fix(
            load_trained("cnn2"),
            digits,
            protocol="box:4,4,1",
            edits=["average-logits"],
            budget=1.5,
            threads=1,
        )
    with pytest.raises(OptionError, match="a budget of at least 1"):
        fix(load_trained("cnn2"), digits, budget=0.5)


@pytest.mark.slow
def test_the_same_twice(digits: LabelledImages) -> None:
    def once() -> dict[str, Any]:
        made = fix(load_trained("cnn1"), digits, protocol="box:4,4,1", edits=FEW[:2], threads=1)
        return {row.name: row.estimates for row in made.table}

    assert once() == once()


def test_what_costs_too_much_of_the_clean_images_is_not_chosen(digits: LabelledImages) -> None:
    made = fix(load_trained("cnn2"), digits, protocol="box:4,4,2", edits=["crop-choice"], threads=1)
    assert made.chosen == "original"
    original, crop = made.record.tried
    assert (original.fate, crop.fate) == ("chosen", "too many clean images lost")
    lost = _value(original.estimates["clean-accuracy"]) - _value(crop.estimates["clean-accuracy"])
    assert lost * crop.n_images > 1.5, "images; one more than the margin is allowed"
    first, second = (_value(row.estimates["accuracy"]) for row in made.table)
    passed_over = "crop-choice is right more often under the shifts here, and was not chosen by the other "
    passed_over += "images (too many clean images lost): −"
    assert (passed_over in fix_markdown(made.record)) == (second > first)
    assert str(made) == "cnn2: no edit was better within the clean margin; it is left as it is."


def test_mistakes_are_said(digits: LabelledImages) -> None:
    network = load_trained("cnn1")
    with pytest.raises(DataError, match="at least 4 images, got 3"):
        fix(network, digits.head(3))
    with pytest.raises(UnknownNameError, match="the name of an edit, got 'blur'"):
        fix(network, digits, edits=["blur"])
    with pytest.raises(ModelError, match="an edit that fits the model, got none"):
        fix(network, digits, edits=["patch-blur"])
    with pytest.raises(OptionError, match="`epochs` of at least 0"):
        fix(network, digits, epochs=-1)
    with pytest.raises(OptionError, match="a finite `learning_rate`"):
        fix(network, digits, learning_rate=float("nan"))
    with pytest.raises(OptionError, match="`batch_size` of at least 2, got 1"):
        fix(network, digits, batch_size=1)
    with pytest.raises(OptionError, match="a confidence between 0 and 1, got nan"):
        fix(network, digits, confidence=float("nan"))
    with pytest.raises(ShiftproofError, match="images of shape"):
        fix(network, torch.zeros(32, 1, 30, 30))


class OneNumber(nn.Module):
    """Whether there is more light in the upper half: one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.head = nn.MaxPool2d(4), nn.Linear(4, 1, bias=False)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0, 1.0, -1.0, -1.0]]))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.pool(images).flatten(1))
        return logits


def test_a_model_with_one_number_for_two_classes_is_fixed_without_training() -> None:
    images = torch.rand(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"protocol": "box:2,2,4", "threads": 1}
    made = fix(OneNumber(), images, edits=["average-logits", "average-probabilities"], **options)
    first, averaged = made.table
    assert averaged.name == "average-logits"
    assert isinstance(first.estimates["clean-accuracy"], Estimate)
    assert first.estimates["clean-accuracy"].value == 1  # Its own answers, of which some are no and some yes.
    assert isinstance(averaged.differences["agreement"], Difference)
    assert averaged.differences["agreement"].value > 0
    (refused,) = made.record.not_possible
    assert refused.reason == "It does not answer with the logits of classes: use average-logits."
    with pytest.raises(ModelError, match="one number for each class to train"):
        fix(OneNumber(), images, epochs=1, **options)


def test_a_model_that_ends_in_a_softmax_is_averaged_as_it_answers(digits: LabelledImages) -> None:
    model = nn.Sequential(load_trained("cnn2"), nn.Softmax(1))
    made = fix(model, digits, protocol="box:4,4,2", edits=["average-logits"], threads=1)
    images = digits.images[:4].float() / 255
    row = next(row for row in made.table if row.name == "average-logits")
    assert isinstance(row.estimates["accuracy"], Estimate)
    edited = apply_edit(model.eval(), "average-logits").module
    with torch.inference_mode():
        torch.testing.assert_close(edited(images).sum(1), torch.ones(4))


def test_without_one_class_for_an_image_nothing_is_chosen(digits: LabelledImages) -> None:
    vectors = as_classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 5)))
    with pytest.raises(ModelError, match=r"one class for each image, got the task embedding.*apply_edit"):
        fix(replace(vectors, task="embedding"), digits, protocol="box:1,1,1")


def _value(found: object) -> float:
    assert isinstance(found, Estimate)
    return found.value


@pytest.mark.slow
def test_an_exported_model_has_the_same_answers(found: Fixed, tmp_path: Path, digits: LabelledImages) -> None:
    runtime: Any = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    export_onnx(found.model, found.image_shape, path)
    images = digits.images[:5].float() / 255
    (answer,) = runtime.InferenceSession(str(path)).run(None, {"images": images.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(answer, found.model(images).numpy(), rtol=1e-4, atol=1e-4)
    function = as_classifier(lambda images: images.mean((2, 3)))
    assert "a module to export" in (exported(function, (1, 8, 8), path) or "")
    assert not path.exists()


@pytest.mark.slow
def test_an_onnx_model_is_fixed_from_around(found: Fixed, tmp_path: Path, digits: LabelledImages) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    export_onnx(found.original, found.image_shape, path)
    made = fix(str(path), digits, protocol="box:4,4,3", edits=FEW[:2], threads=1)
    assert made.chosen == "canonical-position"
    assert made.row.verdict == "helps"
    made.save(tmp_path / "out")
    images = digits.images[:8].float() / 255
    with torch.inference_mode():
        again = load_classifier(f"fixed:{tmp_path / 'out'}")(images)
        torch.testing.assert_close(again, made.model(images))
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"recipe.json"}


def test_a_layer_with_a_hostile_name_is_found_edited_and_harmless_in_the_record() -> None:
    name = "pool\x1b[2J"
    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.MaxPool2d(4),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10),
    )  # fmt: skip
    named = nn.Sequential()
    for path, layer in network.named_children():
        named.add_module(name if path == "2" else path, layer)
    images = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    fits, _ = propose(
        as_classifier(named.eval()), explain(named, images, n_remedies=0), images[:2], names=["max-blur-pool"]
    )
    assert [[step.layers for step in proposal.steps] for proposal in fits] == [[None], [(name,)]]
    assert all(proposal.addresses for proposal in fits)
    made = fix(named, images, protocol="circular:3", edits=["max-blur-pool"], threads=1, clean_margin=1.0)
    names = [row.name for row in made.table]
    assert "max-blur-pool (pool�[2J)" in names
    assert "\x1b" not in str(made.record)

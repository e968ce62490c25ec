"""Training after an edit: it learns, with labels and without, and goes on where it was."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import as_classifier, load_fixed
from shiftproof.data import LabelledImages, load_data
from shiftproof.edits import apply_edit, averaged
from shiftproof.errors import CheckpointError, DataError, OptionError, Stopped, TrainingError
from shiftproof.fix import Lesson, Student, Teaching, fix
from shiftproof.metrics import Estimate
from shiftproof.shifts import find_protocol, protocols, translate
from shiftproof.zoo import load_trained

CPU = torch.device("cpu")
LARGE = protocols.get("article-large")


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return load_data("mnist", "train").head(320)


def taught(digits: LabelledImages, *, labelled: bool = True, **lesson: float) -> Teaching:
    original = as_classifier(load_trained("cnn2"))
    return Teaching(digits, original, labelled, LARGE, Lesson(**lesson), CPU)  # type: ignore[arg-type]


def edited() -> nn.Module:
    return apply_edit(load_trained("cnn2"), "max-blur-pool").module


def shifted_accuracy(network: nn.Module) -> float:
    test = load_data("mnist", "test").head(400)
    offsets = LARGE.draw(400, (28, 28), seed=5)[:, 0]
    images = translate(test.images.float() / 255, offsets, border="zeros")
    with torch.inference_mode():
        return float((network(images).argmax(1) == test.labels).float().mean())


@pytest.mark.parametrize("labelled", [True, False])
def test_it_learns_to_keep_its_answers(labelled: bool) -> None:
    network, digits = edited(), load_data("mnist", "train").head(960)
    before = shifted_accuracy(network)
    teaching = taught(digits, labelled=labelled, epochs=3, batch_size=32)
    Student(network, teaching).advance(teaching.n_steps)
    assert shifted_accuracy(network) > before + 0.03
    assert not any(part.training for part in network.modules())


def test_without_labels_it_is_told_what_the_original_answers(digits: LabelledImages) -> None:
    teaching = taught(digits.head(64), labelled=False)
    reach = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    network = load_trained("cnn2")
    with torch.inference_mode():
        expected = averaged(network, digits.images[:64].float() / 255, tuple(reach), "edge", "probabilities")
    torch.testing.assert_close(teaching.targets, expected, rtol=1e-4, atol=1e-4)


def test_a_batch_is_images_their_shifts_and_what_is_right(digits: LabelledImages) -> None:
    original = as_classifier(load_trained("cnn2"))
    teaching = Teaching(digits, original, True, find_protocol("box:2,2,3"), Lesson(batch_size=32), CPU)
    seen = list(teaching.batches(0, teaching.steps_per_epoch))
    assert len(seen) == 10
    for images, shifted, labels in seen:
        for image, moved, label in zip(images, shifted, labels, strict=True):
            same = [
                torch.equal(moved, translate(image[None], (y, x), border="zeros")[0])
                for y in range(-2, 3) for x in range(-2, 3)
            ]  # fmt: skip
            assert any(same)
            place = (digits.images.float() / 255 == image).flatten(1).all(1).nonzero()
            assert int(label) == int(digits.labels[place[0, 0]])
    order = torch.cat([labels for _, _, labels in seen])
    assert sorted(order.tolist()) == sorted(digits.labels.tolist())
    again = list(teaching.batches(3, 5))
    assert torch.equal(again[1][1], seen[4][1])  # Whatever came before.


def test_an_interrupted_training_ends_with_the_same_bytes(digits: LabelledImages, tmp_path: Path) -> None:
    network, teaching = edited(), taught(digits, epochs=2, batch_size=64)
    # Dropout draws from torch's own generator.
    network.get_submodule("body").relu3 = nn.Sequential(nn.ReLU(), nn.Dropout(0.5)).eval()
    other, third = copy.deepcopy(network), copy.deepcopy(network)
    whole = Student(network, teaching)
    whole.advance(teaching.n_steps)
    path = tmp_path / "state.safetensors"
    calls = iter(range(8))

    def stop() -> None:
        if next(calls, None) is None:
            raise Stopped("to go on", "a stop")

    with pytest.raises(Stopped, match="a stop"):
        Student(other, teaching).advance(teaching.n_steps, checkpoint=path, check_stop=stop)
    steps: list[int] = []
    Student(third, teaching).advance(
        teaching.n_steps, checkpoint=path, check_stop=lambda: steps.append(len(steps))
    )
    assert len(steps) == 5  # From the end of the first epoch.
    for one, two in zip(network.state_dict().values(), third.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_a_checkpoint_of_another_training_is_refused(digits: LabelledImages, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    Student(edited(), taught(digits, batch_size=64)).advance(1, checkpoint=path)
    with pytest.raises(CheckpointError, match="one of another"):
        Student(edited(), taught(digits, batch_size=32)).advance(1, checkpoint=path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="a byte of it changed"):
        Student(edited(), taught(digits, batch_size=64)).advance(1, checkpoint=path)


def test_a_softmax_at_the_end_is_taken_back_for_the_loss(digits: LabelledImages) -> None:
    network = load_trained("cnn2")
    with_softmax = replace(
        as_classifier(nn.Sequential(load_trained("cnn2"), nn.Softmax(1)).eval()), outputs="probabilities"
    )
    teaching = Teaching(digits, with_softmax, False, LARGE, Lesson(batch_size=32), CPU)
    plain = taught(digits, labelled=False, batch_size=32)
    torch.testing.assert_close(teaching.targets.exp(), plain.targets.exp(), rtol=1e-4, atol=1e-6)
    student = with_softmax.model
    assert isinstance(student, nn.Module)
    Student(student, teaching).advance(2)
    Student(network, plain).advance(2)
    images = digits.images[:8].float() / 255
    with torch.inference_mode():
        torch.testing.assert_close(student(images), network(images).softmax(1), rtol=1e-2, atol=1e-3)


def test_consistency_is_the_divergence_from_the_answer_to_the_image(digits: LabelledImages) -> None:
    plain, consistent = edited(), edited()
    Student(plain, taught(digits)).advance(1)
    Student(consistent, taught(digits, consistency=1.0)).advance(1)
    pairs = zip(plain.parameters(), consistent.parameters(), strict=True)
    assert any(not torch.equal(one, two) for one, two in pairs)


class TooLarge(nn.Module):
    """Asks for more memory than there is, in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(images.flatten(1))
        logits.register_hook(_fail)  # type: ignore[no-untyped-call]
        return logits


def _fail(_: Tensor) -> None:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 10 bytes")


def test_mistakes_are_said(digits: LabelledImages) -> None:
    same = LabelledImages("one", digits.images, torch.zeros(320, dtype=torch.int64), ("a",))
    with pytest.raises(DataError, match="at least two classes to train with labels"):
        taught(same)
    with pytest.raises(DataError, match="at least 64 images to train on, got 10"):
        taught(digits.head(10))
    with pytest.raises(OptionError, match="`learning_rate`"):
        Lesson(learning_rate=-1)
    with pytest.raises(
        TrainingError, match=r"learn from 64 images at a time: too little memory.*--batch-size"
    ):
        Student(TooLarge(), taught(digits)).advance(1)
    with pytest.raises(TrainingError, match="a finite loss"):
        Student(edited(), taught(digits, learning_rate=1e30)).advance(5)


@pytest.mark.slow
def test_a_fix_with_training_beats_one_without() -> None:
    test, training = load_data("mnist", "test").head(300), load_data("mnist", "train").head(1920)
    found = fix(
        load_trained("cnn2"), test, training=training, protocol="article-large",
        edits=["max-blur-pool"], epochs=2, learning_rate=3e-4, batch_size=32, threads=1, clean_margin=0.03,
    )  # fmt: skip
    assert found.row.verdict == "helps"
    first, best = (row.estimates["accuracy"] for row in (found.table[0], found.row))
    assert isinstance(first, Estimate)
    assert isinstance(best, Estimate)
    assert best.value > first.value + 0.05
    assert found.record.about.training is not None
    assert found.record.about.training.to_dict() == {
        "n_images": 1920, "epochs": 2, "learning_rate": 3e-4, "batch_size": 32, "consistency": 0.0,
        "labelled": True,
    }  # fmt: skip


@pytest.mark.slow
def test_a_trained_model_without_edits_is_saved_too(tmp_path: Path) -> None:
    test, training = load_data("mnist", "test").head(200), load_data("mnist", "train").head(960)
    network = load_trained("cnn2")
    found = fix(
        network, test, training=training, protocol="article-large", edits=["patch-blur", "average-phases"],
        epochs=3, learning_rate=3e-4, batch_size=32, threads=1, clean_margin=0.03,
    )  # fmt: skip
    assert "as it is" in {row.name for row in found.table}
    assert found.chosen == "as it is"
    found.save(tmp_path)
    images = test.images[:8].float() / 255
    with torch.inference_mode():
        assert torch.equal(load_fixed(tmp_path, original=network)(images), found.model(images))
        assert not torch.equal(found.model(images), network(images))

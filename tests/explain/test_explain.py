"""Explanations of whole networks: what they say, what they leave alone, and what cannot be explained."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.explain.layer_toys import (
    CHANNELS,
    PositionMap,
    contrasts,
    conv,
    good_network,
    pictures,
    smooth_pictures,
)
from torch import Tensor, nn

from shiftproof.adapters import Classifier, TaskUnknownError, as_classifier, digest_of_module, tell_task
from shiftproof.anatomy import Place
from shiftproof.data import LabelledImages
from shiftproof.errors import DataError, ModelError, OptionError, UnknownNameError
from shiftproof.explain import Explanation, LayerRow, explain
from shiftproof.explain._read import read_runs
from shiftproof.explain._runs import TracedRuns
from shiftproof.explain._watched import WatchedRuns
from shiftproof.layers import BlurPool2d, GlobalMeanPool
from shiftproof.zoo import build_network


def explained(network: nn.Module, images: Tensor, **options: Any) -> Explanation:
    return explain(network.eval(), images, **{"n_remedies": 0, "border": "circular", **options})


def row_of(found: Explanation, layer: str) -> LayerRow:
    return next(row for row in found.rows if row.layer == layer)


def strided(seed: int = 0) -> nn.Sequential:
    return good_network(nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1, padding_mode="circular"), seed=seed)


def flattened() -> nn.Sequential:
    return good_network(head=nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 256, 4)))


@pytest.mark.parametrize(
    ("network", "layer", "sentence"),
    [
        (flattened(), "6.0", "from here on position is part of the features."),
        (strided(), "4", "stride 2 without a low-pass filter."),
        (good_network(nn.AvgPool2d(2)), "4", "stride 2 with a mean as its only low-pass filter."),
        (
            good_network(BlurPool2d(CHANNELS, kernel_size=2, border="circular")),
            "4",
            "through whose low-pass filter",
        ),
        (good_network(conv(kernel=7, border="zeros")), "4", "what lies beyond the border"),
        (good_network(), "3", "what fractions of a pixel add: it makes detail finer"),
        (good_network(PositionMap(16)), "4.mul", "its answer depends on where in the image something is"),
    ],
)
def test_sentences_are_put_together_from_what_layers_are(
    network: nn.Module, layer: str, sentence: str
) -> None:
    assert sentence in row_of(explained(network, contrasts(8)), layer).sentence


def test_what_a_user_would_see_is_said_in_answers_that_stay() -> None:
    network = strided()
    images = contrasts(12)
    with torch.no_grad():  # No class is preferred, so that answers change.
        bias: Any = network[-1].bias
        bias -= network(images).mean(0)
        weight: Any = network[-1].weight
        weight *= 100
        bias *= 100
    found = explained(network, images, n_shifts=4)
    row = row_of(found, "4")
    whole: Any = found.change["with-border"]
    stays = f"{100 * (1 - whole['flips'].value):.1f} %"
    assert row.agreement == 1
    moved = "If everything up to `4` moved with the image, "
    assert f"{moved}100 % of the predictions would stay, instead of {stays}" in row.sentence


def test_a_blur_in_its_place_is_measured_to_lose_less() -> None:
    found = explained(good_network(nn.MaxPool2d(1, 2)), contrasts(8), n_remedies=1)
    row = row_of(found, "4")
    assert (row.remedy, row.remedy_cause) == ("MaxBlurPool2d", "downsampling")
    assert row.remedy_removes is not None
    assert 0.5 < row.remedy_removes <= 1.1
    assert "MaxBlurPool2d in its place would remove about" in row.sentence
    assert all(other.remedy is None for other in found.rows if other.layer != "4")


def test_layers_that_cannot_be_told_apart_are_named() -> None:
    few = explained(good_network(nn.MaxPool2d(2), nn.ReLU(), nn.MaxPool2d(2)), contrasts(3))
    assert few.tied
    assert few.tie in str(few)
    assert "images cannot tell which of" in few.tie
    assert all(f"`{name}`" in few.tie for name in few.tied)
    assert explained(strided(), contrasts(8)).tie == ""


class Tangled(nn.Module):
    """A shared pool, a residual sum in place, two answers, control flow on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = conv(2)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU(inplace=True)
        self.conv = conv()
        self.head = nn.Linear(CHANNELS, 3)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.pool(self.first(images))
        if float(maps.abs().mean()) > 0:
            maps = maps + self.relu(self.conv(maps))
        maps = self.pool(maps)
        features = maps.mean((2, 3))
        return {"features": features, "logits": self.head(features)}


def test_what_cannot_be_traced_is_watched_and_cut_where_one_tensor_is_alive() -> None:
    network = Tangled().eval()
    found = explain(Classifier("tangled", network, logits="logits"), pictures(), border="circular")
    names = [row.layer for row in found.rows]
    assert any("watched and not traced" in note for note in found.notes)
    measured = "Where positions lie was measured after `first`, `pool`, `add` and `pool#2`"
    assert any(note.startswith(measured) for note in found.notes), found.notes
    assert {"pool", "pool#2"} <= set(names)
    assert "conv" not in names, "beside it the maps before it are alive"
    whole: Any = found.change["with-border"]
    total = sum(row.loss["logits"].value for row in found.rows)
    assert total == pytest.approx(whole["logits"].value)
    assert total > 0.01
    lost = sum(row_of(found, name).loss["logits"].value for name in ("pool", "pool#2"))
    assert lost == pytest.approx(total, rel=1e-3), "nothing else here loses anything"
    with pytest.raises(ModelError, match="to answer with one tensor"):
        explain(network, pictures())


class InPlace(nn.Module):
    """What is written into a view is read by its owner: patching one of them would be a guess."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.conv = conv(2, border="zeros"), conv(border="zeros")
        self.head = nn.Linear(CHANNELS, 4)
        self.in_place = in_place

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        if self.in_place:
            maps.view(len(maps), CHANNELS, -1).relu_()
        else:
            maps = maps.relu()
        summed = nn.functional.max_pool2d(self.conv(maps) + maps, 2)
        logits: Tensor = self.head(summed.mean((2, 3)))
        return logits


def test_cuts_that_cannot_be_patched_are_named_and_left_out() -> None:
    found, plain = (explain(InPlace(each).eval(), pictures(), n_remedies=0) for each in (True, False))
    closed = row_of(found, "view … add").closed
    assert closed == "view: Other tensors are alive after it, or it is overwritten in place."
    assert "relu" not in [stair.after for stair in found.stairs]
    lost, expected = ({row.layer: row.loss["logits"].value for row in each.rows} for each in (found, plain))
    outside = {"images", "first", "max_pool2d"}
    assert {layer: lost[layer] for layer in outside} == pytest.approx(
        {layer: expected[layer] for layer in outside}, rel=1e-3, abs=1e-6
    )
    inside = sum(loss for layer, loss in expected.items() if layer not in outside)
    assert lost["view … add"] == pytest.approx(inside, rel=1e-3, abs=1e-6)


def test_measured_positions_are_those_that_are_read_also_of_wide_borders() -> None:
    network = nn.Sequential(
        conv(2), nn.ZeroPad2d((1, 4, 5, 2)), nn.ReLU(), nn.Conv2d(CHANNELS, CHANNELS, 5, 2), nn.ZeroPad2d(-1),
        nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(3),
    ).eval()  # fmt: skip
    images = torch.rand(2, 2, 40, 44)
    network(images)
    read, _ = read_runs(as_classifier(network), images)
    watched = WatchedRuns(as_classifier(network), images)
    assert isinstance(read, TracedRuns)
    checked = 0
    for index, moment in enumerate(read.moments):
        expected, found = read.placed(index), watched.placed(index)
        assert moment.name == watched.moments[index].name
        if isinstance(expected, Place):
            assert isinstance(found, Place)
            assert found == replace(expected, measured=index > 0), moment.name
            checked += 1
    assert checked == 7


def test_traced_and_watched_networks_are_explained_alike() -> None:
    class Watched(nn.Module):
        def __init__(self, network: nn.Sequential) -> None:
            super().__init__()
            for name, part in network.named_children():
                self.add_module(f"layer{name}", part)

        def forward(self, images: Tensor) -> Tensor:
            for part in self.children():
                images = part(images)
            return images if float(images.sum()) < torch.inf else images + 1

    images = contrasts(6)
    flat = nn.Sequential(*list(flattened())[:6], nn.Flatten(), nn.Linear(CHANNELS * 256, 4))
    for network in (strided(), flat):
        traced, watched = (explained(each, images) for each in (network, Watched(network)))
        for before, after in zip(traced.ranked()[:1], watched.ranked()[:1], strict=True):
            assert after.layer == f"layer{before.layer}"
            assert after.loss["logits"].value == pytest.approx(before.loss["logits"].value, rel=1e-3)


class Noisy(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) + torch.rand(1)


class SeldomNoisy(nn.Module):
    """Nearly always the same answer, so that no two runs tell that it draws."""

    def forward(self, images: Tensor) -> Tensor:
        means = images.mean((2, 3))
        return -means if random.random() < 1e-9 else means


class Counting(nn.Module):
    """Draws nothing, and answers by how often it was asked."""

    n_calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.n_calls += 1
        return images.mean((2, 3)) * float(self.n_calls)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Noisy(), "it draws at random in evaluation mode"),
        (SeldomNoisy(), "it draws at random in evaluation mode"),
        (Counting(), "two answers to the same images. Its answer depends on more than the images"),
    ],
)
def test_a_network_that_does_not_answer_for_good_is_refused(network: nn.Module, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        explain(network.eval(), pictures())


def test_of_a_network_that_answers_all_images_alike_nothing_is_explained() -> None:
    class Same(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mean((2, 3)) * 0 + torch.arange(2.0)

    found = explain(Same().eval(), pictures())
    assert found.rows == ()
    assert found.notes[-1] == "It answers all images alike: there is nothing to explain."
    assert str(found) == "No layer loses anything."


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_is_to_the_bit(training: bool) -> None:
    network = nn.Sequential(conv(2), nn.MaxPool2d(2), nn.ReLU(inplace=True), *list(good_network())[-2:])
    network.train(training)
    network[1].eval()
    images = pictures()
    before, shown = digest_of_module(network), images.clone()
    explain(network, images, n_remedies=2)
    assert digest_of_module(network) == before
    assert torch.equal(images, shown)
    assert [module.training for module in network] == [training, False, *[training] * 3]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(p.grad is None for p in network.parameters())


def test_a_model_that_fails_in_the_middle_is_one_sentence_and_keeps_no_hook() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.conv = conv(2)

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            if float(images.sum()) > 0 and self.calls > 8:
                raise ZeroDivisionError("in the middle")
            maps: Tensor = self.conv(images)
            return maps.mean((2, 3))

    network = Fails().train()
    with pytest.raises(ModelError, match="in the middle"):
        explain(network, pictures())
    assert network.training
    assert not network.conv._forward_hooks
    assert not network.conv._forward_pre_hooks


@pytest.mark.slow
def test_a_compiled_network_is_explained_as_the_one_it_was_made_of() -> None:
    network = strided()
    compiled: Any = torch.compile(network, backend="eager")
    plain, found = (explained(each, pictures()) for each in (network, compiled))
    assert [row.to_dict() for row in found.rows] == [row.to_dict() for row in plain.rows]


def test_equal_questions_have_equal_bytes_whatever_the_batch() -> None:
    images = LabelledImages("few", pictures(5).mul(255).byte(), torch.zeros(5).long(), ("a",))
    first, second = (explain(strided(), images, n_remedies=1).to_json() for _ in range(2))
    assert first == second
    record = json.loads(first)
    assert record["data"] == {
        "name": "few", "n_images": 5, "image_shape": [2, 16, 16], "digest": images.digest,
        "conversions": {},
    }  # fmt: skip
    assert record["kind"] == "explanation"
    found = [explain(strided(), images, n_remedies=0, batch_size=size) for size in (2, 5)]
    for one, other in zip(*(each.rows for each in found), strict=True):
        assert one.loss["logits"].value == pytest.approx(other.loss["logits"].value, rel=1e-4, abs=1e-6)


def test_bytes_and_numbers_are_the_same_images() -> None:
    pixels = pictures(4).mul(255).byte()
    one, other = explained(strided(), pixels), explained(strided(), pixels.float() / 255)
    assert one.change == other.change


def test_the_limit_is_of_images() -> None:
    assert explained(good_network(), pictures(7), limit=4).n_images == 4
    assert explain(build_network("cnn1"), "demo:mnist", limit=3, n_remedies=0).n_images == 3


@pytest.mark.parametrize(
    ("images", "options", "kind", "message"),
    [
        (pictures(1), {}, DataError, "at least 2 images"),
        (pictures()[0], {}, DataError, "at least 2 images"),
        (pictures(1).expand(4, -1, -1, -1), {}, DataError, "Cannot compare images: they are all equal"),
        (pictures() * 3, {}, DataError, r"images in \[0, 1\]"),
        (pictures(), {"limit": 1}, OptionError, "`limit` of at least 2"),
        (pictures(), {"batch_size": 0}, OptionError, "`batch_size` of at least 1"),
        (pictures(), {"n_remedies": -1}, OptionError, "`n_remedies` of at least 0"),
        (pictures(), {"n_shifts": 0}, OptionError, "`n_shifts` of at least 1"),
        (pictures(), {"most_cuts": 1}, OptionError, "`most_cuts` of at least 2"),
        (pictures(), {"max_shift_px": 16}, OptionError, "a longest shift from 1 to 15 px"),
        (pictures(), {"border": "none"}, UnknownNameError, "border"),
    ],
)
def test_mistakes_are_explained(
    images: Tensor, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        explain(good_network(), images, **options)


def test_a_function_has_no_layers() -> None:
    with pytest.raises(ModelError, match="to be a torch module"):
        explain(lambda images: images.mean((2, 3)), pictures())


def test_where_there_is_no_room_for_the_stride_head_and_downsampling_are_not_told_apart() -> None:
    found = explained(good_network(nn.MaxPool2d(4), nn.MaxPool2d(4)), pictures(4, 32), max_shift_px=3)
    assert any("hold no multiple of the total stride of 16 px" in note for note in found.notes)
    assert all(row.split["head"].value == 0 for row in found.rows)
    assert found.stairs[0].change["multiples"] is None


def test_sizes_that_close_no_circle_are_measured_with_the_border_and_said() -> None:
    found = explained(build_network("cnn2"), torch.rand(4, 1, 28, 28))
    assert found.frame == "border"
    assert any("close no circle" in note for note in found.notes)
    whole: Any = found.change["with-border"]
    assert sum(r.loss["logits"].value for r in found.rows) == pytest.approx(whole["logits"].value)


def test_what_leaves_the_image_is_a_row_of_its_own() -> None:
    """A network on a circle, which loses nothing but what the border of the images brings in."""
    found = explained(good_network(), contrasts(8), border="zeros")
    assert found.ranked()[0].layer == "images"
    assert found.ranked()[0].share == pytest.approx(1, abs=1e-3)
    assert "no layer can help" in found.ranked()[0].sentence


def test_the_figure_is_the_staircase() -> None:
    pytest.importorskip("matplotlib")
    found = explained(strided(), pictures())
    _, axes = found.plot()
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    assert set(lines) == {
        "whole pixels, real border", "fractions of a pixel, no border", "whole pixels, no border",
        "multiples of the stride, no border",
    }  # fmt: skip
    line: Any = lines["whole pixels, no border"]
    drawn = [float(y) for y in line.get_ydata()]
    expected = [stair.change["whole-pixel"] for stair in found.stairs]
    assert drawn == [each["logits"] for each in expected if each is not None]
    assert [label.get_text().split()[0] for label in axes.get_xticklabels()] == [
        stair.after if number == 0 else row
        for number, (stair, row) in enumerate(
            zip(found.stairs, ["", *(row.layer for row in found.rows)], strict=True)
        )
    ]


def test_the_networks_of_the_article_make_sense(digits: LabelledImages) -> None:
    """Flattening keeps position, and convolutions without padding lose nothing."""
    found = explain(build_network("cnn2"), digits, limit=16, n_remedies=0)
    assert found.ranked()[0].layer == "body.flatten"
    assert max(found.by_cause(), key=lambda cause: found.by_cause()[cause]) == "head"


def test_the_case_of_the_global_mean_that_compresses() -> None:
    """A stride of 4, and after it a narrow head: the mean, the norm and the head lose nothing."""
    torch.manual_seed(0)
    mix = nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular")
    network = nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4), nn.GELU(), mix, nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.LayerNorm(16), nn.Linear(16, 10),
    )  # fmt: skip
    found = explained(network, contrasts(6, 32, 3))
    assert found.ranked()[0].layer == "0"
    assert found.ranked()[0].share == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_networks_of_torchvision_are_explained() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    images = 0.5 * smooth_pictures(4, 96, 3) + 0.5 * pictures(4, 96, 3)
    for name, stride in (("resnet18", 32), ("mobilenet_v3_small", 32), ("convnext_tiny", 32)):
        found = explain(getattr(models, name)(weights=None).eval(), images, n_shifts=1, n_remedies=0)
        assert found.frame == "circle"
        assert found.stride_px == (stride, stride)
        whole: Any = found.change["with-border"]
        assert sum(r.loss["logits"].value for r in found.rows) == pytest.approx(whole["logits"].value)
        multiples: Any = found.change["multiples"]
        assert multiples["logits"].value < 1e-6, "circular shifts by the stride are exact on a circle"


def test_a_network_whose_layers_depend_on_the_images_is_explained_or_said_to_be_one() -> None:
    class Choosy(nn.Module):
        """Another layer where the corner is black, as it is when an image moves down."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.extra = conv(2), conv()
            self.head = nn.Linear(CHANNELS, 3)

        def forward(self, images: Tensor) -> Tensor:
            maps = self.first(images)
            if float(images[..., 0, 0].sum().detach()) > 0:
                maps = self.extra(maps)
            logits: Tensor = self.head(maps.mean((2, 3)))
            return logits

    found = explain(Choosy().eval(), pictures())
    assert any("watched and not traced" in note for note in found.notes)
    whole: Any = found.change["with-border"]
    assert sum(row.loss["logits"].value for row in found.rows) == pytest.approx(whole["logits"].value)


def test_numbers_that_only_labels_could_name_are_taken_for_logits() -> None:
    """An audit asks what they are; for an explanation it is enough that they name a class."""
    images = pictures(4)
    network = nn.Sequential(GlobalMeanPool()).eval()  # Two numbers from 0 to 1.
    with pytest.raises(TaskUnknownError, match="Cannot tell what the answers of Sequential are"):
        tell_task(as_classifier(network), images, torch.full((4,), -1))
    assert explain(network, images).change == explain(as_single_label(network), images).change


def as_single_label(network: nn.Module) -> Classifier:
    return Classifier("it", network, task="single-label", outputs="logits")


def test_one_logit_flips_where_its_sign_changes() -> None:
    """Positive where the image is bright at the top: images of one bright row change when it moves."""

    class Top(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images[:, :, :4].mean((1, 2, 3)) - images[:, :, 4:].mean((1, 2, 3)))[:, None] * 10

    images = torch.zeros(8, 1, 16, 16)
    for index in range(8):
        images[index, :, 2 if index % 2 else 9] = 0.5 + 0.05 * index
    found = explain(Top().eval(), images, max_shift_px=5, n_shifts=4)
    whole: Any = found.change["with-border"]
    assert 0.05 < whole["flips"].value < 0.95
    assert whole["probability"].value > 0.1

"""The explanation of whole networks: the fault that was put there is found, and nothing is left changed."""

from __future__ import annotations

import json
from collections.abc import Callable
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

from shiftproof.adapters import Classifier, digest_of_module
from shiftproof.data import LabelledImages
from shiftproof.errors import DataError, ModelError, OptionError, UnknownNameError
from shiftproof.explain import CAUSES, Explanation, explain
from shiftproof.layers import AdaptivePolyphase2d, BlurPool2d
from shiftproof.metrics import NotApplicable
from shiftproof.zoo import build_network


def explained(network: nn.Module, images: Tensor, **options: Any) -> Explanation:
    return explain(network.eval(), images, **{"n_remedies": 0, "border": "circular", **options})


def subsampling(seed: int) -> tuple[nn.Sequential, str]:
    return good_network(nn.MaxPool2d(1, 2), seed=seed), "4"


def strided(seed: int) -> tuple[nn.Sequential, str]:
    strided = nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1, padding_mode="circular")
    return good_network(strided, seed=seed), "4"


def zero_padded(seed: int) -> tuple[nn.Sequential, str]:
    return good_network(conv(kernel=7, border="zeros"), seed=seed), "4"


def position_kept(seed: int) -> tuple[nn.Sequential, str]:
    return good_network(PositionMap(16), seed=seed), "4"


def flattened(seed: int) -> tuple[nn.Sequential, str]:
    head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 256, 4))
    return good_network(seed=seed, head=head), "6.0"


Build = Callable[[int], tuple[nn.Sequential, str]]
FAULTS: list[tuple[Build, str]] = [
    (subsampling, "downsampling"),
    (strided, "downsampling"),
    (zero_padded, "border"),
    (position_kept, "other"),
    (flattened, "head"),
]


def blamed(build: Build, cause: str, seed: int) -> tuple[bool, Explanation]:
    """Whether the layer that was put in has the largest share, by the cause for which it was."""
    network, layer = build(seed)
    # Smooth pictures have nothing to alias. Those of noise must differ in more than their noise.
    images = contrasts(8, seed=seed) if cause == "downsampling" else smooth_pictures(8, seed=seed)
    found = explained(network, images)
    worst = found.ranked()[0]
    return worst.layer == layer and max(worst.split, key=worst.split.__getitem__) == cause, found


@pytest.mark.parametrize(("build", "cause"), FAULTS)
def test_the_layer_that_is_bad_gets_the_blame(build: Build, cause: str) -> None:
    found, explanation = blamed(build, cause, 3)
    assert found, str(explanation)


@pytest.mark.slow
@pytest.mark.parametrize(("build", "cause"), FAULTS)
def test_the_layer_that_is_bad_gets_the_blame_in_nine_of_ten_networks(build: Build, cause: str) -> None:
    """Not in all: a layer behind the bad one can make more of what it has done than the bad one itself."""
    assert sum(blamed(build, cause, seed)[0] for seed in range(40)) >= 36


def test_a_network_without_a_fault_loses_nothing_under_whole_shifts() -> None:
    found = explained(good_network(), smooth_pictures())
    for row in found.rows:
        for condition in ("multiples", "whole-pixel"):
            error = row.errors[condition]
            if row.size is not None:
                assert not isinstance(error, NotApplicable)
                assert error.value <= 1e-6
    filters = nn.Sequential(conv(2), conv(), *list(good_network())[-2:])
    linear = explained(filters, smooth_pictures(size_px=24))
    assert str(linear) == "No layer loses anything."
    assert any("too little to tell" in note for note in linear.notes)
    assert linear.output_loss.value < 1e-3


def test_rows_add_up_to_the_answer() -> None:
    found = explained(subsampling(1)[0], pictures(), border="zeros")
    total = sum(row.increase.value for row in found.rows)
    assert total + found.image_loss.value == pytest.approx(found.output_loss.value)
    assert sum(found.by_cause().values()) == pytest.approx(total)
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    for row in found.rows:
        assert sum(row.split.values()) == pytest.approx(row.increase.value, abs=1e-9)
        assert row.increase.low <= row.increase.value <= row.increase.high
        assert row.increase.n_images == 6


def test_a_blur_in_its_place_is_measured_to_lose_less() -> None:
    network, layer = subsampling(0)
    found = explained(network, smooth_pictures(8, 24) * 0.5 + 0.5 * pictures(8, 24), n_remedies=1)
    row = next(row for row in found.rows if row.layer == layer)
    assert row.remedy == "MaxBlurPool2d"
    assert row.remedy_removes is not None
    assert 0.2 < row.remedy_removes <= 1.1
    assert "stride 2 without a low-pass filter; MaxBlurPool2d would remove about" in row.sentence
    assert all(other.remedy is None for other in found.rows if other.layer != layer)


@pytest.mark.parametrize(
    ("network", "layer", "sentence"),
    [
        (flattened(0)[0], "6.0", "from here on position is part of the features."),
        (strided(0)[0], "4", "stride 2 without a low-pass filter."),
        (good_network(nn.AvgPool2d(2)), "4", "stride 2 with a mean as its only low-pass filter."),
        (
            good_network(BlurPool2d(CHANNELS, kernel_size=2, border="circular")),
            "4",
            "through whose low-pass filter",
        ),
        (zero_padded(0)[0], "4", "its window of 7 × 7 positions sees what lies beyond the border"),
        (good_network(), "1", "it makes detail finer than what its positions can hold"),
        (good_network(AdaptivePolyphase2d()), "4", "its answer moves by whole positions"),
        (position_kept(0)[0], "4", "its answer depends on where in the image something is"),
        (
            good_network(head=nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())),
            "6.0",
            "one number is left",
        ),
    ],
)
def test_sentences_are_put_together_from_what_layers_are(
    network: nn.Module, layer: str, sentence: str
) -> None:
    found = explained(network, contrasts(8))
    assert sentence in next(row.sentence for row in found.rows if row.layer == layer)


def test_a_layer_that_restores_says_so() -> None:
    found = explained(subsampling(0)[0], pictures(8))
    pool = next(row for row in found.rows if row.kind == "GlobalMeanPool")
    assert pool.increase.value < 0
    assert pool.share == 0
    assert "takes back" in pool.sentence


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


def test_shared_layers_branches_and_several_answers() -> None:
    network = Tangled().eval()
    found = explain(Classifier("tangled", network, logits="logits"), pictures(), n_remedies=1)
    names = [row.layer for row in found.rows]
    assert names[:4] == ["first", "pool", "conv", "relu"]
    assert {"add", "pool#2", "mean#2", "head"} <= set(names)
    total = sum(row.increase.value for row in found.rows)
    assert total + found.image_loss.value == pytest.approx(found.output_loss.value)
    with pytest.raises(ModelError, match="to answer with one tensor"):
        explain(network, pictures())


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


def test_hooks_are_gone_after_an_error() -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0
            self.conv = conv(2)

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            if self.calls > 3:
                raise ZeroDivisionError("in the middle")
            maps: Tensor = self.conv(images)
            return maps.mean((2, 3))

    network = Fails().train()
    with pytest.raises(ModelError, match="ZeroDivisionError: in the middle"):
        explain(network, pictures())
    assert network.training
    assert not network.conv._forward_hooks
    assert not network.conv._forward_pre_hooks


@pytest.mark.slow
def test_a_compiled_network_is_explained_as_the_one_it_was_made_of() -> None:
    network = subsampling(0)[0]
    compiled: Any = torch.compile(network, backend="eager")
    plain, found = (explained(each, pictures()) for each in (network, compiled))
    assert [row.to_dict() for row in found.rows] == [row.to_dict() for row in plain.rows]


def test_equal_questions_have_equal_bytes() -> None:
    images = LabelledImages("few", pictures(5).mul(255).byte(), torch.zeros(5).long(), ("a",))
    first, second = (explain(strided(0)[0], images, n_remedies=1).to_json() for _ in range(2))
    assert first == second
    record = json.loads(first)
    assert record["data"] == {
        "name": "few", "n_images": 5, "image_shape": [2, 16, 16], "digest": images.digest,
        "conversions": {},
    }  # fmt: skip
    assert record["kind"] == "explanation"


def test_bytes_and_numbers_are_the_same_images() -> None:
    pixels = pictures(4).mul(255).byte()
    network = subsampling(0)[0]
    one, other = explained(network, pixels), explained(network, pixels.float() / 255)
    assert one.output_loss == other.output_loss


def test_the_limit_is_of_images() -> None:
    assert explained(good_network(), pictures(7), limit=4).n_images == 4
    assert explain(build_network("cnn1"), "demo:mnist", limit=3, n_remedies=0).n_images == 3


@pytest.mark.parametrize(
    ("images", "options", "kind", "message"),
    [
        (pictures(1), {}, DataError, "at least 2 images"),
        (pictures()[0], {}, DataError, "at least 2 images"),
        (pictures(1).expand(4, -1, -1, -1), {}, DataError, "images that differ"),
        (pictures() * 3, {}, DataError, r"images in \[0, 1\]"),
        (pictures(), {"limit": 1}, OptionError, "`limit` of at least 2"),
        (pictures(), {"batch_size": 1}, OptionError, "`batch_size` of at least 2"),
        (pictures(), {"n_remedies": -1}, OptionError, "`n_remedies` of at least 0"),
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


def test_an_answer_that_does_not_come_from_the_images_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.ones(len(images), 3)

    with pytest.raises(ModelError, match="a tensor that its layers computed"):
        explain(Constant(), pictures())


def test_strides_without_room_are_not_applicable_and_add_up_all_the_same() -> None:
    found = explained(good_network(nn.MaxPool2d(4), nn.MaxPool2d(4), seed=0), pictures(), max_shift_px=3)
    deepest = next(row for row in found.rows if row.layer == "4")
    assert isinstance(deepest.errors["with-border"], NotApplicable)
    total = sum(row.increase.value for row in found.rows)
    assert total + found.image_loss.value == pytest.approx(found.output_loss.value)


def test_a_figure_has_a_bar_for_each_layer_and_cause() -> None:
    pytest.importorskip("matplotlib")
    found = explained(subsampling(0)[0], pictures())
    _, axes = found.plot()
    assert len(axes.patches) == len(found.rows) * len(CAUSES)
    widest = max(axes.patches, key=lambda bar: abs(bar.get_width()))  # type: ignore[attr-defined]
    assert widest.get_width() == pytest.approx(  # type: ignore[attr-defined]
        max((part for row in found.rows for part in row.split.values()), key=abs)
    )


def test_the_networks_of_the_article_make_sense(digits: LabelledImages) -> None:
    """Flattening keeps position; each pool aliases; convolutions without padding lose nothing."""
    found = explain(build_network("cnn2"), digits, limit=16, n_remedies=0)
    rows = {row.layer: row for row in found.rows}
    assert found.ranked()[0].layer == "body.flatten"
    for name in ("body.pool1", "body.pool2"):
        assert rows[name].split["downsampling"] > 0.01
    for row in found.rows:
        assert row.split["border"] == pytest.approx(0, abs=1e-6)
        assert row.split["other"] == pytest.approx(0, abs=1e-6)


@pytest.mark.slow
def test_a_residual_network_of_torchvision_is_explained() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    found = explain(models.resnet18(weights=None).eval(), smooth_pictures(4, 96, 3), n_remedies=1)
    rows = {row.layer: row for row in found.rows}
    assert found.frame == "circle"
    assert rows["layer4.1.conv2"].stride_px == (32, 32)
    assert rows["layer1.0.relu#2"].kind == "ReLU"
    assert rows["layer2.0.add"].size == (12, 12)
    assert max(rows["conv1"].split, key=rows["conv1"].split.__getitem__) in ("border", "downsampling")
    total = sum(row.increase.value for row in found.rows)
    assert total + found.image_loss.value == pytest.approx(found.output_loss.value)
    for row in found.rows:
        error = row.errors["multiples"]
        if not isinstance(error, NotApplicable):
            assert error.value < 1e-6, "circular shifts by the stride are exact on a circle"

"""Edits of layers, on the architectures that people have."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tests.edits.architectures import (
    CONVOLUTIONAL,
    PATCHES,
    ZOO,
    CalledPools,
    Unreadable,
    build,
    images_for,
    marked,
)
from torch import Tensor, nn
from torch.testing import assert_close

from shiftproof.adapters import digest_of_module
from shiftproof.edits import Edit, apply_edit, edits
from shiftproof.edits._dense import at_stride_one
from shiftproof.edits._relative import RelativePositions
from shiftproof.errors import ModelError, OptionError, ShapeError, UnknownNameError
from shiftproof.layers import BlurPool2d

BLURS = ("max-blur-pool", "blur-strides", "conv-blur-pool")
EVERY = [*CONVOLUTIONAL, *PATCHES, *ZOO]


def answers(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(images)
    return found


def edited(network: nn.Module, edit: str, images: Tensor, **options: Any) -> nn.Module | None:
    """The edited network; None where there is nothing to edit."""
    try:
        return apply_edit(network, edit, images=images, **options).module
    except ModelError as error:
        if error.got != "none":
            raise
        return None


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


@pytest.mark.parametrize("name", marked([*CONVOLUTIONAL, *ZOO]))
def test_a_blur_of_one_tap_changes_no_answer(name: str) -> None:
    network, images = build(name).double(), images_for(name).double()
    expected, n_changed = answers(network, images), 0
    for edit in BLURS:
        other = edited(network, edit, images, kernel_size=1)
        if other is not None:
            n_changed += 1
            assert relative(answers(other, images), expected) < 1e-6
    assert n_changed or name in {"cnn2-gap", "all-cnn"}


@pytest.mark.parametrize("name", marked(EVERY))
def test_every_edit_keeps_shape_weights_modes_and_the_original(name: str) -> None:
    network, images = build(name), images_for(name)
    before, expected = digest_of_module(network), answers(network, images)
    changed = []
    for edit in edits:
        # Full padding makes maps grow, which flatten and shortcuts do not allow; it has a test of its own.
        if edit.kind != "surgery" or (edit.name, name) in TOO_SMALL or edit.name == "padding-full":
            continue
        other = edited(network, edit.name, images)
        if other is None:
            continue
        changed.append(edit.name)
        answer = answers(other, images)
        assert answer.shape == expected.shape
        assert torch.equal(answer, answers(other, images)), edit.name  # Nothing is drawn.
        assert not any(part.training for part in other.modules()), edit.name
        memory = {tensor.data_ptr() for tensor in network.parameters()}
        assert not memory & {tensor.data_ptr() for tensor in other.parameters()}
        check_gradients(other, images)
        check_state(other, images, edit)
    assert digest_of_module(network) == before
    assert torch.equal(answers(network, images), expected)
    assert changed


# Reflection and going around need maps larger than their margins.
SMALL_MAPS = (
    "torchvision:convnext",
    "timm:convnext",
    "hf:convnext",
    "torchvision:efficientnet",
    "timm:efficientnet-same",
    "torchvision:mobilenet_v3",
    "timm:mobilenetv3",
)
TOO_SMALL = {
    (edit, name) for name in SMALL_MAPS for edit in ("padding-reflect", "padding-circular", "aps", "lps")
}
# The flatten of the last one counts on odd sizes.
TOO_SMALL |= {(edit, "strided-cnn") for edit in ("aps", "lps")}


def check_gradients(network: nn.Module, images: Tensor) -> None:
    """Every weight that the original learns from learns here too."""
    trained = copy.deepcopy(network)
    trained(images).square().sum().backward()
    without = [path for path, value in trained.named_parameters() if value.grad is None]
    # In evaluation mode, what chooses has no gradient.
    assert not [path for path in without if "phase" not in path and "choice" not in path]


def check_state(network: nn.Module, images: Tensor, edit: Edit) -> None:
    """Weights that were saved are those that are loaded, and the whole module can be pickled."""
    other = copy.deepcopy(network)
    state = network.state_dict()
    with torch.no_grad():
        for value in other.state_dict().values():
            value.zero_()
    other.load_state_dict(state)
    assert torch.equal(answers(other, images), answers(network, images)), edit.name


def test_edited_networks_can_be_saved_whole() -> None:
    network, images = build("torchvision:resnet18"), images_for("torchvision:resnet18")
    for edit in ("blur-strides", "conv-blur-pool", "aps"):
        other, file = apply_edit(network, edit).module, io.BytesIO()
        torch.save(other, file)
        file.seek(0)
        again = torch.load(file, weights_only=False)
        assert torch.equal(answers(again, images), answers(other, images))


def test_a_second_time_there_is_nothing_to_edit() -> None:
    for name in ("torchvision:resnet18", "functions"):
        network = build(name)
        for edit in ("max-blur-pool", "blur-strides", "conv-blur-pool", "aps", "low-pass-pool"):
            try:
                once = apply_edit(network, edit).module
            except ModelError:
                continue
            with pytest.raises(ModelError, match="There is nothing to fix"):
                apply_edit(once, edit)


class PaddedByStride(nn.Conv2d):
    """Pads as TensorFlow does, by size and stride, when it is asked."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        margins: list[int] = []
        for axis in (1, 0):
            size, step, taps = input.shape[2 + axis], self.stride[axis], self.kernel_size[axis]
            total = max(0, (-(-size // step) - 1) * step + taps - size)
            margins += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, margins), self.weight, self.bias, self.stride, 0)


class WithStrideOfItsOwn(nn.Conv2d):
    """Computes everything and keeps the second of each two positions, which its stride does not say."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        return F.conv2d(input, self.weight, self.bias, 1, self.padding)[:, :, 1::2, 1::2]


def test_convolutions_of_other_libraries_that_pad_by_themselves() -> None:
    network = nn.Sequential(PaddedByStride(3, 4, 3, 2), nn.ReLU(), PaddedByStride(4, 4, 5, 3)).eval()
    images = torch.rand(2, 3, 33, 34)
    same = apply_edit(network, "blur-strides", kernel_size=1, images=images).module
    assert_close(answers(same, images), answers(network, images))
    with pytest.raises(ModelError, match="There is nothing to fix"):
        apply_edit(same, "blur-strides")
    alone = nn.Sequential(WithStrideOfItsOwn(3, 4, 3, 2, 1), nn.ReLU())
    with pytest.raises(ModelError, match="WithStrideOfItsOwn computes depends on its stride in a way of its"):
        apply_edit(alone, "blur-strides")


@pytest.mark.parametrize("edit", ["aps", "conv-blur-pool"])
def test_a_stride_that_cannot_be_taken_off_is_left_alone_and_others_are_edited(edit: str) -> None:
    network = nn.Sequential(WithStrideOfItsOwn(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 4, 3, 2, 1)).eval()
    found = apply_edit(network, edit, images=torch.rand(1, 3, 16, 16))
    reasons = {each.layer: each.reason for each in found.left_alone}
    assert "WithStrideOfItsOwn computes depends on its stride in a way of its own" in reasons["0"]
    assert "2" in {each.layer for each in found.changes}


def test_noise_says_once_whether_a_stride_can_be_taken_off() -> None:
    asked: list[tuple[int, ...]] = []

    class Counting(PaddedByStride):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002
            asked.append(tuple(self.stride))
            return super().forward(input)

    at_stride_one(Counting(3, 4, 3, 2))
    once = len(asked)
    asked.clear()
    apply_edit(nn.Sequential(Counting(3, 4, 3, 2), nn.ReLU()), "blur-strides")
    assert len(asked) == once > 0


def test_a_network_of_pypi_whose_convolutions_know_the_size_of_the_image() -> None:
    """EfficientNet-Lite0: every strided layer is edited, and a blur of one tap changes no answer."""
    library: Any = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    network = library.EfficientNet.from_name("efficientnet-lite0").eval()
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    found = apply_edit(network, "blur-strides", kernel_size=1, images=images)
    assert len(found.changes) == 5
    assert not found.left_alone
    assert relative(answers(found.module, images), answers(network, images)) < 1e-4


def test_pools_that_are_called_as_functions_are_found() -> None:
    network, images = CalledPools().eval(), images_for("functions")
    found = apply_edit(network, "max-blur-pool", kernel_size=4, border="circular", images=images)
    assert [change.after for change in found.changes] == ["MaxBlurPool2d"]
    blur = BlurPool2d(8, kernel_size=4, border="circular")

    def by_hand() -> Tensor:
        maps = F.relu(network.conv1(images))
        wide = F.max_pool2d(F.pad(maps, (0, 1, 0, 1), mode="circular"), 2, 1)
        maps = F.avg_pool2d(F.relu(network.conv2(blur(wide))), 2)
        logits: Tensor = network.head(maps.flatten(1))
        return logits

    with torch.no_grad():
        torch.testing.assert_close(answers(found.module, images), by_hand())
    assert dict(network.named_modules()).keys() <= dict(found.module.named_modules()).keys()


def test_a_network_that_cannot_be_followed_is_edited_layer_by_layer() -> None:
    network, images = Unreadable().eval(), images_for("functions")
    found = apply_edit(network, "max-blur-pool", images=images)
    assert type(found.model) is Unreadable
    with pytest.raises(ModelError, match=r"Cannot follow the network with torch\.fx: .*blur-strides"):
        apply_edit(network, "conv-blur-pool")


class LooksAtItsImages(nn.Module):
    """Asks for the number of channels, and takes what nobody gives, as models of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None, **others: Any) -> Tensor:
        n, channels, height, _ = images.shape
        if channels != 3 or len(images.shape) != 4 or others.pop("twice", False):
            raise ValueError("other images")
        maps = self.conv(images).relu()
        logits: Tensor = maps.sum((2, 3)) / height + maps.mean((2, 3)).view(n, -1)
        return logits if labels is None else logits - labels


def test_a_forward_that_looks_at_channels_and_takes_more_than_images_is_followed() -> None:
    network, images = LooksAtItsImages().eval(), images_for("functions")
    found = apply_edit(network, "conv-blur-pool", kernel_size=1, images=images)
    assert [change.layer for change in found.changes] == ["conv"]
    for asked in (images, images[:1, :, :12]):
        assert_close(answers(found.module, asked), answers(network, asked))
    assert type(network) is LooksAtItsImages


class Deciding(nn.Module):
    """A part that decides by its numbers, around any layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        found: Tensor = self.layer(maps if bool(maps.mean() < 1e6) else -maps)
        return found


def test_a_part_that_cannot_be_followed_is_one_step_unless_it_has_a_stride() -> None:
    stem, images = nn.Conv2d(3, 8, 3, 2, 1), images_for("functions")
    network = nn.Sequential(stem, nn.ReLU(), Deciding(nn.Conv2d(8, 8, 1)), nn.Flatten()).eval()
    found = apply_edit(network, "conv-blur-pool", kernel_size=1, images=images)
    assert [change.after for change in found.changes] == ["stride 1, BlurPool2d behind 1"]
    assert_close(answers(found.module, images), answers(network, images))
    strided = nn.Sequential(stem, nn.ReLU(), Deciding(nn.Conv2d(8, 8, 3, 2, 1)), nn.Flatten()).eval()
    with pytest.raises(ModelError, match=r"torch.fx.*blur-strides"):
        apply_edit(strided, "conv-blur-pool")


def test_the_blur_stands_where_zhang_put_it() -> None:
    network, images = build("torchvision:resnet18"), images_for("torchvision:resnet18")
    other = apply_edit(network, "conv-blur-pool", layers=["layer2"], images=images)
    assert [change.layer for change in other.changes] == ["layer2.0.conv1", "layer2.0.downsample.0"]
    block: Any = network.get_submodule("layer2.0")

    def by_hand(maps: Tensor) -> Tensor:
        conv = F.conv2d(maps, block.conv1.weight, None, 1, 1)
        main = BlurPool2d(128)(F.relu(block.bn1(conv)))
        shortcut = block.downsample[1](F.conv2d(BlurPool2d(64)(maps), block.downsample[0].weight))
        return F.relu(block.bn2(block.conv2(main)) + shortcut)

    seen: list[Tensor] = []
    network.get_submodule("layer2.0").register_forward_pre_hook(
        lambda _, given: seen.append(given[0].clone())
    )
    answers(network, images)
    with torch.no_grad():
        whole = network.get_submodule("layer2.1")(by_hand(seen[0]))
        rest = network.get_submodule("layer4")(network.get_submodule("layer3")(whole))
        expected = network.get_submodule("fc")(rest.mean((2, 3)))
    torch.testing.assert_close(answers(other.module, images), expected, rtol=1e-4, atol=1e-5)


def test_composer_blurs_before_convolutions_of_enough_channels() -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 8, 3, 2, 1), nn.MaxPool2d(2))
    images = torch.rand(2, 3, 16, 16)
    found = apply_edit(network, "composer-blurpool", images=images)
    assert [change.layer for change in found.changes] == ["2", "3"]
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = torch.outer(kernel, kernel) / 16

    def blur(maps: Tensor, stride: int) -> Tensor:
        return F.conv2d(maps, kernel.expand(maps.shape[1], 1, 3, 3), None, stride, 1, groups=maps.shape[1])

    with torch.no_grad():
        first: Any = network[0]
        second: Any = network[2]
        maps = F.conv2d(blur(F.relu(first(images)), 1), second.weight, second.bias, 2, 1)
        torch.testing.assert_close(found.module(images), blur(F.max_pool2d(maps, 2, 1), 2))


@pytest.mark.parametrize(
    "name", marked(["torchvision:resnet18", "timm:resnet", "torchvision:mobilenet_v2", "timm:densenet"])
)
def test_polyphase_networks_keep_their_answer_under_every_circular_shift(name: str) -> None:
    network, images = build(name).double(), images_for(name).double()
    for edit in ("aps", "lps"):
        other = apply_edit(network, edit, images=images)
        if other.left_alone:
            continue
        expected = answers(other.module, images)
        for offset in ((1, 0), (0, 3), (5, 7), (31, 14)):
            moved = answers(other.module, torch.roll(images, offset, (2, 3)))
            assert relative(moved, expected) < 1e-9
        moved = answers(network, torch.roll(images, (1, 3), (2, 3)))
        assert relative(moved, answers(network, images)) > 1e-6


def test_convnext_is_exact_on_a_circle() -> None:
    network = build("torchvision:convnext").double()
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    other = apply_edit(network, "aps", images=images).module
    expected = answers(other, images)
    for offset in ((1, 2), (13, 50)):
        assert relative(answers(other, torch.roll(images, offset, (2, 3))), expected) < 1e-9


def test_anchored_patches_without_positions_are_exact_on_a_circle() -> None:
    network, images = build("timm:vit").double(), images_for("timm:vit").double()
    other = apply_edit(apply_edit(network, "patch-anchor").model, "no-positions", images=images).module
    expected = answers(other, images)
    moved = answers(other, torch.roll(images, (3, 13), (2, 3)))
    assert relative(moved, expected) < 1e-9


@pytest.mark.parametrize("name", ["torchvision:vit", "timm:vit"])
def test_relative_positions_start_as_none_and_are_exact_on_a_circle_whatever_they_learn(name: str) -> None:
    network, images = build(name).double(), images_for(name).double()
    anchored = apply_edit(network, "patch-anchor").model
    other = apply_edit(anchored, "relative-positions", images=images).module
    without = apply_edit(anchored, "no-positions").module
    assert_close(answers(other, images), answers(without, images))
    learned = {path: value for path, value in other.named_parameters() if path.endswith("attention.bias")}
    learned |= {path: value for path, value in other.named_parameters() if path.endswith("attn.bias")}
    assert len(learned) == 2, "one for each layer"
    for value in learned.values():
        nn.init.normal_(value)
    found = answers(other, images)
    assert relative(found, answers(without, images)) > 1e-7
    moved = answers(other, torch.roll(images, (3, 13), (2, 3)))
    assert relative(moved, found) < 1e-9


def test_attention_looks_at_the_patch_at_a_learned_offset() -> None:
    """A large number for one offset: each patch becomes the one that is a row below and two to the right."""
    inner = nn.MultiheadAttention(4, 1, batch_first=True, bias=False)
    with torch.no_grad():
        inner.in_proj_weight.copy_(torch.cat([torch.zeros(8, 4), torch.eye(4)]))
        inner.out_proj.weight.copy_(torch.eye(4))
    attention = RelativePositions(inner, 3, 1)
    with torch.no_grad():
        attention.bias[0, 1 * 3 + 2] = 50
    tokens = torch.rand(2, 10, 4)
    found = attention(tokens, tokens, tokens, need_weights=False)[0][:, 1:].view(2, 3, 3, 4)
    expected = torch.roll(tokens[:, 1:].view(2, 3, 3, 4), (-1, -2), (1, 2))
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_head_of_means_has_the_answer_to_maps_that_are_the_same_everywhere() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(4 * 36, 5)
    ).eval()
    flat = torch.rand(2, 3, 1, 1).expand(2, 3, 6, 6)
    found = apply_edit(network, "global-mean-head", images=flat)
    assert [change.layer for change in found.changes] == ["2", "4"]
    torch.testing.assert_close(answers(found.module, flat), answers(network, flat))
    images = torch.rand(2, 3, 6, 6)
    rolled = answers(found.module, torch.roll(images, (1, 4), (2, 3)))
    torch.testing.assert_close(rolled, answers(found.module, images))


def test_padding_is_what_it_is_called() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 2, 1))
    images = torch.rand(1, 3, 8, 8)
    circular = apply_edit(network, "padding-circular", images=images).module
    conv: Any = network[0]
    wide = F.conv2d(F.pad(images, (1, 1, 1, 1), mode="circular"), conv.weight, conv.bias)
    pooled = F.max_pool2d(F.pad(wide, (1, 1, 1, 1), mode="circular"), 3, 2)
    torch.testing.assert_close(answers(circular, images), pooled)


def test_with_full_padding_no_place_in_the_image_is_special() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, (5, 3), padding=1, dilation=(1, 2))
    ).double()
    found = apply_edit(network, "padding-full")
    assert [change.after for change in found.changes] == [
        "full padding, 2 and 2 px", "full padding, 4 and 4 px"
    ]  # fmt: skip
    first: Any = network[0]
    second: Any = network[2]
    first.bias.data.zero_()
    found = apply_edit(network, "padding-full")
    images = torch.zeros(3, 1, 8, 8, dtype=torch.float64)
    images[0, 0, 3, 4], images[1, 0, 0, 0], images[2, 0, 7, 2] = 1, 1, 1
    by_hand = F.conv2d(
        F.relu(F.conv2d(images, first.weight, None, 1, 2)), second.weight, second.bias, 1, 4, (1, 2)
    )
    torch.testing.assert_close(answers(found.module, images), by_hand)
    sums, before = answers(found.module, images).sum((2, 3)), answers(network, images).sum((2, 3))
    torch.testing.assert_close(sums[1:], sums[:1].expand(2, -1))  # In the middle, in a corner, at a side.
    assert not torch.allclose(before[1], before[0])
    with pytest.raises(ModelError, match="There is nothing to fix"):
        apply_edit(found.module, "padding-full")
    with pytest.raises(ShapeError, match="after the edit padding-full"):
        apply_edit(build("cnn2"), "padding-full", images=images_for("cnn2"))


def test_statistics_are_those_of_the_images() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval()
    images = torch.rand(65, 3, 8, 8)
    found = apply_edit(network, "batch-statistics", images=images).module
    maps = answers(network[:1], images)
    norm: Any = found.get_submodule("1")
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)), rtol=1e-2, atol=1e-3)
    assert not norm.training
    assert norm.momentum == 0.1
    with pytest.raises(OptionError, match="at least 2 `images`"):
        apply_edit(network, "batch-statistics")


def test_an_adaptive_blur_starts_as_a_binomial_one() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU()).eval()
    images = torch.rand(2, 3, 12, 12)
    adaptive, plain = (apply_edit(network, name).module for name in ("adaptive-blur", "blur-strides"))
    torch.testing.assert_close(answers(adaptive, images), answers(plain, images))


def test_mistakes_are_said() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2))
    with pytest.raises(UnknownNameError, match="Did you mean 'max-blur-pool'"):
        apply_edit(network, "max-blurpool")
    with pytest.raises(UnknownNameError, match="name of a layer, got 'pool1'"):
        apply_edit(network, "max-blur-pool", layers=["pool1"])
    with pytest.raises(OptionError, match="options of max-blur-pool: kernel_size, border, got 'taps'"):
        apply_edit(network, "max-blur-pool", taps=4)
    with pytest.raises(ModelError, match=r"a function.*average-logits"):
        apply_edit(lambda images: images, "max-blur-pool")
    with pytest.raises(ModelError, match="ceil_mode"):
        apply_edit(nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)), "max-blur-pool")
    with pytest.raises(ShapeError, match=r"images that the model takes.*too small"):
        apply_edit(network, "low-pass-pool", images=torch.rand(1, 1, 3, 8))
    with pytest.raises(ShapeError, match=r"Cannot run the model on images.*after the edit padding-reflect"):
        apply_edit(
            nn.Sequential(nn.Conv2d(1, 1, 5, padding=2)), "padding-reflect", images=torch.rand(1, 1, 2, 2)
        )
    with pytest.raises(OptionError, match="`images` for the edit global-mean-head"):
        apply_edit(network, "global-mean-head")
    with pytest.raises(ModelError, match="There is nothing to fix"):
        apply_edit(nn.Sequential(nn.Conv2d(1, 1, 3)), "max-blur-pool")
    with pytest.raises(OptionError, match="no `layers` for average-logits"):
        apply_edit(network, "average-logits", layers=["1"])

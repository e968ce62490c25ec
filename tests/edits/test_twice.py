"""An edit of what is edited already: refused, or the same. What edits put in is no layer of the network."""

from __future__ import annotations

import pytest
import torch
from tests.edits.architectures import PATCHES, build, growing, images_for, small
from torch import Tensor, nn

from shiftproof.edits import apply_edit, edits
from shiftproof.errors import ModelError

REFUSED = r"There is nothing to fix|not done yet, got one around which it is"


def network_for(edit: str) -> nn.Module:
    """One that the edit is about."""
    if edit in ("patch-blur", "patch-anchor", "no-positions", "relative-positions"):
        return build("torchvision:vit")
    return growing() if edit == "padding-full" else small()


def answers(network: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = network(images)
    return found


@pytest.mark.parametrize("edit", edits.names())
def test_a_second_time_an_edit_is_refused_or_the_same(edit: str) -> None:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    once = apply_edit(network_for(edit), edit, images=images).module
    if edit == "batch-statistics":
        twice = apply_edit(once, edit, images=images).module
        assert torch.equal(answers(twice, images), answers(once, images))
        return
    with pytest.raises(ModelError, match=REFUSED):
        apply_edit(once, edit, images=images)


@pytest.mark.parametrize("name", PATCHES)
@pytest.mark.parametrize("edit", ["aps", "patch-blur", "patch-anchor"])
def test_patches_are_cut_anew_once(edit: str, name: str) -> None:
    network, images = build(name), images_for(name)
    once = apply_edit(network, edit, images=images)
    with pytest.raises(ModelError, match=REFUSED):
        apply_edit(once.model, edit, images=images)


def test_a_function_is_averaged_once() -> None:
    network = growing()
    once = apply_edit(network.forward, "average-logits").model
    placed = apply_edit(once, "canonical-position").model
    for model in (once, placed):
        with pytest.raises(ModelError, match=REFUSED):
            apply_edit(model, "average-phases")


@pytest.mark.parametrize("first", ["adaptive-blur", "lps"])
def test_convolutions_of_what_an_edit_put_in_are_left_alone(first: str) -> None:
    """They say how strong a blur is, or which phase is kept; other borders or strides would spoil that."""
    once = apply_edit(small(), first).module
    for edit in ("padding-circular", "padding-reflect", "padding-full", "composer-blurpool", "blur-strides"):
        changed = layers_changed(once, edit)
        assert not [layer for layer in changed if "sample" in layer or "phase" in layer], edit


def layers_changed(network: nn.Module, edit: str) -> list[str]:
    """None where the network has no layer that the edit is about."""
    try:
        return [each.layer for each in apply_edit(network, edit).changes]
    except ModelError:
        return []


class LooksInside(nn.Module):
    """Pads by what it reads from its convolution, as some libraries do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2)

    def forward(self, images: Tensor) -> Tensor:
        margin = self.conv.kernel_size[0] - self.conv.stride[0]
        maps: Tensor = self.conv(nn.functional.pad(images, (0, margin, 0, margin)))
        return maps.mean((2, 3))


def test_a_forward_that_looks_into_a_replaced_layer_is_a_sentence() -> None:
    network, images = LooksInside(), torch.rand(1, 3, 8, 8)
    with pytest.raises(ModelError, match=r"Cannot run the model after the edit blur-strides: AttributeError"):
        apply_edit(network, "blur-strides", images=images)

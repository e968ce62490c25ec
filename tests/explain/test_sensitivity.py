"""The translation-sensitivity map: against a plain double loop, closed forms, and what it means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance
from torch import Tensor, nn

from shiftproof._figures import image_bytes
from shiftproof.adapters import digest_of_module
from shiftproof.data import UNKNOWN, LabelledImages
from shiftproof.errors import DataError, ModelError, OptionError, UnknownNameError
from shiftproof.explain import SensitivityMap, sensitivity_map
from shiftproof.metrics import Estimate, NotApplicable
from shiftproof.shifts import Border, translate
from shiftproof.zoo import build_network


@pytest.fixture(scope="module")
def few(digits: LabelledImages) -> LabelledImages:
    return digits.head(12)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("cnn1").eval()


def measured(found: SensitivityMap | NotApplicable) -> SensitivityMap:
    assert isinstance(found, SensitivityMap)
    return found


@pytest.mark.parametrize("layer", [None, "body.pool1"])
@pytest.mark.parametrize("border", ["zeros", "circular"])
def test_it_is_what_a_plain_double_loop_gives(
    few: LabelledImages, network: nn.Module, layer: str | None, border: Border
) -> None:
    found = measured(sensitivity_map(network, few, layer=layer, max_shift_px=2, border=border, batch_size=5))
    body = network.body
    assert isinstance(body, nn.Sequential)
    until = len(body) if layer is None else [name for name, _ in body.named_children()].index("pool1") + 1

    def features(images: Tensor) -> np.ndarray:
        with torch.no_grad():
            found: Tensor = body[:until](images).flatten(1).double()
        return found.numpy()

    images, labels = few.images.float() / 255, few.labels.numpy()
    unmoved = features(images)
    pairs = [
        np.linalg.norm(unmoved[i] - unmoved[j])
        for i in range(len(few)) for j in range(i) if labels[i] != labels[j]
    ]  # fmt: skip
    assert found.scale == pytest.approx(np.median(pairs), rel=1e-5)
    assert found.scale_is == "median distance between images of different classes"
    for row, dy in enumerate(range(-2, 3)):
        for column, dx in enumerate(range(-2, 3)):
            moved = features(translate(images, (dy, dx), border=border))
            lengths = np.linalg.norm(moved - unmoved, axis=1) / np.median(pairs)
            cosines = [1 - distance.cosine(a, b) for a, b in zip(moved, unmoved, strict=True)]
            assert found.map[row, column] == pytest.approx(lengths.mean(), rel=1e-4, abs=1e-5)
            assert found.cosine_map[row, column] == pytest.approx(np.mean(cosines), abs=1e-5)


def test_convention_rows_are_dy_and_the_middle_is_no_shift() -> None:
    """The model reads the top row, and the content is 3 px below it: only moves up by 3 px bring it there."""
    images = torch.zeros(2, 1, 9, 9, dtype=torch.uint8)
    images[0, 0, 3, 4], images[1, 0, 3, 5] = 255, 100
    data = LabelledImages("dots", images, torch.tensor([0, 1]), ("a", "b"))

    def top_row(shown: Tensor) -> Tensor:
        # The last logit tells the images apart, so that there is a scale.
        return torch.stack([shown[:, 0, 0].sum(1), shown.amax((1, 2, 3))], 1)

    found = measured(sensitivity_map(top_row, data, max_shift_px=3))
    changes = found.map > 0
    assert changes[0].all()
    assert not changes[1:].any()
    assert found.offsets_px[0].tolist() == [-3, -3]
    assert found.offsets_px[1].tolist() == [-3, -2]
    assert found.map[3, 3] == 0


@given(st.integers(1, 4), st.sampled_from([1, 3, 12]))
def test_what_only_sees_how_bright_pixels_are_is_blind_to_circular_moves(
    radius: int, batch_size: int
) -> None:
    images = torch.randint(0, 256, (12, 1, 10, 10), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    data = LabelledImages("noise", images, torch.arange(12), tuple("abcdefghijkl"))

    def extremes(shown: Tensor) -> Tensor:
        return torch.stack([shown.amax((1, 2, 3)), shown.flatten(1).median(1).values], 1)

    levels = sensitivity_map(extremes, data, max_shift_px=radius, border="circular", batch_size=batch_size)
    assert levels.map.shape == (2 * radius + 1,) * 2 if isinstance(levels, SensitivityMap) else False
    assert not measured(levels).distance.any()
    assert (measured(levels).cosine == 1).all()


def test_the_radial_mean_is_over_rings_with_images_as_the_sample(
    few: LabelledImages, network: nn.Module
) -> None:
    found = measured(sensitivity_map(network, few, max_shift_px=3))
    curve = found.radial()
    assert list(curve) == [0, 1, 2, 3]
    inner = np.zeros((7, 7), bool)
    inner[1:6, 1:6] = True
    ring = found.map[~inner].mean()
    last = curve[3]
    assert isinstance(last, Estimate)
    assert last.value == pytest.approx(ring)
    assert last.n_images == len(few)
    assert last.low < last.value < last.high
    cosine = found.radial(cosine=True)[0]
    assert isinstance(cosine, Estimate)
    assert cosine.value == 1


def test_without_labels_all_images_are_compared_and_it_is_said(
    few: LabelledImages, network: nn.Module
) -> None:
    unknown = few.with_labels(torch.full((12,), UNKNOWN), ())
    one_class = few.with_labels(torch.zeros(12, dtype=torch.int64), ("a",))
    found = [measured(sensitivity_map(network, data, max_shift_px=1)) for data in (unknown, one_class)]
    with torch.no_grad():
        logits = network(few.images.float() / 255).double().numpy()
    for each in found:
        assert each.scale_is == "median distance between different images"
        assert each.scale == pytest.approx(np.median(distance.pdist(logits)), rel=1e-5)


def test_meaning_pooling_and_mean_are_less_sensitive(few: LabelledImages) -> None:
    """A global mean over unpadded maps sees a digit wherever it is; a dense network does not."""
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 8, 5, padding=2)
    mean = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    dense = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
    invariant, ordinary = (measured(sensitivity_map(each, few, max_shift_px=3)) for each in (mean, dense))
    assert invariant.radial()[3].high < ordinary.radial()[3].low / 5  # type: ignore[union-attr]
    assert invariant.cosine_map.min() > ordinary.cosine_map.min()


def test_the_model_comes_back_as_it_was(few: LabelledImages) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Dropout(0.5), nn.Flatten())
    before = digest_of_module(network)
    with pytest.warns(UserWarning, match="training mode"):
        sensitivity_map(network, few, layer="0", max_shift_px=1)
    assert digest_of_module(network) == before
    assert all(module.training and not module._forward_hooks for module in network.modules())


def test_a_layer_that_fails_leaves_no_hook(few: LabelledImages) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Flatten(), nn.Flatten()

        def forward(self, images: Tensor) -> Tensor:
            answer: Tensor = self.used(images)
            return answer

    network = Unused()
    with pytest.raises(ModelError, match="Cannot measure the layer unused: it gave no answer"):
        sensitivity_map(network, few, layer="unused", max_shift_px=1)
    assert not network.unused._forward_hooks
    assert network.training


def test_same_bytes_and_json(few: LabelledImages, network: nn.Module) -> None:
    one, two = (measured(sensitivity_map(network, few, max_shift_px=1)) for _ in range(2))
    assert one.distance.tobytes() == two.distance.tobytes()
    record = one.record()
    assert record.n_images == 12
    assert record.to_dict()["map"] == one.map.tolist()
    assert list(record.radial) == ["0", "1"]


def test_it_is_drawn(few: LabelledImages, network: nn.Module) -> None:
    pytest.importorskip("matplotlib")
    found = measured(sensitivity_map(network, few, max_shift_px=2))
    for cosine in (False, True):
        first, second = (image_bytes(found.plot(cosine=cosine)[0]) for _ in range(2))
        assert first == second
        assert (b"of other classes" in first) == (not cosine)
    single = SensitivityMap(
        None, found.offsets_px, found.distance[:1], found.cosine[:1], found.scale, found.scale_is
    )
    with pytest.raises(DataError, match="at least two images to draw"):
        single.plot()


def test_features_that_are_all_alike_have_no_scale(few: LabelledImages) -> None:
    found = sensitivity_map(lambda images: torch.ones(len(images), 3), few, max_shift_px=1)
    assert isinstance(found, NotApplicable)
    assert "is 0" in found.reason


def test_errors(few: LabelledImages, network: nn.Module) -> None:
    with pytest.raises(DataError, match="at least two images"):
        sensitivity_map(network, few.head(1))
    for radius in (0, 28):
        with pytest.raises(OptionError, match="a radius from 1 to 27 px"):
            sensitivity_map(network, few, max_shift_px=radius)
    with pytest.raises(UnknownNameError, match=r"pool1"):
        sensitivity_map(network, few, layer="body.pool")
    with pytest.raises(UnknownNameError, match="border"):
        sensitivity_map(network, few, border="black")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="no layer for a model that is no module"):
        sensitivity_map(lambda images: images.flatten(1), few, layer="conv")

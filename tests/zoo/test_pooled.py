"""Networks that differ by their pools: sizes, weights, what a filter sees, and what a head forgets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shiftproof.errors import ShapeError
from shiftproof.zoo import build_network, networks

NAMES = networks.names("pooled-*")
SIZES_PX = {0: 28, 1: 14, 2: 7, 3: 3}


def pools_and_head(name: str) -> tuple[int, str]:
    _, n_pools, head = name.split("-")
    return int(n_pools), head


def maps(name: str, images: Tensor) -> Tensor:
    """Feature maps before the head."""
    size = images.shape[2]
    network = build_network(name, image_shape=(1, size, size), seed=3).eval().to(images.dtype)
    names = [name for name, _ in network.body.named_children()]
    head = next(i for i, name in enumerate(names) if name in ("flatten", "over_all"))
    features: Tensor = network.body[:head](images)
    return features


def test_there_is_one_for_each_number_of_pools_and_head() -> None:
    heads = {(k, head) for k in (1, 2, 3) for head in ("flatten", "global", "max")}
    assert {pools_and_head(name) for name in NAMES} == heads | {(0, "flatten")}


@pytest.mark.parametrize("name", NAMES)
def test_oracle_parameters_and_sizes(name: str) -> None:
    n_pools, head = pools_and_head(name)
    size_px = SIZES_PX[n_pools]
    assert maps(name, torch.zeros(1, 1, 28, 28)).shape == (1, 32, size_px, size_px)
    convs = (9 * 1 + 1) * 16 + (9 * 16 + 1) * 32 + 2 * (9 * 32 + 1) * 32
    features = 32 * size_px**2 if head == "flatten" else 32
    expected = convs + (features + 1) * 100 + 101 * 10
    assert networks.get(name).n_parameters == expected
    assert sum(p.numel() for p in build_network(name).parameters()) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size_px", [25, 28, 32])
def test_builds_for_faces_and_digits(name: str, size_px: int) -> None:
    for n_classes in (2, 10):
        network = build_network(name, image_shape=(1, size_px, size_px), n_classes=n_classes)
        assert network(torch.zeros(2, 1, size_px, size_px)).shape == (2, n_classes)


def test_nothing_differs_but_pools_and_head() -> None:
    layers = {}
    for name in NAMES:
        children = build_network(name).body.named_children()
        layers[name] = [key for key, _ in children if not key.startswith(("pool", "over_all"))]
        pools = [m for m in build_network(name).body.modules() if isinstance(m, nn.MaxPool2d)]
        assert len(pools) == pools_and_head(name)[0]
    assert len(set(map(tuple, layers.values()))) == 1
    weights = [build_network(name, seed=1).body.get_parameter("conv3.weight") for name in NAMES]
    assert all(torch.equal(weight, weights[0]) for weight in weights)


@pytest.mark.parametrize(("n_pools", "sees_px"), [(0, 9), (1, 16), (2, 26), (3, 38)])
def test_oracle_how_much_a_last_filter_sees(n_pools: int, sees_px: int) -> None:
    """From gradients, with means for maxima and positive weights: every path counts."""
    network = build_network(f"pooled-{n_pools}-flatten", image_shape=(1, 64, 64))
    for name, layer in list(network.body.named_children()):
        if isinstance(layer, nn.MaxPool2d):
            network.body.set_submodule(name, nn.AvgPool2d(2))
    for parameter in network.parameters():
        parameter.data.abs_()
    images = torch.ones(1, 1, 64, 64, requires_grad=True)
    names = [name for name, _ in network.body.named_children()]
    features = network.body[: names.index("flatten")](images)
    middle = features.shape[-1] // 2
    (gradient,) = torch.autograd.grad(features[:, :, middle, middle].sum(), images)
    assert int((gradient != 0).any(3).sum()) == int((gradient != 0).any(2).sum()) == sees_px


@pytest.mark.parametrize("head", ["flatten", "global", "max"])
def test_meaning_a_global_head_forgets_where_things_are(head: str) -> None:
    """Features put in other places: only a flatten head tells."""
    network = build_network(f"pooled-1-{head}", seed=2).double().eval()
    names = [name for name, _ in network.body.named_children()]
    rest = network.body[names.index("relu4") + 1 :]
    features = torch.rand(3, 32, 14, 14, generator=torch.Generator().manual_seed(0)).double()
    order = torch.randperm(196, generator=torch.Generator().manual_seed(1))
    moved = features.flatten(2)[:, :, order].reshape(features.shape)
    same = torch.allclose(rest(features), rest(moved), atol=1e-12)
    assert same == (head != "flatten")


def test_a_maximum_after_three_pools_is_another_network_than_after_two() -> None:
    """A pool right before a global maximum would do nothing; here a convolution follows each."""
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    answers = [build_network(f"pooled-{k}-max", image_shape=(1, 32, 32))(images) for k in (1, 2, 3)]
    assert not torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[1], answers[2])


def test_images_that_are_too_small() -> None:
    assert build_network("pooled-3-flatten", image_shape=(1, 8, 9))(torch.zeros(1, 1, 8, 9)).shape == (1, 10)
    with pytest.raises(ShapeError, match=r"at least 8 × 8 px, got 7 × 20\. 3 pools leave nothing of them"):
        build_network("pooled-3-flatten", image_shape=(1, 7, 20))

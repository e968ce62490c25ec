"""Meaning: the layer at fault is blamed, those that lose nothing are not, and remedies keep promises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.remedies import correlation, remedied_together
from scipy.stats import spearmanr
from tests.explain.layer_toys import (
    CHANNELS,
    PositionMap,
    contrasts,
    conv,
    good_network,
    pictures,
    smooth_pictures,
    three_faults,
)
from torch import Tensor, nn

from shiftproof.adapters import as_classifier
from shiftproof.explain import Explanation, explain
from shiftproof.explain._interventions import UNMOVED, Measurement
from shiftproof.explain._offsets import draw_offsets
from shiftproof.explain._read import read_runs
from shiftproof.explain._runs import TracedRuns
from shiftproof.explain._staircase import Staircase
from shiftproof.layers import AliasFreeActivation, GlobalMeanPool


def explained(network: nn.Module, images: Tensor, **options: Any) -> Explanation:
    return explain(network.eval(), images, **{"n_remedies": 0, "border": "circular", **options})


def subsampled(seed: int) -> tuple[nn.Module, str]:
    return good_network(nn.MaxPool2d(1, 2), seed=seed), "4"


def strided(seed: int) -> tuple[nn.Module, str]:
    layer = nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1, padding_mode="circular")
    return good_network(layer, seed=seed), "4"


def zero_padded(seed: int) -> tuple[nn.Module, str]:
    return good_network(conv(kernel=7, border="zeros"), seed=seed), "4"


def position_kept(seed: int) -> tuple[nn.Module, str]:
    return good_network(PositionMap(16), seed=seed), "4.mul"


def flattened(seed: int) -> tuple[nn.Module, str]:
    head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * 256, 4))
    return good_network(seed=seed, head=head), "6.0"


def one_kink(seed: int) -> tuple[nn.Module, str]:
    """Activations on a finer grid, whose answers move by fractions of a pixel, and one that is not."""
    kink = nn.Sequential(nn.InstanceNorm2d(CHANNELS), nn.ReLU())  # With as much below 0 as above.
    network = good_network(kink, seed=seed, place=3)
    for index, layer in enumerate(network):
        if isinstance(layer, nn.ReLU):
            network[index] = AliasFreeActivation(nn.Softplus(), factor=4)
    return network.eval(), "3.1"


Build = Callable[[int], tuple[nn.Module, str]]
FAULTS: list[tuple[Build, str]] = [
    (subsampled, "downsampling"),
    (strided, "downsampling"),
    (zero_padded, "border"),
    (position_kept, "head"),
    (flattened, "head"),
    (one_kink, "non-linearity"),
]


def is_found(build: Build, cause: str, seed: int) -> bool:
    """Whether the layer that was put in loses most, by the cause for which it was."""
    network, layer = build(seed)
    size_px = 15 if cause == "non-linearity" else 16  # Of an odd length every frequency moves by fractions.
    found = explained(network, contrasts(8, size_px, seed=seed), seed=seed)
    if cause == "non-linearity":
        return max(found.rows, key=lambda row: row.share_between).layer == layer
    first = found.ranked()[0]
    causes = {name: part.value for name, part in first.split.items() if name != "non-linearity"}
    return first.layer == layer and max(causes, key=causes.__getitem__) == cause


@pytest.mark.parametrize(("build", "cause"), FAULTS)
def test_the_layer_that_is_bad_is_blamed(build: Build, cause: str) -> None:
    assert all(is_found(build, cause, seed) for seed in range(2))


@pytest.mark.slow
@pytest.mark.parametrize(("build", "cause"), FAULTS)
def test_the_layer_that_is_bad_is_blamed_in_nineteen_of_twenty_networks(build: Build, cause: str) -> None:
    assert sum(is_found(build, cause, seed) for seed in range(200)) >= 190


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.factor


class LogOfSoftmax(nn.Module):
    """A softmax over channels, and the logarithm: the same up to one number for all channels."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.softmax(1).log()


class ThereAndBack(nn.Module):
    """The global mean taken away, and added again."""

    def forward(self, maps: Tensor) -> Tensor:
        mean = maps.mean((2, 3), keepdim=True)
        return (maps - mean) * 1.0 + mean


class Turned(nn.Module):
    """Channels mixed by a matrix, and mixed back by its inverse."""

    def __init__(self) -> None:
        super().__init__()
        self.there = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        self.back = nn.Conv2d(CHANNELS, CHANNELS, 1, bias=False)
        with torch.no_grad():
            square = nn.init.orthogonal_(torch.empty(CHANNELS, CHANNELS))
            self.there.weight[:] = square[..., None, None]
            self.back.weight[:] = square.T[..., None, None]

    def forward(self, maps: Tensor) -> Tensor:
        back: Tensor = self.back(self.there(maps))
        return back


def losses_by_layer(network: nn.Module, images: Tensor, unit: int) -> dict[str, Any]:
    """What each step loses under whole pixels with the real border: measured after every step."""
    runs, _ = read_runs(as_classifier(network), images)
    offsets = draw_offsets(len(images), 2, (16, 16), (2, 2), max_shift_px=None, seed=3)
    staircase = Staircase(runs, Measurement(images, offsets, "zeros", "circle", 8))
    staircase.measure(range(UNMOVED, len(runs.moments)))
    left = [np.asarray(staircase.change("with-border", i))[:, unit].mean() for i in range(len(runs.moments))]
    names = [moment.name.split(".")[0] for moment in runs.moments]
    found: dict[str, Any] = dict.fromkeys(names, 0.0)
    for index in range(1, len(names)):
        found[names[index]] += left[index - 1] - left[index]
    whole = np.asarray(staircase.change("with-border", UNMOVED))[:, unit].mean()
    return {**found, "all": whole}


def network_with(place: str | None = None, layer: nn.Module | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    network = good_network(nn.MaxPool2d(2), place=2, seed=0)
    network[0] = conv(2, border="zeros")
    with torch.no_grad():
        following: Any = network[3]
        following.weight -= following.weight.mean(1, keepdim=True)  # Blind to one number for all channels.
    parts: dict[str, nn.Module] = {}
    for name, part in network.named_children():
        parts[f"layer{name}"] = part
        if name == place and layer is not None:
            parts["inserted"] = layer
    named = nn.Sequential()
    for name, part in parts.items():
        named.add_module(name, part)
    return named.eval()


@pytest.mark.parametrize(
    ("place", "layer", "unit"),
    [
        ("2", LogOfSoftmax(), "logits"),
        ("0", ThereAndBack(), "logits"),
        ("4", ThereAndBack(), "logits"),
        ("2", Turned(), "logits"),
        ("7", nn.Sequential(nn.Unflatten(1, (CHANNELS, 1, 1)), GlobalMeanPool()), "logits"),
        ("8", Scale(3.0), "logits"),
        ("8", nn.LogSoftmax(1), "probability"),
        ("8", nn.LogSoftmax(1), "flips"),
        ("1", nn.Sequential(Scale(0.25), Scale(4.0)), "logits"),
    ],
)
def test_who_loses_what_does_not_depend_on_layers_that_lose_nothing(
    place: str, layer: nn.Module, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that are invertible and know no positions, scales, softmaxes, and a second global mean."""
    monkeypatch.setattr(TracedRuns, "loses_nothing", lambda *args, **kwargs: False)
    images = pictures(8)
    number = ("logits", "probability", "flips").index(unit)
    plain = losses_by_layer(network_with(), images, number)
    found = losses_by_layer(network_with(place, layer), images, number)
    own = found.pop("inserted")
    whole = plain["all"]
    assert abs(own) <= 0.01 * whole
    assert found.keys() == plain.keys()
    for name, loss in found.items():
        assert abs(loss - plain[name]) <= 0.01 * whole, name


@pytest.mark.slow
def test_remedies_remove_what_the_staircase_promised() -> None:
    """Over layers and networks, whatever the cause; with several borders not: see benchmarks/remedies.py."""
    promised, removed = [], []
    for seed in range(30):
        images = 0.5 * smooth_pictures(12, 32, seed=seed) + 0.5 * contrasts(12, 32, seed=seed)
        for row in explained(three_faults(seed), images, n_remedies=6, seed=seed).rows:
            if row.remedy_cause in ("downsampling", "border") and row.remedy_removes is not None:
                promised.append(row.split[row.remedy_cause].value)
                removed.append(row.remedy_removes * promised[-1])
    assert len(promised) >= 60
    assert spearmanr(promised, removed).statistic >= 0.8


@pytest.mark.slow
def test_mending_all_up_to_a_layer_removes_what_the_staircase_promised() -> None:
    """Also where there are several borders, of which each alone is another question."""
    pairs = [pair for seed in range(12) for pair in remedied_together("two strides, three borders", seed)]
    ranks = correlation([pair for pair in pairs if pair[0] == "border"])
    assert ranks is not None
    assert ranks >= 0.8


@pytest.mark.slow
def test_two_halves_of_the_images_blame_the_same_layer_or_say_that_they_cannot_tell() -> None:
    same, told = 0, 0
    for seed in range(40):
        images = 0.5 * smooth_pictures(64, 32, seed=seed) + 0.5 * contrasts(64, 32, seed=seed)
        halves = [
            explained(three_faults(seed), half, border="zeros", seed=seed) for half in torch.split(images, 32)
        ]
        first, second = (half.ranked()[0].layer for half in halves)
        same += first == second
        told += first == second or second in halves[0].tied or first in halves[1].tied
    assert same >= 36
    assert told >= 39

"""What is observed of strides is what is read of them, and what is proved and planned with them."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from shiftproof.adapters import as_classifier
from shiftproof.anatomy import Located, Place, Steps, find_places, locate, path_in_model, read_network
from shiftproof.certify import certify
from shiftproof.dense import NotPlanned, plan_rolls
from shiftproof.explain._watched_network import watch_network
from shiftproof.zoo import build_network, networks

SHAPE = (1, 28, 28)
# Layers that choose their positions by the content, or read all frequencies: no window can be observed.
UNSEEN = ("cnn2-aliasfree",)


def read(network: nn.Module) -> Steps:
    steps = read_network(network.eval(), SHAPE)
    assert isinstance(steps, Steps), str(steps)
    return steps


@pytest.mark.parametrize("name", [name for name in networks.names() if name not in UNSEEN])
def test_observed_strides_are_those_that_are_read(name: str) -> None:
    """Observed by NaN: which rows of its input each row of a layer's answer depends on."""
    network = build_network(name).eval()
    graph = watch_network(as_classifier(network), torch.rand(2, *SHAPE))
    steps = read(network)
    where, places = locate(steps), find_places(steps)
    checked = 0
    for step in steps.steps:
        observed = graph.steps.get(step.layer) if step.node.op == "call_module" else None
        if observed is None or observed.space is None or observed.space.first is None:
            continue
        found, place = where[step.node], places[step.node]
        assert isinstance(found, Located), found
        assert isinstance(place, Place), place
        assert found.stride_px == place.stride_px == observed.space.stride, step.layer
        assert place.size == observed.space.size
        checked += 1
    windows = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)]
    assert checked >= len(windows), f"{checked} layers are observed"


@pytest.mark.parametrize("name", networks.names())
def test_what_is_proved_and_planned_has_the_strides_that_are_read(name: str) -> None:
    network = build_network(name).eval()
    steps = read(network)
    where = locate(steps)
    strides: dict[str, set[tuple[Fraction, Fraction]]] = {}
    for step in steps.steps:
        found = where[step.node]
        if isinstance(found, Located) and found.stride_px is not None:
            strides.setdefault(path_in_model(step.layer), set()).add(found.stride_px)
    certificate = certify(network, SHAPE, numeric=False)
    printed = {(stage.layer, stage.stride_px) for stage in certificate.stages if stage.stride_px}
    assert printed
    for layer, (down, right) in printed:
        assert layer == "images" or (Fraction(down), Fraction(right)) in strides[layer], layer
    every = set.union(*strides.values())
    coarsest = tuple(max(stride[axis] for stride in every) for axis in (0, 1))
    law = certificate.circular
    if law.proved:
        assert law.step_px is not None
        assert law.step_px in ((1, 1), coarsest)
    plan = plan_rolls(network, SHAPE)
    if law.proved and not isinstance(plan, NotPlanned) and not plan.head_layers:
        assert plan.total_stride == law.step_px

"""Every layer of this project has a rule of its own, or is made of layers that have."""

from __future__ import annotations

import inspect

from torch import nn

from shiftproof import layers
from shiftproof.anatomy._layer_rules import LEAVES, RULES

# Followed into: `StridedConvPool2d` is a convolution and ReLU; lengths and decoders come after positions.
FOLLOWED = {"StridedConvPool2d", "CapsuleLengths", "CapsuleDecoder"}


def test_no_layer_is_forgotten() -> None:
    public = {
        name: kind
        for name, kind in vars(layers).items()
        if inspect.isclass(kind) and issubclass(kind, nn.Module) and not inspect.isabstract(kind)
    }
    assert {name for name, kind in public.items() if kind not in LEAVES} == FOLLOWED


def test_every_rule_says_why_it_is_true() -> None:
    ours = [rule for kind, rule in RULES.items() if kind in LEAVES]
    assert len(ours) >= 11
    assert all(rule.__doc__ for rule in ours)

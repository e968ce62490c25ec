"""The staircase: it begins at what an audit measures, ends at nothing, and adds up in between."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.explain.layer_toys import CHANNELS, contrasts, conv, good_network, pictures
from torch import Tensor, nn

from shiftproof.adapters import Task, as_classifier
from shiftproof.explain import CONDITIONS, UNITS, Explanation, explain
from shiftproof.explain._interventions import UNMOVED, Measurement
from shiftproof.explain._losses import loss_of
from shiftproof.explain._offsets import draw_offsets
from shiftproof.explain._read import read_runs
from shiftproof.explain._runs import Runs, TracedRuns
from shiftproof.explain._segments import Segment
from shiftproof.explain._staircase import Staircase
from shiftproof.layers import AdaptivePolyphase2d, BlurPool2d, GlobalMeanPool
from shiftproof.metrics import Estimate, NotApplicable, metrics
from shiftproof.probe import Response
from shiftproof.shifts import Border, translate
from shiftproof.zoo import build_network


def explained(network: nn.Module, images: Tensor, **options: Any) -> Explanation:
    return explain(network.eval(), images, **{"n_remedies": 0, **options})


def several_classes(seed: int = 0) -> nn.Sequential:
    """Logits that differ enough for answers to flip."""
    network = nn.Sequential(
        conv(border="zeros", channels=2), nn.ReLU(), nn.MaxPool2d(2), conv(), nn.ReLU(), nn.MaxPool2d(2),
        GlobalMeanPool(), nn.Linear(CHANNELS, 5),
    )  # fmt: skip
    torch.manual_seed(seed)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=1)
    with torch.no_grad():  # No class is preferred.
        network[-1].bias -= network(pictures(32, seed=seed)).mean(0)
    return network.eval()


def response(network: nn.Module, images: Tensor, offsets_px: Tensor, border: Border) -> Response:
    """Asked image by image, as an audit defines what it records: of logits, or of what a softmax gives."""
    with torch.inference_mode():
        still = network(images)
        answers = torch.stack(
            [network(translate(images, offsets_px[:, k], border=border)) for k in range(offsets_px.shape[1])],
            1,
        )
    answered = still.argmax(1)
    n = len(images)
    sums_to_one = torch.allclose(still.sum(1), torch.ones(n))
    probabilities = answers if sums_to_one else answers.softmax(-1)
    return Response(
        predicted=answers.argmax(-1).numpy().astype(np.int32),
        true_prob=probabilities[torch.arange(n), :, answered].numpy(),
        drift=((answers - still[:, None]).norm(dim=-1) / still.norm(dim=1)[:, None]).numpy(),
        offsets_px=offsets_px.numpy(),
        labels=np.full(n, -1),
        unshifted_output=still.numpy(),
        provenance={},
        task=Task(outputs="probabilities" if sums_to_one else "logits"),
    )


@pytest.mark.parametrize(
    ("border", "ending"),
    [
        ("zeros", []),
        ("edge", []),
        ("circular", []),
        ("zeros", [nn.Softmax(1)]),
        ("zeros", [nn.LogSoftmax(1)]),
    ],
)
def test_where_it_begins_it_is_what_an_audit_measures(border: Border, ending: list[nn.Module]) -> None:
    network, images = nn.Sequential(*several_classes(), *ending), pictures(12)
    found = explained(network, images, border=border, n_shifts=3, seed=5).change["with-border"]
    assert not isinstance(found, NotApplicable)
    offsets = draw_offsets(12, 3, (16, 16), (4, 4), max_shift_px=None, seed=5).by_condition["with-border"]
    assert isinstance(offsets, Tensor)
    asked = response(network, images, offsets, border)
    for unit, metric in (("flips", "flip-rate"), ("probability", "mean-abs-change")):
        expected = metrics.get(metric).estimate(asked)
        assert isinstance(expected, Estimate)
        assert found[unit].value == pytest.approx(expected.value, abs=1e-6)  # type: ignore[index]
    assert found["flips"].value > 0


def test_losses_add_up_exactly_and_nothing_is_left_at_the_answer() -> None:
    found = explained(several_classes(), pictures(8))
    whole = found.change["with-border"]
    assert not isinstance(whole, NotApplicable)
    for unit in UNITS:
        total = sum(row.loss[unit].value for row in found.rows)
        assert total == pytest.approx(whole[unit].value, abs=1e-12)
    for condition in CONDITIONS:
        left = found.stairs[-1].change[condition]
        assert left is not None
        assert not any(left.values())
    for row in found.rows:
        parts = sum(row.split[cause].value for cause in ("downsampling", "border", "head"))
        assert parts == pytest.approx(row.loss["logits"].value, abs=1e-12)
    assert [stair.after for stair in found.stairs[:2]] == ["nothing", "images"]
    assert len(found.stairs) == len(found.rows) + 1


def strided() -> nn.Module:
    return nn.Conv2d(CHANNELS, CHANNELS, 3, 2, 1, padding_mode="circular")


EQUIVARIANT: list[tuple[list[nn.Module], tuple[str, ...]]] = [
    ([], ("multiples", "whole-pixel", "with-border")),
    ([nn.GroupNorm(2, CHANNELS), nn.MaxPool2d(1)], ("multiples", "whole-pixel", "with-border")),
    ([AdaptivePolyphase2d(stride=2)], ("multiples", "whole-pixel", "with-border")),
    ([AdaptivePolyphase2d(stride=2), conv(), AdaptivePolyphase2d(stride=2)], ("multiples", "whole-pixel")),
    ([nn.MaxPool2d(2), strided()], ("multiples",)),
    ([BlurPool2d(CHANNELS, border="circular")], ("multiples",)),
]


@pytest.mark.parametrize(("inserted", "conditions"), EQUIVARIANT)
def test_networks_that_are_equivariant_by_construction_lose_nothing(
    inserted: list[nn.Module], conditions: tuple[str, ...]
) -> None:
    network = good_network(*inserted).double()
    found = explained(network, contrasts(6).double(), border="circular")
    for stair in found.stairs:
        for condition in conditions:
            left = stair.change[condition]  # type: ignore[index]
            assert left is not None
            assert left["logits"] <= 1e-6
    assert found.frame == "circle"


def test_linear_layers_lose_nothing_between_pixels_either() -> None:
    network = nn.Sequential(conv(2), conv(), *list(good_network())[-2:]).double()
    found = explained(network, contrasts(6, 15).double(), border="circular")
    assert all(stair.change["fractional"]["logits"] <= 1e-6 for stair in found.stairs)  # type: ignore[index]
    assert str(found) == "No layer loses anything."
    assert any("too little to tell" in note for note in found.notes)


def staircase_of(runs: Runs, images: Tensor, border: Border = "zeros") -> Staircase:
    offsets = draw_offsets(len(images), 2, (16, 16), (4, 4), max_shift_px=None, seed=1)
    return Staircase(runs, Measurement(images, offsets, border, "circle", 4))


@pytest.mark.parametrize("border", ["zeros", "circular"])
def test_what_is_known_to_lose_nothing_measures_the_same(
    border: Border, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cuts that are left out, since a step commutes with moves, against cutting after every step."""
    network, images = several_classes(), pictures(6)
    everywhere = range(UNMOVED, len(network) + 1)
    runs, _ = read_runs(as_classifier(network), images)
    found = []
    for everything in (False, True):
        if everything:
            monkeypatch.setattr(TracedRuns, "loses_nothing", lambda *args, **kwargs: False)
        staircase = staircase_of(runs, images, border)
        staircase.measure(everywhere)
        changes = [np.asarray(staircase.change(c, index)) for c in CONDITIONS for index in everywhere]
        found.append((staircase.n_runs, np.array(changes)))
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-4)
    assert found[0][0] < found[1][0]


def test_running_on_from_any_cut_gives_the_same_answer_to_the_bit() -> None:
    for network, images in (
        (several_classes(), pictures(3)),
        (build_network("resnet20").eval(), torch.rand(3, 1, 28, 28)),
    ):
        runs, _ = read_runs(as_classifier(network), images)
        cuts = [i for i in range(1, len(runs.moments)) if isinstance(runs.alive_at(i), tuple)]
        assert len(cuts) == len(runs.moments) - 1
        for around in (False, True):
            record = runs.run(images, cuts, around=around)
            for index in cuts:
                alive = [tensor.clone() for tensor in record.alive[index]]
                assert torch.equal(runs.run_on(index, alive, record, around=around), record.logits)


def test_segments_are_what_lies_between() -> None:
    network, images = several_classes(), pictures(4)
    runs, _ = read_runs(as_classifier(network), images)
    staircase = staircase_of(runs, images)
    staircase.measure([UNMOVED, 0, 3, len(network)])
    whole, first, second = (loss_of(staircase, Segment(*ends)) for ends in ((0, 8), (0, 3), (3, 8)))
    assert first.drop("logits") + second.drop("logits") == pytest.approx(whole.drop("logits"))

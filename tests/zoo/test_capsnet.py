"""The capsule network: published counts and sizes, its objective, and that it learns with the same bytes."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest
import torch
from numpy.random import SFC64
from tests.onnx_export import export_onnx
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from shiftproof._threads import worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import ShapeError
from shiftproof.layers import RECONSTRUCTION_WEIGHT, margin_loss
from shiftproof.train import EarlyStopping, EpochRecord, Recipe, fit, load_network
from shiftproof.train._fast import training_loss
from shiftproof.train._steps import EpochBatches, LaneSteps, PlainSteps, TrainingSteps
from shiftproof.zoo import Network, Objective, build_network, networks

UNIT = Recipe(epochs=2, batch_size=32, learning_rate=2e-3, input_scale="unit")


def count(module: torch.nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module else 0


def weights(network: Network) -> Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def some_digits(digits: LabelledImages, n: int) -> tuple[Tensor, Tensor]:
    return digits.images[:n].float() / 255, digits.labels[:n]


def test_reference_the_published_network() -> None:
    """8.2 million parameters, 6.8 million of them without the decoder; 6 × 6 × 32 capsules of 8 numbers."""
    network = build_network("capsnet")
    layers = {name: count(layer) for name, layer in network.body.named_children() if count(layer)}
    assert layers == {
        "conv1": 9 * 9 * 256 + 256,
        "primary": 9 * 9 * 256 * 256 + 256,
        "digits": 1152 * 10 * 8 * 16,
    }
    assert count(network.body) == 6_804_224
    assert count(network.objective) == 1_411_344
    assert count(network) == networks.get("capsnet").n_parameters == 8_215_568
    shapes = {}
    features = torch.zeros(1, 1, 28, 28)
    for name, layer in network.body.named_children():
        features = layer(features)
        shapes[name] = tuple(features.shape[1:])
    assert shapes == {
        "conv1": (256, 20, 20),
        "relu1": (256, 20, 20),
        "primary": (1152, 8),
        "digits": (10, 16),
        "lengths": (10,),
    }


def test_capsnet_small_and_other_shapes() -> None:
    assert count(build_network("capsnet-small")) == networks.get("capsnet-small").n_parameters == 792_336
    network = build_network("capsnet-small", image_shape=(3, 17, 30), n_classes=7)
    images, labels = torch.rand(2, 3, 17, 30), torch.tensor([6, 0])
    loss, lengths = network.loss(images, labels)
    assert loss.ndim == 0
    assert lengths.shape == (2, 7)
    assert 0 <= float(lengths.detach().min()) <= float(lengths.detach().max()) < 1
    with pytest.raises(ShapeError, match=r"at least 17 × 17 px, got 16 × 40\. Two 9 × 9 convolutions"):
        build_network("capsnet-small", image_shape=(1, 16, 40))


def test_seed_decides_the_weights() -> None:
    """Those of the routing and of the decoder as well, and not the global generator."""
    torch.manual_seed(0)
    first = weights(build_network("capsnet-small", seed=1))
    torch.manual_seed(5)
    assert torch.equal(weights(build_network("capsnet-small", seed=1)), first)
    assert not torch.equal(weights(build_network("capsnet-small", seed=2)), first)


def test_its_objective_by_hand(digits: LabelledImages) -> None:
    """Margin loss of the lengths, and 0.0005 × the squared error of the image of the true capsule alone.
    The decoder draws images in [0, 1], whatever the network multiplies them with."""
    network = build_network("capsnet-small", input_scale=255).double()
    images, labels = digits.images[:5].double() / 255, digits.labels[:5]
    poses = network.body[:4](images * 255)
    masked = torch.zeros_like(poses)
    for i, label in enumerate(labels.tolist()):
        masked[i, label] = poses[i, label]
    assert network.objective is not None
    drawn = network.objective.get_submodule("decoder").get_submodule("layers")(masked.flatten(1))
    error = (drawn - images.flatten(1)).square().sum()
    expected = margin_loss(poses.norm(dim=2), labels).sum() + RECONSTRUCTION_WEIGHT * error
    loss, logits = network.loss(images, labels)
    assert_close(loss, expected)
    assert_close(logits, network(images))


@pytest.mark.parametrize("name", ["capsnet-small", "cnn2"])
def test_training_computes_the_loss_of_the_network(name: str, digits: LabelledImages) -> None:
    network = build_network(name).double()
    images, labels = digits.images[:6].double() / 255, digits.labels[:6]
    ours = training_loss(network)(images, labels, SFC64(0))
    plain = network.loss(images, labels)
    assert_close(ours, plain)
    parameters = list(network.parameters())
    assert_close(torch.autograd.grad(ours[0], parameters), torch.autograd.grad(plain[0], parameters))


def test_other_networks_minimise_the_cross_entropy(digits: LabelledImages) -> None:
    network = build_network("cnn1")
    images, labels = some_digits(digits, 6)
    loss, logits = network.loss(images, labels)
    assert network.objective is None
    assert torch.equal(logits, network(images))
    assert torch.equal(loss, cross_entropy(logits, labels, reduction="sum"))


def test_an_objective_may_look_inside_a_fast_stage(digits: LabelledImages) -> None:
    """No stage reaches across the layer that it looks at: here the convolution of a convolution and pool."""

    class Quiet(Objective):
        reads = "conv1"

        def forward(self, images: Tensor, features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
            return features.square().sum() + cross_entropy(logits, labels, reduction="sum")

    network = build_network("cnn1")
    network.objective = Quiet()
    images, labels = some_digits(digits, 4)
    assert network.n_read == 1
    loss, _ = training_loss(network)(images, labels, SFC64(0))
    by_hand = network.body.get_submodule("conv1")(images).square().sum()
    assert_close(loss - cross_entropy(network(images), labels, reduction="sum"), by_hand)


@pytest.mark.slow
def test_it_can_be_exported_for_any_number_of_images(digits: LabelledImages, tmp_path: Path) -> None:
    network = build_network("capsnet-small").eval()
    images, _ = some_digits(digits, 3)
    session = onnxruntime.InferenceSession(export_onnx(network, images[:2], tmp_path / "caps.onnx"))
    (lengths,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    assert_close(torch.from_numpy(lengths), network(images).detach())


def trained(data: LabelledImages, recipe: Recipe, threads: int) -> tuple[Network, list[EpochRecord]]:
    network = build_network("capsnet-small")
    with worker_pool(threads) as pool:
        return network, fit(network, data, recipe, pool=pool)


def test_it_learns_with_the_same_bytes_on_one_and_three_threads(digits: LabelledImages) -> None:
    data = digits.head(300)
    one, history = trained(data, UNIT, 1)
    three, _ = trained(data, UNIT, 3)
    assert torch.equal(weights(one), weights(three))
    assert history[1].loss < 0.9 * history[0].loss
    assert history[1].accuracy > 0.4


def test_plain_steps_learn_what_lanes_learn(digits: LabelledImages) -> None:
    """The whole batch at once, as other devices take it, differs from two lanes by rounding only."""
    tallies, learned = [], []
    for kind in ("lanes", "plain"):
        network = build_network("capsnet-small")
        adam = torch.optim.Adam(network.parameters(), lr=1e-3)
        batches = EpochBatches(digits.head(20), None, 0, torch.device("cpu"))
        with worker_pool(2) as pool:
            steps: TrainingSteps = (
                LaneSteps(network, adam, batches, pool, 0)
                if kind == "lanes"
                else PlainSteps(network, adam, batches, 0)
            )
            steps.begin_epoch(1, torch.arange(20))
            tallies.append([steps.step(0, 20) for _ in range(3)])
        learned.append(weights(network))
    assert_close(tallies[0], tallies[1], rtol=1e-3, atol=0)
    # Adam's first steps are as long as the learning rate, whatever the gradient: rounding may turn a few.
    assert float((learned[0] - learned[1]).abs().mean()) < 1e-5


def test_held_out_images_are_judged_by_the_objective_and_the_decoder_is_saved(
    digits: LabelledImages, tmp_path: Path
) -> None:
    stopping = EarlyStopping(patience_epochs=1, held_out=0.5)
    recipe = UNIT.model_copy(update={"epochs": 1, "early_stopping": stopping})
    network, path = build_network("capsnet-small"), tmp_path / "c.safetensors"
    data = digits.head(64)
    (record,) = fit(network, data, recipe, checkpoint=path)
    _, held_out = data.split(0.5, seed=0)
    with torch.inference_mode():
        loss, _ = network.loss(held_out.images.float() / 255, held_out.labels)
    assert record.held_out_loss == pytest.approx(float(loss) / len(held_out))
    assert torch.equal(weights(load_network(path)), weights(network))

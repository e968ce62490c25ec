"""Every network of the zoo trains as a plain loop does: weights, running statistics, moments of Adam.

The loop (plain_loop.py) shares no code with `shiftproof.train`. In float64 the two may differ by rounding
only, after 52 steps whose last of each epoch has fewer images; in float32, in which trainings run, they
are compared before a ReLU that opens in one of them alone sets them apart. Dropout is left out here:
test_plain_dropout.py has it, with the masks that are drawn.
"""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import pytest
import torch
from _pytest.mark import ParameterSet
from safetensors.torch import load_file
from tests.train import plain_loop
from tests.train.plain_loop import Box, Settings
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from shiftproof._threads import worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import Stopped
from shiftproof.train import EarlyStopping, Recipe, fit
from shiftproof.train._steps import PlainSteps
from shiftproof.zoo import Network, build_network, networks

N_IMAGES, BATCH = 17, 5  # steps of 5, 5, 5 and 2 images
STEPS_52 = Settings(epochs=13, batch_size=BATCH)
STEPS_12 = Settings(epochs=3, batch_size=BATCH)
# Where gradients are mere rounding, as those of a bias before a softmax, Adam with a small epsilon would
# take whole steps along them.
STEPS_4 = Settings(epochs=1, batch_size=BATCH, epsilon=1e-3)

FLOORS = {"exp_avg": 1e-14, "exp_avg_sq": 1e-28}

# Images as small as a network allows, so that all of them take seconds. `capsnet` is large by itself.
SIZES_PX = dict.fromkeys(networks.names(), 16) | {"cnn2": 28, "all-cnn": 9, "standard-nn": 8}
SIZES_PX |= {name: 18 for name in networks.names() if name.startswith("capsnet")}
SIZES_PX |= {name: 8 for name in networks.names() if name.startswith(("resnet", "pooled-0"))}


def every_network(*slow: str) -> list[ParameterSet]:
    """All of the zoo; those that take seconds for so many steps are left to the slow tests."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name in slow else []) for name in networks.names()]


# Images are shifted alike for every network: a few of them are enough for every day.
AUGMENTED = ("standard-nn", "cnn1", "cnn2", "cnn2-circular", "pooled-1-max")
RESIDUAL = ("resnet20", "resnet20-blur", "resnet20-aps", "resnet20-lps")
# These have the parts of the others of their kind.
DETECTORS = tuple(name for name in networks.names() if name.startswith(("pooled-0", "pooled-2", "pooled-3")))


def small(digits: LabelledImages, size_px: int, n_images: int = N_IMAGES) -> LabelledImages:
    images = adaptive_avg_pool2d(digits.images[:n_images].float(), size_px).round().to(torch.uint8)
    return LabelledImages("small", images, digits.labels[:n_images], digits.class_names)


def build(name: str, dtype: torch.dtype = torch.float64) -> Network:
    """A network without dropout, for small images."""
    size_px = SIZES_PX[name]
    network = build_network(name, seed=1, image_shape=(1, size_px, size_px)).to(dtype)
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return network


def channels_last(network: Network) -> Network:
    """The same network, its filters in the other layout."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    assert any(not parameter.is_contiguous() for parameter in network.parameters())
    return network


def fitted(network: Network, data: LabelledImages, settings: Settings, checkpoint: Path) -> dict[str, Tensor]:
    """Train in place by `fit`; returns the moments that its checkpoint holds."""
    recipe = Recipe(
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        adam_epsilon=settings.epsilon,
        input_scale="unit" if network.input_scale == 1 else "raw",
        augmentation="none" if settings.box is None else settings.box.name,
    )
    with worker_pool(1) as pool:
        fit(network, data, recipe, seed=settings.seed, pool=pool, checkpoint=checkpoint)
    saved = load_file(checkpoint)
    return {k.removeprefix("optimizer/"): v for k, v in saved.items() if "/exp_avg" in k}


def assert_equal_to_rounding(ours: dict[str, Tensor], plain: dict[str, Tensor]) -> None:
    """Each tensor within 1e-9 of its largest number, of which there must be some.

    A gradient that is zero but for rounding, as that of a bias before a softmax, has moments of 1e-17, and
    1e-34 squared; over Adam's epsilon of 1e-7 it moves its weight by 1e-12 in 50 steps.
    """
    assert ours.keys() == plain.keys()
    for name, expected in plain.items():
        floor = FLOORS.get(name.rpartition("/")[2], 1e-11)
        largest = float(expected.abs().max())
        assert float((ours[name] - expected).abs().max()) <= 1e-9 * largest + floor, name


def assert_trains_alike(
    network: Network, data: LabelledImages, settings: Settings, checkpoint: Path
) -> Network:
    """Train a float64 network both ways from where it is; returns the one that the plain loop trained."""
    plain = copy.deepcopy(network)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    moments = fitted(network, data, settings, checkpoint)
    expected = plain_loop.train(plain, data.images, data.labels, settings)
    assert_equal_to_rounding(moments, expected)
    assert_equal_to_rounding(network.state_dict(), plain.state_dict())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
    return plain


def distance(ours: Network, plain: Network, start: Network) -> float:
    """How far two trained networks are from each other, in parts of the way that training went."""
    a, b, c = (torch.cat([p.detach().flatten() for p in n.parameters()]) for n in (ours, plain, start))
    return float((a - b).norm() / (b - c).norm())


@pytest.mark.parametrize("name", every_network("capsnet", "all-cnn", *RESIDUAL[1:], *DETECTORS))
def test_weights_and_moments_are_those_of_the_plain_loop(
    name: str, digits: LabelledImages, tmp_path: Path
) -> None:
    assert_trains_alike(build(name), small(digits, SIZES_PX[name]), STEPS_52, tmp_path / "c")


@pytest.mark.parametrize("name", every_network(*(each for each in networks.names() if each not in AUGMENTED)))
def test_augmented_the_same(name: str, digits: LabelledImages, tmp_path: Path) -> None:
    """The shifts by SciPy: up to 10 % of the image in both axes, edge pixels repeated."""
    reach_px = 0.1 * SIZES_PX[name]
    box = Box("keras-augment", reach_px, reach_px, "nearest")
    settings = Settings(epochs=13, batch_size=BATCH, box=box)
    assert_trains_alike(build(name), small(digits, SIZES_PX[name]), settings, tmp_path / "c")


def test_augmented_with_zeros_outside_and_raw_input(digits: LabelledImages, tmp_path: Path) -> None:
    """The law of the article's large shifts, and its scale: offsets in pixels, both axes different."""
    network = build_network("cnn2", input_scale=255).double()
    box = Box("article-large", 3, 4, "grid-constant")
    settings = Settings(epochs=13, batch_size=BATCH, box=box)
    assert_trains_alike(network, digits.head(N_IMAGES), settings, tmp_path / "c")


@pytest.mark.slow
@pytest.mark.parametrize("name", every_network("capsnet"))
def test_with_frozen_layers_the_same(name: str, digits: LabelledImages, tmp_path: Path) -> None:
    """Every second layer with weights is frozen: the first, and some behind others that learn."""
    network = build(name)
    with_weights = [m for m in network.modules() if any(True for _ in m.parameters(recurse=False))]
    for layer in with_weights[::2]:
        layer.requires_grad_(False)
    assert_trains_alike(network, small(digits, SIZES_PX[name]), STEPS_12, tmp_path / "c")


@pytest.mark.parametrize("name", every_network("capsnet"))
def test_in_float32_the_same_to_its_rounding(name: str, digits: LabelledImages, tmp_path: Path) -> None:
    network = build(name, torch.float32)
    start, plain = copy.deepcopy(network), copy.deepcopy(network)
    data = small(digits, SIZES_PX[name])
    moments = fitted(network, data, STEPS_4, tmp_path / "c")
    expected = plain_loop.train(plain, data.images, data.labels, STEPS_4)
    assert distance(network, plain, start) < 1e-4
    for kind in ("exp_avg", "exp_avg_sq"):
        ours, theirs = (
            torch.cat([t.flatten() for key, t in sorted(all_.items()) if key.endswith(f"/{kind}")])
            for all_ in (moments, expected)
        )
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-4, kind


@pytest.mark.slow
@pytest.mark.parametrize("name", every_network("capsnet"))
def test_plain_steps_the_same(
    name: str, digits: LabelledImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The steps that devices other than CPUs and CUDA take, here on the CPU."""

    def plain_steps(
        network: Network, optimizer: object, batches: object, *, pool: object, seed: int
    ) -> PlainSteps:
        return PlainSteps(network, optimizer, batches, seed)  # type: ignore[arg-type]

    monkeypatch.setattr("shiftproof.train._fit.make_steps", plain_steps)
    assert_trains_alike(build(name), small(digits, SIZES_PX[name]), STEPS_12, tmp_path / "c")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", every_network("capsnet"))
def test_captured_steps_the_same(name: str, digits: LabelledImages, tmp_path: Path) -> None:
    """CUDA in float64 against the plain loop on the CPU. The last step of an epoch is a second graph."""
    network, data = build(name), small(digits, SIZES_PX[name])
    plain = copy.deepcopy(network)
    recipe = Recipe(epochs=13, batch_size=BATCH, learning_rate=1e-3, input_scale="unit")
    path = tmp_path / "c"
    fit(network, data, recipe, seed=STEPS_52.seed, device=torch.device("cuda"), checkpoint=path)
    expected = plain_loop.train(plain, data.images, data.labels, STEPS_52)
    moments = {k.removeprefix("optimizer/"): v for k, v in load_file(path).items() if "/exp_avg" in k}
    assert_equal_to_rounding(moments, expected)
    assert_equal_to_rounding(network.cpu().state_dict(), plain.state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["cnn2", "cnn2-circular", "pooled-1-max", "resnet20-blur", "capsnet-small"])
def test_gradients_in_another_layout_than_their_parameters_are_noticed(
    name: str,
    dtype: torch.dtype,
    digits: LabelledImages,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What training once did: fused Adam was given channels-last gradients for contiguous weights."""
    monkeypatch.setattr("shiftproof.train._steps.laid_out_like", lambda parameter, values: values)
    network = build(name, dtype)
    start, plain = copy.deepcopy(network), copy.deepcopy(network)
    data = small(digits, SIZES_PX[name])
    settings = Settings(epochs=1, batch_size=BATCH)
    fitted(network, data, settings, tmp_path / "c")
    plain_loop.train(plain, data.images, data.labels, settings)
    assert distance(network, plain, start) > 0.05


@pytest.mark.parametrize("name", ["cnn2", "cnn2-circular", "resnet20", "capsnet-small"])
def test_parameters_in_channels_last_learn_the_same_and_resume(
    name: str, digits: LabelledImages, tmp_path: Path
) -> None:
    """Stopped in the third epoch and resumed, to the byte; and equal to the plain, contiguous loop."""
    data = small(digits, SIZES_PX[name])
    plain = build(name)
    whole, broken, resumed = (channels_last(build(name)) for _ in range(3))
    moments = fitted(whole, data, STEPS_12, tmp_path / "whole")
    expected = plain_loop.train(plain, data.images, data.labels, STEPS_12)
    assert_equal_to_rounding(moments, expected)
    assert_equal_to_rounding(whole.state_dict(), plain.state_dict())

    steps = iter(range(2 * 4 + 1))

    def check_stop() -> None:
        if next(steps, None) is None:
            raise Stopped.cannot("finish", "there was a request to stop")

    recipe = Recipe(epochs=3, batch_size=BATCH, learning_rate=1e-3, input_scale="unit")
    with pytest.raises(Stopped, match="a request to stop"):
        fit(broken, data, recipe, seed=3, checkpoint=tmp_path / "broken", check_stop=check_stop)
    # What the interrupted session left in memory is lost, as in another process.
    fitted(resumed, data, STEPS_12, tmp_path / "broken")
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_parameter_with_gaps_in_memory_learns_the_same(digits: LabelledImages, tmp_path: Path) -> None:
    """Every second number of a longer run; steps that walk through memory would meet the others."""
    network = build("cnn2")
    conv = network.body.get_submodule("conv2")
    wide = torch.zeros(*conv.weight.shape, 2, dtype=torch.float64)  # type: ignore[misc]
    wide[..., 0] = conv.weight.detach()  # type: ignore[operator]
    conv.weight = nn.Parameter(wide[..., 0])
    plain = build("cnn2")
    assert torch.equal(plain.body.get_submodule("conv2").weight, conv.weight)  # type: ignore[arg-type]
    data = digits.head(N_IMAGES)
    moments = fitted(network, data, STEPS_12, tmp_path / "c")
    expected = plain_loop.train(plain, data.images, data.labels, STEPS_12)
    assert_equal_to_rounding(moments, expected)
    assert_equal_to_rounding(network.state_dict(), plain.state_dict())
    assert not wide[..., 1].any()


def test_the_loss_on_held_out_images_is_that_of_the_plain_loop(digits: LabelledImages) -> None:
    network = build("cnn2")
    stopping = EarlyStopping(held_out=0.25)
    recipe = Recipe(epochs=1, learning_rate=1e-3, input_scale="unit", early_stopping=stopping)
    (record,) = fit(network, digits.head(40), recipe, seed=3)
    _, held_out = digits.head(40).split(0.25, seed=3)
    with torch.no_grad():
        expected = plain_loop.loss_of(network, held_out.images.double() / 255, held_out.labels)
    assert record.held_out_loss == pytest.approx(float(expected), abs=1e-12)


class _TwoBiases(nn.Module):
    """Two parameters that are only added together: autograd gives both of them one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10, 256))
        self.first, self.second = nn.Parameter(torch.zeros(10)), nn.Parameter(torch.ones(10))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T + (self.first + self.second)


def test_parameters_that_share_their_gradient_learn_the_same(digits: LabelledImages, tmp_path: Path) -> None:
    body = nn.Sequential(_TwoBiases())
    network = Network("two-biases", body, input_scale=1, image_shape=(1, 16, 16), n_classes=10).double()
    assert_trains_alike(network, small(digits, 16), STEPS_12, tmp_path / "c")


def test_the_plain_loop_shares_no_code_with_training() -> None:
    for node in ast.walk(ast.parse(Path(plain_loop.__file__).read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not any(name.startswith("shiftproof") for name in names)

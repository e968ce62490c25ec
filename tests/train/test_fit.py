"""Training: same seed same bytes, interrupted or not; early stopping; what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from shiftproof._threads import worker_pool
from shiftproof.data import LabelledImages
from shiftproof.errors import CheckpointError, OptionError, Stopped, TrainingError
from shiftproof.train import EarlyStopping, Progress, Recipe, fit, load_history, load_network
from shiftproof.zoo import Network, build_network, networks

UNIT = Recipe(epochs=3, learning_rate=1e-3, input_scale="unit")
SMALL = ("standard-nn", "dense-nn", "cnn1", "cnn2", "strided-cnn")


def weights(network: Network) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in network.parameters()])


def trained(
    data: LabelledImages, name: str = "cnn1", recipe: Recipe = UNIT, threads: int = 2, seed: int = 0
) -> Network:
    network = build_network(name, seed=seed)
    with worker_pool(threads) as pool:
        fit(network, data, recipe, seed=seed, pool=pool)
    return network


@pytest.mark.parametrize("name", networks.names())
def test_threads_do_not_change_bytes(name: str, digits: LabelledImages) -> None:
    recipe = UNIT.model_copy(update={"epochs": 1, "augmentation": "keras-augment"})
    # One step of few images for the larger ones: a minute for all 300 of `capsnet` and `all-cnn`.
    data = digits.head(300 if name in SMALL else 20)
    one, four = (trained(data, name, recipe, threads) for threads in (1, 4))
    assert torch.equal(weights(one), weights(four))
    assert not torch.equal(weights(one), weights(trained(data, name, recipe, seed=1)))


@pytest.mark.parametrize("name", ["standard-nn", "cnn2"])
def test_an_interrupted_training_continues_to_the_same_bytes(
    name: str, digits: LabelledImages, tmp_path: Path
) -> None:
    data = digits.head(260)
    whole = tmp_path / "whole.safetensors"
    fit(build_network(name), data, UNIT, checkpoint=whole)

    broken = tmp_path / "broken.safetensors"
    for stop_at in (4, 2, 5):  # steps after which each session is stopped; an epoch has three
        countdown = iter(range(stop_at))

        def check_stop(countdown: object = countdown) -> None:
            if next(countdown, None) is None:  # type: ignore[call-overload]
                raise Stopped.cannot("finish", "there was a request to stop")

        try:
            fit(build_network(name), data, UNIT, checkpoint=broken, check_stop=check_stop)
        except Stopped:
            continue
    fit(build_network(name), data, UNIT, checkpoint=broken)
    assert broken.read_bytes() == whole.read_bytes()


def test_a_checkpoint_is_the_network(digits: LabelledImages, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    network = build_network("cnn2", input_scale=255, seed=4)
    history = fit(network, digits, Recipe(epochs=2), checkpoint=path)
    loaded = load_network(path)
    assert torch.equal(weights(loaded), weights(network))
    assert (loaded.name, loaded.input_scale, loaded.training) == ("cnn2", 255, False)
    assert load_history(path) == history
    assert [record.epoch for record in history] == [1, 2]


def test_meaning_training_learns(digits: LabelledImages, test_digits: LabelledImages) -> None:
    """Every network, raw or scaled, with dropout and augmentation, ends far above chance."""
    for name, recipe in (
        ("dense-nn", Recipe(epochs=12, learning_rate=2e-3, input_scale="unit")),
        ("standard-nn", Recipe(epochs=6, learning_rate=2e-3, input_scale="unit")),
        ("cnn1", Recipe(epochs=4, learning_rate=1e-3, input_scale="raw")),
        ("cnn2", Recipe(epochs=8, learning_rate=2e-3, input_scale="unit", augmentation="keras-augment")),
    ):
        scale = 255 if recipe.input_scale == "raw" else 1
        network = build_network(name, input_scale=scale)
        fit(network, digits, recipe)
        with torch.inference_mode():
            answers = network(test_digits.images.float() / 255).argmax(1)
        accuracy = float((answers == test_digits.labels).float().mean())
        assert accuracy > 0.6, name


def test_early_stopping_keeps_the_best_and_never_sees_the_test_set(
    digits: LabelledImages, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    recipe = Recipe(
        epochs=60,
        learning_rate=2e-2,
        input_scale="unit",
        early_stopping=EarlyStopping(patience_epochs=2, held_out=0.25),
    )
    network = build_network("cnn1")
    history = fit(network, digits.head(200), recipe, checkpoint=path)
    losses = [record.held_out_loss for record in history]
    best = min(range(len(losses)), key=lambda i: losses[i] or 0)
    assert len(history) == best + 3 < 60, "two epochs after the best one"
    assert torch.equal(weights(load_network(path)), weights(network))
    # The weights are those of the best epoch: training for so many epochs gives the same.
    shorter = build_network("cnn1")
    fit(shorter, digits.head(200), recipe.model_copy(update={"epochs": best + 1}))
    assert torch.equal(weights(shorter), weights(network))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    digits: LabelledImages, tmp_path: Path
) -> None:
    path = tmp_path / "c.safetensors"
    steps = iter(range(100))
    network = build_network("cnn1")

    def spoil() -> None:
        if next(steps) == 5 + 3:  # 600 images in batches of 128: five steps an epoch
            with torch.no_grad():
                network.body[0].weight.fill_(float("nan"))  # type: ignore[operator]

    with pytest.raises(TrainingError, match=r"got nan at step 4 of epoch 2\. .*after epoch 1 is kept"):
        fit(network, digits, UNIT, checkpoint=path, check_stop=spoil)
    assert len(load_history(path)) == 1


def test_progress_is_reported(digits: LabelledImages) -> None:
    seen: list[Progress] = []
    fit(build_network("dense-nn"), digits.head(130), UNIT, on_progress=seen.append)
    done = [progress for progress in seen if progress.epoch_done]
    assert [progress.epoch for progress in done] == [1, 2, 3]
    assert (done[-1].n_images, done[-1].n_images_total, done[-1].seconds_left) == (390, 390, 0)
    assert done[-1].loss > 0
    assert 0 <= done[-1].accuracy <= 1
    assert done[-1].images_per_s > 0


def test_augmentation_changes_what_is_learned_every_epoch(digits: LabelledImages) -> None:
    from shiftproof.shifts import protocols
    from shiftproof.train._steps import EpochBatches

    batches = EpochBatches(digits, protocols.get("keras-augment"), 0, torch.device("cpu"))
    order = torch.arange(len(digits))
    seen = []
    for epoch in (1, 2, 1):
        batches.begin_epoch(epoch, order)
        seen.append(batches.get(slice(0, 50))[0])
    assert torch.equal(seen[0], seen[2]), "an epoch is repeated exactly after a restart"
    changed = (seen[0] != seen[1]).flatten(1).any(1)
    assert changed.all()
    assert seen[0].min() >= 0
    assert seen[0].max() <= 1


def test_errors_say_what_to_do(digits: LabelledImages, tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    with pytest.raises(OptionError, match="input scale 255, got 1"):
        fit(build_network("cnn1"), digits, Recipe())
    with pytest.raises(OptionError, match="at least one image"):
        fit(build_network("cnn1"), digits.head(0), UNIT)
    fit(build_network("cnn1"), digits.head(10), UNIT, checkpoint=path)
    with pytest.raises(CheckpointError, match="one with another recipe, seed or data set"):
        fit(build_network("cnn1"), digits.head(10), UNIT, checkpoint=path, seed=1)
    with pytest.raises(CheckpointError, match=r"the weights of 'cnn2' in c\.safetensors, got others"):
        fit(build_network("cnn2"), digits.head(10), UNIT, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_network(path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", ["cnn2", "capsnet-small"])
def test_captured_steps_learn_as_plain_ones_do(name: str, digits: LabelledImages) -> None:
    """No dropout and no augmentation: a captured step must do what the CPU does, but for rounding."""
    on_cpu = build_network(name)
    cpu_history = fit(on_cpu, digits, UNIT)
    on_gpu = build_network(name)
    gpu_history = fit(on_gpu, digits, UNIT, device=torch.device("cuda"))
    for a, b in zip(cpu_history, gpu_history, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-2)

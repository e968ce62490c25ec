"""References, trust, what a request replaces, and our own checkpoints."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from shiftproof.adapters import Framing, ModelRequest, load_classifier, model_sources
from shiftproof.data import Fit, LabelledImages
from shiftproof.errors import CheckpointError, ModelError, OptionError, UnknownNameError
from shiftproof.train import Recipe, fit
from shiftproof.zoo import build_network

TRUST = ModelRequest(trust=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, digits: LabelledImages) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "c.safetensors"
    fit(build_network("cnn2"), digits.head(32), Recipe(epochs=1, input_scale="unit"), checkpoint=path)
    return path


def test_every_source_has_an_example_that_leads_to_it() -> None:
    for source in model_sources:
        assert source.summary
        assert source.name.strip(".") in source.example or source.name == "module", source.name
    assert [source.name for source in model_sources if source.runs_code] == [
        ".keras", ".h5", ".hdf5", ".pt", ".pth", ".pt2", ".py", "module",
    ]  # fmt: skip


class Harmful:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".keras", ".h5", ".hdf5"])
def test_nothing_runs_without_trust(suffix: str, tmp_path: Path) -> None:
    path, trace = tmp_path / f"model{suffix}", tmp_path / "it ran"
    path.write_bytes(pickle.dumps(Harmful(trace)))
    with pytest.raises(ModelError, match=r"Cannot load .*: it is not trusted\. Loading it runs .*--trust"):
        load_classifier(str(path))
    assert not trace.exists()


def test_weights_do_not_run_even_if_they_could(tmp_path: Path) -> None:
    path, trace = tmp_path / "weights.pth", tmp_path / "it ran"
    torch.save({"weight": Harmful(trace)}, path)
    with pytest.raises(ModelError, match=r"Cannot read weights\.pth as a state dict"):
        load_classifier("zoo:cnn2", ModelRequest(weights=path, trust=True))
    assert not trace.exists()
    with pytest.raises(ModelError, match="to hold a module, got a dict"):
        load_classifier(str(path), TRUST)
    assert trace.exists(), "the file is as harmful as this test supposes"


def test_python_does_not_run_without_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = tmp_path / "harmful_code.py"
    code.write_text("import pathlib\npathlib.Path('it ran').touch()\nmodel = 1\n")
    for reference in (f"{code}:model", "harmful_code:model", "harmful_code.part:model"):
        with pytest.raises(ModelError, match="Loading it runs"):
            load_classifier(reference)
    assert not (tmp_path / "it ran").exists()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("tim:resnet18", r"Expected a model, got 'tim:resnet18'. Did you mean 'timm'.*zoo:cnn2"),
        ("model.onx", r"Did you mean '.onnx'"),
        ("model.py", r"Did you mean 'file.py:callable'"),
        ("resnet18", r"Examples: zoo:cnn2@RUN, torchvision:"),
        ("", r"Expected a model, got ''"),
        ("no_such_package_at_all:model", r"Examples:"),
        ("zoo:cnn3", r"Expected the name of a network, got 'cnn3'. Did you mean 'cnn2'"),
    ],
)
def test_unknown_references(reference: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_classifier(reference)


def test_a_network_of_the_zoo() -> None:
    classifier = load_classifier("zoo:cnn2", ModelRequest(untrained=True))
    assert classifier.framing == Framing((1, 28, 28))
    assert classifier.notes == ("untrained: its weights are as they were initialised",)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(classifier(images), build_network("cnn2").eval()(images))
    small = load_classifier(
        "zoo:dense-nn", ModelRequest(arguments={"image_shape": (3, 8, 8), "n_classes": 2})
    )
    assert small(torch.rand(1, 3, 8, 8)).shape == (1, 2)
    with pytest.raises(ModelError, match=r"Cannot build 'cnn2' with these arguments: TypeError: .*'depth'"):
        load_classifier("zoo:cnn2", ModelRequest(arguments={"depth": 3}))


def test_a_checkpoint(checkpoint: Path, digits: LabelledImages) -> None:
    named, alone = load_classifier(f"zoo:cnn2@{checkpoint}"), load_classifier(str(checkpoint))
    images = digits.images[:4].float() / 255
    assert torch.equal(named(images), alone(images))
    assert (named.name, alone.name) == ("zoo:cnn2@c.safetensors", "c.safetensors"), "no folders in reports"
    assert named.digest == alone.digest != load_classifier("zoo:cnn2").digest
    assert named.notes == ()
    with pytest.raises(CheckpointError, match=r"a checkpoint of 'cnn1' in c\.safetensors, got one of 'cnn2'"):
        load_classifier(f"zoo:cnn1@{checkpoint}")
    with pytest.raises(CheckpointError, match=r"got nothing of that name\. There are: c\.safetensors"):
        load_classifier(f"zoo:cnn2@{checkpoint}x")
    with pytest.raises(ModelError, match="weights from one place"):
        load_classifier(f"zoo:cnn2@{checkpoint}", ModelRequest(untrained=True))
    with pytest.raises(ModelError, match="Cannot use --weights for"):
        load_classifier(str(checkpoint), ModelRequest(weights=checkpoint))
    with pytest.raises(ModelError, match=r"weights alone, got c.safetensors, a checkpoint.*zoo:NAME@"):
        load_classifier("zoo:cnn2", ModelRequest(weights=checkpoint))


def test_foreign_safetensors_need_an_architecture(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(ModelError, match=r"Name the architecture, .*--weights foreign.safetensors"):
        load_classifier(str(path))
    path.write_bytes(b"no such thing")
    with pytest.raises(ModelError, match=r"Cannot read foreign\.safetensors as a safetensors file"):
        load_classifier(str(path))
    save_file({"weight": torch.zeros(2)}, path, {"shiftproof": "[]"})
    with pytest.raises(CheckpointError, match="does not describe a network"):
        load_classifier(str(path))


def test_what_has_no_meaning_is_refused_not_ignored() -> None:
    with pytest.raises(ModelError, match=r"Cannot use --model-arg for model.onnx: it is an ONNX model"):
        load_classifier("model.onnx", ModelRequest(arguments={"depth": 3}))
    with pytest.raises(ModelError, match="either --untrained or --weights, got both"):
        load_classifier("zoo:cnn2", ModelRequest(untrained=True, weights=Path("w.safetensors")))


def test_a_request_replaces_what_the_source_says() -> None:
    request = ModelRequest(
        mean=(0.5,), std=(0.25,), scale=2, size_px=(28, 28), channels=1, resize_px=30,
        class_names=tuple("0123456789"), untrained=True,
    )  # fmt: skip
    classifier = load_classifier("zoo:cnn2", request)
    images = torch.rand(2, 1, 28, 28)
    expected = build_network("cnn2").eval()((images * 2 - 0.5) / 0.25)
    torch.testing.assert_close(classifier(images), expected)
    assert classifier.framing == Framing((1, 28, 28), 30)
    assert classifier.class_names == tuple("0123456789")
    assert "framing as requested, instead of: centre 28 × 28, 1 channel" in classifier.notes
    with pytest.raises(OptionError, match="a std of 1 number, got"):
        load_classifier("zoo:cnn2", ModelRequest(std=(1, 1, 1)))


def test_a_size_needs_channels(tmp_path: Path) -> None:
    code = tmp_path / "m.py"
    code.write_text("def model(images): return images.mean((2, 3))\n")
    with pytest.raises(ModelError, match=r"got a size alone.*Give both --size and --channels"):
        load_classifier(f"{code}:model", ModelRequest(trust=True, size_px=(8, 8)))
    with pytest.raises(ModelError, match="got channels alone"):
        load_classifier(f"{code}:model", ModelRequest(trust=True, channels=3))
    both = load_classifier(f"{code}:model", ModelRequest(trust=True, channels=3, size_px=(8, 9)))
    assert both.framing.image_shape == (3, 8, 9)
    assert both(torch.ones(2, 3, 8, 9)).tolist() == [[1, 1, 1]] * 2


def test_how_images_are_fitted_is_as_requested() -> None:
    request = ModelRequest(fit="letterbox", fill=(114,))
    classifier = load_classifier("zoo:cnn2", request)
    assert classifier.framing == Framing((1, 28, 28), fit=Fit("letterbox", (114,)))
    assert "framing as requested, instead of: centre 28 × 28, 1 channel" in classifier.notes
    with pytest.raises(OptionError, match="--fit letterbox with --fill, got crop"):
        load_classifier("zoo:cnn2", ModelRequest(fill=(1,)))
    with pytest.raises(OptionError, match="images of 3 channels for --bgr"):
        load_classifier("zoo:cnn2", ModelRequest(bgr=True))


def test_three_means_say_three_channels(tmp_path: Path) -> None:
    code = tmp_path / "m.py"
    code.write_text("def model(images): return images.mean((2, 3))\n")
    three = (0.1, 0.2, 0.3)
    for said in ({"mean": three}, {"std": three}, {"mean": (0.5,), "std": three}):
        request = ModelRequest(trust=True, size_px=(8, 9), **said)
        assert load_classifier(f"{code}:model", request).framing.image_shape == (3, 8, 9)
    with pytest.raises(ModelError, match="got a size alone"):
        load_classifier(f"{code}:model", ModelRequest(trust=True, size_px=(8, 8), mean=(0.5,)))
    with pytest.raises(OptionError, match="a mean of 1 number, got 3"):
        load_classifier(f"{code}:model", ModelRequest(trust=True, size_px=(8, 8), channels=1, mean=three))


def test_a_name_is_the_trained_network_where_there_is_one() -> None:
    trained, random = (load_classifier("zoo:cnn1", ModelRequest(untrained=flag)) for flag in (False, True))
    assert trained.notes == ("trained on MNIST for 100 epochs (raw input, 0 to 255)",)
    assert random.notes == ("untrained: its weights are as they were initialised",)
    assert trained.digest != random.digest
    assert load_classifier("zoo:cnn1", ModelRequest(arguments={"n_classes": 3})).notes == random.notes


@pytest.fixture
def run(digits: LabelledImages, tmp_path: Path) -> Path:
    """The directory of a run with two networks for one row, and one for another."""
    for name, seed in (("cnn1", 0), ("cnn1", 11), ("dense-nn", 0)):
        path = tmp_path / "run" / "networks" / f"{name}-seed{seed}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        recipe = Recipe(epochs=1, input_scale="unit")
        fit(build_network(name, seed=seed), digits.head(20), recipe, seed=seed, checkpoint=path)
    return tmp_path / "run"


def test_a_run_knows_its_networks_by_their_row(run: Path) -> None:
    assert load_classifier(f"zoo:cnn1@{run}").name == "zoo:cnn1@cnn1-seed0.safetensors"
    assert load_classifier(f"zoo:dense-nn@{run / 'networks'}").name.endswith("dense-nn-seed0.safetensors")
    file = run / "networks" / "cnn1-seed11.safetensors"
    assert load_classifier(f"zoo:cnn1@{file}").digest != load_classifier(f"zoo:cnn1@{run}").digest


def test_a_network_that_is_not_in_the_run_is_answered_with_those_that_are(run: Path) -> None:
    there = r"There are: cnn1-seed0.safetensors, cnn1-seed11.safetensors, dense-nn-seed0.safetensors\."
    with pytest.raises(CheckpointError, match=rf"a network 'cnn2' in .*{there}"):
        load_classifier(f"zoo:cnn2@{run}")
    with pytest.raises(CheckpointError, match=rf"got nothing of that name\. {there}"):
        load_classifier(f"zoo:cnn1@{run}/networks/cnn1.safetensors")
    (run / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"got a folder without it\. Runs of `shiftproof study`"):
        load_classifier(f"zoo:cnn1@{run / 'empty'}")

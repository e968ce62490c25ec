"""Real architectures with random weights: the libraries' own transforms and calls must give our logits."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from shiftproof._optional import require
from shiftproof.adapters import Classifier, Framing, ModelRequest, load_classifier
from shiftproof.adapters._timm import read_config
from shiftproof.adapters._torchvision import read_transforms
from shiftproof.data._frame import Frame
from shiftproof.errors import MissingDependencyError, ModelError, UnknownNameError

UNTRAINED = ModelRequest(untrained=True)
NOTE = "untrained: its weights are as they were initialised"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """Smooth random colours, wider than high."""
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((410, 300), Image.Resampling.BICUBIC)


def framed(photo: Image.Image, framing: Framing) -> Tensor:
    assert framing.image_shape is not None
    frame = Frame(
        framing.image_shape, resize_px=framing.resize_px, resampling=framing.resampling, fit=framing.fit
    )
    return torch.from_numpy(frame.apply(photo).copy())[None].float() / 255


def logits_of(classifier: Classifier, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return classifier(images)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "googlenet"])
def test_torchvision_sees_what_its_own_transform_makes(name: str, photo: Image.Image) -> None:
    models = importlib.import_module("torchvision.models")
    classifier = load_classifier(f"torchvision:{name}", UNTRAINED)
    published = models.get_model_weights(name).DEFAULT
    with torch.inference_mode():
        theirs = classifier.model(published.transforms()(photo)[None])
    torch.testing.assert_close(logits_of(classifier, framed(photo, classifier.framing)), theirs)
    assert classifier.notes == (NOTE, f"preprocessing published with {published}")
    assert classifier.class_names is None, "random answers mean nothing"
    assert theirs.std() > 0


def test_torchvision_weights_choose_the_preprocessing() -> None:
    first, second = (
        load_classifier(f"torchvision:mobilenet_v2@IMAGENET1K_V{version}", UNTRAINED) for version in (1, 2)
    )
    assert (first.framing.resize_px, second.framing.resize_px) == (256, 232)
    # VGG16 "features": the one with a standard deviation of 1/255, and so numbers up to 255.
    published = importlib.import_module("torchvision.models").VGG16_Weights.IMAGENET1K_FEATURES
    features, _ = read_transforms(published.transforms())
    torch.testing.assert_close(features(torch.ones(1, 3, 1, 1)).flatten()[0].item(), (1 - 0.48235) * 255)


def test_torchvision_arguments_and_weights(tmp_path: Any) -> None:
    request = ModelRequest(untrained=True, arguments={"num_classes": 3}, size_px=(64, 64))
    classifier = load_classifier("torchvision:squeezenet1_1", request)
    assert classifier.framing == Framing((3, 64, 64), 73)  # 256 · 64 / 224 = 73.1
    assert classifier.notes[-1].startswith("framing as requested, instead of: short side to 256 px")
    assert isinstance(classifier.model, torch.nn.Module)
    torch.save(classifier.model.state_dict(), tmp_path / "w.pth")
    again = load_classifier(
        "torchvision:squeezenet1_1", ModelRequest(weights=tmp_path / "w.pth", arguments={"num_classes": 3})
    )
    assert again.digest == classifier.digest
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(logits_of(again, images), logits_of(classifier, images))
    with pytest.raises(ModelError, match=r"Different: classifier\.1\.weight \(3, 512, 1, 1\) for \(1000"):
        load_classifier("torchvision:squeezenet1_1", ModelRequest(weights=tmp_path / "w.pth"))
    with pytest.raises(ModelError, match=r"Cannot build .*: TypeError: .*'depth'"):
        load_classifier("torchvision:squeezenet1_1", ModelRequest(untrained=True, arguments={"depth": 3}))


def test_published_class_names() -> None:
    """Downloading is replaced; everything after it is real."""
    models = importlib.import_module("torchvision.models")
    state = models.squeezenet1_1().state_dict()
    with mock.patch("torchvision.models._api.load_state_dict_from_url", return_value=state):
        classifier = load_classifier("torchvision:squeezenet1_1")
    assert classifier.class_names is not None
    assert classifier.class_names[0] == "tench"
    assert classifier.notes == ("preprocessing published with SqueezeNet1_1_Weights.IMAGENET1K_V1",)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("torchvision:resnet81", r"a torchvision model, got 'resnet81'. Did you mean 'resnet18'"),
        ("torchvision:resnet18@IMAGENET1K_V2", r"Did you mean 'resnet18@IMAGENET1K_V1'"),
        (
            "timm:resnet81",
            r"a timm model, got 'resnet81'. Did you mean 'resnet\d+'.*`timm.list_models\(\)` lists",
        ),
        ("timm:resnet18.a1_in2k", r"Did you mean 'resnet18.a1_in1k'"),
    ],
)
def test_names_that_are_nearly_right(reference: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        load_classifier(reference)


@pytest.mark.parametrize(
    ("reference", "where", "error"),
    [
        ("torchvision:resnet18", "torchvision.models._api.load_state_dict_from_url", OSError("No route")),
        ("timm:resnet18", "timm.models._builder.load_state_dict_from_hf", OSError("No route\nto host")),
    ],
)
def test_weights_that_cannot_be_downloaded(reference: str, where: str, error: Exception) -> None:
    load_classifier(reference, UNTRAINED)  # imports the module that is patched
    message = rf"Cannot build {reference}: OSError: No route\. .*downloaded.*--untrained, or --weights"
    with mock.patch(where, side_effect=error), pytest.raises(ModelError, match=message):
        load_classifier(reference)


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224"])
def test_timm_sees_what_its_own_transform_makes(name: str, photo: Image.Image) -> None:
    data = importlib.import_module("timm.data")
    classifier = load_classifier(f"timm:{name}", UNTRAINED)
    transform = data.create_transform(**data.resolve_data_config(model=classifier.model))
    with torch.inference_mode():
        theirs = classifier.model(transform(photo)[None])
    torch.testing.assert_close(
        logits_of(classifier, framed(photo, classifier.framing)), theirs, atol=1e-4, rtol=1e-4
    )
    assert classifier.notes == (NOTE, "preprocessing of timm's configuration")
    assert theirs.std() > 0


@pytest.mark.parametrize("crop_mode", ["squash", "border"])
@pytest.mark.parametrize("crop_pct", [1.0, 0.9])
def test_timm_crop_modes_are_those_of_its_transform(
    crop_mode: str, crop_pct: float, photo: Image.Image
) -> None:
    data: Any = importlib.import_module("timm.data")
    config = {
        "input_size": (3, 96, 96), "interpolation": "bicubic", "mean": (0.5, 0.4, 0.3), "std": (0.5,) * 3,
        "crop_pct": crop_pct, "crop_mode": crop_mode,
    }  # fmt: skip
    preprocess, framing, notes = read_config(config)
    theirs = data.create_transform(**config, is_training=False)(photo)[None]
    torch.testing.assert_close(preprocess(framed(photo, framing)), theirs, atol=1e-6, rtol=0)
    assert notes == []


def test_what_timm_does_in_another_way_is_noted() -> None:
    config = {
        "input_size": (3, 384, 384), "interpolation": "random", "mean": (0.5,) * 3, "std": (0.5,) * 3,
        "crop_pct": 1.0, "crop_mode": "spiral",
    }  # fmt: skip
    _, framing, notes = read_config(config)
    assert framing == Framing((3, 384, 384), 384, "bicubic")
    assert notes == [
        "timm's own crop mode is 'spiral'; here the centre is cut out",
        "timm resizes with 'random'; here with 'bicubic'",
    ]


def test_timm_with_another_number_of_channels_and_classes() -> None:
    request = ModelRequest(untrained=True, arguments={"in_chans": 1, "num_classes": 4})
    classifier = load_classifier("timm:resnet10t", request)
    assert classifier.framing.image_shape == (1, 176, 176)
    assert "mean and std are averages, as the configuration has none for 1 channels" in classifier.notes
    assert logits_of(classifier, torch.rand(2, 1, 64, 64)).shape == (2, 4)


def test_timm_class_names_are_the_folders_of_imagenet() -> None:
    timm = importlib.import_module("timm")
    state = timm.create_model("resnet10t").state_dict()
    with mock.patch("timm.models._builder.load_state_dict_from_hf", return_value=state):
        classifier = load_classifier("timm:resnet10t")
    assert classifier.class_names is not None
    assert classifier.class_names[0] == "n01440764"  # tench
    assert classifier.notes == ("preprocessing of timm's configuration",)


@pytest.mark.parametrize("reference", ["torchvision:resnet18", "timm:resnet18", "hf:some/model"])
def test_a_broken_torchvision_says_so(reference: str) -> None:
    """Where it is broken in other ways than the one that is got around: with the command that mends it."""
    real = importlib.import_module

    def broken(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] in ("torchvision", "timm"):
            raise RuntimeError("operator torchvision::nms does not exist, whatever is declared")
        return real(name, package)

    message = (
        r"Cannot import .*: RuntimeError: operator .* is installed but broken\. Run: pip install .*--no-deps"
    )
    with mock.patch("importlib.import_module", broken), pytest.raises(MissingDependencyError, match=message):
        load_classifier(reference)


@pytest.mark.slow
def test_a_torchvision_that_was_built_for_another_torch_is_enough() -> None:
    """In a process of its own, since tests declare the missing operators themselves."""
    code = """
        from shiftproof.adapters import ModelRequest, load_classifier
        for name in ("torchvision:squeezenet1_1", "timm:resnet10t"):
            print(load_classifier(name, ModelRequest(untrained=True)).framing.image_shape)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.stdout.split("\n")[:2] == ["(3, 224, 224)", "(3, 176, 176)"], done.stderr


def test_the_command_that_mends_torchvision_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0.25 belongs to torch 2.10: https://github.com/pytorch/vision#installation."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise OSError('libc10.so: no such file')")
    (tmp_path / "wants_vision.py").write_text("import torchvision")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    for version, end in (("2.10.0+cpu", "torchvision==0.25.*' --index-url https://download.pytorch.org/whl/cpu"),
                         ("2.10.1", "torchvision==0.25.*'")):  # fmt: skip
        monkeypatch.setattr("importlib.metadata.version", lambda package, version=version: version)
        with pytest.raises(
            MissingDependencyError, match=r"libc10\.so.*torchvision is installed but"
        ) as caught:
            require("wants_vision", extra="none", purpose="A test")
        assert str(caught.value).endswith(f"Run: pip install --force-reinstall --no-deps '{end}")


@pytest.mark.parametrize(
    ("reference", "extra"),
    [("torchvision:resnet18", "torchvision"), ("timm:resnet18", "timm"), ("hf:some/model", "hf")],
)
def test_an_absent_package_names_its_extra(reference: str, extra: str) -> None:
    def absent(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])

    with (
        mock.patch("importlib.import_module", absent),
        pytest.raises(MissingDependencyError, match=rf"pip install 'shiftproof\[{extra}\]'"),
    ):
        load_classifier(reference)

"""Models of transformers in a folder: tiny, random, with processors as they are published."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from shiftproof.adapters import Framing, ModelRequest, load_classifier
from shiftproof.audits import audit
from shiftproof.data import Fit
from shiftproof.data._frame import Frame
from shiftproof.errors import ModelError

transformers: Any = importlib.import_module("transformers")
NAMES = {0: "cat", 1: "dog", 2: "owl"}


def config(**options: Any) -> Any:
    return transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16,
        patch_size=8, **({"id2label": NAMES} | options),
    )  # fmt: skip


PROCESSORS = {
    "square": lambda: transformers.ViTImageProcessorPil(size={"height": 16, "width": 16}),
    "cut": lambda: transformers.CLIPImageProcessorPil(size={"shortest_edge": 20}, crop_size=16),
    "bytes": lambda: transformers.ViTImageProcessorPil(
        size={"height": 16, "width": 16}, do_rescale=False, image_mean=[127.5] * 3, image_std=[60.0] * 3
    ),
    "convnext": lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": 16}, crop_pct=0.8),
    "blue first": lambda: transformers.MobileViTImageProcessorPil(
        size={"shortest_edge": 20}, crop_size={"height": 16, "width": 16}
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    transformers.ViTForImageClassification(config()).save_pretrained(tmp_path)
    PROCESSORS["square"]().save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_model_sees_what_its_own_processor_makes(name: str, folder: Path) -> None:
    processor = PROCESSORS[name]()
    processor.save_pretrained(folder)
    classifier = load_classifier(f"hf:{folder}")
    pixels = np.random.default_rng(1).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    framing = classifier.framing
    assert framing.image_shape == (3, 16, 16)
    assert (framing.fit.way == "squash") == (name in ("square", "bytes"))
    frame = Frame((3, 16, 16), resize_px=framing.resize_px, resampling=framing.resampling, fit=framing.fit)
    framed = torch.from_numpy(frame.apply(Image.fromarray(pixels)).copy())[None].float() / 255
    model = transformers.AutoModelForImageClassification.from_pretrained(folder)
    with torch.inference_mode():
        theirs = model(**processor(pixels, return_tensors="pt")).logits
        ours = classifier(framed)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    assert theirs.std() > 0


def test_names_notes_and_digest(folder: Path) -> None:
    classifier = load_classifier(f"hf:{folder}")
    assert classifier.class_names == ("cat", "dog", "owl")
    assert classifier.name == f"hf:{folder.name}"
    assert classifier.framing == Framing((3, 16, 16), 16, "bilinear", Fit("squash"))
    assert classifier.notes == ("preprocessing of its ViTImageProcessor",)
    assert classifier.digest == load_classifier(f"hf:{folder}").digest
    untrained = load_classifier(f"hf:{folder}", ModelRequest(untrained=True))
    assert untrained.class_names is None
    assert "untrained: its weights are as they were initialised" in untrained.notes
    assert untrained.digest != classifier.digest


def test_placeholders_are_no_class_names(folder: Path) -> None:
    transformers.ViTForImageClassification(config(id2label={0: "LABEL_0", 1: "LABEL_1"})).save_pretrained(
        folder
    )
    assert load_classifier(f"hf:{folder}").class_names is None


def test_weights_from_a_file(folder: Path, tmp_path: Path) -> None:
    model = transformers.ViTForImageClassification(config()).eval()
    torch.save(model.state_dict(), tmp_path / "w.pt")
    classifier = load_classifier(f"hf:{folder}", ModelRequest(weights=tmp_path / "w.pt"))
    images = torch.rand(2, 3, 16, 16)
    with torch.inference_mode():
        expected = model(pixel_values=classifier.preprocess(images)).logits
        assert torch.equal(classifier(images), expected)


def test_a_backbone_without_a_classifier_is_refused(folder: Path) -> None:
    transformers.ViTModel(config()).save_pretrained(folder)
    with pytest.raises(
        ModelError, match=r"all weights of hf:.*got none for classifier\.bias.*answer at random"
    ):
        load_classifier(f"hf:{folder}")


def test_a_processor_that_does_more_is_refused(folder: Path) -> None:
    path = folder / "preprocessor_config.json"
    # EfficientNet divides by the standard deviation twice, which no mean and std of the file say.
    size = {"height": 16, "width": 16}
    transformers.EfficientNetImageProcessorPil(size=size, include_top=True).save_pretrained(folder)
    assert json.loads(path.read_text())["image_processor_type"].startswith("EfficientNet")
    with pytest.raises(ModelError, match="EfficientNetImageProcessorPil, which does something else"):
        load_classifier(f"hf:{folder}")
    request = ModelRequest(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert load_classifier(f"hf:{folder}", request).preprocess.std.flatten().tolist() == [0.25] * 3


def test_files_that_are_not_there(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"a folder with a model of transformers, got '\./nothing'"):
        load_classifier("hf:./nothing")
    with pytest.raises(
        ModelError,
        match=r"Cannot load hf:some/model@main with transformers as an image classifier.*Check its name",
    ):
        load_classifier("hf:some/model@main")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="Cannot load the image processor of"):
        load_classifier(f"hf:{folder}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="Cannot load hf:empty with transformers"):
        load_classifier(f"hf:{empty}")


def test_pickled_weights_and_foreign_code_do_not_load(folder: Path) -> None:
    state = transformers.ViTForImageClassification(config()).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="has no safetensors file"):
        load_classifier(f"hf:{folder}")
    assert load_classifier(f"hf:{folder}", ModelRequest(trust=True)).class_names == ("cat", "dog", "owl")
    settings = json.loads((folder / "config.json").read_text())
    settings["model_type"] = "of its own"
    settings["auto_map"] = {"AutoConfig": "code.Config", "AutoModelForImageClassification": "code.Model"}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "code.py").write_text(f"import pathlib; pathlib.Path({str(folder / 'ran')!r}).touch()")
    for request in (ModelRequest(), ModelRequest(trust=True)):
        with pytest.raises(ModelError, match="needs code of its own"):
            load_classifier(f"hf:{folder}", request)
    assert not (folder / "ran").exists()


def as_vectors(folder: Path, **said: Any) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """An encoder, what it is shown of some images, and its vectors of them."""
    classifier = load_classifier(f"hf:{folder}", ModelRequest(task="embedding", **said))
    assert classifier.task == "embedding"
    images = torch.rand(
        3, *(classifier.framing.image_shape or ()), generator=torch.Generator().manual_seed(1)
    )
    with torch.inference_mode():
        return classifier, classifier.preprocess(images), classifier(images)


def test_the_encoder_of_a_classifier_answers_with_what_the_classifier_sees(folder: Path) -> None:
    """It has no file for the pooling of an encoder, whose random weights would be the answer."""
    classifier, shown, vectors = as_vectors(folder)
    assert "the embedding is the vector of its first token" in classifier.notes
    whole = transformers.AutoModelForImageClassification.from_pretrained(folder)
    with torch.inference_mode():
        torch.testing.assert_close(whole.classifier(vectors), whole(pixel_values=shown).logits)
    assert as_vectors(folder)[0].digest == classifier.digest


def test_the_pooled_output_of_an_encoder(folder: Path) -> None:
    transformers.ViTModel(config()).save_pretrained(folder)
    classifier, shown, vectors = as_vectors(folder)
    assert classifier.class_names is None
    with torch.inference_mode():
        torch.testing.assert_close(
            vectors, transformers.ViTModel.from_pretrained(folder)(pixel_values=shown).pooler_output
        )
    transformers.ResNetModel(
        transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
    ).save_pretrained(folder)
    _, shown, vectors = as_vectors(folder)
    assert vectors.shape == (3, 8)
    model = transformers.ResNetModel.from_pretrained(folder)
    with torch.inference_mode():
        torch.testing.assert_close(vectors, model(pixel_values=shown).last_hidden_state.mean((2, 3)))


def test_the_tower_of_images_of_clip(folder: Path) -> None:
    tiny = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    clip = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**tiny, "vocab_size": 9},
            vision_config={**tiny, "image_size": 16, "patch_size": 8},
            projection_dim=5,
        )
    ).eval()
    clip.save_pretrained(folder)
    PROCESSORS["cut"]().save_pretrained(folder)
    _, shown, vectors = as_vectors(folder)
    assert vectors.shape == (3, 5)
    with torch.inference_mode():
        expected = clip.visual_projection(clip.vision_model(pixel_values=shown).pooler_output)
    torch.testing.assert_close(vectors, expected)
    done = audit(
        f"hf:{folder}", torch.rand(6, 3, 16, 16), task="embedding", protocols=["grid:1"], device="cpu"
    )
    assert done.record.task.name == "embedding"
    assert done.record.protocols[0].n_classes == 5


def test_an_encoder_without_its_weights_is_refused(folder: Path) -> None:
    model = transformers.ViTModel(config())
    state = {key: value for key, value in model.state_dict().items() if "layernorm.weight" not in key}
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(ModelError, match="Without them its vectors would be random"):
        load_classifier(f"hf:{folder}", ModelRequest(task="embedding"))

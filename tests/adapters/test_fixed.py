"""Fixed models: written, and made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from shiftproof import _store
from shiftproof._address import Address
from shiftproof._inputs import Most
from shiftproof.adapters import (
    Classifier,
    EditStep,
    ModelRequest,
    as_classifier,
    edit_classifier,
    load_classifier,
    load_fixed,
    located,
    save_fixed,
)
from shiftproof.errors import CheckpointError, ModelError, OptionError
from shiftproof.fix import fix
from shiftproof.zoo import build_network, load_trained

SHAPE = (1, 28, 28)
STEPS = (EditStep("max-blur-pool", ("body.pool2",), {"kernel_size": 5}), EditStep("average-logits"))


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, *SHAPE, generator=torch.Generator().manual_seed(0))


def written(folder: Path, original: Classifier, reference: str | None = "zoo:cnn2") -> Classifier:
    """The edited classifier whose recipe was written, with other weights than the edit left."""
    edited = edit_classifier(original, STEPS)
    assert edited.network is not None
    with torch.no_grad():
        for value in edited.network.parameters():
            value.mul_(1.5)
    trained = {"epochs": 1}
    save_fixed(
        folder, original, STEPS, edited.network, image_shape=SHAPE, reference=reference, trained=trained
    )
    return edited.classifier


def logits(classifier: Classifier, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return classifier(images)


def test_it_is_made_again_by_its_reference(tmp_path: Path, images: Tensor) -> None:
    expected = written(tmp_path / "out", load_classifier("zoo:cnn2"))
    found = load_classifier(f"fixed:{tmp_path / 'out'}")
    assert torch.equal(logits(found, images), logits(expected, images))
    assert found.name == "fixed:out"
    assert found.class_names == tuple("0123456789")
    assert any("max-blur-pool (kernel_size=5; body.pool2)" in note for note in found.notes)


def test_a_module_of_ones_own_is_given_again(tmp_path: Path, images: Tensor) -> None:
    network = load_trained("cnn2")
    expected = written(tmp_path, as_classifier(network), None)
    found = load_fixed(tmp_path, original=network)
    assert torch.equal(logits(found, images), logits(expected, images))
    with pytest.raises(ModelError, match=r"load_fixed\(folder, original=model\)"):
        load_fixed(tmp_path)
    with pytest.raises(CheckpointError, match="one with other weights"):
        load_fixed(tmp_path, original=build_network("cnn2"))


def test_what_needs_no_weights_writes_none(tmp_path: Path, images: Tensor) -> None:
    original, steps = (
        load_classifier("zoo:cnn2"),
        (EditStep("canonical-position", None, {"border": "zeros"}),),
    )
    edited = edit_classifier(original, steps)
    save_fixed(tmp_path, original, steps, edited.network, image_shape=SHAPE, reference="zoo:cnn2")
    assert {path.name for path in tmp_path.iterdir()} == {"recipe.json"}
    assert torch.equal(logits(load_fixed(tmp_path), images), logits(edited.classifier, images))


def test_damage_and_other_folders_are_said(tmp_path: Path) -> None:
    written(tmp_path, load_classifier("zoo:cnn2"))
    weights, recipe = tmp_path / "model.safetensors", tmp_path / "recipe.json"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="a byte of it changed"):
        load_fixed(tmp_path)
    weights.unlink()
    with pytest.raises((CheckpointError, ModelError), match=r"missing or damaged|No such file"):
        load_fixed(tmp_path)
    text = recipe.read_text()
    recipe.write_text(text.replace('"fixed model"', '"other"'))
    with pytest.raises(ModelError, match="as the recipe of a fixed model"):
        load_fixed(tmp_path)
    changed = json.loads(text)
    changed["original"]["reference"] = "zoo:cnn1"
    recipe.write_text(json.dumps(changed))
    with pytest.raises(CheckpointError, match="one with other weights or layers"):
        load_fixed(tmp_path)
    with pytest.raises(ModelError, match=r"Cannot read recipe\.json, the recipe of a fixed model"):
        load_classifier("fixed:nowhere")
    changed["original"]["reference"] = f"fixed:{tmp_path}"  # It would be made from itself.
    recipe.write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="Cannot load"):
        load_fixed(tmp_path)
    changed["original"]["reference"] = "evil.py:build"
    recipe.write_text(json.dumps(changed))
    with pytest.raises(ModelError, match="it is not trusted"):
        load_fixed(tmp_path)


FILE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(676, 10))
"""


def test_an_original_in_a_file_is_found_from_another_folder_and_named_where_it_is_gone(
    tmp_path: Path, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "file.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    made = fix(
        "file.py:build", images.repeat(4, 1, 1, 1), request=ModelRequest(trust=True),
        edits=["max-blur-pool"], protocol="box:1,1,1", threads=1, clean_margin=1.0,
    )  # fmt: skip
    made.save("out")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert torch.equal(logits(load_fixed(tmp_path / "out", trust=True), images), logits(made.model, images))
    (tmp_path / "file.py").unlink()
    message = (
        rf"Cannot load the original {tmp_path / 'file.py'}:build of .*out: cannot read file.py: FileNotFound"
    )
    with pytest.raises(ModelError, match=message):
        load_fixed(tmp_path / "out", trust=True)
    with pytest.raises(ModelError, match=r"Cannot load the original .*out: .*it is not trusted.*--trust"):
        load_fixed(tmp_path / "out")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("zoo:cnn2", "zoo:cnn2"),
        ("zoo:cnn2@runs/a", "zoo:cnn2@HERE/runs/a"),
        ("fixed:a/../b", "fixed:HERE/b"),
        ("fixed:s3://bucket/run", "fixed:s3://bucket/run"),
        ("hf:./folder", "hf:HERE/folder"),
        ("hf:org/name@main", "hf:org/name@main"),
        ("timm:resnet18", "timm:resnet18"),
        ("a/file.py:build", "HERE/a/file.py:build"),
        ("model.onnx", "HERE/model.onnx"),
        ("json:loads", "json:loads"),
    ],
)
def test_convention_references_from_any_folder(
    reference: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert located(reference) == expected.replace("HERE", str(tmp_path.resolve()))


def test_layers_are_edited_before_what_is_around(images: Tensor) -> None:
    with pytest.raises(ModelError, match="edits of layers before edits around"):
        edit_classifier(load_classifier("zoo:cnn2"), STEPS[::-1])
    with pytest.raises(ModelError, match="Its layers are not known"):
        edit_classifier(as_classifier(lambda images: images.mean((2, 3))), STEPS[:1])


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Address]:
    """Brings what was written into a folder to an address; what it says once is final."""
    pytest.importorskip("fsspec")
    monkeypatch.setattr(_store, "WAITS_S", ())

    def brought() -> Address:
        where = Address(f"memory://{tmp_path.name}/run")
        for path in (tmp_path / "out").iterdir():
            _store.write(where / path.name, path.read_bytes())
        return where

    return brought


def test_it_is_read_from_an_address(tmp_path: Path, images: Tensor, store: Callable[[], Address]) -> None:
    expected = written(tmp_path / "out", load_classifier("zoo:cnn2"))
    where = store()
    for found in (load_classifier(f"fixed:{where}"), load_fixed(str(where)), load_fixed(where)):
        assert torch.equal(logits(found, images), logits(expected, images))
        assert found.name == "fixed:run"


def test_weights_that_a_store_does_not_give_are_not_said_to_be_the_recipe(
    tmp_path: Path, store: Callable[[], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "out", load_classifier("zoo:cnn2"))
    where, download = store(), _store.download

    def fails(address: Address, path: Path, most: Most) -> None:
        if address.name == "model.safetensors":
            raise _store.StoreError("no answer")
        download(address, path, most)

    monkeypatch.setattr(_store, "download", fails)
    with pytest.raises(CheckpointError, match=rf"Cannot read {where}/model\.safetensors: no answer"):
        load_fixed(where)


def test_what_is_wrong_at_an_address_names_the_address(tmp_path: Path, store: Callable[[], Address]) -> None:
    written(tmp_path / "out", load_classifier("zoo:cnn2"))
    where = store()
    content = bytearray(_store.read(where / "model.safetensors", Most.WEIGHTS))
    content[-1] ^= 1
    _store.write(where / "model.safetensors", bytes(content))
    with pytest.raises(
        CheckpointError, match=rf"{where}/model\.safetensors as it was .*a byte of it changed"
    ):
        load_fixed(where)
    _store.delete(where / "model.safetensors")
    with pytest.raises((CheckpointError, ModelError), match=rf"{where}/model\.safetensors.*missing"):
        load_fixed(where)
    _store.write(where / "recipe.json", b"{}")
    with pytest.raises(ModelError, match=rf"Cannot read {where}/recipe\.json as the recipe of a fixed model"):
        load_fixed(where)
    with pytest.raises(ModelError, match=r"the recipe of a fixed model, in 'memory://nowhere/run': no such"):
        load_classifier("fixed:memory://nowhere/run")
    with pytest.raises(OptionError, match="without a user or a password"):
        load_classifier("fixed:s3://user:secret@bucket/run")

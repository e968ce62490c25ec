"""Weights from files: all of them and no others, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from shiftproof.adapters import ModelRequest, load_classifier
from shiftproof.errors import ModelError
from shiftproof.zoo import Network, build_network

IMAGES = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def other() -> Network:
    return build_network("cnn2", seed=7).eval()


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s}, lambda s: {"model": s, "epoch": 3}]
)
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_state_dicts_as_people_save_them(
    wrap: Any, prefix: str, suffix: str, other: Network, tmp_path: Path
) -> None:
    path = tmp_path / f"w{suffix}"
    torch.save(wrap({f"{prefix}{name}": value for name, value in other.state_dict().items()}), path)
    classifier = load_classifier("zoo:cnn2", ModelRequest(weights=path))
    assert torch.equal(classifier(IMAGES), other(IMAGES))
    assert classifier.notes == (f"weights from w{suffix}",)


def test_safetensors(other: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(other.state_dict(), path)
    classifier = load_classifier("zoo:cnn2", ModelRequest(weights=path))
    assert torch.equal(classifier(IMAGES), other(IMAGES))
    assert classifier.digest != load_classifier("zoo:cnn2").digest


def test_missing_and_unexpected_weights_are_listed(other: Network, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = other.state_dict()
    save_file({"a": torch.zeros(1), **{k: v for k, v in state.items() if "conv1" not in k}}, path)
    message = r"Missing: body\.conv1\.weight, body\.conv1\.bias\. Unexpected: a\. Name the architecture"
    with pytest.raises(ModelError, match=message):
        load_classifier("zoo:cnn2", ModelRequest(weights=path))
    save_file({f"n{i}": torch.zeros(1) for i in range(5)}, path)
    with pytest.raises(
        ModelError, match=r"body\.conv2\.weight and 5 more\. Unexpected: n0, n1, n2 and 2 more\."
    ):
        load_classifier("zoo:cnn2", ModelRequest(weights=path))
    save_file(state | {"body.head.bias": torch.zeros(3)}, path)
    with pytest.raises(
        ModelError, match=r"Different: body\.head\.bias \(3,\) for \(10,\)\. Check the number of"
    ):
        load_classifier("zoo:cnn2", ModelRequest(weights=path))


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    for name, content in {"w.txt": b"", "w.pth": b"damaged", "w.safetensors": b"damaged"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            load_classifier("zoo:cnn2", ModelRequest(weights=tmp_path / name))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(ModelError, match=r"list\.pt to be a state dict, got a list"):
        load_classifier("zoo:cnn2", ModelRequest(weights=tmp_path / "list.pt"))
    with pytest.raises(ModelError, match="missing"):
        load_classifier("zoo:cnn2", ModelRequest(weights=tmp_path / "nothing.pt"))


def test_weights_that_share_memory_are_saved_once(tmp_path: Path) -> None:
    code = tmp_path / "tied.py"
    code.write_text(
        "from torch import nn\n"
        "def build():\n"
        "    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))\n"
        "    model[2].weight = model[1].weight\n"
        "    return model\n"
    )
    tied = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 4))
    tied[2].weight = tied[1].weight
    save_model(tied, str(tmp_path / "w.safetensors"))
    classifier = load_classifier(
        f"{code}:build", ModelRequest(trust=True, weights=tmp_path / "w.safetensors")
    )
    images = torch.rand(2, 1, 2, 2)
    assert torch.equal(classifier(images), tied(images))

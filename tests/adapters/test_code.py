"""Python files, modules, pickles and exported programs, all of them trusted."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shiftproof.adapters import Framing, ModelRequest, load_classifier
from shiftproof.errors import ModelError, UnknownNameError
from shiftproof.zoo import build_network

TRUST = ModelRequest(trust=True)
IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
CODE = """
import torch
from torch import nn
from helper_of_models import CLASSES
from shiftproof.adapters import Classifier, Preprocess

class Linear(nn.Sequential):
    def __init__(self, classes=CLASSES):
        super().__init__(nn.Flatten(), nn.Dropout(), nn.Linear(16, classes))

torch.manual_seed(0)
instance = Linear()
number = 3

def build(classes, bias=0.0):
    model = Linear(classes)
    nn.init.constant_(model[2].bias, bias)
    return model

def answer(images):
    return images.mean((2, 3)) * torch.tensor([1.0, 2.0])

def scaled(images, *, factor):
    return images.mean((2, 3)) * factor

def two(images, masks):
    return images

def wrong():
    return 3

def breaks():
    raise ValueError("no file\\nwith details")

def complete():
    return Classifier("inner", instance, Preprocess(scale=2), class_names=("a", "b"), notes=("from a file",))

class Group:
    inner = instance
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "helper_of_models.py").write_text("CLASSES = 2\n")
    path = tmp_path / "my_models.py"
    path.write_text(CODE)
    return path


def test_what_a_name_may_be(code: Path) -> None:
    for name, n_classes in {"instance": 2, "Linear": 2, "answer": 2, "complete": 2, "Group.inner": 2}.items():
        classifier = load_classifier(f"{code}:{name}", TRUST)
        assert classifier(IMAGES).shape == (3, n_classes), name
        assert classifier.name == f"my_models.py:{name}"
        if isinstance(classifier.model, nn.Module):
            assert not any(part.training for part in classifier.model.modules()), "it is ours alone"
    assert torch.equal(
        load_classifier(f"{code}:answer", TRUST)(IMAGES), IMAGES.mean((2, 3)) * torch.tensor([1.0, 2.0])
    )
    assert str(code.parent) not in sys.path


def test_arguments(code: Path) -> None:
    request = ModelRequest(trust=True, arguments={"classes": 7, "bias": 1.5})
    model = load_classifier(f"{code}:build", request).model
    assert isinstance(model, nn.Sequential)
    assert model[2].get_parameter("bias").tolist() == [1.5] * 7
    assert (
        load_classifier(f"{code}:Linear", ModelRequest(trust=True, arguments={"classes": 4}))(IMAGES).shape[1]
        == 4
    )
    scaled = load_classifier(f"{code}:scaled", ModelRequest(trust=True, arguments={"factor": 3}))
    assert torch.equal(scaled(IMAGES), IMAGES.mean((2, 3)) * 3)
    assert scaled.notes == ("a function of images: 'images' is the one parameter without a value",)


def test_a_whole_classifier_keeps_what_it_says(code: Path) -> None:
    classifier = load_classifier(f"{code}:complete", ModelRequest(trust=True, mean=(0.5,)))
    assert classifier.class_names == ("a", "b")
    assert classifier.preprocess.describe() == "× 2, − (0.5) ÷ (1)"
    assert classifier.notes == ("from a file", "preprocessing as requested, instead of: × 2")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("instanse", {}, r"a callable in my_models\.py, got 'instanse'\. Did you mean 'instance'"),
        ("", {}, r"a callable in my_models\.py, got ''"),
        ("Group.outer", {}, r"got 'Group\.outer'"),
        ("number", {}, r"my_models\.py:number to be callable, got a int"),
        ("two", {}, r"none for images, masks\. Give --model-arg images=VALUE"),
        ("wrong", {}, r"to build a module or a function, got a int"),
        ("breaks", {}, r"Cannot build a model with .*: ValueError: no file\."),
        (
            "build",
            {"clases": 3},
            r"a parameter of my_models\.py:build, got 'clases'\. Did you mean 'classes'",
        ),
        (
            "instance",
            {"classes": 3},
            r"no arguments for my_models\.py:instance, got classes\. It is a Linear",
        ),
    ],
)
def test_names_and_arguments_that_do_not_fit(
    name: str, arguments: dict[str, object], message: str, code: Path
) -> None:
    with pytest.raises((ModelError, UnknownNameError), match=message):
        load_classifier(f"{code}:{name}", ModelRequest(trust=True, arguments=arguments))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "import no_such_module_anywhere",
            "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        ),
        ("def (", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_does_not_run(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text(content)
    modules = set(sys.modules)
    with pytest.raises(ModelError, match=rf"Cannot run broken\.py: {message}"):
        load_classifier(f"{path}:model", TRUST)
    assert not {name for name in set(sys.modules) - modules if name.startswith("shiftproof_user")}
    with pytest.raises(ModelError, match=r"Cannot read absent\.py: "):
        load_classifier(f"{tmp_path / 'absent.py'}:model", TRUST)


def test_the_digest_is_of_source_and_weights(code: Path, tmp_path: Path) -> None:
    def digest(path: Path, name: str) -> str:
        return load_classifier(f"{path}:{name}", TRUST).digest

    first, function = digest(code, "instance"), digest(code, "answer")
    assert first == digest(code, "instance") != function
    renamed = code.rename(tmp_path / "renamed.py")
    assert digest(renamed, "instance") == first
    renamed.write_text(CODE.replace("manual_seed(0)", "manual_seed(1)"))
    assert digest(renamed, "instance") != first
    renamed.write_text(CODE.replace("[1.0, 2.0]", "[1.0, 3.0]"))
    assert digest(renamed, "answer") != function, "a function has its source alone"


def test_modules_that_can_be_imported(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(code.parent)
    try:
        from_file = load_classifier("my_models.py:instance", TRUST)
        for reference in ("my_models:instance", "module:my_models:instance"):
            classifier = load_classifier(reference, TRUST)
            assert torch.equal(classifier(IMAGES), from_file(IMAGES))
            assert classifier.digest == from_file.digest
            assert classifier.name == "my_models:instance"
        with pytest.raises(ModelError, match=r"Cannot import my_models\.part: "):
            load_classifier("my_models.part:model", TRUST)
    finally:
        sys.modules.pop("my_models", None)
        sys.modules.pop("helper_of_models", None)
    assert load_classifier("torch.nn:Flatten", TRUST)(IMAGES).shape == (3, 16)


def test_weights_go_into_what_was_built(code: Path, tmp_path: Path) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 2)).eval()
    torch.save(other.state_dict(), tmp_path / "w.pth")
    request = ModelRequest(trust=True, weights=tmp_path / "w.pth")
    assert torch.equal(load_classifier(f"{code}:Linear", request)(IMAGES), other(IMAGES))
    with pytest.raises(ModelError, match="to be or build a module for --weights, got a function"):
        load_classifier(f"{code}:answer", request)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_pickled_module(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    model = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(16, 2))
    torch.save(model, path)
    classifier = load_classifier(str(path), TRUST)
    assert torch.equal(classifier(IMAGES), model.eval()(IMAGES))
    torch.save(model.state_dict(), path)
    with pytest.raises(
        ModelError, match=r"to hold a module, got a OrderedDict.*weights alone.*Name the arch"
    ):
        load_classifier(str(path), TRUST)
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"as a pickled module: .*Use file\.py:callable with --weights"):
        load_classifier(str(path), TRUST)


def test_a_script_is_a_pickled_module_too(tmp_path: Path) -> None:
    path, model = tmp_path / "m.pt", nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, and still what many files are
        torch.jit.save(torch.jit.trace(model, IMAGES), path)  # type: ignore[no-untyped-call]
    classifier = load_classifier(str(path), TRUST)
    torch.testing.assert_close(classifier(IMAGES), model(IMAGES))


@pytest.mark.parametrize("free", [True, False])
def test_an_exported_program(free: bool, tmp_path: Path) -> None:
    network, images = build_network("cnn2").eval(), torch.rand(5, 1, 28, 28)
    shapes = {"images": {0: torch.export.Dim("n")}} if free else None
    torch.export.save(torch.export.export(network, (images[:2],), dynamic_shapes=shapes), tmp_path / "m.pt2")
    classifier = load_classifier(str(tmp_path / "m.pt2"), TRUST)
    torch.testing.assert_close(classifier(images), network(images))
    assert classifier.framing == Framing((1, 28, 28))
    assert [len(one(images)) for one in classifier.replicas(2)] == [5] * len(classifier.replicas(2))
    with pytest.raises(
        ModelError, match=r"Cannot use --weights for .*m\.pt2: it is a program by torch\.export"
    ):
        load_classifier(str(tmp_path / "m.pt2"), ModelRequest(trust=True, weights=tmp_path / "w.pt"))


def test_an_exported_program_with_two_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, images: Tensor, masks: Tensor) -> Tensor:
            return (images * masks).flatten(1)

    torch.export.save(torch.export.export(Two(), (IMAGES, IMAGES)), tmp_path / "m.pt2")
    with pytest.raises(ModelError, match=r"m\.pt2 to have one input, the images, got 2"):
        load_classifier(str(tmp_path / "m.pt2"), TRUST)
    (tmp_path / "m.pt2").write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"Cannot load m\.pt2 with torch"):
        load_classifier(str(tmp_path / "m.pt2"), TRUST)

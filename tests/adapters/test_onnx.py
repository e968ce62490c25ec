"""ONNX files: the same logits as the module they came from, and nothing read outside their folder."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from shiftproof.adapters import Framing, ModelRequest, load_classifier
from shiftproof.adapters._onnx_files import external_files
from shiftproof.errors import MissingDependencyError, ModelError
from shiftproof.zoo import build_network

IMAGES = torch.rand(5, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def expected(images: Tensor) -> Tensor:
    with torch.inference_mode():
        answer: Tensor = build_network("cnn2").eval()(images)
    return answer


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`cnn2` with a free and a fixed batch."""
    folder = tmp_path_factory.mktemp("onnx")
    network, paths = build_network("cnn2").eval(), {}
    for name, batch in (("free", torch.export.Dim("batch")), ("fixed", None)):
        paths[name] = folder / f"{name}.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own
            torch.onnx.export(
                network,
                (IMAGES[:2],),
                paths[name],
                dynamo=True,
                verbose=False,
                external_data=False,
                dynamic_shapes={"images": {0: batch}} if batch else None,
            )
    return paths


@pytest.mark.parametrize("name", ["free", "fixed"])
def test_an_export_answers_as_the_module(name: str, exported: dict[str, Path]) -> None:
    classifier = load_classifier(str(exported[name]))
    answer = classifier(IMAGES)
    torch.testing.assert_close(answer, expected(IMAGES), atol=1e-5, rtol=1e-5)
    assert torch.equal(answer.argmax(1), expected(IMAGES).argmax(1))
    assert classifier.framing == Framing((1, 28, 28))
    assert classifier.preprocess.is_identity
    assert classifier.replicas(2) == [classifier, classifier], "threads may share a session"


def mean_model(
    path: Path,
    shape: list[int | str],
    *,
    kind: int = TensorProto.FLOAT,
    outputs: int = 1,
    opset: int = 18,
    ir: int = 9,
) -> Path:
    """Means over rows and columns as logits; (N, C, H, W), or (N, H, W, C) where the last size is 3."""
    names = [f"out{index}" for index in range(outputs)]
    axes = [1, 2] if shape[-1] == 3 else [2, 3]
    nodes = [
        helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], [names[0]], keepdims=0),
        *(helper.make_node("Neg", [names[0]], [name]) for name in names[1:]),
    ]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [shape[0], 3]) for name in names],
        [numpy_helper.from_array(np.array(axes), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("shape", [["n", 3, 4, 5], [2, 3, 4, 5], [2, 4, 5, 3], ["n", 4, 5, 3]], ids=str)
@pytest.mark.parametrize(
    "kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8]
)
def test_layouts_batches_and_types(shape: list[int | str], kind: int, tmp_path: Path) -> None:
    classifier = load_classifier(str(mean_model(tmp_path / "m.onnx", shape, kind=kind)))
    assert classifier.framing.image_shape == (3, 4, 5)
    assert classifier.preprocess.channels_last == (shape[-1] == 3)
    pixels = torch.randint(0, 256, (5, 3, 4, 5), generator=torch.Generator().manual_seed(1))
    means = pixels.float().mean((2, 3))
    answer = classifier(pixels / 255)
    if kind == TensorProto.UINT8:
        torch.testing.assert_close(answer, means)  # bytes arrive as they were
    else:
        tolerance = 1e-3 if kind == TensorProto.FLOAT16 else 1e-6
        torch.testing.assert_close(answer, means / 255, atol=tolerance, rtol=0)


def test_convention_bytes_are_rounded_to_the_nearest(tmp_path: Path) -> None:
    classifier = load_classifier(str(mean_model(tmp_path / "m.onnx", ["n", 3, 2, 2], kind=TensorProto.UINT8)))
    values = torch.tensor([[-0.3, 100.4 / 255, 1.2]]).reshape(1, 3, 1, 1).expand(1, 3, 2, 2)
    assert classifier(values).tolist() == [[0, 100, 255]]


def test_free_sizes_and_ambiguous_layouts(tmp_path: Path) -> None:
    path = str(mean_model(tmp_path / "m.onnx", ["n", 3, "h", "w"]))
    assert load_classifier(path).framing.image_shape is None
    sized = load_classifier(path, ModelRequest(size_px=(6, 7)))
    assert sized.framing.image_shape == (3, 6, 7)
    assert sized(torch.ones(1, 3, 6, 7)).tolist() == [[1, 1, 1]]
    path = str(mean_model(tmp_path / "a.onnx", ["n", "c", "h", "w"]))
    with pytest.raises(
        ModelError, match=r"got an input of shape \(free, free, free, free\).*--channels-last or"
    ):
        load_classifier(path)
    assert load_classifier(path, ModelRequest(channels_last=False))(torch.ones(1, 3, 2, 2)).shape == (1, 3)
    path = str(mean_model(tmp_path / "b.onnx", ["n", 3, 5, 3]))
    with pytest.raises(ModelError, match="which axis holds the channels"):
        load_classifier(path)
    assert load_classifier(path, ModelRequest(channels_last=True)).framing.image_shape == (3, 3, 5)
    path = str(mean_model(tmp_path / "c.onnx", ["n", 3, 4, 5]))
    with pytest.raises(ModelError, match=r"images with 4 rows for c\.onnx, got 6"):
        load_classifier(path, ModelRequest(size_px=(6, 5)))
    with pytest.raises(ModelError, match=r"to take images of shape .*, got \(free, 3, 4, 5, 6\)"):
        load_classifier(str(mean_model(tmp_path / "d.onnx", ["n", 3, 4, 5, 6])))


def test_several_outputs(tmp_path: Path) -> None:
    path = str(mean_model(tmp_path / "m.onnx", ["n", 3, 4, 5], outputs=2))
    with pytest.raises(
        ModelError, match=r"holds the logits, got 2: out0, out1\..*--logits with one of out0, out1"
    ):
        load_classifier(path)
    with pytest.raises(ModelError, match=r"holds the logits, got 'out2'"):
        load_classifier(path, ModelRequest(logits="out2"))
    images = torch.rand(2, 3, 4, 5)
    for wanted in (1, "out1"):
        torch.testing.assert_close(
            load_classifier(path, ModelRequest(logits=wanted))(images), -images.mean((2, 3))
        )


def test_a_request_that_bytes_cannot_follow(tmp_path: Path) -> None:
    path = str(mean_model(tmp_path / "m.onnx", ["n", 3, 4, 5], kind=TensorProto.UINT8))
    with pytest.raises(ModelError, match=r"no mean and std for m\.onnx, got some\. It takes bytes"):
        load_classifier(path, ModelRequest(mean=(0.5,)))


def test_files_that_cannot_run(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(ModelError, match=r"Cannot read m\.onnx: FileNotFoundError"):
        load_classifier(str(path))
    path.write_bytes(b"this is no model")
    with pytest.raises(ModelError, match="Cannot read the model as ONNX"):
        load_classifier(str(path))
    path.write_bytes(b"")
    with pytest.raises(ModelError, match=r"Cannot load .* with onnxruntime"):
        load_classifier(str(path))
    whole = mean_model(path, ["n", 3, 4, 5]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="Cannot read the model as ONNX"):
        load_classifier(str(path))
    mean_model(path, ["n", 3, 4, 5], opset=99)
    with pytest.raises(
        ModelError, match=r": Opset 99 is under development\. It is newer than onnxruntime\. Export it with"
    ):
        load_classifier(str(path))
    mean_model(path, ["n", 3, 4, 5], ir=99)
    with pytest.raises(ModelError, match=r": Unsupported model IR version: 99, .*Export it with"):
        load_classifier(str(path))
    mean_model(path, ["n", 3, 4, 5], kind=TensorProto.INT64)
    with pytest.raises(ModelError, match=r"to take one of tensor\(float\).*, got tensor\(int64\)"):
        load_classifier(str(path))


def test_an_image_of_another_size_is_an_error_not_a_crash(tmp_path: Path) -> None:
    classifier = load_classifier(str(mean_model(tmp_path / "m.onnx", ["n", 3, 4, 5])))
    with pytest.raises(ModelError, match=r"on images of shape \(1, 3, 9, 9\): InvalidArgument"):
        classifier(torch.zeros(1, 3, 9, 9))


def with_external_weights(path: Path, place: str) -> Path:
    """`out = images mean + weights`, where the weights lie in another file."""
    mean_model(path, ["n", 3, 4, 5])
    model = onnx.load(path)
    model.graph.node[1].output[0] = "means"
    model.graph.node.append(helper.make_node("Add", ["means", "weights"], ["out0"]))
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[3])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    model.graph.initializer.append(tensor)
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_beside_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    (folder / "parts").mkdir(parents=True)
    path = with_external_weights(folder / "m.onnx", "parts/w.bin")
    (folder / "parts" / "w.bin").write_bytes(np.array([1, 2, 3], np.float32).tobytes())
    classifier = load_classifier(str(path))
    assert classifier(torch.zeros(1, 3, 4, 5)).tolist() == [[1, 2, 3]]
    path.rename(folder / "other.onnx")
    assert load_classifier(str(folder / "other.onnx")).digest == classifier.digest, "names do not count"
    (folder / "parts" / "w.bin").write_bytes(np.array([1, 2, 4], np.float32).tobytes())
    assert load_classifier(str(folder / "other.onnx")).digest != classifier.digest, "weights do"


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(12))
    (folder / "link.bin").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    places = (
        "../secret.bin", str(secret), "link.bin", "linked/secret.bin", "x/../../secret.bin", "..\\secret.bin",
        "C:\\secret.bin", "absent.bin", "", "*/_ORT_MEM_ADDR_/*",
    )  # fmt: skip
    for place in places:
        path = with_external_weights(folder / "m.onnx", place)
        with (
            mock.patch("onnxruntime.InferenceSession", side_effect=AssertionError("it was opened")),
            pytest.raises(ModelError, match="weights in files inside the model's folder, got '"),
        ):
            load_classifier(str(path))


def test_every_place_of_a_tensor_is_looked_at(tmp_path: Path) -> None:
    """The walk over the bytes finds what the `onnx` package finds, wherever a tensor may be."""

    def tensor(place: str) -> TensorProto:
        made = TensorProto(
            name=place, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL
        )
        made.external_data.add(key="offset", value="0")
        made.external_data.add(key="location", value=place)
        return made

    inner = helper.make_graph([], "inner", [], [], [tensor("subgraph")])
    sparse = onnx.SparseTensorProto(values=tensor("sparse values"), indices=tensor("sparse indices"))
    node = helper.make_node("If", ["c"], ["o"], then_branch=inner)
    node.attribute.append(helper.make_attribute("value", tensor("attribute")))
    node.attribute.append(onnx.AttributeProto(name="all", type=9, tensors=[tensor("attributes")]))
    node.attribute.append(onnx.AttributeProto(name="each", type=10, graphs=[inner]))
    node.attribute.append(onnx.AttributeProto(name="sparse", type=11, sparse_tensor=sparse))
    graph = helper.make_graph([node], "outer", [], [], [tensor("initializer"), tensor("initializer")])
    graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor("sparse initializer")))
    function = helper.make_function(
        "d", "f", [], [], [helper.make_node("Constant", [], ["o"], value=tensor("function"))], []
    )
    model = helper.make_model(graph, functions=[function])
    model.training_info.add().algorithm.initializer.append(tensor("training"))
    names = {
        "subgraph", "sparse values", "sparse indices", "attribute", "attributes", "initializer",
        "sparse initializer", "function", "training",
    }  # fmt: skip
    for name in names:
        (tmp_path / name).touch()
    found = external_files(model.SerializeToString(), tmp_path)
    assert [path.name for path in found] == sorted(names)


def test_a_session_is_asked_by_several_threads(tmp_path: Path) -> None:
    classifier = load_classifier(str(mean_model(tmp_path / "m.onnx", ["n", 3, 40, 50])))
    images = torch.rand(8, 4, 3, 40, 50)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(classifier, images))
    torch.testing.assert_close(torch.stack(answers), images.mean((3, 4)))


def test_onnxruntime_is_optional() -> None:
    def absent(name: str, package: str | None = None) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    with (
        mock.patch("importlib.import_module", absent),
        pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[onnx\]'"),
    ):
        load_classifier("model.onnx")

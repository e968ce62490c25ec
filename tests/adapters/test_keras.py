"""Keras models on the torch backend, against their own `predict`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np
import pytest
import torch

from shiftproof.adapters import Framing, ModelRequest, load_classifier, tell_task
from shiftproof.errors import ModelError

TRUST = ModelRequest(trust=True)


@pytest.fixture(scope="module")
def keras() -> Any:
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "torch"
    import keras

    if before is None:
        del os.environ["KERAS_BACKEND"]
    keras.utils.set_random_seed(0)
    return keras


@contextmanager
def as_before_numpy_2() -> Iterator[None]:
    """Keras' variables implement `__array__` so, and say it each time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*__array__ implementation.*")
        yield


def save(model: Any, path: Path) -> str:
    with as_before_numpy_2():
        model.save(path)
    return str(path)


def small(keras: Any, *, activation: str | None = None, shape: Any = (12, 10, 3)) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5, activation=activation),
        ]
    )


@pytest.mark.parametrize("shape", [(12, 10, 3), (None, None, 3)], ids=str)
def test_a_model_answers_as_its_own_predict(shape: Any, keras: Any, tmp_path: Path) -> None:
    model, path = small(keras, shape=shape), tmp_path / "m.keras"
    classifier = load_classifier(save(model, path), TRUST)
    assert classifier.framing == Framing((3, 12, 10) if shape[0] else None)
    images = torch.rand(4, 3, 12, 10)
    with as_before_numpy_2():
        theirs = model.predict(images.permute(0, 2, 3, 1).numpy(), verbose=0)
    with torch.inference_mode():
        ours = classifier(images)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert theirs.std() > 0
    assert classifier.notes == ()
    assert classifier.replicas(2) == [classifier]


def test_a_fixed_batch_and_a_softmax(keras: Any, tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.layers.Input(batch_shape=(2, 4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
            keras.layers.Softmax(),
        ]
    )
    classifier = load_classifier(save(model, tmp_path / "m.keras"), TRUST)
    images = torch.rand(3, 1, 4, 4)
    with torch.inference_mode():
        answers = classifier(images)
    torch.testing.assert_close(answers.sum(1), torch.ones(3))
    theirs = model(images[:2].permute(0, 2, 3, 1), training=False).detach()
    torch.testing.assert_close(answers[:2], theirs)
    assert classifier.ends_in == "softmax"
    for activation in ("softmax", "sigmoid", "linear"):
        other = save(small(keras, activation=activation), tmp_path / "s.keras")
        assert load_classifier(other, TRUST).ends_in == activation
    task, _ = tell_task(classifier, images, torch.full((3,), -1))
    assert (task.name, task.outputs) == ("single-label", "probabilities")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_the_older_format_answers_as_the_newer_one(suffix: str, keras: Any, tmp_path: Path) -> None:
    model, images = small(keras, activation="softmax"), torch.rand(4, 3, 12, 10)
    newer = load_classifier(save(model, tmp_path / "m.keras"), TRUST)
    path = Path(save(model, tmp_path / "m.h5"))
    older = load_classifier(str(path.rename(path.with_suffix(suffix))), TRUST)
    assert (older.framing, older.notes) == (newer.framing, newer.notes)
    with torch.inference_mode():
        torch.testing.assert_close(older(images), newer(images))


def test_oracle_a_file_of_keras_2(keras: Any, tmp_path: Path) -> None:
    """Written byte by byte as Keras 2.15 lays it out, and computed by torch's own convolution."""
    generator = np.random.default_rng(0)
    kernel, bias = generator.normal(size=(3, 3, 3, 4)), generator.normal(size=4)
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [
                {
                    "class_name": "InputLayer",
                    "config": {
                        "batch_input_shape": [None, 12, 10, 3], "dtype": "float32", "sparse": False,
                        "ragged": False, "name": "conv2d_input",
                    },
                },
                {
                    "class_name": "Conv2D",
                    "config": {
                        "name": "conv2d", "trainable": True, "dtype": "float32", "filters": 4,
                        "kernel_size": [3, 3], "strides": [2, 2], "padding": "valid",
                        "data_format": "channels_last", "dilation_rate": [1, 1], "groups": 1,
                        "activation": "relu", "use_bias": True,
                        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
                        "bias_initializer": {"class_name": "Zeros", "config": {}},
                    },
                },
                {
                    "class_name": "GlobalAveragePooling2D",
                    "config": {
                        "name": "pool", "trainable": True, "dtype": "float32",
                        "data_format": "channels_last", "keepdims": False,
                    },
                },
            ],
        },
    }  # fmt: skip
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs.update(keras_version="2.15.0", backend="tensorflow", model_config=json.dumps(config))
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"conv2d", b"pool"]
        group.create_group("pool").attrs["weight_names"] = np.array([], "S1")
        layer = group.create_group("conv2d")
        layer.attrs["weight_names"] = [b"conv2d/kernel:0", b"conv2d/bias:0"]
        layer["conv2d/kernel:0"], layer["conv2d/bias:0"] = kernel.astype("f4"), bias.astype("f4")
    classifier = load_classifier(str(tmp_path / "m.h5"), TRUST)
    images = torch.rand(2, 3, 12, 10)
    expected = torch.nn.functional.conv2d(
        images.double(), torch.tensor(kernel).permute(3, 2, 0, 1), torch.tensor(bias), stride=2
    )
    with torch.inference_mode():
        answers = classifier(images)
    torch.testing.assert_close(answers, expected.relu().mean((2, 3)).float(), atol=1e-5, rtol=1e-5)


def test_the_digest_is_of_the_file(keras: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(small(keras), tmp_path / f"{name}.keras")
    (tmp_path / "c.keras").write_bytes((tmp_path / "a.keras").read_bytes())
    a, b, c = (load_classifier(str(tmp_path / f"{name}.keras"), TRUST).digest for name in "abc")
    assert a == c != b


def test_files_that_cannot_be_loaded(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with pytest.raises(ModelError, match=r"Cannot read m\.keras: "):
        load_classifier(str(path), TRUST)
    path.write_bytes(b"damaged")
    with pytest.raises(ModelError, match=r"Cannot load m\.keras with Keras"):
        load_classifier(str(path), TRUST)
    with pytest.raises(
        ModelError, match=r"Cannot load m\.h5: it is not trusted.*safe mode does not stop here.*--trust"
    ):
        load_classifier("m.h5")
    weights = tmp_path / "m.weights.h5"
    with as_before_numpy_2():
        small(keras).save_weights(weights)
    with pytest.raises(ModelError, match=r": ValueError: No model config found.* or holds weights alone"):
        load_classifier(str(weights), TRUST)
    inputs = [keras.Input((4, 4, 1)), keras.Input((4, 4, 1))]
    save(keras.Model(inputs, keras.layers.Add()(inputs)), path)
    with pytest.raises(ModelError, match="to have one input, the images"):
        load_classifier(str(path), TRUST)


def test_the_backend_is_torch_and_the_environment_stays(tmp_path: Path) -> None:
    """In a process of its own: a backend is chosen once."""
    code = """if True:
        import os, sys
        from shiftproof.adapters import ModelRequest, load_classifier
        from shiftproof.errors import ModelError
        try:
            load_classifier(sys.argv[1], ModelRequest(trust=True))
        except ModelError:
            import keras
            print(keras.config.backend(), os.environ["KERAS_BACKEND"])
        """
    path = tmp_path / "m.keras"
    path.write_bytes(b"damaged")
    environment = os.environ | {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path)}
    command = [sys.executable, "-c", code, str(path)]
    answer = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert answer == "torch jax\n"


def test_another_backend_is_an_error(keras: Any, tmp_path: Path) -> None:
    path = save(small(keras), tmp_path / "m.keras")
    message = "Cannot use Keras with torch: its backend is jax. It was imported before"
    with mock.patch("keras.config.backend", return_value="jax"), pytest.raises(ModelError, match=message):
        load_classifier(path, TRUST)

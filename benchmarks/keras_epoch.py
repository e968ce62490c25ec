"""Epochs of the article's script in Keras 3, on the backend that KERAS_BACKEND names.

Run by training.py with the Python of an environment that has keras-requirements.txt. The networks and
the call of `fit` are the article's; validation is left out.
"""

from __future__ import annotations

import os
import sys
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from benchmarks.mnist import read
from benchmarks.turns import take_turns
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator


def training_images(n_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28, 1) of bytes, fed as they are, and one-hot labels (N, 10)."""
    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:n_images]
    return images, keras.utils.to_categorical(read("train-labels-idx1-ubyte.gz", 8)[:n_images], 10)


def batches(row: str, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """The part of the article's call of `fit` that says what to learn from."""
    if not row.endswith("-augmented"):
        return {"x": images, "y": labels, "batch_size": 128}
    shifted = ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1)
    return {"x": shifted.flow(images, labels, batch_size=128)}


def network(row: str) -> keras.Model:
    name = row.removesuffix("-augmented")
    model = keras.Sequential([keras.Input((28, 28, 1))])
    if name == "standard-nn":
        model.add(layers.Dense(100, activation="relu"))
        model.add(layers.Dropout(0.5))
        model.add(layers.Dense(100, activation="relu"))
        model.add(layers.Dropout(0.25))
        model.add(layers.Flatten())
    else:
        for filters in (20,) if name == "cnn1" else (20, 40):
            model.add(layers.Conv2D(filters, (5, 5), padding="valid", strides=1, activation="relu"))
            model.add(layers.MaxPooling2D(pool_size=(2, 2)))
        model.add(layers.Flatten())
        model.add(layers.Dense(100, activation="relu"))
    model.add(layers.Dense(10, activation="softmax"))
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=1e-4),
        loss="categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(row: str, n_images: int) -> None:
    model = network(row)
    data = batches(row, *training_images(n_images))
    take_turns(lambda: model.fit(**data, verbose=0))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

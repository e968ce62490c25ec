"""One epoch of the article's script in Keras 3 with TensorFlow; prints the seconds it took.

Run by training.py with the Python of an environment that has keras-requirements.txt. The networks and
the call of `fit` are the article's; validation is left out, and a short warm-up compiles the step.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
from keras import layers
from keras.src.legacy.preprocessing.image import ImageDataGenerator

MNIST = Path(__file__).parents[1] / "src" / "shiftproof" / "data" / "mnist"


def read(name: str, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress((MNIST / name).read_bytes()), np.uint8, offset=header)


def network(name: str) -> keras.Model:
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
    images = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28, 1)[:n_images]
    labels = keras.utils.to_categorical(read("train-labels-idx1-ubyte.gz", 8)[:n_images], 10)
    model = network(row.removesuffix("-augmented"))

    def fit(x: np.ndarray, y: np.ndarray) -> None:
        if row.endswith("-augmented"):
            flow = ImageDataGenerator(width_shift_range=0.1, height_shift_range=0.1).flow(
                x, y, batch_size=128
            )
            model.fit(flow, epochs=1, verbose=0)
        else:
            model.fit(x, y, batch_size=128, epochs=1, verbose=0)

    fit(images[: 128 * 10], labels[: 128 * 10])
    start = time.perf_counter()
    fit(images, labels)
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""One training of a row of the article's study in Keras 3 with TensorFlow; prints what came of it as JSON.

Run by keras_agreement.py with the Python of an environment that has keras-requirements.txt. It shares no
code with shiftproof: networks, initial weights, order, augmentation and optimizer are all Keras' own.
"""

from __future__ import annotations

import json
import sys

import keras
import numpy as np
from benchmarks.keras_epoch import batches, network, training_images


def main(row: str, seed: int, epochs: int, n_images: int, test_sets: str) -> None:
    keras.utils.set_random_seed(seed)
    model = network(row)
    history = model.fit(**batches(row, *training_images(n_images)), epochs=epochs, verbose=0).history
    sets = np.load(test_sets)
    right = {
        name: model.predict(sets[name] * np.float32(255), batch_size=500, verbose=0).argmax(1)
        == sets["labels"]
        for name in sets.files
        if name != "labels"
    }
    print(
        json.dumps(
            {
                "accuracy": {name: round(float(answers.mean()), 6) for name, answers in right.items()},
                "training_loss": [round(loss, 6) for loss in history["loss"]],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])

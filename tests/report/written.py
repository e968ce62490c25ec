"""Parts of records, written by hand."""

from __future__ import annotations

from typing import Any

ENVIRONMENT = dict.fromkeys(("machine", "torch", "python", "shiftproof", "device"), "1")


def recipe(input_scale: str) -> dict[str, Any]:
    """Seven epochs without augmentation."""
    return {
        "epochs": 7, "batch_size": 9, "learning_rate": 0.1, "adam_epsilon": 1e-7, "input_scale": input_scale,
        "augmentation": "none", "early_stopping": None,
    }  # fmt: skip

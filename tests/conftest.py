"""Shared by all tests: small data, small studies, and how hypothesis behaves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from hypothesis import settings
from tests.torchvision_for_cpus import torchvision_beside_torch_for_cpus

from shiftproof.data import LabelledImages, load_data
from shiftproof.engine import HERE

# No deadline: machines are noisy, and speed is measured in benchmarks/, never asserted in tests.
settings.register_profile("shiftproof", deadline=None, derandomize=True)
settings.load_profile("shiftproof")

# Tests run side by side: with two threads for each, all small operations would wait for each other, also
# in the commands that tests start.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Nothing is downloaded by tests; huggingface_hub reads this once, when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"


TORCHVISION_OPERATORS = torchvision_beside_torch_for_cpus()


@pytest.fixture(scope="session")
def digits() -> LabelledImages:
    """The first 600 training digits."""
    return load_data("mnist", "train").head(600)


@pytest.fixture(scope="session")
def test_digits() -> LabelledImages:
    """The first 300 test digits."""
    return load_data("mnist", "test").head(300)


@pytest.fixture
def tiny_study(tmp_path: Path) -> Path:
    """A study of seconds: two networks, two protocols, all features of the format."""
    path = tmp_path / "tiny.toml"
    path.write_text(
        """
        schema_version = 1
        name = "tiny"
        title = "A study of seconds"
        data = "mnist"
        protocols = ["article-none", "article-large"]
        metrics = ["accuracy", "agreement", "worst-case-accuracy"]
        input_scales = ["unit"]

        [training]
        epochs = 2
        learning_rate = 1e-3

        [presets.quick]
        summary = "two epochs"
        [presets.long]
        summary = "four epochs, two seeds, both scales"
        seeds = 2
        input_scales = ["raw", "unit"]
        rows_used = ["cnn1"]
        training = { epochs = 4 }
        rows = { cnn1 = { batch_size = 64 } }

        [[rows]]
        name = "dense-nn"
        network = "dense-nn"

        [[rows]]
        name = "cnn1"
        network = "cnn1"
        title = "one <pool> | pipe"
        note = "A note."
        training = { augmentation = "keras-augment" }
        published = { article-none = 0.9 }
        """
    )
    return path


@pytest.fixture(autouse=True)
def torch_is_left_as_it_was() -> object:
    """Nothing may change torch's global settings for others."""
    threads = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == threads
    assert torch.is_grad_enabled()


@pytest.fixture(scope="session")
def claims_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All claims on very little, in a run directory that is only read: computed once for all processes."""
    from tests.article.tiny_claims import compute

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "claims"
    with FileLock(f"{folder}.lock"):
        if not (folder / "report.json").exists():
            compute(folder, HERE)
    return folder

"""Runs the commands that the checks of this folder recompute. Only this file imports `shiftproof`."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shiftproof import article
from shiftproof._threads import one_thread_per_operation
from shiftproof.article import _presets, _run
from shiftproof.cli import main
from shiftproof.errors import DataError
from shiftproof.train import Recipe

# Small, and in this process: others take longer to start than to train.
HERE = ["--workers", "1", "--device", "cpu", "--quiet"]
TRAINED = [*HERE, "--epochs", "2", "--set", "batch_size=10", "--set", "learning_rate=0.001"]

Command = Callable[..., Any]


@dataclass(frozen=True)
class Trained:
    """What a study printed, and the folder with its networks."""

    printed: dict[str, Any]
    folder: Path

    def network(self, row: str) -> Path:
        """The checkpoint of a row."""
        return self.folder / "networks" / f"{row}-seed0.safetensors"


def run(*arguments: str, exits: int = 0) -> Any:
    """The JSON document that a command prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main([*arguments, "--json"]) == exits
    return json.loads(printed.getvalue())


@pytest.fixture(autouse=True)
def few_images_on_one_thread() -> Iterator[None]:
    """On few images, threads wait for each other longer than they compute."""
    with one_thread_per_operation():
        yield


@pytest.fixture(scope="session")
def command() -> Command:
    """Runs a command, by its words."""
    return run


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`reproduce` with two of its rows, on all test images, without the training of today."""
    words = ["--networks", "cnn2,dense-nn", "--minutes", "0", *HERE]
    return run("reproduce", *words, "--out", str(tmp_path_factory.mktemp("independent") / "run"))


@pytest.fixture(scope="session")
def alternatives(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """`study alternatives` with one remedy beside its base."""
    out = tmp_path_factory.mktemp("independent") / "alternatives"
    words = ["--networks", "cnn2,cnn2-blur", "--limit", "120", "--out", str(out)]
    return Trained(run("study", "alternatives", *words, *TRAINED), out)


@pytest.fixture(scope="session")
def circular(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two networks on a circle, trained by a study of one's own."""
    folder = tmp_path_factory.mktemp("independent")
    rows = "".join(
        f'[[rows]]\nname = "{name}"\nnetwork = "{name}"\n' for name in ("cnn2-circular", "cnn2-aps")
    )
    (folder / "circular.toml").write_text(
        'schema_version = 1\nname = "circular"\ntitle = "On a circle"\ndata = "mnist"\n'
        'protocols = ["article-none"]\nmetrics = ["accuracy"]\ninput_scales = ["unit"]\n[training]\n'
        f'epochs = 1\n[presets.small]\nsummary = "for a test"\n{rows}'
    )
    words = [str(folder / "circular.toml"), "--limit", "200", "--out", str(folder / "run")]
    return Trained(run("study", *words, *TRAINED), folder / "run")


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that `serve --export` writes, with all answers of the packaged networks in it."""
    printed = run("serve", "--export", str(tmp_path_factory.mktemp("independent") / "page"))
    return Path(printed["page"])


@pytest.fixture(scope="session")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """`claims` with all the letters and the counts; whatever trains for long is left out, as if it failed."""

    def left_out(*arguments: object, **options: object) -> None:
        raise DataError("an experiment", "none", cause="It is left out.")

    quick = article.load_preset("quick")
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=32, input_scale="unit")
    sharing = quick.sharing.model_copy(
        update={"n_train": 64, "n_test": 40, "recipe": recipe, "n_seeds": 1, "n_repeats": 3}
    )
    small = article.ClaimsPreset(**{**vars(quick), "name": "small", "sharing": sharing})
    out = tmp_path_factory.mktemp("independent") / "claims"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_presets, "load_preset", lambda name: small)
        patch.setattr(article, "load_preset", lambda name: small)
        for name in ("_table", "transfer", "scrambled_parts"):
            patch.setattr(_run, name, left_out)
        return run("claims", "--out", str(out), "--quiet", exits=3)

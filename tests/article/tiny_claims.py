"""All claims on so little that it takes seconds: what they say then means nothing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from shiftproof.article import ClaimsPreset, load_preset, run_claims
from shiftproof.article._scrambled import ScrambledSettings
from shiftproof.engine import Engine, open_run, parse_engine
from shiftproof.study import Overrides, load_study
from shiftproof.train import Recipe

ONE_EPOCH = {"epochs": 1, "batch_size": 32, "learning_rate": 1e-3}


def tiny() -> ClaimsPreset:
    quick = load_preset("quick")
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=32, input_scale="unit")
    return ClaimsPreset(
        name="tiny",
        summary="for a test",
        article=load_study(
            "article",
            preset="quick",
            overrides=Overrides(limit=100, input_scales=("unit",), training=ONE_EPOCH),
        ),
        alternatives=load_study(
            "alternatives",
            preset="quick",
            overrides=Overrides(
                limit=100, networks=("cnn2", "strided-cnn", "cnn2-dpp"), training={"epochs": 1}
            ),
        ),
        transfer=quick.transfer.model_copy(
            update={
                "n_base": 100, "n_labels": 50, "n_test": 50, "n_seeds": 2, "base": recipe, "target": recipe,
            }
        ),
        sharing=quick.sharing.model_copy(
            update={"n_train": 100, "n_test": 50, "recipe": recipe, "n_seeds": 2, "n_repeats": 3}
        ),
        letter=quick.letter,
        scrambled=ScrambledSettings(
            n_training=50,
            n_held_out=20,
            n_test=20,
            epochs=1,
            seeds=(0, 1),
            detectors=(
                "pooled-1-flatten", "pooled-2-flatten", "pooled-1-global", "pooled-2-global", "cnn2",
                "strided-cnn", "cnn2-dpp",
            ),
            photo_detectors=(),
        ),
    )  # fmt: skip


def compute(out: Path, engine: Engine, clock: Path | None = None) -> None:
    """All claims; what the clock says may be that of another run."""
    preset = tiny()
    with open_run("claims", preset.config(), out=out) as run:
        if clock is not None:
            for kind in ("epoch-times", "costs"):
                for path in (clock / "units").glob(f"{kind}-*"):
                    shutil.copy(path, run.folder / "units")
        run_claims(preset, run, engine=engine)


def contents(out: Path) -> dict[str, bytes]:
    """What a run computed: its report and all units."""
    return {path.name: path.read_bytes() for path in (out / "report.json", *(out / "units").iterdir())}


if __name__ == "__main__":
    folder, other, where = sys.argv[1:]
    compute(Path(folder), parse_engine(where), clock=Path(other))

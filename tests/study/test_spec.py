"""Study files: resolution order, and errors that say where and suggest what."""

from __future__ import annotations

from pathlib import Path

import pytest

from shiftproof.errors import ConfigError, UnknownNameError
from shiftproof.study import Overrides, load_study, parse_overrides


def test_the_article_is_as_published() -> None:
    study = load_study("article", preset="article")
    assert [arm.name for arm in study.arms] == ["standard-nn", "dense-nn", "cnn1", "cnn2", "cnn2-augmented"]
    assert study.seeds == (0, 1, 2)
    for arm in study.arms:
        assert (arm.recipe.epochs, arm.recipe.batch_size, arm.recipe.learning_rate) == (100, 128, 1e-4)
        assert (arm.recipe.adam_epsilon, arm.recipe.input_scale) == (1e-7, "raw")
        assert arm.recipe.early_stopping is None
        assert arm.recipe.augmentation == ("keras-augment" if arm.name == "cnn2-augmented" else "none")
    published = [tuple(arm.published.values()) for arm in study.arms]
    assert published == [
        (0.93, 0.861, 0.449),
        (),
        (0.986, 0.919, 0.718),
        (0.989, 0.982, 0.831),
        (0.9933, 0.9918, 0.9839),
    ]


def test_the_first_preset_is_the_default_and_says_it_is_shorter() -> None:
    study = load_study("article")
    assert (study.preset, study.seeds) == ("quick", (0,))
    assert "shorter than the article" in study.preset_summary


def test_later_wins(tiny_study: Path) -> None:
    long = load_study(str(tiny_study), preset="long")
    assert [arm.name for arm in long.arms] == ["cnn1 (raw)", "cnn1 (unit)"]
    assert {(a.recipe.epochs, a.recipe.batch_size, a.recipe.augmentation) for a in long.arms} == {
        (4, 64, "keras-augment")
    }
    overrides = Overrides(
        seeds=5, networks=("dense-nn",), input_scales=("unit",), training={"epochs": 1, "batch_size": 32}
    )
    changed = load_study(str(tiny_study), preset="long", overrides=overrides)
    assert len(changed.seeds) == 5
    assert [(a.name, a.recipe.epochs, a.recipe.batch_size) for a in changed.arms] == [("dense-nn", 1, 32)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs = 2", "epoch = 2", r"training of dense-nn, got 'epoch'\. Did you mean 'epochs'"),
        ("epochs = 2", "epochs = 0", r"Cannot use 0 as 'epochs' in training of dense-nn: Input"),
        ('title = "A study', 'titel = "A study', r"got 'titel'\. Did you mean 'title'"),
        ("note = ", "nota = ", r"got 'rows\.1\.nota'\. Did you mean 'note'"),
        ('summary = "two', 'sumary = "two', r"'presets\.quick\.(sum|summary)"),
        ('title = "A study of seconds"', "", r"the key 'title' in tiny\.toml, got none"),
        ("schema_version = 1", "schema_version = 9", "'schema_version'"),
        ('"unit"]', '"units"]', "'input_scales.0'"),
        ('network = "cnn1"', "network = 5", r"'rows\.1\.network'"),
        ("[training]", "[training", r"\.toml as TOML: "),
        ('name = "dense-nn"', 'name = "cnn1"', "rows with different names"),
    ],
)
def test_wrong_files_say_where(tiny_study: Path, old: str, new: str, message: str) -> None:
    text = tiny_study.read_text()
    assert old in text
    tiny_study.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message):
        load_study(str(tiny_study))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('network = "cnn1"', 'network = "cnn9"', "name of a network, got 'cnn9'. Did you mean"),
        (
            '"article-large"]',
            '"article-larg"]',
            "got 'article-larg'. Did you mean 'article-large'",
        ),
        ('"agreement",', '"agreemnt",', "Did you mean 'agreement'"),
        ("rows = { cnn1", "rows = { cnn7", "name of a row, got 'cnn7'"),
        ("article-none = 0.9", "article-nun = 0.9", "Did you mean 'article-none'"),
    ],
)
def test_unknown_names_suggest(tiny_study: Path, old: str, new: str, message: str) -> None:
    tiny_study.write_text(tiny_study.read_text().replace(old, new, 1))
    with pytest.raises(UnknownNameError, match=message):
        load_study(str(tiny_study), preset="long")


def test_unknown_augmentation_suggests(tiny_study: Path) -> None:
    tiny_study.write_text(tiny_study.read_text().replace('"keras-augment"', '"keras-augmnt"'))
    with pytest.raises(UnknownNameError, match="Did you mean 'keras-augment'"):
        load_study(str(tiny_study))


def test_unknown_studies_presets_and_rows_suggest(tiny_study: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"name of a study, got 'artcle'\. Did you mean 'article'"):
        load_study("artcle")
    with pytest.raises(UnknownNameError, match=r"name of a preset, got 'quik'\. Did you mean 'quick'"):
        load_study("article", preset="quik")
    with pytest.raises(UnknownNameError, match="name of a row of this study, got 'cnn3'"):
        load_study("article", overrides=Overrides(networks=("cnn3",)))
    with pytest.raises(ConfigError, match=r"Cannot read absent\.toml as TOML: No such file"):
        load_study("absent.toml")
    with pytest.raises(ConfigError, match="'seeds' in the options"):
        parse_overrides({"seeds": "many"})


def test_rows_that_become_equal_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 'cnn2' and 'cnn2-augmented', which are the same"):
        load_study("article", overrides=Overrides(training={"augmentation": "none"}))

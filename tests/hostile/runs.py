"""Run directories: damaged units, folders of others, names that lead elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import save
from tests.hostile.cases import SMALL, Case, Theirs, few_images, kind

from shiftproof.cli import main

TWO = ("--protocol", "grid:1", "--protocol", "diagonal:1", "--quiet", "--device", "cpu", "--threads", "1")


def run(*arguments: str) -> None:
    assert main(["audit", *arguments]) == 0


def shards(folder: Path) -> list[Path]:
    return sorted((folder / "units").glob("probe-????????????????????????????????.safetensors"))


def flipped(place: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = shards(folder / "r")[0]
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x10
        path.write_bytes(bytes(content))

    return damage


def exchanged(folder: Path) -> None:
    first, second = shards(folder / "r")
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)


def of_another(*arguments: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        run(*arguments, "few.npz", *TWO, "--out", "other")
        for ours, theirs in zip(shards(folder / "r"), shards(folder / "other"), strict=True):
            ours.write_bytes(theirs.read_bytes())

    return damage


def with_content(content: bytes) -> Callable[[Path], None]:
    return lambda folder: void(shards(folder / "r")[0].write_bytes(content))


def void(value: object) -> None:
    """Nothing, of something."""


def replaced(by: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = shards(folder / "r")[0]
        path.unlink()
        by(path)

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    **{f"a bit at {place:.0%}": flipped(place) for place in np.linspace(0, 1, 24)},
    "two exchanged": exchanged,
    "of another model": of_another("zoo:dense-nn"),
    "of another seed": of_another("zoo:cnn1", "--seed", "1"),
    "of another border": of_another("zoo:cnn1", "--border", "edge"),
    "cut": lambda folder: void(
        shards(folder / "r")[0].write_bytes(shards(folder / "r")[0].read_bytes()[:-7])
    ),
    "longer": lambda folder: void(
        shards(folder / "r")[0].write_bytes(shards(folder / "r")[0].read_bytes() + b"x")
    ),
    "empty": with_content(b""),
    "zeros": with_content(bytes(999)),
    "a header without an end": with_content(b"\xff" * 8 + b"{"),
    "no seal": with_content(save({"predicted": np.zeros((4, 9), np.int32)})),
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "a link to nowhere": replaced(lambda path: path.symlink_to("nowhere")),
    "a link to /dev/zero": replaced(lambda path: path.symlink_to("/dev/zero")),
    "gone": replaced(lambda path: None),
}


@kind
def units() -> Iterator[Case]:
    for what, damage in DAMAGES.items():

        def make(folder: Path, damage: Callable[[Path], None] = damage) -> Sequence[str]:
            arguments = ["zoo:cnn1", few_images(folder), *TWO, "--out", "r"]
            run(*arguments)
            shutil.copy("r/report.json", "whole.json")
            damage(folder)
            return ["audit", *arguments]

        def same(folder: Path, printed: str) -> None:
            assert (folder / "r" / "report.json").read_bytes() == (folder / "whole.json").read_bytes()

        def named(folder: Path, printed: str) -> None:
            same(folder, printed)
            assert "set aside" in printed

        yield Case("damaged units", what, make, frozenset({0}), check=same if what == "gone" else named)

        def compared(folder: Path, damage: Callable[[Path], None] = damage) -> Sequence[str]:
            run("zoo:cnn1", few_images(folder), *TWO, "--out", "r")
            damage(folder)
            return ["compare", "r", "r"]

        yield Case("damaged units", f"compared: {what}", compared)


STUDY = """
schema_version = 1
name = "s"
title = "t"
data = "mnist"
protocols = ["article-none"]
[[rows]]
name = "a"
network = "dense-nn"
training = { epochs = 2 }
[[rows]]
name = "b"
network = "dense-nn"
training = { epochs = 1 }
"""
OF_STUDY = ("study", "s.toml", "--limit", "40", "--quiet", "--workers", "1", "--device", "cpu", "--out", "r")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))


def exchange(paths: Sequence[Path]) -> None:
    contents = [path.read_bytes() for path in paths]
    for path, content in zip(paths, reversed(contents), strict=True):
        path.write_bytes(content)


def as_partial(content: Callable[[bytes], bytes]) -> Callable[[list[Path]], None]:
    """A training that was interrupted, and whose state was damaged after that."""

    def damage(paths: list[Path]) -> None:
        for path in paths:
            partial = path.with_suffix(".partial.safetensors")
            partial.write_bytes(content(path.read_bytes()))
            path.unlink()

    return damage


def exchanged_partials(paths: list[Path]) -> None:
    exchange(paths)
    as_partial(lambda content: content)(paths)


TRAININGS: dict[str, Callable[[list[Path]], None]] = {
    "a bit": lambda paths: flip(paths[0]),
    "two exchanged": exchange,
    "cut": lambda paths: void(paths[0].write_bytes(paths[0].read_bytes()[:-1])),
    "empty": lambda paths: void(paths[0].write_bytes(b"")),
    "interrupted": as_partial(lambda content: content),
    "interrupted, a bit": as_partial(lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]),
    "interrupted, cut": as_partial(lambda content: content[: len(content) // 2]),
    "interrupted, exchanged": exchanged_partials,
    "interrupted, empty": as_partial(lambda content: b""),
}


@kind
def trainings() -> Iterator[Case]:
    for what, damage in TRAININGS.items():

        def make(folder: Path, damage: Callable[[list[Path]], None] = damage) -> Sequence[str]:
            (folder / "s.toml").write_text(STUDY)
            assert main(list(OF_STUDY)) == 0
            shutil.copy("r/report.json", "whole.json")
            for path in (folder / "r" / "units").glob("probe-*"):
                path.unlink()
            damage(sorted((folder / "r" / "units").glob("train-*")))
            return OF_STUDY

        def same(folder: Path, printed: str, silent: bool = what == "interrupted") -> None:
            assert (folder / "r" / "report.json").read_bytes() == (folder / "whole.json").read_bytes()
            assert ("set aside" in printed) != silent

        yield Case("damaged trainings", what, make, frozenset({0}), check=same)


def theirs_in(place: str, names: Sequence[str]) -> Callable[[Path], tuple[Theirs, list[str]]]:
    def make(folder: Path) -> tuple[Theirs, list[str]]:
        theirs = Theirs(folder)
        for name in names:
            theirs.write(f"{place}/{name}")
        return theirs, ["audit", "zoo:cnn1", few_images(folder), *SMALL]

    return make


FOLDERS = {
    "only units": ["units/a.safetensors"],
    "only units of our names": [f"units/probe-{'0' * 32}.safetensors"],
    "a report": ["report.json", "report.md"],
    "a hidden file": [".ssh/id"],
    "a repository": [".git/HEAD"],
    "a run.json that is none": ["run.json", "units/x"],
    "a temporary name": [".report.json.x"],
    "a lock and a thesis": [".lock", "thesis.tex"],
    "events": ["events.jsonl"],
    "networks": ["networks/cnn1.safetensors"],
}


@kind
def folders_of_others() -> Iterator[Case]:
    for what, names in FOLDERS.items():
        for fresh in ((), ("--fresh",)):
            prepared: list[Theirs] = []

            def make(
                folder: Path,
                names: Sequence[str] = names,
                fresh: Sequence[str] = fresh,
                prepared: list[Theirs] = prepared,
            ) -> Sequence[str]:
                theirs, arguments = theirs_in("r", names)(folder)
                prepared.append(theirs)
                return [*arguments, "--out", "r", *fresh]

            def kept(folder: Path, printed: str, prepared: list[Theirs] = prepared) -> None:
                prepared[-1].check()
                assert len(list((folder / "r").rglob("*"))) <= 2 + len(prepared[-1].content), (
                    "nothing is written"
                )

            yield Case("folders of others", f"{what}{' --fresh' * bool(fresh)}", make, check=kept)

    def beside(folder: Path) -> Sequence[str]:
        arguments = ["audit", "zoo:cnn1", few_images(folder), *SMALL, "--out", "r"]
        run(*arguments[1:])
        (folder / "r" / "units" / "mine.txt").write_text("mine")
        (folder / "r" / "thesis.tex").write_text("mine")
        return [*arguments, "--fresh"]

    def still_there(folder: Path, printed: str) -> None:
        assert (folder / "r" / "units" / "mine.txt").read_text() == "mine"
        assert (folder / "r" / "thesis.tex").read_text() == "mine"

    yield Case("folders of others", "files beside ours", beside, frozenset({0}), check=still_there)
    for name in ("units", "networks", "figures", "events.jsonl", "report.json", "run.json", ".lock"):

        def linked(folder: Path, name: str = name) -> Sequence[str]:
            theirs = Theirs(folder)
            theirs.write("other/thesis.tex")
            theirs.write("other/units/probe.safetensors")
            run("zoo:cnn1", few_images(folder), *SMALL, "--out", "r")
            path = folder / "r" / name
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
            path.symlink_to(folder / "other" / ("thesis.tex" if "." in name else "units"))
            return ["audit", "zoo:cnn1", "few.npz", *SMALL, "--out", "r", "--fresh"]

        def untouched(folder: Path, printed: str) -> None:
            assert (folder / "other" / "thesis.tex").read_bytes() == b"theirs"
            assert [p.name for p in (folder / "other" / "units").iterdir()] == ["probe.safetensors"]

        yield Case("folders of others", f"a link for {name}", linked, check=untouched)


HEADERS = {
    "a list": "[]",
    "null": "null",
    "no JSON": "{",
    "a digest only": '{"config_digest": "a"}',
    "of something else": '{"schema_version": 1, "config_digest": "'
    + "0" * 64
    + '", "config": {}, "sessions": []}',
    "nested": '{"config": ' + "[" * 3000 + "]" * 3000 + "}",
    "5,000 digits": '{"schema_version": ' + "9" * 5000 + "}",
    "sessions a number": '{"schema_version": 1, "config_digest": "'
    + "0" * 64
    + '", "config": {}, "sessions": 1}',
}


@kind
def headers_of_runs() -> Iterator[Case]:
    for what, text in HEADERS.items():
        for fresh in ((), ("--fresh",)):

            def make(folder: Path, text: str = text, fresh: Sequence[str] = fresh) -> Sequence[str]:
                arguments = ["audit", "zoo:cnn1", few_images(folder), *SMALL, "--out", "r"]
                run(*arguments[1:])
                (folder / "r" / "run.json").write_text(text)
                return [*arguments, *fresh]

            def kept(folder: Path, printed: str) -> None:
                assert shards(folder / "r"), "what was computed is not deleted"

            yield Case("headers of runs", f"{what}{' --fresh' * bool(fresh)}", make, check=kept)


NAMES = [
    "../x",
    "../../../x",
    "/tmp/shiftproof-x",
    "a/b",
    ".",
    "..",
    "",
    " ",
    "a\nb",
    "a\x1b[2J",
    "-x",
    "a" * 300,
    "con:",
    "\u202ea",
    "~",
]


@kind
def names_of_studies() -> Iterator[Case]:
    for name in NAMES:

        def make(folder: Path, name: str = name) -> Sequence[str]:
            (folder / "here").mkdir()
            os.chdir(folder / "here")
            Path("s.toml").write_text(
                f'schema_version = 1\nname = {json.dumps(name)}\ntitle = "t"\ndata = "mnist"\n'
                'protocols = ["grid:1"]\n[[rows]]\nname = "dense-nn"\nnetwork = "dense-nn"\n'
            )
            return ["study", "s.toml", "--epochs", "1", "--limit", "50", "--quiet"]

        def nowhere(folder: Path, printed: str) -> None:
            assert [path.name for path in folder.iterdir()] == ["here"]
            assert [path.name for path in (folder / "here").iterdir()] == ["s.toml"]

        yield Case("names of studies", repr(name[:20]), make, check=nowhere)


STUDIES = {
    "no rows": "rows = []",
    "rows a number": "rows = 1",
    "seeds 10^9": 'seeds = 1000000000\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
    "seeds 0": 'seeds = 0\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
    "seeds a list": 'seeds = [1]\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
    "epochs 0": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { epochs = 0 }',
    "epochs 10^18": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { epochs = 1000000000000000000 }',
    "rate inf": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { learning_rate = inf }',
    "rate a list": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { learning_rate = [] }',
    "batch 0": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { batch_size = 0 }',
    "augmentation a list": '[[rows]]\nname = "a"\nnetwork = "cnn1"\ntraining = { augmentation = [] }',
    "two of one name": '[[rows]]\nname = "a"\nnetwork = "cnn1"\n[[rows]]\nname = "a"\nnetwork = "cnn2"',
    "base of nothing": '[[rows]]\nname = "a"\nnetwork = "cnn1"\nbase = "b"',
    "published a word": '[[rows]]\nname = "a"\nnetwork = "cnn1"\npublished = { x = "high" }',
    "a key too many": 'speed = 1\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
    "presets a list": 'presets = []\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
    "limit 0": '[presets.a]\nsummary = "a"\nlimit = 0\n[[rows]]\nname = "a"\nnetwork = "cnn1"',
}


@kind
def studies() -> Iterator[Case]:
    for what, text in STUDIES.items():

        def make(folder: Path, text: str = text) -> Sequence[str]:
            (folder / "s.toml").write_text(
                'schema_version = 1\nname = "s"\ntitle = "t"\ndata = "mnist"\nprotocols = ["grid:1"]\n'
                f"{text}\n"
            )
            return ["study", "s.toml", "--limit", "50", "--quiet"]

        yield Case("studies", what, make)

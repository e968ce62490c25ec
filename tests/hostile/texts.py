"""Texts from elsewhere: names, messages, what models print, wherever they are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tests.hostile.cases import NAMES, TEXTS, Case, audit, few_images, kind, of_model

ANY = frozenset({0, 2, 3})


def image(path: Path, value: int = 0) -> None:
    pixels = np.random.default_rng(value).integers(0, 256, (28, 28), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")


def named_images(name: str, place: str) -> Callable[[Path], Sequence[str]]:
    """A folder with two classes; the name is that of a class, of an image, or of a file that is none."""

    def make(folder: Path) -> Sequence[str]:
        plain = name.replace("/", "_")
        classes = [plain if place == "class" else "a", "b"]
        for number, one in enumerate(classes):
            (folder / "data" / one).mkdir(parents=True)
            for index in range(3):
                image(folder / "data" / one / f"{index}.png", 3 * number + index)
        if place == "image":
            image(folder / "data" / "b" / f"{plain}.png", 9)
        if place == "skipped":
            (folder / "data" / "b" / f"{plain}.png").write_bytes(b"no image")
        if place == "beside":
            (folder / "data" / "b" / f"{plain}.txt").write_bytes(b"")
        code = "def model(x):\n    return honest(x)[:, :2]\n"
        return [
            *of_model(code)(folder)[:2],
            "data",
            "--trust",
            "--max-bad",
            "0.9",
            "--quiet",
            "--protocol",
            "grid:1",
        ]

    return make


@kind
def names_of_files_and_classes() -> Iterator[Case]:
    for what, name in NAMES.items():
        for place in ("class", "image", "skipped", "beside"):
            yield Case("names of files", f"{place}: {what}", named_images(name, place), frozenset({0}))


@kind
def messages_of_models() -> Iterator[Case]:
    for what, text in TEXTS.items():
        for exception in ("ValueError", "SystemExit", "KeyError", "Warning"):
            code = f"def model(x):\n    raise {exception}({text!r})\n"
            yield Case("messages of models", f"{exception}: {what}", of_model(code))
        code = f"def model(x):\n    warnings.warn({text!r})\n    return honest(x)\n"
        yield Case("messages of models", f"warning: {what}", of_model(code), frozenset({0, 2}))
        code = f"def model(x):\n    return {{{text!r}: honest(x)}}\n"
        yield Case("messages of models", f"key: {what}", of_model(code))
        code = f"class Net(nn.Module):\n    def forward(self, x): return honest(x)\nNet.__name__ = {text!r}\n"
        yield Case("messages of models", f"class: {what}", of_model(code, name="Net"), frozenset({0, 2}))


@kind
def words_on_the_command_line() -> Iterator[Case]:
    options = (
        "--protocol",
        "--gate",
        "--border",
        "--method",
        "--baseline",
        "--logits",
        "--model-arg",
        "--mean",
    )
    for what, text in TEXTS.items():
        for option in options:
            yield Case(
                "words on the command line",
                f"{option}: {what}",
                lambda folder, option=option, text=text: audit(  # type: ignore[misc]
                    "zoo:cnn1", few_images(folder), option, text
                ),
            )
        yield Case(
            "words on the command line",
            f"model: {what}",
            lambda folder, text=text: audit(text, few_images(folder)),  # type: ignore[misc]
        )
        yield Case(
            "words on the command line",
            f"data: {what}",
            lambda folder, text=text: audit("zoo:cnn1", text),  # type: ignore[misc]
        )


@kind
def run_directories() -> Iterator[Case]:
    for what, name in NAMES.items():
        yield Case(
            "run directories",
            f"named: {what}",
            lambda folder, name=name: audit(  # type: ignore[misc]
                "zoo:cnn1", few_images(folder), "--out", f"out/{name}"
            ),
            frozenset({0}),
            twice=True,
        )
    for what, name in {"300 characters": "a" * 300, "5,000 deep": "a/" * 5000, "a file": "few.npz"}.items():
        yield Case(
            "run directories",
            what,
            lambda folder, name=name: audit("zoo:cnn1", few_images(folder), "--out", name),  # type: ignore[misc]
        )


def table(rows: str) -> Callable[[Path], Sequence[str]]:
    def make(folder: Path) -> Sequence[str]:
        image(folder / "a.png")
        (folder / "list.csv").write_text(rows, encoding="utf-8", errors="surrogatepass", newline="")
        return audit("zoo:cnn1", "list.csv", "--max-bad", "0.9")

    return make


@kind
def tables() -> Iterator[Case]:
    for what, text in TEXTS.items():
        quoted = '"' + text.replace('"', '""') + '"'
        yield Case("tables", f"label: {what}", table(f"path,label\na.png,{quoted}\n"), ANY)
        yield Case("tables", f"path: {what}", table(f"path,label\na.png,1\n{quoted},1\n"), ANY)
        yield Case("tables", f"header: {what}", table(f"{quoted},label\na.png,1\n"))


@kind
def names_in_settings() -> Iterator[Case]:
    for what, text in TEXTS.items():
        key = json.dumps(text)

        def protocol(folder: Path, key: str = key, text: str = text) -> Sequence[str]:
            (folder / "p.toml").write_text(
                f'[protocols.{key}]\nlaw = "grid"\nradius_px = 1\nsummary = {key}\n'
            )
            return ["audit", "zoo:cnn1", few_images(folder), "--quiet", "--protocol", f"p.toml:{text}"]

        yield Case("names in settings", f"protocol: {what}", protocol, frozenset({0, 2}))

        def option(folder: Path, key: str = key) -> Sequence[str]:
            (folder / "pyproject.toml").write_text(f"[tool.shiftproof]\n{key} = 1\n")
            return audit("zoo:cnn1", few_images(folder))

        yield Case("names in settings", f"option: {what}", option)

        def classes(folder: Path, text: str = text) -> Sequence[str]:
            (folder / "names.txt").write_text("\n".join(f"{text} {number}" for number in range(10)))
            return audit("zoo:cnn1", few_images(folder), "--class-names", "names.txt")

        yield Case("names in settings", f"classes: {what}", classes, ANY)

        def study(folder: Path, key: str = key) -> Sequence[str]:
            (folder / "s.toml").write_text(
                f'schema_version = 1\nname = "s"\ntitle = {key}\ndata = "mnist"\nprotocols = ["grid:1"]\n'
                f"[[rows]]\nname = {key}\nnetwork = {key}\n"
            )
            return ["study", "s.toml", "--quiet"]

        yield Case("names in settings", f"study: {what}", study)

"""Records that `report` and `serve` are asked to show, but that this version did not write."""

from __future__ import annotations

import functools
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.hostile.cases import TEXTS, Case, audit, few_images, kind

from shiftproof.cli import main

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
# Real records that the benchmarks leave behind: a file, and where in it.
RECORDS = {
    "study": "article-full",
    "study with costs": "alternatives-quick",
    "claims": "claims-quick",
    "explanation": "explain-lite0",
    "fix": "fixing/mnist/labelled/record",
    "certificate": "fixing/circle/aps/record",
}
Change = Callable[[dict[str, Any]], object]


@functools.cache
def audited() -> str:
    """The record of a small audit, as its run directory has it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = str(folder / few_images(folder))
        assert main([*audit("zoo:cnn1", data), "--out", str(folder / "r")]) == 0
        return (folder / "r" / "report.json").read_text()


def record_of(what: str) -> dict[str, Any]:
    """A record that may be changed."""
    if what == "audit":
        found: dict[str, Any] = json.loads(audited())
        return found
    file, *path = RECORDS[what].split("/")
    found = json.loads((RESULTS / f"{file}.json").read_text())
    for name in path:
        found = found[name]
    return found


def written(what: str, change: Change) -> Callable[[Path], Sequence[str]]:
    """A file with a changed record, and the command that shows it."""

    def make(folder: Path) -> Sequence[str]:
        record = record_of(what)
        change(record)
        (folder / "r.json").write_text(json.dumps(record))
        return ["report", "r.json"]

    return make


def no_page(folder: Path, printed: str) -> None:
    assert not (folder / "r.html").exists(), "half a page is none"


def parts_of(record: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Where the parts of a record are: its own, and those of what is in it, the first of a list."""
    for name, value in record.items():
        yield (name,)
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, dict):
            for inner in first:
                yield name, inner


def inside(record: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """What holds the last of these names."""
    for name in path[:-1]:
        found = record[name]
        record = found[0] if isinstance(found, list) else found
    return record


@kind
def records_without_some_part() -> Iterator[Case]:
    """Each part in turn: the page is whole without it, or a sentence says that it is missing."""
    for what in ("audit", *RECORDS):
        for path in parts_of(record_of(what)):

            def without(record: dict[str, Any], path: Sequence[str] = path) -> None:
                del inside(record, path)[path[-1]]

            def checked(folder: Path, printed: str, path: Sequence[str] = path) -> None:
                page = folder / "r.html"
                if page.exists():
                    assert page.read_text().endswith("</html>\n")
                else:
                    assert path[-1] in printed or path[0] in printed or "Cannot read" in printed

            yield Case(
                "records without a part",
                f"{what}: {'.'.join(path)}",
                written(what, without),
                frozenset({0, 2}),
                check=checked,
            )


@kind
def records_of_others() -> Iterator[Case]:
    """Of an older version, of a later one, and of none."""
    versions = {
        "older": 0,
        "later": 99,
        "a word": "1",
        "none": None,
        "a list": [2],
        "true": True,
        "below": -1,
    }
    for what in ("audit", *RECORDS):
        for name, version in versions.items():
            # 1 is the version of some of them; "1" is none, nor is true, which is equal to 1.
            yield Case(
                "records of others",
                f"{what}: version {name}",
                written(what, lambda record, version=version: record.update(schema_version=version)),  # type: ignore[misc]
                check=no_page,
            )
        for name, found in {
            "none": None,
            "another": "audits",
            "a list": ["audit"],
            "hostile": TEXTS["HTML"],
        }.items():
            yield Case(
                "records of others",
                f"{what}: kind {name}",
                written(what, lambda record, found=found: record.update(kind=found)),  # type: ignore[misc]
                check=no_page,
            )
    for name, text in {
        "nothing": "",
        "a word": '"audit"',
        "a list": "[]",
        "a number": "7",
        "null": "null",
        "half": '{"kind": "audit"',
        "deep": "[" * 100_000,
        "5,000 digits": '{"kind": ' + "9" * 5000 + "}",
        "no text": "\udcff",
        "a page": "<!doctype html><title>audit</title>",
    }.items():

        def make(folder: Path, text: str = text) -> Sequence[str]:
            (folder / "r.json").write_text(text, errors="surrogateescape")
            return ["report", "r.json"]

        yield Case("records of others", f"content: {name}", make, check=no_page)

    def alone(folder: Path) -> Sequence[str]:
        (folder / "r").mkdir()
        return ["report", "r"]

    yield Case("records of others", "an empty folder", alone)
    yield Case("records of others", "nothing there", lambda folder: ["report", "nowhere"])


HOSTILE = "</style></script><img src=x onerror=alert(1)><svg/onload=alert(1)>{{7*7}}"


def everywhere(value: Any, text: str, *, name: str = "") -> Any:
    """A record whose every word is this one, but for those that mean something."""
    if isinstance(value, dict):
        return {
            key: inner if key in MEANT else everywhere(inner, text, name=key) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [everywhere(inner, text, name=name) for inner in value]
    return text if isinstance(value, str) else value


# Words that only a few may stand for, and names that lead from one part of a record to another.
MEANT = {
    "kind",
    "outcome",
    "verdict",
    "status",
    "task",
    "headline",
    "unit",
    "before",
    "after",
    "truth",
    "protocols",
    "columns",
    "metrics",
}


@kind
def words_in_records() -> Iterator[Case]:
    """The same word in every place of a record: the page shows it as text, or there is none."""
    texts = {**TEXTS, "breaks out": HOSTILE, "half a character": "a\ud800b"}
    for what in ("audit", *RECORDS):
        for name, text in texts.items():

            def make(folder: Path, what: str = what, text: str = text) -> Sequence[str]:
                record = everywhere(record_of(what), text[:20_000])
                (folder / "r.json").write_text(json.dumps(record))
                return ["report", "r.json"]

            def harmless(folder: Path, printed: str) -> None:
                page = folder / "r.html"
                if not page.exists():
                    return
                content = page.read_text()
                head, _, body = content.partition("</head>")
                assert "<img src=x" not in body
                assert "<svg/" not in body
                assert len(re.findall(r"<script", content)) <= 2
                assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2028]", content)
                assert "unsafe" not in head

            yield Case("words in records", f"{what}: {name}", make, frozenset({0, 2}), check=harmless)


@kind
def commands_of_serve() -> Iterator[Case]:
    """Everything that `serve` is asked to open and must not: it would not end by itself."""
    for name, arguments in {
        "port 70000": ("--port", "70000"),
        "port -1": ("--port", "-1"),
        "port x": ("--port", "x"),
        "all may come": ("--host", "0.0.0.0"),
        "all may come by IPv6": ("--host", "::"),
        "a host of others": ("--host", "192.0.2.1"),
        "a host that is none": ("--host", "a b", "--i-know"),
        "a host with a null": ("--host", "a\0b", "--i-know"),
        "an empty host": ("--host", "", "--i-know"),
        "an address elsewhere": ("--host", "192.0.2.1", "--i-know"),
        "radius 0": ("--radius", "0"),
        "radius 10^9": ("--radius", "1000000000"),
        "radius nan": ("--radius", "nan"),
        "no model": ("zoo:nothing",),
        "no data": ("zoo:cnn1", "nowhere"),
        "another size": ("zoo:cnn1", "--size", "32"),
        "code": ("few.py:model", "demo:mnist"),
        "limit 0": ("zoo:cnn1", "--limit", "0"),
    }.items():
        yield Case("commands of serve", name, lambda folder, arguments=arguments: ["serve", *arguments])  # type: ignore[misc]

    def of_run(change: Change) -> Callable[[Path], Sequence[str]]:
        def make(folder: Path) -> Sequence[str]:
            assert main([*audit("zoo:cnn1", few_images(folder)), "--out", "r"]) == 0
            header = json.loads((folder / "r" / "run.json").read_text())
            change(header)
            (folder / "r" / "run.json").write_text(json.dumps(header))
            return ["serve", "r"]

        return make

    commands: dict[str, object] = {
        "another command": "shiftproof study article",
        "a shell": "sh -c 'touch hacked'",
        "nothing": "",
        "a number": 7,
        "no end": "shiftproof audit 'a",
        "code": "shiftproof audit few.py:model few.npz --trust",
        "help": "shiftproof audit --help",
        "itself": "shiftproof serve",
        "another model": "shiftproof audit zoo:cnn2 few.npz --protocol grid:1",
    }
    for name, command in commands.items():

        def says(header: dict[str, Any], command: object = command) -> None:
            header["sessions"][-1]["command"] = command

        def nothing_ran(folder: Path, printed: str) -> None:
            assert not (folder / "hacked").exists()

        yield Case("commands of serve", f"a run of {name}", of_run(says), check=nothing_ran)

    def there(folder: Path) -> Sequence[str]:
        (folder / "page").write_text("mine")
        return ["serve", "--export", "page"]

    def kept(folder: Path, printed: str) -> None:
        assert (folder / "page").read_text() == "mine"

    yield Case("commands of serve", "export into a file", there, frozenset({2, 74}), check=kept)
    yield Case(
        "commands of serve",
        "export of colours",
        lambda folder: ["serve", "zoo:cnn1", few_images(folder), "--export", "page", "--channels", "3"],
    )

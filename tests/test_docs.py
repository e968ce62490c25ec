"""The documents are true: commands run, examples give what they show, numbers are those of the results."""

from __future__ import annotations

import doctest
import inspect
import json
import re
import shlex
import shutil
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from benchmarks.tables import RESULTS
from benchmarks.update_docs import FIGURES, SECTIONS, updated
from PIL import Image
from tests.article.tiny_claims import tiny
from tests.onnx_export import export_onnx
from torch import Tensor, nn

import shiftproof.layers
from shiftproof._address import Address as StoreAddress
from shiftproof._store import save
from shiftproof.cli import main
from shiftproof.data import load_data
from shiftproof.explain import CAUSES
from shiftproof.metrics import metrics
from shiftproof.report import read_audit, read_study
from shiftproof.serve import Address, Exhibit
from shiftproof.shifts import BORDERS, find_protocol
from shiftproof.study import load_study
from shiftproof.train import Recipe, fit
from shiftproof.zoo import build_network

ROOT = Path(__file__).parents[1]
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
EVERY_TEXT = {**TEXTS, **{path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("*.md")}}
FASHION = Path("/usr/share/datasets/fashion-mnist")
FIRST_COMMAND = "shiftproof audit zoo:cnn2 demo:mnist --protocol grid:4"
SECTION = re.compile(r"<!-- ([\w-]+) -->\n(.*?)<!-- /\1 -->", re.DOTALL)
# A measured number: it belongs in a section that is rendered from a record.
MEASURED = re.compile(
    r"\d[\d.,]*\s?(?:%|‰|points?\b|×(?! ?\d)|times\b|m?s\b|seconds?\b|minutes?\b|hours?\b|days?\b|MB\b)"
)
SVG = "{http://www.w3.org/2000/svg}"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    lines = (line for block in blocks(text, "sh") for line in block.splitlines())
    return [command for line in lines if (command := line.partition("#")[0].strip())]


def prose(text: str) -> str:
    """What is written by hand: neither code nor a measured section."""
    return re.sub(r"```.*?```|`[^`\n]*`", "", SECTION.sub("", text), flags=re.DOTALL)


def every_command() -> Iterator[ParameterSet]:
    """Each once; those of the README every day, those of the guides among the slow tests."""
    found: dict[str, str] = {}
    for document, text in TEXTS.items():
        for command in commands(text):
            if command.startswith("shiftproof"):
                found.setdefault(command, document)
    for command, document in found.items():
        marks = () if document == "README.md" else pytest.mark.slow
        yield pytest.param(command, id=f"{document}: {command}", marks=marks)


class Tiny(nn.Module):
    """A classifier of two classes for colour images of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 2, 3)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.convolution(images).relu().mean((2, 3)) - 1
        return logits


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the documents speak of: small ones."""
    place = tmp_path_factory.mktemp("documents")
    (place / "photos").mkdir()
    generator = np.random.default_rng(0)
    for i in range(4):
        pixels = generator.integers(0, 256, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "photos" / f"{i}.png")
        (place / "scans").mkdir(exist_ok=True)
        samples = generator.integers(0, 4096, (80, 80)).astype(np.uint16)
        Image.fromarray(samples).save(place / "scans" / f"{i}.tif")
    rows = [f"{place}/photos/{i}.png;{i % 2}" for i in range(4)]
    with tarfile.open(place / "shards.tar", "w") as shard:
        shard.add(place / "photos", arcname=".")
    (place / "shards").mkdir()
    for i in range(2):
        shutil.copy(place / "shards.tar", place / "shards" / f"00{i}.tar")
    for path in (place / "photos").iterdir():
        save(StoreAddress(f"memory://bucket/photos/{path.name}"), path.read_bytes())
    (place / "findings.csv").write_text("\n".join(["scan;finding", *rows]), encoding="utf-8-sig")
    (place / "names.txt").write_text("cat\ndog\n")
    (place / "list.csv").write_text("path,labels\n0.png,cat|dog\n1.png,dog\n2.png,\n3.png,cat\n")
    for i in range(4):
        Image.open(place / "photos" / f"{i}.png").save(place / f"{i}.png")
    (place / "file.py").write_text("from tests.test_docs import Tiny as build_model")
    (place / "my-protocols.toml").write_text(blocks(TEXTS["docs/audit.md"], "toml")[0])
    trained = place / "runs" / "mine" / "networks" / "cnn2-seed0.safetensors"
    trained.parent.mkdir(parents=True)
    recipe = Recipe(epochs=1, input_scale="unit")
    fit(build_network("cnn2"), load_data("mnist", "train").head(50), recipe, checkpoint=trained, seed=0)
    export_onnx(Tiny().eval(), torch.zeros(2, 3, 32, 32), place / "model.onnx")
    for out in ("runs/before", "runs/after", "memory://bucket/runs/cnn2"):
        command = ["audit", "model.onnx", "photos", "--out", out]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place)
            patch.setattr("sys.argv", ["shiftproof", *command])  # which a run remembers
            assert main(command) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        command = ["fix", "zoo:cnn2", "demo:mnist", "--edits", "canonical-position", "--limit", "8"]
        assert (
            main([*command, "--protocol", "ring:1", "--threads", "1", "--no-onnx", "--out", "runs/fixed"])
            == 0
        )
    return place


def smaller(command: str, study: Path, out: Path) -> list[str]:
    """The arguments as written, but with few images, one epoch, and no weights to download."""
    # The store of the documents is one in this process.
    command = command.replace("my-study.toml", str(study)).replace("s3://", "memory://")
    _, verb, *rest = shlex.split(command)
    match verb:
        case "reproduce":
            rest += ["--networks", "dense-nn", *([] if "--minutes" in rest else ["--minutes", "0"])]
        case "study":
            rest += ["--limit", "64", "--epochs", "1", "--seeds", "1", "--workers", "1", "--device", "cpu"]
            few = {"article": "cnn2", "alternatives": "cnn2,cnn2-aps"}.get(rest[0], "cnn1")
            rest += [] if "--networks" in rest else ["--networks", few]
        case "claims":
            rest += ["--workers", "1"]
        case "explain":
            rest += ["--limit", "4", "--remedies", "0"]
        case "fix":
            rest += ["--limit", "70" if "--epochs" in rest else "40", "--threads", "1", "--no-onnx"]
        case "audit":
            rest += [] if "--limit" in rest else ["--limit", "20"]
            rest += ["--untrained"] if rest[0].startswith("timm:") and "--untrained" not in rest else []
    writes = verb in ("reproduce", "study", "claims", "audit", "fix")
    return [verb, *rest, *(["--out", str(out)] if writes else [])]


def says_where(shown: Exhibit, *, host: str, port: int, on_ready: Callable[[Address], None]) -> None:
    """A server that nobody asks."""
    on_ready(Address(host, port, "token"))


@pytest.mark.parametrize("command", list(every_command()))
def test_commands_run(
    command: str,
    place: Path,
    tiny_study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    if str(FASHION) in command and not FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    monkeypatch.setattr("shiftproof.article.load_preset", lambda name: tiny())
    monkeypatch.setattr("shiftproof.serve.run_server", says_where)
    monkeypatch.setattr("shiftproof.cli._serve._leave", lambda: None)
    code = main(smaller(command, tiny_study, tmp_path / "run"))
    # Few images may leave a gate undecided, and a network of chance may fail it.
    assert code in ((0, 1, 3) if "--gate" in command else (0,))
    shown = capsys.readouterr().out
    assert "Gates: " in shown if "--gate" in command else shown


def test_the_first_command_needs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As typed after installation, in an empty folder; but on few images."""
    first = next(command for command in commands(TEXTS["README.md"]) if command.startswith("shiftproof"))
    assert first == FIRST_COMMAND
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(first)[1:], "--limit", "20"]) == 0
    assert "grid:4" in capsys.readouterr().out


def test_the_audit_shown_is_that_of_the_first_command() -> None:
    record = read_audit(RESULTS / "audit-cnn2.json")
    asked = f"shiftproof audit {record.model.name} demo:mnist"
    assert (
        f"{asked} --protocol {' --protocol '.join(part.name for part in record.protocols)}" == FIRST_COMMAND
    )


def test_the_readme_is_short() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_the_protocol_of_ones_own_is_one(place: Path) -> None:
    assert find_protocol(f"{place / 'my-protocols.toml'}:shake").border == "edge"


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {
        target
        for text in EVERY_TEXT.values()
        for found in re.findall(r"(?:^ {4}|^|`)make ([a-z -]+)", text, re.MULTILINE)
        for target in found.split()
    }
    assert targets >= {"reproduce", "test", "bench", "docs", "lint"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_other_commands_are_known() -> None:
    found = {command for text in TEXTS.values() for command in commands(text)}
    others = {command for command in found if not command.startswith(("shiftproof", "make "))}
    assert others == {"pip install -c constraints.txt ."}
    languages = {name for text in TEXTS.values() for name in re.findall(r"^```(\w+)$", text, re.MULTILINE)}
    assert languages <= {"sh", "python", "toml"}, "of nothing else is it known that it is true"


@pytest.mark.parametrize("document", [name for name, text in TEXTS.items() if blocks(text, "python")])
def test_python_examples_give_what_they_show(document: str) -> None:
    for block in blocks(TEXTS[document], "python"):
        assert block.startswith(">>> "), "an example that nothing runs"
    failures, examples = doctest.testfile(str(ROOT / document), module_relative=False)
    assert examples > 1
    assert failures == 0


@pytest.mark.parametrize("document", dict.fromkeys(file for file, _ in SECTIONS))
def test_numbers_come_from_the_results(document: str) -> None:
    """Rendered into a document that has lost them, the sections are what the document says."""
    text = TEXTS[document]
    emptied = SECTION.sub(r"<!-- \1 -->\n<!-- /\1 -->", text)
    assert len(emptied) < len(text)
    assert updated(document, emptied) == text


def test_every_section_is_rendered() -> None:
    marked = {
        (document, name)
        for document, text in TEXTS.items()
        for name in re.findall(r"<!-- /?([\w-]+) -->", text)
    }
    assert marked == set(SECTIONS)


def test_a_section_without_its_marks_is_missed() -> None:
    with pytest.raises(ValueError, match="Expected the section 'article' between its marks"):
        updated("README.md", TEXTS["README.md"].replace("<!-- /article -->", ""))


@pytest.mark.parametrize("document", TEXTS)
def test_prose_quotes_no_measured_number(document: str) -> None:
    assert MEASURED.findall(prose(TEXTS[document])) == []


@pytest.mark.parametrize("name", ["probing", "layers", "networks", "training", "pages"])
def test_times_were_measured_on_a_cpu(name: str) -> None:
    """As docs/results/speed.md says; the name of an accelerator would stand before that of the processor."""
    machine = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["machine"]
    assert re.fullmatch(r"[^;]+, \d+ cores", machine)


def words_and_shapes(svg: str) -> tuple[list[str], int, int]:
    """Its words in order, its markers and its lines; not its bytes, which are those of one matplotlib."""
    tree = ElementTree.fromstring(svg)
    words = ["".join(element.itertext()) for element in tree.iter(f"{SVG}text")]
    return words, len(list(tree.iter(f"{SVG}use"))), len(list(tree.iter(f"{SVG}path")))


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_the_records_beside_them(name: str) -> None:
    pytest.importorskip("matplotlib")
    published = words_and_shapes((RESULTS / name).read_text(encoding="utf-8"))
    assert words_and_shapes(FIGURES[name]()) == published
    assert len(published[0]) > 20


def test_the_readme_has_one_picture() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", TEXTS["README.md"])
    assert [Path(picture).name for picture in pictures] == ["audit-cnn2.svg"]


def headings(text: str) -> set[str]:
    """Anchors, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("document", EVERY_TEXT)
def test_links_lead_somewhere(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", SECTION.sub("", EVERY_TEXT[document])):
        file, _, anchor = target.partition("#")
        if file.startswith("http"):
            continue
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.exists(), target
        assert not anchor or anchor in headings(path.read_text(encoding="utf-8")), target


def test_every_document_can_be_reached_from_the_readme() -> None:
    linked = {target for target in re.findall(r"\]\(([^)#]+)", TEXTS["README.md"]) if target.endswith(".md")}
    assert linked >= set(EVERY_TEXT) - {"README.md"}


def test_the_glossary_has_every_word_of_the_registries() -> None:
    terms = set(re.findall(r"\*\*(.+?)\*\*", TEXTS["docs/glossary.md"]))
    assert terms >= {*metrics.names(), *BORDERS, "scene", *CAUSES}
    assert terms >= {"pass", "fail", "inconclusive", "not applicable", "direct", "dense"}
    assert terms >= {"reproduced", "partly", "not reproduced"}
    assert terms >= {"all-shifts", "strided-shifts", "interior", "nothing"}


def test_every_layer_has_its_row() -> None:
    members = vars(shiftproof.layers).values()
    layers = {each.__name__ for each in members if inspect.isclass(each) and issubclass(each, nn.Module)}
    rows = "\n".join(re.findall(r"^\|.*\|$", TEXTS["docs/layers.md"], re.MULTILINE))
    assert set(re.findall(r"`([A-Z]\w+)`", rows)) == layers


def test_every_room_has_its_row() -> None:
    folders = {path.parent.name for path in (ROOT / "src" / "shiftproof").glob("*/__init__.py")}
    assert set(re.findall(r"^\| `(\w+)/` \|", TEXTS["docs/architecture.md"], re.MULTILINE)) == folders


def test_the_note_on_the_misprint_says_what_was_measured() -> None:
    """Row cnn1 of the study quotes the cost of ±1 px from results/article-seeds.json."""
    (note,) = (arm.note for arm in load_study("article").arms if arm.name == "cnn1")
    record = read_study(RESULTS / "article-seeds.json")
    for row, words in (("cnn1 (raw)", "on raw input"), ("cnn1 (unit)", "on input divided by 255")):
        (cells,) = (r.cells for r in record.rows if r.name == row)
        accuracy = {cell.protocol: cell.metrics["accuracy"] for cell in cells}
        cost = accuracy["article-none"].value - accuracy["article-small"].value
        assert f"{100 * cost:.1f} points {words}" in note
        assert accuracy["article-small"].low > 0.919

"""Figures of an audit and of a comparison, from records written by hand."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shiftproof.errors import MissingDependencyError
from shiftproof.report import audit_figures, comparison_figures, read_audit, read_comparison
from shiftproof.report._audit_figures import slugs

pytest.importorskip("matplotlib")

Json = dict[str, Any]
DIGESTS = """
import hashlib, json, sys
from shiftproof.report import audit_figures, read_audit
figures = audit_figures(read_audit(json.load(sys.stdin)))
print(json.dumps({name: hashlib.sha256(content).hexdigest() for name, content in figures.items()}))
assert "torch" not in sys.modules
"""


def texts(svg: bytes) -> set[str]:
    tree = ElementTree.fromstring(svg)
    return {"".join(e.itertext()) for e in tree.iter("{http://www.w3.org/2000/svg}text")}


def test_a_figure_for_each_view_with_units_and_names(audit_json: Json) -> None:
    figures = audit_figures(read_audit(audit_json))
    assert list(figures) == [f"grid-1-by-{view}.svg" for view in ("shift", "radius", "phase", "class")]
    assert {"dy (px)", "dx (px)", "agreement (% of images)"} <= texts(figures["grid-1-by-shift.svg"])
    assert "max(|dy|, |dx|) (px)" in texts(figures["grid-1-by-radius.svg"])
    assert {"dy mod 2, dx mod 2 (px)", "0, 1", "1, 1"} <= texts(figures["grid-1-by-phase.svg"])
    assert {"dog", "cat", "clean-accuracy (% of images)"} <= texts(figures["grid-1-by-class.svg"])
    heading = {"zoo:cnn2 under grid:1 (border zeros)", "2,500 images of pets; intervals of 95 %"}
    assert all(heading <= texts(svg) for svg in figures.values())


def test_a_view_without_numbers_has_no_figure(audit_json: Json, make: SimpleNamespace) -> None:
    part = audit_json["protocols"][0]
    part["by_shift"] = {"agreement": make.no_view("each image was moved by its own offsets")}
    part["by_phase"] = {}
    assert list(audit_figures(read_audit(audit_json))) == ["grid-1-by-radius.svg", "grid-1-by-class.svg"]


def test_hostile_names_stay_text_and_in_the_folder(hostile: Json) -> None:
    figures = audit_figures(read_audit(hostile))
    assert {name.rpartition("-by-")[2] for name in figures} == {
        "shift.svg",
        "radius.svg",
        "phase.svg",
        "class.svg",
    }
    for name, svg in figures.items():
        assert Path(name).name == name
        root = ElementTree.fromstring(svg)
        assert not [e for e in root.iter() if e.tag.rpartition("}")[2] in ("script", "td")]


def test_no_two_protocols_share_a_file(audit_json: Json, make: SimpleNamespace) -> None:
    audit_json["protocols"] = [make.protocol("grid:1"), make.protocol("grid-1"), make.protocol("grid/1")]
    assert len(audit_figures(read_audit(audit_json))) == 3 * 4
    assert slugs(["a", "a-2", "a:2", "a"]) == ["a", "a-2", "a-2-2", "a-3"]


def test_the_same_record_gives_the_same_bytes_in_every_process(audit_json: Json) -> None:
    here = {
        name: hashlib.sha256(svg).hexdigest() for name, svg in audit_figures(read_audit(audit_json)).items()
    }
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS],
            input=json.dumps(audit_json),
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "HOME": str(Path.home())},
        )
        assert json.loads(done.stdout) == here


def test_a_comparison_draws_both_models_and_the_differences(
    comparison_json: Json, audit_json: Json, make: SimpleNamespace
) -> None:
    second = copy.deepcopy(audit_json)
    second["protocols"][0]["by_radius"]["accuracy"] = make.no_view("no image has a label")
    figures = comparison_figures(read_comparison(comparison_json), *map(read_audit, (audit_json, second)))
    assert list(figures) == ["grid-1-differences.svg", "grid-1-by-radius.svg"]
    differences = texts(figures["grid-1-differences.svg"])
    assert {"agreement", "clean-accuracy", "drift ↓", "difference (points)"} <= differences
    assert "difference (share of the norm of the logits)" in differences
    assert not any("smallest-flip" in text for text in differences), "it has no difference"
    curves = texts(figures["grid-1-by-radius.svg"])
    assert {"first: zoo:cnn1", "second: zoo:cnn2", "agreement (% of images)"} <= curves
    assert "accuracy (% of images)" not in curves, "only one model has it"


def test_without_matplotlib_figures_name_the_extra(audit_json: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[plot\]'"):
        audit_figures(read_audit(audit_json))

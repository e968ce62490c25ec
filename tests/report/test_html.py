"""The page of a record: every number is in it, nothing in a name does anything, and no byte is by chance."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.reading import planes, read, structure, tables, text_of

from shiftproof.errors import DataError
from shiftproof.report import SCALE, in_frame, plane_module, report_html

Json = dict[str, Any]
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
# Each of these did something in some report somewhere.
INJECTIONS = (
    "</title><script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=1>",
    '"><svg onload=window.hacked=1>',
    "' onmouseover='window.hacked=1",
    "<style>*{display:none}</style>",
    "</style><b>bold</b>",
    "<!--",
    "]]>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;script&gt;&#60;",
    "javascript:window.hacked=1",
    "\x00\x07\x1b[31mred",
    "\u202egnp.tac\u2066\u200f",
    "\ud800",
    "\u2028\u2029\u0085",
    "名前 עברית é",
    "x" * 100_000,
)


@pytest.fixture
def whole(audit_json: Json, make: SimpleNamespace) -> Json:
    """An audit with every part that a record can have."""
    audit_json["metrics"]["accuracy"] = audit_json["metrics"]["agreement"]
    part = audit_json["protocols"][0]
    part["by_class"]["agreement"] = make.view({0: 0.5, 1: 0.75})
    part["worst"][0] |= {"before": PIXEL, "after": PIXEL, "flips_to": "cat, dog"}
    part["changed"] = [
        {"at": [-1.0, 0.0], "n_images": 250, "examples": [[7, 2], [9, 1]]},
        {"at": [1.0, 1.0], "n_images": 1, "examples": [[9, 0]]},
    ]
    part["changed_images"] = {
        "7": {"name": "cats/felix.png", "unshifted": 0},
        "9": {"name": "dogs/rex.png", "unshifted": 0},
    }
    return audit_json


def renamed(value: Any, name: str, *, keys: tuple[str, ...]) -> Any:
    """The same record with another text under these keys, wherever they are."""
    if isinstance(value, dict):
        return {
            key: (
                (name if isinstance(inner, str) else [name for _ in inner])
                if key in keys and isinstance(inner, (str, list))
                else inner
                if key == "task"  # one of four words
                else renamed(inner, name, keys=keys)
            )
            for key, inner in value.items()
        }
    return [renamed(inner, name, keys=keys) for inner in value] if isinstance(value, list) else value


def code(page: str) -> list[str]:
    """What a browser would run."""
    return re.findall(r'<script type="module">.*?</script>', page, re.DOTALL)


NAMED = (
    "verdict", "name", "notes", "framing", "preprocessing", "class_names", "summary", "source", "law",
    "border", "interpolation", "method_reason", "digest", "not_applicable", "flips_to",
)  # fmt: skip


@pytest.mark.parametrize("injection", INJECTIONS)
def test_a_name_changes_no_element_and_no_attribute_of_ours(whole: Json, injection: str) -> None:
    plain = report_html(renamed(whole, "plain", keys=NAMED))
    hostile = report_html(renamed(whole, injection, keys=NAMED))
    assert structure(hostile) == structure(plain)
    assert code(hostile) == code(plain)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]", hostile)


def test_a_name_is_shown_as_it_is(whole: Json) -> None:
    whole["data"]["name"] = "<b>\"pets\" & 'co'</b>"
    assert "<b>\"pets\" & 'co'</b>: 2,500 images" in text_of(report_html(whole))


def test_a_long_name_is_cut_and_says_so(whole: Json) -> None:
    whole["model"]["name"] = "x" * 100_000
    page = report_html(whole)
    assert "(100,000 characters)" in text_of(page)
    assert len(page) < 150_000


@given(name=st.text(max_size=40))
def test_property_no_text_is_more_than_text(name: str) -> None:
    record = {
        "schema_version": 1, "kind": "comparison", "models": [{"name": name, "digest": ""}] * 2,
        "data": {
            "name": name, "n_images": 1, "image_shape": [1, 2, 2], "labelled": True, "class_names": [name],
            "digest": "", "skipped": [], "conversions": {},
        },
        "confidence": 0.95,
        "protocols": [{"name": name, "rows": []}],
    }  # fmt: skip
    anchors = re.compile(r'(href|id)="[^"]*"')
    plain = report_html(renamed(record, "plain", keys=("name", "class_names")))
    assert structure(anchors.sub("", report_html(record))) == structure(anchors.sub("", plain))


def test_every_number_of_an_audit_is_in_its_tables(whole: Json) -> None:
    page = report_html(whole)
    part = whole["protocols"][0]
    cells = [row for table in tables(page) for row in table]
    text = text_of(page)
    for name, value in (
        ("agreement", "90.0 %"),
        ("clean-accuracy", "80.0 %"),
        ("kept-when-right", "> 99.9 %"),
    ):
        assert any(row[0] == name and row[1] == value for row in cells), name
    assert any(row[0].startswith("drift") and row[1] == "0.123" for row in cells)
    assert "only 3.0% of the images flip" in text
    for point in part["by_shift"]["agreement"]["points"]:
        dy, dx = (f"{end:g}".replace("-", "−") for end in point["at"])
        assert [dy, dx, f"{100 * point['value']:.2f}"] in [row[:3] for row in cells], point
    assert ["0 px", "", "", "", "80.0 %", "80.0 % to 80.0 %", "9"] in cells
    assert ["2 px", "0, 1", "93.0 %", "93.0 % to 93.0 %", "9"] in cells
    assert ["dog", "50.0 %", "50.0 % to 50.0 %", "9", "50.0 %", "50.0 % to 50.0 %", "9"] in cells
    assert ["cats/felix.png", "cat", "dog", "87.5 %", "1 px (−1, 0)", "cat, dog"] in cells


def test_every_row_has_as_many_cells_as_its_table_has_columns(hostile: Json) -> None:
    found = tables(report_html(hostile))
    assert len(found) > 5
    for table in found:
        assert len({len(row) for row in table}) == 1, table[0]


def test_the_widget_has_the_numbers_of_the_record(whole: Json) -> None:
    (data,) = planes(report_html(whole))
    assert (data["dy"], data["dx"]) == ([-1, 0, 1], [-1, 0, 1])
    (metric,) = data["metrics"]
    found = {tuple(point["at"]): point for point in whole["protocols"][0]["by_shift"]["agreement"]["points"]}
    for place, (dy, dx) in enumerate((dy, dx) for dy in data["dy"] for dx in data["dx"]):
        if (dy, dx) == (0, 0):
            assert metric["value"][place] is None
            continue
        value = found[dy, dx]["value"]
        assert metric["value"][place] == pytest.approx(value, rel=1e-5)
        assert (
            metric["text"][place]
            == f"{100 * value:.1f} % ({100 * value:.1f} % to {100 * value:.1f} %, n = 9 images)"
        )
    images = data["images"]
    assert images["counts"] == [0, 250, 0, 0, 0, 0, 0, 0, 1]
    assert images["names"] == ["cats/felix.png", "dogs/rex.png"]
    assert images["examples"][1] == [[0, "2"], [1, "cat"]]
    assert images["pictures"] == [PIXEL, ""]
    # The worst of the nearest shifts is where one begins.
    assert data["start"] == [-1, -1]


def test_convention_rows_of_the_plane_go_down_and_columns_to_the_right(
    audit_json: Json, make: SimpleNamespace
) -> None:
    audit_json["protocols"][0]["by_shift"]["agreement"] = make.view({(-1, 0): 0.1, (0, 1): 0.6, (1, 0): 0.9})
    page = report_html(audit_json)
    (data,) = planes(page)
    assert data["metrics"][0]["cell"] == ["10", "", "", "60", "90", ""]
    drawn = re.findall(r'<text class="on-\w+" x="([\d.]+)" y="([\d.]+)"[^>]*>(\d+)</text>', page)
    places = {text: (float(x), float(y)) for x, y, text in drawn}
    assert places["10"][1] < places["60"][1] < places["90"][1]
    assert places["60"][0] > places["10"][0] == places["90"][0]


def test_equal_records_are_equal_bytes(whole: Json) -> None:
    def reversed_keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: reversed_keys(value[key]) for key in reversed(list(value))}
        return [reversed_keys(each) for each in value] if isinstance(value, list) else value

    assert report_html(reversed_keys(copy.deepcopy(whole))) == report_html(whole)


def test_nothing_is_loaded_from_anywhere(whole: Json) -> None:
    for tag, attributes in read(report_html(whole)).elements:
        for name in ("src", "href", "srcset", "data", "action", "poster", "xlink:href"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:image/png;base64,")), (tag, target)
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
    assert "@import" not in report_html(whole)


def test_the_policy_allows_this_style_and_this_script_alone(whole: Json) -> None:
    page = report_html(whole)
    policy = next(a["content"] for t, a in read(page).elements if a.get("http-equiv"))
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL)
    assert style
    assert script
    for kind, found in (("style", style[1]), ("script", script[1])):
        digest = base64.b64encode(hashlib.sha256(found.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_a_page_without_a_plane_has_no_script(comparison_json: Json) -> None:
    page = report_html(comparison_json)
    assert "<script" not in page
    assert "script-src &#39;none&#39;" in page


def test_a_picture_is_whole_however_long_it_is(whole: Json) -> None:
    photo = "data:image/jpeg;base64," + "A" * 50_000
    whole["protocols"][0]["worst"][0]["after"] = photo
    addresses = [attributes["src"] for tag, attributes in read(report_html(whole)).elements if tag == "img"]
    assert addresses == [PIXEL, photo]


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "data:image/svg+xml;base64,AAAA", "https://a.b/c.png"]
)
def test_a_picture_is_a_picture_inside_the_record(whole: Json, address: str) -> None:
    whole["protocols"][0]["worst"][0]["before"] = address
    with pytest.raises(DataError, match=r"before: String should match pattern"):
        report_html(whole)


def test_what_is_missing_is_said(audit_json: Json, make: SimpleNamespace) -> None:
    part = audit_json["protocols"][0]
    part |= {
        "by_shift": {"agreement": make.no_view("each image was moved by other distances")},
        "by_radius": {}, "by_phase": {}, "by_class": {},
    }  # fmt: skip
    text = text_of(report_html(audit_json))
    assert "No plane: each image was moved by other distances." in text
    assert "There is no number by radius or phase in this record." in text
    assert "The record has no pictures" in text
    assert "No gates were set" in text
    part["worst"] = []
    assert "No measured shift changes the prediction for any image." in text_of(report_html(audit_json))


def test_the_verdicts_of_gates_are_words_not_colours_alone(with_gates: Json) -> None:
    page = report_html(with_gates)
    assert '<p class="outcome fail">✗ fail</p>' in page
    verdicts = [row[0] for table in tables(page) for row in table if row[1].startswith("agreement")]
    assert verdicts[:2] == ["FAIL", "FAIL"]


def write(folder: Path, record: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(record if isinstance(record, str) else json.dumps(record))
    return folder


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda record: {**record, "schema_version": 0}, r"schema_version: .* another version of shiftproof"),
        (lambda record: {**record, "kind": "recipe"}, r"one of the kind 'recipe'\. Known are audit, "),
        (lambda record: {"a": 1}, r"report\.json to be a record of shiftproof, got one without a kind"),
        (lambda record: [], r"report\.json to be a record of shiftproof, got one without a kind"),
        (lambda record: "{", r"report\.json' as the record of a run: Expecting"),
        (lambda record: {**record, "protocols": []}, r"protocols: "),
    ],
)
def test_other_files_are_one_sentence(
    audit_json: Json, tmp_path: Path, change: Callable[[Json], Any], match: str
) -> None:
    with pytest.raises(DataError, match=match):
        report_html(write(tmp_path / "run", change(audit_json)))


def test_a_run_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere' as the record of a run: No such file"):
        report_html(tmp_path / "nowhere")


def test_further_records_become_sections(whole: Json, comparison_json: Json, tmp_path: Path) -> None:
    page = report_html(write(tmp_path / "run", whole), comparison_json)
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    places = [titles.index(title) for title in ("Images that change most", "Comparison", "Not measured")]
    assert places == sorted(places)
    assert "+25.0 points" in text_of(page)
    assert len(re.findall(r'id="[^"]*"', page)) == len(set(re.findall(r'id="[^"]*"', page)))


def test_reference_the_scale_of_colours_is_cividis() -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    to_hex = pytest.importorskip("matplotlib.colors").to_hex
    steps = len(SCALE) - 1
    assert list(SCALE) == [to_hex(colormaps["cividis"](step / steps)) for step in range(steps + 1)]


def test_the_module_of_the_widget_is_the_one_in_the_page(whole: Json) -> None:
    assert "export function mountPlane(" in plane_module()
    assert plane_module() in report_html(whole)


def test_a_frame_holds_the_page_and_nothing_else(whole: Json) -> None:
    page = report_html(whole)
    ((tag, attributes),) = read(in_frame(page)).elements
    assert (tag, attributes["sandbox"], attributes["srcdoc"]) == ("iframe", "allow-scripts", page)


@pytest.mark.slow
def test_a_large_plane_stays_small(audit_json: Json, make: SimpleNamespace) -> None:
    square = {(y, x): 0.5 + 0.001 * (y * x % 100) for y in range(-40, 41) for x in range(-40, 41) if y or x}
    audit_json["protocols"][0]["by_shift"] = {"agreement": make.view(square)}
    page = report_html(audit_json)
    assert len(page.encode()) < 3_000_000
    assert "2,500 offsets nearest to 0; 4,060 more in report.json" in text_of(page)

"""The audit in the terminal: everything asked for, in its order, at any width, whatever the names."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from shiftproof.report import print_audit, read_audit


def shown(record: dict[str, Any], width: int = 80, **options: Any) -> str:
    out = io.StringIO()
    print_audit(read_audit(record), Console(file=out, width=width, highlight=False, **options))
    return out.getvalue()


def cells(text: str, first: str) -> list[str]:
    """The cells of the first row that begins with a word."""
    return next(line.split() for line in text.splitlines() if line.startswith(first))


def test_everything_is_there_in_order(with_gates: dict[str, Any]) -> None:
    text = shown(with_gates)
    places = [
        " ".join(text.split()).index(part)
        for part in (
            "zoo:cnn2 keeps its prediction",
            "the weights are untrained",
            "pets: 2,500 images of 28 × 28 px, 1 channel, labelled; 3 classes",
            "RGBA to grey: 3",
            "Under grid:1",
            "worst-case-agreement",
            "Agreement by shift",
            "()",
            "Against the radius",
            "cats/felix.png",
            "Gates: fail",
            "Not measured",
            "smallest-flip: only 3.0% of the images flip.",
            "measured shift by shift: a layer normalises over the whole map.",
            "law Grid(radius_px=1, step_px=1), border zeros",
            "Wilson, n = images",
        )
    ]
    assert places == sorted(places)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80


def test_each_headline_number_has_interval_n_and_chance(audit_json: dict[str, Any]) -> None:
    text = shown(audit_json)
    end = ["35.0", "%", "higher"]
    assert cells(text, "agreement ") == [
        "agreement",
        "90.0",
        "%",
        "88.0",
        "%",
        "to",
        "92.0",
        "%",
        "2,500",
        *end,
    ]
    assert "40.0 %" in text, "what the best constant answer reaches"
    assert cells(text, "kept-when-right")[1:4] == [">", "99.9", "%"]


def test_convention_up_is_first(audit_json: dict[str, Any]) -> None:
    """Agreement is 0.89 above, 0.90 beside and 0.91 below the centre."""
    lines = shown(audit_json).splitlines()
    top = next(index for index, line in enumerate(lines) if line.startswith("   -1 "))
    assert [line.rstrip() for line in lines[top : top + 4]] == [
        "   -1 ▓▓▓▓▓▓",
        "    0 ░░()░░",
        "    1 ······",
        "·· 90.5 to 91 %   ░░ 90 to 90.5 %   ▓▓ 89 to 89.5 %   () unshifted",
    ]


def test_worst_images_say_what_becomes_of_them(audit_json: dict[str, Any]) -> None:
    assert cells(shown(audit_json), "cats/felix.png") == [
        "cats/felix.png", "cat", "dog", "87.5", "%", "1", "px", "(−1,", "0)", "2"
    ]  # fmt: skip
    audit_json["protocols"][0]["worst"] = []
    assert "No measured shift changes the prediction for any image." in shown(audit_json)


def test_a_constant_classifier_looks_useless(audit_json: dict[str, Any], make: SimpleNamespace) -> None:
    part = audit_json["protocols"][0]
    part["chance"] = {"accuracy": 0.4, "agreement": 1.0}
    part["worst"] = []
    for name in ("agreement", "worst-case-agreement", "kept-when-right"):
        part["estimates"][name] = make.estimate(1.0, 0.998, 1.0)
    part["estimates"]["clean-accuracy"] = make.estimate(0.4, 0.38, 0.42)
    text = shown(audit_json)
    assert "Every image gets the same prediction" in text
    assert "is meaningless" in text
    for name in ("agreement ", "worst-case-agreement", "kept-when-right"):
        assert cells(text, name)[-3:] == ["100", "%", "higher"]
    assert cells(text, "clean-accuracy")[-3:] == ["40.0", "%", "higher"]


def test_without_labels_accuracy_is_named_as_missing(audit_json: dict[str, Any]) -> None:
    reason = {"not_applicable": "no image has a known true class"}
    audit_json["headline"] = ["agreement", "worst-case-agreement", "drift"]
    audit_json["data"] |= {"labelled": False, "class_names": []}
    part = audit_json["protocols"][0]
    part["chance"]["accuracy"] = reason
    part["estimates"] |= {"clean-accuracy": reason, "kept-when-right": reason}
    part["by_radius"]["accuracy"] = {**reason, "points": []}
    part["worst"][0]["label"] = -1
    text = shown(audit_json)
    assert cells(text, "clean-accuracy") == ["clean-accuracy", "n/a", "higher"]
    assert cells(text, "cats/felix.png")[1:3] == ["unknown", "0"]
    assert "clean-accuracy, kept-when-right: no image has a known true class." in text
    assert "best constant answer" not in text


def test_without_a_map_there_is_a_curve(audit_json: dict[str, Any], make: SimpleNamespace) -> None:
    own = "each image was moved by its own offsets"
    audit_json["protocols"] = [
        make.protocol(
            by_shift={"agreement": make.no_view(own)},
            by_radius={"agreement": make.view({r: 1 - r / 20 for r in range(1, 20)})},
        )
    ]
    text = shown(audit_json)
    assert "Agreement by shift" not in text
    assert "1 to 19 px: █" in text
    assert "11 of 19 radii are shown." in text
    assert f"the map: {own}." in text
    assert [line.split()[0] for line in text.splitlines() if " px  " in line[:9]] == [
        "1", "3", "5", "6", "8", "10", "12", "14", "15", "17", "19"
    ]  # fmt: skip


def test_where_nothing_moved_reasons_take_the_place_of_numbers(
    audit_json: dict[str, Any], make: SimpleNamespace
) -> None:
    reason = {"not_applicable": "no image was moved"}
    part = make.protocol(
        "article-none",
        estimates=dict.fromkeys(audit_json["metrics"], reason),
        by_shift={"agreement": make.no_view("no image was moved")},
        by_radius={"agreement": make.no_view("no image was moved")},
        by_phase={"2": {"agreement": make.no_view("no image was moved")}},
        worst=[],
    )
    audit_json["protocols"] = [part]
    text = shown(audit_json)
    assert "No image was moved." in text
    assert "the map, the curve, phases: no image was moved." in " ".join(text.split())
    assert "interval" not in text.split("Under")[0]


def test_aliasing_is_named_where_whole_strides_change_least(
    audit_json: dict[str, Any], make: SimpleNamespace
) -> None:
    phases = {(0, 0): 0.99, (0, 1): 0.93, (1, 0): 0.92, (1, 1): 0.90}
    audit_json["protocols"][0]["by_phase"]["2"]["agreement"] = make.view(phases)
    text = " ".join(shown(audit_json).split())
    assert "99.0 % at (0, 0)" in text
    assert "The largest gap is 9.0 points, which is a sign of aliasing." in text
    for other in ({**phases, (0, 0): 0.85}, dict.fromkeys(phases, 0.99), {(0, 0): 0.9}):
        audit_json["protocols"][0]["by_phase"]["2"]["agreement"] = make.view(other)
        assert "aliasing" not in shown(audit_json)


def test_gates_begin_with_failures(with_gates: dict[str, Any]) -> None:
    lines = shown(with_gates).split("Gates: fail")[1].splitlines()
    verdicts = [line.split()[0] for line in lines if line[:1].strip()][:5]
    assert verdicts == ["FAIL", "FAIL", "INCONCLUSIVE", "not", "pass"]
    assert any("−2.0 points (−3.0 to −1.0, n = 2,500 images)" in line for line in lines)


def test_other_protocols_are_short(audit_json: dict[str, Any], make: SimpleNamespace) -> None:
    audit_json["protocols"].append(make.protocol("ring:8", method="dense"))
    text = shown(audit_json)
    assert text.count("Against the radius") == 1
    assert "Other protocols" in text
    assert cells(text, "ring:8")[:4] == ["ring:8", "clean-accuracy", "80.0", "%"]
    assert "ring:8 was measured shift by shift" not in text


def test_files_left_out_are_named(audit_json: dict[str, Any]) -> None:
    audit_json["data"]["skipped"] = [{"name": f"{i}.png", "reason": "truncated."} for i in range(7)]
    audit_json["protocols"][0] |= {"n_images": 500, "stopped_early": True}
    text = shown(audit_json)
    assert "7 files skipped" in text
    assert "skipped 4.png: truncated." in text
    assert "5.png" not in text
    assert "skipped 2 more files." in text
    assert "grid:1 stopped after 500 of 2,500 images" in text


@pytest.mark.parametrize("width", [20, 60, 80, 200])
def test_hostile_names_do_nothing(hostile: dict[str, Any], width: int) -> None:
    text = shown(hostile, width, force_terminal=True, color_system=None)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert max(map(len, text.splitlines())) <= width
    if width == 200:
        assert "a</td><script>[bold]x[/bold] # y�[2J|`z`��_é.png" in text


def test_no_colour_is_needed(with_gates: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = shown(with_gates, force_terminal=True, color_system="standard")
    assert "\x1b[1;31mFAIL" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(with_gates, force_terminal=True, color_system="standard")
    assert "31m" not in plain
    assert "FAIL" in plain


def test_the_same_record_gives_the_same_text(hostile: dict[str, Any]) -> None:
    """Also after a file has sorted its keys."""
    in_order = json.loads(json.dumps(hostile, sort_keys=True))
    backwards = json.loads(json.dumps(hostile), object_pairs_hook=lambda pairs: dict(pairs[::-1]))
    assert shown(hostile) == shown(in_order) == shown(backwards)

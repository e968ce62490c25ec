"""Numbers as text: never 100 % or 0 for what is not quite that, whatever the number."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shiftproof._text import counted, percent, printable
from shiftproof.report._numbers import amount, change, title, unit_of_change

SHARE = "share of images"


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
@example(0.9995)
@example(0.0005)
@example(0.00049999)
@example(1 - 2**-53)
@example(5e-324)
def test_only_all_is_100_percent(share: float) -> None:
    text = percent(share)
    assert text not in ("100 %", "100.0 %", "0 %", "0.0 %")
    assert abs(float(text.strip("<>% ")) / 100 - share) < 0.00101


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (1.0, "100 %"),
        (0.9995, "> 99.9 %"),
        (0.9994, "99.9 %"),
        (2.5, "250.0 %"),
        (-0.5, "-50.0 %"),
    ],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(-1, 1))
def test_a_change_has_a_sign_and_is_0_only_if_it_is(value: float) -> None:
    text = change(value, SHARE).replace("−", "-")
    assert (float(text) == 0) == (100 * value == 0)
    assert value == 0 or text[0] == ("+" if value > 0 else "-")
    assert abs(float(text) - 100 * value) <= 0.0501


def test_units() -> None:
    assert amount(1234.5, "px") == "1.23e+03 px"
    assert amount(float("nan"), SHARE) == "nan %"
    assert change(-0.012345, "probability") == "−0.0123"
    assert unit_of_change(SHARE) == "points"
    assert unit_of_change("px") == "px"
    assert title("agreement", SHARE) == "agreement"
    assert title("wobble", "probability") == "wobble (probability)"


@given(st.text())
def test_printable_text_is_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert printable(shown) == shown


def test_counted() -> None:
    assert [counted(n, "file") for n in (0, 1, 1000)] == ["0 files", "1 file", "1,000 files"]

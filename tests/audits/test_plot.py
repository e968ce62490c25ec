"""An audit in one figure."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from tests.audits.conftest import constant

from shiftproof.audits import Audit, audit
from shiftproof.errors import DataError, MissingDependencyError, UnknownNameError

pytest.importorskip("matplotlib")


@pytest.fixture
def measured() -> Audit:
    return audit(constant, "demo:mnist", protocols=["grid:2", "article-none"], limit=40)


def test_every_view_with_a_number_is_drawn(measured: Audit) -> None:
    figure, places = measured.plot()
    assert [axes.get_xlabel() for axes in places] == [
        "dx (px)",
        "max(|dy|, |dx|) (px)",
        "dy mod 2, dx mod 2 (px)",
        "agreement (% of images)",
    ]
    assert "on mnist/test, grid:2, 40 images" in figure.get_suptitle()
    assert {axes.figure for axes in places} == {figure}


def test_a_curve_is_that_of_the_record(measured: Audit) -> None:
    """A model that answers everything with one class agrees with itself everywhere."""
    _, places = measured.plot()
    (line,) = places[1].lines
    assert np.asarray(line.get_xydata()).tolist() == [[1, 100], [2, 100]]
    points = measured.record.protocols[0].by_radius["agreement"].points
    assert [100 * point.value for point in points] == [100, 100]


def test_what_has_no_number_is_said(measured: Audit) -> None:
    with pytest.raises(
        DataError, match=r"agreement has a meaning for, got none\. There is none: no image was"
    ):
        measured.plot(protocol="article-none")
    with pytest.raises(UnknownNameError, match="agreemint"):
        measured.plot("agreemint")


def test_without_matplotlib_an_audit_is_whole_but_for_its_plot(
    run_audit_in: Callable[..., Audit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = run_audit_in("a", limit=20)
    assert found.outcome == "pass"
    with pytest.raises(MissingDependencyError, match=r"pip install 'shiftproof\[plot\]'"):
        found.plot()

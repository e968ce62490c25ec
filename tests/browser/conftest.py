"""Pages in a real browser: Debian's Chromium, driven by Playwright. Both are for tests alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.browser.seen import Visit

from shiftproof.audits import Audit, audit
from shiftproof.data import load_data
from shiftproof.records import Offset, PointRecord

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Where pictures of the pages are kept, to be looked at.
SCREENSHOTS = "SHIFTPROOF_SCREENSHOTS"
# A busy machine takes long to answer; nothing is waited for that is there already.
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser without windows; for a file at a time, since its event loop is in the way of other tests."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium (apt-get install chromium)")
    # The sandbox of Chromium does not start for root, as which containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pictures of pages."""
    wanted = os.environ.get(SCREENSHOTS)
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(chromium: Browser, screenshots: Path) -> Iterator[Visit]:
    """Opens pages, and fails where one complains or asks for anything but itself."""
    visiting = Visit(chromium, screenshots)
    yield visiting
    visiting.close()


@pytest.fixture(scope="session")
def measured() -> Audit:
    """A real audit: a packaged network, digits, a plane of 5 × 5 shifts."""
    digits = load_data("mnist", "test").head(60)
    return audit("zoo:cnn2", digits, protocols=["grid:2"], gates=["agreement@1>=0.5", "agreement>=0.99"])


@pytest.fixture(scope="session")
def report(measured: Audit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its page."""
    return measured.save_html(tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="session")
def points(measured: Audit) -> dict[str, dict[tuple[float, float], PointRecord[Offset]]]:
    """The numbers of the plane by metric and offset, as the record has them."""
    views = measured.record.protocols[0].by_shift
    return {name: {point.at: point for point in view.points} for name, view in views.items()}

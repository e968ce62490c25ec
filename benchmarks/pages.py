"""What the page of a large audit costs: to write, to send, and to open in a browser.

python -m benchmarks.pages [--screenshot]
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from benchmarks.browsing import chromium

from shiftproof._device import describe_machine
from shiftproof.audits import audit
from shiftproof.report import report_html, write_html

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

RESULT = Path(__file__).parent / "results" / "pages.json"
SCREENSHOT = Path(__file__).parents[1] / "docs" / "report.png"
REPEATS = 5
PROTOCOL = "grid:8"
WINDOW: ViewportSize = {"width": 1120, "height": 1420}
PAINTED = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = audit("zoo:cnn2", "demo:mnist", protocols=[PROTOCOL], out=folder / "run")
        write_s = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            path = write_html(folder / "run", done.record)
            write_s.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert report_html(folder / "run") == path.read_text(encoding="utf-8")
        record: dict[str, Any] = {
            "machine": describe_machine(torch.device("cpu")),
            "versions": {
                name: getattr(done.record.environment, name) for name in ("shiftproof", "torch", "python")
            },
            "measured": f"{datetime.now(UTC):%Y-%m-%d}",
            "images": done.record.data.n_images,
            "shifts": done.record.protocols[0].n_shifts,
            "repeats": REPEATS,
            "bytes": path.stat().st_size,
            "record_bytes": (folder / "run" / "report.json").stat().st_size,
            "write_s": write_s,
            "from_file_s": time.perf_counter() - start,
            "paint_ms": _opened(path),
        }
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    for key in ("write_s", "paint_ms"):
        print(f"{key}: median {statistics.median(record[key]):.3g}")
    print(f"{record['bytes']:,} bytes")


def _opened(path: Path) -> list[float]:
    """Milliseconds until something is seen, in a browser that is running already."""
    with chromium() as browser:
        times = []
        for _ in range(REPEATS):
            page = browser.new_page(viewport=WINDOW)
            page.goto(path.as_uri())
            # The page's own policy forbids what Playwright waits with.
            while not (painted_ms := float(page.evaluate(PAINTED))):
                page.wait_for_timeout(10)
            times.append(painted_ms)
            if "--screenshot" in sys.argv and len(times) == REPEATS:
                _look(page)
            page.close()
    return times


def _look(page: Page) -> None:
    """The picture in docs/report.md: the upper part of the page, with a shift chosen."""
    page.locator(".plane-frame canvas").press("Home")
    page.locator(".plane-frame canvas").press("ArrowRight")
    page.locator(".plane-frame canvas").press("ArrowRight")
    page.locator("h1").hover()
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    page.screenshot(path=SCREENSHOT)


if __name__ == "__main__":
    main()

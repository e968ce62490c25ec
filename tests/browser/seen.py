"""A page as a visitor sees it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

WIDE = {"width": 1200, "height": 900}
NARROW = {"width": 360, "height": 740}


class Visit:
    """Pages of one test. Whatever a page complains of, and all that it asks for, is remembered."""

    def __init__(self, browser: Browser, screenshots: Path) -> None:
        self.browser = browser
        self.screenshots = screenshots
        self.contexts: list[BrowserContext] = []
        self.asked: list[str] = []
        self.complaints: list[str] = []
        # What a page may ask for: what is in it, and the server that it is from.
        self.homes = ["file:", "data:"]

    def open(self, place: Path | str, **options: Any) -> Page:
        """A file or an address, in a window of its own; options as of Playwright's `new_context`."""
        context = self.browser.new_context(**{"viewport": WIDE, **options})
        self.contexts.append(context)
        context.on("request", lambda request: self.asked.append(request.url))
        page = context.new_page()
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        address = place if isinstance(place, str) else place.as_uri()
        if isinstance(place, str):
            self.homes.append(place.partition("#")[0])
        page.goto(address)
        return page

    def close(self) -> None:
        """Leave, and say what was wrong."""
        for context in self.contexts:
            context.close()
        assert not self.complaints
        assert all(address.startswith(tuple(self.homes)) for address in self.asked), self.asked

    def keep(self, page: Page, name: str) -> None:
        """A picture of the whole page, to be looked at."""
        page.screenshot(path=self.screenshots / f"{name}.png", full_page=True)


def overflow_px(page: Page) -> int:
    """By how much a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def offset_text(dy: float, dx: float) -> str:
    """An offset as the widget says it."""
    return f"dy {dy:g} px, dx {dx:g} px".replace("-", "−")

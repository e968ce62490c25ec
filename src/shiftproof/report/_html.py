"""A page as one HTML file: no network, no template that trusts a name, and nothing that changes by itself."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from shiftproof._text import said
from shiftproof.report._page import Interactive, Page

PAGE = Path(__file__).parent / "page"
# The widget, and what puts it in place; one module, so that one hash allows it.
SCRIPTS = ("plane.js", "report.js")
STYLE = "report.css"
# Longer names are cut: what nobody can read in a cell only hides the others.
LONGEST_TEXT = 2000


def page_html(page: Page) -> str:
    """The page as HTML: equal pages are equal bytes.

    Args:
        page: What to show. Its text may hold anything and is shown as text; its drawings are trusted.
    """
    moving = any(isinstance(block, Interactive) for section in page.sections for block in section.blocks)
    style, script = _asset(STYLE), "\n".join(map(_asset, SCRIPTS)) if moving else ""
    html = _template().render(
        page=page,
        sections=[section for section in page.sections if section.blocks],
        style=Markup(style),
        script=Markup(script),
        policy=content_policy(style, script),
    )
    return html + "\n"


def content_policy(style: str, script: str) -> str:
    """What a browser may load and run: this style, this script, pictures inside the file, nothing else."""
    scripts = f"'{_hash(script)}'" if script else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )


def in_frame(html: str) -> str:
    """A page inside another one: its scripts see nothing of what is around them, and its styles neither.

    Example:
        >>> in_frame('<p class="x">').split(" srcdoc=")[1]
        '"&lt;p class=&#34;x&#34;&gt;"></iframe>'
    """
    look = 'sandbox="allow-scripts" title="shiftproof report" width="100%" height="720" style="border:0"'
    return f'<iframe {look} srcdoc="{escape(html)}"></iframe>'


def plane_module() -> str:
    """The source of the widget of the plane, an ES module that exports `mountPlane`; `plane.js` says how."""
    return _asset("plane.js")


def page_style() -> str:
    """The style sheet of reports, for other pages with the same look and the same widget."""
    return _asset(STYLE)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _asset(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_harmless,
    )
    return environment.get_template("page.html.j2")


def _harmless(value: object) -> object:
    """Text on one line without control and direction marks, of a bounded length; drawings as they are."""
    return said(value, LONGEST_TEXT) if isinstance(value, str) and not isinstance(value, Markup) else value

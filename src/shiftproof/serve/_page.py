"""The page: one HTML file, one style, one ES module, put together from the files beside this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shiftproof.report import content_policy, page_style, plane_module

PAGE = Path(__file__).parent / "page"
PARTS = ("moves.js", "source.js", "maps.js", "model.js", "serve.js")


@cache
def script() -> str:
    """The widget of the plane and the page's own code as one ES module."""
    return "\n".join([plane_module(), *map(_asset, PARTS)])


@cache
def style() -> str:
    """The look of reports, and what is the page's own."""
    return page_style() + _asset("serve.css")


def page_html(data: Mapping[str, Any] | None = None) -> str:
    """The page for a server, or one with everything in it.

    Args:
        data: What the page is to show by itself; without it, it asks the server that it came from.
    """
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    alone = None
    if data is not None:
        alone = {
            "style": Markup(style()),
            "script": Markup(script()),
            "policy": content_policy(style(), script()),
            "data": Markup(_harmless_json(data)),
        }
    return environment.get_template("serve.html.j2").render(alone=alone) + "\n"


def _harmless_json(data: Mapping[str, Any]) -> str:
    """JSON that does not end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False, sort_keys=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")

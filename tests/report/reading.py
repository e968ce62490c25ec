"""What a page says and what it is made of, read by the standard library's parser."""

from __future__ import annotations

import html.parser
import json
import re
from typing import Any

# Attributes of which the value matters; of others, such as places and spoken labels, that they are there.
COMPARED = ("class", "content", "href", "http-equiv", "id", "name", "role", "src", "type")


class Reader(html.parser.HTMLParser):
    """Elements with their attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in self.raw:
            self.raw[self._inside].append(data)
        else:
            self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def text_of(page: str) -> str:
    """Everything that is shown without scripts, with single blanks."""
    return " ".join(" ".join(read(page).texts).split())


def structure(page: str) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    """Elements, their attributes, and the values of those that could do something."""
    return [
        (tag, tuple(sorted((name, value if name in COMPARED else "") for name, value in found.items())))
        for tag, found in read(page).elements
    ]


def tables(page: str) -> list[list[list[str]]]:
    """The cells of every table, row by row."""
    found = []
    for table in re.findall(r"<table>(.*?)</table>", page, re.DOTALL):
        rows = [re.split(r"<t[hd][^>]*>", row)[1:] for row in table.split("<tr>")[1:]]
        found.append([[" ".join(" ".join(read(cell).texts).split()) for cell in row] for row in rows])
    return found


def planes(page: str) -> list[dict[str, Any]]:
    """The data of every widget."""
    islands = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return [json.loads(island) for island in islands]

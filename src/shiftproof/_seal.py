"""Safetensors files that say what they are the result of, and notice when a byte of them changed.

The seal is one more entry in the file's own metadata: what it is about, and a SHA-256 over that, the rest of
the header and the tensors. Whoever reads the tensors needs to know nothing of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from shiftproof._digest import Json, canonical_json
from shiftproof._documents import parse_json
from shiftproof._inputs import Most, UnfitFile, open_file

ENTRY = "seal"
ALIGNMENT = 8
# As in safetensors itself.
MAX_HEADER_BYTES = 100_000_000


def sealed(content: bytes, about: Mapping[str, Json]) -> bytes:
    """A safetensors file with a seal, which takes the place of one that it had.

    Args:
        content: The file without.
        about: What the tensors are the result of.
    """
    header, start = json.loads(content[ALIGNMENT : _end(content)]), _end(content)
    metadata = header.setdefault("__metadata__", {})
    metadata.pop(ENTRY, None)
    digest = _digest(header, about, [memoryview(content)[start:]])
    metadata[ENTRY] = canonical_json({"about": dict(about), "sha256": digest})
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(ALIGNMENT, "little") + text + content[start:]


def check_seal(path: Path) -> dict[str, Any] | None:
    """What a file is the result of, as its seal says; None for a file without a seal.

    Raises:
        UnfitFile: Its content is not what was sealed, or it is no safetensors file.
        OSError: It cannot be read.
    """
    with open_file(path, Most.WEIGHTS) as file:
        header = _read_header(file)
        metadata = header.get("__metadata__")
        if not isinstance(metadata, dict) or ENTRY not in metadata:
            return None
        seal = _parsed(metadata.pop(ENTRY), "a damaged seal")
        about = seal.get("about")
        if not isinstance(about, dict):
            raise UnfitFile("a damaged seal")
        if _digest(header, about, iter(lambda: file.read(2**20), b"")) != seal.get("sha256"):
            raise UnfitFile("content that is not what was written: a byte of it changed")
    return about


def _end(content: bytes) -> int:
    return ALIGNMENT + int.from_bytes(content[:ALIGNMENT], "little")


def _read_header(file: BinaryIO) -> dict[str, Any]:
    size = int.from_bytes(file.read(ALIGNMENT), "little")
    if size > MAX_HEADER_BYTES:
        raise UnfitFile("no safetensors file")
    return _parsed(file.read(size), "no safetensors file")


def _parsed(text: bytes | str, otherwise: str) -> dict[str, Any]:
    try:
        value = parse_json(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, AttributeError) as error:
        raise UnfitFile(otherwise) from error
    if not isinstance(value, dict):
        raise UnfitFile(otherwise)
    return value


def _digest(header: Mapping[str, Any], about: Mapping[str, Any], parts: Iterable[bytes | memoryview]) -> str:
    state = hashlib.sha256(canonical_json([header, about]).encode("utf-8", "surrogatepass"))
    for part in parts:
        state.update(part)
    return state.hexdigest()

"""Visitors of `shiftproof serve` who mean no good, or are clumsy: one server has to outlive them."""

from __future__ import annotations

import io
import json
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tests.hostile.cases import TEXTS

MEGABYTE = 2**20
PATIENCE_S = 30.0
QUESTION = {"model": 0, "image": "0"}


@dataclass(frozen=True)
class Server:
    """Where it listens, and its process.

    Args:
        process: So that its memory can be looked at.
        host, port, token: The parts of its address.
    """

    process: subprocess.Popen[str]
    host: str
    port: int
    token: str

    @property
    def origin(self) -> str:
        """What a browser on its page says it comes from."""
        return f"http://{self.host}:{self.port}"

    @property
    def resident_bytes(self) -> int:
        """Memory of the process."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
        return 0

    def connect(self) -> socket.socket:
        """A connection on which nothing was said yet."""
        return socket.create_connection((self.host, self.port), PATIENCE_S)


@contextmanager
def serving() -> Iterator[Server]:
    """The page of the packaged networks, as a command serves it."""
    command = [sys.executable, "-m", "shiftproof", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            where, token = address.removeprefix("http://").strip("/").split("/")
            host, _, port = where.partition(":")
            yield Server(process, host, int(port), token)
        finally:
            process.kill()
            _, said = process.communicate()
        assert "Traceback" not in said, said[-2000:]


@dataclass(frozen=True)
class Visitor:
    """What somebody sends, and the statuses that are right.

    Args:
        kind: Of what it is one, for the summary.
        name: Unique within its kind.
        sent: Bytes to send, or a function that visits; it returns the statuses that it got.
        statuses: All that it may get; None where the server may hang up without a word.
        says: Part of the answer.
    """

    kind: str
    name: str
    sent: bytes | Callable[[Server], set[int | None]] | Callable[[Server], bytes]
    statuses: frozenset[int | None]
    says: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}".replace(" ", "_")


def request(
    server: Server,
    path: str = "start",
    *,
    body: bytes | None = None,
    token: str | None = None,
    length: int | None = None,
    **headers: str | None,
) -> bytes:
    """A request as bytes: right in all but what is given; a header that is None is left out."""
    said = {
        "host": f"{server.host}:{server.port}",
        "connection": "close",
        "origin": server.origin if body is not None else None,
        "content_length": None if body is None else str(len(body) if length is None else length),
    } | headers
    lines = [
        f"{'GET' if body is None else 'POST'} /{server.token if token is None else token}/{path} HTTP/1.1"
    ]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in said.items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")


def asked(server: Server, sent: bytes) -> tuple[int | None, bytes]:
    """The status and everything that came back; None where nothing did."""
    with server.connect() as connection:
        # It may have hung up before all of it was sent.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(sent)
        answer = bytearray()
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    words = bytes(answer[:20]).split()
    return (int(words[1]) if len(words) > 1 else None), bytes(answer)


def question(**more: object) -> bytes:
    return json.dumps(QUESTION | more).encode()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_png(width: int, height: int) -> bytes:
    """A small file that says that it is large, of one colour."""
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(min(20 * MEGABYTE, (width + 1) * height)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture(kind_of_file: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((30, 30), 77, np.uint8)).save(file, kind_of_file, **options)
    return file.getvalue()


def endless_gif() -> bytes:
    return picture("GIF")


def _statuses(*codes: int | None) -> frozenset[int | None]:
    return frozenset(codes)


REFUSED, BAD, GONE = _statuses(403), _statuses(400), _statuses(400, 403, 404, 421)
ENDED = _statuses(400, None)


def strangers() -> Iterator[Visitor]:
    """Who may not ask at all."""
    for name, host in {
        "another name": "evil.example",
        "another port": "127.0.0.1:1",
        "none": None,
        "empty": "",
        "a name after it": "127.0.0.1:80@evil.example",
        "long": "a" * 5000,
        "rebound": "localhost.evil.example:80",
        "the address of all": "0.0.0.0",
    }.items():
        codes = _statuses(400, 421)
        yield Visitor("host", name, lambda server, host=host: request(server, host=host), codes)
    yield Visitor(
        "host",
        "two",
        lambda server: request(server).replace(b"\r\n", b"\r\nHost: evil.example\r\n", 1),
        _statuses(400, 421),
    )
    for name, origin in {
        "another": "http://evil.example",
        "null": "null",
        "none": None,
        "empty": "",
        "https": "https://127.0.0.1",
        "a file": "file://",
        "a name before it": "http://evil.example#http://127.0.0.1",
    }.items():
        for path in ("plane", "shift", "maps", "image"):
            yield Visitor(
                "origin",
                f"{name} for {path}",
                lambda server, path=path, origin=origin: request(
                    server, path, body=question(), origin=origin
                ),
                REFUSED,
            )
    for name, token in {
        "none": "",
        "another": "x" * 32,
        "a part": None,
        "in capitals": "A" * 32,
        "escaped": "%00" * 9,
        "dots": "..",
        "long": "t" * 9000,
    }.items():
        yield Visitor(
            "token",
            name,
            lambda server, token=token: request(server, token=server.token[:9] if token is None else token),
            _statuses(403),
        )


def bodies() -> Iterator[Visitor]:
    """Questions that are none."""
    contents: dict[str, bytes] = {
        "nothing": b"",
        "a list": b"[]",
        "half": b'{"model": 0',
        "no text": b"\xff\xfe",
        "deep": b"[" * 9000,
        "5,000 digits": b'{"model": ' + b"9" * 5000 + b"}",
        "infinity": question(dy="inf"),
        "NaN": b'{"model": NaN}',
        "twice": b'{"model": 0, "model": 1, "image": "0", "image": "x"}',
        "a null character": question(image="0\0"),
        "more": question(path="/etc/passwd"),
        "another border": question(border="scene"),
        "another model": question(model=99),
        "below 0": question(model=-1),
        "half a model": question(model=0.5),
        "true": question(model=True),
        "an image that is none": question(image="9999"),
        **{f"an image called {name}": question(image=text[:3000]) for name, text in TEXTS.items()},
    }
    for name, content in contents.items():
        for path in ("plane", "shift", "maps"):
            yield Visitor(
                "bodies",
                f"{name} to {path}",
                lambda server, path=path, content=content: request(server, path, body=content),
                BAD,
                "Expected",
            )
    for name, dy in {"far": 1e300, "outside": 99.0, "a word": "up", "a list": [1]}.items():
        yield Visitor(
            "bodies",
            f"a shift that is {name}",
            lambda server, dy=dy: request(server, "shift", body=question(dy=dy, dx=0)),
            BAD,
            "Expected",
        )
    for name in ("__class__", "body", "../x", "", "a" * 900):
        yield Visitor(
            "bodies",
            f"a layer called {name[:20]!r}",
            lambda server, name=name: request(server, "maps", body=question(dy=0, dx=0, layer=name)),
            BAD,
            "Expected",
        )
    for name, sent in {
        "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        "nothing": b"\r\n\r\n",
        "half a line": b"GET /",
        "a header without an end": b"GET / HTTP/1.1\r\nHost: " + b"a" * 200_000,
        "100,000 headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 100_000 + b"\r\n",
    }.items():
        yield Visitor("bodies", f"bytes: {name}", _and_hang_up(sent), _statuses(400, 403, 421, 431, None))


def _and_hang_up(sent: bytes) -> Callable[[Server], set[int | None]]:
    """Send, and wait for no more than a moment: half a request has no answer."""

    def visit(server: Server) -> set[int | None]:
        with server.connect() as connection:
            connection.settimeout(1)
            with suppress(OSError):
                connection.sendall(sent)
            try:
                words = connection.recv(64).split()
            except OSError:
                return {None}
        return {int(words[1]) if len(words) > 1 else None}

    return visit


def paths() -> Iterator[Visitor]:
    """Files that are nobody's business."""
    for path in (
        "../../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "image/../../../etc/passwd",
        "image/..%2F..%2Fetc%2Fpasswd",
        "image//etc/passwd",
        "image/file:///etc/passwd",
        "image/%00",
        "image/1e3",
        "image/-1",
        "image/²",
        "image/u" + "0" * 16,
        "image/" + "9" * 5000,
        "page/serve.js",
        "serve.py",
        "static/x",
        ".git/config",
        "layers/99",
        "layers/x",
        "plane",
        "serve.js/../../x",
        "image/0/../../x",
        "%2e%2e/%2e%2e/etc/passwd",
    ):
        codes = _statuses(400, 403, 404, 405, 431)
        yield Visitor("paths", path[:60], lambda server, path=path: request(server, path), codes)
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"):

        def other(server: Server, method: str = method) -> bytes:
            return request(server, "plane").replace(b"GET", method.encode(), 1)

        yield Visitor("paths", f"{method} of a plane", other, _statuses(400, 403, 405))


def uploads() -> Iterator[Visitor]:
    """Files that are no images, or more than they look."""
    contents: dict[str, bytes] = {
        "a script": b"#!/bin/sh\nrm -rf ~\n",
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "HTML": b"<script>alert(1)</script>",
        "nothing": b"",
        "zeros": bytes(MEGABYTE),
        "GIF": endless_gif(),
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%id) (r) file\n",
        "PDF": b"%PDF-1.7\n",
        "900 megapixels": huge_png(30_000, 30_000),
        "a line of 2³¹ px": huge_png(2**31 - 1, 1),
        "cut": picture("PNG")[:50],
        "a pickle": b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        "a zip": b"PK\x03\x04" + bytes(99),
        "JPEG, cut": picture("JPEG")[:300],
    }
    for name, content in contents.items():

        def upload(server: Server, content: bytes = content) -> bytes:
            return request(server, "image", body=content, content_type="image/png", x_name="innocent.png")

        yield Visitor("uploads", f"{name} named .png", upload, BAD, "image")
    yield Visitor("uploads", "200 MB", _large(200), _statuses(413, None))
    yield Visitor("uploads", "200 MB in pieces", _large(200, chunked=True), _statuses(413, None))
    yield Visitor(
        "uploads",
        "says that it is 200 MB",
        lambda server: request(server, "image", body=b"x", length=200 * MEGABYTE),
        _statuses(413),
        "10 MB",
    )
    for length in ("-1", "1e3", "9" * 5000, "0x10"):

        def lying(server: Server, length: str = length) -> bytes:
            return request(server, "image", body=b"x", content_length=length)

        yield Visitor("uploads", f"says that it is {length[:9]} long", lying, _statuses(400, 413, 431, None))


def _large(megabytes: int, *, chunked: bool = False) -> Callable[[Server], set[int | None]]:
    """Sends so much, unless it is told to stop."""

    def visit(server: Server) -> set[int | None]:
        how = {"content_length": None, "transfer_encoding": "chunked"} if chunked else {}
        head = request(server, "image", body=b"", length=megabytes * MEGABYTE, **how)
        piece = bytes(MEGABYTE)
        framed = f"{MEGABYTE:x}\r\n".encode() + piece + b"\r\n" if chunked else piece
        before = server.resident_bytes
        with server.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(head)
                for _ in range(megabytes):
                    connection.sendall(framed)
            with suppress(ConnectionResetError, TimeoutError):
                words = connection.recv(64).split()
                assert server.resident_bytes - before < 60 * MEGABYTE, "it keeps what it does not want"
                return {int(words[1]) if len(words) > 1 else None}
        return {None}

    return visit


def crowds() -> Iterator[Visitor]:
    """Many at once, and some who leave."""
    yield Visitor("crowds", "300 planes at once", _flood("plane", 300), _statuses(200, 400, 429, 503, None))
    yield Visitor("crowds", "300 single shifts", _flood("shift", 300), _statuses(200, 429, 503, None))
    yield Visitor("crowds", "300 images", _flood("image", 300), _statuses(400, 429, 503, None))
    yield Visitor("crowds", "100 who say nothing", _silent(100), _statuses(None))
    yield Visitor("crowds", "100 who leave in the middle", _leaving(100), _statuses(None))


def _flood(path: str, count: int) -> Callable[[Server], set[int | None]]:
    """Ask so often before the first answer is read."""

    def visit(server: Server) -> set[int | None]:
        content = {"plane": question(), "shift": question(dy=0.5, dx=0.25), "image": b"none"}[path]
        connections = []
        statuses: set[int | None] = set()
        for number in range(count):
            try:
                connection = server.connect()
            except OSError:
                statuses.add(None)
                continue
            connections.append(connection)
            with suppress(OSError):
                asks = content if path != "plane" else question(image=str(number % 4), model=number % 4)
                connection.sendall(request(server, path, body=asks))
        for connection in connections:
            with connection, suppress(OSError):
                words = connection.recv(64).split()
                statuses.add(int(words[1]) if len(words) > 1 else None)
        return statuses

    return visit


def _silent(count: int) -> Callable[[Server], set[int | None]]:
    def visit(server: Server) -> set[int | None]:
        connections = [server.connect() for _ in range(count)]
        for connection in connections[::2]:
            connection.sendall(b"POST /")
        for connection in connections:
            connection.close()
        return {None}

    return visit


def _leaving(count: int) -> Callable[[Server], set[int | None]]:
    def visit(server: Server) -> set[int | None]:
        for number in range(count):
            with server.connect() as connection:
                asks = request(server, "plane", body=question(image=str(number % 4), border="circular"))
                connection.sendall(asks)
                # At once, and with what is on its way to it thrown away.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return {None}

    return visit


def all_visitors() -> list[Visitor]:
    """Every one of them."""
    return [each for make in (strangers, bodies, paths, uploads, crowds) for each in make()]


def visited(server: Server, visitor: Visitor) -> tuple[set[int | None], bytes]:
    """Which statuses somebody got, and the whole answer where there was one."""
    if isinstance(visitor.sent, bytes):
        status, answer = asked(server, visitor.sent)
        return {status}, answer
    found = visitor.sent(server)
    if isinstance(found, bytes):
        status, answer = asked(server, found)
        return {status}, answer
    return found, b""


def still_answers(server: Server) -> None:
    """Fail where the next honest visitor has to wait for long, or gets something else."""
    end = time.monotonic() + PATIENCE_S
    while True:
        status, answer = asked(server, request(server))
        if status == 200 or time.monotonic() > end:
            break
        time.sleep(0.1)
    assert status == 200
    assert b'"n_images":200' in answer

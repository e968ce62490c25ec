"""Who may ask this server: a browser that was given the address, for a page that this server wrote."""

from __future__ import annotations

import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shiftproof.serve._hosts import Hosts

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SAFE_METHODS = ("GET", "HEAD")


class Guard:
    """Lets through what asks by a name of this server, knows the token, and comes from its own pages.

    Args:
        app: What is guarded; it sees paths without the token.
        token: The first part of every path.
        hosts: The names of this server.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: Hosts) -> None:
        self.app, self.token, self.hosts = app, token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; `lifespan` goes through, and nothing else does."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(scope)
            inside = {**scope, "root_path": f"/{self.token}"}
            await (refusal or self.app)(scope if refusal else inside, receive, _with_headers(send))
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if len(headers.getlist("host")) != 1 or not self.hosts.allow(host):
            return PlainTextResponse("This server is not known by that name.", 421)
        first, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not slash or not secrets.compare_digest(first.encode("utf-8", "replace"), self.token.encode()):
            return PlainTextResponse("Open the address that `shiftproof serve` printed: it has a token.", 403)
        if scope["method"] not in SAFE_METHODS and headers.get("origin") != f"{scope['scheme']}://{host}":
            return PlainTextResponse("Only pages of this server may ask that.", 403)
        return None


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sent

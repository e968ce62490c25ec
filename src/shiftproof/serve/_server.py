"""From an exhibit to a server that listens, says where, and ends when it is told to."""

from __future__ import annotations

import logging
import secrets
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

from shiftproof._documents import unreadable
from shiftproof._optional import require
from shiftproof.errors import OptionError
from shiftproof.serve._exhibit import Exhibit
from shiftproof.serve._hosts import hosts_of, is_loopback

DEFAULT_PORT = 8765
# Where a port is in use, so many of the next ones are tried.
MOST_PORTS = 50
LAST_PORT = 65535
MOST_VISITORS = 64
TOKEN_BYTES = 24
EXTRA = "serve"
PURPOSE = "The page on which one drags the image"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Args:
        host: A name or numeric address.
        port: The port that it got.
        token: What every path begins with.
    """

    host: str
    port: int
    token: str

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/{self.token}/"


def check_serving() -> None:
    """Nothing where everything is installed that a server needs.

    Raises:
        MissingDependencyError: Says what is absent.
    """
    for module in ("starlette", "uvicorn"):
        require(module, extra=EXTRA, purpose=PURPOSE)


def check_host(host: str, *, i_know: bool) -> None:
    """Nothing for a host that only this machine reaches, or that somebody insists on.

    Raises:
        OptionError: Others would reach it, and nobody said that they know.
    """
    if is_loopback(host) or i_know:
        return
    raise OptionError(
        "a host that only this machine reaches, such as 127.0.0.1",
        repr(host),
        cause="Whoever reaches it and has the address sees the images, uses the model, and sends files to be "
        "decoded; nothing is encrypted.",
        fix="If that is meant, add --i-know.",
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on this port, or on one of the next where it is in use; 0 for any.

    Raises:
        OptionError: No such host, no such port, or none that is free.
    """
    if not 0 <= port <= LAST_PORT:
        raise OptionError(f"a port from 0 to {LAST_PORT}", port)
    try:
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise OptionError.cannot(f"listen on the host {host!r}", unreadable(error)) from error
    failure: OSError | None = None
    for tried in range(port, min(port + (MOST_PORTS if port else 1), LAST_PORT + 1)):
        found = socket.socket(family)
        if sys.platform != "win32":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((where[0], tried, *where[2:]))
            found.listen(MOST_VISITORS)
        except OSError as error:
            found.close()
            failure = error
        else:
            return found
    raise OptionError.cannot(
        f"listen on port {port}, or one of the next, of {host}",
        failure.strerror if failure else "there is none",
        fix="Choose another one with --port.",
    ) from failure


def run_server(
    exhibit: Exhibit,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    on_ready: Callable[[Address], None] = lambda address: None,
) -> None:
    """Serve until Ctrl-C. What is still being computed then goes on to its end, and nobody gets it.

    Args:
        exhibit: What is shown.
        host: Where to listen; whoever can reach it needs the token.
        port: Taken if it is free, else one of the next.
        on_ready: Called with the address as soon as it answers.

    Raises:
        MissingDependencyError: starlette or uvicorn is not installed.
        OptionError: It cannot listen there.
        ModelError: A model fails on the first images.
    """
    check_serving()
    import uvicorn

    from shiftproof.serve._answers import Answers
    from shiftproof.serve._app import make_app
    from shiftproof.serve._guard import Guard
    from shiftproof.serve._worker import Worker

    answers = Answers(exhibit)
    for model in range(len(exhibit.models)):
        answers.way(model, "zeros")
    worker = Worker()
    with listen(host, port) as found:
        address = Address(host, found.getsockname()[1], secrets.token_urlsafe(TOKEN_BYTES))
        app = Guard(make_app(exhibit, worker, answers), address.token, hosts_of(host, address.port))
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_VISITORS,
            proxy_headers=False,
            lifespan="off",
            ws="none",
        )
        server = uvicorn.Server(config)

        def leave(number: int, frame: FrameType | None) -> None:
            # What is on its way to a visitor is given up, and nobody needs to know where.
            server.force_exit = True
            logging.getLogger("uvicorn.error").disabled = True
            uvicorn.Server.handle_exit(server, number, frame)

        server.handle_exit = leave  # type: ignore[method-assign, assignment]  # it calls it by position
        on_ready(address)
        try:
            server.run(sockets=[found])
        except KeyboardInterrupt:
            pass  # uvicorn has ended what was on its way, and says again that it was told to
        finally:
            worker.close()

"""The names by which a server may be asked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hosts:
    """By which names a server may be asked; a name that somebody else points here is none of them.

    Args:
        names: Exact names and addresses.
        port: The port.
        any_address: Whether any numeric address will do: a server that listens on all of them has many.

    Example:
        >>> hosts = Hosts(frozenset({"localhost"}), 8765)
        >>> hosts.allow("localhost:8765"), hosts.allow("evil.example:8765"), hosts.allow("localhost")
        (True, False, False)
    """

    names: frozenset[str]
    port: int
    any_address: bool = False

    def allow(self, header: str) -> bool:
        """Whether a `Host` header names this server."""
        name, _, port = header.rpartition(":")
        if port != str(self.port):
            return False
        return name.lower() in self.names or (self.any_address and is_address(name.strip("[]")))


def hosts_of(host: str, port: int) -> Hosts:
    """The names of a server that listens on this host.

    Example:
        >>> sorted(hosts_of("127.0.0.1", 80).names)
        ['127.0.0.1', '[::1]', 'localhost']
    """
    if is_loopback(host):
        return Hosts(frozenset({"127.0.0.1", "localhost", "[::1]", _in_address(host)}), port)
    everywhere = is_address(host) and ipaddress.ip_address(host).is_unspecified
    names: Iterable[str] = (_in_address(host), socket.gethostname(), socket.getfqdn(), "localhost")
    return Hosts(frozenset(name.lower() for name in names), port, any_address=everywhere)


def is_address(text: str) -> bool:
    """Whether a text is a numeric address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    return host == "localhost" or (is_address(host) and ipaddress.ip_address(host).is_loopback)


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host

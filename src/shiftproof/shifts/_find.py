"""One reference to one protocol, wherever it is defined."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from shiftproof._registry import unknown_name
from shiftproof.shifts._protocol_file import read_protocols
from shiftproof.shifts._protocols import ProtocolBorder, ShiftProtocol, protocol_families, protocols


def find_protocol(reference: str, *, border: ProtocolBorder | None = None) -> ShiftProtocol:
    """The protocol of a name, of a family with its numbers, or of a file.

    Args:
        reference: `article-large`, `grid:8`, or `FILE.toml:NAME`.
        border: Another border than the protocol's; the name then says so.

    Raises:
        UnknownNameError: No such protocol or border.
        OptionError: Numbers that do not fit, or a border that the interpolation does not allow.
        ConfigError: A file that does not define it.

    Example:
        >>> find_protocol("grid:2").law
        Grid(radius_px=2, step_px=1)
        >>> find_protocol("grid:2", border="edge").name
        'grid:2+edge'
    """
    name = reference.partition(":")[0]
    if name in protocol_families:
        protocol = protocol_families.get(name).build(reference)
    elif reference in protocols:
        protocol = protocols.get(reference)
    elif name.endswith(".toml"):
        protocol = _from_file(Path(name), reference.partition(":")[2])
    else:
        raise unknown_name("protocol", name, [*protocols.names(), *protocol_families.names()])
    if border is None or border == protocol.border:
        return protocol
    return replace(protocol, name=f"{protocol.name}+{border}", border=border)


def _from_file(path: Path, name: str) -> ShiftProtocol:
    """The named protocol of a file, or its only one."""
    found = read_protocols(path)
    if not name and len(found) == 1:
        (name,) = found
    if name not in found:
        raise unknown_name(f"protocol in {path.name}", name, found)
    return found[name]

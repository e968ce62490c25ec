"""Names of files and folders on stores: `s3://bucket/runs/a`, `gs://bucket/images`, `memory://a`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from shiftproof.errors import OptionError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]+://")


@dataclass(frozen=True, slots=True)
class Address:
    """A folder or a file on a store; what can be done with it is in `_store.py`.

    Args:
        text: Protocol, and the way to it, without a slash at its end.

    Raises:
        OptionError: It has a password in it, or chains protocols.

    Example:
        >>> (Address("s3://bucket/runs") / "a").name, str(Address("memory://a"))
        ('a', 'memory://a')
    """

    text: str

    def __post_init__(self) -> None:
        if "::" in self.text:
            raise OptionError("an address with one protocol", repr(self.text))
        if "@" in self.text.partition("://")[2].partition("/")[0]:
            raise OptionError(
                "an address without a user or a password in it",
                f"{self.protocol}://…@…",
                cause="It is written into records and shown on screens.",
                fix="Leave it to the environment, as the package of the store describes it.",
            )

    def __truediv__(self, name: str) -> Address:
        return Address(f"{self.text}/{name}")

    def __str__(self) -> str:
        return self.text

    @property
    def protocol(self) -> str:
        """What stands before `://`."""
        return self.text.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The end of the name, as of a path."""
        return Path(self.name).suffix

    def with_suffix(self, suffix: str) -> Address:
        """The same with another end of its name."""
        return Address(f"{self.text.removesuffix(self.suffix)}{suffix}")


def is_address(text: object) -> bool:
    """Whether a text names something on a store.

    Example:
        >>> is_address("s3://bucket/a"), is_address("runs/a"), is_address("C:/runs"), is_address("hf:org/a")
        (True, False, False, False)
    """
    return isinstance(text, Address) or (isinstance(text, str) and _ADDRESS.match(text) is not None)


def place(where: str | Path | Address) -> Path | Address:
    """A path for what is a file of this machine, `file://` included; an address for what is on a store.

    Raises:
        OptionError: An address that is refused.

    Example:
        >>> place("runs/a"), place("memory://a/")
        (PosixPath('runs/a'), Address(text='memory://a'))
    """
    if not isinstance(where, str) or not is_address(where):
        return Path(where) if isinstance(where, str) else where
    if where.lower().startswith("file://"):
        return Path(unquote(urlsplit(where).path))
    return Address(where.rstrip("/"))

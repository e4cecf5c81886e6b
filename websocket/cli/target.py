"""What a WebSocket URL says (RFC 6455 section 3)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple
from urllib.parse import urlsplit

from .console import CommandError

__all__ = ["Target"]

_PORTS = {"ws": 80, "wss": 443}
_PRINTABLE = re.compile(r"[!-~]+")
_NO_HOST = re.compile(r"(:[0-9]*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@%]*\]|[^\[\]:@%]+)(:(?P<port>[0-9]*))?")


class Target(NamedTuple):
    """Whom to connect to, and what to ask for."""

    secure: bool
    host: str
    """The name or address, an IPv6 address without brackets."""
    port: int
    authority: str
    """The value of ``Host``: without the port where it is the default one."""
    path: str
    """The request target: path and query."""

    @property
    def place(self) -> str:
        """Host and port in words, for messages."""
        return f"{self.host!r}, port {self.port}"

    @classmethod
    def parse(cls, url: str) -> Target:
        """Read a URL.

        Raises:
            CommandError: with the exit status 2, if it is no WebSocket URL.
        """
        try:
            return cls._parse(url)
        except ValueError as error:
            raise CommandError(f"bad URL {url!r}: {error}", 2) from error

    @classmethod
    def _parse(cls, url: str) -> Target:
        # Checked first: urlsplit() removes some of what must not be there, without a word.
        if _PRINTABLE.fullmatch(url) is None:
            raise ValueError(
                "it is empty or holds spaces, control characters or characters outside of ASCII; "
                "write them percent-encoded, and a host name in its xn-- form"
            )
        if "#" in url:
            raise ValueError("a WebSocket URL has no fragment; leave out '#' or write %23")
        parts = urlsplit(url)
        if parts.scheme not in _PORTS:
            raise ValueError("it begins neither with ws:// nor with wss://")
        if "@" in parts.netloc:
            raise ValueError("a user name or a password is not supported")
        if _NO_HOST.fullmatch(parts.netloc):
            raise ValueError("the host is missing")
        authority = _AUTHORITY.fullmatch(parts.netloc)
        if authority is None:
            raise ValueError(
                f"{parts.netloc!r} is not a host, perhaps with a port; "
                "an IPv6 address goes in brackets"
            )
        host = _host(authority["host"])
        default = _PORTS[parts.scheme]
        port = int(authority["port"] or default)
        if not 0 < port <= 0xFFFF:
            raise ValueError(f"the port must be from 1 to 65535, not {port}")
        return cls(
            secure=parts.scheme == "wss",
            host=host,
            port=port,
            authority=authority["host"] if port == default else f"{authority['host']}:{port}",
            path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        )


def _host(text: str) -> str:
    if not text.startswith("["):
        return text
    host = text[1:-1]
    try:
        IPv6Address(host)
    except AddressValueError as error:
        raise ValueError(f"{host!r} is not an IPv6 address") from error
    return host

"""The client's half of the opening handshake, written and read (RFC 6455 section 4.1, 4.2.1)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from ..checks import check_string, check_strings
from ..errors import (
    ExtensionParseError,
    HandshakeError,
    InvalidHandshake,
    LocalProtocolError,
    VersionNotSupported,
)
from ..extensions import check_element, is_token, split_list
from ..headers import HeaderPairs, Headers
from ..values import Value, assign
from .http import (
    HeadParser,
    build_head,
    check_reserved,
    group_fields,
    has_element,
    is_host,
    parse_request_line,
)

__all__ = [
    "HandshakeRequest",
    "HandshakeRequestValidator",
    "ServerHandshakeRequest",
    "encode_key",
]

_RESERVED = frozenset(
    (
        "connection",
        "content-length",
        "host",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    )
)

_ABSOLUTE = re.compile(r"https?://([^/?#]+)", re.IGNORECASE | re.ASCII)
# RFC 3986 section 3.3 and 3.4, without the encoded NUL that ends a string early in some servers.
_PATH_AND_QUERY = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%(?!00)[0-9A-Fa-f]{2})*")
# 16 bytes leave four bits of the last character unused, which must be zero (RFC 4648 section 3.5).
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")


@dataclass(frozen=True, init=False)
class HandshakeRequest(Value):
    """An opening handshake for a client to send (RFC 6455 section 4.1).

    Args:
        path: the request target: path and query, or an absolute http or https URI.
        host: the value of ``Host``.
        origin: the value of ``Origin``, if there is to be one.
        protocols: the subprotocols to offer, in order of preference.
        extensions: the extensions to offer, each as it stands in the header; not checked.
        headers: more header fields.

    Raises:
        TypeError: for a value of another type.

    >>> request = HandshakeRequest("/chat", "example.com", protocols=["chat"])
    >>> request.build(b"the sample nonce").splitlines()[4]
    b'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    """

    __slots__ = __match_args__ = ("path", "host", "origin", "protocols", "extensions", "headers")
    path: str
    host: str
    origin: str | None
    protocols: tuple[str, ...]
    extensions: tuple[str, ...]
    headers: Headers

    def __init__(
        self,
        path: str,
        host: str,
        *,
        origin: str | None = None,
        protocols: Iterable[str] = (),
        extensions: Iterable[str] = (),
        headers: HeaderPairs = (),
    ) -> None:
        assign(
            self,
            path=check_string("path", path),
            host=check_string("host", host),
            origin=None if origin is None else check_string("origin", origin),
            protocols=check_strings("protocols", protocols),
            extensions=check_strings("extensions", extensions),
            headers=Headers(headers),
        )

    def build(self, nonce: bytes) -> bytes:
        """Write the request.

        Args:
            nonce: 16 random bytes, never used before.

        Raises:
            LocalProtocolError: if a field of the request breaks a rule.
            ValueError: if the nonce has another length than 16.
            TypeError: if the nonce is not `bytes`.
        """
        key = encode_key(nonce)
        if not is_host(self.host):
            raise LocalProtocolError(
                f"the host {self.host!r} is not a name or an address, perhaps with a port; "
                "an IPv6 address goes in brackets"
            )
        self._check_target()
        start = "\r\n".join(
            (
                " ".join(("GET", self.path, "HTTP/1.1")),
                ": ".join(("Host", self.host)),
                "Upgrade: websocket",
                "Connection: Upgrade",
                f"Sec-WebSocket-Key: {key}",
                "Sec-WebSocket-Version: 13",
            )
        )
        fields = []
        reserved = _RESERVED
        if self.origin is not None:
            fields.append(("Origin", self.origin))
            reserved |= {"origin"}
        if self.protocols:
            self._check_protocols()
            fields.append(("Sec-WebSocket-Protocol", ", ".join(self.protocols)))
        if self.extensions:
            fields.append(("Sec-WebSocket-Extensions", ", ".join(self.extensions)))
        check_reserved(self.headers, reserved)
        fields.extend(self.headers)
        return build_head(start, fields)

    def _check_target(self) -> None:
        target = self.path
        absolute = _ABSOLUTE.match(target)
        if absolute is not None:
            if not absolute[1].isascii() or absolute[1].lower() != self.host.lower():
                raise LocalProtocolError(
                    f"the target {target!r} names another authority than the host {self.host!r}"
                )
            target = target[absolute.end() :]
        elif not target.startswith("/"):
            raise LocalProtocolError(
                f"the target {target!r} begins neither with '/' nor with http:// or https://"
            )
        if _PATH_AND_QUERY.fullmatch(target) is None:
            raise LocalProtocolError(
                f"the target {self.path!r} holds what a URI may not: "
                "encode it, and leave out the fragment"
            )

    def _check_protocols(self) -> None:
        for protocol in self.protocols:
            if not is_token(protocol):
                raise LocalProtocolError(f"the subprotocol {protocol!r} is not a token")
        if len(set(self.protocols)) != len(self.protocols):
            raise LocalProtocolError(f"a subprotocol is offered twice in {self.protocols!r}")


@dataclass(frozen=True)
class ServerHandshakeRequest(Value):
    """An opening handshake as a server has received it (RFC 6455 section 4.2.1).

    Args:
        method: the method, ``"GET"`` where nothing is wrong with it.
        path: the request target, as it came.
        host: the value of the first ``Host``, if any.
        origin: the value of the first ``Origin``, if any. Browsers send it, and only they keep
            their users from lying about it.
        protocols: the subprotocols that the client offers, in its order of preference.
        extensions: the extensions that it offers, each as it stands in the header.
        key: the value of the first ``Sec-WebSocket-Key``, if any.
        headers: all header fields.
        error: what is wrong with it as an opening handshake; `None` if it can be accepted.
    """

    __slots__ = __match_args__ = (
        "method",
        "path",
        "host",
        "origin",
        "protocols",
        "extensions",
        "key",
        "headers",
        "error",
    )
    method: str
    path: str
    host: str | None
    origin: str | None
    protocols: tuple[str, ...]
    extensions: tuple[str, ...]
    key: str | None
    headers: Headers
    error: HandshakeError | None


class HandshakeRequestValidator:
    """Reads an opening handshake from the bytes of a client.

    Args:
        max_size: bytes in its head; `None` for any number.

    Raises:
        ValueError: for a limit that is not positive.
        TypeError: for a limit that is not an `int`.
    """

    __slots__ = ("_max_size", "_parser", "_request")

    def __init__(self, max_size: int | None = 16384) -> None:
        self._max_size = max_size
        self.reset()

    def reset(self) -> None:
        """Forget what was fed, and read another request."""
        self._parser = HeadParser(self._max_size, parse_request_line)
        self._request: ServerHandshakeRequest | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in bytes."""
        self._parser.feed(data)

    def read(self) -> ServerHandshakeRequest | None:
        """Return the request, whatever it asks for, or `None` while its head is incomplete.

        Raises:
            InvalidHandshake: if what was fed is no well-formed HTTP/1.1 request head.
            LimitExceeded: if the head is too large.
        """
        if self._request is None:
            head = self._parser.parse()
            if head is not None:
                (method, target), headers = head
                self._request = _read_request(method, target, headers)
        return self._request

    def validate(self) -> ServerHandshakeRequest | None:
        """Return the request if it can be accepted, or `None` while its head is incomplete.

        Raises:
            HandshakeError: if it is no opening handshake of this version of the protocol.
            LimitExceeded: if the head is too large.
        """
        request = self.read()
        if request is not None and request.error is not None:
            raise request.error
        return request

    @property
    def remaining(self) -> bytes:
        """What came after the head; empty while that is incomplete."""
        return self._parser.remaining

    @property
    def buffer_len(self) -> int:
        """Bytes held of what was fed."""
        return self._parser.buffer_len


def encode_key(nonce: bytes) -> str:
    """Return the ``Sec-WebSocket-Key`` of a nonce.

    Raises:
        ValueError: if the nonce has another length than 16.
        TypeError: if it is not `bytes`.
    """
    if not isinstance(nonce, bytes):
        raise TypeError(f"the nonce must be bytes, not {nonce!r}")
    if len(nonce) != 16:
        raise ValueError(f"the nonce must have 16 bytes, not {len(nonce)}")
    return b64encode(nonce).decode()


def _read_request(method: str, target: str, headers: Headers) -> ServerHandshakeRequest:
    fields = group_fields(headers)
    protocols = split_list(", ".join(fields.get("sec-websocket-protocol", ())))
    extensions = split_list(", ".join(fields.get("sec-websocket-extensions", ())))
    return ServerHandshakeRequest(
        method=method,
        path=target,
        host=_first(fields, "host"),
        origin=_first(fields, "origin"),
        protocols=tuple(protocols),
        extensions=tuple(extensions),
        key=_first(fields, "sec-websocket-key"),
        headers=headers,
        error=(
            _judge_http(method, target, fields)
            or _judge_upgrade(fields)
            or _judge_offers(fields, protocols, extensions)
        ),
    )


def _first(fields: dict[str, list[str]], name: str) -> str | None:
    values = fields.get(name)
    return None if values is None else values[0]


# The checks stand in the order in which they are made: the first that fails is the one reported.


def _judge_http(method: str, target: str, fields: dict[str, list[str]]) -> HandshakeError | None:
    """Judge what RFC 6455 section 4.2.1 asks of a request as HTTP, items 1 and 2."""
    if method != "GET":
        return InvalidHandshake(f"the method is {method!r}, not 'GET'", status=405)
    absolute = None if target.startswith("/") else _ABSOLUTE.match(target)
    if absolute is None and not target.startswith("/"):
        return InvalidHandshake(
            f"the target {target!r} begins neither with '/' nor with http:// or https://"
        )
    hosts = fields.get("host", [])
    if len(hosts) != 1:
        # RFC 9112 section 3.2.
        return InvalidHandshake(f"there must be one Host, not {len(hosts)}")
    if not is_host(hosts[0]):
        return InvalidHandshake(
            f"the Host {hosts[0]!r} is not a name or an address, perhaps with a port"
        )
    if absolute is not None and absolute[1].lower() != hosts[0].lower():
        # RFC 9112 section 3.2.2: the target counts, and the client must have sent the same Host.
        # Whoever reads the other one would serve another host.
        return InvalidHandshake(
            f"the target {target!r} names another authority than the Host {hosts[0]!r}"
        )
    # A body would stand where the first frames are expected.
    if "transfer-encoding" in fields:
        return InvalidHandshake(
            f"the request has a body: Transfer-Encoding {fields['transfer-encoding'][0]!r}"
        )
    for length in fields.get("content-length", ()):
        if length != "0":
            return InvalidHandshake(f"the request has a body: Content-Length {length!r}")
    return None


def _judge_upgrade(fields: dict[str, list[str]]) -> HandshakeError | None:
    """Judge what makes the request an opening handshake, RFC 6455 section 4.2.1, items 3 to 6."""
    if not has_element(fields.get("upgrade", ()), "websocket"):
        return InvalidHandshake(
            f"Upgrade does not name 'websocket': {', '.join(fields.get('upgrade', ()))!r}"
        )
    if not has_element(fields.get("connection", ()), "upgrade"):
        return InvalidHandshake(
            f"Connection does not name 'Upgrade': {', '.join(fields.get('connection', ()))!r}"
        )
    versions = fields.get("sec-websocket-version", [])
    if len(versions) != 1:
        return InvalidHandshake(f"there must be one Sec-WebSocket-Version, not {len(versions)}")
    if versions[0] != "13":
        return VersionNotSupported(versions[0])
    keys = fields.get("sec-websocket-key", [])
    if len(keys) != 1:
        return InvalidHandshake(f"there must be one Sec-WebSocket-Key, not {len(keys)}")
    if _KEY.fullmatch(keys[0]) is None:
        return InvalidHandshake(
            f"the Sec-WebSocket-Key {keys[0]!r} is not the base64 form of 16 bytes"
        )
    return None


def _judge_offers(
    fields: dict[str, list[str]], protocols: list[str], extensions: list[str]
) -> HandshakeError | None:
    """Judge what is optional, RFC 6455 section 4.2.1, items 7 to 9."""
    if "sec-websocket-protocol" in fields and not protocols:
        return InvalidHandshake("Sec-WebSocket-Protocol is there but empty")
    for protocol in protocols:
        if not is_token(protocol):
            return InvalidHandshake(f"the subprotocol {protocol!r} is not a token")
    if len(set(protocols)) != len(protocols):
        return InvalidHandshake(f"a subprotocol is offered twice in {', '.join(protocols)!r}")
    if "sec-websocket-extensions" in fields and not extensions:
        return InvalidHandshake("Sec-WebSocket-Extensions is there but empty")
    try:
        for extension in extensions:
            check_element(extension)
    except ExtensionParseError as error:
        # The request outlives this call; the frames that a traceback holds need not.
        return error.with_traceback(None)
    origins = fields.get("origin", ())
    if len(origins) > 1:
        # Which of two would be checked depends on who reads them (RFC 6454 section 7.3).
        return InvalidHandshake(f"there must be one Origin, not {len(origins)}")
    return None

"""The server's half of the opening handshake, written and read (RFC 6455 section 4.2.2, 4.1)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha1
from http import HTTPStatus

from ..checks import as_bytes, check_limit, check_strings
from ..errors import (
    ExtensionParseError,
    InvalidHandshake,
    LocalProtocolError,
    UnexpectedHttpResponse,
)
from ..extensions import Extension, is_token, split_list
from ..headers import HeaderPairs, Headers
from ..values import HandshakeResponse, Value, assign
from .body import BodyReader
from .http import (
    HeadParser,
    build_head,
    check_reserved,
    check_value,
    group_fields,
    has_element,
    parse_status_line,
)
from .request import ServerHandshakeRequest, encode_key

__all__ = [
    "HandshakeResponse",
    "HandshakeValidator",
    "ServerHandshakeResponse",
    "build_acceptance",
    "build_refusal",
    "calculate_accept",
    "calculate_accept_from_key",
    "check_offers",
    "choose_protocol",
]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_DEFLATE = "permessage-deflate"
_SWITCHING_PROTOCOLS = (
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: "
)

_RESERVED = frozenset(
    (
        "connection",
        "content-length",
        "sec-websocket-accept",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "transfer-encoding",
        "upgrade",
    )
)
_RESERVED_IN_REFUSAL = frozenset(("connection", "content-length", "transfer-encoding", "upgrade"))


def calculate_accept(nonce: bytes) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a nonce (RFC 6455 section 4.2.2 step 5).

    Raises:
        ValueError: if the nonce has another length than 16.
        TypeError: if it is not `bytes`.

    >>> calculate_accept(b"the sample nonce")
    's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
    """
    return calculate_accept_from_key(encode_key(nonce))


def calculate_accept_from_key(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key``, as it came."""
    # SHA-1 secures nothing here: it only shows that the server knows the protocol.
    digest = sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return b64encode(digest).decode()


def choose_protocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """Return the first of the client's subprotocols that the server supports, if there is one."""
    for protocol in offered:
        if protocol in supported:
            return protocol
    return None


class HandshakeValidator:
    """Reads a server's answer to an opening handshake.

    It does not know what was offered: see `check_offers`.

    Args:
        nonce: the 16 bytes of the request.
        max_size: bytes in the head, the heads of interim responses included; `None` for any
            number.
        max_body: bytes kept of the body of a refusal; `None` for any number.

    Raises:
        ValueError: for a nonce of another length, or a limit that is not positive.
        TypeError: for a nonce that is not `bytes`, or a limit that is not an `int`.
    """

    __slots__ = ("_accept", "_body", "_max_body", "_parser", "_response")

    def __init__(
        self, nonce: bytes, *, max_size: int | None = 16384, max_body: int | None = 65536
    ) -> None:
        check_limit("max_body", max_body)
        self._accept = calculate_accept(nonce)
        self._parser = HeadParser(max_size, parse_status_line)
        self._max_body = max_body
        self._body: BodyReader | None = None
        self._response: HandshakeResponse | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in bytes."""
        self._parser.feed(data)

    def validate(self) -> HandshakeResponse | None:
        """Return the response if it is a good 101, or `None` while more bytes are needed.

        Raises:
            InvalidHandshake: if it is malformed, or a 101 that breaks a rule.
            UnexpectedHttpResponse: if it has another status, once its body has come or
                `max_body` is reached.
            LimitExceeded: if the head is too large.
        """
        if self._body is None:
            head = self._parser.parse()
            # RFC 9110 section 15.2: a client must cope with interim responses it did not ask for.
            while head is not None and 100 <= head[0][1] < 200 and head[0][1] != 101:
                self._parser.next()
                head = self._parser.parse()
            if head is None:
                return None
            (version, status, reason), headers = head
            if status == 101:
                return self._validate_101(version, reason, headers)
            self._response = HandshakeResponse(status, reason, headers, None, (), b"")
            self._body = BodyReader(status, headers, self._max_body)
        self._body.feed(self._parser.take_remaining())
        if self._body.complete:
            raise UnexpectedHttpResponse(self._refusal())
        return None

    def finish(self) -> None:
        """Say that nothing more will come: the stream has ended, or the time has run out.

        Raises:
            UnexpectedHttpResponse: if the body of a refusal was being waited for; the response
                has as much of it as has come.
            HandshakeError, LimitExceeded: what else `validate` would raise.
        """
        if self.validate() is None and self._body is not None:
            raise UnexpectedHttpResponse(self._refusal())

    @property
    def response(self) -> HandshakeResponse | None:
        """The response, be it good or not, once `validate` has seen its head complete."""
        return self._response if self._body is None else self._refusal()

    @property
    def remaining(self) -> bytes:
        """What came after the head of a 101; empty while that is incomplete."""
        return self._parser.remaining if self._body is None else b""

    @property
    def buffer_len(self) -> int:
        """Bytes held of what was fed."""
        return self._parser.buffer_len + (0 if self._body is None else len(self._body.body))

    def _refusal(self) -> HandshakeResponse:
        assert self._response is not None
        assert self._body is not None
        return replace(self._response, body=bytes(self._body.body))

    def _validate_101(self, version: str, reason: str, headers: Headers) -> HandshakeResponse:
        fields = group_fields(headers)
        extensions = split_list(", ".join(fields.get("sec-websocket-extensions", ())))
        self._response = HandshakeResponse(
            status=101,
            reason=reason,
            headers=headers,
            protocol=headers.get("sec-websocket-protocol"),
            extensions=tuple(extensions),
            body=b"",
        )
        # The order of RFC 6455 section 4.1, "the client MUST validate the server's response".
        if version != "1.1":
            raise InvalidHandshake(f"the 101 is of HTTP/{version}, not HTTP/1.1")
        if not has_element(fields.get("upgrade", ()), "websocket"):
            raise InvalidHandshake(
                f"Upgrade does not name 'websocket': {', '.join(fields.get('upgrade', ()))!r}"
            )
        if not has_element(fields.get("connection", ()), "upgrade"):
            raise InvalidHandshake(
                f"Connection does not name 'Upgrade': {', '.join(fields.get('connection', ()))!r}"
            )
        accepts = fields.get("sec-websocket-accept", [])
        if len(accepts) != 1:
            raise InvalidHandshake(f"there must be one Sec-WebSocket-Accept, not {len(accepts)}")
        if accepts[0] != self._accept:
            raise InvalidHandshake(
                f"the Sec-WebSocket-Accept is {accepts[0]!r}, not {self._accept!r}"
            )
        protocols = fields.get("sec-websocket-protocol", [])
        if len(protocols) > 1:
            raise InvalidHandshake(f"there may be one Sec-WebSocket-Protocol, not {len(protocols)}")
        if protocols and not is_token(protocols[0]):
            raise InvalidHandshake(f"the subprotocol {protocols[0]!r} is not a token")
        # RFC 6455 section 4.2.2 lets several lines stand for one list.
        if "sec-websocket-extensions" in fields and not extensions:
            raise InvalidHandshake("Sec-WebSocket-Extensions is there but empty")
        for extension in extensions:
            Extension.parse_strict(extension)
        return self._response


def check_offers(
    response: HandshakeResponse, protocols: Sequence[str], extensions: Sequence[str]
) -> None:
    """Compare a good 101 with what was offered (RFC 6455 section 4.1, steps 5 and 6).

    Args:
        response: what `HandshakeValidator` returned.
        protocols: the subprotocols that were offered.
        extensions: the extensions that were offered, as they stood in the header.

    Raises:
        InvalidHandshake: if the server chose what was not offered, or permessage-deflate twice.
    """
    if response.protocol is not None and response.protocol not in protocols:
        raise InvalidHandshake(
            f"the server chose the subprotocol {response.protocol!r}, offered were "
            f"{', '.join(protocols)!r}"
        )
    offered = _names(extensions)
    chosen = _names(response.extensions)
    for name in chosen:
        if name not in offered:
            raise InvalidHandshake(
                f"the server chose the extension {name!r}, which was not offered"
            )
    if chosen.count(_DEFLATE) > 1:
        # RFC 7692 section 5: one agreement at most may use RSV1.
        raise InvalidHandshake(f"the server chose {_DEFLATE} more than once")


@dataclass(frozen=True, init=False)
class ServerHandshakeResponse(Value):
    """The answer with which a server accepts an opening handshake (RFC 6455 section 4.2.2).

    Args:
        protocol: one of the subprotocols that the client offers, or `None`.
        extensions: the extensions agreed to, each as it is to stand in the header.
        headers: more header fields.

    Raises:
        TypeError: for a value of another type.
    """

    __slots__ = __match_args__ = ("protocol", "extensions", "headers")
    protocol: str | None
    extensions: tuple[str, ...]
    headers: Headers

    def __init__(
        self,
        *,
        protocol: str | None = None,
        extensions: Iterable[str] = (),
        headers: HeaderPairs = (),
    ) -> None:
        if protocol is not None and not isinstance(protocol, str):
            raise TypeError(f"protocol must be str or None, not {protocol!r}")
        assign(
            self,
            protocol=protocol,
            extensions=check_strings("extensions", extensions),
            headers=Headers(headers),
        )

    def build(self, request: ServerHandshakeRequest, extra_headers: HeaderPairs = ()) -> bytes:
        """Write the response.

        Args:
            request: what is answered.
            extra_headers: header fields to follow those of the response.

        Raises:
            LocalProtocolError: if the request cannot be accepted, or not with this response.
            TypeError: for headers of another type.
        """
        if request.error is not None or request.key is None:
            raise LocalProtocolError(f"the request cannot be accepted: {request.error}")
        if self.protocol is not None and self.protocol not in request.protocols:
            raise LocalProtocolError(
                f"the subprotocol {self.protocol!r} is not among those of the client: "
                f"{', '.join(request.protocols)!r}"
            )
        self._check_extensions(request)
        headers = (*self.headers, *Headers(extra_headers))
        return build_acceptance(request.key, self.protocol, self.extensions, headers)

    def _check_extensions(self, request: ServerHandshakeRequest) -> None:
        offered = _names(request.extensions)
        chosen = []
        for text in self.extensions:
            try:
                parsed = Extension.parse_strict(text)
            except ExtensionParseError as error:
                raise LocalProtocolError(str(error)) from None
            if len(parsed) != 1:
                raise LocalProtocolError(
                    f"the extension {text!r} is not one element but {len(parsed)}"
                )
            if parsed[0].name not in offered:
                raise LocalProtocolError(f"the extension {text!r} was not offered by the client")
            chosen.append(parsed[0].name)
        if chosen.count(_DEFLATE) > 1:
            raise LocalProtocolError(f"{_DEFLATE} is agreed to more than once: {self.extensions!r}")


def build_acceptance(
    key: str, protocol: str | None, extensions: Sequence[str], headers: Sequence[tuple[str, str]]
) -> bytes:
    """Write the answer with which a server accepts an opening handshake.

    Args:
        key: the ``Sec-WebSocket-Key`` of the request.
        protocol: the subprotocol, known to be offered.
        extensions: the extensions, known to be offered.
        headers: more header fields.

    Raises:
        LocalProtocolError: for headers that may not be sent here.
    """
    check_reserved(headers, _RESERVED)
    fields = []
    if protocol is not None:
        fields.append(("Sec-WebSocket-Protocol", protocol))
    if extensions:
        fields.append(("Sec-WebSocket-Extensions", ", ".join(extensions)))
    fields.extend(headers)
    return build_head(_SWITCHING_PROTOCOLS + calculate_accept_from_key(key), fields)


def build_refusal(
    status: int,
    reason: str = "",
    headers: HeaderPairs = (),
    body: bytes | bytearray | memoryview = b"",
    *,
    head_only: bool = False,
) -> bytes:
    """Write the answer with which a server refuses an opening handshake.

    Args:
        status: the HTTP status.
        reason: the reason phrase; if empty, the usual one.
        headers: header fields, except those that frame the message.
        body: the content, for which the caller's headers should name a ``Content-Type``.
        head_only: leave the content out, as in the answer to a HEAD request.

    Raises:
        LocalProtocolError: for a status outside 200-599, for content that the status does not
            allow, and for a reason or headers that may not be sent.
        TypeError: for a value of another type.
    """
    if isinstance(status, bool) or not isinstance(status, int):
        raise TypeError(f"the status must be an int, not {status!r}")
    if not isinstance(reason, str):
        raise TypeError(f"the reason must be str, not {reason!r}")
    headers = Headers(headers)
    body = as_bytes(body, "body")
    if not 200 <= status <= 599:
        raise LocalProtocolError(f"the status must be between 200 and 599, not {status}")
    if body and status in (204, 205, 304):
        # RFC 9110 section 15.3.5, 15.3.6 and 15.4.5.
        raise LocalProtocolError(f"a response with the status {status} has no body")
    check_reserved(headers, _RESERVED_IN_REFUSAL)
    fields = [("Connection", "close")]
    if status == 405 and headers.get("Allow") is None:
        fields.append(("Allow", "GET"))
    if status == 426:
        # RFC 9110 section 7.8: who sends Upgrade names it in Connection.
        fields = [("Connection", "close, Upgrade"), ("Upgrade", "websocket")]
        if headers.get("Sec-WebSocket-Version") is None:
            fields.append(("Sec-WebSocket-Version", "13"))
    fields.extend(headers)
    if status not in (204, 304):
        # RFC 9110 section 8.6: none with 204; with 304 it would speak of another response.
        fields.append(("Content-Length", str(len(body))))
    words = check_value("reason phrase", reason or _standard_phrase(status))
    head = build_head(" ".join(("HTTP/1.1", str(int(status)), words)), fields)
    return head if head_only else head + body


def _standard_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _names(extensions: Iterable[str]) -> list[str]:
    return [extension.name for text in extensions for extension in Extension.parse(text)]

"""The errors of the library.

::

    WebSocketError
     +-- LocalProtocolError              you called wrongly; nothing has changed
     +-- RemoteProtocolError             the peer broke the protocol
     |    +-- InvalidUtf8
     |    +-- InvalidCompressedData
     |    +-- LimitExceeded
     +-- HandshakeError                  the opening handshake failed
     |    +-- InvalidHandshake
     |    |    +-- ExtensionParseError
     |    +-- VersionNotSupported
     |    +-- UnexpectedHttpResponse
     +-- ConnectionClosed                the connection has ended
          +-- ConnectionLost
          +-- ConnectionTimedOut

Options, masking keys and nonces out of range are a `ValueError`, wrong types a `TypeError`.
"""

from __future__ import annotations

from .close_codes import CloseCode
from .timers import TimerId
from .values import Close, HandshakeResponse

__all__ = [
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionTimedOut",
    "ExtensionParseError",
    "HandshakeError",
    "InvalidCompressedData",
    "InvalidHandshake",
    "InvalidUtf8",
    "LimitExceeded",
    "LocalProtocolError",
    "RemoteProtocolError",
    "UnexpectedHttpResponse",
    "VersionNotSupported",
    "WebSocketError",
]


class WebSocketError(Exception):
    """The root of all errors of this library."""

    close_code: int = CloseCode.ABNORMAL_CLOSURE
    """The close code that stands for this end of the connection (RFC 6455 section 7.1.5)."""


class LocalProtocolError(WebSocketError):
    """The state or the protocol forbids this call. Nothing has changed."""


class RemoteProtocolError(WebSocketError):
    """The peer broke the protocol (RFC 6455 section 7.1.7).

    Args:
        message: what was wrong, with the value.
        close_code: the code that tells the peer why the connection fails.
    """

    close_code: int = CloseCode.PROTOCOL_ERROR

    def __init__(self, message: str, close_code: int | None = None) -> None:
        super().__init__(message, close_code)
        self.message = message
        if close_code is not None:
            self.close_code = close_code

    def __str__(self) -> str:
        return self.message


class InvalidUtf8(RemoteProtocolError):
    """A text message or a close reason is not UTF-8 (RFC 6455 section 8.1)."""

    close_code: int = CloseCode.INVALID_PAYLOAD


class InvalidCompressedData(RemoteProtocolError):
    """The payload of a compressed message cannot be inflated (RFC 7692 section 7.2.2)."""

    close_code: int = CloseCode.INVALID_PAYLOAD


class LimitExceeded(RemoteProtocolError):
    """The peer sent more than an option allows (RFC 6455 section 10.4).

    Args:
        what: what was too much, such as ``"frame of 70000 bytes"``.
        limit: the name of the option that sets the limit.
        maximum: its value.
        close_code: the code that tells the peer why the connection fails.
    """

    close_code: int = CloseCode.MESSAGE_TOO_BIG

    def __init__(self, what: str, limit: str, maximum: int, close_code: int | None = None) -> None:
        super().__init__(f"{what} exceeds {limit}={maximum}", close_code)
        self.args = (what, limit, maximum, close_code)
        self.what = what
        self.limit = limit
        self.maximum = maximum


class HandshakeError(WebSocketError):
    """The opening handshake failed (RFC 6455 section 4)."""

    status: int = 400
    """The HTTP status with which a server answers a request that failed so."""


class InvalidHandshake(HandshakeError):
    """What the peer sent breaks a rule of the opening handshake.

    Args:
        message: what was wrong, with the value.
        status: the HTTP status with which a server answers it.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class ExtensionParseError(InvalidHandshake):
    """An element of ``Sec-WebSocket-Extensions`` breaks the grammar of RFC 6455 section 9.1."""


class VersionNotSupported(HandshakeError):
    """The client asks for another version than 13 (RFC 6455 section 4.4).

    Args:
        version: the value of its ``Sec-WebSocket-Version``.
    """

    status = 426

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.version = version

    def __str__(self) -> str:
        return f"Sec-WebSocket-Version is {self.version!r}, only '13' is supported"


class UnexpectedHttpResponse(HandshakeError):
    """The server answered with something else than 101 (RFC 6455 section 4.1).

    Args:
        response: its answer: status, reason, headers, and as much of the body as was kept.
    """

    def __init__(self, response: HandshakeResponse) -> None:
        super().__init__(response)
        self.response = response

    def __str__(self) -> str:
        words = f"{self.response.status} {self.response.reason}".rstrip()
        return f"the server answered {words!r} instead of 101"


class ConnectionClosed(WebSocketError):
    """The connection has ended.

    Args:
        received: the Close that the peer sent, if one came.
        sent: the Close that was sent, if one was.
        received_first: whether the peer's came first.
    """

    def __init__(
        self,
        received: Close | None = None,
        sent: Close | None = None,
        received_first: bool = False,
    ) -> None:
        super().__init__(received, sent, received_first)
        self.received = received
        self.sent = sent
        self.received_first = received_first
        self.close_code = self._close_code()

    def _close_code(self) -> int:
        if self.received is None:
            return CloseCode.ABNORMAL_CLOSURE
        if self.received.code is None:
            return CloseCode.NO_STATUS_RECEIVED
        return self.received.code

    def __str__(self) -> str:
        received = (
            "nothing received" if self.received is None else f"received {_show(self.received)}"
        )
        sent = "nothing sent" if self.sent is None else f"sent {_show(self.sent)}"
        order = (received, sent) if self.received_first else (sent, received)
        return f"connection closed: {order[0]}, then {order[1]}"


class ConnectionLost(ConnectionClosed):
    """The stream ended without a Close frame (RFC 6455 section 7.1.5: 1006).

    Args:
        during_handshake: whether it ended before the opening handshake was over.
    """

    def __init__(
        self,
        received: Close | None = None,
        sent: Close | None = None,
        received_first: bool = False,
        during_handshake: bool = False,
    ) -> None:
        super().__init__(received, sent, received_first)
        self.args = (received, sent, received_first, during_handshake)
        self.during_handshake = during_handshake

    def __str__(self) -> str:
        if self.during_handshake:
            return "the stream ended before the opening handshake was over"
        return "the stream ended without a Close frame"


class ConnectionTimedOut(ConnectionClosed):
    """The peer did not do in time what it should have.

    Args:
        timer_id: the timer that ran out.
    """

    def __init__(
        self,
        timer_id: TimerId,
        received: Close | None = None,
        sent: Close | None = None,
        received_first: bool = False,
    ) -> None:
        self.timer_id = timer_id
        super().__init__(received, sent, received_first)
        self.args = (timer_id, received, sent, received_first)

    def _close_code(self) -> int:
        if self.timer_id is TimerId.PONG_TIMEOUT:
            return CloseCode.POLICY_VIOLATION
        return CloseCode.ABNORMAL_CLOSURE

    def __str__(self) -> str:
        return _TIMED_OUT[self.timer_id]


_TIMED_OUT = {
    TimerId.OPEN_TIMEOUT: "the opening handshake was not over within open_timeout",
    TimerId.PING: "the keepalive timer ran out",
    TimerId.PONG_TIMEOUT: "no Pong came within pong_timeout",
    TimerId.CLOSE_TIMEOUT: "the Close frame was not answered within close_timeout",
}


def _show(close: Close) -> str:
    code = "no code" if close.code is None else f"{close.code} ({CloseCode.describe(close.code)})"
    # A peer chose the words: escaped, so that they cannot pass for a line of a log.
    return f"{code} {close.reason!r}" if close.reason else code

"""The events that come out of a connection, in the order of the wire.

Those made for every message come from the wire; the others are defined here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ._backend import BinaryFragment, BinaryMessage, TextFragment, TextMessage
from .errors import WebSocketError
from .handshake.request import ServerHandshakeRequest
from .states import ConnectionState
from .values import Close, Value

__all__ = [
    "BinaryFragment",
    "BinaryMessage",
    "Close",
    "Connected",
    "Event",
    "Failed",
    "HandshakeRequested",
    "Ping",
    "Pong",
    "StateChanged",
    "TextFragment",
    "TextMessage",
]


@dataclass(frozen=True)
class HandshakeRequested(Value):
    """A client asks for a handshake; the server is to accept or reject it (RFC 6455 section 4.2).

    Args:
        request: what it asks for. Its `error` is `None` or what is wrong with it.
    """

    __slots__ = __match_args__ = ("request",)
    request: ServerHandshakeRequest


@dataclass(frozen=True)
class Connected(Value):
    """The opening handshake is over: messages may be sent and will come.

    Args:
        protocol: the subprotocol agreed on (RFC 6455 section 1.9).
        extensions: the extensions agreed on, as in the header.
    """

    __slots__ = __match_args__ = ("protocol", "extensions")
    protocol: str | None
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class Ping(Value):
    """A Ping has come (RFC 6455 section 5.5.2), and is answered unless `auto_pong` is off.

    Args:
        payload: up to 125 bytes.
    """

    __slots__ = __match_args__ = ("payload",)
    payload: bytes


@dataclass(frozen=True)
class Pong(Value):
    """A Pong has come, asked for or not (RFC 6455 section 5.5.3).

    Args:
        payload: that of the Ping which it answers.
        latency: seconds between the `now` of that Ping and the `now` of the feed that brought the
            Pong; `None` if either was not given, or if no such Ping was outstanding.
    """

    __slots__ = __match_args__ = ("payload", "latency")
    payload: bytes
    latency: float | None


@dataclass(frozen=True)
class StateChanged(Value):
    """The connection has entered another state. CLOSED is the last event of all.

    Args:
        state: the new one.
    """

    __slots__ = __match_args__ = ("state",)
    state: ConnectionState


@dataclass(frozen=True, eq=False)
class Failed(Value):
    """The connection has failed; `StateChanged(CLOSED)` follows (RFC 6455 section 7.1.7).

    Two are equal if their errors have the same type and text.

    Args:
        error: why, ready to be raised.
    """

    __slots__ = __match_args__ = ("error",)
    error: WebSocketError

    def __eq__(self, other: object) -> bool:
        if type(other) is not Failed:
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[type, str]:
        return type(self.error), str(self.error)


Event = Union[
    HandshakeRequested,
    Connected,
    TextMessage,
    BinaryMessage,
    TextFragment,
    BinaryFragment,
    Ping,
    Pong,
    Close,
    StateChanged,
    Failed,
]
"""Everything that `poll_event` returns."""

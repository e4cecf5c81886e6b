"""The states of a connection and the transitions between them."""

from __future__ import annotations

import enum
from collections.abc import Mapping

__all__ = ["TRANSITIONS", "ConnectionState"]


class ConnectionState(enum.Enum):
    """Where a connection stands (RFC 6455 sections 4 and 7)."""

    DISCONNECTED = "disconnected"
    """Nothing has happened yet."""
    CONNECTING = "connecting"
    """The opening handshake is under way."""
    CONNECTED = "connected"
    """Messages may be sent and received: OPEN in the words of RFC 6455."""
    CLOSING = "closing"
    """A Close frame has been sent; its answer, or the end of the stream, is awaited."""
    CLOSED = "closed"
    """It is over. A connection object is never used again."""


_S = ConnectionState

TRANSITIONS: Mapping[ConnectionState, tuple[ConnectionState, ...]] = {
    _S.DISCONNECTED: (_S.CONNECTING, _S.CLOSED),
    _S.CONNECTING: (_S.CONNECTED, _S.CLOSED),
    _S.CONNECTED: (_S.CLOSING, _S.CLOSED),
    _S.CLOSING: (_S.CLOSED,),
    _S.CLOSED: (),
}
"""The states that may follow each state. There are no others."""

"""A Sans-I/O implementation of WebSocket (RFC 6455).

The library turns bytes into events and calls into bytes. It opens no socket, reads no clock and
starts no task: whoever embeds it moves the bytes and keeps the timers. Your faults are exceptions;
the peer's faults are `Failed` events.
"""

from __future__ import annotations

from ._backend import BACKEND, apply_mask
from .client import WebSocketClientConnection
from .close_codes import CloseCode
from .codec import PerMessageDeflate
from .deflate import ExtensionParseContext, PerMessageDeflateConfig
from .errors import (
    ConnectionClosed,
    ConnectionLost,
    ConnectionTimedOut,
    ExtensionParseError,
    HandshakeError,
    InvalidCompressedData,
    InvalidHandshake,
    InvalidUtf8,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    UnexpectedHttpResponse,
    VersionNotSupported,
    WebSocketError,
)
from .events import (
    BinaryFragment,
    BinaryMessage,
    Close,
    Connected,
    Event,
    Failed,
    HandshakeRequested,
    Ping,
    Pong,
    StateChanged,
    TextFragment,
    TextMessage,
)
from .extensions import Extension, ExtensionParam
from .frames import Frame, FrameDecoder
from .handshake.request import (
    HandshakeRequest,
    HandshakeRequestValidator,
    ServerHandshakeRequest,
)
from .handshake.response import (
    HandshakeResponse,
    HandshakeValidator,
    ServerHandshakeResponse,
    calculate_accept,
    calculate_accept_from_key,
)
from .headers import Headers
from .opcodes import Opcode
from .options import ClientConnectionOptions, ServerConnectionOptions
from .outputs import ClearTimer, CloseConnection, Output, SendData, SetTimer
from .prepared import PreparedMessage
from .randomness import RandomSource, SecureRandom
from .server import WebSocketServerConnection
from .states import ConnectionState
from .timers import TimerId, Timestamp

__all__ = [
    "BACKEND",
    "BinaryFragment",
    "BinaryMessage",
    "ClearTimer",
    "ClientConnectionOptions",
    "Close",
    "CloseCode",
    "CloseConnection",
    "Connected",
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionState",
    "ConnectionTimedOut",
    "Event",
    "Extension",
    "ExtensionParam",
    "ExtensionParseContext",
    "ExtensionParseError",
    "Failed",
    "Frame",
    "FrameDecoder",
    "HandshakeError",
    "HandshakeRequest",
    "HandshakeRequestValidator",
    "HandshakeRequested",
    "HandshakeResponse",
    "HandshakeValidator",
    "Headers",
    "InvalidCompressedData",
    "InvalidHandshake",
    "InvalidUtf8",
    "LimitExceeded",
    "LocalProtocolError",
    "Opcode",
    "Output",
    "PerMessageDeflate",
    "PerMessageDeflateConfig",
    "Ping",
    "Pong",
    "PreparedMessage",
    "RandomSource",
    "RemoteProtocolError",
    "SecureRandom",
    "SendData",
    "ServerConnectionOptions",
    "ServerHandshakeRequest",
    "ServerHandshakeResponse",
    "SetTimer",
    "StateChanged",
    "TextFragment",
    "TextMessage",
    "TimerId",
    "Timestamp",
    "UnexpectedHttpResponse",
    "VersionNotSupported",
    "WebSocketClientConnection",
    "WebSocketError",
    "WebSocketServerConnection",
    "apply_mask",
    "calculate_accept",
    "calculate_accept_from_key",
]

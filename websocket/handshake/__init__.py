"""The opening handshake (RFC 6455 section 4): pure functions of bytes, without a connection."""

from __future__ import annotations

from .request import HandshakeRequest, HandshakeRequestValidator, ServerHandshakeRequest
from .response import (
    HandshakeResponse,
    HandshakeValidator,
    ServerHandshakeResponse,
    build_refusal,
    calculate_accept,
    calculate_accept_from_key,
    check_offers,
    choose_protocol,
)

__all__ = [
    "HandshakeRequest",
    "HandshakeRequestValidator",
    "HandshakeResponse",
    "HandshakeValidator",
    "ServerHandshakeRequest",
    "ServerHandshakeResponse",
    "build_refusal",
    "calculate_accept",
    "calculate_accept_from_key",
    "check_offers",
    "choose_protocol",
]

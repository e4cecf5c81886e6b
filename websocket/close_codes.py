"""Close codes (RFC 6455 section 7.4 and the IANA registry that it founds)."""

from __future__ import annotations

import enum

__all__ = ["CloseCode"]


class CloseCode(enum.IntEnum):
    """The names of the close codes. Everywhere else a code is a plain `int`."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    RESERVED = 1004
    NO_STATUS_RECEIVED = 1005
    """Never on the wire: the Close frame carried no code."""
    ABNORMAL_CLOSURE = 1006
    """Never on the wire: the connection ended without a Close frame."""
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    """Never on the wire: the TLS handshake failed."""

    @staticmethod
    def is_valid(code: int) -> bool:
        """Whether a peer may send this code: 1000-1003, 1007-1014 and 3000-4999.

        RFC 6455 section 7.4.2 leaves 1016 to 2999 to future versions of the protocol, so today
        nobody can mean anything by them.
        """
        return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999

    @staticmethod
    def is_sendable(code: int) -> bool:
        """Whether `close` accepts this code: the same codes that may be received."""
        return CloseCode.is_valid(code)

    @staticmethod
    def describe(code: int) -> str:
        """A few words for a code, such as ``"protocol error"``; for any integer."""
        words = _WORDS.get(code)
        if words is not None:
            return words
        if 3000 <= code <= 3999:
            return "registered with IANA"
        if 4000 <= code <= 4999:
            return "private use"
        return "unknown"


_WORDS: dict[int, str] = {
    CloseCode.NORMAL: "normal closure",
    CloseCode.GOING_AWAY: "going away",
    CloseCode.PROTOCOL_ERROR: "protocol error",
    CloseCode.UNSUPPORTED_DATA: "unsupported data",
    CloseCode.RESERVED: "reserved",
    CloseCode.NO_STATUS_RECEIVED: "no status received",
    CloseCode.ABNORMAL_CLOSURE: "abnormal closure",
    CloseCode.INVALID_PAYLOAD: "invalid payload data",
    CloseCode.POLICY_VIOLATION: "policy violation",
    CloseCode.MESSAGE_TOO_BIG: "message too big",
    CloseCode.MANDATORY_EXTENSION: "mandatory extension",
    CloseCode.INTERNAL_ERROR: "internal error",
    CloseCode.SERVICE_RESTART: "service restart",
    CloseCode.TRY_AGAIN_LATER: "try again later",
    CloseCode.BAD_GATEWAY: "bad gateway",
    CloseCode.TLS_HANDSHAKE: "TLS handshake failed",
}

"""Frame opcodes (RFC 6455 section 5.2)."""

from __future__ import annotations

import enum

__all__ = ["Opcode"]


class Opcode(enum.IntEnum):
    """What a frame carries (RFC 6455 section 11.8)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA

    @property
    def is_control(self) -> bool:
        """Whether this is Close, Ping or Pong (RFC 6455 section 5.5)."""
        return self >= Opcode.CLOSE

    @property
    def is_data(self) -> bool:
        """Whether this is Text, Binary or a continuation of one (RFC 6455 section 5.6)."""
        return self < Opcode.CLOSE

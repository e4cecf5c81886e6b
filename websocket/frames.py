"""Single frames, for those who need no connection around them (RFC 6455 section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ._backend import BaseFrameDecoder, encode_frame
from .checks import as_bytes
from .errors import LocalProtocolError
from .opcodes import Opcode
from .values import Value, assign

__all__ = ["FIN", "RSV1", "BytesLike", "Frame", "FrameDecoder", "close_payload", "control_payload"]

BytesLike = Union[bytes, bytearray, memoryview]
"""What is taken for bytes; any other object with a buffer serves as well."""

FIN = 0x80
RSV1 = 0x40
"""Bits of the first octet of a frame (RFC 6455 section 5.2)."""

MAX_CONTROL_PAYLOAD = 125
"""Bytes that a control frame may carry (RFC 6455 section 5.5)."""


def control_payload(kind: str, payload: BytesLike) -> bytes:
    """Return the payload of a Ping or a Pong as bytes.

    Raises:
        LocalProtocolError: if it has more than 125 bytes.
        TypeError: if it is not bytes-like.
    """
    data = as_bytes(payload, "payload")
    if len(data) > MAX_CONTROL_PAYLOAD:
        raise LocalProtocolError(
            f"{kind} payload of {len(data)} bytes is longer than {MAX_CONTROL_PAYLOAD}"
        )
    return data


def close_payload(code: int | None, reason: str) -> bytes:
    """Return the payload of a Close frame (RFC 6455 section 5.5.1). Any 16-bit code is taken.

    Raises:
        LocalProtocolError: if the reason is not encodable or has more than 123 bytes of UTF-8.
        ValueError: if the code does not fit into 16 bits.
    """
    if code is None:
        return b""
    if not 0 <= code <= 0xFFFF:
        raise ValueError(f"close code must be from 0 to 65535, not {code}")
    try:
        text = reason.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"close reason {reason!r} cannot be encoded as UTF-8") from error
    if len(text) > MAX_CONTROL_PAYLOAD - 2:
        raise LocalProtocolError(
            f"close reason of {len(text)} bytes is longer than {MAX_CONTROL_PAYLOAD - 2}"
        )
    return code.to_bytes(2, "big") + text


@dataclass(frozen=True, init=False)
class Frame(Value):
    """A frame, as sent or as decoded.

    Args:
        opcode: what it carries.
        payload: any bytes-like object.
        fin: whether it is the last frame of its message.
        rsv1: the first bit reserved for extensions; `rsv2` and `rsv3` are the others.
        masked: whether it came masked. How it is encoded is a matter of the method called.

    Raises:
        ValueError: if there is no such opcode.
        TypeError: if the payload is not bytes-like.

    >>> Frame.text("Hello").encode_unmasked().hex()
    '810548656c6c6f'
    """

    __slots__ = __match_args__ = ("opcode", "payload", "fin", "rsv1", "rsv2", "rsv3", "masked")
    opcode: Opcode
    payload: bytes
    fin: bool
    rsv1: bool
    rsv2: bool
    rsv3: bool
    masked: bool

    def __init__(
        self,
        opcode: int,
        payload: BytesLike = b"",
        fin: bool = True,
        rsv1: bool = False,
        rsv2: bool = False,
        rsv3: bool = False,
        masked: bool = False,
    ) -> None:
        assign(
            self,
            opcode=Opcode(opcode),
            payload=as_bytes(payload, "payload"),
            fin=bool(fin),
            rsv1=bool(rsv1),
            rsv2=bool(rsv2),
            rsv3=bool(rsv3),
            masked=bool(masked),
        )

    @classmethod
    def text(cls, text: str) -> Frame:
        """Make a whole text message."""
        return cls(Opcode.TEXT, text.encode())

    @classmethod
    def binary(cls, data: BytesLike) -> Frame:
        """Make a whole binary message."""
        return cls(Opcode.BINARY, data)

    @classmethod
    def ping(cls, payload: BytesLike = b"") -> Frame:
        """Make a Ping.

        Raises:
            LocalProtocolError: if the payload has more than 125 bytes.
        """
        return cls(Opcode.PING, control_payload("Ping", payload))

    @classmethod
    def pong(cls, payload: BytesLike = b"") -> Frame:
        """Make a Pong.

        Raises:
            LocalProtocolError: if the payload has more than 125 bytes.
        """
        return cls(Opcode.PONG, control_payload("Pong", payload))

    @classmethod
    def close(cls, code: int | None = None, reason: str = "") -> Frame:
        """Make a Close frame, with any 16-bit code. Without a code the reason is left out.

        Raises:
            LocalProtocolError: if the reason has more than 123 bytes of UTF-8.
            ValueError: if the code does not fit into 16 bits.
        """
        return cls(Opcode.CLOSE, close_payload(code, reason))

    def encode(self, masking_key: bytes) -> bytes:
        """Return the bytes of the frame as a client sends it (RFC 6455 section 5.3).

        Nothing is validated: a fragmented control frame can be made for a test.

        Raises:
            ValueError: if the key has not 4 bytes.
            TypeError: if the key is not bytes.
        """
        return encode_frame(self._first_octet, self.payload, masking_key)

    def encode_unmasked(self) -> bytes:
        """Return the bytes of the frame as a server sends it. Nothing is validated."""
        return encode_frame(self._first_octet, self.payload)

    @property
    def _first_octet(self) -> int:
        return self.fin << 7 | self.rsv1 << 6 | self.rsv2 << 5 | self.rsv3 << 4 | self.opcode


class FrameDecoder(BaseFrameDecoder):
    """Splits a stream of bytes into frames.

    It knows neither which side it serves nor what messages are, and sets no limit: reserved bits,
    the masking direction and the order of fragments are left to the caller.

    >>> decoder = FrameDecoder()
    >>> decoder.feed(bytes.fromhex("810548656c6c6f"))
    >>> decoder.decode().payload
    b'Hello'
    """

    __slots__ = ()

    def decode(self) -> Frame | None:
        """Return the next frame, unmasked, or `None` if its bytes are not complete.

        Raises:
            RemoteProtocolError: if the bytes are no frame. Nothing is consumed: to decode again
                gives the same error.
        """
        fields = self._decode()
        if fields is None:
            return None
        first, masked, payload = fields
        return Frame(
            first & 0x0F,
            payload,
            fin=bool(first & 0x80),
            rsv1=bool(first & 0x40),
            rsv2=bool(first & 0x20),
            rsv3=bool(first & 0x10),
            masked=masked,
        )

"""Messages that are encoded once and sent on many connections."""

from __future__ import annotations

from collections.abc import Hashable

from ._backend import encode_frame
from .checks import as_bytes
from .codec import PerMessageDeflate
from .errors import LocalProtocolError
from .frames import FIN, RSV1, BytesLike
from .opcodes import Opcode

__all__ = ["Encoding", "PreparedMessage"]


class Encoding:
    """A message as it goes over one kind of connection.

    Args:
        first_octet: of its only frame.
        payload: of that frame, compressed or not.

    Attributes:
        compressed: whether the payload is.
        frame: the frame as every server sends it; a client masks each anew (RFC 6455 section 5.3).
    """

    __slots__ = ("compressed", "first_octet", "frame", "payload")

    def __init__(self, first_octet: int, payload: bytes) -> None:
        self.first_octet = first_octet
        self.payload = payload
        self.compressed = bool(first_octet & RSV1)
        self.frame = encode_frame(first_octet, payload)


class PreparedMessage:
    """A message for `send_prepared`, which encodes and compresses it once for all connections.

    It is compressed without the history of any connection, once for each way of compressing that
    was agreed on. A connection with context takeover forgets its own history when it sends it.

    Args:
        content: `str` for a text message, any bytes-like object for a binary one.

    Raises:
        LocalProtocolError: if the text is not encodable as UTF-8.
        TypeError: if `content` is of another type.

    >>> message = PreparedMessage("to all of you")
    >>> for connection in ():
    ...     connection.send_prepared(message)
    """

    __slots__ = ("_compressed", "_plain")

    def __init__(self, content: str | BytesLike) -> None:
        if isinstance(content, str):
            try:
                payload = content.encode()
            except UnicodeEncodeError as error:
                raise LocalProtocolError(f"text cannot be encoded as UTF-8: {error}") from error
            opcode = Opcode.TEXT
        else:
            payload = as_bytes(content, "content")
            opcode = Opcode.BINARY
        self._plain = Encoding(FIN | opcode, payload)
        self._compressed: dict[Hashable, Encoding] = {}

    def encode(self, deflate: PerMessageDeflate | None) -> Encoding:
        """Return the encoding for a connection.

        Args:
            deflate: its agreement on permessage-deflate, if there is one.
        """
        plain = self._plain
        if deflate is None:
            return plain
        size = len(plain.payload)
        if not deflate.can_compress or size < deflate.threshold:
            return plain
        encoding = self._compressed.get(deflate.manner)
        if encoding is None:
            payload = deflate.compress_alone(plain.payload)
            encoding = plain
            if len(payload) < size:
                encoding = Encoding(plain.first_octet | RSV1, payload)
            self._compressed[deflate.manner] = encoding
        return encoding

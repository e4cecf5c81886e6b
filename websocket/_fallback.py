"""The wire in Python: the twin of ``_speedups.pyx``, and what runs where that is not built.

Both hold what is done for every message: the frames of RFC 6455 section 5, their masking, the
assembly of messages, incremental UTF-8, and the queues of a connection. They have the same
classes in the same order, with the same names, and for the same input the same results.
"""

from __future__ import annotations

import os
import sys
from codecs import utf_8_decode
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from . import faults
from .checks import as_bytes
from .errors import RemoteProtocolError
from .randomness import RandomSource
from .states import ConnectionState
from .timers import check_timestamp

__all__ = [
    "BaseConnection",
    "BaseFrameDecoder",
    "BinaryFragment",
    "BinaryMessage",
    "SendData",
    "TextFragment",
    "TextMessage",
    "apply_mask",
    "encode_frame",
]

CONNECTED = ConnectionState.CONNECTED
CLOSING = ConnectionState.CLOSING

# RFC 6455 section 5.2. The opcodes as plain integers: an enum call costs more than a frame.
CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PONG = 0xA

FIN = 0x80
RESERVED = 0x70
RSV1 = 0x40
MASKED = 0x80

NO_FRAME = -1
"""The opcode while no frame is in progress."""

NO_LIMIT = sys.maxsize

JOIN_SIZE = 16 * 1024
"""Sends nobody has polled yet are joined up to this many bytes, payloads from it on not copied."""

FRAGMENT_SIZE = 64 * 1024
"""Inflated bytes in one event while streaming."""

DECODED_SIZE = 64 * 1024
"""Bytes of a long text that are decoded at a time."""

KEYS_IN_POOL = 64
"""Masking keys drawn from the operating system at once: a system call costs as much as a frame."""

INTEGER_MASK_SIZE = 768
"""Up to about this many bytes one long XOR beats four translations."""


# Masking (RFC 6455 section 5.3)

_from_bytes = int.from_bytes


@lru_cache(maxsize=256)
def _xor_table(octet: int) -> bytes:
    return bytes(octet ^ other for other in range(256))


def _mask(data: bytes | bytearray | memoryview, key: bytes) -> bytes | bytearray:
    """Return the data masked: short data as `bytes`, long as a `bytearray` nobody else holds."""
    size = len(data)
    if size <= INTEGER_MASK_SIZE:
        repeated = key * (size // 4) + key[: size % 4]
        number = _from_bytes(data, "little") ^ _from_bytes(repeated, "little")
        return number.to_bytes(size, "little")
    masked = bytearray(data)
    for lane in range(4):
        masked[lane::4] = masked[lane::4].translate(_xor_table(key[lane]))
    return masked


def _check_key(key: Any) -> bytes:
    if not isinstance(key, bytes):
        raise faults.not_a_masking_key(key)
    if len(key) != 4:
        raise faults.wrong_masking_key(key)
    return key


def apply_mask(data: Any, masking_key: bytes) -> bytes:
    """Return `data` XORed with the key over and over: masked, or unmasked (RFC 6455 section 5.3).

    Args:
        data: any bytes-like object.
        masking_key: 4 bytes.

    Raises:
        ValueError: if the key has not 4 bytes.
        TypeError: if either is of another type.
    """
    return bytes(_mask(as_bytes(data), _check_key(masking_key)))


# Encoding (RFC 6455 section 5.2)


def _encode_head(first: int, size: int, mask_bit: int) -> bytes:
    if size < 126:
        return (first << 8 | mask_bit | size).to_bytes(2, "big")
    if size < 65536:
        return (first << 24 | (mask_bit | 126) << 16 | size).to_bytes(4, "big")
    return (first << 72 | (mask_bit | 127) << 64 | size).to_bytes(10, "big")


def _encode_frame(first: int, payload: bytes, key: bytes | None) -> bytes:
    if key is None:
        return _encode_head(first, len(payload), 0) + payload
    return _encode_head(first, len(payload), MASKED) + key + _mask(payload, key)


def encode_frame(first_octet: int, payload: Any, masking_key: bytes | None = None) -> bytes:
    """Return the bytes of a frame (RFC 6455 section 5.2). Nothing is validated but the types.

    Args:
        first_octet: FIN, the reserved bits and the opcode.
        payload: any bytes-like object.
        masking_key: 4 bytes, or `None` for an unmasked frame.

    Raises:
        ValueError: if the key has not 4 bytes, or the first octet is none.
        TypeError: if one of them is of another type.
    """
    if not 0 <= first_octet <= 255:
        raise faults.not_an_octet(first_octet)
    data = as_bytes(payload)
    return _encode_frame(
        first_octet, data, None if masking_key is None else _check_key(masking_key)
    )


# Judging a header, as early as its octets allow (RFC 6455 section 5.2)


def _judge_start(first: int, second: int, reserved: int) -> RemoteProtocolError | None:
    """Judge the first two octets; `reserved` are the reserved bits that must be clear."""
    opcode = first & 0x0F
    if BINARY < opcode < CLOSE or opcode > PONG:
        return faults.unknown_opcode(opcode)
    if first & reserved & ~RSV1:
        return faults.reserved_bits(first & reserved & ~RSV1)
    if first & reserved:
        return faults.reserved_bits(first & reserved)
    if opcode >= CLOSE:
        if not first & FIN:
            return faults.control_fragmented(opcode)
        if second & 0x7F > 125:
            return faults.control_too_long(opcode)
    return None


def _judge_length(length: int, octets: int) -> RemoteProtocolError | None:
    """Judge an extended payload length written in so many octets."""
    if length >> 63:
        return faults.length_too_large(length)
    if length < (126 if octets == 2 else 65536):
        return faults.length_not_minimal(length, octets)
    return None


def _raise_if(violation: RemoteProtocolError | None) -> None:
    if violation is not None:
        try:
            raise violation
        finally:
            # Else the error would hold this frame, and the frame the error.
            del violation


def _extra_octets(second: int) -> int:
    """How many octets of extended payload length follow the second octet."""
    code = second & 0x7F
    return 0 if code < 126 else 2 if code == 126 else 8


# UTF-8, checked as it comes (RFC 6455 section 8.1; RFC 3629 section 4)


def _check_utf8(text: bytes, final: bool) -> tuple[int, bool]:
    """Return where the last whole character ends, and whether the rest may be the next one."""
    try:
        end = utf_8_decode(text, "strict", final)[1]
    except UnicodeDecodeError as error:
        return error.start, False
    # CPython notices half of a surrogate pair only at its third octet.
    return end, not b"\xed\xa0" <= text[end : end + 2] <= b"\xed\xbf"


def _decode_in_pieces(text: bytes | bytearray) -> list[str]:
    """Decode a long text, known to be UTF-8, in short ones.

    CPython's decoder widens its buffer as wider characters come, and so would take up to six times
    the size of the text.
    """
    pieces = []
    position = 0
    view = memoryview(text)
    while position < len(view):
        piece, size = utf_8_decode(view[position : position + DECODED_SIZE], "strict", False)
        pieces.append(piece)
        position += size
    return pieces


# The values made for every message


class _MessageValue:
    """Fields set once. Equality by type and fields; a readable repr."""

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"cannot assign to {name!r}: a {type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"cannot delete {name!r}: a {type(self).__name__} is immutable")

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((type(self), *self._fields()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._fields()


class TextMessage(_MessageValue):
    """A whole text message has come.

    Args:
        text: its content.
    """

    __slots__ = __match_args__ = ("text",)
    text: str

    def __init__(self, text: str) -> None:
        if type(text) is not str:
            raise faults.wrong_type("text", "str", text)
        _set_text(self, text)


class BinaryMessage(_MessageValue):
    """A whole binary message has come.

    Args:
        data: its content.
    """

    __slots__ = __match_args__ = ("data",)
    data: bytes

    def __init__(self, data: bytes) -> None:
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        _set_binary(self, data)


class TextFragment(_MessageValue):
    """A piece of a text message has come, while streaming. A character is never split.

    Args:
        text: what has come since the last piece.
        final: whether this ends the message.
    """

    __slots__ = __match_args__ = ("text", "final")
    text: str
    final: bool

    def __init__(self, text: str, final: bool) -> None:
        if type(text) is not str:
            raise faults.wrong_type("text", "str", text)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "final", bool(final))


class BinaryFragment(_MessageValue):
    """A piece of a binary message has come, while streaming.

    Args:
        data: what has come since the last piece.
        final: whether this ends the message.
    """

    __slots__ = __match_args__ = ("data", "final")
    data: bytes
    final: bool

    def __init__(self, data: bytes, final: bool) -> None:
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "final", bool(final))


class SendData(_MessageValue):
    """Write these bytes to the transport.

    Args:
        data: never empty.
    """

    __slots__ = __match_args__ = ("data",)
    data: bytes

    def __init__(self, data: bytes) -> None:
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        _set_data(self, data)


# The way around __setattr__, and a fast one: the slots themselves.
_new = object.__new__
_set_text = TextMessage.__dict__["text"].__set__
_set_binary = BinaryMessage.__dict__["data"].__set__
_set_data = SendData.__dict__["data"].__set__


def _new_text(text: str) -> TextMessage:
    message = _new(TextMessage)
    _set_text(message, text)
    return message


def _new_binary(data: bytes) -> BinaryMessage:
    message = _new(BinaryMessage)
    _set_binary(message, data)
    return message


def _new_data(data: bytes) -> SendData:
    output = _new(SendData)
    _set_data(output, data)
    return output


# Single frames


class BaseFrameDecoder:
    """Splits a stream of bytes into the fields of frames."""

    __slots__ = ("_buffer", "_position")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._position = 0

    def feed(self, data: Any) -> None:
        """Take bytes in.

        Args:
            data: any bytes-like object; it is copied.

        Raises:
            TypeError: if it is not bytes-like.
        """
        piece = as_bytes(data)
        # Shifting when half is consumed moves each byte at most once on average.
        if self._position > len(self._buffer) // 2:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += piece

    def clear(self) -> None:
        """Forget all bytes that are not decoded yet."""
        self._buffer.clear()
        self._position = 0

    @property
    def buffer_len(self) -> int:
        """How many bytes are not decoded yet."""
        return len(self._buffer) - self._position

    def _decode(self) -> tuple[int, bool, bytes] | None:
        """Return the first octet, whether it was masked, and the payload of the next frame."""
        buffer = self._buffer
        start = self._position
        available = len(buffer) - start
        if available < 2:
            return None
        first = buffer[start]
        second = buffer[start + 1]
        _raise_if(_judge_start(first, second, 0))
        extra = _extra_octets(second)
        size = 2 + extra
        if available < size:
            return None
        length = second & 0x7F
        if extra:
            length = int.from_bytes(buffer[start + 2 : start + size], "big")
            _raise_if(_judge_length(length, extra))
        masked = bool(second & MASKED)
        if masked:
            size += 4
        if available - size < length:
            return None
        begin = start + size
        payload = bytes(buffer[begin : begin + length])
        if masked:
            payload = bytes(_mask(payload, bytes(buffer[begin - 4 : begin])))
        self._position = begin + length
        return first, masked, payload


# Forks

# How often this process and its parents were forked. The masking keys that a parent has drawn and
# not used yet are its own: a child that used them too would repeat them (RFC 6455 section 10.3).
forks = 0


def _count_fork() -> None:
    global forks  # noqa: PLW0603
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


# A connection


class BaseConnection:
    """The hot half of a connection; `connection.Connection` supplies the rest through the hooks.

    Args:
        client: whether this is the client, which masks what it sends.
        random: the caller's source of masking keys, or `None` for the operating system's.
        state: the state to begin in.
        max_frame_size, max_message_size, max_decompressed_size, max_fragments: the limits of the
            options.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_backlog_size",
        "_chunk",
        "_chunk_now",
        "_client",
        "_complete",
        "_compressed",
        "_control",
        "_deflate",
        "_ended",
        "_eof",
        "_events",
        "_fin",
        "_fragments",
        "_head",
        "_head_size",
        "_key",
        "_key_position",
        "_keys",
        "_keys_drawn_at",
        "_left",
        "_max_decompressed_size",
        "_max_fragments",
        "_max_frame_size",
        "_max_message_size",
        "_message",
        "_message_opcode",
        "_message_size",
        "_more",
        "_now",
        "_opcode",
        "_outgoing",
        "_outgoing_compressed",
        "_outgoing_tail",
        "_output_size",
        "_outputs",
        "_position",
        "_random",
        "_state",
        "_streamed",
        "_streaming",
        "_tail",
        "_text_size",
        "_unpolled",
    )

    def __init__(
        self,
        *,
        client: bool,
        random: RandomSource | None,
        state: ConnectionState,
        max_frame_size: int | None,
        max_message_size: int | None,
        max_decompressed_size: int | None,
        max_fragments: int | None,
    ) -> None:
        self._client = client
        self._random = random
        # Written by `Connection._enter` alone.
        self._state = state
        self._max_frame_size = NO_LIMIT if max_frame_size is None else min(max_frame_size, NO_LIMIT)
        self._max_message_size = (
            NO_LIMIT if max_message_size is None else min(max_message_size, NO_LIMIT)
        )
        self._max_decompressed_size = (
            NO_LIMIT if max_decompressed_size is None else min(max_decompressed_size, NO_LIMIT)
        )
        self._max_fragments = NO_LIMIT if max_fragments is None else min(max_fragments, NO_LIMIT)
        # Input: the chunk being decoded, how far, and those behind it, each with its `now`.
        self._chunk: bytes | None = None
        self._position = 0
        self._chunk_now: float | None = None
        self._backlog: deque[tuple[bytes, float | None]] | None = None
        self._backlog_size = 0
        self._now: float | None = None
        self._unpolled = False
        self._eof = False
        # The frame in progress: its head, then its payload.
        self._head = b""
        self._head_size = 2
        self._opcode = NO_FRAME
        self._fin = False
        self._left = 0
        self._key: bytes | None = None
        self._control = b""
        # The message in progress: how large it is, announced or inflated, and what is assembled.
        self._message_opcode = CONTINUATION
        self._message: bytearray | None = None
        self._message_size = 0
        self._fragments = 0
        self._complete = False
        # Its text: the size of the whole characters, and what follows them of another.
        self._text_size = 0
        self._tail = b""
        # Compression: a `codec.PerMessageDeflate`, while there is one; whether the message in
        # progress is compressed, whether all of its payload has been handed over, and whether there
        # may be more of it without any more input.
        self._deflate: Any = None
        self._compressed = False
        self._ended = False
        self._more = False
        # Whether messages, and the one in progress, come in fragments.
        self._streaming = False
        self._streamed = False
        # Output.
        # Made when needed: an empty `deque` takes 600 bytes, and messages never wait in this one.
        self._events: deque[Any] | None = None
        self._outputs: deque[Any] = deque()
        self._output_size = 0
        self._outgoing = CONTINUATION
        self._outgoing_tail = b""
        self._outgoing_compressed = False
        self._keys = b""
        self._key_position = 0
        self._keys_drawn_at = 0

    # Input

    def feed_recv_buf(self, data: Any, now: float | None = None) -> None:
        """Take in bytes that have come from the peer; `poll_event` decodes them.

        Args:
            data: any bytes-like object. Exact `bytes` are kept, anything else is copied.
            now: the time in seconds, on any clock of the caller's.

        Raises:
            LocalProtocolError: if a client has not called `connect` yet, or after `feed_eof`.
            TypeError: if `data` is not bytes-like or `now` is not a number.
        """
        chunk = data if type(data) is bytes else as_bytes(data)
        if now is not None and type(now) is not float:
            now = check_timestamp(now)
        if self._state is not CONNECTED and not self._admit():
            return
        if self._eof:
            raise faults.data_after_eof()
        if not chunk:
            return
        self._unpolled = True
        if self._chunk is None:
            self._chunk = chunk
            self._position = 0
            self._chunk_now = now
            return
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append((chunk, now))
        self._backlog_size += len(chunk)

    @property
    def recv_buffer_len(self) -> int:
        """Bytes held for events to come: undecoded input and the message under assembly."""
        held = self._backlog_size + len(self._head) + len(self._control)
        if self._chunk is not None:
            held += len(self._chunk) - self._position
        if self._message is not None:
            held += len(self._message)
        if self._compressed and self._deflate is not None:
            held += self._deflate.held
        return held

    def _take(self, size: int) -> bytes:
        """Take up to `size` bytes from the chunk, and go on to the next one at its end."""
        chunk = self._chunk
        assert chunk is not None
        piece = chunk[self._position : self._position + size]
        self._advance(len(piece))
        return piece

    def _advance(self, size: int) -> None:
        """Count bytes of the chunk as taken, and go on to the next one at its end."""
        chunk = self._chunk
        assert chunk is not None
        self._now = self._chunk_now
        self._position += size
        # Beyond the end, if two threads have taken the same bytes: that must not go on for ever.
        if self._position >= len(chunk):
            self._next_chunk()

    def _next_chunk(self) -> None:
        self._position = 0
        if self._backlog:
            self._chunk, self._chunk_now = self._backlog.popleft()
            self._backlog_size -= len(self._chunk)
        else:
            self._chunk = None
            self._backlog = None

    def _take_input(self) -> bytes:
        """Take all undecoded input, for the opening handshake."""
        pieces = []
        while self._chunk is not None:
            pieces.append(self._take(len(self._chunk)))
        return b"".join(pieces)

    def _return_input(self, data: bytes) -> None:
        """Give back what does not belong to the opening handshake."""
        if data:
            self._chunk = data
            self._position = 0
            self._chunk_now = self._now

    def _discard_input(self) -> None:
        """Forget all input, and the frame and the message in progress."""
        self._chunk = None
        self._backlog = None
        self._backlog_size = 0
        self._head = b""
        self._head_size = 2
        self._opcode = NO_FRAME
        self._control = b""
        self._end_message()

    # Events

    def poll_event(self) -> Any:
        """Return the next event, or `None` when more input is needed.

        The effects of an event (the Pong to a Ping, the answer to a Close, the failure of the
        connection) take place now, in the order of the wire. Nothing that the peer sent raises.
        """
        while True:
            if self._events is not None:
                event = self._events.popleft()
                if not self._events:
                    self._events = None
                return event
            if self._chunk is not None or self._more:
                if self._state is CONNECTED or self._state is CLOSING:
                    try:
                        event = self._decode()
                    except MemoryError:
                        self._fail(faults.out_of_memory())
                        continue
                    if event is not None:
                        return event
                    continue
                if self._poll_handshake():
                    continue
            if not self._eof:
                self._unpolled = False
                return None
            self._eof = False
            self._receive_eof()

    def events(self) -> Iterator[Any]:
        """Iterate over the events that the input gives; each step is one `poll_event`.

        The iterator ends where `poll_event` returns `None`; for more input, make another.
        """
        return iter(self.poll_event, None)

    def _push_event(self, event: Any) -> None:
        if self._events is None:
            self._events = deque()
        self._events.append(event)

    # Decoding

    def _decode(self) -> Any:
        """Return the next message of the chunk, or `None` where something else has happened."""
        if (
            self._opcode == NO_FRAME
            and not self._head
            and self._message_opcode == CONTINUATION
            and not self._streaming
        ):
            event = self._decode_small()
            if event is not None:
                return event
        while True:
            if self._opcode == NO_FRAME and not self._read_head():
                return None
            if self._opcode >= CLOSE:
                self._read_control()
                return None
            if self._compressed or self._streamed:
                event = self._read_pieces()
            else:
                event = self._read_data()
            if event is not None or self._opcode != NO_FRAME or self._chunk is None:
                return event

    def _decode_small(self) -> Any:
        """Decode a message of up to 65,535 bytes that lies in the chunk as one sound frame."""
        chunk = self._chunk
        assert chunk is not None
        start = self._position
        available = len(chunk) - start
        if available < 2:
            return None
        first = chunk[start]
        if first != FIN | TEXT and first != FIN | BINARY:
            return None
        length = chunk[start + 1] ^ (0 if self._client else MASKED)
        begin = start + (2 if self._client else 6)
        if length > 125:
            if length != 126 or available < 4:
                return None
            length = chunk[start + 2] << 8 | chunk[start + 3]
            begin += 2
            if length < 126:
                return None
        end = begin + length
        if end > len(chunk) or length > self._max_frame_size or length > self._max_message_size:
            return None
        payload: bytes | bytearray = chunk[begin:end]
        if not self._client:
            payload = _mask(payload, chunk[begin - 4 : begin])
        if end == len(chunk):
            self._next_chunk()
        else:
            self._position = end
        return self._whole_message(first & 0x0F, payload)

    def _read_head(self) -> bool:
        """Read the head of a frame. False if there is more to come, or the connection has failed.

        Judged after two octets, and again after the extended length, before the masking key.
        """
        while True:
            while len(self._head) < self._head_size:
                if self._chunk is None:
                    return False
                self._head += self._take(self._head_size - len(self._head))
            head = self._head
            size = self._head_size
            if size == 2:
                violation = self._judge_frame(head[0], head[1])
                extra = _extra_octets(head[1])
                if violation is None and extra:
                    self._head_size = 2 + extra
                    continue
                self._left = head[1] & 0x7F
            elif size in (4, 10):
                self._left = int.from_bytes(head[2:], "big")
                violation = _judge_length(self._left, size - 2)
            else:
                break
            if violation is None and not head[0] & 0x08:
                violation = self._judge_size(head[0], self._left)
            if violation is not None:
                self._fail(violation)
                return False
            if not head[1] & MASKED:
                break
            self._head_size += 4
        self._begin_frame()
        return True

    def _judge_frame(self, first: int, second: int) -> RemoteProtocolError | None:
        opcode = first & 0x0F
        reserved = RESERVED
        if self._deflate is not None and opcode in (TEXT, BINARY):
            # RFC 7692 section 6: set on the first frame of a compressed message, nowhere else.
            reserved = RESERVED & ~RSV1
        violation = _judge_start(first, second, reserved)
        if violation is not None:
            return violation
        if bool(second & MASKED) is self._client:
            return faults.frame_masked() if self._client else faults.frame_not_masked()
        if opcode == CONTINUATION:
            if self._message_opcode == CONTINUATION:
                return faults.message_not_begun()
        elif opcode < CLOSE and self._message_opcode != CONTINUATION:
            return faults.message_interrupted(opcode)
        return None

    def _judge_size(self, first: int, length: int) -> RemoteProtocolError | None:
        """Judge a data frame by the limits (RFC 6455 section 10.4).

        How large a compressed message is shows as it is inflated.
        """
        if length > self._max_frame_size:
            return faults.frame_too_large(length, self._max_frame_size)
        if self._fragments + 1 > self._max_fragments:
            return faults.too_many_fragments(self._fragments + 1, self._max_fragments)
        compressed = self._compressed or first & RSV1
        if not compressed and self._message_size + length > self._max_message_size:
            return faults.message_too_large(self._message_size + length, self._max_message_size)
        return None

    def _begin_frame(self) -> None:
        head = self._head
        self._opcode = head[0] & 0x0F
        self._fin = bool(head[0] & FIN)
        self._key = None if self._client else head[-4:]
        self._head = b""
        self._head_size = 2
        if self._opcode < CLOSE:
            if self._opcode != CONTINUATION:
                self._message_opcode = self._opcode
                self._compressed = bool(head[0] & RSV1)
                self._streamed = self._streaming
            self._fragments += 1
            if not self._compressed:
                self._message_size += self._left

    def _read_control(self) -> None:
        """Read the payload of a control frame and hand it over once it is complete."""
        while self._left > 0:
            if self._chunk is None:
                return
            piece = self._take(self._left)
            self._left -= len(piece)
            self._control += piece
        payload = self._control if self._key is None else bytes(_mask(self._control, self._key))
        opcode = self._opcode
        self._control = b""
        self._opcode = NO_FRAME
        self._receive_control(opcode, payload, self._now)

    def _read_data(self) -> Any:
        """Read the payload of a data frame as far as it has come; return the message it ends."""
        chunk = self._chunk
        if (
            self._fin
            and not self._message
            and chunk is not None
            and len(chunk) - self._position >= self._left
        ):
            view = memoryview(chunk)[self._position : self._position + self._left]
            payload = bytes(view) if self._key is None else _mask(view, self._key)
            self._advance(self._left)
            opcode = self._message_opcode
            self._opcode = NO_FRAME
            self._end_message()
            return self._whole_message(opcode, payload)
        while self._left > 0:
            if self._chunk is None:
                return None
            piece = self._take_payload()
            if not self._append(piece):
                return None
        self._opcode = NO_FRAME
        return self._assembled_message() if self._fin else None

    def _read_pieces(self) -> Any:
        """Read on in a message that is compressed or streamed; return the event it gives next."""
        while True:
            piece = self._inflate() if self._compressed else self._read_piece()
            if piece is None:
                return None
            if self._streamed:
                event = self._fragment(piece)
                if event is not None:
                    return event
            elif self._complete and not self._message:
                opcode = self._message_opcode
                self._end_message()
                return self._whole_message(opcode, piece)
            elif piece and not self._append(piece):
                return None
            elif self._complete:
                return self._assembled_message()
            if not piece or self._opcode == NO_FRAME:
                return None

    def _read_piece(self) -> bytes:
        """Return what has come of the frame; empty if nothing has."""
        piece = b"" if self._chunk is None or not self._left else self._take_payload()
        if not self._left:
            self._opcode = NO_FRAME
            self._complete = self._fin
        return piece

    def _inflate(self) -> bytes | None:
        """Return what can be inflated of the frame, empty if nothing; `None` if it has failed."""
        deflate = self._deflate
        limit = min(self._max_message_size, self._max_decompressed_size)
        room = min(limit - self._message_size + 1, NO_LIMIT)
        if self._streamed:
            room = min(room, FRAGMENT_SIZE)
        piece: bytes = b""
        while True:
            if self._more:
                self._more = False
                try:
                    piece = deflate.read(room)
                except RemoteProtocolError as error:
                    self._fail(error)
                    return None
                if piece:
                    break
            if self._ended:
                self._opcode = NO_FRAME
                self._complete = True
                return b""
            if self._left:
                if self._chunk is None:
                    return b""
                payload = self._take_payload()
            elif self._fin:
                payload = b""
            else:
                self._opcode = NO_FRAME
                return b""
            self._ended = self._fin and not self._left
            deflate.feed(payload, self._ended)
            self._more = True
        self._message_size += len(piece)
        if self._message_size > limit:
            # What is not UTF-8 within the limit goes before what is beyond it.
            if self._message_opcode != TEXT or self._check_text(piece[:-1]):
                self._fail(
                    faults.inflated_too_large(self._max_message_size, self._max_decompressed_size)
                )
            return None
        if deflate.finished:
            self._opcode = NO_FRAME
            self._complete = True
        else:
            self._more = True
        return piece

    def _take_payload(self) -> bytes:
        """Take what the chunk holds of the frame's payload, unmasked."""
        piece = self._take(self._left)
        size = len(piece)
        self._left -= size
        if self._key is not None:
            piece = bytes(_mask(piece, self._key))
            phase = size % 4
            self._key = self._key[phase:] + self._key[:phase]
        return piece

    def _append(self, piece: bytes) -> bool:
        """Add a piece to the message. False if the connection has failed over it."""
        if self._message is None:
            self._message = bytearray()
        self._message += piece
        return self._message_opcode != TEXT or self._check_text(piece)

    def _fragment(self, piece: bytes) -> Any:
        """Make the event of a piece of a streamed message; `None` if it gives none."""
        complete = self._complete
        if self._message_opcode == TEXT:
            text = self._tail + piece
            if not self._check_text(piece):
                return None
            if complete and self._tail:
                self._fail(faults.message_not_utf8(self._tail[0], self._text_size))
                return None
            characters = text[: len(text) - len(self._tail)].decode()
            if complete:
                self._end_message()
            return TextFragment(characters, complete) if characters or complete else None
        if complete:
            self._end_message()
        return BinaryFragment(piece, complete) if piece or complete else None

    def _check_text(self, piece: bytes) -> bool:
        """Check the next bytes of a text. False if the connection has failed over them."""
        text = self._tail + piece
        end, sound = _check_utf8(text, False)
        if not sound:
            self._fail(faults.message_not_utf8(text[end], self._text_size + end))
            return False
        self._text_size += end
        self._tail = text[end:]
        return True

    def _whole_message(self, opcode: int, payload: bytes | bytearray) -> Any:
        if opcode == BINARY:
            return _new_binary(bytes(payload))
        try:
            return _new_text(payload.decode())
        except UnicodeDecodeError as error:
            self._fail(faults.message_not_utf8(payload[error.start], error.start))
            return None

    def _assembled_message(self) -> Any:
        message = self._message or b""
        opcode = self._message_opcode
        if self._tail:
            self._fail(faults.message_not_utf8(self._tail[0], self._text_size))
            return None
        self._end_message()
        if opcode == BINARY:
            return _new_binary(bytes(message))
        if len(message) <= DECODED_SIZE or message.isascii():
            return _new_text(message.decode())
        pieces = _decode_in_pieces(message)
        # Before the text is made once more, what it is made of need not be kept.
        message = b""
        return _new_text("".join(pieces))

    def _end_message(self) -> None:
        self._message_opcode = CONTINUATION
        self._message = None
        self._message_size = 0
        self._fragments = 0
        self._complete = False
        self._text_size = 0
        self._tail = b""
        self._compressed = False
        self._ended = False
        self._more = False
        self._streamed = False

    # Sending

    def send_text(self, text: Any, *, final: bool = True, compress: bool | None = None) -> None:
        """Send a text message, or with ``final=False`` its beginning.

        Args:
            text: `str`, or UTF-8 in any bytes-like object. The bytes of a fragment may end inside
                a character.
            final: whether this is all of the message.
            compress: whether to compress it where that was agreed on; `None` for what the options
                say. A message that is begun with ``final=False`` has no known size, and is.

        Raises:
            LocalProtocolError: if the state is not CONNECTED, a fragmented message is unfinished,
                or the text is not encodable or not UTF-8.
            TypeError: if `text` is neither `str` nor bytes-like.
        """
        # The call that tells what is wrong is made only where something is: calls cost time.
        if self._state is not CONNECTED or self._outgoing != CONTINUATION:
            self._check_sendable("send_text")
        payload, tail = self._text_payload(text, b"", final)
        self._send_data(TEXT, payload, final, compress)
        if not final:
            self._outgoing = TEXT
            self._outgoing_tail = tail

    def send_binary(self, data: Any, *, final: bool = True, compress: bool | None = None) -> None:
        """Send a binary message, or with ``final=False`` its beginning.

        Args:
            data: any bytes-like object.
            final: whether this is all of the message.
            compress: whether to compress it where that was agreed on; `None` for what the options
                say. A message that is begun with ``final=False`` has no known size, and is.

        Raises:
            LocalProtocolError: if the state is not CONNECTED or a fragmented message is unfinished.
            TypeError: if `data` is not bytes-like.
        """
        if self._state is not CONNECTED or self._outgoing != CONTINUATION:
            self._check_sendable("send_binary")
        self._send_data(BINARY, data if type(data) is bytes else as_bytes(data), final, compress)
        if not final:
            self._outgoing = BINARY

    def send_continuation(self, data: Any, *, final: bool = True) -> None:
        """Send the next piece of a message begun with ``final=False`` (RFC 6455 section 5.4).

        Args:
            data: as for `send_text` or `send_binary`, whichever began the message.
            final: whether this is the last piece.

        Raises:
            LocalProtocolError: if the state is not CONNECTED, no message has been begun, or the
                text is not encodable or, together with what was sent before, not UTF-8.
            TypeError: if `data` is of another type.
        """
        self._check_continuable("send_continuation")
        payload, tail = (
            self._text_payload(data, self._outgoing_tail, final)
            if self._outgoing == TEXT
            else (as_bytes(data), b"")
        )
        self._send_data(CONTINUATION, payload, final, None)
        self._outgoing_tail = tail
        if final:
            self._outgoing = CONTINUATION

    def _check_sendable(self, call: str) -> None:
        if self._state is not CONNECTED:
            raise faults.not_connected(call, self._state)
        if self._outgoing != CONTINUATION:
            raise faults.message_unfinished(call)

    def _check_continuable(self, call: str) -> None:
        if self._state is not CONNECTED:
            raise faults.not_connected(call, self._state)
        if self._outgoing == CONTINUATION:
            raise faults.nothing_to_continue()

    def _text_payload(self, text: Any, tail: bytes, final: bool) -> tuple[bytes, bytes]:
        """Return the UTF-8 of a text, and what of its end is not a whole character.

        `tail` is what was left so by the fragment before.
        """
        if isinstance(text, str):
            try:
                # Not as a subclass may have it: what goes out is what was checked.
                payload = str.encode(text)
            except UnicodeEncodeError as error:
                raise faults.text_not_encodable(error) from None
            if not tail:
                return payload, b""
        else:
            try:
                payload = as_bytes(text)
            except TypeError:
                raise faults.not_text(text) from None
        checked = tail + payload
        end, sound = _check_utf8(checked, final)
        if not sound:
            raise faults.text_not_utf8(checked[end])
        return payload, checked[end:]

    def _send_data(self, opcode: int, payload: bytes, final: bool, compress: bool | None) -> None:
        """Queue a data frame (RFC 6455 section 5.2)."""
        # Drawn first: what is wrong with a key must not leave a compressor changed.
        key = self._draw_key() if self._client else None
        first = opcode | FIN if final else opcode
        if self._deflate is not None:
            compressed = self._compress(self._deflate, opcode, payload, final, compress)
            if compressed is not None:
                payload = compressed
                if opcode != CONTINUATION:
                    first |= RSV1
        if key is not None or len(payload) < JOIN_SIZE:
            frame = _encode_frame(first, payload, key)
            self._output_size += len(frame)
            self._outputs.append(frame)
        else:
            self._push_output(_encode_head(first, len(payload), 0))
            self._push_output(payload)

    def _compress(
        self, deflate: Any, opcode: int, payload: bytes, final: bool, compress: bool | None
    ) -> bytes | None:
        """Compress the payload of a data frame, or return `None` if it goes as it is."""
        compressed: bytes | None = None
        if opcode == CONTINUATION:
            wanted = self._outgoing_compressed
        elif compress is None:
            wanted = not final or len(payload) >= deflate.threshold
        else:
            wanted = bool(compress)
        if not wanted or not deflate.can_compress:
            self._outgoing_compressed = False
            return None
        if opcode != CONTINUATION and final:
            compressed = deflate.compress_whole(payload)
        else:
            compressed = deflate.deflate(payload, final)
        self._outgoing_compressed = not final
        return compressed

    def _send_frame(self, first: int, payload: bytes) -> None:
        """Queue a frame as one piece."""
        key = self._draw_key() if self._client else None
        self._push_output(_encode_frame(first, payload, key))

    def _draw_key(self) -> bytes:
        """Return the masking key of the next frame (RFC 6455 section 5.3)."""
        if self._random is not None:
            state = self._state
            key = _check_key(self._random.masking_key())
            if self._state is not state:
                raise faults.state_changed(state, self._state)
            return key
        position = self._key_position
        if position == len(self._keys) or self._keys_drawn_at != forks:
            self._keys = os.urandom(4 * KEYS_IN_POOL)
            self._keys_drawn_at = forks
            position = 0
        self._key_position = position + 4
        return self._keys[position : position + 4]

    # Outputs

    def poll_output(self) -> Any:
        """Return the next output, or `None` when there is none."""
        outputs = self._outputs
        if not outputs:
            return None
        output = outputs.popleft()
        if type(output) is not bytes:
            return output
        size = len(output)
        if outputs and size < JOIN_SIZE:
            pieces = [output]
            while outputs and type(outputs[0]) is bytes and size + len(outputs[0]) <= JOIN_SIZE:
                size += len(outputs[0])
                pieces.append(outputs.popleft())
            output = b"".join(pieces)
        self._output_size -= size
        return _new_data(output)

    def outputs(self) -> Iterator[Any]:
        """Iterate over what is to be done; each step is one `poll_output`.

        The iterator ends where `poll_output` returns `None`; for more outputs, make another.
        """
        return iter(self.poll_output, None)

    @property
    def send_buffer_len(self) -> int:
        """Bytes in outputs that nobody has polled yet."""
        return self._output_size

    def _push_output(self, output: Any) -> None:
        """Queue an output; `bytes` become a `SendData` when polled."""
        if type(output) is bytes:
            self._output_size += len(output)
        self._outputs.append(output)

    # Hooks: the cold half, supplied by `connection.Connection`

    def _admit(self) -> bool:
        """Whether input is taken in a state other than CONNECTED."""
        raise NotImplementedError

    def _poll_handshake(self) -> bool:
        """Go on with the opening handshake; whether anything has happened."""
        raise NotImplementedError

    def _receive_control(self, opcode: int, payload: bytes, now: float | None) -> None:
        """A control frame has come."""
        raise NotImplementedError

    def _receive_eof(self) -> None:
        """The stream has ended, and all that came before is decoded."""
        raise NotImplementedError

    def _fail(self, error: RemoteProtocolError) -> None:
        """The peer broke the protocol: fail the connection."""
        raise NotImplementedError

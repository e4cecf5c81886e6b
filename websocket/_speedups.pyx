# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""The wire in C: the twin of ``_fallback.py``.

Both hold what is done for every message: the frames of RFC 6455 section 5, their masking, the
assembly of messages, incremental UTF-8, and the queues of a connection. They have the same
classes in the same order, with the same names, and for the same input the same results.

No pointer into an object lives across a call into Python, and no offset is half-updated there.
"""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_XDECREF
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from . import faults
from .checks import as_bytes
from .errors import RemoteProtocolError
from .states import ConnectionState
from .timers import check_timestamp

ctypedef unsigned char octet

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX
    int _PyBytes_Resize(PyObject** value, Py_ssize_t size) except -1
    PyObject* PyBytes_New "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) except NULL
    char* PyBytes_Data "PyBytes_AS_STRING"(PyObject* value)
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 largest)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    object PyUnicode_AsUTF8String(object text)
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) except? -1

cdef extern from "_wide.h" nogil:
    bint wide_available()
    Py_ssize_t wide_mask(
        octet* target, const octet* source, Py_ssize_t size, uint64_t key, uint64_t* seen
    )
    Py_ssize_t wide_count(
        const octet* source, Py_ssize_t size, Py_ssize_t* characters, octet* largest
    )
    Py_ssize_t wide_decode(uint16_t* target, const octet* source, Py_ssize_t size)

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

cdef object CONNECTED = ConnectionState.CONNECTED
cdef object CLOSING = ConnectionState.CLOSING

# RFC 6455 section 5.2
cdef enum:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PONG = 0xA

    FIN = 0x80
    RESERVED = 0x70
    RSV1 = 0x40
    MASKED = 0x80

    # The opcode while no frame is in progress.
    NO_FRAME = -1

    LONGEST_HEAD = 14

    # Sends nobody has polled yet are joined up to this many bytes, payloads from it on not copied.
    JOIN_SIZE = 16 * 1024

    # Inflated bytes in one event while streaming.
    FRAGMENT_SIZE = 64 * 1024

    # Masking keys drawn from the operating system at once: a system call costs as much as a frame.
    KEYS_IN_POOL = 64

    # The least that is reserved for a message that does not come whole.
    SMALLEST_MESSAGE = 64

    # From so many octets on, wide vectors are worth asking for.
    WIDE_SIZE = 128

cdef Py_ssize_t NO_LIMIT = PY_SSIZE_T_MAX
cdef uint64_t HIGH_BITS = 0x8080808080808080


cdef inline bytes _as_bytes(object data):
    return <bytes>data if type(data) is bytes else as_bytes(data)


cdef int _get_buffer(object data, Py_buffer* view) except -1:
    """Get at the bytes of a bytes-like object; at a copy if they lie scattered."""
    try:
        return PyObject_GetBuffer(data, view, PyBUF_SIMPLE)
    except (BufferError, TypeError, ValueError):
        return PyObject_GetBuffer(as_bytes(data), view, PyBUF_SIMPLE)


# Masking (RFC 6455 section 5.3)


cdef uint64_t _mask(
    octet* target, const octet* source, Py_ssize_t size, const octet* key, int phase
) noexcept nogil:
    """Write the masked source to the target; return all octets written, one OR the other.

    `phase` is the index of the key's octet that comes first. Words are moved by `memcpy`, which
    asks for no alignment and which compilers turn into vector instructions.
    """
    cdef octet repeated[8]
    cdef uint64_t long_key, word
    cdef uint64_t seen = 0
    cdef Py_ssize_t i = 0
    memcpy(repeated, key, 4)
    if phase:
        memcpy(repeated, key + phase, 4 - phase)
        memcpy(repeated + 4 - phase, key, phase)
    memcpy(repeated + 4, repeated, 4)
    memcpy(&long_key, repeated, 8)
    if size >= WIDE_SIZE and wide_available():
        i = wide_mask(target, source, size, long_key, &seen)
    while i + 8 <= size:
        memcpy(&word, source + i, 8)
        word ^= long_key
        seen |= word
        memcpy(target + i, &word, 8)
        i += 8
    while i < size:
        target[i] = source[i] ^ repeated[i & 7]
        seen |= target[i]
        i += 1
    return seen


cdef const octet* _check_key(object key) except NULL:
    if not isinstance(key, bytes):
        raise faults.not_a_masking_key(key)
    if PyBytes_GET_SIZE(key) != 4:
        raise faults.wrong_masking_key(key)
    return <const octet*>PyBytes_AS_STRING(key)


def apply_mask(data, masking_key):
    """Return `data` XORed with the key over and over: masked, or unmasked (RFC 6455 section 5.3).

    Args:
        data: any bytes-like object.
        masking_key: 4 bytes.

    Raises:
        ValueError: if the key has not 4 bytes.
        TypeError: if either is of another type.
    """
    cdef Py_buffer view
    cdef bytes masked
    _get_buffer(data, &view)
    try:
        _check_key(masking_key)
        masked = PyBytes_FromStringAndSize(NULL, view.len)
        _mask(
            <octet*>PyBytes_AS_STRING(masked),
            <const octet*>view.buf,
            view.len,
            <const octet*>PyBytes_AS_STRING(masking_key),
            0,
        )
    finally:
        PyBuffer_Release(&view)
    return masked


# Encoding (RFC 6455 section 5.2)


cdef inline int _head_size(Py_ssize_t size) noexcept nogil:
    return 2 if size < 126 else 4 if size < 65536 else 10


cdef octet* _encode_head(octet* target, int first, Py_ssize_t size, int mask_bit) noexcept nogil:
    """Write all of a head but the masking key; return where it ends."""
    cdef int i
    target[0] = <octet>first
    if size < 126:
        target[1] = <octet>(mask_bit | size)
        return target + 2
    if size < 65536:
        target[1] = <octet>(mask_bit | 126)
        target[2] = <octet>(size >> 8)
        target[3] = <octet>(size & 0xFF)
        return target + 4
    target[1] = <octet>(mask_bit | 127)
    for i in range(8):
        target[2 + i] = <octet>((<uint64_t>size >> (56 - 8 * i)) & 0xFF)
    return target + 10


cdef bytes _encode_head_alone(int first, Py_ssize_t size):
    cdef bytes head = PyBytes_FromStringAndSize(NULL, _head_size(size))
    _encode_head(<octet*>PyBytes_AS_STRING(head), first, size, 0)
    return head


cdef bytes _encode_unmasked(int first, const octet* payload, Py_ssize_t size):
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, _head_size(size) + size)
    cdef octet* target = _encode_head(<octet*>PyBytes_AS_STRING(frame), first, size, 0)
    if size:
        memcpy(target, payload, size)
    return frame


cdef bytes _encode_masked(int first, const octet* payload, Py_ssize_t size, const octet* key):
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, _head_size(size) + 4 + size)
    cdef octet* target = _encode_head(<octet*>PyBytes_AS_STRING(frame), first, size, MASKED)
    memcpy(target, key, 4)
    _mask(target + 4, payload, size, key, 0)
    return frame


def encode_frame(first_octet, payload, masking_key=None):
    """Return the bytes of a frame (RFC 6455 section 5.2). Nothing is validated but the types.

    Args:
        first_octet: FIN, the reserved bits and the opcode.
        payload: any bytes-like object.
        masking_key: 4 bytes, or `None` for an unmasked frame.

    Raises:
        ValueError: if the key has not 4 bytes, or the first octet is none.
        TypeError: if one of them is of another type.
    """
    cdef Py_buffer view
    cdef int first
    if not 0 <= first_octet <= 255:
        raise faults.not_an_octet(first_octet)
    first = first_octet
    _get_buffer(payload, &view)
    try:
        if masking_key is None:
            return _encode_unmasked(first, <const octet*>view.buf, view.len)
        return _encode_masked(first, <const octet*>view.buf, view.len, _check_key(masking_key))
    finally:
        PyBuffer_Release(&view)


# Judging a header, as early as its octets allow (RFC 6455 section 5.2)


cdef object _judge_start(int first, int second, int reserved):
    """Judge the first two octets; `reserved` are the reserved bits that must be clear."""
    cdef int opcode = first & 0x0F
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


cdef object _judge_length(uint64_t length, int octets):
    """Judge an extended payload length written in so many octets."""
    if length >> 63:
        return faults.length_too_large(length)
    if length < <uint64_t>(126 if octets == 2 else 65536):
        return faults.length_not_minimal(length, octets)
    return None


cdef inline int _extra_octets(int second) noexcept nogil:
    """How many octets of extended payload length follow the second octet."""
    cdef int code = second & 0x7F
    return 0 if code < 126 else 2 if code == 126 else 8


cdef inline uint64_t _read_length(const octet* source, int octets) noexcept nogil:
    cdef uint64_t length = 0
    cdef int i
    for i in range(octets):
        length = length << 8 | source[i]
    return length


# UTF-8, checked as it comes (RFC 6455 section 8.1; RFC 3629 section 4)


cdef struct Utf8:
    # How many octets the character begun still misses, and the bounds of the next of them.
    int missing
    octet lowest
    octet highest
    # Where in the text the latest character begins, with which octet; octets checked so far.
    octet first
    Py_ssize_t start
    Py_ssize_t checked


cdef bint _check_utf8(Utf8* text, const octet* data, Py_ssize_t size) noexcept nogil:
    """Check the next octets of a text. If false, `first` and `start` tell the bad character."""
    cdef Py_ssize_t i = 0
    cdef octet value
    cdef uint64_t word
    while i < size:
        value = data[i]
        if text.missing:
            if value < text.lowest or value > text.highest:
                return False
            text.missing -= 1
            text.lowest = 0x80
            text.highest = 0xBF
        elif value < 0x80:
            while i + 8 < size:
                memcpy(&word, data + i + 1, 8)
                if word & HIGH_BITS:
                    break
                i += 8
        else:
            text.first = value
            text.start = text.checked + i
            text.lowest = 0x80
            text.highest = 0xBF
            if value < 0xC2 or value > 0xF4:
                return False
            if value < 0xE0:
                text.missing = 1
            elif value < 0xF0:
                text.missing = 2
                if value == 0xE0:
                    text.lowest = 0xA0
                elif value == 0xED:
                    text.highest = 0x9F
            else:
                text.missing = 3
                if value == 0xF0:
                    text.lowest = 0x90
                elif value == 0xF4:
                    text.highest = 0x8F
        i += 1
    text.checked += size
    return True


# UTF-8, decoded

# What a `str` is made of: its widest character decides.
ctypedef fused unit:
    octet
    uint16_t
    uint32_t


cdef Py_ssize_t _count_characters(
    const octet* data, Py_ssize_t size, octet* largest
) noexcept nogil:
    """Count the octets that begin a character, and find the largest octet."""
    cdef Py_ssize_t characters = 0
    cdef Py_ssize_t i = 0
    largest[0] = 0
    if size >= WIDE_SIZE and wide_available():
        i = wide_count(data, size, &characters, largest)
    while i < size:
        characters += data[i] & 0xC0 != 0x80
        if data[i] > largest[0]:
            largest[0] = data[i]
        i += 1
    return characters


cdef inline bint _goes_on(octet value) noexcept nogil:
    return value & 0xC0 == 0x80


cdef bint _decode_characters(
    unit* target, const octet* data, Py_ssize_t size
) noexcept nogil:
    """Decode UTF-8; false if it is not sound (RFC 3629 section 4).

    The target has room for as many characters as `_count_characters` tells, and nothing is written
    beyond: each character that is written has been begun by an octet of its own.
    """
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t done
    cdef uint64_t word
    cdef uint32_t value
    cdef int j
    while i < size:
        value = data[i]
        if value < 0x80:
            target[0] = <unit>value
            target += 1
            i += 1
            while i + 8 <= size:
                memcpy(&word, data + i, 8)
                if word & HIGH_BITS:
                    break
                for j in range(8):
                    target[j] = data[i + j]
                target += 8
                i += 8
        elif value < 0xE0:
            if value < 0xC2 or size - i < 2 or not _goes_on(data[i + 1]):
                return False
            target[0] = <unit>((value & 0x1F) << 6 | (data[i + 1] & 0x3F))
            target += 1
            i += 2
        elif unit is octet:
            return False
        elif value < 0xF0:
            if unit is uint16_t and size - i >= WIDE_SIZE and wide_available():
                done = wide_decode(<uint16_t*>target, data + i, size - i)
                target += done
                i += 3 * done
            # Up to where the wide loop may find its feet again.
            while i < size and data[i] & 0xF0 == 0xE0:
                if size - i < 3 or not _goes_on(data[i + 1]) or not _goes_on(data[i + 2]):
                    return False
                value = (
                    (data[i] & 0x0F) << 12 | (data[i + 1] & 0x3F) << 6 | (data[i + 2] & 0x3F)
                )
                if value < 0x800 or 0xD800 <= value < 0xE000:
                    return False
                target[0] = <unit>value
                target += 1
                i += 3
        elif unit is uint16_t:
            return False
        else:
            if (
                size - i < 4
                or not _goes_on(data[i + 1])
                or not _goes_on(data[i + 2])
                or not _goes_on(data[i + 3])
            ):
                return False
            value = (
                (value & 0x0F) << 18
                | (data[i + 1] & 0x3F) << 12
                | (data[i + 2] & 0x3F) << 6
                | (data[i + 3] & 0x3F)
            )
            if value < 0x10000 or value > 0x10FFFF:
                return False
            target[0] = <unit>value
            target += 1
            i += 4
    return True


cdef object _decode_utf8(const octet* data, Py_ssize_t size):
    """Return the text, or `None` if it is not UTF-8.

    The largest octet tells the widest character, so the `str` is made once, with the size it needs.
    """
    cdef octet largest
    cdef Py_ssize_t characters = _count_characters(data, size, &largest)
    cdef object text
    cdef bint sound
    if largest < 0x80:
        text = PyUnicode_New(size, 0x7F)
        memcpy(PyUnicode_DATA(text), data, size)
        return text
    if largest < 0xC4:
        text = PyUnicode_New(characters, 0xFF)
        sound = _decode_characters(<octet*>PyUnicode_DATA(text), data, size)
    elif largest < 0xF0:
        text = PyUnicode_New(characters, 0xFFFF)
        sound = _decode_characters(<uint16_t*>PyUnicode_DATA(text), data, size)
    else:
        text = PyUnicode_New(characters, 0x10FFFF)
        sound = _decode_characters(<uint32_t*>PyUnicode_DATA(text), data, size)
    return text if sound else None


# The values made for every message


@cython.final
@cython.freelist(64)
cdef class TextMessage:
    """A whole text message has come.

    Args:
        text: its content.
    """

    __match_args__ = ("text",)
    cdef readonly str text

    def __init__(self, text):
        if type(text) is not str:
            raise faults.wrong_type("text", "str", text)
        self.text = text

    def __eq__(self, other):
        if type(other) is not TextMessage:
            return NotImplemented
        return self.text == (<TextMessage>other).text

    def __hash__(self):
        return hash((TextMessage, self.text))

    def __repr__(self):
        return f"TextMessage(text={self.text!r})"

    def __reduce__(self):
        return TextMessage, (self.text,)


@cython.final
@cython.freelist(64)
cdef class BinaryMessage:
    """A whole binary message has come.

    Args:
        data: its content.
    """

    __match_args__ = ("data",)
    cdef readonly bytes data

    def __init__(self, data):
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        self.data = data

    def __eq__(self, other):
        if type(other) is not BinaryMessage:
            return NotImplemented
        return self.data == (<BinaryMessage>other).data

    def __hash__(self):
        return hash((BinaryMessage, self.data))

    def __repr__(self):
        return f"BinaryMessage(data={self.data!r})"

    def __reduce__(self):
        return BinaryMessage, (self.data,)


@cython.final
@cython.freelist(8)
cdef class TextFragment:
    """A piece of a text message has come, while streaming. A character is never split.

    Args:
        text: what has come since the last piece.
        final: whether this ends the message.
    """

    __match_args__ = ("text", "final")
    cdef readonly str text
    cdef readonly bint final

    def __init__(self, text, final):
        if type(text) is not str:
            raise faults.wrong_type("text", "str", text)
        self.text = text
        self.final = final

    def __eq__(self, other):
        if type(other) is not TextFragment:
            return NotImplemented
        return (
            self.text == (<TextFragment>other).text and self.final == (<TextFragment>other).final
        )

    def __hash__(self):
        return hash((TextFragment, self.text, self.final))

    def __repr__(self):
        return f"TextFragment(text={self.text!r}, final={self.final!r})"

    def __reduce__(self):
        return TextFragment, (self.text, self.final)


@cython.final
@cython.freelist(8)
cdef class BinaryFragment:
    """A piece of a binary message has come, while streaming.

    Args:
        data: what has come since the last piece.
        final: whether this ends the message.
    """

    __match_args__ = ("data", "final")
    cdef readonly bytes data
    cdef readonly bint final

    def __init__(self, data, final):
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        self.data = data
        self.final = final

    def __eq__(self, other):
        if type(other) is not BinaryFragment:
            return NotImplemented
        return (
            self.data == (<BinaryFragment>other).data
            and self.final == (<BinaryFragment>other).final
        )

    def __hash__(self):
        return hash((BinaryFragment, self.data, self.final))

    def __repr__(self):
        return f"BinaryFragment(data={self.data!r}, final={self.final!r})"

    def __reduce__(self):
        return BinaryFragment, (self.data, self.final)


@cython.final
@cython.freelist(64)
cdef class SendData:
    """Write these bytes to the transport.

    Args:
        data: never empty.
    """

    __match_args__ = ("data",)
    cdef readonly bytes data

    def __init__(self, data):
        if type(data) is not bytes:
            raise faults.wrong_type("data", "bytes", data)
        self.data = data

    def __eq__(self, other):
        if type(other) is not SendData:
            return NotImplemented
        return self.data == (<SendData>other).data

    def __hash__(self):
        return hash((SendData, self.data))

    def __repr__(self):
        return f"SendData(data={self.data!r})"

    def __reduce__(self):
        return SendData, (self.data,)


cdef inline TextMessage _new_text(object text):
    cdef TextMessage message = TextMessage.__new__(TextMessage)
    message.text = <str>text
    return message


cdef inline BinaryMessage _new_binary(object data):
    cdef BinaryMessage message = BinaryMessage.__new__(BinaryMessage)
    message.data = <bytes>data
    return message


cdef inline SendData _new_data(object data):
    cdef SendData output = SendData.__new__(SendData)
    output.data = <bytes>data
    return output


# Single frames


cdef class BaseFrameDecoder:
    """Splits a stream of bytes into the fields of frames."""

    cdef bytearray _buffer
    cdef Py_ssize_t _position

    def __cinit__(self):
        self._buffer = bytearray()
        self._position = 0

    @cython.critical_section
    def feed(self, data):
        """Take bytes in.

        Args:
            data: any bytes-like object; it is copied.

        Raises:
            TypeError: if it is not bytes-like.
        """
        cdef bytes piece = _as_bytes(data)
        # Shifting when half is consumed moves each byte at most once on average.
        if self._position > len(self._buffer) // 2:
            del self._buffer[: self._position]
            self._position = 0
        self._buffer += piece

    @cython.critical_section
    def clear(self):
        """Forget all bytes that are not decoded yet."""
        del self._buffer[:]
        self._position = 0

    @property
    def buffer_len(self):
        """How many bytes are not decoded yet."""
        return len(self._buffer) - self._position

    @cython.critical_section
    def _decode(self):
        """Return the first octet, whether it was masked, and the payload of the next frame."""
        cdef const octet* data = <const octet*>self._buffer + self._position
        cdef Py_ssize_t available = len(self._buffer) - self._position
        cdef int size, extra, first, second
        cdef uint64_t length
        cdef bytes payload
        if available < 2:
            return None
        first = data[0]
        second = data[1]
        violation = _judge_start(first, second, 0)
        if violation is not None:
            raise violation
        extra = _extra_octets(second)
        size = 2 + extra
        if available < size:
            return None
        length = second & 0x7F
        if extra:
            length = _read_length(data + 2, extra)
            violation = _judge_length(length, extra)
            if violation is not None:
                raise violation
        if second & MASKED:
            size += 4
        if available < size or <uint64_t>(available - size) < length:
            return None
        payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
        if second & MASKED:
            _mask(
                <octet*>PyBytes_AS_STRING(payload),
                data + size,
                <Py_ssize_t>length,
                data + size - 4,
                0,
            )
        elif length:
            memcpy(PyBytes_AS_STRING(payload), data + size, length)
        self._position += size + <Py_ssize_t>length
        return first, bool(second & MASKED), payload


# Forks

# How often this process and its parents were forked. The masking keys that a parent has drawn and
# not used yet are its own: a child that used them too would repeat them (RFC 6455 section 10.3).
cdef uint64_t forks = 0


def _count_fork():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


# A connection


@cython.final
cdef class _Queue:
    """First in, first out. It hardly ever holds more than one, and then costs no list."""

    cdef object _first
    cdef list _rest
    cdef Py_ssize_t _taken

    cdef inline int push(self, object item) except -1:
        if self._first is None:
            self._first = item
            return 0
        if self._rest is None:
            self._rest = []
        self._rest.append(item)
        return 0

    cdef inline object peek(self):
        return self._first

    cdef inline object pop(self):
        """Take the first; `None` if there is none."""
        cdef object item = self._first
        if self._rest is None:
            self._first = None
        else:
            self._move_up()
        return item

    cdef int _move_up(self) except -1:
        self._first = self._rest[self._taken]
        self._rest[self._taken] = None
        self._taken += 1
        if self._taken == len(self._rest):
            self._rest = None
            self._taken = 0
        elif self._taken >= 1024 and self._taken > len(self._rest) // 2:
            del self._rest[: self._taken]
            self._taken = 0
        return 0


cdef class BaseConnection:
    """The hot half of a connection; `connection.Connection` supplies the rest through the hooks.

    Args:
        client: whether this is the client, which masks what it sends.
        random: the caller's source of masking keys, or `None` for the operating system's.
        state: the state to begin in.
        max_frame_size, max_message_size, max_decompressed_size, max_fragments: the limits of the
            options.
    """

    cdef object __weakref__
    cdef readonly bint _client
    cdef readonly object _random
    # Written by `Connection._enter` alone.
    cdef public object _state
    cdef Py_ssize_t _max_frame_size
    cdef Py_ssize_t _max_message_size
    cdef Py_ssize_t _max_decompressed_size
    cdef Py_ssize_t _max_fragments

    # Input: the chunk being decoded, how far, and those behind it, each with its `now`.
    cdef bytes _chunk
    cdef Py_ssize_t _position
    cdef object _chunk_now
    cdef _Queue _backlog
    cdef Py_ssize_t _backlog_size
    cdef object _now
    cdef public bint _unpolled
    cdef public bint _eof

    # The frame in progress: its head, then its payload.
    cdef octet _head[LONGEST_HEAD]
    cdef int _head_length
    cdef int _head_size
    cdef int _opcode
    cdef bint _fin
    cdef Py_ssize_t _left
    cdef octet _key[4]
    cdef int _phase
    cdef bytes _control

    # The message in progress: how large it is, announced or inflated; what is assembled of it, a
    # `bytes` of our own that grows; how its text goes on.
    cdef int _message_opcode
    cdef PyObject* _message
    cdef Py_ssize_t _message_length
    cdef Py_ssize_t _message_capacity
    cdef uint64_t _message_size
    cdef Py_ssize_t _fragments
    cdef bint _complete
    cdef Utf8 _text
    # What a streamed text has of a character that is not whole.
    cdef bytes _tail

    # Compression: a `codec.PerMessageDeflate`, while there is one; whether the message in
    # progress is compressed, whether all of its payload has been handed over, and whether there
    # may be more of it without any more input.
    cdef public object _deflate
    cdef bint _compressed
    cdef bint _ended
    cdef bint _more

    # Whether messages, and the one in progress, come in fragments.
    cdef public bint _streaming
    cdef bint _streamed

    # Output.
    cdef _Queue _events
    cdef _Queue _outputs
    cdef Py_ssize_t _output_size
    cdef int _outgoing
    cdef Utf8 _outgoing_text
    cdef bint _outgoing_compressed
    cdef bytes _keys
    cdef Py_ssize_t _key_position
    cdef uint64_t _keys_drawn_at

    def __cinit__(self):
        self._head_size = 2
        self._opcode = NO_FRAME
        self._control = b""
        self._tail = b""
        self._events = _Queue()
        self._outputs = _Queue()
        self._keys = b""

    def __init__(
        self,
        *,
        bint client,
        random,
        state,
        max_frame_size,
        max_message_size,
        max_decompressed_size,
        max_fragments,
    ):
        self._client = client
        self._random = random
        self._state = state
        self._max_frame_size = _limit(max_frame_size)
        self._max_message_size = _limit(max_message_size)
        self._max_decompressed_size = _limit(max_decompressed_size)
        self._max_fragments = _limit(max_fragments)

    def __dealloc__(self):
        Py_XDECREF(self._message)

    # Input

    @cython.critical_section
    def feed_recv_buf(self, data, now=None):
        """Take in bytes that have come from the peer; `poll_event` decodes them.

        Args:
            data: any bytes-like object. Exact `bytes` are kept, anything else is copied.
            now: the time in seconds, on any clock of the caller's.

        Raises:
            LocalProtocolError: if a client has not called `connect` yet, or after `feed_eof`.
            TypeError: if `data` is not bytes-like or `now` is not a number.
        """
        self._feed(data, now)

    @cython.final
    cdef int _feed(self, object data, object now) except -1:
        cdef bytes chunk = _as_bytes(data)
        if now is not None and type(now) is not float:
            now = check_timestamp(now)
        if self._state is not CONNECTED and not self._admit():
            return 0
        if self._eof:
            raise faults.data_after_eof()
        if PyBytes_GET_SIZE(chunk) == 0:
            return 0
        self._unpolled = True
        if self._chunk is None:
            self._chunk = chunk
            self._position = 0
            self._chunk_now = now
            return 0
        if self._backlog is None:
            self._backlog = _Queue()
        self._backlog.push((chunk, now))
        self._backlog_size += PyBytes_GET_SIZE(chunk)
        return 0

    @property
    def recv_buffer_len(self):
        """Bytes held for events to come: undecoded input and the message under assembly."""
        cdef Py_ssize_t held
        with cython.critical_section(self):
            held = self._held()
        return held

    @cython.final
    cdef Py_ssize_t _held(self) except -1:
        cdef Py_ssize_t held = self._backlog_size + self._head_length
        held += PyBytes_GET_SIZE(self._control) + self._message_length
        if self._chunk is not None:
            held += PyBytes_GET_SIZE(self._chunk) - self._position
        if self._compressed and self._deflate is not None:
            held += self._deflate.held
        return held

    @cython.final
    cdef const octet* _data(self) noexcept:
        """Where the undecoded part of the chunk begins."""
        return <const octet*>PyBytes_AS_STRING(self._chunk) + self._position

    @cython.final
    cdef Py_ssize_t _available(self) noexcept:
        """How much of the chunk is undecoded."""
        return PyBytes_GET_SIZE(self._chunk) - self._position

    @cython.final
    cdef int _advance(self, Py_ssize_t size) except -1:
        """Count octets of the chunk as taken, and go on to the next one at its end."""
        self._now = self._chunk_now
        self._position += size
        if self._position == PyBytes_GET_SIZE(self._chunk):
            self._next_chunk()
        return 0

    @cython.final
    cdef int _next_chunk(self) except -1:
        self._position = 0
        item = None if self._backlog is None else self._backlog.pop()
        if item is None:
            self._chunk = None
            self._backlog = None
            return 0
        self._chunk, self._chunk_now = <tuple>item
        self._backlog_size -= PyBytes_GET_SIZE(self._chunk)
        return 0

    @cython.critical_section
    def _take_input(self):
        """Take all undecoded input, for the opening handshake."""
        pieces = []
        while self._chunk is not None:
            pieces.append(self._chunk[self._position :])
            self._advance(self._available())
        return b"".join(pieces)

    @cython.critical_section
    def _return_input(self, bytes data not None):
        """Give back what does not belong to the opening handshake."""
        if data:
            self._chunk = data
            self._position = 0
            self._chunk_now = self._now

    @cython.critical_section
    def _discard_input(self):
        """Forget all input, and the frame and the message in progress."""
        self._chunk = None
        self._backlog = None
        self._backlog_size = 0
        self._head_length = 0
        self._head_size = 2
        self._opcode = NO_FRAME
        self._control = b""
        self._end_message()

    # Events

    @cython.critical_section
    def poll_event(self):
        """Return the next event, or `None` when more input is needed.

        The effects of an event (the Pong to a Ping, the answer to a Close, the failure of the
        connection) take place now, in the order of the wire. Nothing that the peer sent raises.
        """
        return self._poll_event()

    @cython.final
    cdef object _poll_event(self):
        cdef object event
        while True:
            event = self._events.pop()
            if event is not None:
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

    def events(self):
        """Iterate over the events that the input gives; each step is one `poll_event`.

        The iterator ends where `poll_event` returns `None`; for more input, make another.
        """
        cdef _EventIterator events = _EventIterator.__new__(_EventIterator)
        events._connection = self
        return events

    @cython.critical_section
    def _push_event(self, event):
        self._events.push(event)

    # Decoding

    @cython.final
    cdef object _decode(self):
        """Return the next message of the chunk, or `None` where something else has happened."""
        cdef object event
        if (
            self._opcode == NO_FRAME
            and self._head_length == 0
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

    @cython.final
    cdef object _decode_small(self):
        """Decode a message of up to 65,535 bytes that lies in the chunk as one sound frame."""
        cdef const octet* data = self._data()
        cdef Py_ssize_t available = self._available()
        cdef Py_ssize_t length, begin
        cdef int first
        if available < 2:
            return None
        first = data[0]
        if first != (FIN | TEXT) and first != (FIN | BINARY):
            return None
        length = data[1] ^ (0 if self._client else MASKED)
        begin = 2 if self._client else 6
        if length > 125:
            if length != 126 or available < 4:
                return None
            length = data[2] << 8 | data[3]
            begin += 2
            if length < 126:
                return None
        if (
            begin + length > available
            or length > self._max_frame_size
            or length > self._max_message_size
        ):
            return None
        return self._whole_message(
            first & 0x0F, data if self._client else data + begin - 4, begin, length
        )

    @cython.final
    cdef bint _read_head(self) except -1:
        """Read the head of a frame. False if there is more to come, or the connection has failed.

        Judged after two octets, and again after the extended length, before the masking key.
        """
        cdef octet* head = self._head
        cdef Py_ssize_t size
        cdef int extra
        cdef uint64_t length
        cdef object violation
        while True:
            while self._head_length < self._head_size:
                if self._chunk is None:
                    return False
                size = min(self._available(), <Py_ssize_t>(self._head_size - self._head_length))
                memcpy(head + self._head_length, self._data(), size)
                self._head_length += <int>size
                self._advance(size)
            if self._head_size == 2:
                violation = self._judge_frame(head[0], head[1])
                extra = _extra_octets(head[1])
                if violation is None and extra:
                    self._head_size = 2 + extra
                    continue
                length = head[1] & 0x7F
            elif self._head_size == 4 or self._head_size == 10:
                extra = self._head_size - 2
                length = _read_length(head + 2, extra)
                violation = _judge_length(length, extra)
            else:
                break
            if violation is None and not head[0] & 0x08:
                violation = self._judge_size(head[0], length)
            if violation is not None:
                self._fail(violation)
                return False
            self._left = <Py_ssize_t>length
            if not head[1] & MASKED:
                break
            self._head_size += 4
        self._begin_frame()
        return True

    @cython.final
    cdef object _judge_frame(self, int first, int second):
        cdef int opcode = first & 0x0F
        cdef int reserved = RESERVED
        cdef object violation
        if self._deflate is not None and (opcode == TEXT or opcode == BINARY):
            # RFC 7692 section 6: set on the first frame of a compressed message, nowhere else.
            reserved = RESERVED & ~RSV1
        violation = _judge_start(first, second, reserved)
        if violation is not None:
            return violation
        if (second & MASKED != 0) == self._client:
            return faults.frame_masked() if self._client else faults.frame_not_masked()
        if opcode == CONTINUATION:
            if self._message_opcode == CONTINUATION:
                return faults.message_not_begun()
        elif opcode < CLOSE and self._message_opcode != CONTINUATION:
            return faults.message_interrupted(opcode)
        return None

    @cython.final
    cdef object _judge_size(self, int first, uint64_t length):
        """Judge a data frame by the limits (RFC 6455 section 10.4).

        How large a compressed message is shows as it is inflated.
        """
        cdef bint compressed = self._compressed or first & RSV1
        if length > <uint64_t>self._max_frame_size:
            return faults.frame_too_large(length, self._max_frame_size)
        if self._fragments + 1 > self._max_fragments:
            return faults.too_many_fragments(self._fragments + 1, self._max_fragments)
        if not compressed and self._message_size + length > <uint64_t>self._max_message_size:
            return faults.message_too_large(self._message_size + length, self._max_message_size)
        return None

    @cython.final
    cdef int _begin_frame(self) except -1:
        cdef int first = self._head[0]
        self._opcode = first & 0x0F
        self._fin = first & FIN != 0
        if not self._client:
            memcpy(self._key, self._head + self._head_length - 4, 4)
            self._phase = 0
        self._head_length = 0
        self._head_size = 2
        if self._opcode < CLOSE:
            if self._opcode != CONTINUATION:
                self._message_opcode = self._opcode
                self._compressed = first & RSV1 != 0
                self._streamed = self._streaming
            self._fragments += 1
            if not self._compressed:
                self._message_size += <uint64_t>self._left
        return 0

    @cython.final
    cdef int _read_control(self) except -1:
        """Read the payload of a control frame and hand it over once it is complete."""
        cdef Py_ssize_t size
        cdef int opcode = self._opcode
        cdef bytes payload
        while self._left:
            if self._chunk is None:
                return 0
            size = min(self._available(), self._left)
            self._control += self._chunk[self._position : self._position + size]
            self._left -= size
            self._advance(size)
        payload = self._control
        if not self._client:
            payload = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(self._control))
            _mask(
                <octet*>PyBytes_AS_STRING(payload),
                <const octet*>PyBytes_AS_STRING(self._control),
                PyBytes_GET_SIZE(self._control),
                self._key,
                0,
            )
        self._control = b""
        self._opcode = NO_FRAME
        self._receive_control(opcode, payload, self._now)
        return 0

    @cython.final
    cdef object _read_data(self):
        """Read the payload of a data frame as far as it has come; return the message it ends."""
        cdef Py_ssize_t size
        cdef int opcode
        if (
            self._fin
            and self._message_length == 0
            and self._chunk is not None
            and self._available() >= self._left
        ):
            opcode = self._message_opcode
            size = self._left
            self._opcode = NO_FRAME
            self._left = 0
            self._end_message()
            return self._whole_message(opcode, self._key, 0, size)
        while self._left:
            if self._chunk is None:
                return None
            if not self._append_payload(min(self._available(), self._left)):
                return None
        self._opcode = NO_FRAME
        return self._assembled_message() if self._fin else None

    @cython.final
    cdef object _read_pieces(self):
        """Read on in a message that is compressed or streamed; return the event it gives next."""
        cdef bytes piece
        cdef object event
        cdef int opcode
        while True:
            piece = self._inflate() if self._compressed else self._read_piece()
            if piece is None:
                return None
            if self._streamed:
                event = self._fragment(piece)
                if event is not None:
                    return event
            elif self._complete and self._message_length == 0:
                opcode = self._message_opcode
                self._end_message()
                return self._message_of(opcode, piece)
            elif piece and not self._append(piece):
                return None
            elif self._complete:
                return self._assembled_message()
            if not piece or self._opcode == NO_FRAME:
                return None

    @cython.final
    cdef bytes _read_piece(self):
        """Return what has come of the frame; empty if nothing has."""
        cdef bytes piece = b""
        if self._chunk is not None and self._left:
            piece = self._take_payload()
        if not self._left:
            self._opcode = NO_FRAME
            self._complete = self._fin
        return piece

    @cython.final
    cdef bytes _inflate(self):
        """Return what can be inflated of the frame, empty if nothing; `None` if it has failed."""
        cdef object deflate = self._deflate
        cdef Py_ssize_t limit = min(self._max_message_size, self._max_decompressed_size)
        cdef uint64_t room = <uint64_t>limit - self._message_size + 1
        cdef bytes payload
        cdef bytes piece = b""
        if self._streamed:
            room = min(room, <uint64_t>FRAGMENT_SIZE)
        elif room > <uint64_t>NO_LIMIT:
            room = <uint64_t>NO_LIMIT
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
        self._message_size += <uint64_t>PyBytes_GET_SIZE(piece)
        if self._message_size > <uint64_t>limit:
            # What is not UTF-8 within the limit goes before what is beyond it.
            if self._message_opcode != TEXT or self._check_text(piece[: PyBytes_GET_SIZE(piece) - 1]):
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

    @cython.final
    cdef bytes _take_payload(self):
        """Take what the chunk holds of the frame's payload, unmasked."""
        cdef Py_ssize_t size = min(self._available(), self._left)
        cdef bytes piece = PyBytes_FromStringAndSize(NULL, size)
        self._copy_payload(<octet*>PyBytes_AS_STRING(piece), size)
        return piece

    @cython.final
    cdef int _copy_payload(self, octet* target, Py_ssize_t size) except -1:
        """Move octets of the chunk to where they are wanted, unmasked."""
        if self._client:
            memcpy(target, self._data(), size)
        else:
            _mask(target, self._data(), size, self._key, self._phase)
            self._phase = (self._phase + size) & 3
        self._left -= size
        return self._advance(size)

    @cython.final
    cdef bint _append_payload(self, Py_ssize_t size) except -1:
        """Add octets of the chunk to the message. False if the connection has failed over them."""
        cdef octet* target = self._reserve(size)
        self._copy_payload(target, size)
        return self._message_opcode != TEXT or self._check_octets(target, size)

    @cython.final
    cdef bint _append(self, bytes piece) except -1:
        """Add a piece to the message. False if the connection has failed over it."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(piece)
        memcpy(self._reserve(size), PyBytes_AS_STRING(piece), size)
        return self._message_opcode != TEXT or self._check_text(piece)

    @cython.final
    cdef bint _check_text(self, bytes piece) except -1:
        """Check the next bytes of a text. False if the connection has failed over them."""
        return self._check_octets(<const octet*>PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))

    @cython.final
    cdef bint _check_octets(self, const octet* data, Py_ssize_t size) except -1:
        if _check_utf8(&self._text, data, size):
            return True
        self._fail(faults.message_not_utf8(self._text.first, self._text.start))
        return False

    @cython.final
    cdef object _fragment(self, bytes piece):
        """Make the event of a piece of a streamed message; `None` if it gives none."""
        cdef bint complete = self._complete
        cdef bytes text
        cdef Py_ssize_t whole
        cdef object characters
        if self._message_opcode == TEXT:
            text = self._tail + piece
            if not self._check_text(piece):
                return None
            if complete and self._text.missing:
                self._fail(faults.message_not_utf8(self._text.first, self._text.start))
                return None
            whole = PyBytes_GET_SIZE(text)
            if self._text.missing:
                whole -= self._text.checked - self._text.start
            self._tail = text[whole:]
            characters = _decode_utf8(_octets(text), whole)
            if complete:
                self._end_message()
            return TextFragment(characters, complete) if characters or complete else None
        if complete:
            self._end_message()
        return BinaryFragment(piece, complete) if piece or complete else None

    @cython.final
    cdef octet* _reserve(self, Py_ssize_t size) except NULL:
        """Lengthen the message, and return where it goes on.

        Never more is reserved than twice what has come.
        """
        cdef Py_ssize_t begin = self._message_length
        cdef Py_ssize_t needed = begin + size
        cdef Py_ssize_t capacity = needed
        if needed > self._message_capacity:
            if needed <= NO_LIMIT // 2:
                capacity = max(2 * needed, <Py_ssize_t>SMALLEST_MESSAGE)
            if self._fin and not self._compressed and <uint64_t>capacity > self._message_size:
                capacity = <Py_ssize_t>self._message_size
            self._resize(capacity)
        self._message_length = needed
        return <octet*>PyBytes_Data(self._message) + begin

    @cython.final
    cdef int _resize(self, Py_ssize_t capacity) except -1:
        """Give the message another capacity. The octets are gone if there is no memory."""
        try:
            if self._message is NULL:
                self._message = PyBytes_New(NULL, capacity)
            else:
                _PyBytes_Resize(&self._message, capacity)
        except MemoryError:
            self._message_length = 0
            self._message_capacity = 0
            raise
        self._message_capacity = capacity
        return 0

    @cython.final
    cdef object _whole_message(
        self, int opcode, const octet* key, Py_ssize_t begin, Py_ssize_t size
    ):
        """Make the message whose payload lies in the chunk, in one pass over its octets."""
        cdef const octet* source = self._data() + begin
        cdef bytes data
        cdef object text
        if opcode == BINARY:
            data = PyBytes_FromStringAndSize(NULL, size)
            if not self._client:
                _mask(<octet*>PyBytes_AS_STRING(data), source, size, key, 0)
            elif size:
                memcpy(PyBytes_AS_STRING(data), source, size)
            self._advance(begin + size)
            return _new_binary(data)
        if self._client:
            text = self._decode_text(source, size)
        else:
            text = PyUnicode_New(size, 0x7F)
            if _mask(<octet*>PyUnicode_DATA(text), source, size, key, 0) & HIGH_BITS:
                text = self._decode_text(<const octet*>PyUnicode_DATA(text), size)
        if text is None:
            return None
        self._advance(begin + size)
        return _new_text(text)

    @cython.final
    cdef object _decode_text(self, const octet* data, Py_ssize_t size):
        """Return a whole text, or `None` if it is not UTF-8 and the connection has failed."""
        cdef Utf8 checked
        cdef object text = _decode_utf8(data, size)
        if text is None:
            checked.missing = 0
            checked.checked = 0
            _check_utf8(&checked, data, size)
            self._fail(faults.message_not_utf8(checked.first, checked.start))
        return text

    @cython.final
    cdef object _assembled_message(self):
        cdef int opcode = self._message_opcode
        cdef bytes message
        if self._text.missing:
            self._fail(faults.message_not_utf8(self._text.first, self._text.start))
            return None
        if self._message is NULL:
            message = b""
        else:
            if self._message_capacity != self._message_length:
                self._resize(self._message_length)
            message = <bytes>self._message
        self._end_message()
        return self._message_of(opcode, message)

    @cython.final
    cdef object _message_of(self, int opcode, bytes payload):
        """Make the message of a payload; `None` if it is not UTF-8 and the connection has failed."""
        cdef object text
        if opcode == BINARY:
            return _new_binary(payload)
        text = self._decode_text(_octets(payload), PyBytes_GET_SIZE(payload))
        return None if text is None else _new_text(text)

    @cython.final
    cdef int _end_message(self) except -1:
        cdef PyObject* message = self._message
        self._message_opcode = CONTINUATION
        self._message = NULL
        self._message_length = 0
        self._message_capacity = 0
        self._message_size = 0
        self._fragments = 0
        self._complete = False
        self._text.missing = 0
        self._text.checked = 0
        self._tail = b""
        self._compressed = False
        self._ended = False
        self._more = False
        self._streamed = False
        Py_XDECREF(message)
        return 0

    # Sending

    @cython.critical_section
    def send_text(self, text, *, bint final=True, compress=None):
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
        self._require_sendable("send_text")
        self._send_text(TEXT, text, final, compress)
        if not final:
            self._outgoing = TEXT

    @cython.critical_section
    def send_binary(self, data, *, bint final=True, compress=None):
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
        self._require_sendable("send_binary")
        self._send_binary(BINARY, data, final, compress)
        if not final:
            self._outgoing = BINARY

    @cython.critical_section
    def send_continuation(self, data, *, bint final=True):
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
        if self._outgoing == TEXT:
            self._send_text(CONTINUATION, data, final, None)
        else:
            self._send_binary(CONTINUATION, data, final, None)
        if final:
            self._outgoing = CONTINUATION

    def _check_sendable(self, str call not None):
        self._require_sendable(call)

    @cython.final
    cdef int _require_sendable(self, str call) except -1:
        if self._state is not CONNECTED:
            raise faults.not_connected(call, self._state)
        if self._outgoing != CONTINUATION:
            raise faults.message_unfinished(call)
        return 0

    @cython.final
    cdef int _check_continuable(self, str call) except -1:
        if self._state is not CONNECTED:
            raise faults.not_connected(call, self._state)
        if self._outgoing == CONTINUATION:
            raise faults.nothing_to_continue()
        return 0

    @cython.final
    cdef int _send_text(self, int opcode, object text, bint final, object compress) except -1:
        """Queue a frame of a text; what it leaves of a character is for the next one to go on."""
        cdef Utf8 checked
        cdef Py_buffer view
        if isinstance(text, str):
            if (
                self._deflate is not None
                or not PyUnicode_IS_COMPACT_ASCII(text)
                or (PyUnicode_GET_LENGTH(text) >= JOIN_SIZE and not self._client)
            ):
                try:
                    text = PyUnicode_AsUTF8String(text)
                except UnicodeEncodeError as error:
                    raise faults.text_not_encodable(error) from None
            if not self._outgoing_text.missing:
                return self._send_data(opcode, text, final, compress)
        checked = self._outgoing_text
        if type(text) is bytes or isinstance(text, str):
            _check_outgoing(&checked, _octets(text), _size(text), final)
            self._send_data(opcode, text, final, compress)
        elif PyObject_CheckBuffer(text):
            _get_buffer(text, &view)
            try:
                _check_outgoing(&checked, <const octet*>view.buf, view.len, final)
                self._send_view(opcode, &view, final, compress)
            finally:
                PyBuffer_Release(&view)
        else:
            raise faults.not_text(text)
        self._outgoing_text = checked
        return 0

    @cython.final
    cdef int _send_binary(self, int opcode, object data, bint final, object compress) except -1:
        cdef Py_buffer view
        if type(data) is bytes:
            return self._send_data(opcode, data, final, compress)
        _get_buffer(data, &view)
        try:
            return self._send_view(opcode, &view, final, compress)
        finally:
            PyBuffer_Release(&view)

    @cython.final
    cdef int _send_data(self, int opcode, object payload, bint final, object compress) except -1:
        """Queue a data frame (RFC 6455 section 5.2) of `bytes` or of a compact ASCII `str`."""
        cdef int first = opcode | FIN if final else opcode
        cdef octet key[4]
        cdef object compressed
        if self._client:
            # Drawn first: what is wrong with a key must not leave a compressor changed.
            self._draw_key(key)
        if self._deflate is not None:
            compressed = self._compress(opcode, payload, final, compress)
            if compressed is not None:
                payload = compressed
                if opcode != CONTINUATION:
                    first |= RSV1
        if self._client:
            self._push_bytes(_encode_masked(first, _octets(payload), _size(payload), key))
        elif _size(payload) < JOIN_SIZE:
            self._push_bytes(_encode_unmasked(first, _octets(payload), _size(payload)))
        else:
            self._push_bytes(_encode_head_alone(first, _size(payload)))
            self._push_bytes(<bytes>payload)
        return 0

    @cython.final
    cdef int _send_view(self, int opcode, Py_buffer* view, bint final, object compress) except -1:
        """Queue a data frame of what lies in a buffer."""
        cdef int first = opcode | FIN if final else opcode
        cdef octet key[4]
        if self._deflate is not None or (view.len >= JOIN_SIZE and not self._client):
            payload = PyBytes_FromStringAndSize(<const char*>view.buf, view.len)
            return self._send_data(opcode, payload, final, compress)
        if self._client:
            self._draw_key(key)
            self._push_bytes(_encode_masked(first, <const octet*>view.buf, view.len, key))
        else:
            self._push_bytes(_encode_unmasked(first, <const octet*>view.buf, view.len))
        return 0

    @cython.final
    cdef bytes _compress(self, int opcode, bytes payload, bint final, object compress):
        """Compress the payload of a data frame, or return `None` if it goes as it is."""
        cdef object deflate = self._deflate
        cdef bint wanted
        cdef bytes compressed
        if opcode == CONTINUATION:
            wanted = self._outgoing_compressed
        elif compress is None:
            wanted = not final or PyBytes_GET_SIZE(payload) >= <Py_ssize_t>deflate.threshold
        else:
            wanted = compress
        if not wanted or not deflate.can_compress:
            self._outgoing_compressed = False
            return None
        if opcode != CONTINUATION and final:
            compressed = deflate.compress_whole(payload)
        else:
            compressed = deflate.deflate(payload, final)
        self._outgoing_compressed = not final
        return compressed

    @cython.critical_section
    def _send_frame(self, int first, bytes payload not None):
        """Queue a frame as one piece."""
        cdef octet key[4]
        if self._client:
            self._draw_key(key)
            self._push_bytes(_encode_masked(first, _octets(payload), _size(payload), key))
        else:
            self._push_bytes(_encode_unmasked(first, _octets(payload), _size(payload)))

    @cython.final
    cdef int _draw_key(self, octet* key) except -1:
        """Write the masking key of the next frame (RFC 6455 section 5.3)."""
        cdef object state = self._state
        cdef object drawn
        if self._random is not None:
            drawn = self._random.masking_key()
            memcpy(key, _check_key(drawn), 4)
            if self._state is not state:
                raise faults.state_changed(state, self._state)
            return 0
        if self._key_position == PyBytes_GET_SIZE(self._keys) or self._keys_drawn_at != forks:
            self._keys = os.urandom(4 * KEYS_IN_POOL)
            self._key_position = 0
            self._keys_drawn_at = forks
        memcpy(key, PyBytes_AS_STRING(self._keys) + self._key_position, 4)
        self._key_position += 4
        return 0

    # Outputs

    @cython.critical_section
    def poll_output(self):
        """Return the next output, or `None` when there is none."""
        return self._poll_output()

    @cython.final
    cdef object _poll_output(self):
        cdef object output = self._outputs.pop()
        cdef object following
        cdef Py_ssize_t size
        cdef list pieces
        if type(output) is not bytes:
            return output
        size = PyBytes_GET_SIZE(output)
        following = self._outputs.peek()
        if type(following) is bytes and size + PyBytes_GET_SIZE(following) <= JOIN_SIZE:
            pieces = [output]
            while type(following) is bytes and size + PyBytes_GET_SIZE(following) <= JOIN_SIZE:
                size += PyBytes_GET_SIZE(following)
                pieces.append(self._outputs.pop())
                following = self._outputs.peek()
            output = b"".join(pieces)
        self._output_size -= size
        return _new_data(output)

    def outputs(self):
        """Iterate over what is to be done; each step is one `poll_output`.

        The iterator ends where `poll_output` returns `None`; for more outputs, make another.
        """
        cdef _OutputIterator outputs = _OutputIterator.__new__(_OutputIterator)
        outputs._connection = self
        return outputs

    @property
    def send_buffer_len(self):
        """Bytes in outputs that nobody has polled yet."""
        return self._output_size

    @cython.final
    cdef int _push_bytes(self, bytes data) except -1:
        self._outputs.push(data)
        self._output_size += PyBytes_GET_SIZE(data)
        return 0

    @cython.critical_section
    def _push_output(self, output):
        """Queue an output; `bytes` become a `SendData` when polled."""
        if type(output) is bytes:
            self._push_bytes(<bytes>output)
        else:
            self._outputs.push(output)

    # Hooks: the cold half, supplied by `connection.Connection`

    def _admit(self):
        """Whether input is taken in a state other than CONNECTED."""
        raise NotImplementedError

    def _poll_handshake(self):
        """Go on with the opening handshake; whether anything has happened."""
        raise NotImplementedError

    def _receive_control(self, opcode, payload, now):
        """A control frame has come."""
        raise NotImplementedError

    def _receive_eof(self):
        """The stream has ended, and all that came before is decoded."""
        raise NotImplementedError

    def _fail(self, error):
        """The peer broke the protocol: fail the connection."""
        raise NotImplementedError


cdef Py_ssize_t _limit(object limit) except -1:
    """Return a limit of the options, `NO_LIMIT` for none or one that no machine can reach."""
    cdef int overflow
    cdef long long number
    if limit is None:
        return NO_LIMIT
    number = PyLong_AsLongLongAndOverflow(limit, &overflow)
    return NO_LIMIT if overflow or number > NO_LIMIT else <Py_ssize_t>number


cdef inline const octet* _octets(object payload) noexcept:
    """The octets of `bytes` or of a compact ASCII `str`."""
    if type(payload) is bytes:
        return <const octet*>PyBytes_AS_STRING(payload)
    return <const octet*>PyUnicode_DATA(payload)


cdef inline Py_ssize_t _size(object payload) noexcept:
    if type(payload) is bytes:
        return PyBytes_GET_SIZE(payload)
    return PyUnicode_GET_LENGTH(payload)


cdef int _check_outgoing(Utf8* text, const octet* data, Py_ssize_t size, bint final) except -1:
    """Check the next octets of a text that the caller sends; at its end, that it is whole."""
    if not _check_utf8(text, data, size) or (final and text.missing):
        raise faults.text_not_utf8(text.first)
    return 0


@cython.final
@cython.freelist(8)
cdef class _EventIterator:
    cdef BaseConnection _connection

    def __iter__(self):
        return self

    def __next__(self):
        # Raised inside a critical section, StopIteration would be made in full each time.
        cdef BaseConnection connection
        cdef object event
        with cython.critical_section(self):
            connection = self._connection
        if connection is None:
            raise StopIteration
        with cython.critical_section(connection):
            event = connection._poll_event()
        if event is None:
            with cython.critical_section(self):
                self._connection = None
            raise StopIteration
        return event


@cython.final
@cython.freelist(8)
cdef class _OutputIterator:
    cdef BaseConnection _connection

    def __iter__(self):
        return self

    def __next__(self):
        # Raised inside a critical section, StopIteration would be made in full each time.
        cdef BaseConnection connection
        cdef object output
        with cython.critical_section(self):
            connection = self._connection
        if connection is None:
            raise StopIteration
        with cython.critical_section(connection):
            output = connection._poll_output()
        if output is None:
            with cython.critical_section(self):
                self._connection = None
            raise StopIteration
        return output

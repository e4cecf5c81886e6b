"""As much of HTTP/1.1 as the opening handshake needs, read strictly (RFC 9110, RFC 9112).

What is read here has passed through proxies that may read it otherwise, and whatever two readers
of one message disagree on can be turned against one of them. So there is one way to write a head:
no lone CR or LF, no folding, no guessing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv6Address
from typing import Callable, Generic, TypeVar

from ..checks import check_limit
from ..errors import InvalidHandshake, LimitExceeded, LocalProtocolError
from ..extensions import is_token, split_list
from ..headers import Headers

__all__ = [
    "MAX_FIELDS",
    "HeadParser",
    "build_head",
    "check_reserved",
    "check_value",
    "group_fields",
    "has_element",
    "is_host",
    "parse_request_line",
    "parse_status_line",
]

MAX_FIELDS = 100
"""Header fields in a head: browsers send some twenty, and each costs a tuple and two strings."""

StartLine = TypeVar("StartLine")

# Visible characters, spaces, tabs, and what UTF-8 is made of besides.
_SOUND = re.compile(rb"[\t -~\x80-\xff]*")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(r"[!-~]+")
_STATUS_LINE = re.compile(r"HTTP/([0-9]\.[0-9]) ([1-9][0-9]{2})(?: (.*))?")
_HOST = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%(?!00)[0-9A-Fa-f]{2})+)"
    r"(?::([0-9]{0,5}))?"
)
# A sound head: its start line and its fields. Every line is as `_SOUND` and `_parse_field` want it.
_HEAD = re.compile(
    r"([^\x00-\x08\x0a-\x1f\x7f]+)\r\n"
    r"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
)
_FIELD = re.compile(r"([^:]+):[ \t]*([^\r]*)\r\n")
_CR, _LF = b"\r\n"
_TLS_HANDSHAKE = 0x16


class HeadParser(Generic[StartLine]):
    """Reads the head of a message: start line, header fields, empty line.

    Each fault belongs to the byte that reveals it: a forbidden byte to itself, a malformed line
    to its LF, too large a head to the first byte beyond the limit (which goes before what else is
    wrong with that byte). The earliest decides, and as soon as it has come; so the outcome does
    not depend on where the bytes were cut.

    Args:
        max_size: bytes in the head, the empty line included; `None` for any number.
        parse_start_line: reads the start line, and raises `InvalidHandshake`.

    Raises:
        ValueError: for a limit that is not positive.
        TypeError: for a limit that is not an `int`.
    """

    __slots__ = (
        "_buffer",
        "_fields",
        "_head",
        "_line",
        "_max_size",
        "_parse_start_line",
        "_searched",
        "_size_before",
        "_start_line",
    )

    def __init__(self, max_size: int | None, parse_start_line: Callable[[str], StartLine]) -> None:
        check_limit("max_size", max_size)
        self._max_size = max_size
        self._parse_start_line = parse_start_line
        self._buffer = bytearray()
        # The bytes of the heads that `next` has left behind: they count.
        self._size_before = 0
        self._begin()

    def _begin(self) -> None:
        self._searched = 0
        self._line = 0
        self._start_line: StartLine | None = None
        self._fields: list[tuple[str, str]] = []
        self._head: tuple[StartLine, Headers] | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take in bytes."""
        self._buffer += data

    def parse(self) -> tuple[StartLine, Headers] | None:
        """Return the start line and the fields of the head, or `None` while it is incomplete.

        Raises:
            InvalidHandshake: if the head is malformed. Nothing is consumed then: parsing again
                gives the same error.
            LimitExceeded: if it is larger than `max_size` or has more than `MAX_FIELDS` fields.
        """
        if self._head is not None:
            return self._head
        buffer = self._buffer
        allowed = len(buffer)
        if self._max_size is not None:
            allowed = min(allowed, self._max_size - self._size_before)
        if self._searched == 0 and self._parse_at_once(allowed):
            return self._head
        while True:
            end = self._searched = _end_of_sound(buffer, self._searched, allowed)
            # A CR is judged together with what follows it.
            if end == allowed or (end + 1 == allowed and buffer[end] == _CR):
                break
            if buffer[end] != _CR or buffer[end + 1] != _LF:
                raise InvalidHandshake(self._describe(end))
            line = buffer[self._line : end]
            if not line and self._start_line is not None:
                self._line = end + 2
                self._head = self._start_line, Headers._unchecked(self._fields)
                return self._head
            self._take_line(line)
            self._line = self._searched = end + 2
        if self._max_size is not None and allowed < len(buffer):
            raise LimitExceeded("the head of the handshake", "max_handshake_size", self._max_size)
        return None

    def _parse_at_once(self, allowed: int) -> bool:
        """Read a head in which nothing is wrong and of which nothing is missing, as most are.

        Which of several faults comes first, or what is still to come, is seen line by line. A start
        line that is nothing but well-formed raises the same error from here.
        """
        end = self._buffer.find(b"\r\n\r\n", 0, allowed)
        if end < 0:
            return False
        size = end + 4
        if self._buffer.count(b"\r\n", 0, size) > MAX_FIELDS + 2:
            return False
        try:
            match = _HEAD.fullmatch(self._buffer[:size].decode())
        except UnicodeDecodeError:
            return False
        if match is None:
            return False
        fields = _FIELD.findall(match[2])
        if " \r" in match[2] or "\t\r" in match[2]:
            fields = [(name, value.rstrip(" \t")) for name, value in fields]
        self._head = self._parse_start_line(match[1]), Headers._unchecked(fields)
        self._line = size
        return True

    def next(self) -> None:
        """Leave the head that was parsed behind; another follows, within the same limit."""
        del self._buffer[: self._line]
        self._size_before += self._line
        self._begin()

    @property
    def buffer_len(self) -> int:
        """Bytes held: of a head that is incomplete, or of one that is not left behind."""
        return len(self._buffer)

    @property
    def remaining(self) -> bytes:
        """What came after the head; empty while that is incomplete."""
        return b"" if self._head is None else bytes(self._buffer[self._line :])

    def take_remaining(self) -> bytes:
        """Remove and return what came after the head."""
        remaining = self.remaining
        if remaining:
            del self._buffer[self._line :]
        return remaining

    def _take_line(self, line: bytearray) -> None:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            raise InvalidHandshake(f"the line {_shorten(bytes(line))} is not UTF-8") from None
        if self._start_line is None:
            if not text:
                raise InvalidHandshake("the head begins with an empty line")
            self._start_line = self._parse_start_line(text)
        elif len(self._fields) == MAX_FIELDS:
            raise LimitExceeded("the number of header fields", "MAX_FIELDS", MAX_FIELDS)
        else:
            self._fields.append(_parse_field(text))

    def _describe(self, index: int) -> str:
        byte = self._buffer[index]
        offset = self._size_before + index
        if byte == _CR:
            return f"CR without LF at offset {offset} of the head"
        if byte == _LF:
            return f"LF without CR at offset {offset} of the head"
        text = f"the byte 0x{byte:02x} at offset {offset} is not allowed in a head"
        return f"{text}: is this TLS?" if offset == 0 and byte == _TLS_HANDSHAKE else text


def _end_of_sound(buffer: bytearray, start: int, end: int) -> int:
    """Return where the first byte is that may not stand within a line."""
    match = _SOUND.match(buffer, start, end)
    assert match is not None
    return match.end()


def _parse_field(line: str) -> tuple[str, str]:
    """Read a field line (RFC 9112 section 5)."""
    name, colon, value = line.partition(":")
    if is_token(name) and colon:
        return name, value.strip(" \t")
    if line[0] in " \t":
        raise InvalidHandshake(
            f"the line {_shorten(line)} begins with white space; folding is obsolete"
        )
    if not colon:
        raise InvalidHandshake(f"the header line {_shorten(line)} has no colon")
    if name[-1:] in (" ", "\t"):
        # RFC 9112 section 5.1: it has let requests be smuggled past proxies.
        raise InvalidHandshake(f"white space before the colon of {_shorten(line)}")
    raise InvalidHandshake(f"the header name {_shorten(name)} is not a token")


def parse_request_line(line: str) -> tuple[str, str]:
    """Read the method and the target off a request line (RFC 9112 section 3).

    Raises:
        InvalidHandshake: if it is malformed, or of another version than HTTP/1.1.
    """
    parts = line.split(" ")
    if len(parts) != 3:
        raise InvalidHandshake(
            f"the request line {_shorten(line)} is not a method, a target and a version"
        )
    method, target, version = parts
    if not is_token(method):
        raise InvalidHandshake(f"the method {_shorten(method)} is not a token")
    if _TARGET.fullmatch(target) is None:
        raise InvalidHandshake(f"the request target {_shorten(target)} is not visible ASCII")
    if version != "HTTP/1.1":
        raise InvalidHandshake(f"the version is {_shorten(version)}, not 'HTTP/1.1'")
    return method, target


def parse_status_line(line: str) -> tuple[str, int, str]:
    """Read version (such as ``"1.1"``), status and reason phrase off a status line.

    Raises:
        InvalidHandshake: if it is malformed (RFC 9112 section 4).
    """
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise InvalidHandshake(
            f"the status line {_shorten(line)} is not a version, a status of three digits "
            "and a reason"
        )
    return match[1], int(match[2]), match[3] or ""


def group_fields(headers: Headers) -> dict[str, list[str]]:
    """Return the values of all fields by their names in lower case."""
    groups: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered in groups:
            groups[lowered].append(value)
        else:
            groups[lowered] = [value]
    return groups


def has_element(values: Sequence[str], wanted: str) -> bool:
    """Whether a list, over all its lines, has an element that is `wanted` in any case.

    Args:
        values: the values of all fields of one name.
        wanted: the element, in lower case.
    """
    # As octets, of which only ASCII letters have another case: the Kelvin sign is no k.
    text = ", ".join(values).encode().lower().decode()
    return text == wanted or wanted in split_list(text)


def is_host(text: str) -> bool:
    """Whether `text` is a name, an IPv4 or a bracketed IPv6 address, perhaps with a port.

    The host may not be empty, which RFC 9110 section 4.2.1 forbids for http and https.
    """
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    address, port = match[1], match[2]
    if port and int(port) > 65535:
        return False
    if address is not None:
        try:
            IPv6Address(address)
        except AddressValueError:
            return False
    return True


def build_head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a head: start line, fields, empty line.

    Args:
        start: the start line, and the fields besides that need no check.
        fields: the others.

    Raises:
        LocalProtocolError: if a name is not a token or a value may not stand in a header.
    """
    lines = [start]
    for name, value in fields:
        if not is_token(name):
            raise LocalProtocolError(f"the header name {name!r} is not a token")
        # Joined, not formatted: a subclass of `str`, an Enum say, may format itself otherwise.
        lines.append(": ".join((name, check_value(f"header {name!r}", value))))
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


def check_value(what: str, value: str) -> str:
    """Return `value` if it may stand in a head (RFC 9110 section 5.5).

    Raises:
        LocalProtocolError: if it may not.
    """
    if _VALUE.fullmatch(value) is None:
        raise LocalProtocolError(f"the {what} holds a control character: {value!r}")
    if value.strip(" \t") != value:
        raise LocalProtocolError(f"the {what} begins or ends with white space: {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(f"the {what} cannot be written as UTF-8: {value!r}") from None
    return value


def check_reserved(headers: Iterable[tuple[str, str]], reserved: frozenset[str]) -> None:
    """Refuse fields that the library writes itself, or that would frame a body.

    Raises:
        LocalProtocolError: if a name is among `reserved`, in any case.
    """
    for name, _ in headers:
        if name.lower() in reserved:
            raise LocalProtocolError(
                f"the header {name!r} is not the caller's to set here: leave it out"
            )


def _shorten(text: str | bytes) -> str:
    """Show `text` in an error, as much of it as helps."""
    return repr(text) if len(text) <= 100 else f"{text[:100]!r}..."

"""The body of a response, read as far as it helps (RFC 9112 sections 6 and 7)."""

from __future__ import annotations

import re

from ..extensions import split_list
from ..headers import Headers

__all__ = ["BodyReader"]

_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?")
_MAX_CHUNK_LINE = 1024


class BodyReader:
    """Collects the body of a response, for the application to see why it was refused.

    It ends where RFC 9112 section 6.3 says, but at `max_size` at the latest, and at once where its
    framing is broken: what has come until then is still of use. Trailers are not waited for.

    Args:
        status: the status of the response.
        headers: its fields.
        max_size: bytes kept at most; `None` for any number.

    Attributes:
        complete: whether nothing more will be taken in.
        body: what has come so far, freed of its chunked coding.
    """

    __slots__ = ("_chunked", "_in_chunk", "_left", "_max_size", "_pending", "body", "complete")

    def __init__(self, status: int, headers: Headers, max_size: int | None) -> None:
        self.body = bytearray()
        self.complete = False
        self._max_size = max_size
        # Bytes still to come of the chunk or of the body; None: until the end of the stream.
        self._left: int | None = None
        self._in_chunk = False
        self._pending = b""
        codings = split_list(", ".join(headers.get_all("transfer-encoding")))
        self._chunked = bool(codings) and codings[-1].lower() == "chunked"
        lengths = headers.get_all("content-length")
        if status in (204, 304):
            self.complete = True
        elif self._chunked:
            self._left = 0
        elif lengths and not codings:
            # A proxy may have folded equal lengths into one list (RFC 9110 section 8.6).
            elements = set(split_list(", ".join(lengths)))
            length = elements.pop() if len(elements) == 1 else ""
            self._left = int(length) if _LENGTH.fullmatch(length) else 0
            self.complete = self._left == 0

    def feed(self, data: bytes) -> None:
        """Take in what follows the head."""
        if self.complete:
            return
        if not self._chunked:
            self._take(data)
            if self._left == 0:
                self.complete = True
            return
        data = self._pending + data
        position = 0
        while not self.complete:
            if self._left:
                if position == len(data):
                    break
                position += self._take(data[position : position + self._left])
                continue
            end = data.find(b"\r\n", position, position + _MAX_CHUNK_LINE)
            if end < 0:
                self.complete = len(data) - position >= _MAX_CHUNK_LINE
                break
            self._take_line(data[position:end])
            position = end + 2
        self._pending = data[position:]

    def _take(self, data: bytes) -> int:
        """Add to the body as much of `data` as belongs to it, and return how much that is."""
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        self.body += data
        if self._max_size is not None and len(self.body) >= self._max_size:
            del self.body[self._max_size :]
            self.complete = True
        return len(data)

    def _take_line(self, line: bytes) -> None:
        """Take the end of a chunk, or the line before one (RFC 9112 section 7.1)."""
        if self._in_chunk:
            self._in_chunk = False
            self.complete = line != b""
            return
        match = _CHUNK_SIZE.fullmatch(line)
        self._left = 0 if match is None else int(match[1], 16)
        self._in_chunk = True
        self.complete = self._left == 0

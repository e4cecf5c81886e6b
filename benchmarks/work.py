"""What is measured: work that is the same for every library, and how to tell that it was done.

A library does a piece of work by the method that is named after its class, see `libraries.py`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Union

from websocket import Frame, FrameDecoder, Opcode

Payload = Union[str, bytes]

KEY = b"\x37\xfa\x21\x3d"
"""The masking key of all that is received."""

# What the browsers send, give or take a header.
REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\n"
    b"Host: example.com\r\n"
    b"Connection: keep-alive, Upgrade\r\n"
    b"Pragma: no-cache\r\n"
    b"Cache-Control: no-cache\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
    b" Chrome/130.0.0.0 Safari/537.36\r\n"
    b"Upgrade: websocket\r\n"
    b"Origin: https://example.com\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-GB,en;q=0.9\r\n"
    b"Cookie: session=0123456789abcdef0123456789abcdef\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    b"\r\n"
)
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


class Deflate(NamedTuple):
    """Compression that the libraries can be told to use, with context takeover both ways.

    Window and memory level are the defaults of this library and of websockets; wsproto has a memory
    level of 8 and cannot be told another.
    """

    level: int = 6
    window_bits: int = 12
    mem_level: int = 5
    engine: str = "zlib"
    """The module that this library uses; the others know only zlib."""


class Floor(NamedTuple):
    """How many times as fast as each peer this library is at least; `None`: not said."""

    websockets: float | None = None
    wsproto: float | None = None

    def __str__(self) -> str:
        return " / ".join("-" if times is None else f"{times:g}" for times in self)


Floors = dict[str, Floor]
"""By implementation: ``cython``, ``python`` (the fallback on CPython) and ``pypy``."""


class Received(NamedTuple):
    messages: int
    last: str | bytes | bytearray


class Sent(NamedTuple):
    size: int
    last: bytes
    """The bytes of the last message."""


@dataclass(frozen=True)
class Work:
    name: str
    payloads: Sequence[Payload]
    """What the messages carry, of one type: text messages or binary ones."""
    per_feed: int = 1
    """Messages that are received at once."""
    deflate: Deflate | None = None
    floors: Floors = field(default_factory=dict)
    aim: float | None = None
    """How many times as fast as websockets the compiled backend is meant to be."""

    @property
    def count(self) -> int:
        return len(self.payloads)

    @property
    def is_text(self) -> bool:
        return isinstance(self.payloads[0], str)

    @cached_property
    def feeds(self) -> list[bytes]:
        """The frames of a client."""
        if len(set(self.payloads)) == 1:
            frames = [self._frame(self.payloads[0]).encode(KEY)] * self.count
        elif self.deflate is None:
            frames = [self._frame(payload).encode(KEY) for payload in self.payloads]
        else:
            frames = self._compressed_frames(self.deflate)
        return [
            b"".join(frames[begin : begin + self.per_feed])
            for begin in range(0, self.count, self.per_feed)
        ]

    @cached_property
    def answer(self) -> bytes:
        """The frames of a server that sends the same messages, not compressed."""
        return b"".join(self._frame(payload).encode_unmasked() for payload in self.payloads)

    def _frame(self, payload: Payload) -> Frame:
        return Frame.text(payload) if isinstance(payload, str) else Frame.binary(payload)

    def _compressed_frames(self, deflate: Deflate) -> list[bytes]:
        # RFC 7692 section 7.2.1, with one stream for all messages (section 7.1.1).
        stream = zlib.compressobj(
            deflate.level, zlib.DEFLATED, -deflate.window_bits, deflate.mem_level
        )
        frames = []
        for payload in self.payloads:
            data = stream.compress(as_bytes(payload)) + stream.flush(zlib.Z_SYNC_FLUSH)
            frames.append(Frame(self._opcode, data[:-4], rsv1=True).encode(KEY))
        return frames

    @property
    def _opcode(self) -> Opcode:
        return Opcode.TEXT if self.is_text else Opcode.BINARY


class Receive(Work):
    """A server receives messages."""

    def check(self, received: Received) -> None:
        assert received.messages == self.count, (received.messages, self.count)
        assert as_bytes(received.last) == as_bytes(self.payloads[-1])


class Echo(Work):
    """A server sends back every message it receives."""

    @property
    def kept(self) -> int | None:
        """How many pieces of the answer are kept; `None`: all.

        As few as can be: who holds 800 KB and lets go of them measures what the allocator gives
        back to the system and asks for again.
        """
        return 4 if self.deflate is None else None

    def check(self, sent: tuple[int, Sequence[bytes]]) -> None:
        size, kept = sent
        answer = b"".join(kept)
        if self.deflate is not None:
            assert self._inflated(answer) == self.answer
        else:
            assert size == len(self.answer), (size, len(self.answer))
            assert answer
            assert self.answer.endswith(answer)

    def _inflated(self, answer: bytes) -> bytes:
        decoder = FrameDecoder()
        decoder.feed(answer)
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        frames = []
        while (frame := decoder.decode()) is not None:
            assert frame.rsv1
            payload = stream.decompress(frame.payload + b"\x00\x00\xff\xff")
            frames.append(Frame(frame.opcode, payload).encode_unmasked())
        return b"".join(frames)


class Send(Work):
    """A client sends messages, masked with fresh keys."""

    def check(self, sent: Sent) -> None:
        keys = 4 * self.count
        assert sent.size == len(self.answer) + keys, (sent.size, len(self.answer), keys)
        decoder = FrameDecoder()
        decoder.feed(sent.last)
        frame = decoder.decode()
        assert frame is not None
        assert frame.masked
        assert frame.payload == as_bytes(self.payloads[-1])


@dataclass(frozen=True)
class Handshakes:
    name: str
    count: int
    deflate: Deflate | None = None
    floors: Floors = field(default_factory=dict)
    aim: float | None = None


class Accept(Handshakes):
    """A server is made, and accepts the request of a browser."""

    def check(self, sent: Sent) -> None:
        assert sent.last.startswith(b"HTTP/1.1 101 "), sent.last
        assert ACCEPT in sent.last, sent.last
        assert sent.last.endswith(b"\r\n\r\n"), sent.last
        assert sent.size == self.count * len(sent.last), (sent.size, sent.last)


class Connect(Handshakes):
    """A client is made, sends its request and reads the answer."""

    def check(self, connected: int) -> None:
        assert connected == self.count, (connected, self.count)


def respond(request: bytes) -> bytes:
    """Return what a server answers; a client's key is not known beforehand."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", request)[1]
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Server: nginx\r\n"
        b"Date: Sat, 01 Aug 2026 12:00:00 GMT\r\n"
        b"Connection: upgrade\r\n"
        b"Upgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def as_bytes(payload: str | bytes | bytearray) -> bytes:
    return payload.encode() if isinstance(payload, str) else bytes(payload)


def shares(chance: random.Random) -> list[dict[str, Any]]:
    """Return what makes about 1 KiB of JSON."""
    return [
        {
            "id": chance.randrange(10**6),
            "symbol": "".join(chance.choices("ABCDEFGH", k=4)),
            "price": round(chance.uniform(1, 1000), 2),
            "traded": chance.random() < 0.5,
        }
        for _ in range(14)
    ]


def quotes(count: int) -> list[str]:
    """Return messages as those of a stock exchange: each is much like the one before."""
    chance = random.Random(count)
    traded = shares(chance)
    messages = []
    for _ in range(count):
        for share in traded:
            share["traded"] = chance.random() < 0.5
            if share["traded"]:
                share["price"] = round(share["price"] * chance.uniform(0.99, 1.01), 2)
        messages.append(json.dumps(traded))
    return messages


def records(count: int) -> list[str]:
    """Return messages that have their keys in common, and no value."""
    chance = random.Random(count)
    return [json.dumps(shares(chance)) for _ in range(count)]


# The floors of the fallback depend on the size alone: unmasking in Python decides.


def small(websockets: float, wsproto: float | None = None) -> Floors:
    return {
        "cython": Floor(websockets, wsproto),
        "python": Floor(1.2, 4),
        "pypy": Floor(None, 2),
    }


def medium(websockets: float, wsproto: float | None = None) -> Floors:
    return {"cython": Floor(websockets, wsproto)}


def large(websockets: float, wsproto: float | None = None) -> Floors:
    return {"cython": Floor(websockets, wsproto), "python": Floor(None, 0.7)}


B_64 = "a" * 64
KIB = "a" * 1024
KIB_16 = "a" * 16384
MIB = "a" * 1048576
JAPANESE_4_KIB = "日本語の文章は三倍の長さ" * 114
QUOTES = quotes(100)
RECORDS = records(100)

RECEIVE = [
    Receive("receive text 64 B", [B_64] * 1000, floors=small(10, 30), aim=20),
    Receive("receive binary 64 B", [B_64.encode()] * 1000, floors=small(10, 30), aim=20),
    Receive("receive text 64 B, 100 a feed", [B_64] * 1000, per_feed=100, floors=small(25), aim=45),
    Receive(
        "receive binary 64 B, 100 a feed",
        [B_64.encode()] * 1000,
        per_feed=100,
        floors=small(25),
        aim=45,
    ),
    Receive("receive text 1 KiB", [KIB] * 500, floors=medium(10, 20), aim=15),
    Receive("receive text 16 KiB", [KIB_16] * 50, floors=large(4, 10), aim=6),
    Receive("receive binary 16 KiB", [KIB_16.encode()] * 50, floors=large(4, 10), aim=6),
    Receive("receive text 1 MiB", [MIB] * 64, floors=large(2.5, 10), aim=4),
    Receive("receive Japanese text 4 KiB", [JAPANESE_4_KIB] * 100, floors=medium(1.5), aim=2.5),
]
ECHO = [
    Echo("echo text 64 B", [B_64] * 1000, floors=small(10, 20), aim=16),
    Echo("echo text 16 KiB", [KIB_16] * 50, floors=large(3, 10), aim=5),
]
SEND = [
    Send("client sends text 64 B", [B_64] * 1000, floors=medium(6), aim=12),
    Send("client sends binary 64 B", [B_64.encode()] * 1000, floors=medium(6), aim=12),
    Send("client sends text 1 MiB", [MIB] * 64, floors=large(2), aim=3),
    Send("client sends binary 1 MiB", [MIB.encode()] * 64, floors=large(2), aim=3),
]
HANDSHAKES = [
    Accept("server accepts a handshake", 50, floors=medium(2, 2), aim=4),
    Connect("client does a handshake", 50),
]
COMPRESSED = [
    Echo("compressed echo 1 KiB JSON", QUOTES, deflate=Deflate(), floors=medium(1.2)),
    Echo("compressed echo 1 KiB JSON, no two alike", RECORDS, deflate=Deflate()),
    Echo(
        "compressed echo 1 KiB JSON, zlib-ng here",
        QUOTES,
        deflate=Deflate(engine="zlib_ng.zlib_ng"),
        aim=2,
    ),
]
ALL = [*RECEIVE, *ECHO, *SEND, *HANDSHAKES, *COMPRESSED]

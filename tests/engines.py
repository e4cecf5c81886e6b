"""What the tests of compression share: a peer made of zlib alone, an engine that counts."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from helpers import Side, WireFrame, connecting, request, response

__all__ = ["RSV1", "TAIL", "Counting", "Peer", "agreed", "counted", "established", "raw"]

TAIL = b"\x00\x00\xff\xff"
RSV1 = 4
"""The reserved bit as `helpers.frame` takes it."""

PLAIN_AGREEMENT = "permessage-deflate"


def raw(data: bytes, bits: int = 15, level: int = 9) -> bytes:
    """Compress a message without history, as the best of peers would."""
    return Peer(bits=bits, level=level).compress(data)


class Peer:
    """The other side's contexts, with takeover in both directions."""

    def __init__(self, bits: int = 15, inflate_bits: int = 15, level: int = 9) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -bits, 9)
        self._inflater = zlib.decompressobj(-inflate_bits)

    def compress(self, data: bytes) -> bytes:
        compressed = self.begin(data)
        assert compressed.endswith(TAIL)
        return compressed[:-4]

    def begin(self, data: bytes) -> bytes:
        """Compress the beginning of a message, up to a byte's border."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def inflate(self, payload: bytes) -> bytes:
        return self._inflater.decompress(payload + TAIL)

    def read(self, frames: Iterable[WireFrame]) -> list[bytes]:
        """Return the messages in these frames, which hold nothing else; each is whole."""
        messages = []
        payload, compressed = b"", False
        for sent in frames:
            assert sent.rsv in ({0, RSV1} if sent.opcode else {0})
            if sent.opcode:
                payload, compressed = b"", sent.rsv == RSV1
            payload += sent.payload
            if sent.fin:
                messages.append(self.inflate(payload) if compressed else payload)
        return messages


def agreed(
    ws: Any,
    role: str,
    answer: str = PLAIN_AGREEMENT,
    *,
    deflate: dict[str, Any] | None = None,
    random: Any = None,
    **options: Any,
) -> Side:
    """Make a connection through a whole handshake in which this answer was given.

    Args:
        ws: the package.
        role: client or server.
        answer: the element of the answer.
        deflate: what the options of the connection say on compression.
        random: as for the connections.
        **options: the other options.
    """
    options["deflate"] = ws.PerMessageDeflateConfig(**(deflate or {}))
    side = connecting(ws, role, random=random, **options)
    if side.is_client:
        side.feed(response(extra=[("Sec-WebSocket-Extensions", answer)]))
    else:
        offer = "permessage-deflate; client_max_window_bits"
        side.feed(request(extra=[("Sec-WebSocket-Extensions", offer)]))
        side.connection.accept_handshake(ws.ServerHandshakeResponse(extensions=[answer]))
        side.events()
    side.raw()
    assert side.state == "CONNECTED"
    assert side.connection.extensions == (answer,)
    return side


def established(ws: Any, role: str, *extensions: str, random: Any = None, **options: Any) -> Side:
    """Make a connection whose handshake was done elsewhere; events and outputs are polled."""
    client = role == "client"
    kind = ws.WebSocketClientConnection if client else ws.WebSocketServerConnection
    options_of = ws.ClientConnectionOptions if client else ws.ServerConnectionOptions
    side = Side(
        ws, kind.established(options_of(**options), extensions=extensions, random=random), random
    )
    side.events()
    side.raw()
    return side


class Counting(ModuleType):
    """zlib by another name, which counts what it is asked for."""

    NAME = "counting_engine"

    def __init__(self) -> None:
        super().__init__(self.NAME)
        self.error = zlib.error
        self.DEFLATED = zlib.DEFLATED
        self.Z_DEFAULT_COMPRESSION = zlib.Z_DEFAULT_COMPRESSION
        self.Z_SYNC_FLUSH = zlib.Z_SYNC_FLUSH
        self.reset()

    def reset(self) -> None:
        self.compressors = 0
        self.inflaters = 0
        self.alive = 0
        self.compressed = 0
        self.inflated = 0
        self.largest_piece = 0

    def compressobj(self, *arguments: Any) -> Any:
        self.compressors += 1
        return _Compressor(self, zlib.compressobj(*arguments))

    def decompressobj(self, bits: int) -> Any:
        self.inflaters += 1
        return _Inflater(self, zlib.decompressobj(bits))


class _Context:
    def __init__(self, engine: Counting, context: Any) -> None:
        self._engine = engine
        self._context = context
        engine.alive += 1

    def __del__(self) -> None:
        self._engine.alive -= 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _Compressor(_Context):
    def compress(self, data: bytes) -> bytes:
        self._engine.compressed += len(data)
        return bytes(self._context.compress(data))


class _Inflater(_Context):
    def decompress(self, data: bytes, max_length: int) -> bytes:
        assert max_length > 0, "0 would mean without bound"
        piece = bytes(self._context.decompress(data, max_length))
        self._engine.inflated += len(piece)
        self._engine.largest_piece = max(self._engine.largest_piece, len(piece))
        return piece


@contextmanager
def counted(ws: Any) -> Iterator[Counting]:
    """Let `engine="counting_engine"` name an engine that counts."""
    engine = Counting()
    sys.modules[Counting.NAME] = engine
    ws.engines.check_engine.cache_clear()
    try:
        yield engine
    finally:
        del sys.modules[Counting.NAME]
        ws.engines.check_engine.cache_clear()

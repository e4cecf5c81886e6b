"""Work that must grow with the bytes and not faster, for `test_growth` to count.

Each row is a generator function of the package and of a size. It prepares up to its first `yield`,
then works in small steps, one to a `yield`. As a program this file does all rows, each in the sizes
that it is given, and calls `getppid` before and after each one's work.
"""

from __future__ import annotations

import gc
import os
import sys
import zlib
from collections.abc import Iterator
from typing import Any

from helpers import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    announcement,
    connecting,
    frame,
    request,
    response,
)

WARM_UP = 100
"""A size for what is made at first use and then kept, which is no part of the growth."""

Row = Iterator[None]

DEFLATE = ["permessage-deflate"]
RSV1 = 4
WORDS = "日本語 naïve 😀 ".encode()
"""Characters of one to four octets."""


def server(ws: Any, **arguments: Any) -> Any:
    return drained(ws.WebSocketServerConnection.established(**arguments))


def client(ws: Any, **arguments: Any) -> Any:
    return drained(ws.WebSocketClientConnection.established(**arguments))


def drained(connection: Any) -> Any:
    list(connection.events())
    list(connection.outputs())
    return connection


def octets(data: bytes) -> Iterator[bytes]:
    return (data[index : index + 1] for index in range(len(data)))


# Receiving


def frames_in_one_feed(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = frame(TEXT, b"x" * 100, key=KEY) * size
    yield
    connection.feed_recv_buf(data)
    messages = 0
    for _ in connection.events():
        messages += 1
        yield
    assert messages == size
    assert connection.recv_buffer_len == 0


def frames_polled_slowly(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = frame(BINARY, b"x" * 100, key=KEY)
    yield
    connection.feed_recv_buf(data * size)
    for _ in range(size):
        connection.feed_recv_buf(data)
        assert connection.poll_event() is not None
        yield
    assert connection.recv_buffer_len == size * len(data)


def feeds_before_a_poll(ws: Any, size: int) -> Row:
    connection = client(ws)
    pieces = list(octets(frame(BINARY, b"abc")))
    yield
    for _ in range(size):
        for piece in pieces:
            connection.feed_recv_buf(piece)
    yield
    messages = 0
    for _ in connection.events():
        messages += 1
        yield
    assert messages == size


def pings_before_a_poll(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = frame(PING, b"are you there?", key=KEY)
    yield
    for _ in range(size):
        connection.feed_recv_buf(data)
        yield
    for _ in connection.events():
        yield
    assert connection.send_buffer_len == size * (len(data) - len(KEY))
    for _ in connection.outputs():
        yield


def frame_octet_by_octet(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = frame(BINARY, b"x" * 2 * size, key=KEY)
    yield
    event = None
    for piece in octets(data):
        connection.feed_recv_buf(piece)
        event = connection.poll_event()
        yield
    assert len(event.data) == 2 * size


def text_octet_by_octet(ws: Any, size: int) -> Row:
    connection = client(ws)
    text = WORDS * (2 * size // len(WORDS))
    yield
    event = None
    for piece in octets(frame(TEXT, text)):
        connection.feed_recv_buf(piece)
        event = connection.poll_event()
        yield
    assert event.text.encode() == text


def binary_in_reads_of_a_kib(ws: Any, size: int) -> Row:
    connection = server(ws)
    head = announcement(BINARY, 1024 * size, masked=True)
    piece = b"x" * 1024
    yield
    connection.feed_recv_buf(head)
    event = None
    for _ in range(size):
        assert event is None
        connection.feed_recv_buf(piece)
        event = connection.poll_event()
        yield
    assert len(event.data) == 1024 * size


def text_in_reads_of_a_kib(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = WORDS * (1024 * size // len(WORDS))
    head = announcement(TEXT, len(data), masked=True)
    yield
    connection.feed_recv_buf(head)
    event = None
    for start in range(0, len(data), 1024):
        assert event is None
        connection.feed_recv_buf(data[start : start + 1024])
        event = connection.poll_event()
        yield
    assert len(event.text) == len(data) // len(WORDS) * len(WORDS.decode())


def streamed_in_reads_of_a_kib(ws: Any, size: int) -> Row:
    connection = server(ws)
    connection.streaming = True
    head = announcement(TEXT, 1024 * size, masked=True)
    piece = b"x" * 1024
    yield
    connection.feed_recv_buf(head)
    characters = 0
    for _ in range(size):
        connection.feed_recv_buf(piece)
        for event in connection.events():
            characters += len(event.text)
        yield
    assert characters == 1024 * size


def tiny_fragments(ws: Any, size: int) -> Row:
    connection = server(ws)
    data = frame(TEXT, b"x", fin=False, key=KEY)
    data += frame(CONTINUATION, b"y", fin=False, key=KEY) * size + frame(CONTINUATION, key=KEY)
    yield
    messages = []
    for start in range(0, len(data), 1000):
        connection.feed_recv_buf(data[start : start + 1000])
        messages += connection.events()
        yield
    assert [len(message.text) for message in messages] == [1 + size]


def empty_fragments(ws: Any, size: int) -> Row:
    connection = client(ws)
    data = frame(BINARY, b"x" * 1000, fin=False) + frame(CONTINUATION, fin=False) * size
    yield
    connection.feed_recv_buf(data + frame(CONTINUATION))
    messages = 0
    for _ in connection.events():
        messages += 1
        yield
    assert messages == 1


# Compression


def compressed_fragments(ws: Any, size: int) -> Row:
    connection = server(ws, extensions=DEFLATE)
    compressor = zlib.compressobj(wbits=-15, strategy=zlib.Z_HUFFMAN_ONLY)
    content = bytes(range(256)) * (4 * size // 256 + 1)
    compressed = compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]
    frames = [frame(BINARY, compressed[:1], fin=False, rsv=RSV1, key=KEY)]
    for start in range(1, len(compressed), 4):
        frames.append(frame(CONTINUATION, compressed[start : start + 4], fin=False, key=KEY))
    frames.append(frame(CONTINUATION, key=KEY))
    yield
    messages = []
    for piece in frames:
        connection.feed_recv_buf(piece)
        messages += connection.events()
        yield
    assert messages == [ws.BinaryMessage(content)]


def final_blocks_in_one_frame(ws: Any, size: int) -> Row:
    """A final block is followed by another one (RFC 7692 section 7.2.3.4); 1,024 may be."""
    connection = client(ws, extensions=DEFLATE)
    blocks = size // 4
    content = b"x" * 200
    block = b"\x01" + (200).to_bytes(2, "little") + (0xFFFF - 200).to_bytes(2, "little") + content
    data = frame(BINARY, block * blocks + b"\x00", rsv=RSV1)
    yield
    connection.feed_recv_buf(data)
    messages = []
    for event in connection.events():
        messages.append(event)
        yield
    assert messages == [ws.BinaryMessage(content * blocks)]


# Sending


def masked_sends_before_a_drain(ws: Any, size: int) -> Row:
    connection = client(ws)
    yield
    for _ in range(size):
        connection.send_text("x" * 100)
        connection.send_ping()
        yield
    assert connection.send_buffer_len == size * (2 + 4 + 100 + 2 + 4)
    for _ in connection.outputs():
        yield
    assert connection.send_buffer_len == 0


def unmasked_sends_before_a_drain(ws: Any, size: int) -> Row:
    connection = server(ws)
    yield
    for _ in range(size):
        connection.send_binary(b"x" * 100)
        yield
    assert connection.send_buffer_len == size * (2 + 100)
    for _ in connection.outputs():
        yield
    assert connection.send_buffer_len == 0


def compressed_sends_before_a_drain(ws: Any, size: int) -> Row:
    connection = server(ws, extensions=DEFLATE)
    yield
    for _ in range(size // 4):
        connection.send_text("x" * 100)
        yield
    for _ in connection.outputs():
        yield
    assert connection.send_buffer_len == 0


def fragments_sent(ws: Any, size: int) -> Row:
    """Fragments that end inside a character."""
    connection = server(ws)
    connection.send_text(b"\xe6", final=False)
    yield
    for _ in range(size):
        connection.send_continuation(b"\x97\xa5\xe6", final=False)
        yield
    for _ in connection.outputs():
        yield
    assert connection.send_buffer_len == 0


# The opening handshake


def request_octet_by_octet(ws: Any, size: int) -> Row:
    connection = connecting(ws, "server", max_handshake_size=None).connection
    data = request(extra=[("X-Long", "x" * size)])
    yield
    events = []
    for piece in octets(data):
        connection.feed_recv_buf(piece)
        events += connection.events()
        yield
    assert [type(event) for event in events] == [ws.HandshakeRequested]


def response_octet_by_octet(ws: Any, size: int) -> Row:
    connection = connecting(ws, "client", max_handshake_size=None).connection
    data = response(extra=[("X-Long", "x" * size)])
    yield
    for piece in octets(data):
        connection.feed_recv_buf(piece)
        list(connection.events())
        yield
    assert connection.state is ws.ConnectionState.CONNECTED


def many_offers(ws: Any, size: int) -> Row:
    """Subprotocols and extensions of which none is taken."""
    count = size // 4
    offers = [
        ("Sec-WebSocket-Protocol", ", ".join(f"protocol-{number}" for number in range(count))),
        ("Sec-WebSocket-Extensions", ", ".join(f"extension-{number}" for number in range(count))),
    ]
    side = connecting(
        ws,
        "server",
        protocols=["chat"],
        deflate=ws.PerMessageDeflateConfig(),
        max_handshake_size=None,
    )
    data = request(extra=offers)
    yield
    (requested,) = side.feed(data)
    yield
    side.connection.accept_handshake_auto()
    yield
    assert len(requested.request.protocols) == len(requested.request.extensions) == count
    assert side.state == "CONNECTED"


# Single frames


def decoder_fed_once(ws: Any, size: int) -> Row:
    decoder = ws.FrameDecoder()
    data = frame(BINARY, b"x" * 100, key=KEY) * (size // 2)
    yield
    decoder.feed(data)
    for _ in range(size // 2):
        assert decoder.decode() is not None
        yield
    assert decoder.buffer_len == 0


def decoder_fed_octet_by_octet(ws: Any, size: int) -> Row:
    decoder = ws.FrameDecoder()
    yield
    decoded = None
    for piece in octets(frame(BINARY, b"x" * 2 * size, key=KEY)):
        decoder.feed(piece)
        decoded = decoder.decode()
        yield
    assert len(decoded.payload) == 2 * size


ROWS = [
    frames_in_one_feed,
    frames_polled_slowly,
    feeds_before_a_poll,
    pings_before_a_poll,
    frame_octet_by_octet,
    text_octet_by_octet,
    binary_in_reads_of_a_kib,
    text_in_reads_of_a_kib,
    streamed_in_reads_of_a_kib,
    tiny_fragments,
    empty_fragments,
    compressed_fragments,
    final_blocks_in_one_frame,
    masked_sends_before_a_drain,
    unmasked_sends_before_a_drain,
    compressed_sends_before_a_drain,
    fragments_sent,
    request_octet_by_octet,
    response_octet_by_octet,
    many_offers,
    decoder_fed_once,
    decoder_fed_octet_by_octet,
]


# The faults to be found: each does for each of many small frames what must be done once for all


def copies_the_rest(_ws: Any, size: int) -> Row:
    data = bytes(20 * size)
    yield
    while data:
        data = data[100:]
        yield


def moves_the_rest(_ws: Any, size: int) -> Row:
    """In place, so that nothing is allocated."""
    data = bytearray(20 * size)
    yield
    while len(data) > 100:
        del data[1:101]
        yield


def asks_all_the_others(_ws: Any, size: int) -> Row:
    waiting = list(range(size // 10))
    yield
    while waiting:
        last = waiting.pop()
        assert all(other.__lt__(last) for other in waiting)
        yield


FAULTS = [copies_the_rest, moves_the_rest, asks_all_the_others]


def main(*sizes: int) -> None:
    import websocket

    # It runs whenever some number of objects has been made, and looks at all there are.
    gc.disable()
    for row in [*ROWS, *FAULTS]:
        for _ in row(websocket, WARM_UP):
            pass
        for size in sizes:
            work = row(websocket, size)
            next(work)
            os.getppid()
            for _ in work:
                pass
            os.getppid()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

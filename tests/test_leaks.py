"""Nothing is left behind: as many blocks of memory and references after many rounds as before.

The collector of cycles is off meanwhile: what is done with is freed at once. One object that a
round forgets to free would be thousands in the end.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    CountingRandom,
    close_body,
    frame,
    request,
    response,
)
from strategies import deflated

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython" or not sys.getallocatedblocks(),
    reason="needs CPython with an allocator that counts, which malloc does not",
)

if sys.implementation.name == "cpython":
    import tracemalloc

ALLOWED = 100
"""Blocks and references that may come and go, such as those of free lists."""

DEFLATE = ("permessage-deflate",)
FRESH = ("permessage-deflate; server_no_context_takeover; client_no_context_takeover",)

Round = Callable[[], object]


def sides(ws: ModuleType, **options: Any) -> list[tuple[Any, bytes | None]]:
    """Make a connected client and server, each with the key that its peer masks with."""
    return [
        (ws.WebSocketClientConnection.established(**options), None),
        (ws.WebSocketServerConnection.established(**options), KEY),
    ]


def drain(connection: Any) -> list[Any]:
    return [*connection.events(), *connection.outputs()]


def refused(call: Callable[..., object], *arguments: object) -> bool:
    """Whether a call raises; `pytest.raises` would leave cycles behind."""
    try:
        call(*arguments)
    except (ValueError, TypeError, AttributeError):
        return True
    except Exception as error:
        return type(error).__name__ in ("LocalProtocolError", "RemoteProtocolError")
    return False


def messages(ws: ModuleType) -> Round:
    """Four messages received and four sent in a round."""
    connections = sides(ws)
    feeds = [
        frame(TEXT, b"Hello", key=key) + frame(BINARY, b"abc", key=key) for _, key in connections
    ]

    def play() -> None:
        for (connection, _), feed in zip(connections, feeds):
            connection.feed_recv_buf(feed)
            for event in connection.events():
                if isinstance(event, ws.TextMessage):
                    connection.send_text(event.text)
                elif isinstance(event, ws.BinaryMessage):
                    connection.send_binary(event.data)
            drain(connection)

    return play


def large_messages(ws: ModuleType) -> Round:
    """Cut, fragmented, not ASCII, and larger than what is copied into one piece."""
    connections = sides(ws)
    text = "日本語é".encode() * 3000
    feeds = []
    for _, key in connections:
        wire = frame(TEXT, text[:20000], fin=False, key=key) + frame(PING, b"p", key=key)
        wire += frame(CONTINUATION, text[20000:], key=key) + frame(BINARY, bytes(20000), key=key)
        feeds.append([bytearray(wire[:7]), memoryview(wire)[7:25000], wire[25000:]])

    def play() -> None:
        for (connection, _), feed in zip(connections, feeds):
            for piece in feed:
                connection.feed_recv_buf(piece)
                drain(connection)
            connection.send_text(text, final=False)
            connection.send_continuation("é")
            connection.send_binary(bytearray(20000))
            drain(connection)

    return play


def streams(ws: ModuleType) -> Round:
    connections = sides(ws)
    feeds = [
        frame(TEXT, "日本".encode(), key=key) + frame(BINARY, b"abc", key=key)
        for _, key in connections
    ]
    for connection, _ in connections:
        connection.streaming = True

    def play() -> None:
        for (connection, _), feed in zip(connections, feeds):
            connection.feed_recv_buf(feed[:9])
            drain(connection)
            connection.feed_recv_buf(feed[9:])
            drain(connection)

    return play


def compressed_messages(ws: ModuleType) -> Round:
    payload = deflated(b"Hello" * 100)
    connections = sides(ws, extensions=FRESH) + sides(ws, extensions=DEFLATE)
    feeds = [frame(TEXT, payload, rsv=4, key=key) for _, key in connections]

    def play() -> None:
        for (connection, _), feed in zip(connections, feeds):
            connection.feed_recv_buf(feed)
            drain(connection)
            connection.send_text("Hello" * 100)
            drain(connection)

    return play


def prepared_messages(ws: ModuleType) -> Round:
    connections = sides(ws) + sides(ws, extensions=DEFLATE)

    def play() -> None:
        message = ws.PreparedMessage("Hello" * 100)
        for connection, _ in connections:
            connection.send_prepared(message)
            drain(connection)

    return play


def closing_connections(ws: ModuleType) -> Round:
    """Two connections from their making to their end, in peace."""

    def play() -> None:
        for connection, key in sides(ws, random=CountingRandom()):
            connection.feed_recv_buf(frame(TEXT, b"Hello", key=key) + frame(PING, key=key))
            drain(connection)
            connection.send_ping(b"p", 1.0)
            connection.close(1000, "bye")
            connection.feed_recv_buf(frame(CLOSE, close_body(1000), key=key))
            drain(connection)
            connection.feed_eof()
            drain(connection)
            assert connection.state is ws.ConnectionState.CLOSED

    return play


def dropped_connections(ws: ModuleType) -> Round:
    """Given up with everything pending: input, a message in pieces, outputs, iterators."""

    def play() -> None:
        for connection, key in sides(ws, extensions=DEFLATE):
            connection.feed_recv_buf(frame(TEXT, b"a", fin=False, key=key) + frame(PING, key=key))
            connection.feed_recv_buf(frame(CONTINUATION, b"abc", key=key)[:-1])
            connection.poll_event()
            connection.feed_recv_buf(b"")
            connection.send_text(b"\xe6", final=False)
            connection.send_continuation(b"\x97" + b"\xa5" * 1)
            next(connection.outputs())

    return play


def broken_off_iterators(ws: ModuleType) -> Round:
    connections = sides(ws)
    feeds = [frame(TEXT, b"Hello", key=key) * 3 for _, key in connections]

    def play() -> None:
        for (connection, _), feed in zip(connections, feeds):
            connection.feed_recv_buf(feed)
            for _event in connection.events():
                connection.send_text("x" * 20000)
                break
            with contextlib.suppress(KeyError):
                for _event in connection.events():
                    raise KeyError
            for _output in connection.outputs():
                break
            drain(connection)

    return play


def failing_connections(ws: ModuleType) -> Round:
    """One for each kind of violation, its error kept for a while."""
    violations = [
        (TEXT, b"\xff", 0),
        (TEXT, b"a" * 20 + b"\xe6\x97(" + b"a" * 200, 0),
        (3, b"", 0),
        (TEXT, b"a", 2),
        (CONTINUATION, b"a", 0),
        (BINARY, bytes(200), 0),
        (BINARY, b"\xff\xff\xff", 4),
        (BINARY, deflated(bytes(1000)), 4),
        (CLOSE, b"\x03", 0),
    ]

    def play() -> None:
        errors = []
        for opcode, payload, rsv in violations:
            for side, options in (
                (ws.WebSocketClientConnection, ws.ClientConnectionOptions(max_message_size=150)),
                (ws.WebSocketServerConnection, ws.ServerConnectionOptions(max_message_size=150)),
            ):
                connection = side.established(options, extensions=DEFLATE)
                key = KEY if side is ws.WebSocketServerConnection else None
                connection.feed_recv_buf(frame(opcode, payload, rsv=rsv, key=key))
                errors += [event.error for event in connection.events() if hasattr(event, "error")]
                drain(connection)
                drain(connection)
        assert len(errors) == 2 * len(violations)

    return play


def handshakes(ws: ModuleType) -> Round:
    """Accepted, refused by either side, malformed, and cut off."""
    refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"

    def play() -> None:
        for answer in (response(), refused, b"SSH\r\n", response()[:-2]):
            client = ws.WebSocketClientConnection(
                ws.ClientConnectionOptions(), random=CountingRandom()
            )
            client.connect()
            client.feed_recv_buf(answer)
            client.feed_eof()
            drain(client)
        for asked in (request(), request("POST / HTTP/1.1"), b"\x16\x03", request()[:-2]):
            server = ws.WebSocketServerConnection()
            server.feed_recv_buf(asked)
            for event in server.events():
                if isinstance(event, ws.HandshakeRequested):
                    server.accept_handshake_auto()
            server.feed_eof()
            drain(server)

    return play


def misuse(ws: ModuleType) -> Round:
    connections = sides(ws)
    calls = [
        ("send_text", "\ud800"),
        ("send_text", b"\xff"),
        ("send_text", None),
        ("send_binary", "text"),
        ("send_continuation", b""),
        ("send_ping", bytes(126)),
        ("close", 1005),
        ("feed_recv_buf", 7),
        ("send_prepared", b""),
    ]

    def play() -> None:
        for connection, _ in connections:
            for name, argument in calls:
                assert refused(getattr(connection, name), argument)

    return play


def values(ws: ModuleType) -> Round:
    made = [
        (ws.TextMessage, ("Hello",)),
        (ws.BinaryMessage, (b"Hello",)),
        (ws.TextFragment, ("Hello", True)),
        (ws.BinaryFragment, (b"Hello", False)),
        (ws.SendData, (b"Hello",)),
    ]

    def play() -> None:
        for kind, fields in made:
            value = kind(*fields)
            assert value == kind(*fields)
            assert hash(value) == hash(kind(*fields))
            assert repr(value)
            assert value != fields
            assert refused(kind, *[None for _ in fields])
            assert refused(setattr, value, "text", "")

    return play


def functions(ws: ModuleType) -> Round:
    decoder = ws.FrameDecoder()
    data = frame(TEXT, b"Hello" * 50, key=KEY)

    def play() -> None:
        decoder.feed(data[:3])
        assert decoder.decode() is None
        decoder.feed(bytearray(data[3:]))
        assert decoder.decode().encode(KEY) == data
        decoder.feed(data[:9])
        decoder.clear()
        decoder.feed(b"\x83\x00")
        assert refused(decoder.decode)
        decoder.clear()
        assert ws.apply_mask(memoryview(data), KEY)
        for key in (b"", None):
            assert refused(ws.apply_mask, data, key)
            assert refused(ws._backend.encode_frame, 0x82, None, key)

    return play


SCENARIOS = {
    messages: 25_000,
    large_messages: 300,
    streams: 5000,
    compressed_messages: 1000,
    prepared_messages: 1000,
    closing_connections: 10_000,
    dropped_connections: 5_000,
    broken_off_iterators: 5000,
    failing_connections: 300,
    handshakes: 500,
    misuse: 500,
    values: 500,
    functions: 2000,
}
"""How many rounds of each: 100,000 messages each way, and some 40,000 connections."""


def count(ws: ModuleType) -> list[int]:
    """Return how many blocks there are, and how many references to what everybody shares."""
    shared = [None, True, False, "", b"", (), *ws.ConnectionState, *ws.TimerId]
    shared += [getattr(ws, name) for name in ws.__all__]
    totals = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0
    return [sys.getallocatedblocks(), totals, *map(sys.getrefcount, shared)]


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_rounds_leave_nothing_behind(
    ws: ModuleType, scenario: Callable[[ModuleType], Round]
) -> None:
    play = scenario(ws)
    for _ in range(100):
        play()
    # To collect empties the free lists too: some 2,000 tuples of each size.
    gc.collect()
    before = count(ws)
    for _ in range(SCENARIOS[scenario]):
        play()
    assert gc.collect() < ALLOWED, "cycles"
    grown = [now - then for now, then in zip(count(ws), before)]
    assert max(grown) < ALLOWED, grown


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_rounds_leave_no_bytes_behind(
    ws: ModuleType, scenario: Callable[[ModuleType], Round]
) -> None:
    """A block that only grows is one block all the time."""
    play = scenario(ws)
    tracemalloc.start()
    try:
        held = []
        for _ in range(2):
            for _ in range(100):
                play()
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert held[1] - held[0] < 100 * ALLOWED


def test_what_is_left_behind_is_counted(ws: ModuleType) -> None:
    left: list[Any] = []
    before = count(ws)
    for _ in range(2 * ALLOWED):
        left += [[ws.ConnectionState.CLOSED]]
    grown = [now - then for now, then in zip(count(ws), before)]
    assert len([growth for growth in grown if growth >= ALLOWED]) >= 2
    assert len(left) == 2 * ALLOWED

"""Hostile peers, and what each may cost: bytes held, bytes sent, calls made, never seconds.

The table of docs/security.md names the test that shows each row; what other files show is not
repeated here.
"""

from __future__ import annotations

import ast
import gc
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from engines import RSV1, agreed, established, raw
from helpers import (
    ACCEPT,
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    HttpAnswer,
    Side,
    close_body,
    closing,
    connected,
    connecting,
    new,
    read_answer,
    request,
    response,
)
from malformed import ANSWERS, FRAMES, REQUESTS, RESPONSES, FrameRow, HandshakeRow
from strategies import ROLES

if sys.implementation.name == "cpython":
    import tracemalloc

ROOT = Path(__file__).resolve().parent.parent

KIB = 1024
MIB = 1024 * KIB
HEAD = 16 * KIB
"""The default of `max_handshake_size`."""

CHUNK = 150
"""What Python needs for a chunk that waits, beside its content."""


@pytest.fixture
def traced() -> Iterator[None]:
    """The test measures memory that is really held."""
    if sys.implementation.name != "cpython":
        pytest.skip("tracemalloc is CPython's")
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def held_after(action: Callable[[], object]) -> int:
    """Return how many bytes more than before are held."""
    before = tracemalloc.get_traced_memory()[0]
    action()
    return tracemalloc.get_traced_memory()[0] - before


def peak_of(action: Callable[[], object]) -> int:
    """Return how many bytes more than before were held at once."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    action()
    return tracemalloc.get_traced_memory()[1] - before


def calls_of(action: Callable[[], object]) -> int:
    """Return how many calls of Python and of C functions it took; compiled ones are not seen."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


def drain(side: Side) -> int:
    """Poll all outputs and return how many bytes are to be sent."""
    return sum(len(output) for output in side.raw() if isinstance(output, bytes))


# Announced sizes


REFUSAL = "HTTP/1.1 403 Forbidden\r\n"


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 999999999999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
        "\r\n",
    ],
    ids=["length", "chunked", "end of stream"],
)
def test_body_of_a_refusal_is_held_up_to_its_limit(ws: ModuleType, framing: str) -> None:
    side = connecting(ws, "client")

    def receive() -> None:
        assert side.feed((REFUSAL + framing).encode()) == []

    assert peak_of(receive) < 20_000
    kept = 64 * KIB
    piece = bytes(1000)

    def go_on() -> None:
        for _ in range(kept // len(piece)):
            assert side.feed(piece) == []

    assert held_after(go_on) < 2 * kept
    error = side.failure(side.feed(piece))
    assert isinstance(error, ws.UnexpectedHttpResponse)
    assert len(error.response.body) == kept
    assert side.connection.recv_buffer_len == 0


# The handshake's head, endless or drip-fed


ENDLESS: dict[str, tuple[str, bytes]] = {
    "request line": ("server", b"GET /"),
    "request field": ("server", b"GET / HTTP/1.1\r\nA: "),
    "status line": ("client", b"HTTP/1.1 101 "),
    "response field": ("client", b"HTTP/1.1 101 Switching Protocols\r\nA: "),
}


@pytest.mark.rule("1.4 both")
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ENDLESS)
def test_endless_line_ends_at_the_limit(ws: ModuleType, name: str) -> None:
    role, beginning = ENDLESS[name]
    side = connecting(ws, role)
    piece = b"x" * 1000
    fed = len(beginning)
    side.feed(beginning)

    def receive() -> None:
        nonlocal fed
        while side.state == "CONNECTING":
            assert side.connection.recv_buffer_len == fed <= HEAD
            side.connection.feed_recv_buf(piece)
            fed += len(piece)
            while side.connection.poll_event() is not None:
                pass

    assert peak_of(receive) < 4 * HEAD
    assert HEAD < fed <= HEAD + len(piece)
    assert side.connection.recv_buffer_len == 0
    assert drain(side) == (len(ANSWERS[431]) if role == "server" else 0)


ENDLESS_HEADS = {
    "fields of a request": ("server", b"GET / HTTP/1.1\r\n", b"A: b\r\n", 101),
    "fields of a response": ("client", b"HTTP/1.1 101 Hm\r\n", b"A: b\r\n", 101),
    "interim responses": ("client", b"", b"HTTP/1.1 100 Go on\r\n\r\n", HEAD // 22 + 1),
}


@pytest.mark.rule("R150", "1.4 both")
@pytest.mark.parametrize("name", ENDLESS_HEADS)
def test_endless_head_is_read_no_further_than_the_limits(ws: ModuleType, name: str) -> None:
    """However much of it comes at once: the calls made tell."""
    role, beginning, part, enough = ENDLESS_HEADS[name]

    def calls_for(count: int) -> int:
        side = connecting(ws, role)
        side.connection.feed_recv_buf(beginning + part * count)
        events: list[Any] = []
        calls = calls_of(lambda: events.extend(side.connection.events()))
        assert isinstance(side.failure(events), ws.LimitExceeded)
        return calls

    # PyPy makes a few calls of its own, when it likes.
    assert calls_for(20 * enough) <= 1.05 * calls_for(enough)


@pytest.mark.rule("1.1 opening timeout")
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("role", ROLES)
def test_drip_fed_head_is_held_once_and_not_waited_for(ws: ModuleType, role: str) -> None:
    side = connecting(ws, role)
    long = [("A", "b" * (HEAD - 500))]
    data = request(extra=long) if role == "server" else response(extra=long)
    drips = [data[index : index + 1] for index in range(len(data) - 1)]

    def receive(drips: Iterable[bytes]) -> None:
        for drip in drips:
            side.connection.feed_recv_buf(drip)
            assert side.connection.poll_event() is None

    first = calls_of(lambda: receive(drips[:1000]))
    assert held_after(lambda: receive(drips[1000:-1000])) < 3 * HEAD
    assert calls_of(lambda: receive(drips[-1000:])) <= 1.1 * first
    assert side.connection.recv_buffer_len == len(drips)
    # What comes does not put the end off.
    assert side.raw() == []
    error = side.failure(side.timer("OPEN_TIMEOUT"))
    assert error.timer_id is ws.TimerId.OPEN_TIMEOUT
    assert side.connection.recv_buffer_len == 0
    assert drain(side) == (len(ANSWERS[408]) if role == "server" else 0)


# Frames: drip-fed, in floods of fragments, of control frames, of tiny messages


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("role", ROLES)
def test_drip_fed_frame_costs_what_has_come(ws: ModuleType, role: str) -> None:
    """And no call more for the last byte than for the first."""
    side = connected(ws, role)
    start = side.incoming(BINARY, bytes(MIB))[: 10 if side.is_client else 14]
    assert side.feed(*(start[index : index + 1] for index in range(len(start)))) == []

    def receive(count: int) -> None:
        for _ in range(count):
            side.connection.feed_recv_buf(b"x")
            assert side.connection.poll_event() is None

    receive(10)
    first = calls_of(lambda: receive(1000))
    size = 40_000
    assert held_after(lambda: receive(size)) < 2 * size
    assert calls_of(lambda: receive(1000)) <= 1.1 * first
    assert side.connection.recv_buffer_len == size + 2010
    assert side.raw() == []


@pytest.mark.rule("1.2 fragments")
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("payload", "options"),
    [(b"", {}), (b"x", {"max_fragments": 20_000})],
    ids=["empty, the default limit", "one byte"],
)
@pytest.mark.parametrize("role", ROLES)
def test_flood_of_fragments_ends_at_the_limit(
    ws: ModuleType, role: str, payload: bytes, options: dict[str, int]
) -> None:
    side = connected(ws, role, **options)
    limit = options.get("max_fragments", 131_072)
    side.receive(BINARY, payload, fin=False)
    many = 1023
    flood = side.incoming(CONTINUATION, payload, fin=False) * many
    received = 1

    def receive() -> None:
        nonlocal received
        while side.state == "CONNECTED":
            assert received <= limit
            assert side.connection.recv_buffer_len == received * len(payload)
            side.connection.feed_recv_buf(flood)
            event = side.connection.poll_event()
            received += many
            assert event is None or isinstance(event, ws.Failed)

    # A list of the fragments would be some 8 bytes for an empty one, and 34 more for any other.
    assert peak_of(receive) < 2.5 * limit * len(payload) + 40_000
    assert limit < received <= limit + many
    assert side.connection.recv_buffer_len == 0
    assert [sent.payload for sent in side.sent()] == [close_body(1008, "policy violation")]


CONTROL = {"Ping": PING, "Pong": PONG}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", CONTROL)
@pytest.mark.parametrize("role", ROLES)
def test_flood_of_control_frames_that_nobody_polls_is_held_as_it_came(
    ws: ModuleType, role: str, name: str
) -> None:
    """Nothing is decoded or answered. That reading stops meanwhile is for the embedder."""
    side = connected(ws, role)
    one = side.incoming(CONTROL[name], b"x")
    fed = 0

    def receive() -> None:
        nonlocal fed
        for _ in range(100):
            # A read of its own, as a transport hands them over.
            side.connection.feed_recv_buf(bytearray(one * 1000))
            fed += 1000 * len(one)

    assert held_after(receive) < fed + 100 * CHUNK
    assert side.connection.recv_buffer_len == fed
    assert side.connection.send_buffer_len == 0
    assert side.connection.poll_output() is None
    # One poll, one event, one answer at most.
    for number in range(1, 4):
        assert side.connection.poll_event() is not None
        assert side.connection.recv_buffer_len == fed - number * len(one)
        answers = len(side.incoming(PONG, b"x")) + (4 if side.is_client else -4)
        assert side.connection.send_buffer_len == number * answers * (name == "Ping")


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("size", [0, 1, 125])
@pytest.mark.parametrize("role", ROLES)
def test_flood_of_pings_costs_in_proportion_to_what_was_read(
    ws: ModuleType, role: str, size: int
) -> None:
    """Polled, and the Pongs not yet: they are what one turn of the loop can leave behind."""
    side = established(ws, role)
    count = 10_000
    data = side.incoming(PING, bytes(size)) * count
    side.connection.feed_recv_buf(data)

    def poll() -> None:
        while side.connection.poll_event() is not None:
            pass

    pong = (6 if side.is_client else 2) + size
    allowed = count * (pong + 64) + 20_000
    assert held_after(poll) < allowed
    assert side.connection.send_buffer_len == count * pong
    # Less than a server has read, and three times what a client has, which masks, at most.
    assert count * pong <= (3 if side.is_client else 1) * len(data)
    # Few writes: Pongs are joined.
    outputs = list(side.connection.outputs())
    assert len(outputs) <= count * pong // (8 * KIB) + 1
    assert sum(len(output.data) for output in outputs) == count * pong
    del outputs
    assert side.connection.send_buffer_len == 0


@pytest.mark.rule("1.1 keepalive")
@pytest.mark.parametrize("role", ROLES)
def test_unsolicited_pong_is_compared_with_1024_pings_at_most(ws: ModuleType, role: str) -> None:
    side = connected(ws, role)

    def calls_with(pings: int) -> int:
        for number in range(pings):
            side.connection.send_ping(b"%d" % number)
        side.raw()
        side.connection.feed_recv_buf(side.incoming(PONG, b"?"))
        return calls_of(side.connection.poll_event)

    few = calls_with(1)
    most = calls_with(1024)
    assert most < few + 3 * 1024
    assert calls_with(1024) <= 1.05 * most
    assert side.raw() == []


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("role", ROLES)
def test_many_tiny_messages_in_one_read_come_one_by_one(ws: ModuleType, role: str) -> None:
    """What is decoded ahead of a poll is nothing, and no poll costs more for what waits."""
    side = connected(ws, role)
    one = side.incoming(TEXT)
    count = 50_000
    side.connection.feed_recv_buf(one * count)
    costs = []
    for number in range(1, 1001):
        costs.append(calls_of(side.connection.poll_event))
        assert side.connection.recv_buffer_len == (count - number) * len(one)
    assert max(costs) <= min(costs) + 2
    assert peak_of(side.connection.poll_event) < 2000
    assert sum(1 for _ in side.connection.events()) == count - 1001


# Compression


@pytest.mark.rule("1.2 message limits")
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("fragments", [1, 50])
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("role", ROLES)
def test_bomb_takes_no_more_memory_than_a_message_of_the_limit(
    ws: ModuleType, role: str, streaming: bool, fragments: int
) -> None:
    limit = 2 * MIB
    bomb = raw(bytes(64 * MIB))
    assert len(bomb) < 70_000
    side = agreed(ws, role, max_decompressed_size=limit)
    side.connection.streaming = streaming
    step = -(-len(bomb) // fragments)
    frames = [
        side.incoming(
            CONTINUATION if start else BINARY,
            bomb[start : start + step],
            fin=start + step >= len(bomb),
            rsv=0 if start else RSV1,
        )
        for start in range(0, len(bomb), step)
    ]
    events: list[Any] = []

    def receive() -> None:
        for data in frames:
            side.connection.feed_recv_buf(data)
            while True:
                event = side.connection.poll_event()
                if event is None:
                    break
                # What an application does with a fragment while streaming is its own affair.
                events[:] = [*events[-1:], event]

    # While a piece is added to the message, both are held.
    assert peak_of(receive) < (600 * KIB if streaming else 2.5 * limit)
    assert side.failure(events).limit == "max_decompressed_size"
    assert drain(side) < 40


# Data ahead of the answer to the handshake


@pytest.mark.rule("1.2 early data")
@pytest.mark.usefixtures("traced")
def test_early_data_in_single_bytes_is_bounded_too(ws: ModuleType) -> None:
    side = connecting(ws, "server")
    side.feed(request())

    def receive() -> None:
        for _ in range(HEAD):
            # Not of the single bytes that Python shares.
            side.connection.feed_recv_buf(bytearray(b"\x82"))
            assert side.connection.poll_event() is None

    assert held_after(receive) < HEAD * CHUNK
    assert side.connection.recv_buffer_len == HEAD
    assert side.raw() == []
    error = side.failure(side.feed(b"\x82"))
    assert error.limit == "max_handshake_size"
    assert side.connection.recv_buffer_len == 0
    assert drain(side) == len(ANSWERS[400])


# Peers that do not read, and peers that do not end


@pytest.mark.rule("1.1 close timeout")
@pytest.mark.usefixtures("traced")
def test_message_for_many_slow_consumers_is_held_once(ws: ModuleType) -> None:
    sides = [connected(ws, "server") for _ in range(50)]
    message = ws.PreparedMessage(bytes(MIB))

    def send() -> None:
        for side in sides:
            side.connection.send_prepared(message)

    assert peak_of(send) < 1.2 * MIB
    for side in sides:
        assert side.connection.send_buffer_len == MIB + 10


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("role", ROLES)
def test_send_buffer_len_is_what_a_slow_consumer_really_costs(ws: ModuleType, role: str) -> None:
    side = connected(ws, role)
    payload = "x" * 1000

    def send() -> None:
        for _ in range(1000):
            side.connection.send_text(payload)

    held = held_after(send)
    queued = side.connection.send_buffer_len
    assert queued == 1000 * (1008 if side.is_client else 1004)
    assert queued < held < 1.2 * queued
    # Everything is still there for a peer that begins to read, and no more than that.
    assert drain(side) == queued
    assert side.connection.send_buffer_len == 0


@pytest.mark.rule("1.1 close timeout")
@pytest.mark.parametrize("role", ROLES)
def test_traffic_does_not_put_off_the_close_timeout(ws: ModuleType, role: str) -> None:
    side = closing(ws, role)
    flood = side.incoming(TEXT, b"x") + side.incoming(PING, b"y") + side.incoming(PONG, b"z")
    for _ in range(100):
        assert len(side.feed(flood)) == 3
        # The Pong, and no timer armed again.
        assert [sent.opcode for sent in side.outputs()] == [PONG]
    error = side.failure(side.timer("CLOSE_TIMEOUT"))
    assert error.timer_id is ws.TimerId.CLOSE_TIMEOUT
    assert side.raw() == [ws.CloseConnection()]
    assert side.feed(flood) == []
    assert side.connection.recv_buffer_len == 0


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("role", ROLES)
def test_what_follows_the_peers_close_is_not_held(ws: ModuleType, role: str) -> None:
    side = connected(ws, role)
    side.receive(CLOSE, close_body(1000))
    drain(side)

    def receive() -> None:
        for _ in range(100):
            side.connection.feed_recv_buf(bytearray(64 * KIB))

    assert held_after(receive) < 2000
    assert side.connection.recv_buffer_len == 0
    assert side.events() == []
    if side.is_client:
        # It waits for the server to end the stream, but not for ever.
        assert side.timer("CLOSE_TIMEOUT") == [side.state_changed("CLOSED")]
    assert side.state == "CLOSED"


# Thousands of headers, and lists of thousands


def reading_calls(ws: ModuleType, fields: list[tuple[str, str]], **options: Any) -> tuple[int, Any]:
    """Return the calls it takes to read and answer a request with these fields, and its state."""
    options.setdefault("protocols", ["chat"])
    options.setdefault("deflate", ws.PerMessageDeflateConfig())
    side = connecting(ws, "server", max_handshake_size=None, **options)
    side.connection.feed_recv_buf(request(extra=fields))

    def answer() -> None:
        for event in side.connection.events():
            if isinstance(event, ws.HandshakeRequested):
                side.connection.accept_handshake_auto()

    return calls_of(answer), side


def test_thousands_of_headers_cost_no_more_than_a_hundred(ws: ModuleType) -> None:
    hundred, _ = reading_calls(ws, [(f"A{number}", "b") for number in range(100)])
    many, side = reading_calls(ws, [(f"A{number}", "b") for number in range(20_000)])
    assert many <= 1.05 * hundred
    assert side.raw()[0] == ANSWERS[431]


def test_headers_of_one_name_cost_what_others_do(ws: ModuleType) -> None:
    """Thrown into one bucket by their author, or by Python's hash: a list, not a comparison."""
    different, side = reading_calls(ws, [(f"A{number:02}", "b") for number in range(95)])
    equal, twin = reading_calls(ws, [("A00", "b")] * 95)
    assert side.state == twin.state == "CONNECTED"
    assert equal <= 1.5 * different


LISTS: dict[str, tuple[str, Callable[[int], str]]] = {
    "subprotocols": ("Sec-WebSocket-Protocol", lambda number: f"p{number:06}"),
    "extensions": ("Sec-WebSocket-Extensions", lambda number: f"x{number:06}"),
    "offers": (
        "Sec-WebSocket-Extensions",
        lambda number: f"permessage-deflate; client_max_window_bits={number + 16}",
    ),
    "quotes": ("Sec-WebSocket-Extensions", lambda number: f'x; a="{number:06}"; b=c'),
    "options of Connection": ("Connection", lambda number: f"c{number:06}"),
}


@pytest.mark.parametrize("name", LISTS)
def test_four_times_as_long_a_list_costs_four_times_as_much(ws: ModuleType, name: str) -> None:
    field, element = LISTS[name]

    def calls(count: int) -> int:
        value = ", ".join(element(number) for number in range(count))
        cost, side = reading_calls(ws, [(field, value)])
        assert side.state == "CONNECTED"
        return cost

    assert calls(2000) < 5 * calls(500)


def test_parameters_of_one_offer_are_read_once(ws: ModuleType) -> None:
    def calls(count: int) -> int:
        value = "permessage-deflate" + "; server_no_context_takeover" * count
        cost, side = reading_calls(ws, [("Sec-WebSocket-Extensions", value)])
        assert side.connection.extensions == ()
        return cost

    assert calls(2000) < 5 * calls(500)


# What goes out in a head: no control characters, wherever they come from


CONTROLS = [chr(code) for code in (*range(0x20), 0x7F) if chr(code) != "\t"]
SURROGATES = ["\ud800", "\udfff"]
NOT_ASCII = ["\x80", "\x85", "\xa0", "é", "\u2028", "日", "\N{PILE OF POO}"]
INJECTIONS = ["\r\nInjected: 1", "\r\n\r\nHTTP/1.1 200 OK", "\nInjected: 1", "\rInjected: 1"]

IN_VALUE = [*INJECTIONS, *CONTROLS, *SURROGATES]
"""What may stand in no value of a field, wherever in it."""
IN_NAME = [*IN_VALUE, *NOT_ASCII, "\t", " ", ":", "(", '"', ",", "/", "\\"]
"""What may stand in no token."""
IN_TARGET = [*IN_VALUE, *NOT_ASCII, "\t", " ", "#", '"', "<", "\\", "%z", "%00"]


def spoilt(value: str, bad: Iterable[str]) -> Iterator[str]:
    """Yield the value with each of these at its beginning, within it, and at its end."""
    for text in bad:
        yield value[:1] + text + value[1:]
        yield value + text
        # A target that begins otherwise is refused for that.
        yield text + value


CLIENT_PLACES: dict[str, tuple[list[str], Callable[[str], dict[str, Any]]]] = {
    "host": (IN_TARGET, lambda bad: {"host": bad}),
    "path": (IN_TARGET, lambda bad: {"path": "/" + bad}),
    "query": (IN_TARGET, lambda bad: {"path": "/?" + bad}),
    "absolute target": (
        IN_TARGET,
        lambda bad: {"host": "ab", "path": f"http://ab/{bad}"},
    ),
    "origin": (IN_VALUE, lambda bad: {"origin": bad}),
    "subprotocol": (IN_NAME, lambda bad: {"protocols": ["chat", bad]}),
    "header name": (IN_NAME, lambda bad: {"headers": [("A", "b"), (bad, "c")]}),
    "header value": (IN_VALUE, lambda bad: {"headers": [("A", "b"), ("C", bad)]}),
}


@pytest.mark.rule("R94", "R96", "R98", "R99")
@pytest.mark.parametrize("place", CLIENT_PLACES)
def test_nothing_can_be_injected_into_a_request(ws: ModuleType, place: str) -> None:
    characters, options = CLIENT_PLACES[place]
    for bad in spoilt("ab", characters):
        side = new(ws, "client", **options(bad))
        before = side.snapshot()
        with pytest.raises(ws.LocalProtocolError):
            side.connection.connect()
        assert side.snapshot() == before
        assert side.events() == side.raw() == []


SERVER_PLACES: dict[str, tuple[list[str], Callable[[Any, Side, str], None]]] = {
    "subprotocol": (
        IN_NAME,
        lambda ws, side, bad: side.connection.accept_handshake(
            ws.ServerHandshakeResponse(protocol=bad)
        ),
    ),
    "extension": (
        # A list of two elements is refused as well.
        [*IN_VALUE, *NOT_ASCII, " x", ",a", "(", "/", "\\"],
        lambda ws, side, bad: side.connection.accept_handshake(
            ws.ServerHandshakeResponse(extensions=[bad])
        ),
    ),
    "extension in quotes": (
        [*IN_VALUE, *NOT_ASCII, "(", "/"],
        lambda ws, side, bad: side.connection.accept_handshake(
            ws.ServerHandshakeResponse(extensions=[f'ab; a="{bad}"'])
        ),
    ),
    "header name of a 101": (
        IN_NAME,
        lambda ws, side, bad: side.connection.accept_handshake(
            ws.ServerHandshakeResponse(headers=[(bad, "c")])
        ),
    ),
    "header value of a 101": (
        IN_VALUE,
        lambda ws, side, bad: side.connection.accept_handshake(
            ws.ServerHandshakeResponse(headers=[("C", bad)])
        ),
    ),
    "reason": (IN_VALUE, lambda ws, side, bad: side.connection.reject_handshake(403, bad)),
    "header name of a refusal": (
        IN_NAME,
        lambda ws, side, bad: side.connection.reject_handshake(403, headers=[(bad, "c")]),
    ),
    "header value of a refusal": (
        IN_VALUE,
        lambda ws, side, bad: side.connection.reject_handshake(403, headers=[("C", bad)]),
    ),
}


@pytest.mark.rule("R98", "R118", "1.4 server: arguments")
@pytest.mark.parametrize("place", SERVER_PLACES)
def test_nothing_can_be_injected_into_an_answer(ws: ModuleType, place: str) -> None:
    characters, call = SERVER_PLACES[place]
    side = connecting(ws, "server")
    side.feed(request(extra=[("Sec-WebSocket-Extensions", "ab")]))
    before = side.snapshot()
    for bad in spoilt("ab", characters):
        with pytest.raises(ws.LocalProtocolError):
            call(ws, side, bad)
        assert side.snapshot() == before
        assert side.events() == side.raw() == []
    # Nothing was used up by the attempts.
    side.connection.accept_handshake()
    assert side.state == "CONNECTED"


@pytest.mark.rule("R98", "1.4 server: arguments")
@pytest.mark.parametrize("call", ["accept_handshake", "accept_handshake_auto"])
@pytest.mark.parametrize(("name", "value"), [("A\r\nB", "c"), ("A", "b\r\nC: d"), ("A", "b\0")])
def test_nothing_can_be_injected_by_the_options_of_a_server(
    ws: ModuleType, name: str, value: str, call: str
) -> None:
    side = connecting(ws, "server", headers=[(name, value)])
    side.feed(request())
    before = side.snapshot()
    with pytest.raises(ws.LocalProtocolError):
        getattr(side.connection, call)()
    assert side.snapshot() == before
    assert side.events() == side.raw() == []


def test_body_of_a_refusal_is_no_second_answer(ws: ModuleType) -> None:
    side = connecting(ws, "server")
    side.feed(request())
    for name in ("Content-Length", "content-length", "Transfer-Encoding", "Connection", "Upgrade"):
        with pytest.raises(ws.LocalProtocolError):
            side.connection.reject_handshake(403, headers=[(name, "0")], body=b"x")
    body = b"\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n"
    side.connection.reject_handshake(403, body=body)
    answer = side.raw()[0]
    assert read_answer(answer) == HttpAnswer(
        "HTTP/1.1 403 Forbidden",
        {"connection": "close", "content-length": str(len(body))},
        body,
    )


@pytest.mark.rule("1.4 both")
@pytest.mark.parametrize("value", ["a\tb", "é", "日本", "\x80\x85\u2028"])
def test_values_that_are_not_ascii_go_out_as_utf8_and_come_back(ws: ModuleType, value: str) -> None:
    """And as nothing else: one line, which a reader of bytes cannot mistake for two."""
    client = new(ws, "client", origin=value, headers=[("X", value)])
    client.connection.connect()
    (data, *_) = client.raw()
    assert data.count(b"\r\n") == data.count(b"\n") == data.count(b"\r") == 9
    (_, event) = new(ws, "server").feed(data)
    assert event.request.origin == event.request.headers.get("X") == value


# Requests that another reader may take for two, or for one to another host


def asking(*lines: str) -> bytes:
    """The request of `helpers.request` with more lines, given as they stand."""
    data = request()[:-2] + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    assert data.startswith(b"GET /chat HTTP/1.1\r\n")
    return data


SMUGGLED = b"GET /admin HTTP/1.1\r\nHost: server.example.com\r\n\r\n"

SMUGGLING: dict[str, bytes] = {
    "two lengths": asking("Content-Length: 0", "Content-Length: 5"),
    "two lengths, the other way round": asking("Content-Length: 5", "Content-Length: 0"),
    "two equal lengths": asking("Content-Length: 5", "Content-Length: 5"),
    "list of lengths": asking("Content-Length: 0, 5"),
    "list of equal lengths": asking("Content-Length: 0, 0"),
    "length with a sign": asking("Content-Length: +0"),
    "negative length": asking("Content-Length: -1"),
    "hexadecimal length": asking("Content-Length: 0x0"),
    "length with zeros": asking("Content-Length: 00"),
    "empty length": asking("Content-Length:"),
    "length in other digits": asking("Content-Length: ٠"),
    "length and chunked": asking("Content-Length: 0", "Transfer-Encoding: chunked"),
    "chunked and length": asking("Transfer-Encoding: chunked", "Content-Length: 0"),
    "chunked twice": asking("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "identity": asking("Transfer-Encoding: identity"),
    "chunked in capitals": asking("TRANSFER-ENCODING: CHUNKED"),
    "empty coding": asking("Transfer-Encoding:"),
    "coding behind a vertical tab": asking("Transfer-Encoding:\x0bchunked"),
    "coding behind a no-break space": asking("Transfer-Encoding:\u00a0chunked"),
    "coding with a space before the colon": asking("Transfer-Encoding : chunked"),
    "coding with a tab before the colon": asking("Transfer-Encoding\t: chunked"),
    "coding behind a folded line": asking("A: b", " Transfer-Encoding: chunked"),
    "coding behind a tab": asking("A: b", "\tTransfer-Encoding: chunked"),
    "folding of the first line": request().replace(b"\r\nHost", b"\r\n Host"),
    "coding behind a bare LF": asking("A: b\nTransfer-Encoding: chunked"),
    "coding behind a bare CR": asking("A: b\rTransfer-Encoding: chunked"),
    "head that ends in LF LF": request()[:-4] + b"\n\n",
    "head that ends in CR LF LF": request()[:-2] + b"\n",
    "head that ends in CR CR LF": request()[:-2] + b"\r\r\n",
    "NUL in a name": asking("Transfer-Encoding\0: chunked"),
    "NUL in a value": asking("Transfer-Encoding: chunked\0"),
    "NUL in the target": request("GET /chat\0 HTTP/1.1"),
    "form feed in the request line": request("GET\x0c/chat HTTP/1.1"),
    "tab in the request line": request("GET\t/chat HTTP/1.1"),
    "CR in the request line": request("GET /chat\rHTTP/1.1"),
    "space behind the version": request("GET /chat HTTP/1.1 "),
    "version in lower case": request("GET /chat http/1.1"),
    "empty line first": b"\r\n" + request(),
    "bare LF first": b"\n" + request(),
    "colon in a name of nothing": asking(": chunked"),
    "name not in ASCII": asking("Transfer-Encodıng: chunked"),
}


def answered(side: Side, data: bytes) -> tuple[Any, list[Any]]:
    """Feed a request and let it be answered; return the error and the outputs."""
    events = side.feed(data)
    if not isinstance(events[0], side.ws.Failed):
        assert isinstance(events[0], side.ws.HandshakeRequested)
        assert events[0].request.error is not None
        with pytest.raises(side.ws.LocalProtocolError):
            side.connection.accept_handshake()
        side.connection.accept_handshake_auto()
        events = side.events()
    return side.failure(events), side.raw()


@pytest.mark.rule("1.4 server: refused", "R152", "R153")
@pytest.mark.parametrize("name", SMUGGLING)
def test_request_that_may_be_read_otherwise_is_refused(ws: ModuleType, name: str) -> None:
    """With one answer, and what follows is no second request."""
    side = connecting(ws, "server")
    _, outputs = answered(side, SMUGGLING[name] + SMUGGLED)
    assert outputs == [ANSWERS[400], side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]
    assert side.feed(SMUGGLED) == []
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("1.4 client", "R139")
def test_request_behind_a_sound_one_is_taken_for_frames(ws: ModuleType) -> None:
    side = connecting(ws, "server")
    side.feed(request() + SMUGGLED)
    side.connection.accept_handshake()
    assert side.failure(side.events()).close_code == 1002
    answer = side.raw()[0]
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.rule("1.4 client", "R139")
def test_response_behind_a_sound_one_is_taken_for_frames(ws: ModuleType) -> None:
    side = connecting(ws, "client")
    assert side.failure(side.feed(response() + response())).close_code == 1002


HOSTS: dict[str, bytes] = {
    "none": request(changes={"Host": None}),
    "two": request(extra=[("Host", "other.example.com")]),
    "two alike": request(extra=[("host", "server.example.com")]),
    **{
        name: request(changes={"Host": value})
        for name, value in {
            "empty": "",
            "userinfo": "user@server.example.com",
            "userinfo with a password": "good.example:80@evil.example",
            "two in a list": "server.example.com, other.example.com",
            "space": "server.example.com other.example.com",
            "path": "server.example.com/chat",
            "query": "server.example.com?a",
            "fragment": "server.example.com#a",
            "backslash": "server.example.com\\.evil.example",
            "port alone": ":80",
            "port too large": "server.example.com:65536",
            "port with letters": "server.example.com:http",
            "negative port": "server.example.com:-1",
            "port with a sign": "server.example.com:+80",
            "port in other digits": "server.example.com:٨٠",
            "two ports": "server.example.com:80:90",
            "long port": "server.example.com:000080",
            "IPv6 without brackets": "::1",
            "IPv6 that is none": "[::g]",
            "IPv6 with a zone": "[fe80::1%25eth0]",
            "IPv6 not closed": "[::1",
            "not ASCII": "sérver.example.com",
            "escaped NUL": "server%00.example.com",
            "broken escape": "server%2.example.com",
            "scheme": "http://server.example.com",
        }.items()
    },
    **{
        f"target {target}": request(f"GET {target} HTTP/1.1")
        for target in (
            "http://evil.example/chat",
            "http://evil.example",
            "https://server.example.com:443/chat",
            "http://user@server.example.com/chat",
            "http://server.example.com:99999/chat",
            "http://server.example.com\\@evil.example/chat",
            "http://[x/chat",
        )
    },
}


@pytest.mark.rule("R106", "R105", "1.4 server: refused")
@pytest.mark.parametrize("name", HOSTS)
def test_request_whose_host_is_in_doubt_is_refused(ws: ModuleType, name: str) -> None:
    side = connecting(ws, "server")
    error, outputs = answered(side, HOSTS[name])
    assert isinstance(error, ws.InvalidHandshake)
    assert outputs == [ANSWERS[400], side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]


DEFLATE = "permessage-deflate"
TWICE: dict[str, tuple[str, bytes]] = {
    # What decides the handshake, once more with the same value and in another case.
    "key": ("server", request(extra=[("SEC-WEBSOCKET-KEY", "dGhlIHNhbXBsZSBub25jZQ==")])),
    "version": ("server", request(extra=[("sec-websocket-version", "13")])),
    "subprotocol offered": (
        "server",
        request(extra=[("Sec-WebSocket-Protocol", "chat"), ("sec-websocket-protocol", "chat")]),
    ),
    "accept": ("client", response(extra=[("sec-websocket-accept", ACCEPT)])),
    "subprotocol": (
        "client",
        response(extra=[("Sec-WebSocket-Protocol", "chat"), ("sec-websocket-protocol", "chat")]),
    ),
    "compression": (
        "client",
        response(
            extra=[("Sec-WebSocket-Extensions", DEFLATE), ("sec-websocket-extensions", DEFLATE)]
        ),
    ),
}


@pytest.mark.rule("R109", "R110", "R111", "R135", "R136", "R137")
@pytest.mark.parametrize("name", TWICE)
def test_what_decides_the_handshake_may_not_come_twice(ws: ModuleType, name: str) -> None:
    role, data = TWICE[name]
    options = {"protocols": ["chat"], "deflate": ws.PerMessageDeflateConfig()}
    side = connecting(ws, role, **options)
    error = answered(side, data)[0] if role == "server" else side.failure(side.feed(data))
    assert isinstance(error, ws.InvalidHandshake)


# Texts of errors go into logs


def unprintable(text: str) -> list[str]:
    return [character for character in text if not character.isprintable()]


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(row, id=row.name) for row in table]


@pytest.mark.parametrize("row", rows(FRAMES))
@pytest.mark.parametrize("role", ROLES)
def test_error_of_a_frame_forges_no_lines(ws: ModuleType, role: str, row: FrameRow) -> None:
    if role not in row.roles:
        role = row.roles[0]
    side = (agreed if row.compression else connected)(ws, role, **row.options)
    events = side.feed(row.build(side))
    assert unprintable(str(side.failure(events))) == []
    assert unprintable(repr(events)) == []


@pytest.mark.parametrize("row", rows(REQUESTS + RESPONSES))
def test_error_of_a_handshake_forges_no_lines(ws: ModuleType, row: HandshakeRow) -> None:
    side = connecting(ws, "server" if row in REQUESTS else "client", **row.options)
    events = side.feed(row.data)
    if side.state == "CONNECTING":
        side.connection.accept_handshake_auto()
        events += side.events()
    assert unprintable(str(side.failure(events))) == []
    assert unprintable(repr(events)) == []


FORGED = "a\u0085b\u2028c\u202ed\u009be"
"""No control character of ASCII, and yet line breaks, a change of direction, an escape."""

FORGERIES: dict[str, tuple[str, bytes]] = {
    "request line": ("server", request(f"GET /{FORGED} HTTP/1.1")),
    **{
        name: ("server", request(changes={name: FORGED}))
        for name in (
            "Host",
            "Upgrade",
            "Connection",
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Version",
        )
    },
    "header name": ("server", request(extra=[(FORGED, "b")])),
    "Content-Length": ("server", request(extra=[("Content-Length", FORGED)])),
    "Transfer-Encoding": ("server", request(extra=[("Transfer-Encoding", FORGED)])),
    "Origin": ("server", request(extra=[("Origin", FORGED)])),
    "subprotocols offered": ("server", request(extra=[("Sec-WebSocket-Protocol", FORGED)])),
    **{
        f"extension {element}": ("server", request(extra=[("Sec-WebSocket-Extensions", element)]))
        for element in (
            FORGED,
            f"a; {FORGED}",
            f"a; {FORGED}=c",
            f"a; b={FORGED}",
            f'a; b="{FORGED}"',
        )
    },
    "status line": ("client", response(f"HTTP/1.1 {FORGED} Hm")),
    "reason": ("client", response(f"HTTP/1.1 404 {FORGED}", extra=[("Content-Length", "0")])),
    "Accept": ("client", response(changes={"Sec-WebSocket-Accept": FORGED})),
    "subprotocol": ("client", response(extra=[("Sec-WebSocket-Protocol", FORGED)])),
    **{
        f"answer {element}": ("client", response(extra=[("Sec-WebSocket-Extensions", element)]))
        for element in (
            FORGED,
            f"{DEFLATE}; {FORGED}",
            f"{DEFLATE}; client_max_window_bits={FORGED}",
        )
    },
}


@pytest.mark.parametrize("name", FORGERIES)
def test_what_a_peer_writes_into_a_head_forges_no_lines(ws: ModuleType, name: str) -> None:
    role, data = FORGERIES[name]
    options = {"origins": ["http://good.example"]} if role == "server" else {}
    side = connecting(ws, role, deflate=ws.PerMessageDeflateConfig(), **options)
    events = side.feed(data)
    if side.state == "CONNECTING":
        side.connection.accept_handshake_auto()
        events += side.events()
    error = side.failure(events)
    assert unprintable(str(error)) == []
    assert unprintable(repr(events)) == []


@pytest.mark.parametrize("reason", ["bye\nERROR root: forged", "\x1b[2J", FORGED])
def test_close_reason_of_a_peer_forges_no_lines(ws: ModuleType, reason: str) -> None:
    side = connected(ws, "server")
    events = side.receive(CLOSE, close_body(1000, reason))
    assert events[0] == ws.Close(1000, reason)
    assert unprintable(repr(events)) == []
    error = ws.ConnectionClosed(side.connection.close_received, side.connection.close_sent, True)
    assert unprintable(str(error)) == []


LONG = {
    **{
        name: {name: None}
        for name in ("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version")
    },
    **{name: {} for name in ("Content-Length", "Sec-WebSocket-Protocol")},
    **{f"extension {start}": {} for start in ("", "a; ", "a; b=", 'a; b="')},
}


@pytest.mark.parametrize("name", LONG)
def test_error_of_a_long_value_is_no_longer_than_five_heads(ws: ModuleType, name: str) -> None:
    """Escaped, four bytes become ten characters, and an element may stand beside its part."""
    side = connecting(ws, "server")
    field, start = name, ""
    if name.startswith("extension"):
        field, start = "Sec-WebSocket-Extensions", name[len("extension ") :]
    data = request(changes=LONG[name], extra=[(field, start + "\U0010ffff" * 4000)])
    assert len(data) < HEAD
    error, _ = answered(side, data)
    assert 4000 < len(str(error)) < 5 * HEAD


# The table in the documentation


def documented_tests() -> list[tuple[str, str]]:
    """What docs/security.md names as `tests/...::test_...`."""
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    return re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)


def test_every_test_that_the_documentation_names_exists() -> None:
    named = documented_tests()
    assert len(named) > 40
    existing = {
        (path, node.name)
        for path in {path for path, _ in named}
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert [test for test in named if test not in existing] == []


def test_every_test_of_this_file_is_named_in_the_documentation() -> None:
    here = f"tests/{Path(__file__).name}"
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    names = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    named = {name for path, name in documented_tests() if path == here}
    assert {name for name in names - named if "documentation" not in name} == set()

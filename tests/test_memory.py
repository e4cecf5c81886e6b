"""What a connection costs, counted in bytes and in calls: never in seconds.

`tracemalloc` sees what both backends allocate, for the compiled one asks Python for its memory.
"""

from __future__ import annotations

import gc
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from helpers import BINARY, CONTINUATION, KEY, PING, TEXT, connected, frame, request
from strategies import ROLES

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="tracemalloc is CPython's"
)

if sys.implementation.name == "cpython":
    import tracemalloc

MIB = 1024 * 1024
NO_KEY = bytes(4)
"""Masks nothing, so that one piece serves a whole message."""


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_of(action: Callable[[], Any]) -> int:
    """Return how many bytes more than before were held at once."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    action()
    return tracemalloc.get_traced_memory()[1] - before


def announcement(opcode: int, size: int, *, masked: bool, fin: bool = True) -> bytes:
    """The head of a frame of that size, with a masking key that changes nothing."""
    head = bytes([fin << 7 | opcode, 0x80 * masked | 127]) + size.to_bytes(8, "big")
    return head + NO_KEY if masked else head


# Receiving


@pytest.mark.rule("1.2 message limits")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("role", ROLES)
def test_announced_size_reserves_nothing(ws: ModuleType, role: str, opcode: int) -> None:
    side = connected(ws, role)
    data = announcement(opcode, 64 * MIB, masked=not side.is_client)

    def receive() -> None:
        for piece in (data[:2], data[2:], b"x" * 100, b"y" * 100):
            side.connection.feed_recv_buf(piece)
            assert side.events() == []

    assert peak_of(receive) < 20_000
    assert side.connection.recv_buffer_len == 200


@pytest.mark.parametrize("fragments", [1, 48], ids=["one-frame", "fragments"])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("role", ROLES)
def test_large_message_is_never_held_more_than_about_twice(
    ws: ModuleType, role: str, opcode: int, fragments: int
) -> None:
    side = connected(ws, role, max_fragments=100)
    size = 48 * MIB
    part = size // fragments
    piece = b"x" * 65536
    received = []

    def receive() -> None:
        for number in range(fragments):
            head = announcement(
                CONTINUATION if number else opcode,
                part,
                masked=not side.is_client,
                fin=number == fragments - 1,
            )
            side.connection.feed_recv_buf(head)
            for _ in range(part // len(piece)):
                assert side.connection.poll_event() is None
                side.connection.feed_recv_buf(piece)
        received.append(side.connection.poll_event())

    assert peak_of(receive) < 2.3 * size
    (message,) = received
    content = message.text if opcode == TEXT else message.data
    assert len(content) == size
    assert set(content[::4095]) <= set("x" if opcode == TEXT else b"x")


@pytest.mark.parametrize("role", ROLES)
def test_what_is_reserved_for_a_message_is_at_most_twice_what_has_come(
    ws: ModuleType, role: str
) -> None:
    side = connected(ws, role)
    side.feed(announcement(BINARY, 64 * MIB, masked=not side.is_client))
    piece = b"x" * 50_000
    start = tracemalloc.get_traced_memory()[0]
    for number in range(1, 60):
        side.connection.feed_recv_buf(piece)
        assert side.connection.poll_event() is None
        assert side.connection.recv_buffer_len == number * len(piece)
        held = tracemalloc.get_traced_memory()[0] - start
        assert held < 2 * number * len(piece) + 20_000


def test_message_that_is_over_leaves_nothing_behind(ws: ModuleType) -> None:
    side = connected(ws, "server")
    side.receive(BINARY, b"x")
    before = tracemalloc.get_traced_memory()[0]
    side.feed(announcement(BINARY, 5 * MIB, masked=True))
    for _ in range(80):
        side.feed(b"x" * 65536)
    assert side.connection.recv_buffer_len == 0
    assert tracemalloc.get_traced_memory()[0] - before < 20_000


@pytest.mark.rule("1.1 failure")
def test_failed_connection_holds_no_input(ws: ModuleType) -> None:
    side = connected(ws, "client", max_message_size=2 * MIB)
    before = tracemalloc.get_traced_memory()[0]
    side.feed(frame(BINARY, bytes(MIB), fin=False))
    side.feed(frame(CONTINUATION, bytes(2 * MIB)))
    assert side.state == "CLOSED"
    side.raw()
    assert side.connection.recv_buffer_len == 0
    assert tracemalloc.get_traced_memory()[0] - before < 20_000


# Sending


def test_sending_a_large_payload_copies_it_seldom(ws: ModuleType) -> None:
    data = bytes(8 * MIB)
    text = "x" * len(data)
    for role, times in (("server", 0.01), ("client", 2.1)):
        side = connected(ws, role)
        assert peak_of(partial(side.connection.send_binary, data)) < times * len(data)
        side.raw()
        # A text needs its UTF-8 besides.
        allowed = (times + 1.1) * len(data)
        assert peak_of(partial(side.connection.send_text, text)) < allowed
        side.raw()


# Idle connections

BUDGET = {"cython": 4096, "python": 5120}


def average(ws: ModuleType, make: Callable[[], Any]) -> float:
    warm = [make() for _ in range(10)]
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    kept = [make() for _ in range(1000)]
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    assert len(warm) + len(kept) == 1010
    return held / len(kept)


def test_idle_established_server_connection_is_small(ws: ModuleType) -> None:
    def make() -> Any:
        connection = ws.WebSocketServerConnection.established()
        list(connection.events())
        list(connection.outputs())
        return connection

    assert average(ws, make) < BUDGET[ws.BACKEND]


def test_idle_server_connection_is_small_after_a_real_handshake(ws: ModuleType) -> None:
    def make() -> Any:
        connection = ws.WebSocketServerConnection()
        # Each connection reads into memory of its own.
        connection.feed_recv_buf(bytearray(request()))
        for event in connection.events():
            if isinstance(event, ws.HandshakeRequested):
                connection.accept_handshake()
        list(connection.outputs())
        assert connection.state is ws.ConnectionState.CONNECTED
        return connection

    assert average(ws, make) < BUDGET[ws.BACKEND]


def test_idle_server_connection_is_small_after_traffic(ws: ModuleType) -> None:
    large = frame(TEXT, b"x" * 20_000, key=KEY)
    chunks = [large[:10_000], large[10_000:], *([frame(PING, b"x", key=KEY)] * 10)]

    def make() -> Any:
        connection = ws.WebSocketServerConnection.established()
        for chunk in chunks:
            connection.feed_recv_buf(chunk)
        for event in connection.events():
            if isinstance(event, ws.TextMessage):
                connection.send_text("an answer")
        list(connection.outputs())
        return connection

    assert average(ws, make) < BUDGET[ws.BACKEND]


# Memory that is not there

LET_ALLOCATIONS_FAIL = """
import _testcapi, sys
import websocket as ws

def receive(connection, fail_at):
    "Poll until nothing more comes, while one allocation fails."
    events = [None] * 20
    count = failures = 0
    _testcapi.set_nomemory(fail_at, fail_at + 1)
    try:
        while True:
            try:
                event = connection.poll_event()
            except MemoryError:
                failures += 1
                continue
            if event is None:
                break
            events[count] = event
            count += 1
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
    return events[:count]

def head(first, size, length):
    return bytes([first, 126 if length == 2 else 127]) + size.to_bytes(length, "big")

inner = b"\\x82\\x08smuggled" * 20
large, small = inner * 400, inner
part = head(0x02, 3000, 2) + bytes(3000)
cases = {
    "large frame": (b"", head(0x82, len(large), 8) + large, large),
    "small frame": (b"", head(0x82, len(small), 2) + small, small),
    "head apart": (head(0x82, len(large), 8)[:5], head(0x82, len(large), 8)[5:] + large, large),
    "last fragment": (part + b"\\x80\\x01", b"x", bytes(3000) + b"x"),
    "growth": (part, head(0x80, 5000, 2) + bytes(5000), bytes(8000)),
}
seen = set()
for name, (before, data, whole) in cases.items():
    for fail_at in range(1, 60):
        connection = ws.WebSocketClientConnection.established()
        connection.feed_recv_buf(before)
        list(connection.events())
        connection.feed_recv_buf(data)
        events = receive(connection, fail_at)
        events += connection.events()
        connection.feed_recv_buf(b"\\x82\\x03end")
        events += connection.events()
        if isinstance(events[0], ws.Failed):
            seen.add("failed")
            assert events[0].error.close_code == 1009, events
            assert events[1:] == [ws.StateChanged(ws.ConnectionState.CLOSED)], events
        else:
            seen.add("whole")
            assert events == [ws.BinaryMessage(whole), ws.BinaryMessage(b"end")], (name, fail_at)
print(ws.BACKEND, *sorted(seen))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("_testcapi") is None, reason="this Python cannot let allocations fail"
)
def test_allocation_that_fails_loses_no_place_in_the_stream(ws: ModuleType, tmp_path: Path) -> None:
    """Fail with 1009 or go on, but never take a payload for frames; in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", LET_ALLOCATIONS_FAIL],
        cwd=tmp_path,
        env={**environment, "WEBSOCKET_BACKEND": ws.BACKEND},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.stderr, process.stdout) == ("", f"{ws.BACKEND} failed whole\n")
    assert process.returncode == 0


# Growth


def one_feed_of_many_frames(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketServerConnection.established()
    data = (frame(TEXT, b"x" * 20, key=KEY) + frame(PING, key=KEY)) * count
    yield
    connection.feed_recv_buf(data)
    while connection.poll_event() is not None:
        yield
    list(connection.outputs())


def byte_by_byte(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketServerConnection.established()
    data = frame(TEXT, b"x" * 2 * count, key=KEY)
    yield
    for index in range(len(data)):
        connection.feed_recv_buf(data[index : index + 1])
        connection.poll_event()
        yield
    assert connection.recv_buffer_len == 0


def feeds_before_a_poll(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketClientConnection.established()
    pieces = [frame(BINARY, b"abc")[index : index + 1] for index in range(5)]
    yield
    for _ in range(count):
        for piece in pieces:
            connection.feed_recv_buf(piece)
    yield
    while connection.poll_event() is not None:
        yield


def tiny_fragments(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketServerConnection.established()
    data = frame(TEXT, b"x", fin=False, key=KEY)
    data += frame(CONTINUATION, b"y", fin=False, key=KEY) * count + frame(CONTINUATION, key=KEY)
    yield
    for start in range(0, len(data), 1000):
        connection.feed_recv_buf(data[start : start + 1000])
        while connection.poll_event() is not None:
            yield
        yield
    assert connection.recv_buffer_len == 0


def empty_fragments(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketClientConnection.established()
    data = frame(BINARY, b"x" * 1000, fin=False) + frame(CONTINUATION, fin=False) * count
    yield
    connection.feed_recv_buf(data)
    while connection.poll_event() is not None:
        yield


def sends_before_a_drain(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketClientConnection.established()
    yield
    for _ in range(count):
        connection.send_text("x" * 20)
        connection.send_ping()
        yield
    while connection.poll_output() is not None:
        yield


def fragments_sent(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketServerConnection.established()
    connection.send_text(b"\xe6", final=False)
    yield
    for _ in range(count):
        connection.send_continuation(b"\x97\xa5\xe6", final=False)
        yield
    while connection.poll_output() is not None:
        yield


def head_byte_by_byte(ws: ModuleType, count: int) -> Iterator[None]:
    connection = ws.WebSocketServerConnection(ws.ServerConnectionOptions(max_handshake_size=None))
    data = request(extra=[("X-Long", "x" * 4 * count)])
    yield
    for index in range(len(data)):
        connection.feed_recv_buf(data[index : index + 1])
        connection.poll_event()
        yield


def frames_decoded_alone(ws: ModuleType, count: int) -> Iterator[None]:
    decoder = ws.FrameDecoder()
    data = frame(BINARY, b"x" * 20, key=KEY) * count
    yield
    decoder.feed(data)
    while decoder.decode() is not None:
        yield


SCENARIOS = [
    one_feed_of_many_frames,
    byte_by_byte,
    feeds_before_a_poll,
    tiny_fragments,
    empty_fragments,
    sends_before_a_drain,
    fragments_sent,
    head_byte_by_byte,
    frames_decoded_alone,
]


def allocated(steps: Iterator[None]) -> int:
    """Return how much was allocated over all steps, what each gave back included."""
    total = 0
    while True:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        try:
            next(steps)
        except StopIteration:
            return total
        total += tracemalloc.get_traced_memory()[1] - before


def called(steps: Iterator[None]) -> int:
    """Return how many calls of Python and of C functions all steps took."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in steps:
            pass
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_four_times_as_much_costs_four_times_as_much(
    ws: ModuleType, scenario: Callable[[ModuleType, int], Iterator[None]]
) -> None:
    """A copy of the rest after each frame, or a list joined again each time, would be 16 times."""
    list(scenario(ws, 10))
    # What Python keeps to give it out again is not seen: some 2,000 tuples, for example.
    unseen = 500_000
    assert allocated(scenario(ws, 2000)) < 6 * allocated(scenario(ws, 500)) + unseen
    assert called(scenario(ws, 2000)) < 5 * called(scenario(ws, 500))


def test_decoder_moves_each_byte_twice_at_most(load: Callable[[str], ModuleType]) -> None:
    """In place, so that no allocation tells; the compiled twin has the same few lines."""
    moved = 0

    class Buffer(bytearray):
        def __delitem__(self, index: Any) -> None:
            nonlocal moved
            super().__delitem__(index)
            moved += len(self)

    decoder = load("python").FrameDecoder()
    decoder._buffer = Buffer()
    data = frame(BINARY, b"x" * 20, key=KEY) * 2000
    for start in range(0, len(data), 1500):
        decoder.feed(data[start : start + 1500])
        for _ in range(50):
            decoder.decode()
    assert 0 < moved < 2 * len(data)

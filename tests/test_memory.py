"""What a connection holds, in bytes. What its work costs is counted in `test_growth`.

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
from helpers import (
    BINARY,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    announcement,
    connected,
    frame,
    request,
)
from strategies import ROLES

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="tracemalloc is CPython's"
)

if sys.implementation.name == "cpython":
    import tracemalloc

MIB = 1024 * 1024


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


CONTENTS = [
    pytest.param(BINARY, b"\x00\xff\x80x", id="binary"),
    pytest.param(TEXT, b"ASCII", id="ascii"),
    pytest.param(TEXT, "日本語".encode(), id="japanese"),
]


@pytest.mark.parametrize("fragments", [1, 48], ids=["one-frame", "fragments"])
@pytest.mark.parametrize(("opcode", "pattern"), CONTENTS)
@pytest.mark.parametrize("role", ROLES)
def test_large_message_is_never_held_more_than_about_twice(
    ws: ModuleType, role: str, opcode: int, pattern: bytes, fragments: int
) -> None:
    side = connected(ws, role)
    content = pattern * (48 * MIB // len(pattern))
    part = -(-len(content) // fragments)
    received = []

    def receive() -> None:
        for start in range(0, len(content), part):
            end = min(start + part, len(content))
            head = announcement(
                CONTINUATION if start else opcode,
                end - start,
                masked=not side.is_client,
                fin=end == len(content),
            )
            side.connection.feed_recv_buf(head)
            for position in range(start, end, 65536):
                assert side.connection.poll_event() is None
                side.connection.feed_recv_buf(content[position : min(position + 65536, end)])
        received.append(side.connection.poll_event())

    assert peak_of(receive) < 2.3 * len(content)
    (message,) = received
    assert (message.text.encode() if opcode == TEXT else message.data) == content


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


@pytest.mark.parametrize("extensions", [(), ("permessage-deflate",)], ids=["plain", "deflate"])
def test_idle_server_connection_is_small_after_a_real_handshake(
    ws: ModuleType, extensions: tuple[str, ...]
) -> None:
    options = ws.ServerConnectionOptions(deflate=ws.PerMessageDeflateConfig())
    data = request(extra=[("Sec-WebSocket-Extensions", offer) for offer in extensions])

    def make() -> Any:
        connection = ws.WebSocketServerConnection(options)
        # Each connection reads into memory of its own.
        connection.feed_recv_buf(bytearray(data))
        for event in connection.events():
            if isinstance(event, ws.HandshakeRequested):
                connection.accept_handshake_auto()
        list(connection.outputs())
        assert connection.state is ws.ConnectionState.CONNECTED
        assert connection.extensions == extensions
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

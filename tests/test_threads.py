"""Connections and threads: connections share nothing, and each is one caller's at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from types import ModuleType
from typing import Any

import pytest
from helpers import BINARY, CONTINUATION, KEY, TEXT, frame

THREADS = 8


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Let the interpreter go from thread to thread as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def at_once(action: Any) -> list[Any]:
    """Call the action with a number on as many threads, all begun together; return the results."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> Any:
        barrier.wait()
        return action(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begin, range(THREADS)))


def carry(source: Any, target: Any) -> list[Any]:
    """Hand over all that one sends; return the events of the other."""
    for output in source.outputs():
        target.feed_recv_buf(getattr(output, "data", b""))
    return list(target.events())


def test_connections_on_many_threads_at_once(ws: ModuleType) -> None:
    """Handshake, compressed echo, fragments, Ping, and the closing handshake, on each of them."""
    deflate = ws.PerMessageDeflateConfig()
    client_options = ws.ClientConnectionOptions("a", deflate=deflate)
    server_options = ws.ServerConnectionOptions(deflate=deflate)

    def talk(number: int) -> list[Any]:
        seen: list[Any] = []
        client = ws.WebSocketClientConnection(client_options)
        server = ws.WebSocketServerConnection(server_options)
        client.connect()
        for event in carry(client, server):
            if isinstance(event, ws.HandshakeRequested):
                server.accept_handshake_auto()
        assert client.extensions == ()
        assert carry(server, client)[-1].extensions == client.extensions != ()
        assert list(server.events())[-1].extensions == client.extensions
        for turn in range(50):
            text = f"{number}/{turn} " * (1 + turn % 40)
            client.send_text(text)
            client.send_binary(text.encode(), final=False)
            client.send_ping(b"%d" % turn)
            client.send_continuation(b"!")
            for event in carry(client, server):
                if isinstance(event, ws.TextMessage):
                    server.send_text(event.text)
                elif isinstance(event, ws.BinaryMessage):
                    server.send_binary(event.data)
            events = carry(server, client)
            assert events == [
                # In the order of the polls, which came before the echo.
                ws.Pong(b"%d" % turn, None),
                ws.TextMessage(text),
                ws.BinaryMessage(text.encode() + b"!"),
            ]
            seen += events
        client.close(4000 + number)
        assert ws.Close(4000 + number, "") in carry(client, server)
        assert ws.Close(4000 + number, "") in carry(server, client)
        return seen

    results = at_once(talk)
    assert [len(seen) for seen in results] == [150] * THREADS
    assert [seen[1].text for seen in results] == [f"{number}/0 " for number in range(THREADS)]


def test_one_prepared_message_is_sent_from_many_threads(ws: ModuleType) -> None:
    """Encoded and compressed by whoever comes first, for each window that was agreed on."""
    text = "the same for everybody " * 100
    for _ in range(20):
        message = ws.PreparedMessage(text)

        def send(number: int, message: Any = message) -> list[Any]:
            bits = 9 + number % 4
            extension = f"permessage-deflate; server_max_window_bits={bits}"
            server = ws.WebSocketServerConnection.established(extensions=[extension])
            client = ws.WebSocketClientConnection.established(extensions=[extension])
            list(client.events())
            server.send_prepared(message)
            server.send_text("another")
            server.send_prepared(message)
            return carry(server, client)

        for events in at_once(send):
            assert events == [
                ws.TextMessage(text),
                ws.TextMessage("another"),
                ws.TextMessage(text),
            ]


def test_keys_of_connections_on_many_threads_differ(ws: ModuleType) -> None:
    def keys(_number: int) -> list[bytes]:
        connection = ws.WebSocketClientConnection.established()
        list(connection.outputs())
        drawn = []
        for _ in range(200):
            connection.send_binary(b"")
            drawn.append(connection.poll_output().data[2:6])
        return drawn

    drawn = [key for keys in at_once(keys) for key in keys]
    # 1,600 keys: two are the same by chance in one run of 3,000, three pairs never.
    assert len(set(drawn)) >= len(drawn) - 2


def test_connection_of_several_threads_under_a_lock(ws: ModuleType) -> None:
    """One feeds, one polls and answers, one writes: in whatever order the lock lets them."""
    connection = ws.WebSocketServerConnection.established()
    peer = ws.WebSocketClientConnection.established()
    for end in (connection, peer):
        list(end.events())
        list(end.outputs())
    count = 300
    stream = b"".join(
        frame(BINARY, b"%d " % number, fin=False, key=KEY) + frame(CONTINUATION, b"!", key=KEY)
        for number in range(count)
    )
    received: list[Any] = []
    came_back: list[Any] = []
    lock = threading.Lock()
    over = threading.Event()

    def read() -> None:
        for start in range(0, len(stream), 7):
            with lock:
                connection.feed_recv_buf(stream[start : start + 7])

    def answer() -> None:
        while len(received) < count and not over.is_set():
            with lock:
                for event in connection.events():
                    received.append(event)
                    connection.send_binary(event.data)

    def write() -> None:
        while len(came_back) < count and not over.is_set():
            with lock:
                for output in connection.outputs():
                    peer.feed_recv_buf(output.data)
                came_back.extend(peer.events())

    def work(role: Any) -> None:
        try:
            role()
        except BaseException:
            # Nobody waits for what will not come.
            over.set()
            raise

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, [write, answer, read]))
    assert received == [ws.BinaryMessage(b"%d !" % number) for number in range(count)]
    assert came_back == received


def test_connection_is_passed_along_through_queues(ws: ModuleType) -> None:
    """Made on one thread, used on all the others in turn, and ended on the last."""
    queues: list[Queue[Any]] = [Queue() for _ in range(THREADS + 1)]
    rounds = 100

    def work(number: int) -> list[Any]:
        texts = []
        for _ in range(rounds):
            connection = queues[number].get(timeout=60)
            connection.feed_recv_buf(frame(TEXT, b"%d" % number, key=KEY))
            (event,) = connection.events()
            texts.append(event.text)
            connection.send_text(event.text)
            queues[number + 1].put(connection)
        return texts

    for _ in range(rounds):
        connection = ws.WebSocketServerConnection.established()
        list(connection.events())
        list(connection.outputs())
        queues[0].put(connection)
    del connection
    assert at_once(work) == [[str(number)] * rounds for number in range(THREADS)]
    sent = b"".join(frame(TEXT, b"%d" % number) for number in range(THREADS))
    for _ in range(rounds):
        connection = queues[THREADS].get()
        assert [output.data for output in connection.outputs()] == [sent]


MISUSE = """
import sys, threading
import websocket as ws

sys.setswitchinterval(1e-6)
CONNECTIONS = 15
TURNS = 20
WORDS = b"\\x81\\x82\\x00\\x00\\x00\\x00hi" + b"\\x89\\x80\\x00\\x00\\x00\\x00"
PART = b"\\x02\\xfe\\x03\\xe8\\x00\\x00\\x00\\x00" + bytes(1000) + b"\\x80\\x80\\x00\\x00\\x00\\x00"

def feed(connection):
    connection.feed_recv_buf(bytearray(WORDS * 20 + PART))
    connection.feed_recv_buf(WORDS[:3])
    connection.feed_recv_buf(WORDS[3:])

def poll(connection):
    for event in connection.events():
        repr(event)

def send(connection):
    connection.send_text("text " * 100)
    connection.send_binary(bytes(20_000))
    connection.send_ping()

def drain(connection):
    for output in connection.outputs():
        repr(output)[:10]

def look(connection):
    connection.recv_buffer_len, connection.send_buffer_len, connection.state
    connection.streaming = not connection.streaming

def end(connection):
    connection.feed_eof()

def work(connection, actions, barrier):
    barrier.wait()
    for _ in range(TURNS):
        for action in actions:
            try:
                action(connection)
            except Exception as error:
                seen.add(type(error).__name__)

seen = set()
FOR_ALL = [feed, poll, send, drain, look]
EXTENSION = ["permessage-deflate"]
TOGETHER = [[feed, poll, drain], [feed, poll, look], [send, drain], FOR_ALL, [*FOR_ALL, end]]
for actions in TOGETHER * CONNECTIONS:
    for kind in (ws.WebSocketServerConnection, ws.WebSocketClientConnection):
        connection = kind.established(extensions=EXTENSION)
        barrier = threading.Barrier(4)
        threads = [
            threading.Thread(target=work, args=(connection, shifted, barrier))
            for shifted in (actions[turn:] + actions[:turn] for turn in range(4))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        del connection

# Nothing that is shared was spoilt.
client = ws.WebSocketClientConnection.established(extensions=EXTENSION)
server = ws.WebSocketServerConnection.established(extensions=EXTENSION)
list(server.events())
client.send_text("sound " * 100)
for output in client.outputs():
    server.feed_recv_buf(getattr(output, "data", b""))
assert list(server.events()) == [ws.TextMessage("sound " * 100)]
print(ws.BACKEND, "survived")
"""


def test_misuse_from_several_threads_does_not_crash(ws: ModuleType, tmp_path: Path) -> None:
    """It may interleave, and may raise; but the process lives, and other connections are sound.

    The time is no measure: it only ends what would never end.
    """
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", MISUSE],
        cwd=tmp_path,
        env={**os.environ, "WEBSOCKET_BACKEND": ws.BACKEND},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert (process.returncode, process.stdout) == (0, f"{ws.BACKEND} survived\n"), process.stderr

"""How connections use asyncio transports, with a transport and a clock that obey the test."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any, Callable

import pytest
from helpers import CLOSE, KEY, PING, TEXT, close_body, frame, read_frames

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Timer:
    def __init__(self, delay: float, call: Callable[[], None]) -> None:
        self.delay = delay
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The part of a loop that keeps time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, call: Callable[..., None], *arguments: Any) -> Timer:
        self.timers.append(Timer(delay, lambda: call(*arguments)))
        return self.timers[-1]

    @property
    def armed(self) -> list[float]:
        return [timer.delay for timer in self.timers if not timer.cancelled]

    def run_out(self, delay: float) -> None:
        """Let the only timer of that delay run out."""
        (timer,) = (t for t in self.timers if t.delay == delay and not t.cancelled)
        self.timers.remove(timer)
        self.now += delay
        timer.call()


class Transport:
    """Keeps what is written, and takes as much of it from there as the test says."""

    def __init__(self, can_half_close: bool = True) -> None:
        self.written = b""
        self.unsent = 0
        self.calls: list[str] = []
        self.can_half_close = can_half_close
        self.error: OSError | None = None

    def get_extra_info(self, name: str) -> Any:
        return ("::1", 8080, 0, 0) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return self.can_half_close

    def write_eof(self) -> None:
        self.calls.append("write_eof")
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def is_closing(self) -> bool:
        return "close" in self.calls or "abort" in self.calls

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


class Scene:
    """A server's connection between a transport and a clock."""

    def __init__(
        self, ws: ModuleType, *, can_half_close: bool = True, read_while_blocked: bool = False
    ) -> None:
        scene = self

        class Protocol(ws.cli.transport.ConnectionProtocol):
            def event_received(self, event: Any) -> None:
                scene.events.append(event)
                if isinstance(event, ws.HandshakeRequested):
                    self.connection.accept_handshake_auto()

        self.ws = ws
        self.events: list[Any] = []
        self.clock = Clock()
        self.transport = Transport(can_half_close)
        self.connection = ws.WebSocketServerConnection()

        async def make() -> Any:
            return Protocol(self.connection, read_while_blocked=read_while_blocked)

        self.loop = asyncio.new_event_loop()
        self.protocol = self.loop.run_until_complete(make())
        self.protocol._loop = self.clock
        self.protocol.connection_made(self.transport)

    def open(self) -> None:
        self.protocol.data_received(REQUEST)
        assert self.taken().startswith(b"HTTP/1.1 101 ")
        assert self.events[-1] == self.ws.Connected(None, ())

    def taken(self) -> bytes:
        data, self.transport.written = self.transport.written, b""
        return data

    def calls(self) -> list[str]:
        calls = list(self.transport.calls)
        self.transport.calls = [call for call in calls if call in ("close", "abort")]
        return calls


@pytest.fixture
def scene(ws: ModuleType) -> Any:
    scenes = []

    def make(**options: Any) -> Scene:
        scenes.append(Scene(ws, **options))
        return scenes[-1]

    yield make
    for made in scenes:
        made.loop.close()


def test_the_timers_of_the_connection_are_kept(scene: Any) -> None:
    made = scene()
    assert made.clock.armed == [10.0]
    made.open()
    assert made.clock.armed == [30.0]
    made.clock.run_out(30.0)
    (ping,) = read_frames(made.taken())
    assert ping.opcode == PING
    assert made.clock.armed == [10.0, 30.0]
    made.clock.run_out(10.0)
    assert read_frames(made.taken())[0].payload[:2] == (1008).to_bytes(2, "big")
    assert isinstance(made.events[-2], made.ws.Failed)
    assert made.clock.armed == [made.ws.cli.transport.LINGER]


def test_the_clock_gives_pongs_their_latency(scene: Any) -> None:
    made = scene()
    made.open()
    made.clock.run_out(30.0)
    payload = read_frames(made.taken())[0].payload
    made.clock.now += 0.25
    made.protocol.data_received(frame(0xA, payload, key=KEY))
    assert made.events[-1] == made.ws.Pong(payload, 0.25)


def test_reading_pauses_while_the_peer_does_not_read(scene: Any) -> None:
    made = scene()
    made.open()
    made.protocol.pause_writing()
    assert made.calls() == ["pause"]
    made.protocol.resume_writing()
    assert made.calls() == ["resume"]


def test_reading_goes_on_if_it_has_to(scene: Any) -> None:
    made = scene(read_while_blocked=True)
    made.open()
    made.protocol.pause_writing()
    waiting = made.loop.create_task(made.protocol.drained())
    made.loop.run_until_complete(asyncio.sleep(0))
    assert not waiting.done()
    made.protocol.resume_writing()
    made.loop.run_until_complete(waiting)
    assert made.calls() == []


def test_a_peer_that_takes_what_it_is_sent_is_alive_while_nothing_is_read(scene: Any) -> None:
    made = scene()
    made.open()
    made.protocol.pause_writing()
    made.transport.unsent = 3000
    made.clock.run_out(30.0)
    assert made.clock.armed == [10.0, 30.0]
    made.transport.unsent = 2000
    made.clock.run_out(10.0)
    assert made.clock.armed == [30.0, 10.0]
    # Nothing more was taken: now the missing Pong counts.
    made.clock.run_out(10.0)
    assert made.connection.state is made.ws.ConnectionState.CLOSED
    assert made.calls() == ["pause", "resume", "write_eof"]


# The end


def normal_close(made: Scene) -> None:
    made.protocol.data_received(frame(CLOSE, close_body(1000), key=KEY))
    assert read_frames(made.taken())[0].opcode == CLOSE
    assert made.connection.state is made.ws.ConnectionState.CLOSED


def failure(made: Scene) -> None:
    made.protocol.data_received(frame(0x3, key=KEY))
    assert read_frames(made.taken())[0].opcode == CLOSE
    assert made.connection.state is made.ws.ConnectionState.CLOSED


@pytest.mark.rule("1.1 CloseConnection")
@pytest.mark.parametrize("end", [normal_close, failure])
def test_the_write_side_is_shut_and_the_rest_is_read(
    scene: Any, end: Callable[[Scene], None]
) -> None:
    made = scene()
    made.open()
    end(made)
    assert made.calls() == ["write_eof"]
    made.protocol.data_received(frame(TEXT, b"too late", key=KEY))
    assert made.events[-1] == made.ws.StateChanged(made.ws.ConnectionState.CLOSED)
    made.protocol.eof_received()
    made.protocol.connection_lost(None)
    assert made.calls() == []
    assert made.protocol.closed.done()
    assert made.clock.armed == []


@pytest.mark.rule("1.1 CloseConnection")
def test_a_peer_that_does_not_end_its_stream_is_not_waited_for_for_ever(scene: Any) -> None:
    linger = scene().ws.cli.transport.LINGER
    made = scene()
    made.open()
    failure(made)
    made.clock.run_out(linger)
    assert made.calls() == ["write_eof", "close"]
    made.clock.run_out(linger)
    assert made.calls() == ["close", "abort"]
    made.protocol.connection_lost(None)
    assert made.clock.armed == []


@pytest.mark.rule("1.1 CloseConnection")
def test_what_is_queued_is_flushed_as_long_as_the_peer_takes_it(scene: Any) -> None:
    linger = scene().ws.cli.transport.LINGER
    made = scene()
    made.open()
    made.transport.unsent = 3000
    failure(made)
    for unsent in (2000, 1000, 0):
        made.transport.unsent = unsent
        made.clock.run_out(linger)
        assert "close" not in made.calls()
    made.clock.run_out(linger)
    assert made.calls() == ["close"]


@pytest.mark.rule("1.1 CloseConnection")
def test_tls_without_a_half_close_ends_at_once_when_nothing_more_can_come(scene: Any) -> None:
    made = scene(can_half_close=False)
    made.open()
    normal_close(made)
    assert made.calls() == ["close"]


@pytest.mark.rule("1.1 CloseConnection")
def test_tls_without_a_half_close_waits_after_a_failure(scene: Any) -> None:
    made = scene(can_half_close=False)
    made.open()
    failure(made)
    assert made.calls() == []
    made.clock.run_out(made.ws.cli.transport.LINGER)
    assert made.calls() == ["close"]


def test_reading_goes_on_at_the_end_though_the_peer_does_not_read(scene: Any) -> None:
    made = scene()
    made.open()
    made.protocol.pause_writing()
    made.connection.close()
    made.protocol.advance()
    assert made.calls() == ["pause"]
    normal_close_answer = frame(CLOSE, close_body(1000), key=KEY)
    made.protocol.data_received(normal_close_answer)
    assert made.calls() == ["resume", "write_eof"]
    made.protocol.pause_writing()
    assert made.calls() == []


def test_an_end_of_stream_ends_the_transport(scene: Any) -> None:
    made = scene()
    made.open()
    assert made.protocol.eof_received() is None  # which has asyncio close the transport
    assert made.calls() == ["close"]
    assert isinstance(made.events[-2].error, made.ws.ConnectionLost)


def test_a_reset_while_ending(scene: Any) -> None:
    made = scene()
    made.open()
    made.transport.error = ConnectionResetError()
    failure(made)
    assert made.calls() == ["write_eof", "abort"]


def test_a_transport_that_is_lost_is_an_end_of_stream(scene: Any) -> None:
    made = scene()
    made.open()
    assert made.protocol.peer == "[::1]:8080"
    cause = ConnectionResetError()
    made.protocol.connection_lost(cause)
    assert made.protocol.cause is cause
    assert isinstance(made.events[-2].error, made.ws.ConnectionLost)
    assert made.calls() == []
    assert made.clock.armed == []
    assert made.protocol.peer == "?"
    made.protocol.abort()
    made.protocol.resume_writing()
    made.loop.run_until_complete(made.protocol.drained())


def test_abort_leaves_out_all_that(scene: Any) -> None:
    made = scene()
    made.open()
    made.protocol.abort()
    assert made.calls() == ["abort"]

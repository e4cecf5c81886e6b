"""The timers that a connection asks for: keepalive, the two time-outs it needs, and closing."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import (
    CLOSE,
    IN_STATE,
    PING,
    PONG,
    TEXT,
    Side,
    WireFrame,
    close_body,
    closing,
    connected,
    new,
)
from hypothesis import given
from hypothesis import strategies as st

from websocket import TimerId, Timestamp


@pytest.fixture(scope="module", params=["client", "server"])
def role(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def side(ws: Any, role: str) -> Side:
    return connected(ws, role)


def pings(side: Side) -> list[bytes]:
    """Return the payloads of the Pings that were sent."""
    return [sent.payload for sent in side.sent() if sent.opcode == PING]


def test_names() -> None:
    assert [timer.name for timer in TimerId] == [
        "OPEN_TIMEOUT",
        "PING",
        "PONG_TIMEOUT",
        "CLOSE_TIMEOUT",
    ]
    assert Timestamp is float


# Timers in general


@pytest.mark.rule("R69", "R71", "R73")
@pytest.mark.parametrize("state", IN_STATE)
@pytest.mark.parametrize("timer", ["OPEN_TIMEOUT", "PING", "PONG_TIMEOUT", "CLOSE_TIMEOUT"])
def test_timer_that_is_not_armed_does_nothing(ws: Any, role: str, state: str, timer: str) -> None:
    armed = {
        # A server's runs from its construction on, a client's from `connect` on.
        "DISCONNECTED": {"OPEN_TIMEOUT"} if role == "server" else set(),
        "CONNECTING": {"OPEN_TIMEOUT"},
        "CONNECTED": {"PING"},
        "CLOSING": {"CLOSE_TIMEOUT"},
        "CLOSED": set(),
    }
    if timer in armed[state]:
        return
    side = IN_STATE[state](ws, role)
    side.raw()
    before = side.snapshot()
    assert side.timer(timer) == []
    assert side.raw() == []
    assert side.snapshot() == before


@pytest.mark.rule("R74")
def test_timer_that_has_fired_is_not_armed_any_more(ws: Any, role: str) -> None:
    side = connected(ws, role, ping_interval=7.5, pong_timeout=2)
    side.timer("PING")
    side.raw()
    side.receive(PONG, b"keepalive 1")
    side.raw()
    assert side.timer("PONG_TIMEOUT") == []
    assert side.raw() == []


@pytest.mark.rule("R74")
def test_times_are_those_of_the_options(ws: Any, role: str) -> None:
    side = new(ws, role, open_timeout=1, ping_interval=2.5, pong_timeout=3, close_timeout=4)
    if side.is_client:
        side.connection.connect()
    (set_timer,) = (output for output in side.raw() if not isinstance(output, bytes))
    assert set_timer == side.set_timer("OPEN_TIMEOUT", 1.0)
    assert type(set_timer.delay) is float
    side = connected(ws, role, ping_interval=2.5, pong_timeout=3, close_timeout=4)
    side.timer("PING")
    side.connection.close()
    assert [output for output in side.outputs() if isinstance(output, ws.SetTimer)] == [
        side.set_timer("PONG_TIMEOUT", 3.0),
        side.set_timer("PING", 2.5),
        side.set_timer("CLOSE_TIMEOUT", 4.0),
    ]


def test_none_switches_every_timer_off(ws: Any, role: str) -> None:
    off = {"ping_interval": None, "pong_timeout": None, "close_timeout": None}
    side = new(ws, role, open_timeout=None)
    if side.is_client:
        side.connection.connect()
    assert not [output for output in side.raw() if not isinstance(output, bytes)]
    side = connected(ws, role, **off)
    side.connection.send_ping(b"x")
    side.connection.close()
    assert side.outputs() == [WireFrame(PING, b"x"), WireFrame(CLOSE, close_body(1000))]


# Keepalive


@pytest.mark.rule("R67", "1.1 keepalive")
def test_ping_is_armed_when_the_handshake_is_over(ws: Any, role: str) -> None:
    kind = type(new(ws, role).connection)
    side = Side(ws, kind.established())
    assert side.raw() == [side.set_timer("PING", 30.0)]


@pytest.mark.rule("R68", "1.1 keepalive")
def test_ping_timer_sends_a_ping_and_arms_both_timers(side: Side) -> None:
    assert side.timer("PING") == []
    sent, *timers = side.outputs()
    assert sent.opcode == PING
    # A payload of its own: a Pong that nobody asked for must not settle it.
    assert sent.payload
    assert timers == [side.set_timer("PONG_TIMEOUT", 10.0), side.set_timer("PING", 30.0)]


@pytest.mark.rule("1.1 keepalive")
def test_keepalive_goes_on_without_anything_received(side: Side) -> None:
    seen = []
    for _ in range(5):
        side.timer("PING")
        (payload,) = pings(side)
        seen.append(payload)
        side.receive(PONG, payload)
        assert side.outputs() == [side.clear_timer("PONG_TIMEOUT")]
    assert len(set(seen)) == 5


@pytest.mark.rule("R69", "1.1 keepalive")
def test_ping_timer_with_a_ping_outstanding_only_goes_on(side: Side) -> None:
    side.timer("PING")
    side.raw()
    side.timer("PING")
    assert side.outputs() == [side.set_timer("PING", 30.0)]


@pytest.mark.rule("R69")
def test_no_interval_means_no_ping_timer(ws: Any, role: str) -> None:
    side = connected(ws, role, ping_interval=None)
    assert side.timer("PING") == []
    assert side.raw() == []


@pytest.mark.rule("1.1 keepalive")
def test_without_a_pong_timeout_pings_go_on(ws: Any, role: str) -> None:
    side = connected(ws, role, pong_timeout=None)
    for _ in range(3):
        side.timer("PING")
        sent, timer = side.outputs()
        assert sent.opcode == PING
        assert timer == side.set_timer("PING", 30.0)


@pytest.mark.rule("R70", "1.1 keepalive")
def test_pong_timeout_is_armed_by_the_first_outstanding_ping_alone(side: Side) -> None:
    side.connection.send_ping(b"1")
    side.connection.send_ping(b"2")
    side.connection.send_ping(b"3")
    # Whoever pings often would else push the time-out ahead of a dead peer for ever.
    assert side.outputs() == [
        WireFrame(PING, b"1"),
        side.set_timer("PONG_TIMEOUT", 10.0),
        WireFrame(PING, b"2"),
        WireFrame(PING, b"3"),
    ]


@pytest.mark.rule("1.1 keepalive", "R66")
def test_pong_that_leaves_others_outstanding_arms_the_time_out_again(side: Side) -> None:
    side.connection.send_ping(b"1")
    side.connection.send_ping(b"2")
    side.raw()
    assert side.receive(PONG, b"1") == [side.ws.Pong(b"1", None)]
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    side.receive(PONG, b"2")
    assert side.outputs() == [side.clear_timer("PONG_TIMEOUT")]


@pytest.mark.rule("1.1 keepalive", "R66")
def test_pong_settles_all_earlier_pings(side: Side) -> None:
    for payload in (b"1", b"2", b"3"):
        side.connection.send_ping(payload)
    side.raw()
    side.receive(PONG, b"2")
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    assert side.receive(PONG, b"1") == [side.ws.Pong(b"1", None)]
    assert side.outputs() == []
    side.receive(PONG, b"3")
    assert side.outputs() == [side.clear_timer("PONG_TIMEOUT")]


@pytest.mark.rule("1.1 keepalive")
def test_pong_settles_the_oldest_of_two_pings_alike(side: Side) -> None:
    side.connection.send_ping(b"same", now=1.0)
    side.connection.send_ping(b"same", now=2.0)
    side.raw()
    assert side.receive(PONG, b"same", now=5.0) == [side.ws.Pong(b"same", 4.0)]
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    assert side.receive(PONG, b"same", now=5.0) == [side.ws.Pong(b"same", 3.0)]
    assert side.outputs() == [side.clear_timer("PONG_TIMEOUT")]


@pytest.mark.rule("1.1 keepalive", "R66")
def test_unsolicited_pong_is_an_event_and_settles_nothing(side: Side) -> None:
    assert side.receive(PONG, b"hello", now=1.0) == [side.ws.Pong(b"hello", None)]
    side.connection.send_ping(b"mine", now=1.0)
    side.raw()
    for payload in (b"", b"other", b"min"):
        assert side.receive(PONG, payload, now=2.0) == [side.ws.Pong(payload, None)]
    assert side.outputs() == []
    assert type(side.failure(side.timer("PONG_TIMEOUT"))) is side.ws.ConnectionTimedOut


@pytest.mark.rule("1.1 keepalive")
def test_at_most_1024_pings_are_remembered(side: Side) -> None:
    for index in range(1025):
        side.connection.send_ping(b"%d" % index, now=0.0)
    side.raw()
    # The oldest is forgotten: its Pong counts as one that nobody asked for.
    assert side.receive(PONG, b"0", now=1.0) == [side.ws.Pong(b"0", None)]
    assert side.outputs() == []
    assert side.receive(PONG, b"1", now=1.0) == [side.ws.Pong(b"1", 1.0)]
    assert side.receive(PONG, b"1024", now=3.0) == [side.ws.Pong(b"1024", 3.0)]
    assert side.outputs()[-1:] == [side.clear_timer("PONG_TIMEOUT")]


def test_latency_is_the_time_between_both_calls(side: Side) -> None:
    ws = side.ws
    side.connection.send_ping(b"a", now=100.0)
    side.connection.send_ping(b"b", 100.5)
    side.connection.send_ping(b"c")
    side.connection.send_ping(b"d", now=102.0)
    assert side.receive(PONG, b"a", now=100.25) == [ws.Pong(b"a", 0.25)]
    assert side.receive(PONG, b"b") == [ws.Pong(b"b", None)]
    assert side.receive(PONG, b"c", now=103.0) == [ws.Pong(b"c", None)]
    assert side.receive(PONG, b"d", now=102.0) == [ws.Pong(b"d", 0.0)]


def test_whole_seconds_are_fine(side: Side) -> None:
    side.connection.send_ping(b"x", now=1)
    (pong,) = side.receive(PONG, b"x", now=3)
    assert (pong.latency, type(pong.latency)) == (2.0, float)


def test_latency_of_the_keepalive(side: Side) -> None:
    side.timer("PING", now=5.0)
    (payload,) = pings(side)
    assert side.receive(PONG, payload, now=5.5) == [side.ws.Pong(payload, 0.5)]


def test_latency_is_that_of_the_feed_that_brought_the_end_of_the_pong(side: Side) -> None:
    side.connection.send_ping(b"x", now=1.0)
    data = side.incoming(PONG, b"x")
    side.connection.feed_recv_buf(data[:2], 2.0)
    side.connection.feed_recv_buf(data[2:], 3.0)
    side.connection.feed_recv_buf(side.incoming(TEXT, b"later"), 9.0)
    assert side.events() == [side.ws.Pong(b"x", 2.0), side.ws.TextMessage("later")]


@given(st.lists(st.integers(0, 5) | st.none(), max_size=30))
@pytest.mark.rule("1.1 keepalive")
def test_pong_timeout_is_armed_exactly_while_pings_are_outstanding(
    ws: Any, role: str, script: list[int | None]
) -> None:
    side = connected(ws, role)
    outstanding: list[int] = []
    armed = False
    sent = 0
    for step in script:
        if step is None:
            side.connection.send_ping(b"%d" % sent)
            outstanding.append(sent)
            sent += 1
        else:
            settled = sent - 1 - step
            side.receive(PONG, b"%d" % settled)
            if settled in outstanding:
                outstanding = [number for number in outstanding if number > settled]
        for output in side.outputs():
            if isinstance(output, ws.SetTimer):
                armed = True
            elif isinstance(output, ws.ClearTimer):
                assert armed
                armed = False
        assert armed is bool(outstanding)


# Pong time-out


@pytest.mark.rule("R71", "1.1 pong timeout")
def test_missing_pong_fails_the_connection(side: Side) -> None:
    ws = side.ws
    side.timer("PING")
    side.raw()
    error = side.failure(side.timer("PONG_TIMEOUT"))
    assert type(error) is ws.ConnectionTimedOut
    assert isinstance(error, ws.ConnectionClosed)
    assert (error.timer_id, error.close_code) == (ws.TimerId.PONG_TIMEOUT, 1008)
    assert "pong_timeout" in str(error)
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1008, "policy violation")),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]
    # A second time it is not armed, and says nothing.
    assert side.timer("PONG_TIMEOUT") == []
    assert side.raw() == []


@pytest.mark.rule("1.1 pong timeout")
def test_pong_that_waits_to_be_polled_is_not_missing(side: Side) -> None:
    side.timer("PING")
    (payload,) = pings(side)
    side.raw()
    side.connection.feed_recv_buf(side.incoming(TEXT, b"slow") + side.incoming(PONG, payload))
    side.connection.handle_timer(side.ws.TimerId.PONG_TIMEOUT)
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    side.connection.poll_event()
    side.connection.handle_timer(side.ws.TimerId.PONG_TIMEOUT)
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    assert side.events() == [side.ws.Pong(payload, None)]
    assert side.outputs() == [side.clear_timer("PONG_TIMEOUT")]


@pytest.mark.rule("1.1 pong timeout")
def test_input_polled_to_the_end_is_no_excuse(side: Side) -> None:
    side.connection.send_ping()
    side.raw()
    side.connection.feed_recv_buf(side.incoming(TEXT, b"x"))
    side.connection.poll_event()
    # Only `None` tells that there was nothing else.
    assert side.timer("PONG_TIMEOUT") == []
    assert side.outputs() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    assert type(side.failure(side.timer("PONG_TIMEOUT"))) is side.ws.ConnectionTimedOut


@pytest.mark.rule("1.1 pong timeout")
def test_half_a_frame_is_no_excuse(side: Side) -> None:
    side.connection.send_ping()
    side.feed(side.incoming(TEXT, b"half")[:-1])
    side.failure(side.timer("PONG_TIMEOUT"))


# Close time-out


@pytest.mark.rule("R73", "1.1 close timeout")
def test_close_that_is_not_answered_is_a_failure(ws: Any, role: str) -> None:
    side = closing(ws, role)
    error = side.failure(side.timer("CLOSE_TIMEOUT"))
    assert type(error) is ws.ConnectionTimedOut
    assert (error.timer_id, error.close_code) == (ws.TimerId.CLOSE_TIMEOUT, 1006)
    assert (error.received, error.sent) == (None, ws.Close(1000, ""))
    assert side.raw() == [ws.CloseConnection()]


@pytest.mark.rule("1.1 close timeout")
def test_close_timeout_does_not_wait_for_unpolled_input(ws: Any, role: str) -> None:
    side = closing(ws, role)
    side.connection.feed_recv_buf(side.incoming(CLOSE, close_body(1000)))
    error = side.failure(side.timer("CLOSE_TIMEOUT"))
    assert error.close_code == 1006
    assert side.raw() == [ws.CloseConnection()]


@pytest.mark.rule("1.1 close()", "R49")
def test_pong_after_close_arms_nothing(side: Side) -> None:
    side.connection.send_ping(b"1", now=1.0)
    side.connection.send_ping(b"2", now=2.0)
    side.connection.close()
    side.events()
    side.raw()
    assert side.receive(PONG, b"1", now=3.0) == [side.ws.Pong(b"1", 2.0)]
    assert side.receive(PONG, b"2", now=3.0) == [side.ws.Pong(b"2", 1.0)]
    assert side.raw() == []
    assert side.timer("PONG_TIMEOUT") == []


@pytest.mark.rule("R69")
def test_ping_timer_after_close_does_nothing(ws: Any, role: str) -> None:
    side = closing(ws, role)
    assert side.timer("PING") == []
    assert side.raw() == []

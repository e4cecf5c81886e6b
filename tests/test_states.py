"""The states and the transitions between them, walked through the public calls."""

from __future__ import annotations

from typing import Any, Callable

import pytest
from helpers import (
    CLOSE,
    IN_STATE,
    PING,
    TEXT,
    Side,
    close_body,
    closed,
    closing,
    connected,
    connecting,
    new,
    request,
    response,
)

from websocket import ConnectionState
from websocket.states import TRANSITIONS

STATES = ["DISCONNECTED", "CONNECTING", "CONNECTED", "CLOSING", "CLOSED"]

ALLOWED = {
    ("DISCONNECTED", "CONNECTING"),
    ("DISCONNECTED", "CLOSED"),
    ("CONNECTING", "CONNECTED"),
    ("CONNECTING", "CLOSED"),
    ("CONNECTED", "CLOSING"),
    ("CONNECTED", "CLOSED"),
    ("CLOSING", "CLOSED"),
}

Act = Callable[[Side], Any]


def accept(side: Side) -> None:
    side.feed(request())
    side.connection.accept_handshake()


WAYS: dict[tuple[str, str, str], dict[str, Act]] = {
    ("client", "DISCONNECTED", "CONNECTING"): {"connect": lambda side: side.connection.connect()},
    ("server", "DISCONNECTED", "CONNECTING"): {
        "first feed": lambda side: side.feed(b"G"),
        "empty feed": lambda side: side.feed(b""),
    },
    ("server", "DISCONNECTED", "CLOSED"): {
        "open_timeout": lambda side: side.timer("OPEN_TIMEOUT"),
        "end of stream": Side.eof,
    },
    ("client", "CONNECTING", "CONNECTED"): {"101": lambda side: side.feed(response())},
    ("server", "CONNECTING", "CONNECTED"): {"accept": accept},
    ("client", "CONNECTING", "CLOSED"): {
        "open_timeout": lambda side: side.timer("OPEN_TIMEOUT"),
        "end of stream": Side.eof,
        "refusal": lambda side: side.feed(
            response("HTTP/1.1 403 Forbidden", extra=[("Content-Length", "0")])
        ),
        "no HTTP": lambda side: side.feed(b"\0"),
    },
    ("server", "CONNECTING", "CLOSED"): {
        "open_timeout": lambda side: side.timer("OPEN_TIMEOUT"),
        "end of stream": Side.eof,
        "reject": lambda side: side.connection.reject_handshake(404),
        "no HTTP": lambda side: side.feed(b"\0"),
    },
    ("client", "CONNECTED", "CLOSING"): {
        "close": lambda side: side.connection.close(),
        "Close received": lambda side: side.receive(CLOSE, close_body(1000)),
    },
    ("server", "CONNECTED", "CLOSING"): {"close": lambda side: side.connection.close()},
    ("client", "CONNECTED", "CLOSED"): {
        "violation": lambda side: side.receive(TEXT, b"\xff"),
        "end of stream": Side.eof,
    },
    ("server", "CONNECTED", "CLOSED"): {
        "violation": lambda side: side.receive(TEXT, b"\xff"),
        "end of stream": Side.eof,
        "Close received": lambda side: side.receive(CLOSE, close_body(1000)),
    },
    ("client", "CLOSING", "CLOSED"): {
        "violation": lambda side: side.receive(TEXT, b"\xff"),
        "end of stream": Side.eof,
        "close_timeout": lambda side: side.timer("CLOSE_TIMEOUT"),
    },
    ("server", "CLOSING", "CLOSED"): {
        "violation": lambda side: side.receive(TEXT, b"\xff"),
        "end of stream": Side.eof,
        "close_timeout": lambda side: side.timer("CLOSE_TIMEOUT"),
        "Close received": lambda side: side.receive(CLOSE, close_body(1000)),
    },
}
"""Role, state, state: the public calls that lead from the one to the other."""

CALLS: dict[str, Act] = {
    "feed_recv_buf": lambda side: side.connection.feed_recv_buf(side.incoming(PING)),
    "feed_eof": lambda side: side.connection.feed_eof(),
    "send_text": lambda side: side.connection.send_text("x"),
    "send_binary": lambda side: side.connection.send_binary(b"x"),
    "send_continuation": lambda side: side.connection.send_continuation(b"x"),
    "send_ping": lambda side: side.connection.send_ping(),
    "send_pong": lambda side: side.connection.send_pong(),
    "close": lambda side: side.connection.close(),
    "OPEN_TIMEOUT": lambda side: side.timer("OPEN_TIMEOUT"),
    "PING": lambda side: side.timer("PING"),
    "PONG_TIMEOUT": lambda side: side.timer("PONG_TIMEOUT"),
    "CLOSE_TIMEOUT": lambda side: side.timer("CLOSE_TIMEOUT"),
}
CALLS_OF = {
    "client": {**CALLS, "connect": lambda side: side.connection.connect()},
    "server": {
        **CALLS,
        "accept_handshake": lambda side: side.connection.accept_handshake(),
        "accept_handshake_auto": lambda side: side.connection.accept_handshake_auto(),
        "reject_handshake": lambda side: side.connection.reject_handshake(404),
    },
}

# What each call does in each state: it acts, it raises, or it does nothing.
ACTS = {
    "client": {
        "DISCONNECTED": {"connect"},
        "CONNECTING": {"feed_recv_buf", "feed_eof", "OPEN_TIMEOUT"},
        "CONNECTED": {
            "feed_recv_buf",
            "feed_eof",
            "send_text",
            "send_binary",
            "send_ping",
            "send_pong",
            "close",
            "PING",
        },
        "CLOSING": {"feed_recv_buf", "feed_eof", "send_pong", "CLOSE_TIMEOUT"},
        "CLOSED": set(),
    },
    "server": {
        "DISCONNECTED": {"feed_recv_buf", "feed_eof", "OPEN_TIMEOUT"},
        "CONNECTING": {"feed_recv_buf", "feed_eof", "OPEN_TIMEOUT", "reject_handshake"},
        "CONNECTED": {
            "feed_recv_buf",
            "feed_eof",
            "send_text",
            "send_binary",
            "send_ping",
            "send_pong",
            "close",
            "PING",
        },
        "CLOSING": {"feed_recv_buf", "feed_eof", "send_pong", "CLOSE_TIMEOUT"},
        "CLOSED": set(),
    },
}
NOTHING = {
    "DISCONNECTED": {"PING", "PONG_TIMEOUT", "CLOSE_TIMEOUT", "OPEN_TIMEOUT"},
    "CONNECTING": {"PING", "PONG_TIMEOUT", "CLOSE_TIMEOUT"},
    "CONNECTED": {"PONG_TIMEOUT", "CLOSE_TIMEOUT", "OPEN_TIMEOUT"},
    "CLOSING": {"close", "PING", "PONG_TIMEOUT", "OPEN_TIMEOUT"},
    "CLOSED": {
        "feed_recv_buf",
        "feed_eof",
        "PING",
        "PONG_TIMEOUT",
        "CLOSE_TIMEOUT",
        "OPEN_TIMEOUT",
    },
}


def every(table: dict[str, dict[str, Act]]) -> list[Any]:
    return [
        pytest.param(role, state, name, id=f"{role}-{state}-{name}")
        for role, calls in table.items()
        for state in STATES
        for name in calls
    ]


def polled(ws: Any, role: str, state: str) -> Side:
    side = IN_STATE[state](ws, role)
    side.events()
    side.raw()
    return side


@pytest.mark.rule("R75", "1.1 transition table")
def test_table() -> None:
    pairs = {(start.name, end.name) for start, ends in TRANSITIONS.items() for end in ends}
    assert pairs == ALLOWED
    assert [state.name for state in ConnectionState] == STATES
    assert set(TRANSITIONS) == set(ConnectionState)


@pytest.mark.rule("R75", "1.1 transition table")
@pytest.mark.parametrize(
    ("role", "start", "end", "way"),
    [
        pytest.param(*key, way, id="-".join((*key, way)))
        for key, ways in WAYS.items()
        for way in ways
    ],
)
def test_allowed_transition_is_reached(ws: Any, role: str, start: str, end: str, way: str) -> None:
    side = polled(ws, role, start)
    assert side.state == start
    changes = WAYS[role, start, end][way](side)
    events = (changes or []) + side.events()
    assert side.state == end
    states = [event.state.name for event in events if isinstance(event, ws.StateChanged)]
    assert states == [end]


@pytest.mark.rule("R75", "1.1 transition table")
def test_every_allowed_transition_has_a_way() -> None:
    for role in ("client", "server"):
        reached = {(start, end) for way_role, start, end in WAYS if way_role == role}
        # Before `connect` there is nothing that could fail.
        missing = {("DISCONNECTED", "CLOSED")} if role == "client" else set()
        assert reached == ALLOWED - missing


@pytest.mark.rule("R75", "R76", "1.1 transition table")
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize(
    ("start", "end"), [(a, b) for a in STATES for b in STATES if (a, b) not in ALLOWED]
)
def test_other_transition_is_refused(ws: Any, role: str, start: str, end: str) -> None:
    side = polled(ws, role, start)
    before = side.snapshot()
    # No public call asks for one; the only place that writes the state would refuse it.
    with pytest.raises(ws.LocalProtocolError, match=f"from {start} to {end}"):
        side.connection._enter(ws.ConnectionState[end])
    assert side.snapshot() == before
    assert side.events() == []
    assert side.raw() == []


@pytest.mark.rule("R42", "R45", "R88", "R116", "1.1 transition table")
@pytest.mark.parametrize(("role", "state", "call"), every(CALLS_OF))
def test_every_call_in_every_state(ws: Any, role: str, state: str, call: str) -> None:
    side = polled(ws, role, state)
    before = side.snapshot()
    act: Act = CALLS_OF[role][call]
    if call in ACTS[role][state]:
        act(side)
        assert (side.snapshot(), side.events(), side.raw()) != (before, [], [])
        return
    if call in NOTHING[state]:
        act(side)
    else:
        with pytest.raises(ws.LocalProtocolError):
            act(side)
    assert side.snapshot() == before
    assert side.events() == []
    assert side.raw() == []


@pytest.mark.rule("R77")
def test_events_of_the_states_on_the_way(ws: Any) -> None:
    client = new(ws, "client")
    client.connection.connect()
    assert client.events() == [client.state_changed("CONNECTING")]
    assert client.feed(response()) == [
        client.state_changed("CONNECTED"),
        ws.Connected(None, ()),
    ]
    server = new(ws, "server")
    assert server.feed(b"") == [server.state_changed("CONNECTING")]
    server.feed(request())
    server.connection.accept_handshake()
    assert server.events() == [server.state_changed("CONNECTED"), ws.Connected(None, ())]


@pytest.mark.rule("R77")
def test_server_is_connecting_from_the_first_feed_on(ws: Any) -> None:
    server = new(ws, "server")
    server.connection.feed_recv_buf(b"")
    assert server.state == "CONNECTING"


@pytest.mark.rule("R76")
@pytest.mark.parametrize("role", ["client", "server"])
def test_connection_is_never_used_again(ws: Any, role: str) -> None:
    side = closed(ws, role)
    begin = side.connection.connect if side.is_client else side.connection.accept_handshake
    with pytest.raises(ws.LocalProtocolError, match="CLOSED"):
        begin()
    assert side.feed(response() if side.is_client else request()) == []
    assert side.state == "CLOSED"


def test_state_cannot_be_written_from_outside(ws: Any) -> None:
    for make in (new, connecting, connected, closing, closed):
        side = make(ws, "client")
        with pytest.raises(AttributeError):
            side.connection.state = ws.ConnectionState.CONNECTED

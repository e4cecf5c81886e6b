"""The events as values, and the iterator that brings them."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
from helpers import CLOSE, PING, TEXT, Side, WireFrame, close_body, connected, request


def examples(ws: Any) -> list[tuple[Any, Any, tuple[str, ...]]]:
    """Pairs of events that are equal, and the names of their fields."""
    asked = ws.HandshakeRequestValidator()
    asked.feed(request())
    state = ws.ConnectionState.CLOSED
    return [
        (ws.HandshakeRequested(asked.read()), ws.HandshakeRequested(asked.read()), ("request",)),
        (ws.Connected("a", ("b",)), ws.Connected("a", ("b",)), ("protocol", "extensions")),
        (ws.TextMessage("a"), ws.TextMessage("a"), ("text",)),
        (ws.BinaryMessage(b"a"), ws.BinaryMessage(b"a"), ("data",)),
        (ws.TextFragment("a", False), ws.TextFragment("a", False), ("text", "final")),
        (ws.BinaryFragment(b"a", True), ws.BinaryFragment(b"a", True), ("data", "final")),
        (ws.Ping(b"a"), ws.Ping(b"a"), ("payload",)),
        (ws.Pong(b"a", 0.5), ws.Pong(b"a", 0.5), ("payload", "latency")),
        (ws.Close(1000, "a"), ws.Close(1000, "a"), ("code", "reason")),
        (ws.StateChanged(state), ws.StateChanged(state), ("state",)),
        (ws.Failed(ws.InvalidUtf8("a")), ws.Failed(ws.InvalidUtf8("a")), ("error",)),
    ]


@pytest.fixture(params=range(11))
def example(ws: Any, request: Any) -> tuple[Any, Any, tuple[str, ...]]:
    one, other, names = examples(ws)[request.param]
    return one, other, names


@pytest.fixture(params=["client", "server"])
def side(ws: Any, request: Any) -> Side:
    return connected(ws, request.param)


# Values


def test_there_are_these_events_and_no_others(ws: Any) -> None:
    assert {event.__name__ for event in get_args(ws.Event)} == {
        type(one).__name__ for one, _, _ in examples(ws)
    }
    assert {*ws.events.__all__} == {event.__name__ for event in get_args(ws.Event)} | {"Event"}


def test_equality_is_by_type_and_fields(ws: Any) -> None:
    events = [one for one, _, _ in examples(ws)]
    for index, (one, other, _) in enumerate(examples(ws)):
        assert one == other
        assert (one != other) is False
        assert hash(one) == hash(other)
        for another in events[:index] + events[index + 1 :]:
            assert one != another
        assert one != tuple(getattr(one, name) for name in one.__match_args__)
        assert (one == 1) is False


def test_other_fields_are_not_equal(ws: Any) -> None:
    assert ws.TextMessage("a") != ws.TextMessage("b")
    assert ws.BinaryMessage(b"a") != ws.BinaryMessage(b"b")
    assert ws.TextFragment("a", True) != ws.TextFragment("b", True)
    assert ws.TextFragment("a", True) != ws.TextFragment("a", False)
    assert ws.BinaryFragment(b"a", True) != ws.BinaryFragment(b"a", False)
    assert ws.Pong(b"a", None) != ws.Pong(b"a", 0.0)
    assert ws.Close(1000, "") != ws.Close(None, "")
    assert ws.Failed(ws.InvalidUtf8("a")) != ws.Failed(ws.InvalidUtf8("b"))
    assert ws.Failed(ws.InvalidUtf8("a")) != ws.Failed(ws.RemoteProtocolError("a"))
    assert ws.Failed(ws.InvalidUtf8("a")) != ws.InvalidUtf8("a")


def test_text_is_never_equal_to_binary(ws: Any) -> None:
    assert ws.TextMessage("") != ws.BinaryMessage(b"")
    assert ws.TextFragment("", True) != ws.BinaryFragment(b"", True)
    assert ws.TextFragment("a", True) != ws.TextMessage("a")
    assert ws.BinaryMessage(b"a") != ws.SendData(b"a")
    assert ws.Ping(b"a") != ws.BinaryMessage(b"a")


def test_fields_and_match_args(example: tuple[Any, Any, tuple[str, ...]]) -> None:
    event, _, names = example
    assert event.__match_args__ == names
    assert not hasattr(event, "__dict__")


def test_immutable(example: tuple[Any, Any, tuple[str, ...]]) -> None:
    event, _, names = example
    for name in names:
        value = getattr(event, name)
        with pytest.raises(AttributeError):
            setattr(event, name, value)
        with pytest.raises(AttributeError):
            delattr(event, name)
        assert getattr(event, name) is value
    with pytest.raises((AttributeError, TypeError)):
        event.other = 1


def test_repr_shows_type_and_fields(example: tuple[Any, Any, tuple[str, ...]]) -> None:
    event, _, names = example
    shown = repr(event)
    assert shown.startswith(f"{type(event).__name__}(")
    for name in names:
        assert f"{name}={getattr(event, name)!r}" in shown


def test_copies_are_equal(example: tuple[Any, Any, tuple[str, ...]]) -> None:
    event, _, _ = example
    assert copy.copy(event) == event
    assert copy.deepcopy(event) == event
    make, *rest = event.__reduce__()
    assert make(*rest[0]) == event


def test_values_of_the_wire_check_their_types(ws: Any) -> None:
    for kind, wrong in ((ws.TextMessage, b"a"), (ws.BinaryMessage, "a"), (ws.SendData, "a")):
        with pytest.raises(TypeError, match="must be"):
            kind(wrong)
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            kind(1, 2)
    with pytest.raises(TypeError, match="must be bytes"):
        ws.BinaryMessage(bytearray(b"a"))


def test_values_of_the_wire_take_their_field_by_name(ws: Any) -> None:
    assert ws.TextMessage(text="a") == ws.TextMessage("a")
    assert ws.BinaryMessage(data=b"a") == ws.BinaryMessage(b"a")
    assert ws.SendData(data=b"a") == ws.SendData(b"a")


def test_received_values_are_plain(side: Side) -> None:
    (text,) = side.receive(TEXT, "é".encode())
    (binary,) = side.receive(2, b"x")
    (ping,) = side.receive(PING, b"x")
    assert (type(text.text), type(binary.data), type(ping.payload)) == (str, bytes, bytes)


# The iterator (DESIGN.md, section 2)


def three_pings(side: Side) -> Any:
    side.connection.feed_recv_buf(b"".join(side.incoming(PING, bytes([i])) for i in range(3)))
    return side.connection


def test_each_step_is_one_poll(side: Side) -> None:
    connection = three_pings(side)
    events = connection.events()
    assert iter(events) is events
    assert next(events) == side.ws.Ping(b"\0")
    assert connection.poll_event() == side.ws.Ping(b"\1")
    assert side.sent() == [WireFrame(10, b"\0"), WireFrame(10, b"\1")]
    assert next(events) == side.ws.Ping(b"\2")
    with pytest.raises(StopIteration):
        next(events)


def test_an_iterator_that_is_drained_has_ended_for_good(side: Side) -> None:
    events = side.connection.events()
    assert list(events) == []
    side.connection.feed_recv_buf(side.incoming(TEXT, b"x"))
    assert list(events) == []
    assert list(side.connection.events()) == [side.ws.TextMessage("x")]


def test_making_an_iterator_polls_nothing(side: Side) -> None:
    three_pings(side).events()
    assert side.raw() == []


def test_breaking_out_loses_nothing(side: Side) -> None:
    connection = three_pings(side)
    seen = []
    for event in connection.events():
        seen.append(event.payload)
        break
    for event in connection.events():
        seen.append(event.payload)
    assert seen == [b"\0", b"\1", b"\2"]


def test_raising_loses_nothing(side: Side) -> None:
    connection = three_pings(side)
    seen = []

    def handle(event: Any) -> None:
        seen.append(event.payload)
        raise KeyError("application")

    def drain() -> None:
        for event in connection.events():
            handle(event)

    for _ in range(3):
        with pytest.raises(KeyError):
            drain()
    assert seen == [b"\0", b"\1", b"\2"]
    assert len(side.sent()) == 3


def test_feeding_inside_the_loop_appends(side: Side) -> None:
    connection = three_pings(side)
    seen = []
    for event in connection.events():
        seen.append(event.payload)
        if len(seen) < 5:
            connection.feed_recv_buf(side.incoming(PING, b"fed %d" % len(seen)))
    assert seen == [b"\0", b"\1", b"\2", b"fed 1", b"fed 2", b"fed 3", b"fed 4"]


def test_sending_inside_the_loop_keeps_the_order(side: Side) -> None:
    connection = three_pings(side)
    for event in connection.events():
        connection.send_binary(event.payload)
    assert [(sent.opcode, sent.payload) for sent in side.sent()] == [
        (opcode, bytes([index])) for index in range(3) for opcode in (10, 2)
    ]


def test_closing_inside_the_loop_keeps_what_came_after(side: Side) -> None:
    connection = three_pings(side)
    seen = []
    for event in connection.events():
        seen.append(event)
        if event == side.ws.Ping(b"\0"):
            connection.close()
    assert seen == [
        side.ws.Ping(b"\0"),
        side.state_changed("CLOSING"),
        side.ws.Ping(b"\1"),
        side.ws.Ping(b"\2"),
    ]
    assert [sent.opcode for sent in side.sent()] == [10, 8, 10, 10]


def test_draining_outputs_inside_the_loop_gives_each_effect_at_its_time(side: Side) -> None:
    connection = three_pings(side)
    for event in connection.events():
        assert side.sent() == [WireFrame(10, event.payload)]


@pytest.mark.rule("R76", "1.1 failure")
def test_closed_is_the_last_event(side: Side) -> None:
    side.connection.feed_recv_buf(
        side.incoming(TEXT, b"x") + side.incoming(TEXT, rsv=1) + side.incoming(CLOSE)
    )
    side.connection.feed_eof()
    events = side.events()
    assert [type(event).__name__ for event in events] == ["TextMessage", "Failed", "StateChanged"]
    assert events[-1] == side.state_changed("CLOSED")
    assert side.events() == []


@pytest.mark.rule("R37")
def test_what_is_sent_for_message_1_goes_out_before_what_message_2_provokes(side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(TEXT, b"1") + side.incoming(TEXT, b"\xff"))
    for event in side.connection.events():
        if isinstance(event, side.ws.TextMessage):
            side.connection.send_text("answer to 1")
    assert side.sent() == [
        WireFrame(TEXT, b"answer to 1"),
        WireFrame(CLOSE, close_body(1007, "invalid payload data")),
    ]

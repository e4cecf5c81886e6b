"""The outputs as values, how sent bytes are divided, and the iterator that brings them."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
from helpers import (
    BINARY,
    CLOSE,
    TEXT,
    Side,
    WireFrame,
    close_body,
    connected,
    connecting,
    new,
    read_frames,
)


def examples(ws: Any) -> list[tuple[Any, tuple[str, ...]]]:
    timer = ws.TimerId.PING
    return [
        (ws.SendData(b"a"), ("data",)),
        (ws.SetTimer(timer, 1.5), ("timer_id", "delay")),
        (ws.ClearTimer(timer), ("timer_id",)),
        (ws.CloseConnection(), ()),
    ]


@pytest.fixture(params=["client", "server"])
def side(ws: Any, request: Any) -> Side:
    return connected(ws, request.param)


# Values


def test_there_are_these_outputs_and_no_others(ws: Any) -> None:
    assert {output.__name__ for output in get_args(ws.Output)} == {
        type(output).__name__ for output, _ in examples(ws)
    }


@pytest.mark.parametrize("index", range(4))
def test_values(ws: Any, index: int) -> None:
    output, names = examples(ws)[index]
    twin, _ = examples(ws)[index]
    others = [other for other, _ in examples(ws) if type(other) is not type(output)]
    assert output == twin
    assert hash(output) == hash(twin)
    assert all(output != other for other in others)
    assert output.__match_args__ == names
    assert not hasattr(output, "__dict__")
    assert copy.copy(output) == output
    assert copy.deepcopy(output) == output
    shown = ", ".join(f"{name}={getattr(output, name)!r}" for name in names)
    assert repr(output) == f"{type(output).__name__}({shown})"
    for name in names:
        with pytest.raises(AttributeError):
            setattr(output, name, getattr(output, name))
        with pytest.raises(AttributeError):
            delattr(output, name)


def test_other_fields_are_not_equal(ws: Any) -> None:
    timers = ws.TimerId
    assert ws.SendData(b"a") != ws.SendData(b"b")
    assert ws.SetTimer(timers.PING, 1.0) != ws.SetTimer(timers.PING, 2.0)
    assert ws.SetTimer(timers.PING, 1.0) != ws.SetTimer(timers.PONG_TIMEOUT, 1.0)
    assert ws.ClearTimer(timers.PING) != ws.ClearTimer(timers.PONG_TIMEOUT)


# How bytes are divided


def test_data_is_always_bytes(side: Side) -> None:
    for data in (b"x", bytearray(b"x"), bytearray(100_000), memoryview(bytes(100_000))):
        side.connection.send_binary(data)
    side.connection.close()
    for output in side.connection.outputs():
        if isinstance(output, side.ws.SendData):
            assert type(output.data) is bytes
            assert output.data


def test_concatenation_is_the_contract(side: Side) -> None:
    payloads = [bytes([size % 256]) * size for size in (0, 1, 125, 5000, 16383, 16384, 70_000, 3)]
    for payload in payloads:
        side.connection.send_binary(payload)
    assert side.sent() == [WireFrame(BINARY, payload) for payload in payloads]


def test_large_payload_of_a_server_is_not_copied(ws: Any) -> None:
    side = connected(ws, "server")
    data = bytes(100_000)
    side.connection.send_binary(data)
    first, second = side.connection.outputs()
    assert len(first.data) == 10
    assert second.data is data


def test_frames_are_whole_however_they_are_polled(side: Side) -> None:
    sizes = [3, 20_000, 0, 16_000, 500, 300_000]
    polled = b""
    for size in sizes:
        side.connection.send_binary(bytes(size))
        output = side.connection.poll_output()
        polled += output.data
    polled += b"".join(output.data for output in side.connection.outputs())
    assert [len(sent.payload) for sent in read_frames(polled)] == sizes


def test_sends_are_not_joined_across_other_outputs(side: Side) -> None:
    side.connection.send_text("a")
    side.connection.send_ping(b"b")
    side.connection.send_text("c")
    assert side.outputs() == [
        WireFrame(TEXT, b"a"),
        WireFrame(9, b"b"),
        side.set_timer("PONG_TIMEOUT", 10.0),
        WireFrame(TEXT, b"c"),
    ]


def test_many_small_sends_stay_linear(side: Side) -> None:
    for index in range(20_000):
        side.connection.send_binary(b"%d" % index)
    assert [sent.payload for sent in side.sent()] == [b"%d" % index for index in range(20_000)]


# The iterator


def test_each_step_is_one_poll(side: Side) -> None:
    side.timer("PING")
    outputs = side.connection.outputs()
    assert iter(outputs) is outputs
    assert isinstance(next(outputs), side.ws.SendData)
    assert side.connection.poll_output() == side.set_timer("PONG_TIMEOUT", 10.0)
    assert next(outputs) == side.set_timer("PING", 30.0)
    with pytest.raises(StopIteration):
        next(outputs)


def test_an_iterator_that_is_drained_has_ended_for_good(side: Side) -> None:
    outputs = side.connection.outputs()
    assert list(outputs) == []
    side.connection.send_text("x")
    assert list(outputs) == []
    assert [type(output) for output in side.connection.outputs()] == [side.ws.SendData]


def test_breaking_out_loses_nothing(side: Side) -> None:
    side.timer("PING")
    seen = []
    for _ in range(3):
        for output in side.connection.outputs():
            seen.append(output)
            break
    assert seen[1:] == [side.set_timer("PONG_TIMEOUT", 10.0), side.set_timer("PING", 30.0)]


def test_sending_inside_the_loop_appends(side: Side) -> None:
    side.connection.send_text("0")
    sent = b""
    for count, output in enumerate(side.connection.outputs(), 1):
        sent += output.data
        if count < 4:
            side.connection.send_text(str(count))
    assert [item.payload for item in read_frames(sent)] == [b"0", b"1", b"2", b"3"]


def test_polling_outputs_reads_no_input(side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(9, b"x"))
    assert side.connection.poll_output() is None
    side.events()
    assert side.sent() == [WireFrame(10, b"x")]


# Timers, and the end


@pytest.mark.rule("1.1 CloseConnection")
def test_close_connection_comes_once_and_last(ws: Any) -> None:
    for role in ("client", "server"):
        for act in (
            Side.eof,
            lambda side: side.receive(TEXT, b"\xff"),
            lambda side: [side.receive(CLOSE, close_body(1000)), side.eof()],
        ):
            side = connected(ws, role)
            act(side)
            side.eof()
            outputs = side.outputs()
            assert outputs[-1] == ws.CloseConnection()
            assert outputs.count(ws.CloseConnection()) == 1
            assert side.connection.poll_output() is None


@pytest.mark.rule("1.1 CloseConnection")
def test_close_connection_tells_how_to_end_the_transport(ws: Any) -> None:
    text = " ".join(ws.CloseConnection.__doc__.split())
    for words in ("Flush what is queued", "shut the write side down", "discard"):
        assert words in text


@pytest.mark.rule("R74")
def test_set_timer_for_an_armed_timer_arms_it_again(side: Side) -> None:
    for _ in range(3):
        side.connection.send_ping(b"x")
    side.raw()
    # No ClearTimer between: the new time replaces the old one.
    side.receive(10, b"x")
    assert side.raw() == [side.set_timer("PONG_TIMEOUT", 10.0)]


def test_clear_timer_comes_only_for_an_armed_timer(ws: Any) -> None:
    for role in ("client", "server"):
        off = {"ping_interval": None, "pong_timeout": None, "close_timeout": None}
        side = connecting(ws, role, open_timeout=None, **off)
        side.eof()
        assert side.raw() == [ws.CloseConnection()]
        side = connected(ws, role, **off)
        side.connection.send_ping()
        side.raw()
        side.receive(10, b"")
        side.eof()
        assert side.raw() == [ws.CloseConnection()]
    side = new(ws, "server")
    side.raw()
    side.timer("OPEN_TIMEOUT")
    assert not [output for output in side.raw() if isinstance(output, ws.ClearTimer)]

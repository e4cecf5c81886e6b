"""What malformed input does to a connection: the tables of `malformed`, whole and byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from engines import agreed
from helpers import Side, close_body, connected, connecting, frame
from malformed import ANSWERS, FRAMES, REASONS, REQUESTS, RESPONSES, FrameRow, HandshakeRow

FRAME_ROWS = [(row, role) for row in FRAMES for role in row.roles]
FRAME_CASES = [pytest.param(row, role, id=f"{role}-{row.name}") for row, role in FRAME_ROWS]
EARLY_CASES = [
    pytest.param(row, role, id=f"{role}-{row.name}")
    for row, role in FRAME_ROWS
    if row.decided is not None
]


def feed(side: Side, data: bytes, cut: str) -> list[Any]:
    return side.feed(data) if cut == "whole" else side.feed_bytes(data)


def named(rows: list[HandshakeRow]) -> list[Any]:
    return [pytest.param(row, id=row.name) for row in rows]


def test_the_tables_are_long_enough() -> None:
    assert len(FRAME_CASES) >= 60
    assert len(REQUESTS) + len(RESPONSES) >= 60
    for rows in (FRAMES, REQUESTS, RESPONSES):
        names = [row.name for row in rows]
        assert len(set(names)) == len(names)


@pytest.mark.rule("R9", "R10", "R11", "R12", "R15", "R21", "R22", "R23", "R25", "R26", "R27")
@pytest.mark.rule("R28", "R33", "R34", "R39", "R53", "R54", "R79", "R80", "R82", "1.2 UTF-8")
@pytest.mark.rule("1.3 broken streams", "1.3 BFINAL")
@pytest.mark.rule("1.1 failure", "1.1 close codes", "1.1 close reason not UTF-8", "1.2 fragments")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize(("row", "role"), FRAME_CASES)
def test_malformed_frame(ws: Any, row: FrameRow, role: str, cut: str) -> None:
    side = (agreed if row.compression else connected)(ws, role, **row.options)
    error = side.failure(feed(side, row.build(side), cut))
    assert type(error).__name__ == row.error
    assert row.text in str(error)
    assert error.close_code == row.code
    key = side.random.keys[-1] if side.is_client else None
    assert side.raw() == [
        frame(0x8, close_body(row.code, REASONS[row.code]), key=key),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]
    assert side.connection.close_sent == ws.Close(row.code, REASONS[row.code])
    assert side.connection.close_received is None


@pytest.mark.rule("1.2 order of checks")
@pytest.mark.parametrize(("row", "role"), EARLY_CASES)
def test_malformed_frame_is_refused_as_early_as_its_octets_allow(
    ws: Any, row: FrameRow, role: str
) -> None:
    side = (agreed if row.compression else connected)(ws, role, **row.options)
    data = row.build(side)[: row.decided]
    assert side.feed_bytes(data[:-1]) == []
    assert side.state == "CONNECTED"
    assert row.text in str(side.failure(side.feed(data[-1:])))


@pytest.mark.rule("1.1 failure", "R87")
@pytest.mark.parametrize(("row", "role"), FRAME_CASES)
def test_malformed_frame_is_the_end(ws: Any, row: FrameRow, role: str) -> None:
    side = (agreed if row.compression else connected)(ws, role, **row.options)
    side.feed(row.build(side))
    side.raw()
    assert side.receive(0x1, b"more") == []
    assert side.eof() == []
    assert side.raw() == []
    assert side.connection.recv_buffer_len == 0
    with pytest.raises(ws.LocalProtocolError):
        side.connection.send_text("more")


@pytest.mark.rule("R102", "R103", "R104", "R105", "R106", "R107", "R108", "R109", "R110", "R111")
@pytest.mark.rule("R112", "R150", "R152", "R153", "R154")
@pytest.mark.rule("1.4 both", "1.4 server: the answer", "1.4 server: refused")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("row", named(REQUESTS))
def test_malformed_request(ws: Any, row: HandshakeRow, cut: str) -> None:
    side = connecting(ws, "server", **row.options)
    events = feed(side, row.data, cut)
    if events and isinstance(events[0], ws.HandshakeRequested):
        # Well-formed as HTTP: the application is asked what to answer.
        assert side.state == "CONNECTING"
        assert side.raw() == []
        if row.status != 403:
            with pytest.raises(ws.LocalProtocolError, match="no WebSocket handshake"):
                side.connection.accept_handshake()
            assert type(events[0].request.error).__name__ == row.error
        assert side.raw() == []
        side.connection.accept_handshake_auto()
        events = side.events()
    error = side.failure(events)
    assert events == [ws.Failed(error), side.state_changed("CLOSED")]
    assert type(error).__name__ == row.error
    assert row.text in str(error)
    assert side.raw() == [
        ANSWERS[row.status],
        side.clear_timer("OPEN_TIMEOUT"),
        ws.CloseConnection(),
    ]
    assert side.connection.recv_buffer_len == 0
    assert side.feed(b"more") == []


@pytest.mark.rule("R132", "R134", "R135", "R136", "R137", "R152", "R153", "1.4 client", "1.4 both")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("row", named(RESPONSES))
def test_malformed_response(ws: Any, row: HandshakeRow, cut: str) -> None:
    side = connecting(ws, "client", **row.options)
    events = feed(side, row.data, cut)
    error = side.failure(events)
    assert events == [ws.Failed(error), side.state_changed("CLOSED")]
    assert type(error).__name__ == row.error
    assert row.text in str(error)
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]
    assert side.connection.protocol is None
    assert side.connection.extensions == ()
    assert side.connection.recv_buffer_len == 0
    assert side.feed(b"more") == []

"""What comes out never depends on where the incoming bytes were cut, nor on when they are polled.

DESIGN: early data and the division of a streamed message are not covered; the applications here
answer a request at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import pytest
from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    CountingRandom,
    close_body,
    frame,
    head,
    request,
    response,
)
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import AGREEMENTS, ROLES, Program, any_streams, edges, handshakes, options
from test_twins import describe, look, make

PLACES = st.lists(st.integers(min_value=0, max_value=1 << 17), max_size=12)


def outcome(ws: ModuleType, program: Program, pieces: Sequence[bytes], at_end: bool) -> Any:
    """Feed the pieces to an application that echoes, and return all that comes of it."""
    connection = make(ws, program, CountingRandom())
    if program.role == "client" and not program.established:
        connection.connect()
    events = []
    outputs: list[Any] = []

    def drain() -> None:
        for event in connection.events():
            events.append(describe(event))
            if isinstance(event, ws.HandshakeRequested):
                connection.accept_handshake_auto()
            elif connection.state is ws.ConnectionState.CONNECTED:
                if isinstance(event, ws.TextMessage):
                    connection.send_text(event.text)
                elif isinstance(event, ws.BinaryMessage):
                    connection.send_binary(event.data)
        for output in connection.outputs():
            if isinstance(output, ws.SendData):
                if outputs and type(outputs[-1]) is bytes:
                    outputs[-1] += output.data
                else:
                    outputs.append(output.data)
            else:
                outputs.append(describe(output))

    for piece in pieces:
        connection.feed_recv_buf(piece)
        if not at_end:
            drain()
    drain()
    held = look(connection)
    connection.feed_eof()
    drain()
    return events, outputs, held, look(connection)


def check(ws: ModuleType, program: Program, data: bytes, places: Sequence[int]) -> None:
    whole = outcome(ws, program, [data], at_end=True)
    cut = edges(data, places)
    assert outcome(ws, program, cut, at_end=False) == whole
    assert outcome(ws, program, cut, at_end=True) == whole
    if len(data) <= 4096:
        # Even an empty piece makes a server's connection begin.
        single = [data[index : index + 1] for index in range(len(data))] or [data]
        assert outcome(ws, program, single, at_end=False) == whole
        assert outcome(ws, program, single, at_end=True) == whole


@pytest.mark.rule("R7", "R8", "R37", "R60", "1.2 messages before a violation")
@pytest.mark.parametrize("role", ROLES)
def test_frames_cut_anywhere_give_the_same(ws: ModuleType, role: str) -> None:
    @given(any_streams(masked=role == "server"), options(role), PLACES, AGREEMENTS)
    @example(frame(TEXT, "é".encode() * 500, key=KEY) * 3 + b"\xff\xff", {}, [9, 508, 1011], ())
    def property_holds(
        data: bytes, chosen: dict[str, Any], places: list[int], agreed: tuple[str, ...]
    ) -> None:
        check(ws, Program(role, chosen, True, [], agreed), data, places)

    property_holds()


@pytest.mark.rule("R139", "1.4 both")
@pytest.mark.parametrize("role", ROLES)
def test_handshakes_cut_anywhere_give_the_same(ws: ModuleType, role: str) -> None:
    masked = role == "server"

    # The application could not answer with headers that must not be sent.
    sendable = options(role).filter(lambda chosen: "headers" not in chosen)

    @given(handshakes(role), any_streams(masked), sendable, PLACES)
    def property_holds(
        opening: bytes, data: bytes, chosen: dict[str, Any], places: list[int]
    ) -> None:
        check(ws, Program(role, chosen, False, []), opening + data, places)

    property_holds()


def _sound(write: Callable[..., bytes]) -> bytes:
    return b"".join(
        [
            write(TEXT, b"", fin=False),
            write(PING, b"ping"),
            write(CONTINUATION, "日本".encode()[:4], fin=False),
            write(CONTINUATION, "日本".encode()[4:]),
            write(BINARY, bytes(126)),
            write(TEXT, "🎉".encode() * 3),
            write(CLOSE, close_body(1001, "bye")),
            b"never looked at",
        ]
    )


EVERY_PLACE = {
    "client-frames": ("client", True, _sound(frame)),
    "server-frames": ("server", True, _sound(lambda *a, **k: frame(*a, key=KEY, **k))),
    "client-handshake": ("client", False, response() + _sound(frame)[:40]),
    "server-handshake": ("server", False, request() + frame(PING, b"x", key=KEY)),
    "client-interim": ("client", False, head("HTTP/1.1 100 Continue", []) + response()),
    "client-refused": (
        "client",
        False,
        head("HTTP/1.1 404 Not Found", [("Transfer-Encoding", "chunked")])
        + b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nmore",
    ),
    "server-malformed": ("server", False, request(extra=[("Bad Name", "x")])),
    "server-not-upgraded": ("server", False, request(changes={"Upgrade": "h2c"})),
    "client-bad-text": ("client", True, frame(TEXT, b"abc\xe6\x97(") + frame(TEXT, b"no")),
    "server-unmasked": ("server", True, frame(TEXT, b"a", key=KEY) + frame(TEXT, b"b")),
    "client-too-long": ("client", True, b"\x81\x7f" + (1 << 40).to_bytes(8, "big") + b"abc"),
}


@pytest.mark.parametrize(
    ("role", "established", "data"), EVERY_PLACE.values(), ids=EVERY_PLACE.keys()
)
def test_one_cut_at_every_place_gives_the_same(
    ws: ModuleType, role: str, established: bool, data: bytes
) -> None:
    program = Program(role, {}, established, [])
    whole = outcome(ws, program, [data], at_end=True)
    for place in range(len(data) + 1):
        pieces = [data[:place], data[place:]]
        assert outcome(ws, program, pieces, at_end=False) == whole
        assert outcome(ws, program, pieces, at_end=True) == whole

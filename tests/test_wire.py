"""The wire alone: its values, its UTF-8, its queues, its masking keys. See also test_frames.py."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import sys
import weakref
from collections.abc import Iterator
from contextlib import suppress
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
    connected,
    frame,
    read_frames,
)
from hypothesis import given
from hypothesis import strategies as st
from strategies import ROLES, edges

import websocket

# The values made for every message

VALUES = [
    ("TextMessage", "text", "Hé", "text must be str, not bytes", b"x"),
    ("BinaryMessage", "data", b"x\xff", "data must be bytes, not str", "x"),
    ("SendData", "data", b"\x81\x00", "data must be bytes, not bytearray", bytearray(b"x")),
]


@pytest.mark.parametrize(("name", "field", "content", "fault", "wrong"), VALUES)
def test_value_of_the_wire(
    ws: ModuleType, name: str, field: str, content: Any, fault: str, wrong: Any
) -> None:
    make = getattr(ws, name)
    value = make(content)
    assert getattr(value, field) == content
    assert make(**{field: content}) == value
    assert value == make(content)
    assert hash(value) == hash(make(content))
    assert value != make(content * 2)
    assert (value == content) is False
    assert (value != content) is True
    assert value.__eq__(content) is NotImplemented
    assert repr(value) == f"{name}({field}={content!r})"
    assert make.__match_args__ == (field,)
    assert make.__name__ == make.__qualname__ == name
    assert copy.copy(value) == copy.deepcopy(value) == value
    assert not hasattr(value, "__dict__")
    with pytest.raises(TypeError, match=fault):
        make(wrong)
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize(("name", "field", "content"), [row[:3] for row in VALUES])
def test_value_of_the_wire_is_immutable(
    ws: ModuleType, name: str, field: str, content: Any
) -> None:
    value = getattr(ws, name)(content)
    with pytest.raises(AttributeError):
        setattr(value, field, content)
    with pytest.raises(AttributeError):
        delattr(value, field)
    with pytest.raises(AttributeError):
        value.other = 1
    assert getattr(value, field) is content


def test_values_of_the_wire_with_the_same_content_differ_by_type(ws: ModuleType) -> None:
    message, output = ws.BinaryMessage(b"x"), ws.SendData(b"x")
    assert message != output
    assert len({message, output, ws.BinaryMessage(b"x")}) == 2


@pytest.mark.parametrize(("name", "field", "content"), [row[:3] for row in VALUES])
def test_value_of_the_wire_can_be_pickled(name: str, field: str, content: Any) -> None:
    value = getattr(websocket, name)(content)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value


# UTF-8, received

NO_TIMERS: dict[str, Any] = {"ping_interval": None}


def received(ws: ModuleType, pieces: list[bytes], *, masked: bool, fragments: bool) -> Any:
    """Receive a text; return it with `None`, or with after how many pieces it was refused."""
    if masked:
        connection = ws.WebSocketServerConnection.established(
            ws.ServerConnectionOptions(**NO_TIMERS)
        )
    else:
        connection = ws.WebSocketClientConnection.established(
            ws.ClientConnectionOptions(**NO_TIMERS)
        )
    key = KEY if masked else None
    if fragments:
        wire = [
            frame(CONTINUATION if index else TEXT, piece, fin=index == len(pieces) - 1, key=key)
            for index, piece in enumerate(pieces)
        ]
    else:
        whole = frame(TEXT, b"".join(pieces), key=key)
        wire = []
        end = len(whole) - len(b"".join(pieces))
        for piece in pieces:
            start, end = end if wire else 0, end + len(piece)
            wire.append(whole[start:end])
    for index, data in enumerate(wire):
        connection.feed_recv_buf(data)
        for event in connection.events():
            if isinstance(event, ws.TextMessage):
                assert index == len(wire) - 1
                return event.text, None
            if isinstance(event, ws.Failed):
                assert isinstance(event.error, ws.InvalidUtf8)
                assert event.error.close_code == 1007
                return str(event.error), index
    raise AssertionError("neither a message nor a failure has come")


# How a character may begin that is not whole yet. The last octet makes no difference.
BEGINNINGS = {
    chr(point).encode()[:size]
    for point in range(0x80, 0x110000, 64)
    if not 0xD800 <= point <= 0xDFFF
    for size in range(1, len(chr(point).encode()))
}


def expected(pieces: list[bytes]) -> Any:
    """What Python's own decoder makes of the whole, as soon as no text can begin like that.

    Not the incremental one: that of CPython notices a surrogate only at its third octet.
    """
    data = b""
    for index, piece in enumerate(pieces):
        data += piece
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            start = error.start
            if index < len(pieces) - 1 and data[start:] in BEGINNINGS:
                continue
            begun = f"no character begins with {data[start]:#04x} at byte {start}"
            return f"text message is not UTF-8: {begun}", index
    return text, None


BOUNDARIES = [
    # The first and the last character of each length, and what lies beside them.
    "7f",
    "c280",
    "dfbf",
    "e0a080",
    "ed9fbf",
    "ee8080",
    "efbfbf",
    "f0908080",
    "f48fbfbf",
    # Overlong forms
    "c080",
    "c1bf",
    "e08080",
    "e09fbf",
    "f0808080",
    "f08fbfbf",
    # Surrogates
    "eda080",
    "edaf80edbf80",
    "edbfbf",
    # Above U+10FFFF, and octets that are never used
    "f4908080",
    "f5808080",
    "f8888080",
    "fe",
    "ff",
    # Lone and missing continuations
    "80",
    "bf",
    "c2",
    "c241",
    "e2",
    "e282",
    "e28241",
    "e241",
    "f09f",
    "f09f8e",
    "f09f8e41",
    "f09f41",
    "c2c2",
    "e282e2",
    "efbbbf",
    "c3a9c3",
]


@pytest.mark.rule("R39", "R40", "1.2 UTF-8")
@pytest.mark.parametrize("fragments", [False, True], ids=["reads", "fragments"])
@pytest.mark.parametrize("masked", [False, True], ids=["client", "server"])
@pytest.mark.parametrize("around", [("", ""), ("61", "62"), ("61" * 17, "c3a9" * 9)], ids=len)
def test_utf8_is_judged_as_python_does_wherever_it_is_cut(
    ws: ModuleType, masked: bool, fragments: bool, around: tuple[str, str]
) -> None:
    for boundary in BOUNDARIES:
        text = bytes.fromhex(around[0] + boundary + around[1])
        single = [text[index : index + 1] for index in range(len(text))]
        for pieces in [[text], single, *([text[:at], text[at:]] for at in range(1, len(text)))]:
            result = received(ws, pieces, masked=masked, fragments=fragments)
            assert result == expected(pieces), pieces


@pytest.mark.rule("1.2 UTF-8")
def test_every_pair_of_octets_is_judged_as_python_does(ws: ModuleType) -> None:
    for first in range(256):
        for second in range(256):
            pieces = [bytes([first]), bytes([second]), b"\x80"]
            result = received(ws, pieces, masked=False, fragments=False)
            assert result == expected(pieces), pieces


@pytest.mark.rule("R40")
@given(st.text(max_size=60), st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_any_text_arrives_however_it_is_cut(
    ws: ModuleType, text: str, places: list[int], fragments: bool
) -> None:
    pieces = edges(text.encode(), places)
    if not fragments:
        pieces = [piece for piece in pieces if piece] or [b""]
    assert received(ws, pieces, masked=True, fragments=fragments) == (text, None)


@pytest.mark.rule("R39", "1.2 UTF-8")
@given(st.binary(max_size=24), st.lists(st.integers(0, 24), max_size=4), st.booleans())
def test_any_bytes_are_judged_as_python_does(
    ws: ModuleType, data: bytes, places: list[int], fragments: bool
) -> None:
    pieces = edges(data, places)
    if not fragments:
        pieces = [piece for piece in pieces if piece] or [b""]
    assert received(ws, pieces, masked=True, fragments=fragments) == expected(pieces)


@pytest.mark.rule("R41")
def test_binary_is_not_looked_at(ws: ModuleType) -> None:
    data = bytes(range(256)) * 3
    side = connected(ws, "server")
    assert side.feed_bytes(side.incoming(BINARY, data)) == [ws.BinaryMessage(data)]
    assert side.receive(BINARY, data) == [ws.BinaryMessage(data)]


def test_received_strings_and_bytes_are_exact_and_sound(ws: ModuleType) -> None:
    side = connected(ws, "server")
    for text in ("", "a", "a" * 9, "é", "日本", "🎉", "a" * 40 + "é"):
        (message,) = side.receive(TEXT, text.encode())
        assert type(message.text) is str
        assert message.text == text
        assert hash(message.text) == hash(text)
        assert {message.text: 1}[text] == 1
        assert message.text + "!" == text + "!"
        assert message.text.encode() == text.encode()
        (message,) = side.receive(BINARY, text.encode())
        assert type(message.data) is bytes
        assert hash(message.data) == hash(text.encode())


# UTF-8, sent


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_bytes_sent_as_text_are_judged_as_python_does(ws: ModuleType, wrap: Any) -> None:
    for boundary in BOUNDARIES:
        for around in ("", "61" * 11):
            text = bytes.fromhex(around + boundary + around)
            side = connected(ws, "server")
            try:
                text.decode()
            except UnicodeDecodeError as error:
                bad = f"no character begins with {text[error.start]:#04x}"
                with pytest.raises(ws.LocalProtocolError, match=bad):
                    side.connection.send_text(wrap(text))
                assert side.raw() == []
            else:
                side.connection.send_text(wrap(text))
                assert [sent.payload for sent in side.sent()] == [text]


@pytest.mark.parametrize("role", ROLES)
def test_characters_may_be_divided_between_fragments_that_are_sent(
    ws: ModuleType, role: str
) -> None:
    side = connected(ws, role)
    text = "aé日🎉".encode()
    for first in range(len(text) + 1):
        for second in range(first, len(text) + 1):
            side.connection.send_text(text[:first], final=False)
            side.connection.send_continuation(bytearray(text[first:second]), final=False)
            side.connection.send_continuation(memoryview(text[second:]))
            sent = side.sent()
            assert b"".join(piece.payload for piece in sent) == text
            assert [(piece.opcode, piece.fin) for piece in sent] == [
                (1, False),
                (0, False),
                (0, True),
            ]


def test_divided_character_must_be_continued(ws: ModuleType) -> None:
    side = connected(ws, "client")
    side.connection.send_text(b"a\xe6\x97", final=False)
    for wrong in (b"", b"a", b"\xa5\xff", "a", "é", b"\xe6", bytearray(b"b")):
        with pytest.raises(ws.LocalProtocolError, match="not UTF-8"):
            side.connection.send_continuation(wrong)
    with pytest.raises(TypeError, match="text must be str or bytes-like, not int"):
        side.connection.send_continuation(7)
    side.connection.send_continuation("", final=False)
    side.connection.send_continuation(b"\xa5", final=False)
    side.connection.send_continuation("é")
    assert b"".join(sent.payload for sent in side.sent()) == "a日é".encode()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "é\ud83c", "x" * 20000 + "\udc00"], ids=len)
def test_lone_surrogates_cannot_be_sent(ws: ModuleType, role: str, text: str) -> None:
    side = connected(ws, role)
    before = side.snapshot()
    with pytest.raises(ws.LocalProtocolError, match=f"at index {len(text.rstrip('b')) - 1}"):
        side.connection.send_text(text)
    assert side.snapshot() == before
    assert side.raw() == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("text", ["x", "é", "x" * 20000])
def test_text_of_a_subclass_goes_out_as_what_it_is(ws: ModuleType, role: str, text: str) -> None:
    class Odd(str):
        __slots__ = ()

        def encode(self, *_: object) -> bytes:
            return b"\xff"

    side = connected(ws, role)
    side.connection.send_text(Odd(text))
    assert [sent.payload for sent in side.sent()] == [text.encode()]


# Sending

SIZES = [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536]


@pytest.mark.rule("R2", "R4", "R6")
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("size", SIZES)
def test_whole_message_is_one_frame(ws: ModuleType, role: str, size: int) -> None:
    side = connected(ws, role)
    data = bytes(index % 251 for index in range(size))
    ascii_text = "a" * size
    wide_text = "é" * (size // 2)
    side.connection.send_binary(data)
    side.connection.send_text(ascii_text)
    side.connection.send_text(wide_text)
    sent = side.sent()
    assert [(piece.opcode, piece.fin, piece.rsv) for piece in sent] == [
        (2, 1, 0),
        (1, 1, 0),
        (1, 1, 0),
    ]
    assert [piece.payload for piece in sent] == [data, ascii_text.encode(), wide_text.encode()]


@pytest.mark.parametrize("wrap", [bytearray, memoryview, lambda data: memoryview(data * 2)[::2]])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("size", [0, 7, 16384, 70000])
def test_what_is_sent_may_be_changed_at_once(
    ws: ModuleType, role: str, size: int, wrap: Any
) -> None:
    side = connected(ws, role)
    data = bytearray(b"x" * size)
    view = wrap(data)
    side.connection.send_binary(view)
    if isinstance(view, bytearray):
        view[:] = b"y" * size
        view += b"not locked"
    assert [sent.payload for sent in side.sent()] == [b"x" * size]


def test_large_payload_of_a_server_is_not_copied(ws: ModuleType) -> None:
    connection = ws.WebSocketServerConnection.established(ws.ServerConnectionOptions(**NO_TIMERS))
    for size in (16 * 1024, 100_000):
        data = bytes(size)
        connection.send_binary(data)
        header, payload = connection.outputs()
        assert payload.data is data
        assert header.data + payload.data == frame(BINARY, data)


def test_small_sends_are_joined_and_large_ones_are_not(ws: ModuleType) -> None:
    connection = ws.WebSocketServerConnection.established(ws.ServerConnectionOptions(**NO_TIMERS))
    expected_bytes = b""
    for size in [10] * 3000 + [16000, 400, 20000, 5, 16384, 0]:
        connection.send_binary(bytes(size))
        expected_bytes += frame(BINARY, bytes(size))
    assert connection.send_buffer_len == len(expected_bytes)
    pieces = [output.data for output in connection.outputs()]
    assert b"".join(pieces) == expected_bytes
    assert connection.send_buffer_len == 0
    assert all(0 < len(piece) <= 16384 or len(piece) == 20000 for piece in pieces)
    assert len(pieces) < 12


@pytest.mark.parametrize(("last", "joined"), [(384, 1), (385, 2)])
def test_sends_are_joined_up_to_16_kib(ws: ModuleType, last: int, joined: int) -> None:
    connection = ws.WebSocketServerConnection.established(ws.ServerConnectionOptions(**NO_TIMERS))
    for wire_size in (8000, 8000, last):
        connection.send_binary(bytes(wire_size - 4))
    sizes = [len(output.data) for output in connection.outputs()]
    assert sizes == [16384] if joined == 1 else [16000, 385]


def test_bytes_are_not_joined_across_another_output(ws: ModuleType) -> None:
    side = connected(ws, "server")
    side.connection.send_text("a")
    side.connection.send_ping(b"b")
    side.connection.send_text("c")
    side.connection.close()
    assert [type(output).__name__ for output in side.connection.outputs()] == [
        "SendData",
        "SetTimer",
        "SendData",
        "ClearTimer",
        "ClearTimer",
        "SetTimer",
    ]


def test_send_buffer_len_counts_what_nobody_has_polled(ws: ModuleType) -> None:
    for role in ROLES:
        side = connected(ws, role)
        counted = 0
        for size in (0, 5, 16384, 70000):
            side.connection.send_binary(bytes(size))
            counted += len(frame(BINARY, bytes(size), key=KEY if side.is_client else None))
            assert side.connection.send_buffer_len == counted
        while (output := side.connection.poll_output()) is not None:
            counted -= len(output.data)
            assert side.connection.send_buffer_len == counted
        assert counted == 0


# Masking keys


@pytest.mark.rule("R4", "R162")
def test_masking_keys_are_drawn_in_batches_when_they_are_needed(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    urandom = os.urandom

    def counted(size: int) -> bytes:
        calls.append(size)
        return urandom(size)

    monkeypatch.setattr(os, "urandom", counted)
    connection = ws.WebSocketClientConnection.established()
    assert calls == []
    keys = set()
    for _ in range(129):
        connection.send_ping()
        connection.send_text("x")
        keys |= {sent.key for sent in _sent(ws, connection)}
    assert calls == [256] * 5
    assert len(keys) >= 256  # of 258: two of them may be equal by chance


def _sent(ws: ModuleType, connection: Any) -> list[Any]:
    outputs = connection.outputs()
    return read_frames(b"".join(out.data for out in outputs if isinstance(out, ws.SendData)))


@pytest.mark.rule("R162")
def test_a_callers_random_source_is_asked_once_for_each_frame(ws: ModuleType) -> None:
    random = CountingRandom()
    side = connected(ws, "client", random=random)
    assert random.nonces == 1
    assert random.keys == []
    side.connection.send_text("abc")
    side.connection.send_binary(bytearray(70000))
    side.connection.send_ping()
    side.receive(PING, b"x")
    side.connection.send_text("\u00e9", final=False)
    side.connection.send_continuation(b"")
    side.connection.close()
    sent = _sent(ws, side.connection)
    assert [piece.key for piece in sent] == random.keys
    assert len(random.keys) == 7


@pytest.mark.rule("R4")
def test_a_server_asks_for_no_randomness(ws: ModuleType) -> None:
    random = CountingRandom()
    side = connected(ws, "server", random=random)
    side.connection.send_text("abc")
    side.receive(PING, b"x")
    side.connection.close()
    assert [sent.masked for sent in side.sent()] == [False] * 3
    assert (random.nonces, random.keys) == (0, [])


class Reentrant:
    """A source of randomness that uses the connection which asks."""

    def __init__(self, act: Any) -> None:
        self.connection: Any = None
        self.asked = 0
        self._act = act

    def nonce(self) -> bytes:
        return bytes(16)

    def masking_key(self) -> bytes:
        self.asked += 1
        if self.asked == 1:
            self._act(self.connection)
        return KEY


@pytest.mark.parametrize(
    "call",
    [
        lambda connection: connection.send_text("é"),
        lambda connection: connection.send_text(b"abc"),
        lambda connection: connection.send_binary(bytearray(20000)),
        lambda connection: connection.send_ping(),
        lambda connection: connection.close(),
    ],
)
def test_state_that_changes_while_a_key_is_drawn_stops_the_send(ws: ModuleType, call: Any) -> None:
    def lose(connection: Any) -> None:
        connection.feed_eof()
        list(connection.events())

    random = Reentrant(lose)
    random.connection = ws.WebSocketClientConnection.established(random=random)
    list(random.connection.events())
    with pytest.raises(ws.LocalProtocolError, match="from CONNECTED to CLOSED while a masking key"):
        call(random.connection)
    assert random.connection.state is ws.ConnectionState.CLOSED
    assert not any(isinstance(out, ws.SendData) for out in random.connection.outputs())
    assert random.connection.poll_event() is None


def test_random_source_may_feed_and_poll_the_connection_that_asks(ws: ModuleType) -> None:
    seen = []

    def feed(connection: Any) -> None:
        connection.feed_recv_buf(frame(PING, b"2") + frame(TEXT, b"b"))
        seen.extend(connection.events())

    random = Reentrant(feed)
    random.connection = ws.WebSocketClientConnection.established(random=random)
    list(random.connection.events())
    random.connection.feed_recv_buf(frame(PING, b"1") + frame(TEXT, b"a"))
    seen.extend(random.connection.events())
    assert seen.count(ws.TextMessage("a")) == seen.count(ws.TextMessage("b")) == 1
    assert {sent.payload for sent in _sent(ws, random.connection)} == {b"1", b"2"}


# Queues


def test_iterators_are_no_generators_and_lose_nothing(ws: ModuleType) -> None:
    side = connected(ws, "server")
    side.connection.feed_recv_buf(b"".join(side.incoming(TEXT, b"%d" % n) for n in range(6)))
    iterator = side.connection.events()
    assert iter(iterator) is iterator
    assert next(iterator) == ws.TextMessage("0")
    for event in side.connection.events():
        assert event == ws.TextMessage("1")
        break
    with suppress(RuntimeError):
        for event in side.connection.events():
            raise RuntimeError(f"while {event} is handled")
    assert side.connection.poll_event() == ws.TextMessage("3")
    assert next(iterator) == ws.TextMessage("4")
    assert list(side.connection.events()) == [ws.TextMessage("5")]
    with pytest.raises(StopIteration):
        next(iterator)
    # As of any iterator: it has ended for good. What comes later is the next one's.
    side.connection.feed_recv_buf(side.incoming(TEXT, b"6"))
    with pytest.raises(StopIteration):
        next(iterator)
    assert list(side.connection.events()) == [ws.TextMessage("6")]


def test_sending_and_feeding_while_iterating(ws: ModuleType) -> None:
    side = connected(ws, "server")
    side.connection.feed_recv_buf(side.incoming(TEXT, b"0"))
    seen = []
    for event in side.connection.events():
        seen.append(event.text)
        if len(seen) < 5:
            side.connection.feed_recv_buf(side.incoming(TEXT, b"%d" % len(seen)))
        side.connection.send_text(event.text)
    assert seen == ["0", "1", "2", "3", "4"]
    sent = []
    outputs = side.connection.outputs()
    for output in outputs:
        sent += read_frames(output.data)
        if len(sent) == 5:
            side.connection.send_text("5")
    assert [piece.payload for piece in sent] == [b"%d" % number for number in range(6)]


@pytest.mark.rule("R8")
def test_thousands_of_chunks_events_and_outputs_stay_in_order(ws: ModuleType) -> None:
    side = connected(ws, "server", auto_pong=True)
    pieces = []
    for number in range(5000):
        pieces.append(side.incoming(PING if number % 3 else TEXT, b"%d" % number))
    for piece in pieces:
        side.connection.feed_recv_buf(piece)
    assert side.connection.recv_buffer_len == sum(map(len, pieces))
    numbers = []
    for index, event in enumerate(side.connection.events()):
        numbers.append(int(event.payload if isinstance(event, ws.Ping) else event.text))
        if index % 7 == 0:
            side.connection.send_text(f"after {numbers[-1]}")
        if index == 2500:
            for number in range(5000, 5010):
                side.connection.feed_recv_buf(side.incoming(TEXT, b"%d" % number))
    assert numbers == list(range(5010))
    assert side.connection.recv_buffer_len == 0
    expected_payloads = []
    for number in range(5010):
        if number % 3 and number < 5000:
            expected_payloads.append(b"%d" % number)
        if number % 7 == 0:
            expected_payloads.append(b"after %d" % number)
    assert [sent.payload for sent in side.sent()] == expected_payloads


def test_outputs_polled_now_and_then_stay_in_order(ws: ModuleType) -> None:
    connection = ws.WebSocketServerConnection.established(ws.ServerConnectionOptions(**NO_TIMERS))
    collected = []
    for number in range(6000):
        connection.send_binary(b"%d" % number if number % 50 else b"%-16384d" % number)
        if number % 3 == 0 and number > 2500:
            collected.append(connection.poll_output().data)
    collected += [output.data for output in connection.outputs()]
    sent = read_frames(b"".join(collected))
    assert [int(piece.payload) for piece in sent] == list(range(6000))


def test_recv_buffer_len_counts_input_and_the_message_under_assembly(ws: ModuleType) -> None:
    for role in ROLES:
        side = connected(ws, role)
        wire = side.incoming(TEXT, b"abc", fin=False) + side.incoming(PING, b"x" * 100)
        head_size = len(side.incoming(TEXT))
        for fed, octet in enumerate(wire[:-1], start=1):
            side.feed(bytes([octet]))
            if fed < head_size:
                assert side.connection.recv_buffer_len == fed
            elif fed <= head_size + 3:
                assert side.connection.recv_buffer_len == fed - head_size
        assert side.connection.recv_buffer_len == 3 + 99
        side.feed(wire[-1:])
        assert side.connection.recv_buffer_len == 3
        side.connection.feed_recv_buf(b"12")
        side.connection.feed_recv_buf(b"345")
        assert side.connection.recv_buffer_len == 8


# Feeding


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
def test_exact_bytes_are_kept_and_anything_else_is_copied(ws: ModuleType) -> None:
    class Subclass(bytes):
        pass

    for wrap, kept in ((bytes, True), (bytearray, False), (memoryview, False), (Subclass, False)):
        side = connected(ws, "server")
        for _ in range(3):
            data = wrap(bytes([0x82, 0xFF]) + (5000).to_bytes(8, "big"))
            before = sys.getrefcount(data)
            side.connection.feed_recv_buf(data)
            assert sys.getrefcount(data) == before + kept


@pytest.mark.parametrize(
    "wrap",
    [
        bytearray,
        memoryview,
        lambda data: memoryview(bytes(octet for octet in data for _ in "ab"))[::2],
    ],
)
def test_one_receive_buffer_can_serve_all_connections(ws: ModuleType, wrap: Any) -> None:
    side = connected(ws, "server")
    for number in range(3):
        buffer = wrap(side.incoming(TEXT, b"message %d" % number))
        side.connection.feed_recv_buf(buffer)
        if isinstance(buffer, bytearray):
            buffer[:] = bytes(len(buffer))
            buffer.clear()
    assert side.events() == [ws.TextMessage(f"message {number}") for number in range(3)]


@pytest.mark.parametrize("data", ["text", 7, None, ["a"]])
def test_feeding_what_is_not_bytes_like(ws: ModuleType, data: Any) -> None:
    side = connected(ws, "client")
    with pytest.raises(TypeError, match=f"data must be bytes-like, not {type(data).__name__}"):
        side.connection.feed_recv_buf(data)
    assert side.receive(TEXT, b"still fine") == [ws.TextMessage("still fine")]


@pytest.mark.parametrize("now", ["soon", True, b"1", object()])
def test_feeding_with_a_time_that_is_none(ws: ModuleType, now: Any) -> None:
    side = connected(ws, "client")
    with pytest.raises(TypeError, match="now must be seconds as a number or None"):
        side.connection.feed_recv_buf(side.incoming(TEXT, b"x"), now)
    assert side.events() == []


def test_feeding_after_the_end_of_the_stream_is_a_mistake(ws: ModuleType) -> None:
    side = connected(ws, "client")
    side.connection.feed_eof()
    with pytest.raises(ws.LocalProtocolError, match="after feed_eof"):
        side.connection.feed_recv_buf(b"x")
    side.failure(side.events())
    side.connection.feed_recv_buf(b"ignored")
    side.connection.feed_eof()
    assert side.events() == []


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "last",
    [
        pytest.param(lambda side: side.incoming(CLOSE, close_body(1000)), id="close"),
        pytest.param(lambda side: side.incoming(TEXT, b"\xff"), id="violation"),
        pytest.param(lambda side: b"\xff\xff", id="no frame"),
    ],
)
def test_end_of_stream_behind_what_ends_the_connection(
    ws: ModuleType, role: str, last: Any
) -> None:
    side = connected(ws, role)
    side.connection.feed_recv_buf(side.incoming(TEXT, b"a") + last(side))
    side.connection.feed_eof()
    events = side.events()
    assert events[0] == ws.TextMessage("a")
    assert events[-1] == side.state_changed("CLOSED")
    assert events.count(events[-1]) == 1
    assert sum(isinstance(event, (ws.Close, ws.Failed)) for event in events) == 1
    assert side.raw()[-1] == ws.CloseConnection()
    assert side.events() == []


# The object


def test_limits_beyond_the_largest_integer_are_no_limits(ws: ModuleType) -> None:
    for value in (None, sys.maxsize, 1 << 63, 1 << 100):
        side = connected(
            ws, "server", max_frame_size=value, max_message_size=value, max_fragments=value
        )
        assert side.receive(TEXT, b"a", fin=False) == []
        assert side.receive(CONTINUATION, b"b" * 70000) == [ws.TextMessage("a" + "b" * 70000)]


@pytest.mark.parametrize("role", ROLES)
def test_connection_has_no_dictionary_but_weak_references(ws: ModuleType, role: str) -> None:
    side = connected(ws, role)
    with pytest.raises(AttributeError):
        side.connection.some_name_of_the_callers = 1
    reference = weakref.ref(side.connection)
    assert reference() is side.connection
    del side
    gc.collect()
    assert reference() is None


def test_connection_in_a_cycle_is_collected(ws: ModuleType) -> None:
    random = Reentrant(lambda connection: None)
    random.connection = ws.WebSocketClientConnection.established(random=random)
    random.connection.feed_recv_buf(frame(TEXT, b"a", fin=False) + frame(TEXT, b"b") * 3)
    random.connection.send_text("x")
    reference = weakref.ref(random.connection)
    del random
    gc.collect()
    assert reference() is None


def test_iterators_keep_their_connection_alive(ws: ModuleType) -> None:
    def iterators() -> tuple[Iterator[Any], Iterator[Any]]:
        connection = ws.WebSocketServerConnection.established()
        connection.feed_recv_buf(frame(TEXT, b"abc", key=KEY))
        return connection.events(), connection.outputs()

    events, outputs = iterators()
    gc.collect()
    assert [type(event).__name__ for event in events][-1] == "TextMessage"
    assert [type(output).__name__ for output in outputs] == ["SetTimer"]


def test_mask_in_the_middle_of_a_chunk(ws: ModuleType) -> None:
    """A payload that is neither the first nor the last thing of its chunk is unmasked in place."""
    chunk = b"".join(frame(BINARY, bytes([n]) * n, key=bytes([n, 1, 2, 3])) for n in range(1, 130))
    side = connected(ws, "server")
    kept = bytes(bytearray(chunk))
    assert side.feed(chunk) == [ws.BinaryMessage(bytes([n]) * n) for n in range(1, 130)]
    assert chunk == kept

"""What both sides do once they are connected: receiving, sending, closing, failing."""

from __future__ import annotations

import array
import gc
import sys
import weakref
from typing import Any

import pytest
from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    CountingRandom,
    Side,
    WireFrame,
    close_body,
    closed,
    closing,
    connected,
    connecting,
    cut,
    frame,
    new,
    read_frames,
    request,
    response,
    xor,
)
from hypothesis import given
from hypothesis import strategies as st

LENGTHS = [0, 1, 7, 8, 124, 125, 126, 127, 1000, 65535, 65536, 70001]
"""Payload lengths around the borders of the three forms (RFC 6455 section 5.2)."""


@pytest.fixture(scope="module", params=["client", "server"])
def role(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def side(ws: Any, role: str) -> Side:
    return connected(ws, role)


def pattern(size: int) -> bytes:
    return bytes(index * 7 % 251 for index in range(size))


# Receiving: frames (RFC 6455 section 5.2)


@pytest.mark.rule("R1", "R2", "R3", "R13", "R17")
@pytest.mark.parametrize("size", LENGTHS)
def test_every_length_is_received(side: Side, size: int) -> None:
    data = pattern(size)
    assert side.receive(BINARY, data) == [side.ws.BinaryMessage(data)]
    text = "x" * size
    assert side.receive(TEXT, text.encode()) == [side.ws.TextMessage(text)]
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("R13")
def test_the_shortest_lengths_of_the_long_forms_are_accepted(side: Side) -> None:
    key = b"" if side.is_client else bytes(4)
    masked = 0 if side.is_client else 0x80
    head = bytes([0x82, masked | 126, 0, 126])
    assert side.feed(head + key + bytes(126)) == [side.ws.BinaryMessage(bytes(126))]
    head = bytes([0x82, masked | 127, 0, 0, 0, 0, 0, 1, 0, 0])
    assert side.feed(head + key + bytes(65536)) == [side.ws.BinaryMessage(bytes(65536))]


@pytest.mark.rule("R7")
@pytest.mark.parametrize("size", [0, 1, 125, 126, 300])
def test_frame_byte_by_byte_is_one_message(side: Side, size: int) -> None:
    data = side.incoming(BINARY, pattern(size))
    assert side.feed_bytes(data[:-1]) == []
    assert side.feed(data[-1:]) == [side.ws.BinaryMessage(pattern(size))]
    assert side.raw() == []


@pytest.mark.rule("R7")
@pytest.mark.parametrize("place", [1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 15, 40000])
def test_large_frame_may_be_cut_anywhere(side: Side, place: int) -> None:
    data = side.incoming(BINARY, pattern(70001))
    assert side.feed(*cut(data, [place])) == [side.ws.BinaryMessage(pattern(70001))]


@pytest.mark.rule("R7")
def test_incomplete_frame_gives_nothing_and_is_held(side: Side) -> None:
    data = side.incoming(BINARY, pattern(1000))
    assert side.feed(data[:600]) == []
    held = side.connection.recv_buffer_len
    assert 500 < held <= 600
    assert side.feed(data[600:]) == [side.ws.BinaryMessage(pattern(1000))]
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("R8")
def test_several_frames_in_one_chunk_come_in_order(side: Side) -> None:
    ws = side.ws
    data = b"".join(
        (
            side.incoming(TEXT, b"one"),
            side.incoming(PING, b"two"),
            side.incoming(BINARY, b"three"),
            side.incoming(PONG, b"four"),
        )
    )
    rest = side.incoming(TEXT, b"five")
    assert side.feed(data + rest[:4]) == [
        ws.TextMessage("one"),
        ws.Ping(b"two"),
        ws.BinaryMessage(b"three"),
        ws.Pong(b"four", None),
    ]
    assert side.feed(rest[4:]) == [ws.TextMessage("five")]


@pytest.mark.rule("R14")
def test_length_beyond_all_memory_is_refused_where_there_is_no_limit(ws: Any, role: str) -> None:
    side = connected(ws, role, max_frame_size=None, max_message_size=None)
    assert side.receive(BINARY, b"a", fin=False) == []
    masked = 0 if side.is_client else 0x80
    error = side.failure(side.feed(bytes([0x80, masked | 127, 0x7F]) + b"\xff" * 7))
    assert error.close_code == 1009


@pytest.mark.rule("R14")
def test_declared_length_reserves_nothing(ws: Any, role: str) -> None:
    side = connected(ws, role, max_frame_size=None, max_message_size=None)
    masked = 0 if side.is_client else 0x80
    assert side.feed(bytes([0x82, masked | 127, 0x7F]) + b"\xff" * 7 + bytes(10)) == []
    assert side.connection.recv_buffer_len <= 20
    assert isinstance(side.failure(side.eof()), ws.ConnectionLost)


@pytest.mark.rule("R15")
def test_control_frame_of_125_bytes_is_fine(side: Side) -> None:
    assert side.receive(PING, bytes(125)) == [side.ws.Ping(bytes(125))]
    assert side.sent() == [WireFrame(PONG, bytes(125))]


@pytest.mark.rule("R17", "R22")
def test_masked_empty_frame_needs_its_key(ws: Any) -> None:
    side = connected(ws, "server")
    assert side.feed_bytes(frame(TEXT, key=KEY)[:-1]) == []
    assert side.feed(KEY[-1:]) == [ws.TextMessage("")]


@pytest.mark.rule("R17", "R3")
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 31, 32, 33, 767, 768, 769, 3001])
def test_masked_payload_is_unmasked_wherever_it_is_cut(ws: Any, size: int) -> None:
    data = frame(BINARY, pattern(size), key=b"\x01\x20\xfe\x83")
    for place in range(max(6, len(data) - 10), len(data)):
        side = connected(ws, "server")
        assert side.feed(*cut(data, [7, place])) == [ws.BinaryMessage(pattern(size))]


ORDER = {
    # RFC 6455 leaves the order open; it is fixed so that both backends say the same.
    "opcode before RSV2": (bytes([0xA3, 0]), "opcode"),
    "opcode before the mask": (bytes([0x83, 0x80]), "opcode"),
    "RSV2 before RSV1": (bytes([0xE1, 0]), "RSV2"),
    "RSV1 before the FIN of a Ping": (bytes([0x49, 0]), "RSV1"),
    "the FIN of a Ping before its length": (bytes([0x09, 126]), "is fragmented"),
    "the length of a Ping before the mask": (bytes([0x89, 0x80 | 126]), "more than 125"),
    "the mask before the continuation": (bytes([0x80, 0x80]), "masked"),
    "the continuation before its length": (bytes([0x80, 126, 0, 0]), "without a message"),
    "the top bit before the shortest form": (
        bytes([0x82, 127, 0x80]) + bytes(7),
        "most significant bit",
    ),
    "the shortest form before the limit": (bytes([0x82, 126, 0, 11]), "is written in 2"),
    "max_frame_size before max_message_size": (bytes([0x82, 20]), "max_frame_size"),
}


@pytest.mark.rule("1.2 order of checks", "R20")
@pytest.mark.parametrize("case", ORDER)
def test_of_two_violations_the_one_earlier_in_the_order_is_reported(
    ws: Any, role: str, case: str
) -> None:
    data, text = ORDER[case]
    side = connected(ws, role, max_frame_size=10, max_message_size=9)
    if not side.is_client:
        data = bytes([data[0], data[1] ^ 0x80]) + data[2:]
    assert text in str(side.failure(side.feed(data)))


@pytest.mark.rule("1.2 order of checks")
def test_max_fragments_is_judged_before_max_message_size(ws: Any, role: str) -> None:
    side = connected(ws, role, max_fragments=1, max_message_size=1)
    side.receive(TEXT, b"a", fin=False)
    assert "max_fragments" in str(side.failure(side.receive(CONTINUATION, b"b")))


# Receiving: fragments (RFC 6455 section 5.4)


@pytest.mark.rule("R30", "R31", "R35")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(
    "pieces",
    [[b"a", b"b"], [b"", b"a"], [b"a", b""], [b"", b""], [b"", b"", b"", b""], [b"ab"] * 9],
)
def test_fragments_become_one_message(side: Side, opcode: int, pieces: list[bytes]) -> None:
    assert side.receive(opcode, pieces[0], fin=False) == []
    for piece in pieces[1:-1]:
        assert side.receive(CONTINUATION, piece, fin=False) == []
    whole = b"".join(pieces)
    ws = side.ws
    expected = ws.TextMessage(whole.decode()) if opcode == TEXT else ws.BinaryMessage(whole)
    assert side.receive(CONTINUATION, pieces[-1]) == [expected]
    # The next message begins anew.
    assert side.receive(TEXT, b"next") == [ws.TextMessage("next")]


@pytest.mark.rule("R32")
def test_control_frames_between_fragments_are_handled_at_once(side: Side) -> None:
    ws = side.ws
    side.receive(TEXT, b"a", fin=False)
    assert side.receive(PING, b"p") == [ws.Ping(b"p")]
    assert side.sent() == [WireFrame(PONG, b"p")]
    assert side.receive(PONG, b"q") == [ws.Pong(b"q", None)]
    assert side.receive(CONTINUATION, b"b", fin=False) == []
    assert side.receive(PING) == [ws.Ping(b"")]
    assert side.receive(CONTINUATION, b"c") == [ws.TextMessage("abc")]


@pytest.mark.rule("R36")
def test_close_between_fragments_drops_the_message(side: Side) -> None:
    side.receive(TEXT, b"a", fin=False)
    assert side.receive(CLOSE, close_body(1001))[0] == side.ws.Close(1001, "")
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("R37", "1.2 messages before a violation")
def test_messages_before_a_violation_are_delivered_and_answered(side: Side) -> None:
    ws = side.ws
    good = side.incoming(TEXT, b"good")
    bad = side.incoming(TEXT, b"bad", rsv=2)
    side.connection.feed_recv_buf(good + bad + good)
    assert side.connection.poll_event() == ws.TextMessage("good")
    assert side.state == "CONNECTED"
    side.connection.send_text("answer")
    side.failure(side.events())
    assert side.outputs() == [
        WireFrame(TEXT, b"answer"),
        WireFrame(CLOSE, close_body(1002, "protocol error")),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("1.2 fragments")
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_max_fragments_counts_empty_ones_and_is_inclusive(ws: Any, role: str, limit: int) -> None:
    side = connected(ws, role, max_fragments=limit)
    for _ in range(2):
        for index in range(limit):
            opcode = CONTINUATION if index else BINARY
            events = side.receive(opcode, fin=index == limit - 1)
        assert events == [ws.BinaryMessage(b"")]
    for index in range(limit):
        assert side.receive(CONTINUATION if index else BINARY, fin=False) == []
    error = side.failure(side.receive(CONTINUATION))
    assert (type(error), error.close_code) == (ws.LimitExceeded, 1008)
    assert error.limit == "max_fragments"


@pytest.mark.rule("1.2 fragments")
def test_control_frames_are_no_fragments(ws: Any, role: str) -> None:
    side = connected(ws, role, max_fragments=2)
    side.receive(TEXT, fin=False)
    for _ in range(5):
        side.receive(PING)
    assert side.receive(CONTINUATION) == [ws.TextMessage("")]


# Receiving: text (RFC 6455 section 8.1)

TEXTS = ["", "a", "é", "日本語", "\U0001f600", "\x00", "\uffff", "a\U0010ffffz", "é" * 5000]


@pytest.mark.rule("R38", "R40")
@pytest.mark.parametrize("text", TEXTS)
def test_text_is_decoded(side: Side, text: str) -> None:
    assert side.receive(TEXT, text.encode()) == [side.ws.TextMessage(text)]


@pytest.mark.rule("R40", "1.2 UTF-8")
@pytest.mark.parametrize("text", ["é", "日", "\U0001f600", "aé日\U0001f600z"])
def test_character_may_be_split_across_fragments(side: Side, text: str) -> None:
    data = text.encode()
    for place in range(1, len(data)):
        assert side.receive(TEXT, data[:place], fin=False) == []
        assert side.receive(CONTINUATION, b"", fin=False) == []
        assert side.receive(CONTINUATION, data[place:]) == [side.ws.TextMessage(text)]


@pytest.mark.rule("R40", "1.2 UTF-8")
@pytest.mark.parametrize("text", ["aé日\U0001f600z"])
def test_character_may_be_split_across_reads(side: Side, text: str) -> None:
    assert side.feed_bytes(side.incoming(TEXT, text.encode())) == [side.ws.TextMessage(text)]
    data = text.encode()
    pieces = [side.incoming(TEXT, data[:1], fin=False)]
    pieces += [side.incoming(CONTINUATION, data[i : i + 1], fin=False) for i in range(1, len(data))]
    pieces += [side.incoming(CONTINUATION)]
    assert side.feed_bytes(b"".join(pieces)) == [side.ws.TextMessage(text)]


INVALID = {
    b"ab\xff": 2,
    b"\x80": 0,
    b"a\xc0": 1,
    b"a\xc1": 1,
    b"\xc3a": 1,
    b"\xe0\x9f": 1,
    b"\xed\xa0": 1,
    b"\xf0\x8f": 1,
    b"\xf4\x90": 1,
    b"\xf5": 0,
    "日".encode() + b"\xe6\x97a": 5,
}
"""Bytes that cannot begin a text, and which of them is the first to show it."""


@pytest.mark.rule("1.2 UTF-8", "R38", "R39")
@pytest.mark.parametrize("data", INVALID)
def test_invalid_byte_fails_the_connection_as_soon_as_it_arrives(side: Side, data: bytes) -> None:
    whole = side.incoming(TEXT, data + b"." * 20)
    start = len(whole) - len(data) - 20
    shown = start + INVALID[data]
    assert side.feed(whole[:start]) == []
    assert side.feed_bytes(whole[start:shown]) == []
    error = side.failure(side.feed(whole[shown : shown + 1]))
    assert (type(error), error.close_code) == (side.ws.InvalidUtf8, 1007)


@pytest.mark.rule("1.2 UTF-8", "R38", "R39")
@pytest.mark.parametrize("data", INVALID)
def test_invalid_byte_in_a_fragment_fails_before_the_message_ends(side: Side, data: bytes) -> None:
    side.receive(TEXT, b"sound", fin=False)
    error = side.failure(side.receive(CONTINUATION, data, fin=False))
    assert (type(error), error.close_code) == (side.ws.InvalidUtf8, 1007)


@pytest.mark.rule("R39")
def test_order_of_what_invalid_text_brings(side: Side) -> None:
    ws = side.ws
    events = side.receive(TEXT, b"\xff")
    assert events == [ws.Failed(side.failure(events)), side.state_changed("CLOSED")]
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1007, "invalid payload data")),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("R41")
def test_binary_is_never_inspected(side: Side) -> None:
    data = bytes(range(256)) + b"\xff\xfe\xed\xa0\x80"
    assert side.receive(BINARY, data) == [side.ws.BinaryMessage(data)]
    side.receive(BINARY, data[:100], fin=False)
    assert side.receive(CONTINUATION, data[100:]) == [side.ws.BinaryMessage(data)]


# Receiving: limits (RFC 6455 section 10.4)


@pytest.mark.rule("R79")
def test_max_frame_size_is_inclusive_and_spares_control_frames(ws: Any, role: str) -> None:
    side = connected(ws, role, max_frame_size=10)
    assert side.receive(BINARY, bytes(10)) == [ws.BinaryMessage(bytes(10))]
    assert side.receive(PING, bytes(125)) == [ws.Ping(bytes(125))]
    assert side.receive(TEXT, b"a" * 10, fin=False) == []
    assert side.receive(CONTINUATION, b"b" * 10) == [ws.TextMessage("a" * 10 + "b" * 10)]
    error = side.failure(side.receive(BINARY, bytes(11)))
    assert (error.what, error.limit, error.maximum) == ("frame of 11 bytes", "max_frame_size", 10)


@pytest.mark.rule("R80", "R81", "1.2 message limits")
def test_max_message_size_is_inclusive_fragmented_or_not(ws: Any, role: str) -> None:
    side = connected(ws, role, max_message_size=10)
    assert side.receive(TEXT, b"a" * 10) == [ws.TextMessage("a" * 10)]
    side.receive(TEXT, b"a" * 4, fin=False)
    assert side.receive(PING, bytes(100)) == [ws.Ping(bytes(100))]
    side.receive(CONTINUATION, b"a" * 6, fin=False)
    assert side.receive(CONTINUATION) == [ws.TextMessage("a" * 10)]
    side.receive(TEXT, b"a" * 10, fin=False)
    # The head is enough: not a byte beyond the limit is ever held.
    head = side.incoming(CONTINUATION, b"a")[:2]
    error = side.failure(side.feed(head))
    assert (error.close_code, error.limit, error.maximum) == (1009, "max_message_size", 10)


@pytest.mark.rule("1.2 message limits")
@pytest.mark.parametrize("size", [4, 200, 70000])
def test_unfragmented_message_is_bounded_too(ws: Any, role: str, size: int) -> None:
    side = connected(ws, role, max_message_size=size)
    assert side.receive(BINARY, bytes(size)) == [ws.BinaryMessage(bytes(size))]
    assert side.failure(side.receive(BINARY, bytes(size + 1))).close_code == 1009


@pytest.mark.rule("R82")
def test_plain_message_may_be_as_large_as_max_message_size(ws: Any, role: str) -> None:
    # Sixteen MiB bound what is inflated, not what came plain.
    side = connected(ws, role)
    data = bytes(17 * 1024 * 1024)
    key = None if side.is_client else bytes(4)
    masked = 0 if key is None else 0x80
    head = bytes([0x82, masked | 127]) + len(data).to_bytes(8, "big") + (key or b"")
    assert side.feed(head, data) == [ws.BinaryMessage(data)]


def test_no_limits_where_none_are_wanted(ws: Any, role: str) -> None:
    side = connected(ws, role, max_frame_size=None, max_message_size=None, max_fragments=None)
    side.receive(TEXT, b"a" * 100_000, fin=False)
    assert side.receive(CONTINUATION, b"b") == [ws.TextMessage("a" * 100_000 + "b")]


def test_limits_beyond_any_length_are_none(ws: Any, role: str) -> None:
    huge = 1 << 100
    side = connected(
        ws,
        role,
        max_frame_size=huge,
        max_message_size=huge,
        max_fragments=huge,
        max_handshake_size=huge,
    )
    assert side.receive(TEXT, b"x") == [ws.TextMessage("x")]


# Receiving: Ping and Pong (RFC 6455 sections 5.5.2 and 5.5.3)


@pytest.mark.rule("R65")
@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff", bytes(125)])
def test_ping_is_answered_with_its_payload(side: Side, payload: bytes) -> None:
    side.connection.feed_recv_buf(side.incoming(PING, payload))
    assert side.raw() == []
    assert side.connection.poll_event() == side.ws.Ping(payload)
    assert side.sent() == [WireFrame(PONG, payload)]


@pytest.mark.rule("R65")
def test_every_ping_is_answered_in_order(side: Side) -> None:
    side.feed(b"".join(side.incoming(PING, bytes([index])) for index in range(20)))
    assert side.sent() == [WireFrame(PONG, bytes([index])) for index in range(20)]


@pytest.mark.rule("1.1 auto_pong=False")
def test_without_auto_pong_the_application_answers(ws: Any, role: str) -> None:
    side = connected(ws, role, auto_pong=False)
    assert side.receive(PING, b"x") == [ws.Ping(b"x")]
    assert side.raw() == []
    side.connection.send_pong(b"x")
    assert side.sent() == [WireFrame(PONG, b"x")]


# Sending


@pytest.mark.rule("R1", "R2", "R3", "R4", "R6")
@pytest.mark.parametrize("size", LENGTHS)
def test_message_is_one_frame_of_the_shortest_form(side: Side, size: int) -> None:
    side.connection.send_binary(pattern(size))
    assert side.sent() == [WireFrame(BINARY, pattern(size))]
    side.connection.send_text("x" * size)
    assert side.sent() == [WireFrame(TEXT, b"x" * size)]


@pytest.mark.rule("R1", "R3")
def test_frames_on_the_wire_are_those_of_the_rfc(ws: Any) -> None:
    server = connected(ws, "server")
    server.connection.send_text("Hello")
    assert server.raw() == [bytes.fromhex("810548656c6c6f")]

    class Random(CountingRandom):
        def masking_key(self) -> bytes:
            return KEY

    client = connected(ws, "client", random=Random())
    client.connection.send_text("Hello")
    assert client.raw() == [bytes.fromhex("818537fa213d7f9f4d5158")]


@pytest.mark.rule("R4", "R162")
def test_client_masks_each_frame_with_a_fresh_key(ws: Any) -> None:
    random = CountingRandom()
    side = connected(ws, "client", random=random)
    assert (random.nonces, random.keys) == (1, [])
    side.connection.send_text("a")
    side.connection.send_binary(b"b", final=False)
    side.connection.send_continuation(b"c")
    side.connection.send_ping(b"d")
    side.connection.send_pong(b"e")
    side.receive(PING, b"f")
    side.connection.close(1000, "g")
    frames = read_frames(side.raw()[0])
    frames += read_frames(b"".join(piece for piece in side.raw() if isinstance(piece, bytes)))
    assert len(random.keys) == 7
    assert [sent.key for sent in frames] == random.keys[: len(frames)]
    assert random.nonces == 1


@pytest.mark.rule("R4")
def test_server_masks_nothing_and_asks_for_no_randomness(ws: Any) -> None:
    random = CountingRandom()
    side = connected(ws, "server", random=random)
    side.connection.send_text("a")
    side.connection.send_ping(b"b")
    side.receive(PING, b"c")
    side.connection.close()
    assert [sent.masked for sent in side.sent()] == [False] * 4
    assert (random.nonces, random.keys) == (0, [])


@pytest.mark.rule("R162")
def test_keys_of_the_operating_system_differ_from_frame_to_frame(ws: Any) -> None:
    keys = []
    for _ in range(3):
        connection = ws.WebSocketClientConnection.established()
        for _ in range(200):
            connection.send_text("x")
        data = b"".join(
            output.data for output in connection.outputs() if isinstance(output, ws.SendData)
        )
        keys += [sent.key for sent in read_frames(data)]
    # 600 keys of 32 bits: two alike happen once in 24,000 runs, three hardly ever.
    assert len(set(keys)) >= 599


@pytest.mark.parametrize(
    "data",
    [b"\x01\x02\x03\x04", bytearray(b"\x01\x02\x03\x04"), memoryview(b"\x01\x02\x03\x04")],
    ids=["bytes", "bytearray", "memoryview"],
)
def test_anything_bytes_like_is_sent(side: Side, data: Any) -> None:
    connection = side.connection
    connection.send_binary(data)
    connection.send_text(data)
    connection.send_ping(data)
    connection.send_pong(data)
    connection.send_binary(data, final=False)
    connection.send_continuation(data)
    payload = bytes(data)
    assert side.sent() == [
        WireFrame(BINARY, payload),
        WireFrame(TEXT, payload),
        WireFrame(PING, payload),
        WireFrame(PONG, payload),
        WireFrame(BINARY, payload, fin=False),
        WireFrame(CONTINUATION, payload),
    ]


def test_items_larger_than_a_byte_are_sent_as_they_lie_in_memory(side: Side) -> None:
    numbers = array.array("I", [1, 2, 3])
    side.connection.send_binary(numbers)
    side.connection.send_binary(memoryview(numbers))
    assert side.sent() == [WireFrame(BINARY, numbers.tobytes())] * 2


def test_buffer_that_changes_after_the_send_does_not_change_what_is_sent(side: Side) -> None:
    for size in (10, 100_000):
        data = bytearray(size)
        side.connection.send_binary(data)
        data[:] = b"\xff" * size
        assert side.sent() == [WireFrame(BINARY, bytes(size))]


def test_fragmented_send(side: Side) -> None:
    connection = side.connection
    connection.send_text("a", final=False)
    connection.send_ping(b"between")
    connection.send_continuation("", final=False)
    connection.send_continuation("é", final=False)
    connection.send_continuation("z")
    connection.send_binary(b"next")
    assert side.sent() == [
        WireFrame(TEXT, b"a", fin=False),
        WireFrame(PING, b"between"),
        WireFrame(CONTINUATION, b"", fin=False),
        WireFrame(CONTINUATION, "é".encode(), fin=False),
        WireFrame(CONTINUATION, b"z"),
        WireFrame(BINARY, b"next"),
    ]


def test_text_given_as_bytes_may_be_split_inside_a_character(side: Side) -> None:
    data = "\U0001f600é".encode()
    side.connection.send_text(data[:1], final=False)
    for octet in data[1:-1]:
        side.connection.send_continuation(bytes([octet]), final=False)
    side.connection.send_continuation(data[-1:])
    frames = side.sent()
    assert b"".join(sent.payload for sent in frames) == data
    assert [sent.fin for sent in frames] == [False] * (len(data) - 1) + [True]


def test_text_given_as_bytes_and_as_str_may_be_mixed(side: Side) -> None:
    side.connection.send_text("é".encode(), final=False)
    side.connection.send_continuation("日", final=False)
    side.connection.send_continuation(b"!")
    assert b"".join(sent.payload for sent in side.sent()) == "é日!".encode()


def test_continuation_of_binary_is_not_inspected(side: Side) -> None:
    side.connection.send_binary(b"\xff", final=False)
    side.connection.send_continuation(b"\xc3")
    assert [sent.payload for sent in side.sent()] == [b"\xff", b"\xc3"]


@pytest.mark.rule("R44")
def test_ping_of_125_bytes_is_sent(side: Side) -> None:
    side.connection.send_ping(bytes(125))
    side.connection.send_pong(bytes(125))
    assert side.sent() == [WireFrame(PING, bytes(125)), WireFrame(PONG, bytes(125))]


# Closing: this side first (RFC 6455 section 7.1.2)

VALID = [
    code
    for code in range(5100)
    if 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
]
"""RFC 6455 section 7.4, and 1012 to 1014 of the registry that it founds."""


@pytest.mark.rule("R45", "R49", "1.1 close()")
def test_close_sends_a_close_frame_and_waits(side: Side) -> None:
    side.connection.close(1001, "bye")
    assert side.events() == [side.state_changed("CLOSING")]
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1001, "bye")),
        side.clear_timer("PING"),
        side.set_timer("CLOSE_TIMEOUT", 5.0),
    ]
    assert side.connection.close_sent == side.ws.Close(1001, "bye")
    assert side.connection.close_received is None
    assert side.connection.close_received_first is False


@pytest.mark.rule("1.1 close()")
def test_close_clears_both_timers_of_the_keepalive(side: Side) -> None:
    side.timer("PING")
    side.raw()
    side.connection.close()
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1000)),
        side.clear_timer("PONG_TIMEOUT"),
        side.clear_timer("PING"),
        side.set_timer("CLOSE_TIMEOUT", 5.0),
    ]


@pytest.mark.rule("1.1 close()", "R52")
def test_close_without_a_code_is_empty(side: Side) -> None:
    side.connection.close(None)
    assert side.sent() == [WireFrame(CLOSE, b"")]
    assert side.connection.close_sent == side.ws.Close(None, "")


@pytest.mark.rule("R50", "R76")
def test_close_again_does_nothing(ws: Any, role: str) -> None:
    side = closing(ws, role)
    before = side.snapshot()
    side.connection.close(1011, "again")
    assert side.events() == []
    assert side.raw() == []
    assert side.snapshot() == before


@pytest.mark.rule("R47", "1.1 close codes")
def test_sendable_codes(ws: Any, role: str) -> None:
    sendable = []
    side = connected(ws, role)
    for code in [*range(65537), -1, 1 << 70]:
        try:
            side.connection.close(code)
        except ws.LocalProtocolError:
            assert side.raw() == []
            continue
        sendable.append(code)
        assert side.sent() == [WireFrame(CLOSE, close_body(code))]
        kind = type(side.connection)
        side = Side(ws, kind.established())
        side.raw()
    assert sendable == VALID


@pytest.mark.rule("R48")
@pytest.mark.parametrize("reason", ["", "x", "x" * 123, "é" * 61 + "x", "日" * 41])
def test_reason_of_up_to_123_bytes_is_sent(side: Side, reason: str) -> None:
    side.connection.close(4000, reason)
    assert side.sent() == [WireFrame(CLOSE, close_body(4000, reason))]


@pytest.mark.rule("R48")
@pytest.mark.parametrize("reason", ["x" * 124, "é" * 62, "日" * 42, "x" * 1000])
def test_longer_reason_is_refused_never_cut(side: Side, reason: str) -> None:
    with pytest.raises(side.ws.LocalProtocolError, match="longer than 123"):
        side.connection.close(4000, reason)
    assert side.events() == []
    assert side.raw() == []
    side.connection.close()
    assert side.state == "CLOSING"


@pytest.mark.rule("R51")
def test_reasons_of_the_library_itself_are_short(side: Side) -> None:
    # Nothing is ever cut, because nothing of the error gets into the frame.
    side.receive(TEXT, b"\xff" * 100)
    (sent,) = side.sent()
    assert len(sent.payload) < 40


@pytest.mark.rule("R61", "R42")
def test_after_close_what_the_peer_still_sends_is_delivered(ws: Any, role: str) -> None:
    side = closing(ws, role)
    assert side.receive(TEXT, b"late") == [ws.TextMessage("late")]
    assert side.receive(BINARY, b"a", fin=False) == []
    assert side.receive(PING, b"p") == [ws.Ping(b"p")]
    assert side.sent() == [WireFrame(PONG, b"p")]
    assert side.receive(CONTINUATION, b"b") == [ws.BinaryMessage(b"ab")]
    assert side.receive(PONG, b"q") == [ws.Pong(b"q", None)]
    with pytest.raises(ws.LocalProtocolError, match="CLOSING"):
        side.connection.send_text("late")
    side.connection.send_pong(b"r")
    assert side.sent() == [WireFrame(PONG, b"r")]


def test_close_in_the_middle_of_a_fragmented_send(side: Side) -> None:
    side.connection.send_text("a", final=False)
    side.connection.close()
    assert side.sent() == [WireFrame(TEXT, b"a", fin=False), WireFrame(CLOSE, close_body(1000))]
    with pytest.raises(side.ws.LocalProtocolError, match="CLOSING"):
        side.connection.send_continuation("b")


# Closing: the peer first (RFC 6455 section 5.5.1)


@pytest.mark.rule("R53", "1.1 close codes", "R57", "1.1 reply to a Close")
def test_receivable_codes(ws: Any, role: str) -> None:
    receivable = []
    kind = type(new(ws, role).connection)
    for code in [*range(5100), 9999, 65535]:
        side = Side(ws, kind.established())
        side.raw()
        events = side.receive(CLOSE, close_body(code))
        sent = side.sent()
        if ws.Close(code, "") in events:
            receivable.append(code)
            assert sent == [WireFrame(CLOSE, close_body(code))]
        else:
            side.failure(events)
            assert sent == [WireFrame(CLOSE, close_body(1002, "protocol error"))]
    assert receivable == VALID


@pytest.mark.rule("R57", "1.1 reply to a Close")
@pytest.mark.parametrize(
    ("payload", "code", "reason", "reply"),
    [
        (b"", None, "", 1000),
        (close_body(1000), 1000, "", 1000),
        (close_body(1001, "going"), 1001, "going", 1001),
        (close_body(4999, "é" * 61), 4999, "é" * 61, 4999),
    ],
)
def test_reply_carries_the_code_and_no_reason(
    side: Side, payload: bytes, code: int | None, reason: str, reply: int
) -> None:
    assert side.receive(CLOSE, payload)[0] == side.ws.Close(code, reason)
    assert side.sent() == [WireFrame(CLOSE, close_body(reply))]
    assert side.connection.close_received == side.ws.Close(code, reason)
    assert side.connection.close_sent == side.ws.Close(reply, "")
    assert side.connection.close_received_first is True


@pytest.mark.rule("R56")
def test_after_our_close_the_answer_is_not_answered(ws: Any, role: str) -> None:
    side = closing(ws, role)
    assert side.receive(CLOSE, close_body(1000, "same"))[0] == ws.Close(1000, "same")
    assert side.sent() == []
    assert side.connection.close_received == ws.Close(1000, "same")
    assert side.connection.close_received_first is False


@pytest.mark.rule("R60", "R62")
def test_what_follows_a_close_is_discarded_in_silence(side: Side) -> None:
    ws = side.ws
    events = side.feed(
        side.incoming(CLOSE, close_body(1000)) + side.incoming(PING, b"p") + b"\xff garbage"
    )
    assert events[0] == ws.Close(1000, "")
    assert len(events) == 2
    assert side.sent() == [WireFrame(CLOSE, close_body(1000))]
    assert side.receive(PING, b"p") == []
    assert side.sent() == []
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("R63", "1.1 failure")
@pytest.mark.parametrize("payload", [b"\x03", close_body(1005), close_body(1000, b"\xff")])
def test_broken_close_after_ours_is_answered_with_no_second_one(
    ws: Any, role: str, payload: bytes
) -> None:
    side = closing(ws, role)
    side.failure(side.receive(CLOSE, payload))
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("R16", "R54", "R64")
def test_broken_close_fails_the_connection_for_good(side: Side) -> None:
    error = side.failure(side.receive(CLOSE, b"\x03"))
    assert error.close_code == 1002
    assert side.connection.close_received is None
    assert side.sent() == [WireFrame(CLOSE, close_body(1002, "protocol error"))]


# Failing (RFC 6455 section 7.1.7)


@pytest.mark.rule("1.1 failure", "R87", "R89", "R63")
def test_failure_while_closing_sends_no_second_close(ws: Any, role: str) -> None:
    side = closing(ws, role)
    side.failure(side.receive(TEXT, b"\xff"))
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]
    assert side.connection.close_sent == ws.Close(1000, "")


@pytest.mark.rule("1.1 failure", "R89")
def test_failure_clears_every_timer_in_a_fixed_order(side: Side) -> None:
    side.timer("PING")
    side.raw()
    side.failure(side.receive(TEXT, rsv=1))
    assert side.outputs()[1:] == [
        side.clear_timer("PONG_TIMEOUT"),
        side.clear_timer("PING"),
        side.ws.CloseConnection(),
    ]


@pytest.mark.rule("1.1 failure", "R24")
def test_close_frame_of_a_failure_leaks_nothing(ws: Any) -> None:
    side = connected(ws, "server")
    side.feed(frame(TEXT, b"secret"))
    assert side.sent() == [WireFrame(CLOSE, close_body(1002, "protocol error"))]


@pytest.mark.rule("1.1 failure")
def test_error_of_a_failure_can_be_raised(side: Side) -> None:
    error = side.failure(side.receive(TEXT, b"\xff"))
    with pytest.raises(side.ws.InvalidUtf8):
        raise error


@pytest.mark.rule("1.1 failure", "R43", "R87", "R88")
def test_after_a_failure_sends_raise_and_input_is_ignored(side: Side) -> None:
    ws = side.ws
    side.receive(TEXT, rsv=1)
    side.raw()
    before = side.snapshot()
    for call in (
        lambda: side.connection.send_text("x"),
        lambda: side.connection.send_binary(b"x"),
        lambda: side.connection.send_continuation(b"x"),
        side.connection.send_ping,
        side.connection.send_pong,
        side.connection.close,
    ):
        with pytest.raises(ws.LocalProtocolError, match="CLOSED"):
            call()
    assert side.receive(CLOSE, close_body(1000)) == []
    assert side.eof() == []
    assert side.raw() == []
    assert side.snapshot() == before


@pytest.mark.rule("1.1 failure")
def test_failure_counts_from_the_poll_that_meets_it(side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(TEXT, rsv=1))
    assert side.state == "CONNECTED"
    side.connection.send_text("still")
    side.failure(side.events())
    assert [sent.opcode for sent in side.sent()] == [TEXT, CLOSE]


# The end of the stream (RFC 6455 section 7.1.5)


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_without_a_close_is_a_loss(side: Side) -> None:
    ws = side.ws
    error = side.failure(side.eof())
    assert type(error) is ws.ConnectionLost
    assert error.close_code == 1006
    assert (error.received, error.sent, error.during_handshake) == (None, None, False)
    # 1006 is never on the wire.
    assert side.raw() == [side.clear_timer("PING"), ws.CloseConnection()]


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_after_our_close_is_a_loss(ws: Any, role: str) -> None:
    side = closing(ws, role)
    error = side.failure(side.eof())
    assert (type(error), error.close_code) == (ws.ConnectionLost, 1006)
    assert error.sent == ws.Close(1000, "")
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_during_the_handshake_says_so(ws: Any, role: str) -> None:
    side = connecting(ws, role)
    error = side.failure(side.eof())
    assert (type(error), error.close_code) == (ws.ConnectionLost, 1006)
    assert error.during_handshake is True
    assert "handshake" in str(error)
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_takes_effect_behind_what_came_before(side: Side) -> None:
    ws = side.ws
    side.connection.feed_recv_buf(side.incoming(TEXT, b"last"))
    side.connection.feed_eof()
    side.connection.feed_eof()
    assert side.connection.poll_event() == ws.TextMessage("last")
    assert side.state == "CONNECTED"
    side.connection.send_text("answer")
    assert isinstance(side.failure(side.events()), ws.ConnectionLost)
    assert side.outputs()[0] == WireFrame(TEXT, b"answer")


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_inside_a_frame_or_a_message_is_a_loss(ws: Any, role: str) -> None:
    for data in (b"\x81", b"\x82\x05ab", b"\x01\x01a"):
        side = connected(ws, role)
        pieces = data if side.is_client else bytes([data[0], data[1] | 0x80] if data[1:] else data)
        side.feed(pieces)
        assert isinstance(side.failure(side.eof()), ws.ConnectionLost)
        assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("1.1 end of stream", "1.1 failure")
def test_violation_before_the_end_of_stream_is_what_counts(side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(TEXT, rsv=1))
    side.connection.feed_eof()
    assert type(side.failure(side.events())) is side.ws.RemoteProtocolError


def test_feeding_after_the_end_of_stream_is_a_fault(side: Side) -> None:
    side.connection.feed_eof()
    with pytest.raises(side.ws.LocalProtocolError, match="after feed_eof"):
        side.connection.feed_recv_buf(b"x")
    side.failure(side.events())
    side.connection.feed_recv_buf(b"x")


# The loop: feed, drain events, drain outputs (DESIGN.md, section 2)


def test_nothing_is_decoded_before_it_is_polled(side: Side) -> None:
    data = side.incoming(PING, b"x") * 3
    side.connection.feed_recv_buf(data)
    assert side.connection.recv_buffer_len == len(data)
    assert side.connection.send_buffer_len == 0
    side.connection.poll_event()
    assert side.connection.recv_buffer_len == len(data) * 2 // 3
    assert len(side.sent()) == 1


def test_effects_and_sends_happen_in_the_order_of_the_polls(side: Side) -> None:
    side.connection.feed_recv_buf(
        side.incoming(TEXT, b"1") + side.incoming(PING, b"2") + side.incoming(CLOSE, b"")
    )
    for event in side.connection.events():
        if isinstance(event, side.ws.TextMessage):
            side.connection.send_text("to 1")
        if isinstance(event, side.ws.Ping):
            side.connection.send_text("to 2")
    assert side.sent() == [
        WireFrame(TEXT, b"to 1"),
        WireFrame(PONG, b"2"),
        WireFrame(TEXT, b"to 2"),
        WireFrame(CLOSE, close_body(1000)),
    ]


@pytest.mark.parametrize("kind", [bytearray, memoryview], ids=["bytearray", "memoryview"])
def test_one_receive_buffer_serves_all_connections(ws: Any, role: str, kind: Any) -> None:
    buffer = bytearray(100)
    sides = [connected(ws, role) for _ in range(3)]
    for index, side in enumerate(sides):
        data = side.incoming(BINARY, bytes([index] * 50))
        buffer[: len(data)] = data
        side.connection.feed_recv_buf(kind(buffer)[: len(data)])
        buffer[:] = b"\xff" * 100
    for index, side in enumerate(sides):
        assert side.events() == [ws.BinaryMessage(bytes([index] * 50))]
    buffer.clear()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
def test_bytes_are_kept_by_reference(side: Side) -> None:
    data = bytes(100_000)
    before = sys.getrefcount(data)
    side.connection.feed_recv_buf(data)
    assert sys.getrefcount(data) == before + 1


def test_bytes_of_a_subclass_are_taken(side: Side) -> None:
    class Mine(bytes):
        pass

    assert side.feed(Mine(side.incoming(TEXT, b"x"))) == [side.ws.TextMessage("x")]


def test_empty_feed_is_nothing(side: Side) -> None:
    side.connection.feed_recv_buf(b"")
    side.connection.feed_recv_buf(bytearray())
    assert side.events() == []
    assert side.raw() == []


def test_chunks_fed_before_a_poll_are_one_stream(side: Side) -> None:
    data = side.incoming(TEXT, b"one") + side.incoming(BINARY, pattern(300))
    for index in range(len(data)):
        side.connection.feed_recv_buf(data[index : index + 1])
    assert side.connection.recv_buffer_len == len(data)
    assert side.events() == [side.ws.TextMessage("one"), side.ws.BinaryMessage(pattern(300))]
    assert side.connection.recv_buffer_len == 0


def test_feeding_after_closed_is_ignored(ws: Any, role: str) -> None:
    side = closed(ws, role)
    assert side.receive(TEXT, b"x") == []
    assert side.eof() == []
    assert side.connection.recv_buffer_len == 0
    assert side.raw() == []


def test_recv_buffer_len_counts_the_message_under_assembly(side: Side) -> None:
    side.receive(BINARY, bytes(1000), fin=False)
    assert side.connection.recv_buffer_len == 1000
    side.feed(side.incoming(CONTINUATION, bytes(500))[:-100])
    assert 1400 <= side.connection.recv_buffer_len <= 1420
    side.receive(TEXT, b"", rsv=1)
    assert side.eof()
    assert side.connection.recv_buffer_len == 0


def test_send_buffer_len_counts_what_is_not_polled(side: Side) -> None:
    head = 6 if side.is_client else 2
    side.connection.send_text("12345")
    side.connection.send_ping(b"123")
    assert side.connection.send_buffer_len == 2 * head + 8
    side.connection.send_binary(bytes(100_000))
    total = side.connection.send_buffer_len
    sizes = [
        len(output.data)
        for output in side.connection.outputs()
        if isinstance(output, side.ws.SendData)
    ]
    assert sum(sizes) == total
    assert side.connection.send_buffer_len == 0


def test_send_buffer_len_goes_down_with_each_poll(side: Side) -> None:
    for _ in range(5):
        side.connection.send_binary(bytes(20_000))
    left = side.connection.send_buffer_len
    while left:
        left -= len(side.connection.poll_output().data)
        assert side.connection.send_buffer_len == left


ENDS = {
    "in peace": (closed, b""),
    "still standing": (connected, b""),
    "unpolled": (connected, b"\x81"),
    "broken frame": (connected, b"\xc1\x80"),
    "broken Close": (connected, b"\x88\x01\x03"),
    "broken close reason": (connected, b"\x88\x03\x03\xe8\xff"),
    "no HTTP": (connecting, b"\x00"),
    "no handshake": (connecting, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    "broken 101": (connecting, response(changes={"Upgrade": None})),
    "broken request": (connecting, request(changes={"Upgrade": None})),
}


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
@pytest.mark.parametrize("end", ENDS)
def test_connections_end_without_a_cycle(ws: Any, role: str, end: str) -> None:
    make, data = ENDS[end]
    gc.disable()
    try:
        side = make(ws, role)
        if make is connected and not side.is_client and len(data) > 1:
            data = bytes([data[0], data[1] | 0x80]) + bytes(4) + data[2:]
        # The events are kept, as they are in a loop that has not gone on yet.
        events = side.feed(data)
        if side.state == "CONNECTING" and not side.is_client:
            side.connection.accept_handshake_auto()
            events += side.events()
        side.eof()
        gone = weakref.ref(side.connection)
        del side, events
        assert gone() is None
    finally:
        gc.enable()


# A handshake done elsewhere


def test_established_connection_begins_connected(ws: Any, role: str) -> None:
    kind = type(new(ws, role).connection)
    side = Side(ws, kind.established(protocol="chat", extensions=["x-foo; a=1"]))
    assert side.state == "CONNECTED"
    assert side.connection.protocol == "chat"
    assert side.connection.extensions == ("x-foo; a=1",)
    assert side.events() == [
        side.state_changed("CONNECTED"),
        ws.Connected("chat", ("x-foo; a=1",)),
    ]
    assert side.raw() == [side.set_timer("PING", 30.0)]
    assert side.receive(TEXT, b"x") == [ws.TextMessage("x")]
    side.connection.send_text("y")
    assert side.sent() == [WireFrame(TEXT, b"y")]


def test_established_connection_takes_its_options(ws: Any, role: str) -> None:
    kind = type(new(ws, role).connection)
    options_of = ws.ClientConnectionOptions if role == "client" else ws.ServerConnectionOptions
    side = Side(ws, kind.established(options_of(ping_interval=None, max_message_size=1)))
    assert side.raw() == []
    assert side.events()[1] == ws.Connected(None, ())
    assert side.failure(side.receive(TEXT, b"ab")).close_code == 1009


@pytest.mark.parametrize("element", ["a b", "x;", "permessage-deflate; unknown"])
def test_established_connection_refuses_extensions_it_cannot_serve(
    ws: Any, role: str, element: str
) -> None:
    kind = type(new(ws, role).connection)
    with pytest.raises(ws.LocalProtocolError, match="extension"):
        kind.established(extensions=[element])


# Properties

payloads = st.binary(max_size=300) | st.integers(0, 70_000).map(pattern)
texts = st.text(max_size=200)
cuts = st.lists(st.integers(0, 5000), max_size=20)
controls = st.tuples(st.sampled_from(["ping", "pong"]), st.binary(max_size=125))
messages = st.tuples(st.just("text"), st.lists(texts, min_size=1, max_size=4)) | st.tuples(
    st.just("binary"), st.lists(payloads, min_size=1, max_size=4)
)


def perform(sender: Side, script: list[Any], between: list[Any]) -> list[Any]:
    """Send all messages, with control frames between their fragments; return the events due."""
    ws = sender.ws
    connection = sender.connection
    waiting = iter(between)
    expected: list[Any] = []

    def control() -> None:
        for kind, payload in waiting:
            if kind == "ping":
                connection.send_ping(payload)
                expected.append(ws.Ping(payload))
            else:
                connection.send_pong(payload)
                expected.append(ws.Pong(payload, None))
            return

    for kind, pieces in script:
        begin = connection.send_text if kind == "text" else connection.send_binary
        begin(pieces[0], final=len(pieces) == 1)
        for index, piece in enumerate(pieces[1:], 2):
            control()
            connection.send_continuation(piece, final=index == len(pieces))
        if kind == "text":
            expected.append(ws.TextMessage("".join(pieces)))
        else:
            expected.append(ws.BinaryMessage(b"".join(pieces)))
        control()
    return expected


def pump(sender: Side, receiver: Side, places: list[int]) -> list[Any]:
    """Bring what one side sends to the other, cut at these places; return the events."""
    data = b"".join(output for output in sender.raw() if isinstance(output, bytes))
    return receiver.feed(*cut(data, places))


@given(st.lists(messages, max_size=5), st.lists(controls, max_size=8), cuts, st.booleans())
@pytest.mark.rule("R6", "R7", "R8", "R30", "R31", "R32", "R40")
def test_what_one_side_sends_the_other_receives(
    ws: Any, script: list[Any], between: list[Any], places: list[int], from_client: bool
) -> None:
    client = Side(ws, ws.WebSocketClientConnection.established())
    server = Side(ws, ws.WebSocketServerConnection.established())
    for side in (client, server):
        side.events()
        side.raw()
    sender, receiver = (client, server) if from_client else (server, client)
    expected = perform(sender, script, between)
    assert pump(sender, receiver, places) == expected
    # What came is sent back, and arrives as it was.
    answers = [event for event in expected if isinstance(event, (ws.TextMessage, ws.BinaryMessage))]
    pongs = [event.payload for event in expected if isinstance(event, ws.Ping)]
    for answer in answers:
        if isinstance(answer, ws.TextMessage):
            receiver.connection.send_text(answer.text)
        else:
            receiver.connection.send_binary(answer.data)
    back = pump(receiver, sender, places)
    assert [event.payload for event in back if isinstance(event, ws.Pong)] == pongs
    assert [event for event in back if not isinstance(event, ws.Pong)] == answers
    # Both ways to close.
    sender.connection.close(4321, "done")
    assert pump(sender, receiver, places)[0] == ws.Close(4321, "done")
    assert ws.Close(4321, "") in pump(receiver, sender, places)
    client.eof()
    assert (client.state, server.state) == ("CLOSED", "CLOSED")


hostile_frames = st.builds(
    frame,
    st.sampled_from([0, 0, 1, 1, 2, 2, 8, 9, 9, 10, 10, 3, 11]),
    st.binary(max_size=10)
    | texts.map(str.encode)
    | st.sampled_from([b"\x03\xe8", b"\xff", b"\xc3"]),
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([0] * 9 + [1, 2, 4]),
    key=st.sampled_from([KEY] * 9 + [None]),
)
hostile = st.lists(hostile_frames, max_size=8).map(b"".join) | st.binary(max_size=60)


def outcome(ws: Any, role: str, pieces: list[bytes]) -> tuple[Any, ...]:
    side = connected(ws, role, max_message_size=150, max_fragments=4)
    events = side.feed(*pieces)
    return events, side.raw(), side.snapshot(), side.eof(), side.raw(), side.snapshot()


def directed(role: str, data: bytes) -> bytes:
    """Clear the bits that say "masked" for a client, where the frames are well-formed."""
    if role == "server":
        return data
    try:
        return b"".join(
            frame(read.opcode, read.payload, fin=read.fin, rsv=read.rsv, key=None)
            for read in read_frames(data)
        )
    except (AssertionError, ValueError):
        return data


@given(hostile, cuts)
@pytest.mark.rule("R7", "R18")
def test_where_the_bytes_were_cut_changes_nothing(
    ws: Any, role: str, data: bytes, places: list[int]
) -> None:
    data = directed(role, data)
    whole = outcome(ws, role, [data])
    assert outcome(ws, role, list(cut(data, places))) == whole
    assert outcome(ws, role, [data[i : i + 1] for i in range(len(data))]) == whole


@given(hostile)
@pytest.mark.rule("R76", "1.1 failure")
def test_closed_is_the_last_event_after_at_most_one_close_or_failure(
    ws: Any, role: str, data: bytes
) -> None:
    events, outputs, _, last_events, last_outputs, _ = outcome(ws, role, [directed(role, data)])
    events += last_events
    outputs += last_outputs
    final = ws.StateChanged(ws.ConnectionState.CLOSED)
    assert events[-1] == final
    assert events.count(final) == 1
    ends = [event for event in events if isinstance(event, (ws.Close, ws.Failed))]
    assert len(ends) == 1
    assert outputs[-1] == ws.CloseConnection()
    assert outputs.count(ws.CloseConnection()) == 1
    frames = read_frames(b"".join(output for output in outputs if isinstance(output, bytes)))
    closes = [sent for sent in frames if sent.opcode == CLOSE]
    assert closes == [sent for sent in frames[-1:] if sent.opcode == CLOSE]
    # Every timer that was set is cleared, none that was not.
    armed = {ws.TimerId.PING}
    for output in outputs:
        if isinstance(output, ws.SetTimer):
            armed.add(output.timer_id)
        elif isinstance(output, ws.ClearTimer):
            armed.remove(output.timer_id)
    assert not armed


@given(st.text(max_size=130))
@pytest.mark.rule("R48")
def test_reasons_are_sent_whole_or_refused(ws: Any, reason: str) -> None:
    side = Side(ws, ws.WebSocketServerConnection.established())
    side.raw()
    if len(reason.encode()) <= 123:
        side.connection.close(1000, reason)
        assert side.sent() == [WireFrame(CLOSE, close_body(1000, reason))]
    else:
        with pytest.raises(ws.LocalProtocolError):
            side.connection.close(1000, reason)
        assert side.raw() == []


@given(st.binary(max_size=2000), st.binary(min_size=4, max_size=4))
@pytest.mark.rule("R3", "R17")
def test_masking_is_the_xor_of_the_rfc(ws: Any, data: bytes, key: bytes) -> None:
    side = Side(ws, ws.WebSocketServerConnection.established())
    side.events()
    head = frame(BINARY, data, key=key)[: -len(data) or None]
    assert side.feed(head + xor(data, key)) == [ws.BinaryMessage(data)]


def test_requests_of_the_helpers_are_those_of_the_rfc() -> None:
    assert request().startswith(b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\n")
    assert response().endswith(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")

"""Data that comes piece by piece, as far as it has arrived."""

from __future__ import annotations

import gc
import random
import sys
import zlib
from typing import Any

import pytest
from engines import RSV1, Peer, agreed, raw
from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Side,
    close_body,
    connected,
    cut,
)
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024 * 1024
CHARACTERS = "aé€😀"
"""One of each length in UTF-8."""


@pytest.fixture(scope="module", params=["client", "server"])
def role(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def side(ws: Any, role: str) -> Side:
    return streaming(ws, role)


def streaming(ws: Any, role: str, **options: Any) -> Side:
    """Make a connection that streams, with compression agreed."""
    side = agreed(ws, role, **options)
    side.connection.streaming = True
    return side


def read(ws: Any, events: list[Any]) -> list[Any]:
    """Put the fragments together again, strictly; return the messages and other events."""
    read: list[Any] = []
    pieces: list[Any] | None = None
    kind = None
    for event in events:
        if not isinstance(event, (ws.TextFragment, ws.BinaryFragment)):
            assert not isinstance(event, (ws.TextMessage, ws.BinaryMessage))
            read.append(event)
            continue
        if pieces is None:
            pieces, kind = [], type(event)
        assert type(event) is kind
        text = isinstance(event, ws.TextFragment)
        piece = event.text if text else event.data
        assert type(piece) is (str if text else bytes)
        assert type(event.final) is bool
        assert piece or event.final, "a fragment tells nothing"
        pieces.append(piece)
        if event.final:
            message = "".join(pieces) if text else b"".join(pieces)
            read.append(ws.TextMessage(message) if text else ws.BinaryMessage(message))
            pieces = None
    assert pieces is None, "a message is unfinished"
    return read


# One message


def test_off_by_default(ws: Any, role: str) -> None:
    side = connected(ws, role)
    assert side.connection.streaming is False
    side.connection.streaming = 1
    assert side.connection.streaming is True


@pytest.mark.rule("1.2 streaming")
def test_message_that_has_come_whole_is_one_final_fragment(ws: Any, side: Side) -> None:
    assert side.receive(TEXT, b"Hello") == [ws.TextFragment("Hello", True)]
    assert side.receive(BINARY, b"Hello") == [ws.BinaryFragment(b"Hello", True)]
    assert side.receive(TEXT, b"") == [ws.TextFragment("", True)]
    assert side.receive(BINARY, b"") == [ws.BinaryFragment(b"", True)]
    large = b"x" * 70_000
    assert side.receive(BINARY, large) == [ws.BinaryFragment(large, True)]


@pytest.mark.rule("1.2 streaming")
def test_data_comes_as_far_as_it_has_arrived(ws: Any, side: Side) -> None:
    data = side.incoming(BINARY, b"0123456789")
    begin = len(data) - 10
    assert side.feed(data[: begin + 3]) == [ws.BinaryFragment(b"012", False)]
    assert side.connection.recv_buffer_len == 0
    assert side.feed(data[begin + 3 : begin + 9]) == [ws.BinaryFragment(b"345678", False)]
    assert side.feed(data[begin + 9 :]) == [ws.BinaryFragment(b"9", True)]


@pytest.mark.rule("1.2 streaming")
def test_fragments_of_the_wire(ws: Any, side: Side) -> None:
    assert side.receive(TEXT, b"ab", fin=False) == [ws.TextFragment("ab", False)]
    assert side.receive(CONTINUATION, b"", fin=False) == []
    assert side.receive(PING, b"1") == [ws.Ping(b"1")]
    assert side.receive(CONTINUATION, b"c", fin=False) == [ws.TextFragment("c", False)]
    assert side.receive(CONTINUATION, b"") == [ws.TextFragment("", True)]
    # Several in one read.
    data = side.incoming(BINARY, b"1", fin=False) + side.incoming(CONTINUATION, b"2")
    assert (
        side.feed(data * 2)
        == [
            ws.BinaryFragment(b"1", False),
            ws.BinaryFragment(b"2", True),
        ]
        * 2
    )


@pytest.mark.rule("1.2 streaming")
@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 131072, 300_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_compressed_message_in_one_frame(ws: Any, side: Side, opcode: int, size: int) -> None:
    kind = ws.TextMessage if opcode == TEXT else ws.BinaryMessage
    message = "a" * size if opcode == TEXT else b"a" * size
    for _ in range(2):
        events = side.receive(opcode, raw(b"a" * size), rsv=RSV1)
        assert read(ws, events) == [kind(message)]
        # However much a few octets give, no event is large.
        for event in events:
            assert len(event.text if opcode == TEXT else event.data) <= 65536
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("1.2 streaming")
def test_compressed_message_comes_as_far_as_it_has_arrived(ws: Any, side: Side) -> None:
    peer = Peer()
    first = side.receive(TEXT, peer.begin(b"first "), fin=False, rsv=RSV1)
    assert first == [ws.TextFragment("first ", False)]
    data = side.incoming(CONTINUATION, peer.begin(b"second ") + peer.compress(b"third"))
    events = side.feed_bytes(data)
    assert [event.final for event in events] == [False] * (len(events) - 1) + [True]
    assert "".join(event.text for event in events) == "second third"


@pytest.mark.rule("1.2 streaming")
def test_nothing_more_is_inflated_than_is_polled(ws: Any, side: Side) -> None:
    payload = raw(bytes(1_000_000))
    side.connection.feed_recv_buf(side.incoming(BINARY, payload, rsv=RSV1))
    assert side.connection.poll_event() == ws.BinaryFragment(bytes(65536), False)
    held = side.connection.recv_buffer_len
    assert 0 < held <= len(payload)
    assert side.connection.poll_event() == ws.BinaryFragment(bytes(65536), False)
    events = side.events()
    assert sum(len(event.data) for event in events) == 1_000_000 - 2 * 65536
    assert side.connection.recv_buffer_len == 0


# Characters


@pytest.mark.rule("1.2 streaming", "R40")
@pytest.mark.parametrize("compressed", [False, True])
def test_character_is_never_split(ws: Any, side: Side, compressed: bool) -> None:
    payload = CHARACTERS.encode()
    for fragmented in (False, True):
        for place in range(len(payload) + 1):
            pieces = [payload[:place], payload[place:]] if fragmented else [payload]
            peer = Peer()
            last = len(pieces) - 1
            data = b""
            for number, piece in enumerate(pieces):
                compress = peer.compress if number == last else peer.begin
                data += side.incoming(
                    CONTINUATION if number else TEXT,
                    compress(piece) if compressed else piece,
                    fin=number == last,
                    rsv=RSV1 if compressed and not number else 0,
                )
            for events in (side.feed_bytes(data), side.feed(data)):
                assert read(ws, events) == [ws.TextMessage(CHARACTERS)]


@pytest.mark.rule("1.2 streaming")
def test_character_waits_until_it_is_whole(ws: Any, side: Side) -> None:
    assert side.receive(TEXT, b"a\xf0", fin=False) == [ws.TextFragment("a", False)]
    assert side.receive(CONTINUATION, b"\x9f\x98", fin=False) == []
    assert side.receive(CONTINUATION, b"\x80b\xc3", fin=False) == [ws.TextFragment("😀b", False)]
    assert side.receive(CONTINUATION, b"\xa9") == [ws.TextFragment("é", True)]


@pytest.mark.rule("1.2 UTF-8", "1.2 streaming")
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("wrong", [b"\xff", b"\xc3.", b"\xed\xa0", b"\xf4\x90", b"\xe2\x82"])
def test_wrong_octet_fails_the_connection(
    ws: Any, side: Side, wrong: bytes, compressed: bool
) -> None:
    peer = Peer()
    pieces = [peer.begin(b"good "), peer.compress(wrong)] if compressed else [b"good ", wrong]
    events = side.receive(TEXT, pieces[0], fin=False, rsv=RSV1 * compressed)
    assert events == [ws.TextFragment("good ", False)]
    error = side.failure(side.receive(CONTINUATION, pieces[1]))
    assert isinstance(error, ws.InvalidUtf8)
    assert f"{wrong[0]:#04x} at byte 5" in str(error)
    assert [sent.payload for sent in side.sent()] == [close_body(1007, "invalid payload data")]


@pytest.mark.rule("1.2 UTF-8")
def test_what_came_before_the_wrong_octet_in_one_read_need_not_come(ws: Any, side: Side) -> None:
    error = side.failure(side.receive(TEXT, b"good \xff"))
    assert "0xff at byte 5" in str(error)


# Switching


@pytest.mark.rule("1.2 streaming")
@pytest.mark.parametrize("compressed", [False, True])
def test_switch_holds_from_the_next_message_on(ws: Any, role: str, compressed: bool) -> None:
    side = agreed(ws, role)
    peer = Peer()

    def begin(data: bytes) -> list[Any]:
        payload = peer.begin(data) if compressed else data
        return side.receive(BINARY, payload, fin=False, rsv=RSV1 * compressed)

    def end(data: bytes) -> list[Any]:
        return side.receive(CONTINUATION, peer.compress(data) if compressed else data)

    assert begin(b"1") == []
    side.connection.streaming = True
    assert end(b"2") == [ws.BinaryMessage(b"12")]
    assert begin(b"3") == [ws.BinaryFragment(b"3", False)]
    side.connection.streaming = False
    assert read(ws, [ws.BinaryFragment(b"3", False), *end(b"4")]) == [ws.BinaryMessage(b"34")]
    assert begin(b"5") == []
    assert end(b"6") == [ws.BinaryMessage(b"56")]


@pytest.mark.rule("1.2 streaming")
def test_switch_between_polls_of_one_read(ws: Any, role: str) -> None:
    side = connected(ws, role)
    connection = side.connection
    connection.feed_recv_buf(side.incoming(TEXT, b"a") * 4)
    assert connection.poll_event() == ws.TextMessage("a")
    connection.streaming = True
    assert connection.poll_event() == ws.TextFragment("a", True)
    connection.streaming = False
    assert connection.poll_event() == ws.TextMessage("a")
    connection.streaming = True
    assert connection.poll_event() == ws.TextFragment("a", True)
    assert connection.poll_event() is None


def test_switch_in_the_middle_of_what_is_inflated(ws: Any, side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(BINARY, raw(bytes(200_000)), rsv=RSV1) * 2)
    first = side.connection.poll_event()
    side.connection.streaming = False
    *rest, last = side.events()
    assert read(ws, [first, *rest]) == [ws.BinaryMessage(bytes(200_000))]
    assert last == ws.BinaryMessage(bytes(200_000))


# Limits


@pytest.mark.rule("1.2 streaming", "1.2 message limits")
@pytest.mark.parametrize("compressed", [False, True])
def test_limits_count_the_whole_message(ws: Any, role: str, compressed: bool) -> None:
    for extra in (0, 1):
        side = streaming(ws, role, max_message_size=100)
        peer = Peer()
        pieces = [bytes(60), bytes(40 + extra)]
        if compressed:
            pieces = [peer.begin(pieces[0]), peer.compress(pieces[1])]
        first = side.receive(BINARY, pieces[0], fin=False, rsv=RSV1 * compressed)
        assert first == [ws.BinaryFragment(bytes(60), False)]
        rest = side.receive(CONTINUATION, pieces[1])
        if extra:
            assert side.failure(rest).close_code == 1009
        else:
            assert read(ws, first + rest) == [ws.BinaryMessage(bytes(100))]
            # And the next message begins at nothing.
            assert side.receive(BINARY, bytes(100)) == [ws.BinaryFragment(bytes(100), True)]


@pytest.mark.rule("1.2 streaming", "1.2 message limits")
def test_compressed_message_far_beyond_the_limit(ws: Any, role: str) -> None:
    side = streaming(ws, role, max_decompressed_size=200_000)
    events = side.receive(BINARY, raw(bytes(10_000_000)), rsv=RSV1)
    error = side.failure(events)
    assert error.close_code == 1009
    assert "max_decompressed_size" in str(error)
    assert sum(len(event.data) for event in events[:-2]) <= 200_000


@pytest.mark.rule("1.2 streaming", "1.2 fragments")
def test_fragments_on_the_wire_are_counted(ws: Any, role: str) -> None:
    side = streaming(ws, role, max_fragments=3)
    side.receive(TEXT, b"a", fin=False)
    side.receive(CONTINUATION, b"a", fin=False)
    assert side.receive(CONTINUATION, b"a") == [ws.TextFragment("a", True)]
    side.receive(TEXT, b"a", fin=False)
    side.receive(CONTINUATION, fin=False)
    side.receive(CONTINUATION, fin=False)
    error = side.failure(side.receive(CONTINUATION))
    assert error.close_code == 1008


# The end


@pytest.mark.rule("R36")
def test_close_inside_a_message(ws: Any, side: Side) -> None:
    assert side.receive(TEXT, b"a", fin=False) == [ws.TextFragment("a", False)]
    assert side.receive(CLOSE, close_body(1000))[0] == ws.Close(1000, "")
    side.eof()
    assert side.state == "CLOSED"


@pytest.mark.rule("1.1 end of stream")
@pytest.mark.parametrize("compressed", [False, True])
def test_end_of_stream_comes_after_all_that_arrived(ws: Any, side: Side, compressed: bool) -> None:
    payload = raw(bytes(300_000)) if compressed else bytes(300_000)
    side.connection.feed_recv_buf(side.incoming(BINARY, payload, rsv=RSV1 * compressed))
    side.connection.feed_eof()
    events = side.events()
    assert isinstance(side.failure(events), ws.ConnectionLost)
    assert read(ws, events[:-2]) == [ws.BinaryMessage(bytes(300_000))]


@pytest.mark.rule("1.1 end of stream")
def test_end_of_stream_inside_a_message(ws: Any, side: Side) -> None:
    data = side.incoming(BINARY, raw(bytes(300_000)), rsv=RSV1)
    side.connection.feed_recv_buf(data[:-10])
    side.connection.feed_eof()
    events = side.events()
    assert isinstance(side.failure(events), ws.ConnectionLost)
    assert not any(event.final for event in events[:-2])
    assert sum(len(event.data) for event in events[:-2]) > 200_000


@pytest.mark.rule("1.1 pong timeout")
def test_what_is_not_inflated_yet_is_input_not_polled(ws: Any, side: Side) -> None:
    connection = side.connection
    connection.send_ping()
    side.raw()
    connection.feed_recv_buf(side.incoming(BINARY, raw(bytes(300_000)), rsv=RSV1))
    connection.poll_event()
    connection.handle_timer(ws.TimerId.PONG_TIMEOUT)
    assert side.raw() == [side.set_timer("PONG_TIMEOUT", 10.0)]
    side.events()
    assert side.failure(side.timer("PONG_TIMEOUT")).close_code == 1008


def test_calls_between_the_fragments(ws: Any, side: Side) -> None:
    connection = side.connection
    connection.feed_recv_buf(side.incoming(BINARY, raw(bytes(300_000)), rsv=RSV1))
    connection.feed_recv_buf(side.incoming(PING, b"1"))
    received = []
    for event in connection.events():
        if isinstance(event, ws.BinaryFragment):
            connection.send_binary(event.data, final=False) if not received else None
            received.append(event)
    connection.send_continuation(b"end")
    assert read(ws, received) == [ws.BinaryMessage(bytes(300_000))]
    frames = side.sent()
    # The Pong goes out when the Ping is polled, inside our own message.
    assert [sent.opcode for sent in frames] == [BINARY, 0xA, CONTINUATION]


def test_close_of_ours_between_the_fragments(ws: Any, side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(BINARY, raw(bytes(300_000)), rsv=RSV1))
    first = side.connection.poll_event()
    side.connection.close()
    events = side.events()
    events.remove(side.state_changed("CLOSING"))
    assert read(ws, [first, *events]) == [ws.BinaryMessage(bytes(300_000))]


@pytest.mark.rule("1.1 close timeout")
def test_failure_between_the_fragments_is_the_end(ws: Any, side: Side) -> None:
    side.connection.feed_recv_buf(side.incoming(BINARY, raw(bytes(300_000)), rsv=RSV1))
    side.connection.poll_event()
    side.connection.close()
    side.connection.handle_timer(ws.TimerId.CLOSE_TIMEOUT)
    events = side.events()
    assert events[-1] == side.state_changed("CLOSED")
    assert isinstance(events[-2], ws.Failed)
    assert side.connection.recv_buffer_len == 0


# Properties

texts = st.text(max_size=60) | st.text(alphabet=CHARACTERS, max_size=60)
datas = st.binary(max_size=200) | st.integers(0, 200_000).map(bytes)
messages = st.tuples(
    st.lists(texts, min_size=1, max_size=3) | st.lists(datas, min_size=1, max_size=3),
    st.booleans(),
)
cuts = st.lists(st.integers(0, 3000), max_size=15)


def wire(ws: Any, side: Side, pieces: list[Any], compress: bool, peer: Peer) -> tuple[bytes, Any]:
    """Return a message as the peer sends it, with a Ping before its end, and what it must give."""
    payloads = [piece.encode() if isinstance(piece, str) else piece for piece in pieces]
    last = len(payloads) - 1
    text = isinstance(pieces[0], str)
    data = b""
    for number, payload in enumerate(payloads):
        encode = peer.compress if number == last else peer.begin
        if number and number == last:
            data += side.incoming(PING, b"between")
        data += side.incoming(
            CONTINUATION if number else TEXT if text else BINARY,
            encode(payload) if compress else payload,
            fin=number == last,
            rsv=RSV1 if compress and not number else 0,
        )
    joined = b"".join(payloads)
    return data, ws.TextMessage(joined.decode()) if text else ws.BinaryMessage(joined)


@given(st.lists(messages, max_size=5), cuts, st.booleans())
@pytest.mark.rule("1.2 streaming", "R7", "R8", "R31", "R40")
def test_any_messages_in_any_cuts(
    ws: Any, role: str, script: list[Any], places: list[int], bytewise: bool
) -> None:
    side = streaming(ws, role)
    peer = Peer()
    stream = b""
    expected = []
    for pieces, compress in script:
        data, message = wire(ws, side, pieces, compress, peer)
        stream += data
        expected.append(message)
    bytewise = bytewise and len(stream) < 3000
    events = side.feed_bytes(stream) if bytewise else side.feed(*cut(stream, places))
    pings = [event for event in events if isinstance(event, ws.Ping)]
    assert read(ws, [event for event in events if event not in pings]) == expected
    assert len(pings) == sum(len(pieces) > 1 for pieces, _ in script)
    assert side.connection.recv_buffer_len == 0


@given(st.lists(messages, max_size=4), cuts, st.integers(0, 20), st.booleans(), st.booleans())
@pytest.mark.rule("1.2 streaming")
def test_streamed_or_not_the_content_is_the_same(
    ws: Any, role: str, script: list[Any], places: list[int], damage: int, damaged: bool, eof: bool
) -> None:
    """A damaged stream gives the same messages before it fails, and fails in the same way."""
    outcomes = []
    for stream_it in (False, True):
        side = agreed(ws, role)
        side.connection.streaming = stream_it
        peer = Peer()
        stream = b"".join(wire(ws, side, pieces, compress, peer)[0] for pieces, compress in script)
        if damaged and stream:
            place = damage % len(stream)
            stream = stream[:place] + bytes([stream[place] ^ 0x55]) + stream[place + 1 :]
        events = side.feed(*cut(stream, places))
        if eof and side.state == "CONNECTED":
            events += side.eof()
        ended = None
        if events and side.state == "CLOSED":
            failures = [event for event in events if isinstance(event, ws.Failed)]
            ended = failures[0].error.close_code if failures else "closed"
        whole = []
        text: list[Any] = []
        for event in events:
            if isinstance(event, (ws.TextFragment, ws.BinaryFragment)):
                text.append(event.text if isinstance(event, ws.TextFragment) else event.data)
                if event.final:
                    whole.append(text[0][:0].join(text))
                    text = []
            elif isinstance(event, ws.TextMessage):
                whole.append(event.text)
            elif isinstance(event, ws.BinaryMessage):
                whole.append(event.data)
        outcomes.append((whole, ended, side.state, [sent.opcode for sent in side.sent()]))
    assert outcomes[0] == outcomes[1]


# Memory

SIZE = 1024 * MIB
CHUNK = 64 * 1024


def unlimited(ws: Any, role: str, compressed: bool) -> Side:
    limits = dict.fromkeys(("max_message_size", "max_decompressed_size", "max_fragments"))
    options: dict[str, Any] = {**limits, "max_frame_size": None}
    # The lowest level, for the sake of time.
    side = (
        agreed(ws, role, deflate={"level": 1}, **options)
        if compressed
        else connected(ws, role, **options)
    )
    side.connection.streaming = True
    return side


@pytest.fixture
def traced() -> Any:
    tracemalloc = pytest.importorskip("tracemalloc", reason="measures with tracemalloc")
    gc.collect()
    tracemalloc.start()
    yield tracemalloc
    tracemalloc.stop()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="tracemalloc is CPython's")
@pytest.mark.rule("1.2 streaming")
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message_of_any_size_is_sent_and_received_in_little_memory(
    ws: Any, role: str, opcode: int, compressed: bool, traced: Any
) -> None:
    """A fragmented message goes from this side to the other one, chunk by chunk."""
    receiver_role = "server" if role == "client" else "client"
    sender, receiver = unlimited(ws, role, compressed), unlimited(ws, receiver_role, compressed)
    chunk = bytes(CHUNK) if opcode == BINARY else "x" * CHUNK
    begin = sender.connection.send_text if opcode == TEXT else sender.connection.send_binary
    base = traced.get_traced_memory()[0]
    traced.reset_peak()
    received = 0
    final = False
    for number in range(SIZE // CHUNK):
        if number == 0:
            begin(chunk, final=False)
        else:
            sender.connection.send_continuation(chunk, final=number == SIZE // CHUNK - 1)
        for output in sender.connection.outputs():
            receiver.connection.feed_recv_buf(output.data)
            for event in receiver.connection.events():
                assert not final
                received += len(event.text if opcode == TEXT else event.data)
                final = event.final
    assert (received, final) == (SIZE, True)
    assert traced.get_traced_memory()[1] - base < 4 * MIB


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="tracemalloc is CPython's")
@pytest.mark.rule("1.2 streaming")
@pytest.mark.parametrize("compressed", [False, True])
def test_frame_of_any_size_is_received_in_little_memory(
    ws: Any, role: str, compressed: bool, traced: Any
) -> None:
    """A message of one frame comes in chunks of 64 KiB."""
    side = unlimited(ws, role, compressed)
    chunk = bytes(CHUNK)
    times = SIZE // CHUNK
    last = b""
    if compressed:
        # A mebibyte that refers to nothing before it can be repeated.
        compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
        unit = compressor.compress(bytes(MIB)) + compressor.flush(zlib.Z_FULL_FLUSH)
        each = CHUNK // len(unit)
        times, rest = divmod(SIZE // MIB, each)
        chunk = unit * each
        last = unit * rest + b"\x00"
    length = len(chunk) * times + len(last)
    first = 0x80 | BINARY | RSV1 << 4 if compressed else 0x80 | BINARY
    masked = 0 if side.is_client else 0x80
    # A masking key of nought masks nothing.
    head = bytes([first, masked | 127]) + length.to_bytes(8, "big") + bytes(4 if masked else 0)
    base = traced.get_traced_memory()[0]
    traced.reset_peak()
    received = 0
    finals = 0
    for number in range(times + 2):
        side.connection.feed_recv_buf(head if number == 0 else chunk if number <= times else last)
        for event in side.connection.events():
            received += len(event.data)
            finals += event.final
    assert (received, finals) == (SIZE, 1)
    assert traced.get_traced_memory()[1] - base < 4 * MIB


@pytest.mark.rule("1.2 streaming")
def test_random_data_in_random_cuts(ws: Any, role: str) -> None:
    rng = random.Random(11)
    side = streaming(ws, role)
    peer = Peer()
    message = rng.getrandbits(8 * 500_000).to_bytes(500_000, "big")
    for _ in range(2):
        data = side.incoming(BINARY, peer.compress(message), rsv=RSV1)
        events = side.feed(*cut(data, [rng.randrange(len(data)) for _ in range(100)]))
        assert read(ws, events) == [ws.BinaryMessage(message)]

"""Messages encoded once for many connections."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from engines import RSV1, Counting, Peer, agreed, counted, established, raw
from helpers import (
    BINARY,
    IN_STATE,
    TEXT,
    CountingRandom,
    Side,
    WireFrame,
    connected,
    read_frames,
)
from hypothesis import given
from hypothesis import strategies as st

DEFLATE = "permessage-deflate"
LONG = b"what is sent to all of them, and longer than the threshold of 64 bytes" * 2

AGREEMENTS = [
    None,
    DEFLATE,
    f"{DEFLATE}; server_max_window_bits=9; client_max_window_bits=9",
    f"{DEFLATE}; server_max_window_bits=10; client_max_window_bits=10",
    f"{DEFLATE}; server_max_window_bits=15; client_max_window_bits=15",
    f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover",
    (
        f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover;"
        " server_max_window_bits=9; client_max_window_bits=9"
    ),
]


@pytest.fixture(scope="module", params=["client", "server"])
def role(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def engine(ws: Any) -> Iterator[Counting]:
    with counted(ws) as engine:
        yield engine


def make(ws: Any, role: str, agreement: str | None, **options: Any) -> Side:
    extensions = () if agreement is None else (agreement,)
    return established(ws, role, *extensions, random=CountingRandom(), **options)


def noise(size: int) -> bytes:
    return random.Random(size).getrandbits(8 * size).to_bytes(size, "big")


# Contents


@pytest.mark.parametrize(
    ("content", "opcode", "payload"),
    [
        ("", TEXT, b""),
        ("text: €", TEXT, "text: €".encode()),
        ("x" * 70_000, TEXT, b"x" * 70_000),
        (b"", BINARY, b""),
        (b"\x00\xff", BINARY, b"\x00\xff"),
        (bytearray(b"abc"), BINARY, b"abc"),
        (memoryview(b"abcdef")[1:3], BINARY, b"bc"),
        (bytes(70_000), BINARY, bytes(70_000)),
    ],
)
def test_str_is_text_and_anything_else_is_binary(
    ws: Any, role: str, content: Any, opcode: int, payload: bytes
) -> None:
    message = ws.PreparedMessage(content)
    for _ in range(2):
        side = connected(ws, role)
        side.connection.send_prepared(message)
        assert side.sent() == [WireFrame(opcode, payload)]
        assert side.connection.send_buffer_len == 0


def test_content_is_taken_when_it_is_prepared(ws: Any, role: str) -> None:
    content = bytearray(b"before")
    message = ws.PreparedMessage(content)
    content[:] = b"behind"
    side = connected(ws, role)
    side.connection.send_prepared(message)
    assert side.sent() == [WireFrame(BINARY, b"before")]


def test_content_that_cannot_be_sent(ws: Any) -> None:
    with pytest.raises(ws.LocalProtocolError, match="UTF-8"):
        ws.PreparedMessage("a\ud800")
    for wrong in (None, 1, ["a"], object()):
        with pytest.raises(TypeError):
            ws.PreparedMessage(wrong)


# Calls


@pytest.mark.rule("R42")
@pytest.mark.parametrize("state", ["DISCONNECTED", "CONNECTING", "CLOSING", "CLOSED"])
def test_state_must_be_connected(ws: Any, role: str, state: str) -> None:
    side = IN_STATE[state](ws, role)
    side.events()
    side.raw()
    before = side.snapshot()
    with pytest.raises(ws.LocalProtocolError, match=r"send_prepared\(\) needs the state CONNECTED"):
        side.connection.send_prepared(ws.PreparedMessage("a"))
    assert side.snapshot() == before
    assert side.raw() == []


def test_message_must_be_prepared(ws: Any, role: str) -> None:
    side = connected(ws, role)
    for wrong in ("a", b"a", None):
        with pytest.raises(TypeError, match="PreparedMessage"):
            side.connection.send_prepared(wrong)
    assert side.raw() == []


@pytest.mark.parametrize("agreement", AGREEMENTS[:2])
def test_no_prepared_message_inside_a_fragmented_one(
    ws: Any, role: str, agreement: str | None
) -> None:
    side = make(ws, role, agreement)
    side.connection.send_binary(LONG)
    side.connection.send_binary(LONG, final=False)
    with pytest.raises(ws.LocalProtocolError, match="unfinished"):
        side.connection.send_prepared(ws.PreparedMessage(LONG + b"!"))
    side.connection.send_continuation(LONG)
    side.connection.send_prepared(ws.PreparedMessage(LONG + b"!"))
    frames = side.sent()
    assert Peer().read(frames) == [LONG, LONG * 2, LONG + b"!"]
    if agreement:
        # The call that failed has not made the connection forget what it had sent.
        assert len(frames[1].payload) < 20


# Encoded once


def test_servers_share_the_bytes(ws: Any) -> None:
    for content in ("short", b"x" * 100_000):
        message = ws.PreparedMessage(content)
        sent = []
        for _ in range(3):
            side = connected(ws, "server")
            side.connection.send_prepared(message)
            sent.append(side.connection.poll_output().data)
        assert sent[0] is sent[1] is sent[2]


@pytest.mark.rule("R4")
def test_clients_mask_each_anew(ws: Any) -> None:
    message = ws.PreparedMessage("masked")
    random_source = CountingRandom()
    side = connected(ws, "client", random=random_source)
    for _ in range(3):
        side.connection.send_prepared(message)
    (data,) = side.raw()
    frames = read_frames(data)
    assert [sent.key for sent in frames] == random_source.keys
    assert len(set(random_source.keys)) == 3
    assert {sent.payload for sent in frames} == {b"masked"}


@pytest.mark.parametrize("agreement", AGREEMENTS[1:])
def test_compressed_once_for_all_connections_that_agreed_alike(
    ws: Any, role: str, engine: Counting, agreement: str
) -> None:
    config = ws.PerMessageDeflateConfig(engine=Counting.NAME)
    sides = [make(ws, role, agreement, deflate=config) for _ in range(20)]
    message = ws.PreparedMessage(LONG)
    engine.reset()
    for side in sides * 3:
        side.connection.send_prepared(message)
    assert engine.compressors == 1
    assert engine.compressed == len(LONG)
    for side in sides:
        frames = side.sent()
        assert [sent.rsv for sent in frames] == [RSV1] * 3
        assert Peer(inflate_bits=9 if "=9" in agreement else 15).read(frames) == [LONG] * 3


def test_takeover_makes_no_difference_to_what_is_prepared(
    ws: Any, role: str, engine: Counting
) -> None:
    config = ws.PerMessageDeflateConfig(engine=Counting.NAME)
    message = ws.PreparedMessage(LONG)
    engine.reset()
    sent = set()
    # The last has no room for our window of 12 bits; the others leave it as it is.
    for agreement in (AGREEMENTS[1], AGREEMENTS[4], AGREEMENTS[5], AGREEMENTS[2]):
        side = make(ws, role, agreement, deflate=config)
        side.connection.send_prepared(message)
        sent.update(side.sent())
    assert engine.compressors == 2
    for one in sent:
        assert Peer(inflate_bits=12).read([one]) == [LONG]


def test_each_manner_of_compressing_has_an_encoding_of_its_own(
    ws: Any, role: str, engine: Counting
) -> None:
    message = ws.PreparedMessage(LONG)
    for tuning in ({}, {"level": 1}, {"level": 9}, {"mem_level": 9}, {"window_bits": 15}):
        config = ws.PerMessageDeflateConfig(engine=Counting.NAME, **tuning)
        engine.reset()
        for _ in range(2):
            side = make(ws, role, DEFLATE, deflate=config)
            side.connection.send_prepared(message)
            assert Peer().read(side.sent()) == [LONG]
        assert engine.compressors == 1


# What is compressed


@pytest.mark.rule("R147")
def test_threshold(ws: Any, role: str) -> None:
    for size, threshold, rsv in ((63, 64, 0), (64, 64, RSV1), (10, None, RSV1), (64, 65, 0)):
        config = ws.PerMessageDeflateConfig(threshold=threshold)
        side = make(ws, role, DEFLATE, deflate=config)
        side.connection.send_prepared(ws.PreparedMessage(bytes(size)))
        frames = side.sent()
        assert [sent.rsv for sent in frames] == [rsv]
        assert Peer().read(frames) == [bytes(size)]


@pytest.mark.rule("1.3 not worth it")
@pytest.mark.parametrize("agreement", AGREEMENTS[1:])
def test_what_would_not_shrink_goes_plain_and_disturbs_no_window(
    ws: Any, role: str, agreement: str, engine: Counting
) -> None:
    config = ws.PerMessageDeflateConfig(engine=Counting.NAME)
    side = make(ws, role, agreement, deflate=config)
    message = ws.PreparedMessage(noise(200))
    side.connection.send_binary(LONG)
    engine.reset()
    for _ in range(3):
        side.connection.send_prepared(message)
    assert engine.compressors == 1
    side.connection.send_binary(LONG)
    frames = side.sent()
    assert frames[1:4] == [WireFrame(BINARY, noise(200))] * 3
    if "takeover" not in agreement:
        assert len(frames[4].payload) < 20
    assert Peer().read(frames) == [LONG, *[noise(200)] * 3, LONG]


@pytest.mark.rule("1.3 windows")
def test_window_of_8_bits_goes_plain(ws: Any, role: str) -> None:
    side = make(ws, role, f"{DEFLATE}; {role}_max_window_bits=8")
    side.connection.send_prepared(ws.PreparedMessage(LONG))
    assert side.sent() == [WireFrame(BINARY, LONG)]


@pytest.mark.rule("1.3 not worth it")
def test_after_a_prepared_message_nothing_refers_to_what_came_before(ws: Any, role: str) -> None:
    side = agreed(ws, role)
    side.connection.send_binary(LONG)
    side.connection.send_prepared(ws.PreparedMessage(LONG * 2))
    side.connection.send_binary(LONG)
    side.connection.send_binary(LONG)
    frames = side.sent()
    assert Peer().read(frames) == [LONG, LONG * 2, LONG, LONG]
    assert Peer().read(frames[2:]) == [LONG, LONG]
    assert len(frames[3].payload) < 20 < len(frames[2].payload)


def test_what_comes_in_is_not_touched(ws: Any, role: str) -> None:
    side = agreed(ws, role)
    peer = Peer()
    for _ in range(3):
        events = side.receive(BINARY, peer.compress(LONG), rsv=RSV1)
        assert events == [ws.BinaryMessage(LONG)]
        side.connection.send_prepared(ws.PreparedMessage(LONG))


# Broadcasting

contents = st.sampled_from([LONG, LONG * 3, b"short", noise(300), bytes(20_000)])


@given(
    st.lists(contents | st.text(max_size=200), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(-1, 6), st.integers(0, 3), st.booleans()), max_size=25),
)
def test_broadcast_to_connections_with_different_agreements(
    ws: Any, role: str, messages: list[Any], script: list[tuple[int, int, bool]]
) -> None:
    """Number -1 sends a prepared message to all, any other an ordinary one to that connection."""
    sides = [make(ws, role, agreement) for agreement in AGREEMENTS]
    prepared = [ws.PreparedMessage(message) for message in messages]
    expected: list[list[bytes]] = [[] for _ in sides]
    for target, choice, fragmented in script:
        message = messages[choice % len(messages)]
        payload = message.encode() if isinstance(message, str) else message
        if target < 0:
            for side, due in zip(sides, expected):
                side.connection.send_prepared(prepared[choice % len(messages)])
                due.append(payload)
            continue
        connection = sides[target].connection
        connection.send_binary(payload, final=not fragmented)
        if fragmented:
            connection.send_continuation(payload)
        expected[target].append(payload * (1 + fragmented))
    for side, due in zip(sides, expected):
        assert Peer().read(side.sent()) == due


def test_both_backends_encode_alike(twins: Any, role: str) -> None:
    for content in ("", "text", "x" * 200, noise(300), bytes(70_000), raw(LONG)):
        for agreement in AGREEMENTS:
            sent = []
            for ws in twins:
                side = make(ws, role, agreement)
                side.connection.send_prepared(ws.PreparedMessage(content))
                sent.append(side.raw())
            assert sent[0] == sent[1]

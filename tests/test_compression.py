"""Connections that have agreed on permessage-deflate (RFC 7692).

The negotiation alone is tested in `test_deflate`, the codec in `test_codec`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import random
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engines import RSV1, TAIL, Counting, Peer, agreed, counted, established, raw
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
    connected,
    connecting,
    cut,
    frame,
    read_frames,
    request,
    response,
)
from hypothesis import given, settings
from hypothesis import strategies as st

HELLO = bytes.fromhex("f248cdc9c90700")
"""The message of the examples in RFC 7692 section 7.2.3."""

DEFLATE = "permessage-deflate"
EXTENSIONS = "Sec-WebSocket-Extensions"
LONG = b"what is sent again and again, and longer than the threshold of 64 bytes" * 2

ENGINES = [
    "zlib",
    *(
        pytest.param(
            name,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(name.split(".")[0]) is None,
                reason=f"needs the engine: pip install {package}",
            ),
        )
        for name, package in (("zlib_ng.zlib_ng", "zlib-ng"), ("isal.isal_zlib", "isal"))
    ),
]


@pytest.fixture(scope="module", params=["client", "server"])
def role(request: Any) -> str:
    return str(request.param)


@pytest.fixture
def side(ws: Any, role: str) -> Side:
    return agreed(ws, role)


@pytest.fixture
def engine(ws: Any) -> Iterator[Counting]:
    """What `COUNTED` names."""
    with counted(ws) as engine:
        yield engine


COUNTED = {"engine": Counting.NAME}


def other(role: str) -> str:
    return "server" if role == "client" else "client"


def noise(size: int, seed: int = 1) -> bytes:
    """Octets that cannot be compressed."""
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "big") if size else b""


# Reserved bits and frames (RFC 7692 section 6)


@pytest.mark.rule("R26")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_rsv1_needs_an_agreement(ws: Any, role: str, opcode: int) -> None:
    side = connected(ws, role, deflate=ws.PerMessageDeflateConfig())
    error = side.failure(side.receive(opcode, HELLO, rsv=RSV1))
    assert "RSV1 set" in str(error)
    assert error.close_code == 1002


@pytest.mark.rule("R25")
@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("opcode", [TEXT, CONTINUATION, PING, CLOSE])
def test_rsv2_and_rsv3_are_refused_with_an_agreement_too(side: Side, opcode: int, rsv: int) -> None:
    if opcode == CONTINUATION:
        side.receive(TEXT, HELLO, fin=False, rsv=RSV1)
    error = side.failure(side.receive(opcode, rsv=rsv))
    assert ("RSV2" if rsv & 2 else "RSV3") in str(error)
    assert error.close_code == 1002


@pytest.mark.rule("R27")
@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("inside", [False, True])
def test_rsv1_on_a_control_frame(side: Side, opcode: int, inside: bool) -> None:
    if inside:
        side.receive(TEXT, HELLO, fin=False, rsv=RSV1)
    error = side.failure(side.receive(opcode, rsv=RSV1))
    assert "RSV1 set" in str(error)
    assert error.close_code == 1002


@pytest.mark.rule("R28")
@pytest.mark.parametrize("rsv", [0, RSV1])
@pytest.mark.parametrize("fin", [False, True])
def test_rsv1_on_a_continuation(side: Side, rsv: int, fin: bool) -> None:
    side.receive(BINARY, HELLO, fin=False, rsv=rsv)
    error = side.failure(side.receive(CONTINUATION, HELLO, fin=fin, rsv=RSV1))
    assert "RSV1 set" in str(error)
    assert error.close_code == 1002


@pytest.mark.rule("R29", "R149")
def test_plain_messages_come_between_compressed_ones(ws: Any, side: Side) -> None:
    peer = Peer()
    for number in range(4):
        text = f"again {number}: {LONG.decode()}"
        events = side.receive(TEXT, peer.compress(text.encode()), rsv=RSV1)
        assert events == [ws.TextMessage(text)]
        assert side.receive(TEXT, b"plain") == [ws.TextMessage("plain")]
        assert side.receive(BINARY, b"a", fin=False) == []
        assert side.receive(CONTINUATION, noise(300)) == [ws.BinaryMessage(b"a" + noise(300))]


@pytest.mark.rule("R32", "R148")
def test_control_frames_between_compressed_fragments(ws: Any, side: Side) -> None:
    peer = Peer()
    assert side.receive(TEXT, peer.begin(b"Hel"), fin=False, rsv=RSV1) == []
    assert side.receive(PING, b"1") == [ws.Ping(b"1")]
    assert side.receive(CONTINUATION, peer.begin(b"lo "), fin=False) == []
    assert side.receive(PONG, b"2") == [ws.Pong(b"2", None)]
    assert side.receive(CONTINUATION, peer.compress(b"there")) == [ws.TextMessage("Hello there")]
    # Control frames are never compressed (RFC 7692 section 6.1).
    side.connection.send_ping(b"x" * 100)
    assert side.sent() == [WireFrame(PONG, b"1"), WireFrame(PING, b"x" * 100)]


@pytest.mark.rule("R61", "R29")
def test_compressed_messages_still_come_after_our_close(ws: Any, side: Side) -> None:
    side.connection.close()
    side.events()
    assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]
    assert side.state == "CLOSING"


# The examples of RFC 7692 section 7.2.3


@pytest.mark.rule("R148", "R149")
@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("f248cdc9c90700", "Hello"),
        ("000500faff48656c6c6f00", "Hello"),
        ("f348cdc9c9070000", "Hello"),
        ("f248050000 00ffff cac9c90700", "Hello"),
        ("00", ""),
    ],
)
def test_example_of_the_rfc_is_received(ws: Any, side: Side, payload: str, text: str) -> None:
    data = side.incoming(TEXT, bytes.fromhex(payload), rsv=RSV1)
    assert side.feed(data) == [ws.TextMessage(text)]
    assert side.feed_bytes(data) == [ws.TextMessage(text)]


@pytest.mark.rule("R148", "R149")
def test_examples_of_the_rfc_on_fragments_and_the_shared_window(ws: Any, side: Side) -> None:
    assert side.receive(TEXT, HELLO[:3], fin=False, rsv=RSV1) == []
    assert side.receive(CONTINUATION, HELLO[3:]) == [ws.TextMessage("Hello")]
    shared = bytes.fromhex("f200110000")
    assert side.receive(TEXT, shared, rsv=RSV1) == [ws.TextMessage("Hello")]
    assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]


@pytest.mark.rule("R147", "R148", "R149", "1.3 engine")
def test_examples_of_the_rfc_are_sent(side: Side) -> None:
    side.connection.send_text("Hello", compress=True)
    side.connection.send_text("Hello", compress=True)
    side.connection.send_text("", compress=True)
    assert side.sent() == [
        WireFrame(TEXT, HELLO, rsv=RSV1),
        WireFrame(TEXT, bytes.fromhex("f200110000"), rsv=RSV1),
        WireFrame(TEXT, b"\x00", rsv=RSV1),
    ]


@pytest.mark.rule("R149")
def test_without_takeover_of_the_peer_nothing_refers_back(ws: Any, role: str) -> None:
    side = agreed(ws, role, f"{DEFLATE}; {other(role)}_no_context_takeover")
    assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]
    assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]
    error = side.failure(side.receive(TEXT, bytes.fromhex("f200110000"), rsv=RSV1))
    assert error.close_code == 1007


# Negotiation


def offer_of(ws: Any, **config: Any) -> str | None:
    side = connecting_unpolled(ws, ws.PerMessageDeflateConfig(**config))
    head = side.raw()[0].decode()
    values = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.startswith(EXTENSIONS)]
    return values[0] if values else None


def connecting_unpolled(ws: Any, config: Any) -> Side:
    options = ws.ClientConnectionOptions("server.example.com", "/chat", deflate=config)
    side = Side(ws, ws.WebSocketClientConnection(options, random=CountingRandom()))
    side.connection.connect()
    return side


@pytest.mark.rule("R140", "1.3 negotiation")
def test_the_offer_of_a_client(ws: Any) -> None:
    assert offer_of(ws) == f"{DEFLATE}; client_max_window_bits"
    assert offer_of(ws, client_max_window_bits=None) == DEFLATE
    assert offer_of(
        ws,
        server_no_context_takeover=True,
        client_no_context_takeover=True,
        server_max_window_bits=8,
        client_max_window_bits=9,
    ) == (
        f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover;"
        " server_max_window_bits=8; client_max_window_bits=9"
    )
    plain = connecting_unpolled(ws, None)
    assert EXTENSIONS.encode() not in plain.raw()[0]


ANSWERS_REFUSED = [
    # What is no valid answer (RFC 7692 section 7.1).
    ("R141", {}, f"{DEFLATE}; client_max_window_bits"),
    ("R141", {}, f"{DEFLATE}; server_max_window_bits"),
    ("R141", {}, f"{DEFLATE}; server_no_context_takeover=1"),
    ("R141", {}, f"{DEFLATE}; server_no_context_takeover; server_no_context_takeover"),
    ("R141", {}, f"{DEFLATE}; unknown"),
    ("R141", {}, f"{DEFLATE}; Server_No_Context_Takeover"),
    ("R141", {}, f"{DEFLATE}; server_max_window_bits=7"),
    ("R141", {}, f"{DEFLATE}; server_max_window_bits=16"),
    ("R141", {}, f"{DEFLATE}; server_max_window_bits=010"),
    ("R142", {}, f"{DEFLATE}; server_max_window_bits=+10"),
    # What does not accept the offer (RFC 7692 sections 7.1.1 and 7.1.2).
    ("R143", {"client_max_window_bits": None}, f"{DEFLATE}; client_max_window_bits=15"),
    ("R145", {"client_max_window_bits": 10}, f"{DEFLATE}; client_max_window_bits=11"),
    ("R144", {"server_max_window_bits": 10}, f"{DEFLATE}; server_max_window_bits=11"),
    ("R144", {"server_max_window_bits": 10}, DEFLATE),
    ("R146", {"server_no_context_takeover": True}, DEFLATE),
    # Several answers.
    ("R137", {}, f"{DEFLATE}, {DEFLATE}"),
    ("R137", {}, "x-webkit-deflate-frame"),
    ("R130", {}, "Permessage-Deflate"),
]


@pytest.mark.rule("R130", "R137", "R141", "R142", "R143", "R144", "R145", "R146")
@pytest.mark.rule("1.3 negotiation")
@pytest.mark.parametrize(("config", "answer"), [row[1:] for row in ANSWERS_REFUSED])
def test_answer_that_does_not_accept_the_offer_fails_the_handshake(
    ws: Any, config: dict[str, Any], answer: str
) -> None:
    side = connecting(ws, "client", deflate=ws.PerMessageDeflateConfig(**config))
    error = side.failure(side.feed(response(extra=[(EXTENSIONS, answer)])))
    assert isinstance(error, ws.HandshakeError)
    assert side.connection.extensions == ()
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("R137", "1.3 negotiation")
def test_answer_to_an_offer_that_was_not_made_fails_the_handshake(ws: Any) -> None:
    side = connecting(ws, "client")
    error = side.failure(side.feed(response(extra=[(EXTENSIONS, DEFLATE)])))
    assert isinstance(error, ws.InvalidHandshake)


@pytest.mark.rule("1.3 negotiation", "R144", "R145")
@pytest.mark.parametrize(
    ("config", "answer"),
    [
        ({}, DEFLATE),
        ({}, f"{DEFLATE}; client_max_window_bits=9"),
        ({}, f"{DEFLATE}; server_max_window_bits=9"),
        ({}, f'{DEFLATE}; server_max_window_bits="12"; client_no_context_takeover'),
        ({"client_max_window_bits": 10}, f"{DEFLATE}; client_max_window_bits=9"),
        ({"server_max_window_bits": 10}, f"{DEFLATE}; server_max_window_bits=8"),
        (
            {"server_no_context_takeover": True},
            f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover",
        ),
        ({"client_no_context_takeover": True, "client_max_window_bits": 9}, DEFLATE),
    ],
)
def test_answer_that_accepts_the_offer(ws: Any, config: dict[str, Any], answer: str) -> None:
    side = connecting(ws, "client", deflate=ws.PerMessageDeflateConfig(**config))
    events = side.feed(response(extra=[(EXTENSIONS, answer)]))
    assert events == [side.state_changed("CONNECTED"), ws.Connected(None, (answer,))]
    assert side.connection.extensions == (answer,)
    side.raw()
    side.connection.send_binary(LONG)
    assert Peer().read(side.sent()) == [LONG]


@pytest.mark.rule("1.3 negotiation")
def test_server_that_does_not_answer_the_offer_is_no_failure(ws: Any, role: str) -> None:
    side = connected(ws, role, deflate=ws.PerMessageDeflateConfig())
    side.connection.send_binary(LONG)
    assert side.sent() == [WireFrame(BINARY, LONG)]


@pytest.mark.rule("1.3 windows")
def test_client_answered_with_a_window_of_8_bits_sends_uncompressed(ws: Any) -> None:
    side = agreed(ws, "client", f"{DEFLATE}; client_max_window_bits=8")
    side.connection.send_binary(LONG)
    side.connection.send_binary(LONG, compress=True)
    side.connection.send_binary(LONG, final=False)
    side.connection.send_continuation(LONG)
    side.connection.send_prepared(ws.PreparedMessage(LONG))
    assert [sent.rsv for sent in side.sent()] == [0] * 5
    assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]


def answer_to(ws: Any, *offers: str, **config: Any) -> str | None:
    """Return what a server answers to these header lines."""
    side = connecting(ws, "server", deflate=ws.PerMessageDeflateConfig(**config))
    side.feed(request(extra=[(EXTENSIONS, offer) for offer in offers]))
    side.connection.accept_handshake_auto()
    connected_event = side.events()[-1]
    head = side.raw()[0].decode()
    values = [line.split(": ", 1)[1] for line in head.split("\r\n") if line.startswith(EXTENSIONS)]
    assert connected_event == ws.Connected(None, tuple(values))
    return values[0] if values else None


@pytest.mark.rule("R126", "R127", "R128", "R130", "1.3 negotiation", "1.3 windows")
@pytest.mark.parametrize(
    ("offers", "config", "answer"),
    [
        ([DEFLATE], {}, DEFLATE),
        ([f"{DEFLATE}; client_max_window_bits"], {}, f"{DEFLATE}; client_max_window_bits=15"),
        ([f"{DEFLATE}; client_max_window_bits=10"], {}, f"{DEFLATE}; client_max_window_bits=10"),
        (
            [f"{DEFLATE}; client_max_window_bits=12"],
            {"client_max_window_bits": 10},
            f"{DEFLATE}; client_max_window_bits=10",
        ),
        # Not offered, it must not be answered (RFC 7692 section 7.1.2.2).
        ([DEFLATE], {"client_max_window_bits": 10}, DEFLATE),
        # Configured, it is answered without being asked for (section 7.1.2.1).
        ([DEFLATE], {"server_max_window_bits": 11}, f"{DEFLATE}; server_max_window_bits=11"),
        (
            [f"{DEFLATE}; server_max_window_bits=9"],
            {"server_max_window_bits": 11},
            f"{DEFLATE}; server_max_window_bits=9",
        ),
        (
            [f"{DEFLATE}; server_no_context_takeover"],
            {"client_no_context_takeover": True},
            f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover",
        ),
        # Several offers, in order, in one line or in several.
        (
            [f"{DEFLATE}; server_max_window_bits=10, {DEFLATE}"],
            {},
            f"{DEFLATE}; server_max_window_bits=10",
        ),
        ([f"{DEFLATE}; server_max_window_bits=8, {DEFLATE}"], {}, DEFLATE),
        (["x-foo", f"{DEFLATE}; unknown", DEFLATE], {}, DEFLATE),
        ([f"{DEFLATE}; client_max_window_bits=16", DEFLATE], {}, DEFLATE),
        ([f"{DEFLATE}; server_no_context_takeover=1, {DEFLATE}"], {}, DEFLATE),
        # Nothing acceptable.
        ([f"{DEFLATE}; server_max_window_bits=8"], {}, None),
        ([f"{DEFLATE}; unknown"], {}, None),
        (["PerMessage-Deflate"], {}, None),
        ([], {}, None),
    ],
)
def test_what_a_server_answers(
    ws: Any, offers: list[str], config: dict[str, Any], answer: str | None
) -> None:
    assert answer_to(ws, *offers, **config) == answer


@pytest.mark.rule("R126")
def test_server_without_configuration_ignores_every_offer(ws: Any) -> None:
    side = connecting(ws, "server")
    side.feed(request(extra=[(EXTENSIONS, DEFLATE)]))
    side.connection.accept_handshake_auto()
    assert EXTENSIONS.encode() not in side.raw()[0]
    assert side.connection.extensions == ()


@pytest.mark.rule("R129", "1.3 negotiation")
@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (DEFLATE, f"{DEFLATE}; client_max_window_bits=15"),
        (f"{DEFLATE}; client_max_window_bits=10", f"{DEFLATE}; client_max_window_bits=11"),
        (f"{DEFLATE}; server_max_window_bits=10", f"{DEFLATE}; server_max_window_bits=11"),
        (f"{DEFLATE}; server_max_window_bits=10", DEFLATE),
        (f"{DEFLATE}; server_no_context_takeover", DEFLATE),
        # Half of one offer and half of another.
        (
            f"{DEFLATE}; server_max_window_bits=10, {DEFLATE}; server_no_context_takeover",
            DEFLATE,
        ),
        (DEFLATE, f"{DEFLATE}; server_max_window_bits=8"),
        (DEFLATE, f"{DEFLATE}; unknown"),
        (f"{DEFLATE}; client_max_window_bits", f"{DEFLATE}; client_max_window_bits"),
    ],
)
def test_answer_by_hand_that_accepts_no_offer_raises_and_changes_nothing(
    ws: Any, offers: str, answer: str
) -> None:
    side = connecting(ws, "server")
    side.feed(request(extra=[(EXTENSIONS, offers)]))
    before = side.snapshot()
    with pytest.raises(ws.LocalProtocolError, match=DEFLATE):
        side.connection.accept_handshake(ws.ServerHandshakeResponse(extensions=[answer]))
    assert side.snapshot() == before
    assert side.raw() == []
    side.connection.accept_handshake()
    assert side.state == "CONNECTED"
    # Nothing of the refused answer is left.
    assert side.failure(side.receive(TEXT, HELLO, rsv=RSV1)).close_code == 1002


@pytest.mark.rule("R118", "R129")
def test_answer_by_hand_with_two_agreements_raises(ws: Any) -> None:
    side = connecting(ws, "server")
    side.feed(request(extra=[(EXTENSIONS, f"{DEFLATE}, {DEFLATE}")]))
    with pytest.raises(ws.LocalProtocolError, match="twice"):
        side.connection.accept_handshake(ws.ServerHandshakeResponse(extensions=[DEFLATE] * 2))


@pytest.mark.rule("R129", "1.3 negotiation")
@pytest.mark.parametrize(
    ("offers", "answer"),
    [
        (DEFLATE, DEFLATE),
        (DEFLATE, f"{DEFLATE}; server_max_window_bits=9; client_no_context_takeover"),
        (f"{DEFLATE}; client_max_window_bits", f"{DEFLATE}; client_max_window_bits=8"),
        (f"{DEFLATE}; server_max_window_bits=10, {DEFLATE}", DEFLATE),
        (
            f"{DEFLATE}; client_max_window_bits=10, {DEFLATE}; client_max_window_bits=15",
            f"{DEFLATE}; client_max_window_bits=15",
        ),
    ],
)
@pytest.mark.parametrize("configured", [False, True])
def test_answer_by_hand_that_accepts_an_offer(
    ws: Any, offers: str, answer: str, configured: bool
) -> None:
    deflate = ws.PerMessageDeflateConfig() if configured else None
    side = connecting(ws, "server", deflate=deflate)
    side.feed(request(extra=[(EXTENSIONS, offers)]))
    side.connection.accept_handshake(ws.ServerHandshakeResponse(extensions=[answer]))
    assert side.events()[-1] == ws.Connected(None, (answer,))
    assert f"{EXTENSIONS}: {answer}\r\n".encode() in side.raw()[0]
    side.connection.send_binary(LONG)
    assert Peer().read(side.sent()) == [LONG]
    assert side.receive(TEXT, raw(b"Hello", bits=9), rsv=RSV1) == [ws.TextMessage("Hello")]


@pytest.mark.rule("1.3 windows")
def test_own_window_of_8_bits_is_a_value_error(ws: Any, role: str) -> None:
    options = ws.ClientConnectionOptions if role == "client" else ws.ServerConnectionOptions
    for name in ("client", "server"):
        config = ws.PerMessageDeflateConfig(**{f"{name}_max_window_bits": 8})
        if name == role:
            with pytest.raises(ValueError, match=f"{name}_max_window_bits must be from 9 to 15"):
                options(deflate=config)
        else:
            assert options(deflate=config).deflate == config


# A handshake done elsewhere


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    "element",
    [
        DEFLATE,
        f"{DEFLATE}; server_max_window_bits=9; client_max_window_bits=9",
        f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover",
    ],
)
def test_established_with_compression(ws: Any, role: str, element: str, deflate: bool) -> None:
    config = ws.PerMessageDeflateConfig() if deflate else None
    side = established(ws, role, element, deflate=config)
    assert side.connection.extensions == (element,)
    side.connection.send_binary(LONG)
    (sent,) = side.sent()
    assert sent.rsv == RSV1
    assert zlib.decompressobj(-9).decompress(sent.payload + TAIL) == LONG
    peer = Peer(bits=9)
    for _ in range(2):
        fresh = peer if "takeover" not in element else Peer(bits=9)
        message = side.receive(BINARY, fresh.compress(LONG), rsv=RSV1)
        assert message == [ws.BinaryMessage(LONG)]


def test_established_without_extensions_does_not_compress(ws: Any, role: str) -> None:
    side = established(ws, role, deflate=ws.PerMessageDeflateConfig())
    side.connection.send_binary(LONG)
    assert side.sent() == [WireFrame(BINARY, LONG)]
    assert side.failure(side.receive(TEXT, HELLO, rsv=RSV1)).close_code == 1002


@pytest.mark.rule("R141")
@pytest.mark.parametrize(
    "elements",
    [
        [f"{DEFLATE}; client_max_window_bits"],
        [f"{DEFLATE}; server_max_window_bits=16"],
        [f"{DEFLATE}; x"],
        [DEFLATE, DEFLATE],
        [f"{DEFLATE}, x-foo"],
    ],
)
def test_established_refuses_what_cannot_have_been_agreed(
    ws: Any, role: str, elements: list[str]
) -> None:
    with pytest.raises(ws.LocalProtocolError, match=DEFLATE):
        established(ws, role, *elements)


# What is compressed


@pytest.mark.rule("R147", "1.3 memory")
def test_the_threshold_counts_the_octets_of_the_message(ws: Any, role: str) -> None:
    side = agreed(ws, role)
    side.connection.send_binary(bytes(63))
    side.connection.send_binary(bytes(64))
    side.connection.send_text("ä" * 31)
    side.connection.send_text("ä" * 32)
    side.connection.send_text(bytearray(63))
    side.connection.send_text(memoryview(bytes(64)))
    frames = side.sent()
    assert [sent.rsv for sent in frames] == [0, RSV1] * 3
    assert Peer().read(frames) == [
        bytes(63),
        bytes(64),
        ("ä" * 31).encode(),
        ("ä" * 32).encode(),
        bytes(63),
        bytes(64),
    ]


@pytest.mark.rule("R147", "1.3 memory")
@pytest.mark.parametrize(
    ("threshold", "expected"), [(None, [4, 4, 4]), (1, [0, 4, 4]), (2, [0, 0, 4])]
)
def test_the_threshold_is_an_option(
    ws: Any, role: str, threshold: int | None, expected: list[int]
) -> None:
    side = agreed(ws, role, deflate={"threshold": threshold})
    for size in range(3):
        side.connection.send_binary(bytes(size))
    assert [sent.rsv for sent in side.sent()] == expected


@pytest.mark.rule("R147")
def test_compress_overrules_the_threshold(side: Side) -> None:
    side.connection.send_text("a", compress=True)
    side.connection.send_binary(b"a", compress=True)
    side.connection.send_text(LONG, compress=False)
    side.connection.send_binary(LONG, compress=False)
    frames = side.sent()
    assert [sent.rsv for sent in frames] == [RSV1, RSV1, 0, 0]
    assert Peer().read(frames) == [b"a", b"a", LONG, LONG]


def test_compress_without_an_agreement_is_ignored(ws: Any, role: str) -> None:
    side = connected(ws, role)
    for compress in (True, False, None):
        side.connection.send_text("x" * 100, compress=compress)
        side.connection.send_binary(b"x", compress=compress)
        side.connection.send_binary(b"x", final=False, compress=compress)
        side.connection.send_continuation(b"x")
    assert {sent.rsv for sent in side.sent()} == {0}


@pytest.mark.rule("R147", "R148")
@pytest.mark.parametrize(("compress", "rsv"), [(None, RSV1), (True, RSV1), (False, 0)])
def test_fragmented_message_is_compressed_as_a_whole(
    side: Side, compress: bool | None, rsv: int
) -> None:
    peer = Peer()
    for begin, pieces in (
        (side.connection.send_text, ["é", "", "b" * 200, "c"]),
        (side.connection.send_binary, [b"", b"\x00" * 300, noise(100), b""]),
    ):
        begin(pieces[0], final=False, compress=compress)
        side.connection.send_continuation(pieces[1], final=False)
        side.connection.send_ping(b"between")
        side.connection.send_continuation(pieces[2], final=False)
        side.connection.send_continuation(pieces[3])
        frames = side.sent()
        assert frames.pop(2) == WireFrame(PING, b"between")
        # The bit stands on the first frame only (RFC 7692 section 6.1).
        assert [sent.rsv for sent in frames] == [rsv, 0, 0, 0]
        assert [sent.fin for sent in frames] == [False, False, False, True]
        message = b"".join(p.encode() if isinstance(p, str) else p for p in pieces)
        assert peer.read(frames) == [message]


def test_compressed_fragment_can_be_inflated_at_once(side: Side) -> None:
    peer = Peer()
    side.connection.send_text("first " * 20, final=False)
    (sent,) = side.sent()
    assert peer._inflater.decompress(sent.payload) == b"first " * 20


def test_characters_may_be_divided_between_compressed_fragments(ws: Any, side: Side) -> None:
    octets = "a€😀".encode()
    side.connection.send_text(octets[:2], final=False)
    with pytest.raises(ws.LocalProtocolError):
        side.connection.send_continuation(b"\xff")
    side.connection.send_continuation(octets[2:6], final=False)
    with pytest.raises(ws.LocalProtocolError):
        side.connection.send_continuation(b"")
    side.connection.send_continuation(octets[6:])
    assert Peer().read(side.sent()) == [octets]


@pytest.mark.rule("1.3 memory")
def test_level_memory_and_window_are_options(ws: Any, role: str) -> None:
    # Repeats itself at 6,000 octets, which the largest window reaches, and at 1,000.
    data = noise(6000) * 2 + noise(1000, 2) * 5
    sizes = {}
    for name, tuning in {
        "default": {},
        "stored": {"level": 0},
        "best": {"level": 9, "mem_level": 9, "window_bits": 15},
        "small": {"mem_level": 1, "window_bits": 9},
    }.items():
        side = agreed(ws, role, deflate=tuning)
        side.connection.send_binary(data)
        frames = side.sent()
        assert Peer(inflate_bits=9 if name == "small" else 15).read(frames) == [data]
        sizes[name] = len(frames[0].payload)
    assert sizes["best"] < 8000 < 12_000 < sizes["default"] < len(data) < sizes["stored"]
    assert sizes["small"] != sizes["default"]


@pytest.mark.rule("1.3 windows", "R149")
@pytest.mark.parametrize("bits", range(9, 16))
def test_agreed_windows_are_kept(ws: Any, role: str, bits: int) -> None:
    answer = f"{DEFLATE}; server_max_window_bits={bits}; client_max_window_bits={bits}"
    side = agreed(ws, role, answer, deflate={"window_bits": 15})
    data = noise((1 << bits) + 500) * 3
    for _ in range(2):
        side.connection.send_binary(data)
    peer = Peer(bits=bits, inflate_bits=bits)
    assert peer.read(side.sent()) == [data, data]
    for _ in range(2):
        events = side.receive(BINARY, peer.compress(data), rsv=RSV1)
        assert events == [ws.BinaryMessage(data)]


# Worth it or not


@pytest.mark.rule("1.3 not worth it")
def test_without_takeover_what_would_not_shrink_goes_plain(ws: Any, role: str) -> None:
    side = agreed(ws, role, f"{DEFLATE}; {role}_no_context_takeover")
    messages = [noise(200), LONG, noise(200), LONG]
    for message in messages:
        side.connection.send_binary(message)
    side.connection.send_binary(b"ab", compress=True)
    frames = side.sent()
    assert [sent.rsv for sent in frames] == [0, RSV1, 0, RSV1, 0]
    assert frames[1] == frames[3]
    assert [sent.payload for sent in frames if not sent.rsv] == [noise(200), noise(200), b"ab"]


@pytest.mark.rule("1.3 not worth it", "R149")
def test_with_takeover_what_was_compressed_is_sent_whatever_its_size(ws: Any, side: Side) -> None:
    messages = [noise(200), LONG, noise(200), LONG]
    for message in messages:
        side.connection.send_binary(message)
    frames = side.sent()
    assert [sent.rsv for sent in frames] == [RSV1] * 4
    assert len(frames[0].payload) > 200
    # The second time everything is in the window, the noise too.
    assert len(frames[2].payload) < 20
    assert Peer().read(frames) == messages


@pytest.mark.rule("R146", "1.3 negotiation")
def test_side_keeps_to_its_own_configuration_whatever_the_answer_says(ws: Any) -> None:
    side = agreed(
        ws,
        "client",
        deflate={
            "client_no_context_takeover": True,
            "client_max_window_bits": 9,
            "window_bits": 15,
        },
    )
    data = noise(1000) * 2
    for _ in range(2):
        side.connection.send_binary(LONG)
        side.connection.send_binary(data, final=False)
        side.connection.send_continuation(b"")
    frames = side.sent()
    assert frames[:3] == frames[3:]
    for first, *more in (frames[:1], frames[1:3]):
        payload = first.payload + b"".join(sent.payload for sent in more)
        assert zlib.decompressobj(-9).decompress(payload + TAIL) in (LONG, data)


# The two windows never drift apart


@pytest.mark.rule("1.3 not worth it", "1.3 engine")
def test_windows_do_not_drift(ws: Any, role: str) -> None:
    """Everything that is not compressed by the connection's own compressor comes in between."""
    side = agreed(ws, role)
    peer = Peer()
    prepared = ws.PreparedMessage(LONG + b" prepared")
    unworthy = ws.PreparedMessage(noise(100, 7))
    rng = random.Random(5)
    expected = []
    for number in range(300):
        message = rng.choice([LONG, b"x", noise(90, number % 5), b"%d, " % number * 30])
        what = rng.randrange(8)
        if what == 0:
            side.connection.send_binary(message, compress=False)
        elif what == 1:
            side.connection.send_prepared(prepared)
            message = LONG + b" prepared"
        elif what == 2:
            side.connection.send_prepared(unworthy)
            message = noise(100, 7)
        elif what == 3:
            half = len(message) // 2
            side.connection.send_binary(message[:half], final=False)
            side.connection.send_continuation(message[half:])
        elif what == 4:
            fails(ws, lambda: side.connection.send_text(b"\xff" * 100))
            fails(ws, lambda: side.connection.send_text("\ud800" * 100))
            fails(ws, lambda: side.connection.send_continuation(b"x" * 100))
            continue
        else:
            side.connection.send_binary(message)
        expected.append(message)
    assert peer.read(side.sent()) == expected


def fails(ws: Any, call: Callable[[], Any]) -> None:
    with pytest.raises(ws.LocalProtocolError):
        call()


class FaultyRandom(CountingRandom):
    """A source that fails when told to: by raising, or by what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Any = None

    def masking_key(self) -> bytes:
        if isinstance(self.fault, Exception):
            raise self.fault
        return super().masking_key() if self.fault is None else self.fault


@pytest.mark.parametrize("fault", [OSError("no entropy"), b"123", "1234"])
def test_a_key_that_cannot_be_drawn_leaves_the_compressor_as_it_was(ws: Any, fault: Any) -> None:
    source = FaultyRandom()
    side = agreed(ws, "client", random=source)
    twin = agreed(ws, "client")
    messages: list[bytes] = []

    def attempt(call: Callable[[Side], Any]) -> None:
        source.fault = fault
        with pytest.raises((OSError, ValueError, TypeError)):
            call(side)
        source.fault = None
        call(side)
        call(twin)

    prepared = ws.PreparedMessage(LONG)
    attempt(lambda one: one.connection.send_binary(LONG))
    attempt(lambda one: one.connection.send_binary(LONG + b"2"))
    attempt(lambda one: one.connection.send_text("3" * 200, final=False))
    attempt(lambda one: one.connection.send_continuation("4" * 200, final=False))
    attempt(lambda one: one.connection.send_continuation("3" * 200))
    attempt(lambda one: one.connection.send_text(LONG))
    attempt(lambda one: one.connection.send_prepared(prepared))
    attempt(lambda one: one.connection.send_text(LONG))
    frames = side.sent()
    assert frames == twin.sent()
    messages = Peer().read(frames)
    assert messages[2] == b"3" * 200 + b"4" * 200 + b"3" * 200
    assert len(messages) == 6


def test_a_prepared_message_that_cannot_be_sent_leaves_the_compressor_as_it_was(ws: Any) -> None:
    source = FaultyRandom()
    side = agreed(ws, "client", random=source)
    side.connection.send_binary(LONG)
    source.fault = OSError("no entropy")
    with pytest.raises(OSError, match="no entropy"):
        side.connection.send_prepared(ws.PreparedMessage(LONG + b" prepared"))
    source.fault = None
    side.connection.send_binary(LONG)
    frames = side.sent()
    assert len(frames[1].payload) < 20, "the history is gone"
    assert Peer().read(frames) == [LONG, LONG]


# Limits


def bombs(limit: int) -> dict[str, list[bytes]]:
    """The payloads of the frames of compressed messages of one octet more than this."""
    message = bytes(limit + 1)
    peer = Peer()
    fragmented = [peer.begin(message[:1000]), peer.begin(message[1000:]), b"\x00"]
    peer = Peer()
    used_up = [peer.begin(message[:limit]), peer.compress(message[limit:])]
    payload = raw(message)
    return {
        "one frame": [payload],
        "tiny fragments": [payload[i : i + 1] for i in range(len(payload))],
        "fragments that are inflated each": fragmented,
        "budget used up by the first fragment": used_up,
        "a thousand to one": [raw(bytes(1000 * limit))],
        "stored blocks": [raw(noise(limit + 1), level=0)],
        "final blocks": [stream_of_its_own(bytes(limit)) + raw(b"\x00")],
    }


def stream_of_its_own(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return compressor.compress(data) + compressor.flush()


def receive_all(side: Side, payloads: list[bytes], opcode: int = BINARY) -> list[Any]:
    """Receive a compressed message of frames with these payloads, as far as it goes."""
    events = []
    for number, payload in enumerate(payloads):
        events += side.receive(
            opcode if number == 0 else CONTINUATION,
            payload,
            fin=number == len(payloads) - 1,
            rsv=RSV1 if number == 0 else 0,
        )
    return events


LIMITS = {
    "max_decompressed_size": {"max_decompressed_size": 5000, "max_message_size": 6000},
    "max_message_size": {"max_decompressed_size": 6000, "max_message_size": 5000},
    "max_message_size alone": {"max_decompressed_size": None, "max_message_size": 5000},
    "max_decompressed_size alone": {"max_decompressed_size": 5000, "max_message_size": None},
}


@pytest.mark.rule("R82", "R84", "1.2 message limits")
@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", bombs(5000))
def test_bomb_is_inflated_one_octet_beyond_the_smaller_limit(
    ws: Any, role: str, engine: Counting, name: str, limits: str, streaming: bool, fresh: bool
) -> None:
    answer = DEFLATE + f"; {other(role)}_no_context_takeover" * fresh
    side = agreed(ws, role, answer, deflate=COUNTED, **LIMITS[limits])
    side.connection.streaming = streaming
    engine.reset()
    error = side.failure(receive_all(side, bombs(5000)[name]))
    assert isinstance(error, ws.LimitExceeded)
    assert error.close_code == 1009
    assert limits.split(maxsplit=1)[0] in str(error)
    assert "5000" in str(error)
    assert engine.inflated == 5001
    assert side.sent() == [WireFrame(CLOSE, close_body(1009, "message too big"))]


@pytest.mark.rule("R82", "1.2 message limits")
@pytest.mark.parametrize("limit", [1, 2, 4095, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("pieces", [1, 7])
def test_message_of_exactly_the_limit_passes(
    ws: Any, role: str, engine: Counting, limit: int, pieces: int
) -> None:
    side = agreed(ws, role, deflate=COUNTED, max_decompressed_size=limit)
    message = bytes(limit)
    payload = raw(message)
    places = [len(payload) * number // pieces for number in range(1, pieces)]
    for _ in range(2):
        assert receive_all(side, list(cut(payload, places))) == [ws.BinaryMessage(message)]
    # Plain messages are none of its business.
    assert side.receive(BINARY, message + b"1") == [ws.BinaryMessage(message + b"1")]
    engine.inflated = 0
    places = [len(raw(message + b"1")) * number // pieces for number in range(1, pieces)]
    error = side.failure(receive_all(side, list(cut(raw(message + b"1"), places))))
    assert error.close_code == 1009
    assert engine.inflated == limit + 1


@pytest.mark.rule("1.2 message limits")
@pytest.mark.parametrize("fresh", [False, True])
def test_bomb_in_the_tail_is_never_inflated(
    ws: Any, role: str, engine: Counting, fresh: bool
) -> None:
    # A message cut inside a block: the octets that are appended are read as symbols of its code, in
    # which a few bits stand for the longest copy.
    whole = raw(bytes(1 << 16))
    answer = DEFLATE + f"; {other(role)}_no_context_takeover" * fresh
    for end in range(20, len(whole) - 1):
        payload = whole[:end]
        before = len(zlib.decompressobj(-15).decompress(payload))
        side = agreed(ws, role, answer, deflate=COUNTED, max_decompressed_size=before)
        engine.reset()
        error = side.failure(side.receive(BINARY, payload, rsv=RSV1))
        assert error.close_code in (1007, 1009)
        assert engine.inflated <= before + 1


@pytest.mark.rule("1.2 message limits")
def test_no_limits(ws: Any, role: str) -> None:
    side = agreed(
        ws,
        role,
        max_frame_size=None,
        max_message_size=None,
        max_decompressed_size=None,
        max_fragments=None,
    )
    message = bytes(3_000_000)
    assert side.receive(BINARY, raw(message), rsv=RSV1) == [ws.BinaryMessage(message)]


@pytest.mark.rule("1.2 message limits")
def test_limits_near_the_largest_integer(ws: Any, role: str) -> None:
    for limit in (sys.maxsize - 1, sys.maxsize, sys.maxsize + 1, 1 << 80):
        side = agreed(ws, role, max_message_size=limit, max_decompressed_size=limit)
        assert side.receive(TEXT, HELLO, rsv=RSV1) == [ws.TextMessage("Hello")]


@pytest.mark.rule("R79", "R80", "1.2 message limits")
def test_size_on_the_wire_is_bounded_by_the_frame_alone(ws: Any, role: str) -> None:
    # Many empty blocks: more octets on the wire than in the message.
    payload = b"\x00\x00\x00\xff\xff" * 100 + HELLO
    side = agreed(ws, role, max_message_size=5, max_frame_size=len(payload))
    assert side.receive(TEXT, payload, rsv=RSV1) == [ws.TextMessage("Hello")]
    side = agreed(ws, role, max_message_size=5, max_frame_size=len(payload) - 1)
    error = side.failure(side.receive(TEXT, payload, rsv=RSV1))
    assert "max_frame_size" in str(error)
    assert error.close_code == 1009


@pytest.mark.rule("1.2 fragments")
def test_compressed_fragments_are_counted(ws: Any, role: str) -> None:
    side = agreed(ws, role, max_fragments=2)
    assert receive_all(side, [HELLO, b""], TEXT) == [ws.TextMessage("Hello")]
    error = side.failure(receive_all(side, [HELLO, b"", b""], TEXT))
    assert "max_fragments" in str(error)
    assert error.close_code == 1008


@pytest.mark.rule("1.2 UTF-8", "1.2 message limits")
@pytest.mark.parametrize("streaming", [False, True])
def test_text_that_is_no_utf8_within_the_limit_goes_before_what_is_beyond(
    ws: Any, role: str, streaming: bool
) -> None:
    for text, code in (
        (b"a" * 99 + b"\xff" + b"a" * 1000, 1007),
        (b"a" * 100 + b"\xff" + b"a" * 1000, 1009),
        (b"a" * 99 + b"\xc3" + b"a" * 1000, 1009),
    ):
        side = agreed(ws, role, max_decompressed_size=100)
        side.connection.streaming = streaming
        events = side.receive(TEXT, raw(text), rsv=RSV1)
        assert side.failure(events).close_code == code


# Final blocks


@pytest.mark.rule("1.3 BFINAL")
@pytest.mark.parametrize("streaming", [False, True])
def test_up_to_1024_final_blocks_pass(ws: Any, role: str, streaming: bool) -> None:
    for count in (1, 1024, 1025):
        side = agreed(ws, role)
        side.connection.streaming = streaming
        # Each is an empty block that ends its stream.
        events = side.receive(TEXT, b"\x03\x00" * count + HELLO, rsv=RSV1)
        if count <= 1024:
            assert "".join(event.text for event in events) == "Hello"
        else:
            error = side.failure(events)
            assert error.close_code == 1008
            assert "1,024" in str(error) or "1024" in str(error)


@pytest.mark.rule("1.3 BFINAL")
def test_after_a_final_block_the_message_goes_on(ws: Any, side: Side) -> None:
    first = stream_of_its_own(b"Hello, ")
    message = [ws.TextMessage("Hello, Hello")]
    assert receive_all(side, [first + HELLO], TEXT) == message
    assert receive_all(side, [first[:4], first[4:] + HELLO], TEXT) == message
    assert receive_all(side, [first, HELLO], TEXT) == message
    # The next message may refer to what came since.
    assert side.receive(TEXT, bytes.fromhex("f200110000"), rsv=RSV1) == [ws.TextMessage("Hello")]


# Broken streams


@pytest.mark.rule("1.3 broken streams", "R83")
@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\xff\x00", id="no block"),
        pytest.param(HELLO + TAIL, id="with its tail"),
        pytest.param(bytes.fromhex("000500faff48656c00"), id="cut in a stored block"),
        pytest.param(bytes.fromhex("000500fafe48656c6c6f00"), id="length and complement"),
        pytest.param(bytes.fromhex("f348cdc9c90700"), id="nothing after the final block"),
        pytest.param(bytes.fromhex("f200110000"), id="reference to before the beginning"),
    ],
)
def test_broken_stream(ws: Any, role: str, payload: bytes, fresh: bool, streaming: bool) -> None:
    answer = DEFLATE + f"; {other(role)}_no_context_takeover" * fresh
    for pieces in ([payload], [payload[:1], payload[1:]], [payload, b""]):
        side = agreed(ws, role, answer)
        side.connection.streaming = streaming
        error = side.failure(receive_all(side, pieces, TEXT))
        assert isinstance(error, ws.InvalidCompressedData)
        assert error.close_code == 1007
        assert side.connection.close_sent == ws.Close(1007, "invalid payload data")
        assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("1.3 broken streams")
def test_without_takeover_every_cut_is_noticed(ws: Any, role: str) -> None:
    payload = raw(b"".join(b"%d:" % number for number in range(40)))
    answer = f"{DEFLATE}; {other(role)}_no_context_takeover"
    for end in range(len(payload)):
        side = agreed(ws, role, answer)
        assert side.failure(side.receive(TEXT, payload[:end], rsv=RSV1)).close_code == 1007


@pytest.mark.rule("1.2 UTF-8")
def test_compressed_text_fails_at_its_first_wrong_octet(ws: Any, side: Side) -> None:
    peer = Peer()
    good = peer.begin(b"good ")
    bad = peer.begin(b"b\xe2\x82\xff")
    data = side.incoming(TEXT, good, fin=False, rsv=RSV1)
    assert side.feed_bytes(data) == []
    # Neither the end of the message nor that of its frame has come.
    data = side.incoming(CONTINUATION, bad + bytes(100), fin=False)[:-100]
    error = side.failure(side.feed_bytes(data))
    assert isinstance(error, ws.InvalidUtf8)
    assert error.close_code == 1007
    assert "0xe2 at byte 6" in str(error)


@pytest.mark.rule("1.2 UTF-8", "R40")
def test_character_divided_between_compressed_fragments(ws: Any, side: Side) -> None:
    octets = "€😀".encode()
    for places in range(1, len(octets)):
        peer = Peer()
        side = agreed(ws, "client" if side.is_client else "server")
        pieces = [peer.begin(octets[:places]), peer.compress(octets[places:])]
        assert receive_all(side, pieces, TEXT) == [ws.TextMessage("€😀")]
    side = agreed(ws, "client" if side.is_client else "server")
    error = side.failure(side.receive(TEXT, raw(octets[:-1]), rsv=RSV1))
    assert "0xf0 at byte 3" in str(error)


# Effects in the order of the wire


@pytest.mark.rule("1.2 messages before a violation", "R37")
def test_messages_before_a_broken_one_are_delivered_first(ws: Any, side: Side) -> None:
    data = side.incoming(TEXT, HELLO, rsv=RSV1) + side.incoming(TEXT, b"\xff", rsv=RSV1)
    side.connection.feed_recv_buf(data)
    assert side.connection.poll_event() == ws.TextMessage("Hello")
    side.connection.send_text("answer")
    assert side.failure(side.events()).close_code == 1007
    assert [sent.opcode for sent in side.sent()] == [TEXT, CLOSE]


def test_nothing_is_inflated_before_it_is_asked_for(ws: Any, role: str, engine: Counting) -> None:
    side = agreed(ws, role, deflate=COUNTED)
    engine.reset()
    data = side.incoming(BINARY, raw(bytes(100_000)), rsv=RSV1)
    side.connection.feed_recv_buf(data * 3)
    assert side.connection.recv_buffer_len == 3 * len(data)
    assert engine.inflated == 0
    assert side.connection.poll_event() == ws.BinaryMessage(bytes(100_000))
    assert engine.inflated == 100_000
    assert side.connection.recv_buffer_len == 2 * len(data)


def test_what_is_held_of_a_compressed_message_is_counted(ws: Any, side: Side) -> None:
    peer = Peer()
    side.receive(BINARY, peer.begin(noise(3000)), fin=False, rsv=RSV1)
    assert side.connection.recv_buffer_len == 3000
    side.receive(CONTINUATION, peer.compress(noise(1000)))
    assert side.connection.recv_buffer_len == 0


# Contexts


@pytest.mark.rule("1.3 engine", "1.3 memory")
def test_contexts_are_made_on_first_use_and_gone_with_the_connection(
    ws: Any, role: str, engine: Counting
) -> None:
    side = agreed(ws, role, deflate=COUNTED)
    gc.collect()
    engine.reset()
    side.connection.send_text("short")
    side.connection.send_text(LONG, compress=False)
    side.receive(TEXT, b"plain")
    side.receive(PING, b"1")
    assert (engine.compressors, engine.inflaters) == (0, 0)
    side.connection.send_text(LONG)
    side.connection.send_text(LONG)
    assert (engine.compressors, engine.inflaters, engine.alive) == (1, 0, 1)
    side.receive(TEXT, HELLO, rsv=RSV1)
    side.receive(TEXT, HELLO, rsv=RSV1)
    assert (engine.compressors, engine.inflaters, engine.alive) == (1, 1, 2)
    side.connection.close()
    side.receive(CLOSE, close_body(1000))
    gc.collect()
    assert engine.alive == 0


@pytest.mark.rule("1.3 memory")
@pytest.mark.parametrize("end", ["eof", "failure", "bomb", "dropped"])
def test_contexts_are_gone_however_the_connection_ends(
    ws: Any, role: str, engine: Counting, end: str
) -> None:
    side = agreed(ws, role, deflate=COUNTED, max_message_size=1000)
    gc.collect()
    engine.reset()
    side.connection.send_text(LONG)
    side.receive(TEXT, HELLO, rsv=RSV1)
    assert engine.alive == 2
    if end == "eof":
        side.eof()
    elif end == "failure":
        side.receive(TEXT, b"\xff", rsv=RSV1)
    elif end == "bomb":
        side.receive(BINARY, raw(bytes(2000)), rsv=RSV1)
    else:
        del side
    gc.collect()
    assert engine.alive == 0


@pytest.mark.rule("1.3 memory", "R149")
def test_without_takeover_no_context_outlives_its_message(
    ws: Any, role: str, engine: Counting
) -> None:
    answer = f"{DEFLATE}; server_no_context_takeover; client_no_context_takeover"
    side = agreed(ws, role, answer, deflate=COUNTED)
    gc.collect()
    engine.reset()
    for number in range(1, 4):
        side.connection.send_text(LONG)
        side.receive(TEXT, HELLO, rsv=RSV1)
        side.connection.send_text(LONG, final=False)
        gc.collect()
        assert engine.alive == 1
        side.connection.send_continuation(LONG)
        gc.collect()
        assert engine.alive == 0
        assert (engine.compressors, engine.inflaters) == (2 * number, number)


@pytest.mark.rule("1.3 engine")
def test_zlib_is_the_engine_unless_another_is_named(ws: Any, role: str, engine: Counting) -> None:
    engine.reset()
    side = agreed(ws, role)
    side.connection.send_text(LONG)
    side.receive(TEXT, HELLO, rsv=RSV1)
    assert (engine.compressors, engine.inflaters) == (0, 0)


@pytest.mark.rule("1.3 engine")
@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    "parameters", ["", "; server_no_context_takeover; client_no_context_takeover"]
)
def test_engine(ws: Any, role: str, name: str, parameters: str) -> None:
    answer = DEFLATE + parameters
    config = {"engine": name, "threshold": 1}
    side = agreed(ws, role, answer, deflate=config, max_decompressed_size=100_000)
    mirror = established(ws, other(role), answer)
    rng = random.Random(3)
    for number in range(60):
        data = rng.choice([b"", b"a", LONG, noise(500, number), bytes(100_000)])
        side.connection.send_binary(data[:77], final=False)
        side.connection.send_continuation(data[77:])
        side.connection.send_binary(data)
        bytes_out = b"".join(output for output in side.raw() if isinstance(output, bytes))
        assert mirror.feed(bytes_out) == [ws.BinaryMessage(data)] * 2
        mirror.connection.send_binary(data, compress=True)
        bytes_out = b"".join(output for output in mirror.raw() if isinstance(output, bytes))
        assert side.feed_bytes(bytes_out) == [ws.BinaryMessage(data)]
    error = side.failure(side.receive(BINARY, raw(bytes(100_001)), rsv=RSV1))
    assert error.close_code == 1009


@pytest.mark.rule("1.3 engine")
@pytest.mark.parametrize("name", ENGINES)
def test_engine_sees_broken_streams(ws: Any, role: str, name: str) -> None:
    for payload in (b"\xff\xff\x00", b"", bytes.fromhex("000500faff48656c00")):
        side = agreed(ws, role, deflate={"engine": name})
        error = side.failure(side.receive(TEXT, payload, rsv=RSV1))
        assert error.close_code == 1007


# Properties

configs = st.fixed_dictionaries(
    {},
    optional={
        "server_max_window_bits": st.integers(9, 15),
        "client_max_window_bits": st.integers(9, 15) | st.just(True) | st.none(),
        "server_no_context_takeover": st.booleans(),
        "client_no_context_takeover": st.booleans(),
        "window_bits": st.integers(9, 15),
        "mem_level": st.integers(1, 9),
        "level": st.integers(0, 9),
        "threshold": st.none() | st.integers(1, 100),
    },
)
octets = (
    st.binary(max_size=150)
    | st.builds(lambda unit, times: unit * times, st.binary(max_size=9), st.integers(0, 3000))
    | st.integers(0, 3).map(lambda seed: noise(3000, seed))
)
texts = st.text(max_size=100) | st.text(max_size=5).map(lambda text: text * 100)
compressions = st.sampled_from([None, None, True, False])
sends = st.tuples(
    st.lists(texts, min_size=1, max_size=4) | st.lists(octets, min_size=1, max_size=4), compressions
)
cuts = st.lists(st.integers(0, 3000), max_size=12)


def send(ws: Any, side: Side, pieces: list[Any], compress: bool | None) -> Any:
    """Send a message, with a Ping in each gap; return the event that it must give."""
    text = isinstance(pieces[0], str)
    begin = side.connection.send_text if text else side.connection.send_binary
    begin(pieces[0], final=len(pieces) == 1, compress=compress)
    for number, piece in enumerate(pieces[1:], 2):
        side.connection.send_ping(b"%d" % number)
        side.connection.send_continuation(piece, final=number == len(pieces))
    if text:
        return ws.TextMessage("".join(pieces))
    return ws.BinaryMessage(b"".join(pieces))


def carry(sender: Side, receiver: Side, places: list[int]) -> list[Any]:
    data = b"".join(output for output in sender.raw() if isinstance(output, bytes))
    return receiver.feed(*cut(data, places))


@given(configs, configs, st.lists(st.tuples(st.booleans(), sends), max_size=10), cuts)
@pytest.mark.rule("1.3 negotiation", "1.3 windows", "1.3 engine", "R128", "R148", "R149")
def test_what_one_side_compresses_the_other_inflates(
    ws: Any,
    offered: dict[str, Any],
    configured: dict[str, Any],
    script: list[tuple[bool, Any]],
    places: list[int],
) -> None:
    client = connecting_unpolled(ws, ws.PerMessageDeflateConfig(**offered))
    options = ws.ServerConnectionOptions(deflate=ws.PerMessageDeflateConfig(**configured))
    server = Side(ws, ws.WebSocketServerConnection(options))
    assert isinstance(carry(client, server, places)[-1], ws.HandshakeRequested)
    server.connection.accept_handshake_auto()
    server.events()
    assert client.events()[-1:] != [client.state_changed("CLOSED")]
    assert carry(server, client, places)[-1] == ws.Connected(None, server.connection.extensions)
    assert server.connection.extensions != ()
    for from_client, (pieces, compress) in script:
        sender, receiver = (client, server) if from_client else (server, client)
        expected = send(ws, sender, pieces, compress)
        events = carry(sender, receiver, places)
        assert events[-1] == expected
        assert [event for event in events[:-1] if not isinstance(event, ws.Ping)] == []
        carry(receiver, sender, places)


compressed_frames = st.builds(
    frame,
    st.sampled_from([TEXT, TEXT, BINARY, BINARY, CONTINUATION, CONTINUATION, PING, CLOSE]),
    octets.map(lambda data: raw(data[:500]))
    | st.builds(lambda data, end: raw(data)[:end], octets, st.integers(0, 100))
    | st.binary(max_size=20)
    | st.sampled_from([HELLO, HELLO, HELLO[:3], HELLO[3:], b"", b"\x00", b"\x03\x00" * 20 + HELLO])
    | st.just(bytes.fromhex("f200110000")),
    fin=st.sampled_from([True, True, False]),
    rsv=st.sampled_from([RSV1, RSV1, RSV1, 0, 0]),
    key=st.just(KEY),
)
streams = st.lists(compressed_frames, min_size=1, max_size=8).map(b"".join)


def directed(role: str, data: bytes) -> bytes:
    if role == "server":
        return data
    return b"".join(
        frame(one.opcode, one.payload, fin=one.fin, rsv=one.rsv) for one in read_lenient(data)
    )


def read_lenient(data: bytes) -> list[WireFrame]:
    try:
        return read_frames(data)
    except AssertionError:
        return []


def outcome(ws: Any, role: str, fresh: bool, pieces: list[bytes]) -> list[Any]:
    """What comes of these bytes; which error of one close code it is may depend on the cuts."""
    answer = DEFLATE + f"; {other(role)}_no_context_takeover" * fresh
    side = agreed(ws, role, answer, max_decompressed_size=600, max_fragments=4)
    events = side.feed(*pieces)
    shown = [
        ("Failed", event.error.close_code) if isinstance(event, ws.Failed) else repr(event)
        for event in events
    ]
    return [shown, [repr(output) for output in side.raw()], side.state, repr(side.eof()[-1:])]


@given(streams, st.booleans(), cuts)
@pytest.mark.rule("R7", "R8")
def test_where_compressed_bytes_were_cut_changes_nothing(
    ws: Any, role: str, data: bytes, fresh: bool, places: list[int]
) -> None:
    data = directed(role, data)
    whole = outcome(ws, role, fresh, [data])
    assert outcome(ws, role, fresh, list(cut(data, places))) == whole
    assert outcome(ws, role, fresh, [data[i : i + 1] for i in range(len(data))]) == whole


@given(
    streams,
    st.booleans(),
    cuts,
    st.lists(sends, max_size=5),
    st.lists(st.booleans(), max_size=8),
)
@settings(max_examples=max(200, settings().max_examples))
def test_the_backends_agree(
    twins: Any,
    role: str,
    data: bytes,
    fresh: bool,
    places: list[int],
    script: list[Any],
    switches: list[bool],
) -> None:
    data = directed(role, data)
    assert everything(twins[0], role, data, fresh, places, script, switches) == everything(
        twins[1], role, data, fresh, places, script, switches
    )


def everything(
    ws: Any,
    role: str,
    data: bytes,
    fresh: bool,
    places: list[int],
    script: list[Any],
    switches: list[bool],
) -> list[Any]:
    """All that can be seen while these bytes come and these messages are sent."""
    answer = DEFLATE + f"; {role}_no_context_takeover; {other(role)}_no_context_takeover" * fresh
    side = agreed(ws, role, answer, max_decompressed_size=600, max_fragments=4)
    waiting = iter(script)
    modes = iter(switches)
    seen: list[Any] = []
    for piece in cut(data, places):
        side.connection.feed_recv_buf(piece)
        side.connection.streaming = next(modes, side.connection.streaming)
        seen.append([repr(event) for event in side.events()])
        seen.append(side.connection.recv_buffer_len)
        for pieces, compress in waiting:
            try:
                send(ws, side, pieces, compress)
                side.connection.send_prepared(ws.PreparedMessage(pieces[0]))
            except ws.LocalProtocolError as error:
                seen.append(str(error))
            break
        seen.append(side.connection.send_buffer_len)
    side.connection.feed_eof()
    seen.append([repr(event) for event in side.events()])
    seen.append([repr(output) for output in side.raw()])
    return seen


# Memory

KIB = 1024


@pytest.fixture
def traced() -> Iterator[Any]:
    """`tracemalloc` sees the contexts of zlib too: CPython has zlib allocate through its own."""
    if sys.implementation.name != "cpython":
        pytest.skip("tracemalloc is CPython's")
    tracemalloc = importlib.import_module("tracemalloc")
    gc.collect()
    tracemalloc.start()
    yield tracemalloc
    tracemalloc.stop()


def held_by_each(traced: Any, sides: list[Side], action: Callable[[Side], Any]) -> float:
    """Return how many bytes more each of these holds after doing so."""
    gc.collect()
    before = traced.get_traced_memory()[0]
    for side in sides:
        action(side)
    gc.collect()
    return float(traced.get_traced_memory()[0] - before) / len(sides)


@pytest.mark.rule("1.3 memory")
def test_idle_connection_with_compression_agreed(ws: Any, role: str, traced: Any) -> None:
    config = ws.PerMessageDeflateConfig()
    options = (
        ws.ClientConnectionOptions("server.example.com", "/chat", deflate=config)
        if role == "client"
        else ws.ServerConnectionOptions(deflate=config)
    )
    offer = f"{DEFLATE}; client_max_window_bits"
    random_source = CountingRandom()
    connections: list[Any] = []

    def open_one(_: Any) -> None:
        if role == "client":
            connection = ws.WebSocketClientConnection(options, random=random_source)
            connection.connect()
            answer = f"{DEFLATE}; client_max_window_bits=15"
            connection.feed_recv_buf(response(extra=[(EXTENSIONS, answer)]))
        else:
            connection = ws.WebSocketServerConnection(options)
            connection.feed_recv_buf(request(extra=[(EXTENSIONS, offer)]))
            assert list(connection.events())
            connection.accept_handshake_auto()
        assert list(connection.events())
        assert list(connection.outputs())
        assert connection.extensions
        connections.append(connection)

    for _ in range(3):
        open_one(None)
    each = held_by_each(traced, [None] * 200, open_one)  # type: ignore[list-item]
    assert each < {"cython": 4 * KIB, "python": 5 * KIB}[ws.BACKEND]


@pytest.mark.rule("1.3 memory")
def test_connection_under_traffic(ws: Any, role: str, traced: Any) -> None:
    """With the defaults on our side, and a peer that uses the largest window."""
    message = noise(3000) + noise(20_000, 2).hex().encode()
    data = agreed(ws, role).incoming(BINARY, raw(message), rsv=RSV1)

    def send_some(side: Side) -> None:
        for _ in range(3):
            side.connection.send_binary(message)
            side.raw()

    def receive_some(side: Side) -> None:
        for _ in range(3):
            assert side.feed(data) == [ws.BinaryMessage(message)]

    send_some(agreed(ws, role))
    receive_some(agreed(ws, role))
    sides = [agreed(ws, role) for _ in range(30)]
    sending = held_by_each(traced, sides, send_some)
    receiving = held_by_each(traced, sides, receive_some)
    # Less than the windows themselves would mean that the memory of zlib is not seen.
    assert 16 * KIB < sending < 64 * KIB
    assert 32 * KIB < receiving < 64 * KIB

    def close(side: Side) -> None:
        side.receive(CLOSE, close_body(1000))
        side.raw()

    closing = held_by_each(traced, sides, close)
    assert closing < -0.9 * (sending + receiving)


# Odds and ends


@pytest.mark.parametrize("role", ["client", "server"])
def test_threshold_beyond_any_message_is_one(ws: Any, role: str) -> None:
    config = ws.PerMessageDeflateConfig(threshold=2**64)
    side = established(ws, role, DEFLATE, deflate=config)
    side.connection.send_binary(LONG)
    assert side.sent() == [WireFrame(BINARY, LONG)]


@pytest.mark.parametrize("role", ["client", "server"])
def test_last_piece_that_could_not_be_compressed_can_be_sent_again(
    ws: Any, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = established(ws, role, DEFLATE)
    side.connection.send_binary(b"a" * 100, final=False)
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise MemoryError

        patched.setattr(ws.codec.PerMessageDeflate, "deflate", fail)
        with pytest.raises(MemoryError):
            side.connection.send_continuation(b"b" * 100)
    side.connection.send_continuation(b"b" * 100)
    begun, ended = side.sent()
    assert (begun.rsv, ended.rsv) == (RSV1, 0)
    inflater = zlib.decompressobj(-15)
    assert inflater.decompress(begun.payload + ended.payload + TAIL) == b"a" * 100 + b"b" * 100

"""Streams of bytes and programs of calls, sound and hostile, for the tests of properties.

Everything here is drawn by hypothesis. Streams are made of whole frames first and spoilt
afterwards: bytes that are wrong from the start never get past the first two octets. To make a
strategy takes longer than to draw from it, so each is made once.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple, Optional

from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_body,
    frame,
    head,
    request,
    response,
)
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

ROLES = ("client", "server")
TIMERS = ("OPEN_TIMEOUT", "PING", "PONG_TIMEOUT", "CLOSE_TIMEOUT")

TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "a" * 125, "a" * 126, "é" * 63, "日本語" * 50, "🎉" * 40, "a" * 65536]),
)
PAYLOADS = st.one_of(
    st.binary(max_size=12),
    st.sampled_from([0, 1, 7, 8, 9, 125, 126, 127, 768, 769, 16383, 16384, 65535, 65536]).map(
        lambda size: (bytes(range(256)) * (size // 256 + 1))[:size]
    ),
)
SMALL_PAYLOADS = st.one_of(st.binary(max_size=12), st.just(b"\x00" * 125))
CLOSE_CODES = st.one_of(
    st.sampled_from([1000, 1001, 1007, 1014, 3000, 4999, 1004, 1005, 1006, 1015, 1016, 2999, 5000]),
    st.integers(min_value=0, max_value=0xFFFF),
)
NOT_UTF8 = st.sampled_from(
    [
        b"\x80",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xbf",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xe2(",
    ]
)
"""A lone continuation, two overlong forms, surrogates, too large, never, and cut short."""
KEYS = st.sampled_from([b"\x37\xfa\x21\x3d", b"\x00\x00\x00\x00", b"\xff\x80\x01\x7f"])


def edges(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut `data` at these places; the same place twice gives an empty piece."""
    marks = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip(marks, marks[1:])]


def mostly(
    common: SearchStrategy[Any], rare: SearchStrategy[Any], one_in: int
) -> SearchStrategy[Any]:
    """Draw from the second strategy one time in so many; `one_of` gives all the same weight."""
    return st.integers(min_value=1, max_value=one_in).flatmap(
        lambda number: rare if number == one_in else common
    )


PLACES = st.lists(st.integers(min_value=0, max_value=1 << 17), max_size=8)
_BOOLEANS = st.booleans()


# Frames


_PINGS_AND_PONGS = st.sampled_from([PING, PONG])


@cache
@st.composite
def control_frames(draw: DrawFn, masked: bool) -> bytes:
    return frame(
        draw(_PINGS_AND_PONGS),
        draw(SMALL_PAYLOADS),
        key=draw(KEYS) if masked else None,
    )


_CLOSE_BODIES = st.one_of(
    st.just(b""),
    st.builds(close_body, CLOSE_CODES, st.text(max_size=8)),
    st.builds(close_body, st.just(1000), NOT_UTF8),
    st.binary(max_size=1),
)


@cache
@st.composite
def close_frames(draw: DrawFn, masked: bool) -> bytes:
    return frame(CLOSE, draw(_CLOSE_BODIES), key=draw(KEYS) if masked else None)


_DATA_OPCODES = st.sampled_from([TEXT, BINARY])
_FRAGMENTED_OR_NOT: SearchStrategy[list[int]] = st.one_of(st.just([]), PLACES)


@cache
@st.composite
def messages(draw: DrawFn, masked: bool) -> bytes:
    """A message in any number of fragments, perhaps with control frames between them."""
    opcode = draw(_DATA_OPCODES)
    payload = draw(TEXTS).encode() if opcode == TEXT else draw(PAYLOADS)
    pieces = edges(payload, draw(_FRAGMENTED_OR_NOT))
    data = b""
    for index, piece in enumerate(pieces):
        data += frame(
            opcode if index == 0 else CONTINUATION,
            piece,
            fin=index == len(pieces) - 1,
            key=draw(KEYS) if masked else None,
        )
        if len(pieces) > 1 and draw(_BOOLEANS):
            data += draw(control_frames(masked))
    return data


def deflated(data: bytes) -> bytes:
    """The payload of a compressed message that refers to none before it."""
    compressor = zlib.compressobj(wbits=-9)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


# RFC 7692 section 7.2.3: uncompressed blocks, a final block with another behind it, two blocks.
_ODD_DEFLATE = st.sampled_from(
    [
        b"\x00",
        bytes.fromhex("000500faff48656c6c6f00"),
        bytes.fromhex("f348cdc9c9070000"),
        bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")),
        b"",
        b"\x03\x00" * 1030 + b"\x00",
        b"\x03\x00",
        b"\xff\xff\xff",
        bytes.fromhex("f248cdc9c907"),
    ]
)
_BOMB = deflated(bytes(70000))


@cache
@st.composite
def compressed_messages(draw: DrawFn, masked: bool) -> bytes:
    """A message as a peer sends it after permessage-deflate was agreed on, mostly sound."""
    opcode = draw(_DATA_OPCODES)
    content = draw(TEXTS).encode() if opcode == TEXT else draw(PAYLOADS)
    payload = draw(mostly(st.just(deflated(content)), st.one_of(_ODD_DEFLATE, st.just(_BOMB)), 5))
    pieces = edges(payload, draw(_FRAGMENTED_OR_NOT))
    data = b""
    for index, piece in enumerate(pieces):
        data += frame(
            opcode if index == 0 else CONTINUATION,
            piece,
            fin=index == len(pieces) - 1,
            rsv=4 if index == 0 else 0,
            key=draw(KEYS) if masked else None,
        )
        if len(pieces) > 1 and draw(_BOOLEANS):
            data += draw(control_frames(masked))
    return data


_KINDS = st.sampled_from(["any", "length", "text", "huge"])
_NIBBLES = st.integers(min_value=0, max_value=15)
_HUGE = [0, 125, 126, 65535, 65536, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1]
_LENGTHS = {"huge": st.sampled_from(_HUGE), "length": st.integers(min_value=0, max_value=200)}
_OPCODES = st.sampled_from([TEXT, BINARY, CONTINUATION, PING, CLOSE])


@cache
@st.composite
def odd_frames(draw: DrawFn, masked: bool) -> bytes:
    """A frame that breaks a rule, or looks as if it did."""
    kind = draw(_KINDS)
    key = draw(KEYS) if masked else None
    if kind == "any":
        return frame(
            draw(_NIBBLES),
            draw(PAYLOADS),
            fin=draw(_BOOLEANS),
            rsv=draw(_NIBBLES) & 7,
            key=draw(KEYS) if draw(_BOOLEANS) else key,
        )
    if kind == "text":
        payload = draw(TEXTS).encode() + draw(NOT_UTF8) + draw(TEXTS).encode()
        return frame(TEXT, payload, fin=draw(_BOOLEANS), key=key)
    length = draw(_LENGTHS[kind])
    octets = 8 if kind == "huge" or draw(_BOOLEANS) else 2
    opcode = draw(_OPCODES)
    code = (127 if octets == 8 else 126) | (0x80 if masked else 0)
    return bytes([0x80 | opcode, code]) + length.to_bytes(octets, "big") + (key or b"")


@cache
def streams(masked: bool) -> SearchStrategy[bytes]:
    """Frames that a sound peer could send, up to the Close frame or not so far."""
    sound = mostly(messages(masked), compressed_messages(masked), 3)
    unit = mostly(sound, control_frames(masked), 4)
    return st.builds(
        lambda units, close: b"".join(units) + close,
        st.lists(unit, max_size=5),
        st.one_of(st.just(b""), close_frames(masked)),
    )


class Mutation(NamedTuple):
    kind: str
    place: int
    data: bytes


MUTATIONS = st.builds(
    Mutation,
    st.sampled_from(["flip", "insert", "delete", "cut", "double"]),
    st.integers(min_value=0, max_value=1 << 17),
    st.binary(min_size=1, max_size=4),
)


def mutate(data: bytes, mutations: Sequence[Mutation]) -> bytes:
    for kind, anywhere, new in mutations:
        place = anywhere % (len(data) + 1)
        before, after = data[:place], data[place:]
        if kind == "flip":
            data = before + bytes(octet ^ new[0] for octet in after[:1]) + after[1:]
        elif kind == "insert":
            data = before + new + after
        elif kind == "delete":
            data = before + after[len(new) :]
        elif kind == "cut":
            data = before
        else:
            data = before + after[:64] + after
    return data


@cache
def hostile_streams(masked: bool) -> SearchStrategy[bytes]:
    """Frames among which some are odd, spoilt; or mere bytes."""
    unit = mostly(messages(masked), st.one_of(odd_frames(masked), close_frames(masked)), 3)
    mixed = st.lists(unit, max_size=5).map(b"".join)
    spoilt = st.builds(mutate, streams(masked), st.lists(MUTATIONS, min_size=1, max_size=3))
    return st.one_of(mixed, spoilt, st.binary(max_size=24))


@cache
def any_streams(masked: bool) -> SearchStrategy[bytes]:
    return mostly(streams(masked), hostile_streams(masked), 2)


# Handshakes


_FIELDS = st.sampled_from(
    [
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", 'permessage-deflate; client_max_window_bits, x; y="z"'),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=10"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=8"),
        ("Sec-WebSocket-Extensions", "x;"),
        ("Origin", "https://example.com"),
        ("Cookie", "a=1; b=2"),
        ("X-Long", "x" * 300),
        ("Content-Length", "3"),
        ("Transfer-Encoding", "chunked"),
        ("Bad Name", "x"),
    ]
)


_Changes = dict[str, Optional[str]]
_REQUEST_LINES = st.sampled_from(
    [
        "GET /chat HTTP/1.1",
        "GET http://server.example.com/ HTTP/1.1",
        "POST /chat HTTP/1.1",
        "GET / HTTP/1.0",
    ]
)
_REQUEST_CHANGES: SearchStrategy[_Changes] = st.sampled_from(
    [
        {},
        {"Sec-WebSocket-Version": "8"},
        {"Sec-WebSocket-Key": "short"},
        {"Host": None},
        {"Upgrade": "h2c"},
    ]
)
_REQUESTS = st.builds(request, _REQUEST_LINES, _REQUEST_CHANGES, st.lists(_FIELDS, max_size=2))

_RESPONSE_CHANGES: SearchStrategy[_Changes] = st.sampled_from(
    [{}, {"Upgrade": None}, {"Connection": "close"}, {"Sec-WebSocket-Accept": "x"}]
)
_REFUSAL_LINES = st.sampled_from(
    ["HTTP/1.1 404 Not Found", "HTTP/1.1 503", "HTTP/1.0 200 OK", "HTTP/1.1 304 x"]
)
_CHUNKED = [("Transfer-Encoding", "chunked")]
_BODIES: SearchStrategy[tuple[list[tuple[str, str]], bytes]] = st.sampled_from(
    [
        ([("Content-Length", "5")], b"hello"),
        ([("Content-Length", "0")], b""),
        ([("Content-Length", "9")], b"hello"),
        (_CHUNKED, b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"),
        (_CHUNKED, b"3\r\nhello"),
        ([], b"hello" * 10),
    ]
)
_INTERIM = st.sampled_from([b"", head("HTTP/1.1 103 Early Hints", [("Link", "</x>")])])
_RESPONSES = st.builds(
    lambda interim, final: interim + final,
    _INTERIM,
    st.one_of(
        st.builds(
            lambda changes, extra: response(changes=changes, extra=extra),
            _RESPONSE_CHANGES,
            st.lists(_FIELDS, max_size=2),
        ),
        st.builds(lambda line, answer: head(line, answer[0]) + answer[1], _REFUSAL_LINES, _BODIES),
    ),
)


@cache
def handshakes(role: str) -> SearchStrategy[bytes]:
    """What the peer of a side opens with: mostly sound, else wrong or spoilt."""
    sound = request() if role == "server" else response()
    varied = _REQUESTS if role == "server" else _RESPONSES
    spoilt = st.builds(mutate, varied, st.lists(MUTATIONS, min_size=1, max_size=2))
    return mostly(st.just(sound), st.one_of(varied, spoilt), 2)


# Options


class Deflate(NamedTuple):
    """Stands for a `PerMessageDeflateConfig`."""

    fields: dict[str, Any]


_OPTIONS: dict[str, tuple[Any, ...]] = {
    "deflate": (
        Deflate({}),
        Deflate({"server_no_context_takeover": True, "client_no_context_takeover": True}),
        Deflate({"server_max_window_bits": 9, "window_bits": 9, "threshold": None}),
    ),
    "max_decompressed_size": (None, 5, 126),
    "max_frame_size": (None, 5, 126, 1 << 70),
    "max_message_size": (None, 5, 126, 65536),
    "max_fragments": (None, 1, 2),
    "max_handshake_size": (None, 100, 260),
    "auto_pong": (False,),
    "ping_interval": (None, 1),
    "pong_timeout": (None,),
    "close_timeout": (None,),
    "open_timeout": (None,),
    "protocols": (("superchat", "chat"),),
    "headers": ((("X-A", "b"),), (("Upgrade", "h2c"),)),
}
_ONE_SIDED: dict[str, dict[str, tuple[Any, ...]]] = {
    "client": {"max_response_body": (3, None)},
    "server": {"origins": (("https://example.com",), (None,), ())},
}


@cache
def option_choices(role: str) -> list[tuple[str, Any]]:
    """Each option of a side with each value that is tried instead of the default."""
    return [
        (name, value)
        for name, values in {**_OPTIONS, **_ONE_SIDED[role]}.items()
        for value in values
    ]


@cache
def options(role: str) -> SearchStrategy[dict[str, Any]]:
    """Keyword arguments for the options of a side: one or two that are not the default, if any."""
    return st.lists(st.sampled_from(option_choices(role)), max_size=2).map(dict)


# Programs: what an application does with a connection


class Step(NamedTuple):
    """One call. Arguments that differ from copy to copy of the package stand for themselves."""

    name: str
    args: tuple[Any, ...] = ()
    final: bool | None = None
    compress: bool | None = None


class Timer(NamedTuple):
    """Stands for a `TimerId`."""

    name: str


class Response(NamedTuple):
    """Stands for a `ServerHandshakeResponse`."""

    fields: dict[str, Any]


class Prepared(NamedTuple):
    """Stands for a `PreparedMessage`."""

    content: Any


class OddBytes(bytes):
    """Not exactly `bytes`."""


class OddStr(str):
    """Not exactly `str`."""

    __slots__ = ()


_CLOTHES: list[Callable[[bytes], Any]] = [bytes, bytearray, memoryview, OddBytes]
_SAME_BYTES = st.sampled_from(_CLOTHES)
_OTHER_BYTES = st.sampled_from(
    [
        *_CLOTHES,
        lambda data: memoryview(bytes(2 * len(data)))[::2],
        lambda data: array("H", data + data),
    ]
)


def _wrapped(payloads: SearchStrategy[bytes]) -> SearchStrategy[Any]:
    """The same bytes, or others made of them, as objects of other types."""
    return st.builds(lambda wrap, data: wrap(data), _OTHER_BYTES, payloads)


_NOT_BYTES = st.sampled_from([None, 7, "text", [1, 2]])
_NOW = mostly(st.sampled_from([None, 1.5, 2]), st.sampled_from([True, "soon"]), 6)
_DATA = mostly(_wrapped(PAYLOADS), _NOT_BYTES, 8)
_TEXT = mostly(
    st.one_of(TEXTS, TEXTS.map(OddStr), _wrapped(TEXTS.map(str.encode))),
    st.one_of(
        st.sampled_from(["\ud800", "a\udfff", OddStr("é"), None, 7]),
        st.sampled_from([b"\xe6\x97", b"\xa5", b"\xa5a", b"\xf0\x9f"]),
        NOT_UTF8,
    ),
    4,
)
_FINAL: SearchStrategy[bool | None] = st.sampled_from([None, True, False])
_NO_FINAL: SearchStrategy[bool | None] = st.none()
_CONTROL = mostly(_wrapped(SMALL_PAYLOADS), st.one_of(st.just(b"x" * 126), _NOT_BYTES), 6)


def _step(
    name: str,
    *args: SearchStrategy[Any],
    final: SearchStrategy[bool | None] = _NO_FINAL,
    compress: SearchStrategy[bool | None] = _NO_FINAL,
) -> SearchStrategy[Step]:
    return st.builds(Step, st.just(name), st.tuples(*args), final, compress)


POLLS = st.sampled_from([Step("poll_event"), Step("poll_output"), Step("events"), Step("outputs")])
SENDS = st.one_of(
    _step("send_text", _TEXT, final=_FINAL, compress=_FINAL),
    _step("send_binary", _DATA, final=_FINAL, compress=_FINAL),
    _step("send_prepared", st.one_of(TEXTS, PAYLOADS).map(Prepared)),
    _step("streaming", _BOOLEANS),
    _step("send_continuation", st.one_of(_TEXT, _DATA), final=_FINAL),
    _step("send_ping", _CONTROL, _NOW),
    _step("send_pong", _CONTROL),
)


_OPENERS = st.sampled_from(["send_text", "send_binary"])
_SPOILER = mostly(st.just(b""), NOT_UTF8, 6)


@st.composite
def _fragments_sent(draw: DrawFn) -> list[Step]:
    """A message sent in pieces, which may divide characters; now and then it is not sound."""
    opener = draw(_OPENERS)
    data = draw(TEXTS).encode() + draw(_SPOILER)
    pieces = edges(data, draw(PLACES))
    return [
        Step(
            "send_continuation" if index else opener,
            (draw(_SAME_BYTES)(piece),),
            index == len(pieces) - 1,
        )
        for index, piece in enumerate(pieces)
    ]


ENDINGS = st.one_of(
    st.just(Step("close")),
    _step(
        "close",
        st.one_of(CLOSE_CODES, st.sampled_from([None, True, "1000", 1000.0])),
        st.one_of(st.text(max_size=8), st.sampled_from(["x" * 123, "é" * 62, "\ud800", None])),
    ),
    _step("feed_eof", _NOW),
)
ANSWERS = st.one_of(
    st.sampled_from([Step("accept_handshake_auto"), Step("accept_handshake")]),
    _step(
        "accept_handshake",
        st.sampled_from(
            [
                Response({"protocol": "chat"}),
                Response({"extensions": ["x"]}),
                Response({"extensions": ["permessage-deflate"]}),
                Response({"headers": [("Server", "s")]}),
                Response({"headers": [("Upgrade", "s")]}),
            ]
        ),
    ),
    _step(
        "reject_handshake",
        st.sampled_from([404, 204, 199, 600, "404"]),
        st.sampled_from(["", "No", "a\r\nb"]),
        st.sampled_from([(), (("X-A", "b"),), (("Connection", "x"),)]),
        st.sampled_from([b"", b"body", None]),
    ),
    st.just(Step("connect")),
)
TIMER_STEPS = _step(
    "handle_timer",
    mostly(st.sampled_from(TIMERS).map(Timer), st.sampled_from(["ping", None]), 6),
    _NOW,
)
CALLS = mostly(
    st.one_of(POLLS, SENDS), st.one_of(TIMER_STEPS, mostly(TIMER_STEPS, ENDINGS, 3), ANSWERS), 5
)


class Program(NamedTuple):
    """What happens to one connection from its making on."""

    role: str
    options: dict[str, Any]
    established: bool
    steps: list[Step]
    extensions: tuple[str, ...] = ()


AGREEMENTS: SearchStrategy[tuple[str, ...]] = st.sampled_from(
    [
        (),
        ("permessage-deflate",),
        ("permessage-deflate; server_no_context_takeover; client_no_context_takeover",),
        ("permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",),
    ]
)
_SIXTH = st.integers(min_value=1, max_value=6).map(lambda number: number == 6)
_BETWEEN_FEEDS = mostly(st.lists(CALLS, max_size=4), _fragments_sent(), 5)
_FEED_TIMES = st.sampled_from([None, 1.0, 3])
_AT_THE_END = st.lists(CALLS, max_size=2)


@st.composite
def programs(draw: DrawFn, *roles: str) -> Program:
    """A stream, fed in pieces, with all kinds of calls in between."""
    role = draw(st.sampled_from(roles or ROLES))
    established = draw(_BOOLEANS)
    data = draw(any_streams(masked=role == "server"))
    steps = []
    if not established:
        data = draw(handshakes(role)) + data
        if role == "client" and not draw(_SIXTH):
            steps.append(Step("connect"))
    # Most applications poll all there is, and answer: without that few get far.
    diligent = not draw(_SIXTH)
    accepts = role == "server" and not established
    byte_by_byte = len(data) <= 400 and draw(_SIXTH)
    for piece in [data[index : index + 1] for index in range(len(data) if byte_by_byte else 0)]:
        steps += [Step("feed_recv_buf", (piece,)), Step("events"), Step("outputs")]
        if accepts:
            steps += [Step("accept_handshake_auto")]
    for piece in edges(b"" if byte_by_byte else data, draw(PLACES)):
        fed = draw(_SAME_BYTES)(piece)
        steps.append(Step("feed_recv_buf", (fed, draw(_FEED_TIMES))))
        if accepts and diligent:
            steps += [Step("events"), Step("accept_handshake_auto")]
        if diligent:
            steps += [Step("events"), Step("outputs")]
        steps += draw(_BETWEEN_FEEDS)
    steps += [Step("events"), Step("outputs")]
    steps += draw(_AT_THE_END)
    steps += [Step("events"), Step("outputs"), Step("feed_eof"), Step("events"), Step("outputs")]
    steps += [Step("feed_recv_buf", (b"\x81\x00",)), Step("events"), Step("outputs")]
    extensions = draw(AGREEMENTS) if established else ()
    return Program(role, draw(options(role)), established, steps, extensions)

"""Malformed input, and what must come of it: one table for frames, one for each side's handshake.

Each row names the rule of BEHAVIOUR.md that it breaks.
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    PONG,
    TEXT,
    Side,
    close_body,
    frame,
    request,
    response,
)

# Frames


class FrameRow(NamedTuple):
    """What a peer sends on a connection that stands.

    `decided` is the number of bytes that are enough to see the violation, if not all are needed.
    """

    name: str
    rule: str
    build: Callable[[Side], bytes]
    text: str
    code: int = 1002
    error: str = "RemoteProtocolError"
    decided: int | None = None
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed
    roles: tuple[str, ...] = ("client", "server")
    compression: bool = False
    """Whether permessage-deflate was agreed on."""


REASONS = {
    1002: "protocol error",
    1007: "invalid payload data",
    1008: "policy violation",
    1009: "message too big",
}
"""The whole of what a peer is told: fixed words, which leak nothing."""


def _raw(first: int, second: int, rest: bytes = b"") -> Callable[[Side], bytes]:
    """A frame written octet by octet; the bit that says "masked" is added where it must be."""

    def build(side: Side) -> bytes:
        return bytes([first, second if side.is_client else second | 0x80]) + rest

    return build


def _sent(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
) -> Callable[[Side], bytes]:
    return lambda side: side.incoming(opcode, payload, fin=fin, rsv=rsv)


def _then(*parts: Callable[[Side], bytes]) -> Callable[[Side], bytes]:
    return lambda side: b"".join(part(side) for part in parts)


def _wrong_direction(opcode: int, payload: bytes = b"") -> Callable[[Side], bytes]:
    return lambda side: frame(opcode, payload, key=KEY if side.is_client else None)


def _close_with(code: int) -> FrameRow:
    return FrameRow(
        f"close code {code}", "R53", _sent(CLOSE, close_body(code)), f"the code {code},"
    )


def _compressed(
    name: str, rule: str, build: Callable[[Side], bytes], text: str, **more: Any
) -> FrameRow:
    return FrameRow(name, rule, build, text, compression=True, **more)


HELLO = bytes.fromhex("f248cdc9c90700")
"""The message of the examples in RFC 7692 section 7.2.3."""

FRAMES: list[FrameRow] = [
    *(
        FrameRow(
            f"opcode {opcode:#x}",
            "R9",
            _raw(0x80 | opcode, 5),
            f"opcode {opcode:#x} is not defined",
            decided=2,
        )
        for opcode in (3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF)
    ),
    # Reserved bits.
    FrameRow("RSV1 on text", "R26", _sent(TEXT, b"a", rsv=4), "RSV1 set", decided=2),
    FrameRow("RSV2 on binary", "R25", _sent(BINARY, b"a", rsv=2), "RSV2 set", decided=2),
    FrameRow("RSV3 on text", "R25", _sent(TEXT, b"a", rsv=1), "RSV3 set", decided=2),
    FrameRow("RSV2 and RSV3 on text", "R25", _sent(TEXT, rsv=3), "RSV2 and RSV3 set", decided=2),
    FrameRow("RSV1 on a Ping", "R27", _sent(PING, b"a", rsv=4), "RSV1 set", decided=2),
    FrameRow("RSV3 on a Close", "R25", _sent(CLOSE, rsv=1), "RSV3 set", decided=2),
    FrameRow(
        "RSV1 on a continuation",
        "R28",
        _then(_sent(TEXT, b"a", fin=False), _sent(CONTINUATION, b"b", rsv=4)),
        "RSV1 set",
    ),
    # Control frames.
    FrameRow("Ping without FIN", "R15", _sent(PING, fin=False), "PING frame is frag", decided=2),
    FrameRow("Pong without FIN", "R15", _sent(PONG, fin=False), "PONG frame is frag", decided=2),
    FrameRow("Close without FIN", "R15", _sent(CLOSE, fin=False), "CLOSE frame is frag", decided=2),
    FrameRow("Ping of 126 bytes", "R15", _sent(PING, bytes(126)), "PING frame has more", decided=2),
    FrameRow("Pong of 126 bytes", "R15", _sent(PONG, bytes(126)), "PONG frame has more", decided=2),
    FrameRow(
        "Close of 126 bytes",
        "R15",
        _sent(CLOSE, close_body(1000, "x" * 124)),
        "CLOSE frame has more",
        decided=2,
    ),
    FrameRow(
        "Ping that declares 2**63 - 1 bytes",
        "R15",
        _raw(0x89, 127, b"\x7f" + b"\xff" * 7),
        "PING frame has more",
        decided=2,
    ),
    # The direction of masking.
    FrameRow(
        "text not masked",
        "R22",
        _wrong_direction(TEXT, b"a"),
        "is not masked",
        decided=2,
        roles=("server",),
    ),
    FrameRow(
        "empty text not masked",
        "R22",
        _wrong_direction(TEXT),
        "is not masked",
        decided=2,
        roles=("server",),
    ),
    FrameRow(
        "Close not masked",
        "R22",
        _wrong_direction(CLOSE, close_body(1000)),
        "is not masked",
        decided=2,
        roles=("server",),
    ),
    FrameRow(
        "text masked",
        "R23",
        _wrong_direction(TEXT, b"a"),
        "is masked",
        decided=2,
        roles=("client",),
    ),
    FrameRow(
        "Ping masked", "R23", _wrong_direction(PING), "is masked", decided=2, roles=("client",)
    ),
    # Fragments out of order.
    FrameRow(
        "continuation of nothing", "R33", _sent(CONTINUATION, b"a"), "without a message", decided=2
    ),
    FrameRow(
        "unfinished continuation of nothing",
        "R33",
        _sent(CONTINUATION, b"a", fin=False),
        "without a message",
        decided=2,
    ),
    FrameRow(
        "continuation of a message that has ended",
        "R33",
        _then(_sent(BINARY, b"a", fin=False), _sent(CONTINUATION, b"b"), _sent(CONTINUATION, b"c")),
        "without a message",
    ),
    FrameRow(
        "text inside a text",
        "R34",
        _then(_sent(TEXT, b"a", fin=False), _sent(TEXT, b"b")),
        "TEXT frame inside",
    ),
    FrameRow(
        "binary inside a text",
        "R34",
        _then(_sent(TEXT, b"a", fin=False), _sent(BINARY, b"b", fin=False)),
        "BINARY frame inside",
    ),
    # Lengths.
    FrameRow(
        "length 0 in 16 bits",
        "R10",
        _raw(0x82, 126, b"\0\0"),
        "length 0 is written in 2",
        decided=4,
    ),
    FrameRow(
        "length 125 in 16 bits",
        "R10",
        _raw(0x82, 126, b"\0\x7d"),
        "length 125 is written in 2",
        decided=4,
    ),
    FrameRow(
        "length 0 in 64 bits",
        "R11",
        _raw(0x82, 127, bytes(8)),
        "length 0 is written in 8",
        decided=10,
    ),
    FrameRow(
        "length 126 in 64 bits",
        "R11",
        _raw(0x81, 127, bytes(7) + b"\x7e"),
        "length 126 is written in 8",
        decided=10,
    ),
    FrameRow(
        "length 65535 in 64 bits",
        "R11",
        _raw(0x82, 127, bytes(6) + b"\xff\xff"),
        "length 65535 is written in 8",
        decided=10,
    ),
    FrameRow(
        "length 2**63",
        "R12",
        _raw(0x82, 127, b"\x80" + bytes(7)),
        "length 0x8000000000000000 has its most significant bit set",
        decided=10,
    ),
    FrameRow(
        "length 2**64 - 1",
        "R12",
        _raw(0x82, 127, b"\xff" * 8),
        "length 0xffffffffffffffff has its most significant bit set",
        decided=10,
    ),
    # Limits.
    FrameRow(
        "frame of 2**63 - 1 bytes",
        "R79",
        _raw(0x82, 127, b"\x7f" + b"\xff" * 7),
        "frame of 9223372036854775807 bytes exceeds max_frame_size=67108864",
        code=1009,
        error="LimitExceeded",
        decided=10,
    ),
    FrameRow(
        "frame one byte too long",
        "R79",
        _sent(BINARY, bytes(126)),
        "frame of 126 bytes exceeds max_frame_size=125",
        code=1009,
        error="LimitExceeded",
        options={"max_frame_size": 125},
        decided=4,
    ),
    FrameRow(
        "message one byte too long",
        "R80",
        _sent(TEXT, b"12345"),
        "message of 5 bytes or more exceeds max_message_size=4",
        code=1009,
        error="LimitExceeded",
        options={"max_message_size": 4},
        decided=2,
    ),
    FrameRow(
        "fragments one byte too long together",
        "R80",
        _then(_sent(TEXT, b"123", fin=False), _sent(CONTINUATION, b"45", fin=False)),
        "message of 5 bytes or more exceeds max_message_size=4",
        code=1009,
        error="LimitExceeded",
        options={"max_message_size": 4},
    ),
    FrameRow(
        "one fragment too many",
        "1.2 fragments",
        _then(
            _sent(TEXT, fin=False),
            _sent(CONTINUATION, fin=False),
            _sent(CONTINUATION, fin=False),
        ),
        "message of 3 fragments or more exceeds max_fragments=2",
        code=1008,
        error="LimitExceeded",
        options={"max_fragments": 2},
    ),
    # Close frames.
    FrameRow("Close with half a code", "R54", _sent(CLOSE, b"\x03"), "half a close code"),
    *(
        _close_with(code)
        for code in (*(0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535),)
    ),
    FrameRow(
        "close reason with 0xFF",
        "1.1 close reason not UTF-8",
        _sent(CLOSE, close_body(1000, b"a\xff")),
        "reason",
        code=1007,
        error="InvalidUtf8",
    ),
    FrameRow(
        "close reason that is cut off",
        "1.1 close reason not UTF-8",
        _sent(CLOSE, close_body(1001, "é".encode()[:1])),
        "reason",
        code=1007,
        error="InvalidUtf8",
    ),
    # Text that is not UTF-8.
    *(
        FrameRow(
            name,
            "R39",
            _sent(TEXT, b"ab" + octets),
            f"no character begins with {octets[0]:#04x} at byte 2",
            code=1007,
            error="InvalidUtf8",
        )
        for name, octets in (
            ("lone continuation octet", b"\x80"),
            ("octet 0xFF", b"\xff."),
            ("overlong slash", b"\xc0\xaf"),
            ("overlong in three octets", b"\xe0\x80\xaf"),
            ("surrogate", b"\xed\xa0\x80"),
            ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
            ("lead octet 0xF5", b"\xf5\x80\x80\x80"),
            ("cut off after one octet of two", b"\xc3"),
            ("cut off after three octets of four", b"\xf0\x9f\x98"),
            ("lead octet, then ASCII", b"\xc3."),
        )
    ),
    FrameRow(
        "character cut off at the end of the last fragment",
        "R39",
        _then(_sent(TEXT, b"a\xe2\x82", fin=False), _sent(CONTINUATION, b"")),
        "no character begins with 0xe2 at byte 1",
        code=1007,
        error="InvalidUtf8",
    ),
    FrameRow(
        "bad octet in the first fragment",
        "1.2 UTF-8",
        _sent(TEXT, b"\xff", fin=False),
        "no character begins with 0xff at byte 0",
        code=1007,
        error="InvalidUtf8",
    ),
    # Compression (RFC 7692).
    _compressed("RSV2 beside RSV1", "R25", _sent(TEXT, HELLO, rsv=6), "RSV2 set", decided=2),
    _compressed("RSV3 beside RSV1", "R25", _sent(TEXT, HELLO, rsv=5), "RSV3 set", decided=2),
    _compressed("RSV1 on a Close", "R27", _sent(CLOSE, rsv=4), "RSV1 set", decided=2),
    _compressed("RSV1 on a Pong", "R27", _sent(PONG, b"a", rsv=4), "RSV1 set", decided=2),
    _compressed(
        "RSV1 on a continuation of nothing",
        "R28",
        _sent(CONTINUATION, HELLO, rsv=4),
        "RSV1 set",
        decided=2,
    ),
    _compressed(
        "RSV1 on a continuation of a compressed message",
        "R28",
        _then(_sent(TEXT, HELLO[:3], fin=False, rsv=4), _sent(CONTINUATION, HELLO[3:], rsv=4)),
        "RSV1 set",
    ),
    _compressed(
        "RSV1 on a Ping inside a compressed message",
        "R27",
        _then(_sent(TEXT, HELLO[:3], fin=False, rsv=4), _sent(PING, b"a", rsv=4)),
        "RSV1 set",
    ),
    _compressed(
        "compressed message inside a compressed message",
        "R34",
        _then(_sent(TEXT, HELLO[:3], fin=False, rsv=4), _sent(TEXT, HELLO, rsv=4)),
        "TEXT frame inside",
    ),
    *(
        _compressed(
            name,
            "1.3 broken streams",
            _sent(BINARY, bytes.fromhex(payload), rsv=4),
            "compressed message cannot be inflated",
            code=1007,
            error="InvalidCompressedData",
        )
        for name, payload in (
            ("compressed message of no octets", ""),
            ("compressed message with its tail", "f248cdc9c907000000ffff"),
            ("compressed message that is cut off", "000500faff48656c00"),
            ("compressed message that is no DEFLATE", "ffffff00"),
            ("compressed message with a wrong length in it", "000500fafe48656c6c6f00"),
            ("compressed message that ends with its final block", "f348cdc9c90700"),
            ("compressed message that refers to nothing", "f200110000"),
        )
    ),
    _compressed(
        "compressed message of 1,025 final blocks",
        "1.3 BFINAL",
        _sent(BINARY, b"\x03\x00" * 1025 + b"\x00", rsv=4),
        "more than 1024 final blocks",
        code=1008,
    ),
    _compressed(
        "inflated message one byte too long",
        "R82",
        _sent(TEXT, HELLO, rsv=4),
        "exceeds max_decompressed_size=4",
        code=1009,
        error="LimitExceeded",
        options={"max_decompressed_size": 4, "max_message_size": 5},
    ),
    _compressed(
        "inflated message one byte too long for a message",
        "R80",
        _then(_sent(TEXT, HELLO[:3], fin=False, rsv=4), _sent(CONTINUATION, HELLO[3:])),
        "exceeds max_message_size=4",
        code=1009,
        error="LimitExceeded",
        options={"max_decompressed_size": 5, "max_message_size": 4},
    ),
    _compressed(
        "compressed frame one byte too long",
        "R79",
        _sent(TEXT, HELLO, rsv=4),
        "frame of 7 bytes exceeds max_frame_size=6",
        code=1009,
        error="LimitExceeded",
        options={"max_frame_size": 6},
        decided=2,
    ),
    _compressed(
        "compressed text that is not UTF-8",
        "1.2 UTF-8",
        _sent(TEXT, bytes.fromhex("000100feffff00"), fin=False, rsv=4),
        "no character begins with 0xff at byte 0",
        code=1007,
        error="InvalidUtf8",
    ),
]


# Handshakes


class HandshakeRow(NamedTuple):
    """What a peer sends instead of an opening handshake, or of the answer to one."""

    name: str
    rule: str
    data: bytes
    text: str
    status: int = 400
    error: str = "InvalidHandshake"
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


ANSWERS = {
    400: b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    403: b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    405: (
        b"HTTP/1.1 405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\n"
        b"Content-Length: 0\r\n\r\n"
    ),
    408: b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    426: (
        b"HTTP/1.1 426 Upgrade Required\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
    ),
    431: (
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
        b"Content-Length: 0\r\n\r\n"
    ),
    503: b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}
"""What a server answers, to the byte."""


def _asking(rule: str, name: str, text: str, **changes: str | None) -> HandshakeRow:
    """A request with other values; underscores stand for hyphens."""
    return HandshakeRow(
        name, rule, request(changes={k.replace("_", "-"): v for k, v in changes.items()}), text
    )


def _asking_more(rule: str, name: str, text: str, *extra: tuple[str, str]) -> HandshakeRow:
    return HandshakeRow(name, rule, request(extra=extra), text)


def _version(name: str, value: str) -> HandshakeRow:
    return HandshakeRow(
        name,
        "R109",
        request(changes={"Sec-WebSocket-Version": value}),
        f"Sec-WebSocket-Version is {value!r}",
        426,
        "VersionNotSupported",
    )


REQUESTS: list[HandshakeRow] = [
    # No HTTP/1.1.
    HandshakeRow("TLS ClientHello", "R154", b"\x16\x03\x01\x02\x00", "is this TLS?"),
    HandshakeRow("HTTP/1.0", "R104", request("GET /chat HTTP/1.0"), "'HTTP/1.0'"),
    HandshakeRow("HTTP/1.2", "R104", request("GET /chat HTTP/1.2"), "'HTTP/1.2'"),
    HandshakeRow("HTTP/2.0", "R104", request("GET /chat HTTP/2.0"), "'HTTP/2.0'"),
    HandshakeRow("no version", "R104", request("GET /chat"), "request line"),
    HandshakeRow("two spaces", "R104", request("GET  /chat HTTP/1.1"), "request line"),
    HandshakeRow("empty line first", "R153", b"\r\n" + request(), "empty line"),
    HandshakeRow("LF alone", "R152", request().replace(b"\r\n", b"\n"), "LF without CR"),
    HandshakeRow("CR in a value", "R152", request(extra=[("A", "b\rc")]), "CR without LF"),
    HandshakeRow("folded line", "R153", request(extra=[("A", "b\r\n c")]), "folding"),
    HandshakeRow(
        "space before the colon", "R153", request(extra=[("A ", "b")]), "before the colon"
    ),
    HandshakeRow("no colon", "R153", request(extra=[("A\r\nB", "")]), "no colon"),
    HandshakeRow("empty name", "R153", request(extra=[("", "b")]), "not a token"),
    HandshakeRow("name not a token", "R153", request(extra=[("A(", "b")]), "not a token"),
    HandshakeRow("NUL in a value", "R153", request(extra=[("A", "b\0")]), "0x00"),
    HandshakeRow(
        "value not UTF-8", "R153", request(extra=[("A", "?")]).replace(b"?", b"\xff"), "not UTF-8"
    ),
    HandshakeRow(
        "head too large",
        "1.4 both",
        request(extra=[("A", "b" * 400)]),
        "exceeds max_handshake_size=256",
        431,
        "LimitExceeded",
        {"max_handshake_size": 256},
    ),
    HandshakeRow(
        "101 fields",
        "R150",
        request(extra=[("A", "b")] * 96),
        "exceeds",
        431,
        "LimitExceeded",
    ),
    # HTTP, but not an opening handshake.
    HandshakeRow("POST", "R104", request("POST /chat HTTP/1.1"), "'POST'", 405),
    HandshakeRow("get", "R104", request("get /chat HTTP/1.1"), "'get'", 405),
    HandshakeRow("target *", "R105", request("GET * HTTP/1.1"), "target '*'"),
    HandshakeRow("target with ws://", "R105", request("GET ws://a/ HTTP/1.1"), "target 'ws://a/'"),
    HandshakeRow("target with host:port", "R105", request("GET a:80 HTTP/1.1"), "target 'a:80'"),
    _asking("R106", "no Host", "one Host", Host=None),
    _asking("1.4 server: refused", "empty Host", "Host ''", Host=""),
    _asking("R106", "Host with a path", "Host 'a/b'", Host="a/b"),
    _asking_more("R106", "two Hosts", "one Host", ("Host", "server.example.com")),
    _asking_more("1.4 server: refused", "a body by length", "body", ("Content-Length", "1")),
    _asking_more("1.4 server: refused", "a chunked body", "body", ("Transfer-Encoding", "chunked")),
    _asking("R107", "no Upgrade", "Upgrade", Upgrade=None),
    _asking("R107", "Upgrade with a version", "Upgrade", Upgrade="websocket/13"),
    _asking("R108", "no Connection", "Connection", Connection=None),
    _asking("R108", "Connection without upgrade", "Connection", Connection="keep-alive"),
    _asking("R108", "upgrade behind a no-break space", "Connection", Connection="\u00a0upgrade"),
    _asking("R109", "no version of the protocol", "Version", Sec_WebSocket_Version=None),
    _asking_more("R109", "two versions", "Version", ("Sec-WebSocket-Version", "13")),
    _version("version 8", "8"),
    _version("empty version", ""),
    _version("version with a zero", "013"),
    _version("list of versions", "13, 8"),
    _asking("R110", "no key", "Key", Sec_WebSocket_Key=None),
    _asking("R110", "key too short", "Key 'AAAA'", Sec_WebSocket_Key="AAAA"),
    _asking("R110", "key for URLs", "Key", Sec_WebSocket_Key="_" + "A" * 20 + "A=="),
    _asking("R110", "key with trailing bits", "Key", Sec_WebSocket_Key="A" * 21 + "B=="),
    _asking("R110", "key without padding", "Key", Sec_WebSocket_Key="A" * 22),
    _asking("R110", "key with a space", "Key", Sec_WebSocket_Key="A" * 10 + " " + "A" * 11 + "=="),
    _asking_more("R110", "two keys", "Key", ("Sec-WebSocket-Key", "A" * 22 + "==")),
    _asking_more("R111", "empty protocols", "Protocol", ("Sec-WebSocket-Protocol", " , ")),
    _asking_more("R111", "protocol not a token", "'a b'", ("Sec-WebSocket-Protocol", "a b")),
    _asking_more("R111", "protocol twice", "twice", ("Sec-WebSocket-Protocol", "a, b, a")),
    _asking_more("R112", "empty extensions", "Extensions", ("Sec-WebSocket-Extensions", ",")),
    HandshakeRow(
        "extension not a token",
        "R112",
        request(extra=[("Sec-WebSocket-Extensions", "a/b")]),
        "a/b",
        error="ExtensionParseError",
    ),
    _asking_more("1.4 server: refused", "two Origins", "Origin", ("Origin", "a"), ("Origin", "a")),
    HandshakeRow(
        "Origin that is not allowed",
        "1.4 server: the answer",
        request(extra=[("Origin", "http://evil.example")]),
        "'http://evil.example' is not allowed",
        403,
        options={"origins": ["http://good.example"]},
    ),
]


def _answering(rule: str, name: str, text: str, **changes: str | None) -> HandshakeRow:
    return HandshakeRow(
        name, rule, response(changes={k.replace("_", "-"): v for k, v in changes.items()}), text
    )


def _answering_more(rule: str, name: str, text: str, *extra: tuple[str, str]) -> HandshakeRow:
    return HandshakeRow(name, rule, response(extra=extra), text, options={"protocols": ["chat"]})


def _refusing(name: str, start: str, text: str) -> HandshakeRow:
    return HandshakeRow(
        name,
        "R132",
        response(start, extra=[("Content-Length", "0")]),
        text,
        error="UnexpectedHttpResponse",
    )


RESPONSES: list[HandshakeRow] = [
    # No HTTP/1.1.
    HandshakeRow("TLS alert", "R154", b"\x15\x03\x01\x00\x02\x02\x46", "0x15"),
    HandshakeRow("frames at once", "R152", b"\x81\x02hi", "0x02"),
    HandshakeRow("another protocol", "1.4 client", b"SSH-2.0-x\r\n", "status line 'SSH-2.0-x'"),
    HandshakeRow("101 of HTTP/1.0", "1.4 client", response("HTTP/1.0 101 Hm"), "HTTP/1.0"),
    HandshakeRow("101 of HTTP/2.0", "1.4 client", response("HTTP/2.0 101 Hm"), "HTTP/2.0"),
    HandshakeRow("status +101", "1.4 client", response("HTTP/1.1 +101 Hm"), "status line"),
    HandshakeRow("status 1010", "1.4 client", response("HTTP/1.1 1010 Hm"), "status line"),
    HandshakeRow("status ١٠١", "1.4 client", response("HTTP/1.1 ١٠١ Hm"), "status line"),
    HandshakeRow("empty line first", "R153", b"\r\n" + response(), "empty line"),
    HandshakeRow("LF alone", "R152", response().replace(b"\r\n", b"\n"), "LF without CR"),
    HandshakeRow("folded line", "R153", response(extra=[("A", "b\r\n c")]), "folding"),
    HandshakeRow("space before the colon", "R153", response(extra=[("A ", "b")]), "the colon"),
    HandshakeRow("NUL in a value", "R153", response(extra=[("A", "b\0")]), "0x00"),
    HandshakeRow(
        "value not UTF-8", "R153", response(extra=[("A", "?")]).replace(b"?", b"\xff"), "not UTF-8"
    ),
    HandshakeRow(
        "head too large",
        "1.4 both",
        response(extra=[("A", "b" * 400)]),
        "exceeds max_handshake_size=256",
        error="LimitExceeded",
        options={"max_handshake_size": 256},
    ),
    HandshakeRow(
        "interim responses too large together",
        "1.4 both",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 11,
        "exceeds max_handshake_size=256",
        error="LimitExceeded",
        options={"max_handshake_size": 256},
    ),
    HandshakeRow(
        "101 fields", "R150", response(extra=[("A", "b")] * 98), "exceeds", error="LimitExceeded"
    ),
    # Other statuses.
    _refusing("200", "HTTP/1.1 200 OK", "'200 OK'"),
    _refusing("301", "HTTP/1.1 301 Moved Permanently", "'301 Moved Permanently'"),
    _refusing("404 of HTTP/1.0", "HTTP/1.0 404 Not Found", "'404 Not Found'"),
    _refusing("500 without a reason", "HTTP/1.1 500", "'500'"),
    _refusing("status out of the classes", "HTTP/1.1 999 Odd", "'999 Odd'"),
    # A 101 that breaks a rule.
    _answering("R134", "no Upgrade", "Upgrade", Upgrade=None),
    _answering("R134", "another Upgrade", "Upgrade", Upgrade="h2c"),
    _answering("R134", "no Connection", "Connection", Connection=None),
    _answering("R134", "another Connection", "Connection", Connection="close"),
    _answering("R135", "no Accept", "one Sec-WebSocket-Accept", Sec_WebSocket_Accept=None),
    _answering("R135", "empty Accept", "Accept is ''", Sec_WebSocket_Accept=""),
    _answering(
        "R135",
        "Accept in lower case",
        "Accept is 's3pplmbitxaq9kygzzhzrbk+xoo='",
        Sec_WebSocket_Accept="s3pplmbitxaq9kygzzhzrbk+xoo=",
    ),
    _answering_more("R135", "two Accepts", "one", ("Sec-WebSocket-Accept", "x")),
    _answering_more("R136", "protocol not offered", "'other'", ("Sec-WebSocket-Protocol", "other")),
    _answering_more("R136", "protocol in capitals", "'CHAT'", ("Sec-WebSocket-Protocol", "CHAT")),
    _answering_more("R136", "empty protocol", "''", ("Sec-WebSocket-Protocol", "")),
    _answering_more(
        "R136", "list of protocols", "'chat, x'", ("Sec-WebSocket-Protocol", "chat, x")
    ),
    _answering_more(
        "R136",
        "two protocols",
        "one",
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Protocol", "chat"),
    ),
    _answering_more("R137", "empty extensions", "empty", ("Sec-WebSocket-Extensions", "")),
    _answering_more(
        "R137", "extension not offered", "'x-foo'", ("Sec-WebSocket-Extensions", "x-foo")
    ),
    HandshakeRow(
        "extension not a token",
        "R137",
        response(extra=[("Sec-WebSocket-Extensions", "x foo")]),
        "x foo",
        error="ExtensionParseError",
    ),
]

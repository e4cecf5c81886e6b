"""Writes the seeds of the corpus: ``python tests/fuzz/seeds.py``.

Each is a piece of real traffic in the layout of its target. What fuzzing has found lies beside
them and is left alone.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from fuzz.layout import lay_out
from fuzz.targets import AGREEMENTS, CALLS
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
from strategies import ROLES, deflated, option_choices

__all__ = ["seeds"]

CORPUS = Path(__file__).resolve().parent / "corpus"

NO_KEY = bytes(4)
"""Masks nothing: what is changed in a payload arrives as it is changed."""

JSON = b'{"id":1,"name":"Ada","tags":["a","b"]},' * 4


def takeover(*contents: bytes, window: int = 15) -> list[bytes]:
    """The payloads of messages that one compressor has written (RFC 7692 section 7.2.1)."""
    compressor = zlib.compressobj(wbits=-window)
    flushed = [
        compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH) for content in contents
    ]
    return [payload[:-4] for payload in flushed]


# RFC 7692 section 7.2.3: in two fragments, uncompressed, with a final block, in two blocks, empty.
DEFLATE = {
    "hello": bytes.fromhex("f248cdc9c90700"),
    "stored": bytes.fromhex("000500faff48656c6c6f00"),
    "final": bytes.fromhex("f348cdc9c9070000"),
    "two-blocks": bytes.fromhex("f248050000 00ffffcac9c90700".replace(" ", "")),
    "empty": b"\x00",
    "json": deflated(JSON),
    "text": deflated("日本語のテキスト🎉".encode() * 3),
    "bomb": deflated(bytes(70000)),
    "broken": b"\xff\xff\xff",
    "cut": deflated(JSON)[:-3],
    "nothing": b"",
    "many-final": b"\x03\x00" * 40 + b"\x00",
    "dynamic": deflated(bytes(range(256)) * 2 + JSON),
}


def wires(masked: bool) -> dict[str, bytes]:
    """Streams that a peer sends after the handshake."""
    key = NO_KEY if masked else None

    def write(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        return frame(opcode, payload, fin=fin, rsv=rsv, key=key)

    compressed = takeover(JSON, JSON[:50], "日本".encode())
    return {
        "nothing": b"",
        "hello": write(TEXT, b"Hello"),
        "hello-masked": frame(TEXT, b"Hello", key=b"\x37\xfa\x21\x3d" if masked else None),
        "fragments": write(TEXT, b"Hel", fin=False) + write(CONTINUATION, b"lo"),
        "ping-between": write(TEXT, b"\xe6\x97", fin=False)
        + write(PING, b"p")
        + write(CONTINUATION, b"\xa5"),
        "empty-fragments": write(BINARY, fin=False)
        + write(CONTINUATION, fin=False) * 3
        + write(CONTINUATION),
        "length-16": write(BINARY, bytes(126)) + write(TEXT, b"a" * 300),
        "not-minimal": bytes([0x82, 126 | masked << 7, 0, 5]) + (key or b"") + b"hello",
        "huge": bytes([0x82, 127 | masked << 7]) + (1 << 40).to_bytes(8, "big") + (key or b""),
        "ping": write(PING, b"Hello") + write(PONG, b"ping") + write(PONG),
        "close": write(CLOSE, close_body(1000, "bye")) + write(TEXT, b"late"),
        "close-empty": write(CLOSE),
        "close-half": write(CLOSE, b"\x03"),
        "close-1005": write(CLOSE, close_body(1005)),
        "close-not-utf8": write(CLOSE, close_body(1000, b"\xff")),
        "not-utf8": write(TEXT, b"abc\xe6\x97("),
        "surrogate": write(TEXT, b"\xed\xa0", fin=False) + write(CONTINUATION, b"\x80"),
        "four-octets": write(TEXT, "🎉".encode()[:3], fin=False) + write(CONTINUATION, b"\x89"),
        "opcode-3": write(3),
        "rsv2": write(TEXT, b"a", rsv=2),
        "control-too-long": write(PING, bytes(126)),
        "control-fragmented": write(PING, fin=False),
        "interrupted": write(TEXT, b"a", fin=False) + write(TEXT, b"b"),
        "nothing-to-continue": write(CONTINUATION, b"a"),
        "wrong-mask": frame(TEXT, b"a", key=None if masked else NO_KEY),
        "many": (write(TEXT, b"a") + write(PING)) * 20,
        "takeover": b"".join(
            write(TEXT if index else BINARY, payload, rsv=4)
            for index, payload in enumerate(compressed)
        ),
        "compressed-fragments": write(TEXT, compressed[0][:9], fin=False, rsv=4)
        + write(PING)
        + write(CONTINUATION, compressed[0][9:20], fin=False)
        + write(CONTINUATION, compressed[0][20:]),
        **{
            f"deflate-{name}": write(
                TEXT if name in ("hello", "json", "text") else BINARY, payload, rsv=4
            )
            for name, payload in DEFLATE.items()
        },
    }


def call(name: str) -> int:
    """The octet of the first call of this name."""
    return 0x80 + [step.name for step in CALLS].index(name)


PLAYS = {
    "sends": [3, call("send_text") + 1, 4, call("send_binary") + 1, call("outputs")],
    "fragments": [call("send_text") + 4, 2, call("send_continuation"), 5, call("send_ping"), 139],
    "streams": [call("streaming"), 1, 1, 1, 9, call("streaming") + 1],
    "closes": [call("send_ping") + 1, call("close"), 7, call("handle_timer") + 3, 200],
    "times-out": [call("handle_timer") + 1, call("handle_timer") + 2, 5, call("feed_eof")],
    "prepared": [call("send_prepared"), call("send_text") + 3, 6, call("send_prepared") + 1],
}
"""What an application does meanwhile; small numbers are reads."""


def _frames() -> Iterator[tuple[str, bytes]]:
    for name, wire in wires(masked=True).items():
        if not name.startswith("deflate"):
            yield name, lay_out(bytes([1, 2, 7]), rest=wire)
    for name in ("hello", "length-16", "huge"):
        yield f"unmasked-{name}", lay_out(b"", rest=wires(masked=False)[name])


def _messages() -> Iterator[tuple[str, bytes]]:
    plays = list(PLAYS.items())
    for index, (role, masked) in enumerate(zip(ROLES, (False, True))):
        opening = response() if role == "client" else request()
        options = [name for name, _ in option_choices(role)]
        for number, (name, wire) in enumerate(wires(masked).items()):
            compressed = name.startswith(("deflate", "takeover", "compressed"))
            agreement = 1 + number % 2 if compressed else number % len(AGREEMENTS)
            play, calls = plays[number % len(plays)]
            yield (
                f"{role}-{name}-{play}",
                lay_out(index, agreement, 0, 0, 0, bytes(calls), rest=wire),
            )
        for play, calls in plays:
            yield (
                f"{role}-opening-{play}",
                lay_out(
                    index,
                    len(AGREEMENTS),
                    *(0, 0, 0),
                    bytes([len(opening) // 2] * 2 + calls),
                    rest=opening + wires(masked)["ping-between"],
                ),
            )
        for limit in ("max_message_size", "max_decompressed_size", "max_fragments"):
            choice = 2 + options.index(limit)
            yield (
                f"{role}-{limit}",
                lay_out(
                    index, 1, choice, 0, 0, b"\x05", rest=wires(masked)["compressed-fragments"]
                ),
            )


_REQUESTS = {
    "sound": request(),
    "frames": request() + frame(TEXT, b"Hello", key=NO_KEY),
    "protocols": request(extra=[("Sec-WebSocket-Protocol", "chat, superchat")]),
    "extensions": request(
        extra=[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits, x")]
    ),
    "offers": request(
        extra=[
            ("Sec-WebSocket-Extensions", "permessage-deflate; server_max_window_bits=8"),
            ("sec-websocket-extensions", 'permessage-deflate; server_max_window_bits="10"'),
        ]
    ),
    "origin": request(extra=[("Origin", "https://example.com")]),
    "browser": request(
        "GET /chat?a=%20b HTTP/1.1",
        {"Connection": "keep-alive, Upgrade"},
        [("User-Agent", "Mozilla/5.0"), ("Cookie", "a=1; b=é"), ("Pragma", "no-cache")],
    ),
    "absolute": request("GET http://server.example.com/ HTTP/1.1"),
    "ipv6": request(changes={"Host": "[::1]:8080"}),
    "version-8": request(changes={"Sec-WebSocket-Version": "8"}),
    "not-upgraded": request(changes={"Upgrade": "h2c"}),
    "short-key": request(changes={"Sec-WebSocket-Key": "short"}),
    "post": request("POST /chat HTTP/1.1"),
    "head": request("HEAD /chat HTTP/1.1"),
    "http-1.0": request("GET /chat HTTP/1.0"),
    "body": request(extra=[("Content-Length", "3")]) + b"abc",
    "chunked": request(extra=[("Transfer-Encoding", "chunked")]) + b"0\r\n\r\n",
    "two-lengths": request(extra=[("Content-Length", "0"), ("Content-Length", "3")]),
    "two-hosts": request(extra=[("Host", "other")]),
    "folded": request().replace(b"Upgrade: ", b"Upgrade:\r\n "),
    "bare-lf": request().replace(b"\r\n", b"\n"),
    "space-before-colon": request().replace(b"Upgrade:", b"Upgrade :"),
    "not-utf8": request(extra=[("X-A", "b")]).replace(b"X-A: b", b"X-A: \xff"),
    "tls": bytes.fromhex("16030100a5010000a10303"),
    "cut": request()[:-2],
    "empty-line": b"\r\n" + request(),
}

_CHUNKED = [("Transfer-Encoding", "chunked")]
_RESPONSES = {
    "sound": response(),
    "frames": response() + frame(TEXT, b"Hello") + frame(CLOSE, close_body(1000)),
    "protocol": response(extra=[("Sec-WebSocket-Protocol", "chat")]),
    "deflate": response(extra=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    + frame(TEXT, DEFLATE["hello"], rsv=4),
    "window": response(
        extra=[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=8")]
    ),
    "unknown-extension": response(extra=[("Sec-WebSocket-Extensions", "x")]),
    "interim": head("HTTP/1.1 103 Early Hints", [("Link", "</x>")]) + response(),
    "lower-case": response().lower().replace(b"http/", b"HTTP/"),
    "wrong-accept": response(changes={"Sec-WebSocket-Accept": "x"}),
    "no-upgrade": response(changes={"Upgrade": None}),
    "http-1.0": response("HTTP/1.0 101 Switching Protocols"),
    "no-reason": response("HTTP/1.1 101 "),
    "four-digits": response("HTTP/1.1 0101 x"),
    "not-found": head("HTTP/1.1 404 Not Found", [("Content-Length", "5")]) + b"hello",
    "redirect": head("HTTP/1.1 302 Found", [("Location", "/x"), ("Content-Length", "0")]),
    "until-eof": head("HTTP/1.0 200 OK", []) + b"<html>",
    "chunked": head("HTTP/1.1 403 Forbidden", _CHUNKED)
    + b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nmore",
    "chunked-badly": head("HTTP/1.1 403 Forbidden", _CHUNKED) + b"3\r\nhello",
    "unauthorized": head(
        "HTTP/1.1 401 Unauthorized", [("WWW-Authenticate", "Basic"), ("Content-Length", "0")]
    ),
    "not-modified": head("HTTP/1.1 304 Not Modified", [("Content-Length", "9")]),
    "lengths": head("HTTP/1.1 500 x", [("Content-Length", "2, 2")]) + b"ab",
    "folded": response().replace(b"Upgrade: ", b"Upgrade:\r\n "),
    "bare-lf": response().replace(b"\r\n", b"\n"),
    "cut": response()[:-3],
    "not-http": b"SSH-2.0-OpenSSH_9.2\r\n",
}


def _handshakes(role: str, wires: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    choices = [("auto_pong", True), *option_choices(role)]
    choices = [choice for choice in choices if choice[0] != "headers"]
    names = [name for name, _ in choices]
    for name, wire in wires.items():
        deflate = names.index("deflate") if "deflate" in name or "x" in name else 0
        protocols = names.index("protocols") if "protocol" in name else 0
        yield name, lay_out(deflate, protocols, bytes([0, 30, 60]), rest=wire)
    for option in ("max_handshake_size", "deflate", "protocols"):
        yield option, lay_out(names.index(option), 0, b"\x09", rest=wires["sound"])


_WRITTEN = {
    "request": (0, 0, "/chat", "example.com", "", "", "", ""),
    "request-full": (0, 0, "/a?b=c", "[::1]:80", "https://a", "chat,x", "Cookie", "a=é"),
    "request-absolute": (0, 0, "http://a/b", "a", "", "", "X-A", "b"),
    "request-injected": (0, 0, "/chat", "example.com", "", "", "X-A", "b\r\nX-B: c"),
    "request-reserved": (0, 0, "/chat", "example.com", "", "", "Upgrade", "x"),
    "request-space": (0, 0, "/a b", "example.com", "", "", "", ""),
    "answer": (1, 0, "chat", "", "", ""),
    "answer-full": (1, 0, "chat", "x; a=b", "Server", "s"),
    "answer-injected": (1, 0, "", "x\r\nA: b", "", ""),
    "refusal": (2, 127, "", "", "", ""),
    "refusal-full": (2, 126, "Nö", "X-A", "b", "body"),
    "refusal-204": (2, 27, "", "", "", ""),
    "refusal-304": (2, 77, "", "", "", "body"),
    "refusal-426": (2, 138, "", "Sec-WebSocket-Version", "13", ""),
    "refusal-injected": (2, 127, "a\r\nb", "", "", ""),
    "refusal-low": (2, 0, "", "", "", ""),
}

_EXTENSIONS = {
    "nothing": "",
    "plain": "permessage-deflate",
    "chromium": "permessage-deflate; client_max_window_bits",
    "all": "permessage-deflate; server_no_context_takeover; client_no_context_takeover;"
    " server_max_window_bits=10; client_max_window_bits=12",
    "several": "permessage-deflate; server_max_window_bits=8, permessage-deflate",
    "quoted": 'permessage-deflate; client_max_window_bits="1\\0"',
    "quoted-comma": 'a; b="c,d"; e',
    "quoted-open": 'a; b="c, d',
    "quoted-empty": 'a; b=""',
    "quoted-behind": 'a; b="c"d',
    "twice": "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
    "unknown": "permessage-deflate; x",
    "value": "permessage-deflate; server_no_context_takeover=1",
    "window-7": "permessage-deflate; server_max_window_bits=7",
    "window-08": "permessage-deflate; client_max_window_bits=08",
    "window-arabic": "permessage-deflate; client_max_window_bits=١٢",
    "window-missing": "permessage-deflate; server_max_window_bits",
    "empty-param": "a;;b;",
    "empty-elements": ", a,,b ,",
    "tabs": "a\t;\tb\t=\tc\t,\td",
    "no-break-space": "a;\xa0b",
    "not-token": "a b",
}


def _inflate() -> Iterator[tuple[str, bytes]]:
    for index, (name, payload) in enumerate(DEFLATE.items()):
        yield name, lay_out(index % 3, index % 4, index % 4, b"", bytes([1, 3]), rest=payload)
    first, *others = takeover(JSON, JSON, b"", bytes(300), window=9)
    sizes = bytes([len(first), *map(len, others)])
    for config in range(4):
        data = b"".join([first, *others])
        yield f"takeover-{config}", lay_out(config, 0, config, sizes, b"\x02", rest=data)


def _compress() -> Iterator[tuple[str, bytes]]:
    contents = {
        "json": JSON * 2,
        "text": "日本語".encode() * 20,
        "octets": bytes(range(256)),
        "nothing": b"",
    }
    for name, content in contents.items():
        for config in range(4):
            yield f"{name}-{config}", lay_out(config, bytes([40, 41]), bytes([7, 20]), rest=content)


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """Yield target, name and bytes of each seed."""
    makers = {
        "frames": _frames(),
        "messages": _messages(),
        "server_handshake": _handshakes("server", _REQUESTS),
        "client_handshake": _handshakes("client", _RESPONSES),
        "written_heads": (
            (name, lay_out(kind, status, rest="\x1f".join(texts).encode()))
            for name, (kind, status, *texts) in _WRITTEN.items()
        ),
        "extensions": (
            (name, lay_out(index % 4, rest=text.encode()))
            for index, (name, text) in enumerate(_EXTENSIONS.items())
        ),
        "inflate": _inflate(),
        "compress": _compress(),
    }
    for target, made in makers.items():
        for name, data in made:
            yield target, name, data


def main() -> None:
    for target, name, data in seeds():
        file = CORPUS / target / f"{name}.seed"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


if __name__ == "__main__":
    main()

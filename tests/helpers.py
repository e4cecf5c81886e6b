"""What the tests of the connections share: a strict reader of frames, and a side to speak to.

`WireFrame` and `read_frames` are written anew from RFC 6455 section 5.2, so that what a connection
sends is judged by something else than the library that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

KEY = b"\x37\xfa\x21\x3d"
"""The masking key of the example in RFC 6455 section 5.7."""

NO_KEY = bytes(4)
"""A masking key that changes nothing."""

NONCE = b"the sample nonce"
NONCE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""Nonce, key and answer of the example in RFC 6455 section 1.3."""


# Frames


class WireFrame(NamedTuple):
    """A frame as it stands on the wire, its payload unmasked."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    masked: bool = False
    key: bytes = b""


def xor(data: bytes, key: bytes) -> bytes:
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    masked = int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")
    return masked.to_bytes(size, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
) -> bytes:
    """Write a frame with nothing checked; `rsv` holds RSV1 to RSV3 as the bits 4, 2 and 1."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    masked = 0 if key is None else 0x80
    if len(payload) < 126:
        head += bytes([masked | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([masked | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([masked | 127]) + len(payload).to_bytes(8, "big")
    return head + payload if key is None else head + key + xor(payload, key)


def announcement(opcode: int, size: int, *, masked: bool, fin: bool = True) -> bytes:
    """Write the head of a frame of that size, its masking key `NO_KEY`, its length in 8 octets."""
    head = bytes([fin << 7 | opcode, 0x80 * masked | 127]) + size.to_bytes(8, "big")
    return head + NO_KEY if masked else head


def read_frames(data: bytes) -> list[WireFrame]:
    """Read frames strictly: whole ones only, each length in its shortest form."""
    frames = []
    position = 0

    def take(size: int) -> bytes:
        nonlocal position
        piece = data[position : position + size]
        assert len(piece) == size, f"a frame is cut off: {data[position:]!r}"
        position += size
        return piece

    while position < len(data):
        first, second = take(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(take(2), "big")
            assert size > 125, "a length is not in its shortest form"
        elif size == 127:
            size = int.from_bytes(take(8), "big")
            assert 0xFFFF < size < 1 << 63, "a length is not in its shortest form"
        key = take(4) if second & 0x80 else b""
        payload = take(size)
        if key:
            payload = xor(payload, key)
        opcode = first & 0x0F
        assert opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        assert opcode < CLOSE or (first & 0x80 and size < 126), "a control frame is too long"
        frames.append(
            WireFrame(opcode, payload, bool(first & 0x80), first >> 4 & 7, bool(key), key)
        )
    return frames


def close_body(code: int | None, reason: str | bytes = "") -> bytes:
    if code is None:
        return b""
    return code.to_bytes(2, "big") + (reason.encode() if isinstance(reason, str) else reason)


# Handshakes


def head(start: str, fields: Iterable[tuple[str, str]]) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _changed(
    fields: list[tuple[str, str]], changes: dict[str, str | None], extra: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return the fields with other values; one of `None` leaves the field out."""
    values = dict(fields)
    unknown = changes.keys() - values.keys()
    assert not unknown, f"there is no field {unknown} to change"
    values.update({name: value for name, value in changes.items() if value is not None})
    kept = [(name, value) for name, value in values.items() if changes.get(name, "") is not None]
    return [*kept, *extra]


def request(
    start: str = "GET /chat HTTP/1.1",
    changes: dict[str, str | None] | None = None,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Write the opening handshake of RFC 6455 section 1.2, or one that differs from it."""
    fields = [
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", NONCE_KEY),
        ("Sec-WebSocket-Version", "13"),
    ]
    return head(start, _changed(fields, changes or {}, extra))


def response(
    start: str = "HTTP/1.1 101 Switching Protocols",
    changes: dict[str, str | None] | None = None,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Write the answer to `request`, or one that differs from it."""
    fields = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
    ]
    return head(start, _changed(fields, changes or {}, extra))


class HttpAnswer(NamedTuple):
    start: str
    headers: dict[str, str]
    body: bytes


def read_answer(data: bytes) -> HttpAnswer:
    """Read a response strictly; a name that comes twice fails."""
    text, empty_line, body = data.partition(b"\r\n\r\n")
    assert empty_line
    start, *lines = text.decode("ascii").split("\r\n")
    fields = [line.split(": ", 1) for line in lines]
    headers = {name.lower(): value for name, value in fields}
    assert len(headers) == len(fields), f"a field comes twice: {lines}"
    return HttpAnswer(start, headers, body)


# Randomness


class CountingRandom:
    """Randomness that is none: the nonce of RFC 6455, and keys that count."""

    def __init__(self, nonce: bytes = NONCE) -> None:
        self.nonces = 0
        self.keys: list[bytes] = []
        self._nonce = nonce

    def nonce(self) -> bytes:
        self.nonces += 1
        return self._nonce

    def masking_key(self) -> bytes:
        self.keys.append((0x01020304 + len(self.keys)).to_bytes(4, "big"))
        return self.keys[-1]


# A connection, and its peer


class Side:
    """A connection under test; the tests play its peer."""

    def __init__(self, ws: Any, connection: Any, random: Any = None) -> None:
        self.ws = ws
        self.connection = connection
        self.random = random
        self.is_client = isinstance(connection, ws.WebSocketClientConnection)

    @property
    def state(self) -> str:
        return str(self.connection.state.name)

    def incoming(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> bytes:
        """Write a frame as the peer of this side must: masked by a client only."""
        return frame(opcode, payload, fin=fin, rsv=rsv, key=None if self.is_client else KEY)

    def feed(self, *pieces: bytes, now: float | None = None) -> list[Any]:
        """Feed the pieces one after the other, polling all events after each."""
        events = []
        for piece in pieces:
            self.connection.feed_recv_buf(piece, now)
            events += self.events()
        return events

    def feed_bytes(self, data: bytes) -> list[Any]:
        """Feed byte by byte."""
        return self.feed(*(data[index : index + 1] for index in range(len(data))))

    def receive(
        self,
        opcode: int,
        payload: bytes = b"",
        *,
        fin: bool = True,
        rsv: int = 0,
        now: float | None = None,
    ) -> list[Any]:
        """Receive a frame and return the events that it gives."""
        return self.feed(self.incoming(opcode, payload, fin=fin, rsv=rsv), now=now)

    def eof(self) -> list[Any]:
        self.connection.feed_eof()
        return self.events()

    def timer(self, name: str, now: float | None = None) -> list[Any]:
        self.connection.handle_timer(self.ws.TimerId[name], now)
        return self.events()

    def events(self) -> list[Any]:
        return list(self.connection.events())

    def raw(self) -> list[Any]:
        """Return all outputs, those bytes joined that are not set apart by another output."""
        joined: list[Any] = []
        for output in self.connection.outputs():
            if isinstance(output, self.ws.SendData):
                assert type(output.data) is bytes
                assert output.data
                if joined and isinstance(joined[-1], bytes):
                    joined[-1] += output.data
                else:
                    joined.append(output.data)
            else:
                joined.append(output)
        return joined

    def outputs(self) -> list[Any]:
        """Return all outputs, with what is sent read as frames; their keys are left out."""
        outputs: list[Any] = []
        for output in self.raw():
            if not isinstance(output, bytes):
                outputs.append(output)
                continue
            for sent in read_frames(output):
                assert sent.masked is self.is_client
                outputs.append(sent._replace(masked=False, key=b""))
        return outputs

    def sent(self) -> list[WireFrame]:
        """Return the frames among the outputs."""
        return [output for output in self.outputs() if isinstance(output, WireFrame)]

    def snapshot(self) -> tuple[Any, ...]:
        """Return all that can be seen of the connection without changing it."""
        connection = self.connection
        return (
            connection.state,
            connection.protocol,
            connection.extensions,
            connection.recv_buffer_len,
            connection.send_buffer_len,
            connection.close_received,
            connection.close_sent,
            connection.close_received_first,
        )

    # What is expected often

    def state_changed(self, name: str) -> Any:
        return self.ws.StateChanged(self.ws.ConnectionState[name])

    def set_timer(self, name: str, delay: float) -> Any:
        return self.ws.SetTimer(self.ws.TimerId[name], delay)

    def clear_timer(self, name: str) -> Any:
        return self.ws.ClearTimer(self.ws.TimerId[name])

    def failure(self, events: list[Any]) -> Any:
        """Return the error of the `Failed` with which these events end, before CLOSED."""
        assert events[-1:] == [self.state_changed("CLOSED")], events
        assert isinstance(events[-2], self.ws.Failed), events
        assert self.state == "CLOSED"
        return events[-2].error


def new(ws: Any, role: str, *, random: Any = None, **options: Any) -> Side:
    """Make a connection in the state DISCONNECTED."""
    if role == "client":
        options.setdefault("host", "server.example.com")
        options.setdefault("path", "/chat")
        random = random or CountingRandom()
        client_options = ws.ClientConnectionOptions(**options)
        return Side(ws, ws.WebSocketClientConnection(client_options, random=random), random)
    server_options = ws.ServerConnectionOptions(**options)
    return Side(ws, ws.WebSocketServerConnection(server_options, random=random), random)


def connecting(ws: Any, role: str, *, random: Any = None, **options: Any) -> Side:
    """Make a connection that awaits the head of its peer; events and outputs are polled."""
    side = new(ws, role, random=random, **options)
    if side.is_client:
        side.connection.connect()
    else:
        side.feed(b"")
    side.events()
    side.raw()
    assert side.state == "CONNECTING"
    return side


def connected(ws: Any, role: str, *, random: Any = None, **options: Any) -> Side:
    """Make a connection through a whole handshake; events and outputs are polled."""
    side = connecting(ws, role, random=random, **options)
    if side.is_client:
        side.feed(response())
    else:
        side.feed(request())
        side.connection.accept_handshake()
        side.events()
    side.raw()
    assert side.state == "CONNECTED"
    return side


def closing(ws: Any, role: str, *, random: Any = None, **options: Any) -> Side:
    """Make a connection that has sent its Close frame; events and outputs are polled."""
    side = connected(ws, role, random=random, **options)
    side.connection.close()
    side.events()
    side.raw()
    assert side.state == "CLOSING"
    return side


def closed(ws: Any, role: str, *, random: Any = None, **options: Any) -> Side:
    """Make a connection that has ended in peace; events and outputs are polled."""
    side = closing(ws, role, random=random, **options)
    side.receive(CLOSE, close_body(1000))
    side.eof()
    side.raw()
    assert side.state == "CLOSED"
    return side


IN_STATE = {
    "DISCONNECTED": new,
    "CONNECTING": connecting,
    "CONNECTED": connected,
    "CLOSING": closing,
    "CLOSED": closed,
}


def cut(data: bytes, places: Iterable[int]) -> Iterator[bytes]:
    """Yield `data` in pieces, cut at these places."""
    edges = sorted({0, len(data), *(place for place in places if 0 < place < len(data))})
    for start, end in zip(edges, edges[1:]):
        yield data[start:end]

"""What is fuzzed: functions that take one input, and fail if a rule is broken.

Each takes the package on one or on several backends. It runs the same on all of them, compares
what comes out, and judges it by something that shares no code with the package: the reader of
frames in `helpers`, `zlib`, `h11`, or a grammar written as one regular expression.

Whatever a target does not expect is a finding: an exception above all.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType
from typing import Any

import h11
from fuzz.layout import Layout
from fuzz.observer import check_refusal, observe, read_messages
from helpers import ACCEPT, NONCE, NONCE_KEY, CountingRandom, read_answer, read_frames, request
from hypothesis import given, settings
from strategies import ROLES, Prepared, Program, Step, Timer, edges, option_choices, programs
from test_cuts import outcome
from test_twins import describe, look, run

__all__ = ["DICTIONARY", "TARGETS"]

Copies = Sequence[ModuleType]

AGREEMENTS = (
    (),
    ("permessage-deflate",),
    ("permessage-deflate; server_no_context_takeover; client_no_context_takeover",),
    ("permessage-deflate; server_max_window_bits=9; client_max_window_bits=8",),
)
"""What `messages` begins with; the fifth choice is an opening handshake of its own."""

CALLS = (
    Step("events"),
    Step("outputs"),
    Step("poll_event"),
    Step("poll_output"),
    Step("streaming", (True,)),
    Step("streaming", (False,)),
    Step("send_text", ("",)),
    Step("send_text", ("日本🎉",)),
    Step("send_text", ("a" * 126,)),
    Step("send_text", ("a" * 70000,), compress=True),
    Step("send_text", (b"\xe6\x97",), final=False),
    Step("send_continuation", (b"\xa5\xe6",), final=False),
    Step("send_continuation", (b"\x9c\xac",)),
    Step("send_continuation", ("",)),
    Step("send_text", (b"\xff",)),
    Step("send_text", ("\ud800",)),
    Step("send_binary", (b"",), compress=True),
    Step("send_binary", (bytes(range(256)),)),
    Step("send_binary", (bytes(20000),), compress=False),
    Step("send_binary", (bytes(9),), final=False, compress=False),
    Step("send_binary", (bytes(9),), final=False),
    Step("send_prepared", (Prepared("prepared" * 20),)),
    Step("send_prepared", (Prepared(b"p"),)),
    Step("send_ping"),
    Step("send_ping", (b"ping", 1.0)),
    Step("send_pong", (bytes(125),)),
    Step("send_pong", (bytes(126),)),
    Step("close"),
    Step("close", (1001, "é" * 61)),
    Step("close", (None,)),
    Step("close", (1005,)),
    Step("feed_eof"),
    *(
        Step("handle_timer", (Timer(name), 2.0))
        for name in ("OPEN_TIMEOUT", "PING", "PONG_TIMEOUT", "CLOSE_TIMEOUT")
    ),
    Step("connect"),
    Step("accept_handshake_auto"),
    Step("accept_handshake"),
    Step("reject_handshake", (404,)),
)
"""What the application may do. New ones go to the end: inputs name them by their place."""

DICTIONARY = (
    *(b"GET / HTTP/1.1\r\n", b"HTTP/1.1 101 \r\n", b"HTTP/1.1 404 \r\n", b"HTTP/1.1 100 \r\n"),
    *(b"\r\nHost: a", b"\r\nUpgrade: websocket", b"\r\nConnection: Upgrade", b"\r\nOrigin: a"),
    *(b"\r\nSec-WebSocket-Version: 13", b"\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    *(b"\r\nSec-WebSocket-Accept: " + ACCEPT.encode(), b"\r\nSec-WebSocket-Protocol: chat"),
    *(b"\r\nSec-WebSocket-Extensions: permessage-deflate", b"\r\n\r\n"),
    *(b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\n0\r\n\r\n"),
    *(b"server_no_context_takeover", b"client_no_context_takeover", b"server_max_window_bits=9"),
    *(b"client_max_window_bits", b"permessage-deflate", b'="', b'\\"', b", ", b"; "),
    *(b"\x00\x00\xff\xff", b"\x03\x00", b"\x01\x00\x00\xff\xff", b"\xe6\x97\xa5", b"\xed\xa0\x80"),
    *(b"\x81\x7e\x00\x7e", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", b"\x88\x02\x03\xe8"),
)
"""What chance would seldom write."""


def _all_agree(results: Sequence[Any]) -> Any:
    """Return what is the same on all backends."""
    for other in results[1:]:
        if isinstance(other, list):
            for ours, theirs in zip(results[0], other):
                assert ours == theirs, "the backends disagree"
        assert results[0] == other, "the backends disagree"
    return results[0]


# Frames


def frames(copies: Copies, data: bytes) -> None:
    """A `FrameDecoder`: cut anywhere it gives what the strict reader finds."""
    layout = Layout(data)
    places = layout.counted()
    wire = layout.rest()
    decoded, consumed, problem = _all_agree([_decode(ws, [wire]) for ws in copies])
    cut = _all_agree([_decode(ws, edges(wire, places)) for ws in copies])
    assert cut == (decoded, consumed, problem)
    read = [
        (sent.opcode, sent.payload, sent.fin, sent.rsv, sent.masked)
        for sent in read_frames(wire[:consumed])
    ]
    assert decoded == read
    if problem is None:
        left = wire[consumed:]
        assert not any(_is_frame(left[:end]) for end in range(2, min(len(left), 64) + 1))


def _is_frame(data: bytes) -> bool:
    try:
        return bool(read_frames(data))
    except AssertionError:
        return False


def _decode(ws: ModuleType, pieces: Sequence[bytes]) -> tuple[Any, ...]:
    """Return the frames, how many bytes they had, and what is wrong with the next one."""
    decoder = ws.FrameDecoder()
    found: list[Any] = []
    fed, problem = 0, None
    for piece in pieces:
        decoder.feed(piece)
        fed += len(piece)
        try:
            for frame in iter(decoder.decode, None):
                rsv = frame.rsv1 << 2 | frame.rsv2 << 1 | frame.rsv3
                found.append((int(frame.opcode), frame.payload, frame.fin, rsv, frame.masked))
        except ws.RemoteProtocolError as error:
            problem = describe(error)
        assert 0 <= decoder.buffer_len <= fed
    return found, fed - decoder.buffer_len, problem


# Messages


def _options(role: str) -> list[tuple[str, Any]]:
    """The choices of `strategies`, behind one that changes nothing."""
    return [("auto_pong", True), *option_choices(role)]


def messages(copies: Copies, data: bytes) -> None:
    """A connection of either role, with whatever an application may do between two reads."""
    layout = Layout(data)
    role = layout.choose(ROLES)
    agreement = layout.choose((*AGREEMENTS, None))
    options = dict(layout.choose(_options(role)) for _ in range(2))
    answers = layout.choose((True, False))
    calls = layout.counted()
    wire = layout.rest()
    steps = [Step("connect")] if agreement is None and role == "client" and answers else []
    for octet in calls:
        if octet < 0x80:
            # The events and outputs of most applications are polled after each read.
            piece, wire = wire[:octet], wire[octet:]
            steps += [Step("feed_recv_buf", (piece,)), Step("events"), Step("outputs")]
        elif octet < 0xC0:
            steps.append(CALLS[(octet - 0x80) % len(CALLS)])
        else:
            size = octet - 0xC0
            piece, wire = wire[:size], wire[size:]
            steps.append(Step("feed_recv_buf", (bytearray(piece), 1.5)))
    if not any(step.name == "feed_eof" for step in steps):
        steps.append(Step("feed_recv_buf", (wire,)))
    program = Program(role, options, agreement is not None, steps, agreement or ())
    _all_agree([observe(ws, program, answers=answers) for ws in copies])


@cache
def _programs_agree(*copies: ModuleType) -> Callable[[bytes], Any]:
    @settings(database=None, deadline=None)
    @given(programs())
    def property_holds(program: Program) -> None:
        _all_agree([run(ws, program, CountingRandom()) for ws in copies])

    fuzz: Callable[[bytes], Any] = property_holds.hypothesis.fuzz_one_input
    return fuzz


def twins(copies: Copies, data: bytes) -> None:
    """The programs of `test_twins`, drawn by hypothesis from the input."""
    _programs_agree(*copies)(data)


# Opening handshakes


def _handshake(copies: Copies, role: str, layout: Layout) -> tuple[list[str], bytes, bytes]:
    """Return the names of the events, what was sent, and what was fed.

    The outcome is the same for both backends, wherever the input is cut and whenever it is polled.
    """
    # The application of `outcome` could not answer with headers that must not be sent.
    choices = [choice for choice in _options(role) if choice[0] != "headers"]
    options = dict(layout.choose(choices) for _ in range(2))
    places = layout.counted()
    wire = layout.rest()
    program = Program(role, options, False, [])
    events, outputs, held, _ = _all_agree(
        [
            outcome(ws, program, pieces, at_end)
            for ws in copies
            for pieces, at_end in (([wire], True), (edges(wire, places), False))
        ]
    )
    limit = options.get("max_handshake_size", 16384) or len(wire)
    body = 0 if role == "server" else options.get("max_response_body", 65536) or len(wire)
    names = [event[0] for event in events]
    if "Connected" not in names:
        assert held[3] <= limit + body, "too much of a handshake is held"
    sent = b"".join(output for output in outputs if type(output) is bytes)
    return names, sent, wire


def server_handshake(copies: Copies, data: bytes) -> None:
    """A server that is asked for anything: only what `h11` reads as well is accepted."""
    names, sent, wire = _handshake(copies, "server", Layout(data))
    if "Connected" not in names:
        if sent:
            check_refusal(sent)
        return
    head, _, frames_sent = sent.partition(b"\r\n\r\n")
    answer = read_answer(head + b"\r\n\r\n")
    assert answer.start == "HTTP/1.1 101 Switching Protocols"
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(wire)
    asked = oracle.next_event()
    assert isinstance(asked, h11.Request)
    fields: dict[str, list[str]] = {}
    for name, value in asked.headers:
        fields.setdefault(name.decode(), []).append(value.decode())
    (key,) = fields["sec-websocket-key"]
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = b64encode(hashlib.sha1(key.encode() + guid, usedforsecurity=False).digest())
    assert answer.headers["sec-websocket-accept"] == accept.decode()
    if "sec-websocket-protocol" in answer.headers:
        offers = ",".join(fields["sec-websocket-protocol"]).split(",")
        assert answer.headers["sec-websocket-protocol"] in [offer.strip(" \t") for offer in offers]
    extensions = answer.headers.get("sec-websocket-extensions", "")
    assert not extensions or "permessage-deflate" in ",".join(fields["sec-websocket-extensions"])
    read_messages(read_frames(frames_sent), False, [extensions])


def client_handshake(copies: Copies, data: bytes) -> None:
    """A client that is answered anything: only what `h11` reads as a good 101 is taken."""
    names, sent, wire = _handshake(copies, "client", Layout(data))
    head, _, frames_sent = sent.partition(b"\r\n\r\n")
    asking = h11.Connection(h11.SERVER)
    asking.receive_data(head + b"\r\n\r\n")
    asked = asking.next_event()
    assert isinstance(asked, h11.Request)
    assert (asked.method, asked.target) == (b"GET", b"/chat")
    if "Connected" not in names:
        assert not frames_sent
        return
    answers = _h11_answers(asked.headers, _without_framing(wire))
    (answer,) = (answer for answer in answers if answer.status_code == 101)
    fields = {name.decode(): value.decode() for name, value in answer.headers}
    assert fields["sec-websocket-accept"] == ACCEPT
    assert fields.get("sec-websocket-protocol", "chat") in ("chat", "superchat")
    read_messages(read_frames(frames_sent), True, [fields.get("sec-websocket-extensions", "")])


def _without_framing(wire: bytes) -> bytes:
    """Rename the fields that frame a body, for `h11` judges them even where there is none.

    RFC 9112 section 6.3: a 1xx response has no body, whatever its fields say.
    """
    return re.sub(rb"(?i)\n(content-length|transfer-encoding)(?=[ \t]*:)", rb"\nx-\1", wire)


def _h11_answers(headers: Any, wire: bytes) -> list[Any]:
    """Read the responses to a request of these fields, up to the first that is final."""
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="GET", target="/chat", headers=list(headers)))
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(wire)
    answers = []
    while True:
        event = oracle.next_event()
        if not isinstance(event, (h11.InformationalResponse, h11.Response)):
            return answers
        answers.append(event)


_SEPARATOR = "\x1f"


def written_heads(copies: Copies, data: bytes) -> None:
    """What the caller wants in a head is refused, or `h11` reads it as it was given."""
    layout = Layout(data)
    kind, status = layout.choose((_written_request, _written_101, _written_refusal)), layout.octet()
    texts = layout.rest().decode(errors="surrogateescape").split(_SEPARATOR)
    texts += [""] * (6 - len(texts))
    _all_agree([kind(ws, status, texts) for ws in copies])


def _written_request(ws: ModuleType, _status: int, texts: list[str]) -> Any:
    path, host, origin, protocol, name, value = texts[:6]
    try:
        head = ws.HandshakeRequest(
            path,
            host,
            origin=origin or None,
            protocols=protocol.split(",") if protocol else (),
            headers=[(name, value)] if name else (),
        ).build(NONCE)
    except ws.LocalProtocolError as error:
        return describe(error)
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(head)
    read = oracle.next_event()
    assert isinstance(read, h11.Request)
    assert (read.method, read.target) == (b"GET", path.encode())
    fields = [("host", host), ("upgrade", "websocket"), ("connection", "Upgrade")]
    fields += [("sec-websocket-key", NONCE_KEY), ("sec-websocket-version", "13")]
    fields += [("origin", origin)] if origin else []
    fields += [("sec-websocket-protocol", ", ".join(protocol.split(",")))] if protocol else []
    fields += [(name.lower(), value)] if name else []
    assert [(key.decode(), text.decode()) for key, text in read.headers] == fields
    assert isinstance(oracle.next_event(), h11.EndOfMessage)
    assert oracle.trailing_data[0] == b""
    validator = ws.HandshakeRequestValidator()
    validator.feed(head)
    assert describe(validator.read().error) is None or name.lower() in ("origin",)
    return head


def _written_101(ws: ModuleType, _status: int, texts: list[str]) -> Any:
    validator = ws.HandshakeRequestValidator()
    offered = [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x, y")]
    validator.feed(request(extra=offered))
    protocol, extension, name, value = texts[:4]
    try:
        head = ws.ServerHandshakeResponse(
            protocol=protocol or None,
            extensions=[extension] if extension else (),
            headers=[(name, value)] if name else (),
        ).build(validator.read())
    except ws.LocalProtocolError as error:
        return describe(error)
    (read,) = _h11_answers([("Host", "a"), ("Upgrade", "websocket")], head)
    fields = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", ACCEPT)]
    fields += [("sec-websocket-protocol", "chat")] if protocol else []
    fields += [("sec-websocket-extensions", extension)] if extension else []
    fields += [(name.lower(), value)] if name else []
    assert read.status_code == 101
    assert [(key.decode(), text.decode()) for key, text in read.headers] == fields
    return head


def _written_refusal(ws: ModuleType, status: int, texts: list[str]) -> Any:
    connection = ws.WebSocketServerConnection()
    connection.feed_recv_buf(request())
    list(connection.events())
    reason, name, value, text = texts[:4]
    body = text.encode(errors="surrogateescape")
    headers = [(name, value)] if name else []
    before = look(connection)
    try:
        connection.reject_handshake(150 + 2 * status, reason, headers, body)
    except ws.LocalProtocolError as error:
        assert look(connection) == before
        return describe(error)
    sent = b"".join(out.data for out in connection.outputs() if isinstance(out, ws.SendData))
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(sent)
    read = oracle.next_event()
    assert isinstance(read, h11.Response)
    assert read.status_code == 150 + 2 * status
    assert not reason or read.reason.decode() == reason
    fields = [(key.decode(), text.decode()) for key, text in read.headers]
    assert not name or (name.lower(), value) in fields
    content = b""
    while isinstance(event := oracle.next_event(), h11.Data):
        content += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert content == body
    return sent


# Extensions

_TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_PARAM = rf"{_TCHAR}+(?:[ \t]*=[ \t]*(?:{_TCHAR}+|\"(?:\\?{_TCHAR})+\"))?"
_ELEMENT = rf"{_TCHAR}+(?:[ \t]*;[ \t]*{_PARAM})*"
_LIST = re.compile(rf"[ \t]*(?:{_ELEMENT})?[ \t]*(?:,[ \t]*(?:{_ELEMENT})?[ \t]*)*")
"""RFC 6455 section 9.1 with the lists of RFC 9110 section 5.6.1, empty elements included."""

_WINDOW = re.compile(r"[89]|1[0-5]")


def extensions(copies: Copies, data: bytes) -> None:
    """The grammar of the header, what it says about compression, and what is answered to it."""
    layout = Layout(data)
    tuning = layout.choose(
        (
            {},
            {"server_no_context_takeover": True},
            {"server_max_window_bits": 10},
            {"client_max_window_bits": 9},
        )
    )
    text = layout.rest().decode(errors="surrogateescape")
    _all_agree([_read_extensions(ws, text, tuning) for ws in copies])


def _read_extensions(ws: ModuleType, text: str, tuning: dict[str, Any]) -> Any:
    lenient = ws.Extension.parse(text)
    try:
        strict = ws.Extension.parse_strict(text)
    except ws.ExtensionParseError as error:
        assert _LIST.fullmatch(text) is None
        strict = error
    else:
        assert _LIST.fullmatch(text) is not None
        assert strict == lenient
        assert [_plain(extension) for extension in strict] == _split(text)
    for extension in lenient:
        assert ws.Extension.parse_strict(extension.encode()) == (extension,)
    results = [strict, [_read_deflate(ws, extension) for extension in lenient]]
    offers = [extension.encode() for extension in lenient]
    config = ws.PerMessageDeflateConfig(**tuning)
    accepted = ws.deflate.accept_offers(offers, config)
    readable = [reading for _, reading in results[1] if reading is not None]
    if accepted is None:
        assert all(offer.server_max_window_bits == 8 for offer in readable)
        return describe(results)
    answer, agreement = accepted
    assert ws.deflate.check_hand_built(answer, offers).to_extension() == agreement.to_extension()
    # The client that made the offer takes the answer.
    chosen = next(offer for offer in readable if offer.server_max_window_bits != 8)
    ws.deflate.check_answer(answer, chosen)
    return describe([*results, answer])


def _plain(extension: Any) -> Any:
    return extension.name, [(param.name, param.value) for param in extension.params]


def _split(text: str) -> list[Any]:
    """Read a list that keeps to the grammar: no separator can stand in a quoted token."""
    read = []
    for element in filter(None, (part.strip(" \t") for part in text.split(","))):
        name, *params = (part.strip(" \t") for part in element.split(";"))
        pairs: list[tuple[str, str | None]] = []
        for param in params:
            key, equals, value = (part.strip(" \t") for part in param.partition("="))
            unquoted = re.sub(r"[\"\\]", "", value)
            pairs.append((key, unquoted if equals else None))
        read.append((name, pairs))
    return read


def _read_deflate(ws: ModuleType, extension: Any) -> Any:
    """Return what a client and a server make of an element, `None` where it is not valid."""
    readings = []
    for context in ws.ExtensionParseContext:
        try:
            config = ws.PerMessageDeflateConfig.from_extension_validated(extension, context)
        except ws.ExtensionParseError:
            config = None
        answer = context is ws.ExtensionParseContext.CLIENT_RESPONSE
        assert (config is not None) == _is_deflate(extension, answer)
        if config is not None:
            again = config.from_extension_validated(config.to_extension(), context)
            assert again == config
        readings.append(config)
    return readings


def _is_deflate(extension: Any, answer: bool) -> bool:
    """Whether an element is a valid permessage-deflate (RFC 7692 section 7.1)."""
    names = [param.name for param in extension.params]
    if extension.name != "permessage-deflate" or len(set(names)) != len(names):
        return False
    for param in extension.params:
        if param.name in ("server_no_context_takeover", "client_no_context_takeover"):
            sound = param.value is None
        elif param.value is None:
            sound = param.name == "client_max_window_bits" and not answer
        else:
            sound = param.name in ("server_max_window_bits", "client_max_window_bits")
            sound = sound and _WINDOW.fullmatch(param.value) is not None
        if not sound:
            return False
    return True


# DEFLATE

_CONFIGS: tuple[dict[str, Any], ...] = (
    {},
    {"client_no_context_takeover": True, "server_no_context_takeover": True},
    {"client_max_window_bits": 9, "server_max_window_bits": 9, "window_bits": 9},
    {"level": 0, "mem_level": 1, "window_bits": 15},
)


def inflate(copies: Copies, data: bytes) -> None:
    """Messages to be inflated: whole or in pieces they give what `zlib` makes of them."""
    layout = Layout(data)
    config = layout.choose(_CONFIGS)
    max_size = layout.choose((None, 5, 126, 70000))
    read_size = layout.choose((1, 7, 4096, 1 << 17))
    sizes = layout.counted()
    places = layout.counted()
    rest = layout.rest()
    payloads = [rest[start:end] for start, end in _spans(sizes, len(rest))]
    for ws in copies:
        agreement = ws.PerMessageDeflateConfig(**config)
        whole, pieces = (
            ws.PerMessageDeflate.new_server(agreement),
            ws.PerMessageDeflate.new_server(agreement),
        )
        reference = _Reference(config)
        for payload in payloads:
            known, sound = reference.inflate(payload)
            found, problem = _read_pieces(ws, pieces, edges(payload, places), read_size)
            # An engine loses what precedes a fault, unless it matters for a limit.
            assert known.startswith(found)
            if problem is None:
                # Under context takeover one cut inside a block in eight goes unnoticed.
                assert found == known
                assert sound or "client_no_context_takeover" not in config
            else:
                assert not sound or (problem == "RemoteProtocolError" and len(payload) > 2 * 1024)
            try:
                result = whole.decompress(payload, max_size)
            except ws.RemoteProtocolError as error:
                result = type(error).__name__
            if max_size is None or len(known) <= max_size:
                assert result == (problem or known)
            else:
                # Too many final blocks may come before too many octets.
                assert result in ("LimitExceeded", "RemoteProtocolError")
                assert result == "LimitExceeded" or len(payload) > 2 * 1024
            assert whole.held == pieces.held == 0
            if result != known:
                break


def _spans(sizes: bytes, end: int) -> list[tuple[int, int]]:
    marks = [0]
    for size in sizes:
        marks.append(min(marks[-1] + size, end))
    return list(zip(marks, [*marks[1:], end]))


def _read_pieces(
    ws: ModuleType, codec: Any, pieces: Sequence[bytes], size: int
) -> tuple[bytes, str | None]:
    """Return what a message gives, and what is wrong with it then."""
    data = b""
    try:
        for index, piece in enumerate(pieces):
            codec.feed(piece)
            if index == len(pieces) - 1:
                codec.end()
            while True:
                octets = codec.read(size)
                assert len(octets) <= size
                if not octets:
                    break
                data += octets
            assert codec.held == 0
    except ws.RemoteProtocolError as error:
        return data, type(error).__name__
    return data, None


class _Reference:
    """Inflates what a client has sent with `zlib`, as RFC 7692 section 7.2.2 says."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._window = config.get("client_max_window_bits", 15)
        self._fresh = config.get("client_no_context_takeover", False)
        self._inflater: Any = None

    def inflate(self, payload: bytes) -> tuple[bytes, bool]:
        """Return what a payload gives until its end or its first fault, and whether it has none."""
        if self._inflater is None or self._fresh:
            self._inflater = zlib.decompressobj(-self._window)
        data = b""
        try:
            for octet in payload:
                data += self._next(octet)
            tail = b"".join(map(self._next, b"\x00\x00\xff\xff"))
            # Between two blocks, and only there, a final one may follow.
            end = self._inflater.copy()
            after = end.decompress(b"\x01\x00\x00\xff\xff")
        except zlib.error:
            return data, False
        whole = payload[-1:] < b"\x20" and end.eof and not end.unused_data
        return data, bool(payload) and whole and not tail and not after

    def _next(self, octet: int) -> bytes:
        # RFC 7692 section 7.2.3.4: another block may follow a final one.
        if self._inflater.eof:
            self._inflater = zlib.decompressobj(-self._window)
        inflated: bytes = self._inflater.decompress(bytes([octet]))
        return inflated


def compress(copies: Copies, data: bytes) -> None:
    """Messages that are compressed: a peer gets them back, and so does `zlib`."""
    layout = Layout(data)
    config = layout.choose(_CONFIGS)
    sizes = layout.counted()
    places = layout.counted()
    rest = layout.rest()
    for ws in copies:
        agreement = ws.PerMessageDeflateConfig(**config)
        client, server = (
            ws.PerMessageDeflate.new_client(agreement),
            ws.PerMessageDeflate.new_server(agreement),
        )
        reference = _Reference(config)
        for number, (start, end) in enumerate(_spans(sizes, len(rest))):
            content = rest[start:end]
            pieces = edges(content, places) if number % 2 else [content]
            last = len(pieces) - 1
            payload = b"".join(
                client.deflate(piece, index == last) for index, piece in enumerate(pieces)
            )
            assert server.decompress(payload, max(1, len(content))) == content
            assert reference.inflate(payload) == (content, True)


TARGETS: dict[str, Callable[[Copies, bytes], None]] = {
    target.__name__: target
    for target in (
        frames,
        messages,
        twins,
        server_handshake,
        client_handshake,
        written_heads,
        extensions,
        inflate,
        compress,
    )
}
"""By name. Each fails with an `AssertionError`, or whatever else it did not expect."""

"""Your faults are exceptions: what raises, with which words, and that nothing has changed then."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import pytest
from helpers import (
    CLOSE,
    IN_STATE,
    PING,
    PONG,
    TEXT,
    CountingRandom,
    Side,
    WireFrame,
    close_body,
    connected,
    connecting,
    new,
    request,
    response,
)

from websocket import faults

BOTH = ("client", "server")


class Misuse(NamedTuple):
    """A call that is wrong in a state, and what it raises."""

    call: str
    act: Callable[[Any, Any], Any]
    text: str
    error: str = "LocalProtocolError"
    states: tuple[str, ...] = ("CONNECTED",)
    roles: tuple[str, ...] = BOTH


def send(name: str, *args: Any, **kwargs: Any) -> Callable[[Any, Any], Any]:
    return lambda connection, ws: getattr(connection, name)(*args, **kwargs)


def answer(**kwargs: Any) -> Callable[[Any, Any], Any]:
    return lambda connection, ws: connection.accept_handshake(ws.ServerHandshakeResponse(**kwargs))


def reject(*args: Any, **kwargs: Any) -> Callable[[Any, Any], Any]:
    return lambda connection, ws: connection.reject_handshake(*args, **kwargs)


NOT_CONNECTED = ("DISCONNECTED", "CONNECTING", "CLOSING", "CLOSED")

TABLE = [
    # The order of calls.
    Misuse(
        "send_text()", send("send_text", "x"), "needs the state CONNECTED", states=NOT_CONNECTED
    ),
    Misuse(
        "send_binary()",
        send("send_binary", b"x"),
        "needs the state CONNECTED",
        states=NOT_CONNECTED,
    ),
    Misuse(
        "send_continuation()",
        send("send_continuation", b"x"),
        "needs the state CONNECTED",
        states=NOT_CONNECTED,
    ),
    Misuse("send_ping()", send("send_ping"), "needs the state CONNECTED", states=NOT_CONNECTED),
    Misuse(
        "send_pong()",
        send("send_pong"),
        "needs the state CONNECTED",
        states=("DISCONNECTED", "CONNECTING", "CLOSED"),
    ),
    Misuse(
        "close()",
        send("close"),
        "needs the state CONNECTED",
        states=("DISCONNECTED", "CONNECTING", "CLOSED"),
    ),
    Misuse(
        "close() judges the state first",
        send("close", 7, "x" * 999),
        "needs the state CONNECTED",
        states=("DISCONNECTED", "CONNECTING", "CLOSED"),
    ),
    Misuse(
        "connect() again",
        send("connect"),
        "needs the state DISCONNECTED",
        states=("CONNECTING", "CONNECTED", "CLOSING", "CLOSED"),
        roles=("client",),
    ),
    Misuse(
        "feed_recv_buf() before connect()",
        send("feed_recv_buf", b"x"),
        "feed_recv_buf() was called before connect()",
        states=("DISCONNECTED",),
        roles=("client",),
    ),
    Misuse(
        "feed_eof() before connect()",
        send("feed_eof"),
        "feed_eof() was called before connect()",
        states=("DISCONNECTED",),
        roles=("client",),
    ),
    Misuse(
        "accept_handshake() without a request",
        send("accept_handshake"),
        "needs the event HandshakeRequested first",
        states=("CONNECTING",),
        roles=("server",),
    ),
    Misuse(
        "accept_handshake_auto() without a request",
        send("accept_handshake_auto"),
        "needs the event HandshakeRequested first",
        states=("CONNECTING",),
        roles=("server",),
    ),
    *(
        Misuse(
            f"{name}() in another state",
            send(name, *args),
            "needs the state CONNECTING",
            states=("DISCONNECTED", "CONNECTED", "CLOSING", "CLOSED"),
            roles=("server",),
        )
        for name, args in (
            ("accept_handshake", ()),
            ("accept_handshake_auto", ()),
            ("reject_handshake", (404,)),
        )
    ),
    # Fragments.
    Misuse("nothing to continue", send("send_continuation", b"x"), "without a message begun"),
    # Text.
    Misuse("lone surrogate", send("send_text", "ab\ud800"), r"surrogate '\ud800' at index 2"),
    Misuse("lone surrogate in a fragment", send("send_text", "\udfff", final=False), "at index 0"),
    Misuse("bytes not UTF-8", send("send_text", b"ab\xff"), "begins with 0xff"),
    Misuse("bytes that are cut off", send("send_text", b"ab\xc3"), "begins with 0xc3"),
    Misuse("fragment not UTF-8", send("send_text", b"\xed\xa0", final=False), "begins with 0xed"),
    # Control frames.
    Misuse("Ping of 126 bytes", send("send_ping", bytes(126)), "Ping payload of 126 bytes"),
    Misuse("Pong of 126 bytes", send("send_pong", bytes(126)), "Pong payload of 126 bytes"),
    # Close.
    *(
        Misuse(f"close code {code}", send("close", code), f"close code {code} must not be sent")
        for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, 1 << 80)
    ),
    Misuse("code before reason", send("close", 1005, "x" * 124), "close code 1005"),
    Misuse("reason of 124 bytes", send("close", 1000, "é" * 62), "close reason of 124 bytes"),
    Misuse("reason not encodable", send("close", 1000, "\ud800"), "cannot be encoded"),
    Misuse("reason without a code", send("close", None, "x"), "needs a close code"),
    # Types.
    Misuse("text None", send("send_text", None), "text must be str or bytes-like", "TypeError"),
    Misuse("text 1", send("send_text", 1), "not int", "TypeError"),
    Misuse("text list", send("send_text", [1]), "not list", "TypeError"),
    Misuse("binary str", send("send_binary", "x"), "must be bytes-like, not str", "TypeError"),
    Misuse("binary 3", send("send_binary", 3), "must be bytes-like, not int", "TypeError"),
    Misuse("binary None", send("send_binary", None), "must be bytes-like", "TypeError"),
    Misuse("Ping str", send("send_ping", "x"), "must be bytes-like, not str", "TypeError"),
    Misuse("Ping 3", send("send_ping", 3), "must be bytes-like, not int", "TypeError"),
    Misuse("Pong None", send("send_pong", None), "must be bytes-like, not NoneType", "TypeError"),
    Misuse("code '1000'", send("close", "1000"), "'1000'", "TypeError"),
    Misuse("code 1000.0", send("close", 1000.0), "1000.0", "TypeError"),
    Misuse("code True", send("close", True), "True", "TypeError"),
    Misuse("reason bytes", send("close", 1000, b"x"), "b'x'", "TypeError"),
    Misuse("timer 'ping'", send("handle_timer", "ping"), "'ping'", "TypeError"),
    Misuse(
        "feed str",
        send("feed_recv_buf", "x"),
        "must be bytes-like, not str",
        "TypeError",
        states=("CONNECTING", "CONNECTED", "CLOSING"),
    ),
    Misuse("feed None", send("feed_recv_buf", None), "must be bytes-like", "TypeError"),
    Misuse("feed int", send("feed_recv_buf", 5), "must be bytes-like", "TypeError"),
    Misuse("time '1'", send("feed_recv_buf", b"", "1"), "now must be", "TypeError"),
    Misuse("time of a Ping", send("send_ping", b"", "1"), "now must be", "TypeError"),
    Misuse("time of the end", send("feed_eof", "1"), "now must be", "TypeError"),
    Misuse(
        "time of a timer",
        lambda connection, ws: connection.handle_timer(ws.TimerId.PING, "1"),
        "now must be",
        "TypeError",
    ),
]

CASES = [
    pytest.param(row, role, state, id=f"{row.call}-{role}-{state}")
    for row in TABLE
    for role in row.roles
    for state in row.states
]


def raised(ws: Any, row: Misuse) -> type[Exception]:
    return {"TypeError": TypeError, "ValueError": ValueError}.get(row.error) or getattr(
        ws, row.error
    )


def polled(ws: Any, role: str, state: str) -> Side:
    side = IN_STATE[state](ws, role)
    side.events()
    side.raw()
    return side


def check_nothing_changed(side: Side, before: Any) -> None:
    assert side.snapshot() == before
    assert side.events() == []
    assert side.raw() == []
    if side.state == "CONNECTED":
        # The next good call works, and the next good frame too.
        side.connection.send_text("good")
        assert side.outputs() == [WireFrame(TEXT, b"good")]
        assert side.receive(TEXT, b"good") == [side.ws.TextMessage("good")]
        side.timer("PING")
        assert side.outputs()[0].opcode == PING


@pytest.mark.rule("R42", "R44", "R45", "R46", "R48", "R88", "R116", "1.1 close codes")
@pytest.mark.parametrize(("row", "role", "state"), CASES)
def test_misuse_raises_and_changes_nothing(ws: Any, row: Misuse, role: str, state: str) -> None:
    side = polled(ws, role, state)
    before = side.snapshot()
    with pytest.raises(raised(ws, row)) as caught:
        row.act(side.connection, ws)
    assert row.text in str(caught.value)
    check_nothing_changed(side, before)


def test_the_table_is_long_enough() -> None:
    assert len(CASES) >= 100
    assert len({row.call for row in TABLE}) == len(TABLE)


# Inside a fragmented message


@pytest.mark.parametrize("role", BOTH)
@pytest.mark.parametrize(
    ("act", "text"),
    [
        (send("send_text", "x"), "send_text() while a fragmented message is unfinished"),
        (send("send_binary", b"x"), "send_binary() while a fragmented message is unfinished"),
        (send("send_text", "x", final=False), "end it with send_continuation()"),
        (send("send_continuation", b"\xff"), "begins with 0xe6"),
        (send("send_continuation", b""), "begins with 0xe6"),
        (send("send_continuation", "a", final=False), "begins with 0xe6"),
        (send("send_continuation", "\ud800"), "surrogate"),
        (send("send_continuation", 1), "not int"),
    ],
)
def test_misuse_inside_a_fragmented_text(
    ws: Any, role: str, act: Callable[[Any, Any], Any], text: str
) -> None:
    side = connected(ws, role)
    data = "日".encode()
    side.connection.send_text(data[:2], final=False)
    side.raw()
    with pytest.raises((ws.LocalProtocolError, TypeError)) as caught:
        act(side.connection, ws)
    assert text in str(caught.value)
    assert side.raw() == []
    # What was begun can still be finished.
    side.connection.send_continuation(data[2:])
    side.connection.send_text("next")
    assert side.outputs() == [WireFrame(0, data[2:]), WireFrame(TEXT, b"next")]


@pytest.mark.parametrize("role", BOTH)
def test_text_in_a_binary_continuation_is_a_fault(ws: Any, role: str) -> None:
    side = connected(ws, role)
    side.connection.send_binary(b"a", final=False)
    side.raw()
    with pytest.raises(TypeError, match="not str"):
        side.connection.send_continuation("b")
    side.connection.send_continuation(b"b")
    assert side.outputs() == [WireFrame(0, b"b")]


# At the handshake

RESPONSES = {
    "protocol not offered": (answer(protocol="b"), "'b'"),
    "protocol in capitals": (answer(protocol="A"), "'A'"),
    "extension not offered": (answer(extensions=["x-bar"]), "x-bar"),
    "extension malformed": (answer(extensions=["x foo"]), "x foo"),
    "reserved header": (answer(headers=[("upgrade", "h2c")]), "'upgrade'"),
    "Content-Length": (answer(headers=[("Content-Length", "0")]), "Content-Length"),
    "Transfer-Encoding": (answer(headers=[("transfer-encoding", "x")]), "transfer-encoding"),
    "line break in a header": (answer(headers=[("A", "b\r\nC: d")]), "control character"),
    "name not a token": (answer(headers=[("A b", "c")]), "'A b'"),
    "status 199": (reject(199), "199"),
    "status 101": (reject(101), "101"),
    "status 600": (reject(600), "600"),
    "line break in a reason": (reject(404, "a\r\nb"), "control character"),
    "reserved header of a refusal": (reject(404, headers=[("Connection", "x")]), "Connection"),
    "Upgrade of a refusal": (reject(404, headers=[("upgrade", "x")]), "upgrade"),
    "length of a refusal": (reject(404, headers={"content-length": "0"}), "content-length"),
    "body with 204": (reject(204, body=b"x"), "204"),
}


@pytest.mark.rule("1.4 server: arguments", "R118", "R119", "R120", "R123", "R124")
@pytest.mark.parametrize("name", RESPONSES)
def test_answer_that_must_not_be_sent_consumes_nothing(ws: Any, name: str) -> None:
    act, text = RESPONSES[name]
    side = connecting(ws, "server")
    asked = request(
        extra=[("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Extensions", "x-foo; a=1")]
    )
    side.feed(asked)
    before = side.snapshot()
    with pytest.raises(ws.LocalProtocolError) as caught:
        act(side.connection, ws)
    assert text in str(caught.value)
    assert side.snapshot() == before
    assert side.events() == []
    assert side.raw() == []
    side.connection.accept_handshake(ws.ServerHandshakeResponse(protocol="a"))
    assert side.events() == [side.state_changed("CONNECTED"), ws.Connected("a", ())]


@pytest.mark.rule("1.4 server: arguments")
@pytest.mark.parametrize(
    "act",
    [reject("404"), reject(404.0), reject(True), reject(404, 1), reject(404, body="x")],
    ids=["str", "float", "bool", "reason", "body"],
)
def test_answer_of_another_type_consumes_nothing(ws: Any, act: Callable[[Any, Any], Any]) -> None:
    side = connecting(ws, "server")
    side.feed(request())
    with pytest.raises(TypeError):
        act(side.connection, ws)
    assert side.events() == []
    assert side.raw() == []
    side.connection.accept_handshake()
    assert side.state == "CONNECTED"


@pytest.mark.rule("1.4 server: arguments")
def test_headers_of_the_options_that_must_not_be_sent_show_at_accept(ws: Any) -> None:
    for accept in ("accept_handshake", "accept_handshake_auto"):
        side = connecting(ws, "server", headers=[("Upgrade", "x")])
        side.feed(request())
        with pytest.raises(ws.LocalProtocolError, match="Upgrade"):
            getattr(side.connection, accept)()
        assert side.raw() == []
        side.connection.reject_handshake(500)
        assert side.state == "CLOSED"


# Randomness that is none


class Faulty(CountingRandom):
    """Gives what it is told to, then keys that are sound."""

    def __init__(self, *keys: Any, nonce: Any = None) -> None:
        super().__init__(nonce) if nonce is not None else super().__init__()
        self.given = list(keys)

    def masking_key(self) -> Any:
        return self.given.pop(0) if self.given else super().masking_key()


@pytest.mark.rule("R162")
@pytest.mark.parametrize(
    ("key", "error"),
    [
        (b"123", ValueError),
        (b"12345", ValueError),
        (b"", ValueError),
        ("1234", TypeError),
        (None, TypeError),
        (1234, TypeError),
        (bytearray(4), TypeError),
    ],
)
@pytest.mark.parametrize(
    "act",
    [
        send("send_text", "x"),
        send("send_binary", b"x"),
        send("send_ping"),
        send("send_pong"),
        send("close"),
    ],
    ids=["text", "binary", "ping", "pong", "close"],
)
def test_faulty_masking_key_changes_nothing(
    ws: Any, key: Any, error: type[Exception], act: Callable[[Any, Any], Any]
) -> None:
    side = connected(ws, "client", random=Faulty(key))
    before = side.snapshot()
    with pytest.raises(error, match="masking key"):
        act(side.connection, ws)
    check_nothing_changed(side, before)


@pytest.mark.rule("R162")
def test_source_that_raises_changes_nothing(ws: Any) -> None:
    class Raising(CountingRandom):
        broken = True

        def masking_key(self) -> bytes:
            if self.broken:
                raise OSError("no entropy")
            return super().masking_key()

    random = Raising()
    side = connected(ws, "client", random=random)
    before = side.snapshot()
    for call in ("send_ping", "send_pong", "close"):
        with pytest.raises(OSError, match="no entropy"):
            getattr(side.connection, call)()
    random.broken = False
    check_nothing_changed(side, before)


@pytest.mark.rule("R162")
def test_source_that_closes_the_connection_is_a_fault(ws: Any) -> None:
    class Closing(CountingRandom):
        connection: Any = None

        def masking_key(self) -> bytes:
            connection, self.connection = self.connection, None
            if connection is not None:
                connection.close()
            return super().masking_key()

    random = Closing()
    side = connected(ws, "client", random=random)
    random.connection = side.connection
    with pytest.raises(ws.LocalProtocolError, match="from CONNECTED to CLOSING"):
        side.connection.send_text("after the Close?")
    # Nothing follows the Close frame.
    assert [sent.opcode for sent in side.sent()] == [8]


@pytest.mark.rule("R162", "R100")
@pytest.mark.parametrize(
    ("nonce", "error"), [(b"short", ValueError), (bytes(17), ValueError), ("x" * 16, TypeError)]
)
def test_faulty_nonce_changes_nothing(ws: Any, nonce: Any, error: type[Exception]) -> None:
    random = Faulty(nonce=nonce)
    side = new(ws, "client", random=random)
    with pytest.raises(error, match="nonce"):
        side.connection.connect()
    assert side.state == "DISCONNECTED"
    assert side.raw() == []
    random._nonce = b"the sample nonce"
    side.connection.connect()
    assert side.feed(response())[-1] == ws.Connected(None, ())


AUTOMATIC = {
    "Pong": lambda side: side.receive(PING, b"x"),
    "answer to a Close": lambda side: side.receive(CLOSE, close_body(1000)),
    "Close of a broken head": lambda side: side.receive(TEXT, b"x", rsv=1),
    "Close of a broken text": lambda side: side.receive(TEXT, b"\xff"),
    "Close of a broken fragment": lambda side: side.receive(TEXT, b"\xff", fin=False),
    "keepalive": lambda side: side.timer("PING"),
    "Close of the pong time-out": lambda side: side.timer("PONG_TIMEOUT"),
}
AFTERWARDS = {
    "Pong": "CONNECTED",
    "answer to a Close": "CLOSING",
    "keepalive": "CONNECTED",
}


@pytest.mark.rule("R162", "1.1 failure")
@pytest.mark.parametrize("name", AUTOMATIC)
def test_faulty_masking_key_of_an_automatic_frame_spoils_only_that_frame(
    ws: Any, name: str
) -> None:
    random = Faulty()
    side = connected(ws, "client", random=random)
    side.connection.send_ping(b"outstanding")
    if name == "keepalive":
        side.receive(PONG, b"outstanding")
    side.raw()
    random.given = [b"short"]
    # The caller's fault comes out of the caller's call; the connection goes where it must.
    with pytest.raises(ValueError, match="masking key"):
        AUTOMATIC[name](side)
    events = side.events()
    assert side.state == AFTERWARDS.get(name, "CLOSED")
    outputs = side.outputs()
    if side.state == "CLOSED":
        assert [type(event).__name__ for event in events] == ["Failed", "StateChanged"]
        assert outputs[-1] == ws.CloseConnection()
    elif side.state == "CLOSING":
        assert events == [ws.Close(1000, ""), side.state_changed("CLOSING")]
        assert outputs[-1] == side.set_timer("CLOSE_TIMEOUT", 5.0)
    elif name == "keepalive":
        assert outputs == [side.set_timer("PING", 30.0)]
    else:
        assert events == [ws.Ping(b"x")]
        assert side.receive(TEXT, b"next") == [ws.TextMessage("next")]


# What a connection is made of

MAKING = {
    "options None": lambda ws: ws.WebSocketClientConnection(None),
    "options str": lambda ws: ws.WebSocketServerConnection("x"),
    "options of a client": lambda ws: ws.WebSocketServerConnection(ws.ClientConnectionOptions()),
    "options of a server": lambda ws: ws.WebSocketClientConnection(ws.ServerConnectionOptions()),
    "established, options of a client": lambda ws: ws.WebSocketServerConnection.established(
        ws.ClientConnectionOptions()
    ),
    "established, protocol 5": lambda ws: ws.WebSocketServerConnection.established(protocol=5),
    "established, one str of extensions": lambda ws: ws.WebSocketServerConnection.established(
        extensions="x-foo"
    ),
    "established, extension 5": lambda ws: ws.WebSocketClientConnection.established(extensions=[5]),
}


@pytest.mark.parametrize("name", MAKING)
def test_connection_made_of_something_else_is_a_type_error(ws: Any, name: str) -> None:
    with pytest.raises(TypeError, match="must be"):
        MAKING[name](ws)


@pytest.mark.parametrize("role", BOTH)
@pytest.mark.parametrize("element", ["", "a, b", "a b", "a;"])
def test_established_with_what_is_not_one_extension(ws: Any, role: str, element: str) -> None:
    kind = type(new(ws, role).connection)
    with pytest.raises(ws.LocalProtocolError, match="extension"):
        kind.established(extensions=[element])


@pytest.mark.rule("1.4 server: arguments")
def test_response_that_is_none_is_a_type_error(ws: Any) -> None:
    side = connecting(ws, "server")
    side.feed(request())
    with pytest.raises(TypeError, match="must be"):
        side.connection.accept_handshake("x")
    assert side.raw() == []
    side.connection.accept_handshake()


# The words


def test_every_fault_of_the_wire_is_an_error_with_words() -> None:
    arguments: dict[str, tuple[Any, ...]] = {
        "control_fragmented": (9,),
        "control_too_long": (9,),
        "frame_too_large": (2, 1),
        "length_not_minimal": (5, 2),
        "length_too_large": (1 << 63,),
        "message_interrupted": (1,),
        "message_not_utf8": (0xFF, 3),
        "message_too_large": (2, 1),
        "message_unfinished": ("send_text",),
        "not_a_masking_key": (1,),
        "not_an_octet": (256,),
        "not_text": (1,),
        "out_of_memory": (),
        "reserved_bits": (0x70,),
        "text_not_utf8": (0xFF,),
        "too_many_fragments": (2, 1),
        "unknown_opcode": (3,),
        "wrong_masking_key": (b"1",),
        "wrong_type": ("text", "str", b"x"),
    }
    for name, values in arguments.items():
        error = getattr(faults, name)(*values)
        assert isinstance(error, Exception), name
        assert len(str(error)) > 10, name
        assert not str(error).endswith("."), name
    assert "RSV1 and RSV2 and RSV3" in str(faults.reserved_bits(0x70))
    assert faults.out_of_memory().close_code == 1009

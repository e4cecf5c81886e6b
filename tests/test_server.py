"""The server's connection: asking the application, answering, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import (
    ACCEPT,
    CLOSE,
    KEY,
    NONCE_KEY,
    PING,
    PONG,
    TEXT,
    Side,
    WireFrame,
    close_body,
    closing,
    connected,
    connecting,
    frame,
    head,
    new,
    read_answer,
    request,
)
from malformed import ANSWERS

ACCEPTED = (
    b"HTTP/1.1 101 Switching Protocols\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT.encode() + b"\r\n"
)


@pytest.fixture
def side(ws: Any) -> Side:
    return connecting(ws, "server")


def asked(ws: Any, data: bytes | None = None, **options: Any) -> Side:
    """Make a server that has told its application of a request."""
    side = connecting(ws, "server", **options)
    (event,) = side.feed(request() if data is None else data)
    assert isinstance(event, ws.HandshakeRequested)
    assert side.raw() == []
    return side


# The request


@pytest.mark.rule("1.1 opening timeout")
def test_server_waits_from_its_construction_on(ws: Any) -> None:
    side = Side(ws, ws.WebSocketServerConnection())
    assert side.raw() == [side.set_timer("OPEN_TIMEOUT", 10.0)]
    assert side.events() == []


@pytest.mark.rule("1.4 server: the event", "1.4 both", "R114")
def test_sound_request_is_an_event_with_all_its_headers(side: Side) -> None:
    data = request(
        "GET /chat?room=1 HTTP/1.1",
        extra=[
            ("Origin", "http://example.com"),
            ("Sec-WebSocket-Protocol", "chat,superchat"),
            ("sec-websocket-protocol", "\tlast "),
            ("Sec-WebSocket-Extensions", 'x-foo; a="bc", , x-bar'),
            ("Cookie", "a=1"),
            ("COOKIE", "b=é"),
        ],
    )
    (event,) = side.feed(data)
    asked_for = event.request
    assert side.state == "CONNECTING"
    assert asked_for is side.connection.handshake_request
    assert (asked_for.method, asked_for.path) == ("GET", "/chat?room=1")
    assert (asked_for.host, asked_for.origin) == ("server.example.com", "http://example.com")
    assert asked_for.protocols == ("chat", "superchat", "last")
    assert asked_for.extensions == ('x-foo; a="bc"', "x-bar")
    assert asked_for.key == NONCE_KEY
    assert asked_for.headers.get_all("cookie") == ("a=1", "b=é")
    assert len(asked_for.headers) == 11
    assert asked_for.error is None
    assert side.raw() == []


@pytest.mark.rule("R7")
def test_request_byte_by_byte(side: Side) -> None:
    data = request()
    assert side.feed_bytes(data[:-1]) == []
    assert side.connection.recv_buffer_len == len(data) - 1
    assert side.connection.handshake_request is None
    (event,) = side.feed(data[-1:])
    assert event.request.error is None
    assert side.connection.recv_buffer_len == 0


SOUND = {
    "lists": request(changes={"Upgrade": "h2c, WebSocket", "Connection": "keep-alive, Upgrade"}),
    "several lines": request(
        changes={"Connection": None, "Upgrade": None},
        extra=[("CONNECTION", "a"), ("connection", "UPGRADE"), ("UPGRADE", "b, WEBSOCKET")],
    ),
    "absolute target": request("GET HTTP://server.example.com/a HTTP/1.1"),
    "two slashes": request("GET //x HTTP/1.1"),
    "quoted extension": request(extra=[("Sec-WebSocket-Extensions", 'a; b="c"')]),
    "host with a port": request(changes={"Host": "[::1]:80"}),
    "Content-Length 0": request(extra=[("Content-Length", "0")]),
    "tabs around values": request(extra=[("A", "\t b \t")]),
}


@pytest.mark.rule("R105", "R106", "R107", "R108", "R112")
@pytest.mark.parametrize("name", SOUND)
def test_sound_requests(side: Side, name: str) -> None:
    (event,) = side.feed(SOUND[name])
    assert event.request.error is None
    assert SOUND[name].startswith(f"GET {event.request.path} HTTP/1.1".encode())
    side.connection.accept_handshake_auto()
    assert side.state == "CONNECTED"


@pytest.mark.rule("R102")
def test_first_of_several_mistakes_decides(side: Side) -> None:
    # All is wrong; what is mended, in the order of the checks, makes the next mistake show.
    fields = {
        "Host": "a/b",
        "Upgrade": "h2c",
        "Connection": "close",
        "Sec-WebSocket-Version": "8",
        "Sec-WebSocket-Key": "AAAA",
        "Sec-WebSocket-Protocol": "a b",
        "Sec-WebSocket-Extensions": "a/b",
    }
    sound = {
        "Host": "a",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": NONCE_KEY,
        "Sec-WebSocket-Protocol": "a",
        "Sec-WebSocket-Extensions": "a",
    }
    start = "POST ws://a HTTP/1.1"
    words = []
    for mended in ["", "GET ws://a HTTP/1.1", "GET / HTTP/1.1", *fields]:
        if mended in fields:
            fields[mended] = sound[mended]
        elif mended:
            start = mended
        (event,) = connecting(side.ws, "server").feed(head(start, fields.items()))
        words.append("" if event.request.error is None else str(event.request.error))
    expected = ["method", "target", "Host", "Upgrade", "Connection", "Version", "Key"]
    for text, word in zip(words, [*expected, "subprotocol", "extension", ""]):
        assert word in text
    assert words[-1] == ""


@pytest.mark.rule("1.4 server: the event")
def test_plain_get_can_be_answered_by_the_application(side: Side) -> None:
    (event,) = side.feed(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
    assert event.request.path == "/health"
    assert type(event.request.error) is side.ws.InvalidHandshake
    side.connection.reject_handshake(200, headers={"Content-Type": "text/plain"}, body=b"fine")
    assert side.events() == [side.state_changed("CLOSED")]
    answer = read_answer(side.raw()[0])
    assert answer == (
        "HTTP/1.1 200 OK",
        {"connection": "close", "content-type": "text/plain", "content-length": "4"},
        b"fine",
    )


@pytest.mark.rule("1.4 both", "R150")
def test_head_may_have_exactly_max_handshake_size(ws: Any) -> None:
    data = request()
    side = connecting(ws, "server", max_handshake_size=len(data))
    assert len(side.feed(data)) == 1
    for cut in ("whole", "bytes"):
        side = connecting(ws, "server", max_handshake_size=len(data) - 1)
        error = side.failure(side.feed(data) if cut == "whole" else side.feed_bytes(data))
        assert type(error) is ws.LimitExceeded
        assert side.raw()[0] == ANSWERS[431]


@pytest.mark.rule("R150")
def test_100_fields_are_fine(side: Side) -> None:
    (event,) = side.feed(request(extra=[("A", "b")] * 95))
    assert len(event.request.headers) == 100


# Accepting


@pytest.mark.rule("R117", "R125", "R67", "R77", "1.1 opening timeout")
def test_accept_answers_and_opens(ws: Any) -> None:
    side = asked(ws)
    side.connection.accept_handshake()
    assert side.events() == [side.state_changed("CONNECTED"), ws.Connected(None, ())]
    assert side.raw() == [
        ACCEPTED + b"\r\n",
        side.clear_timer("OPEN_TIMEOUT"),
        side.set_timer("PING", 30.0),
    ]


@pytest.mark.rule("R117", "R118", "R121", "1.4 server: the answer")
def test_accept_with_everything(ws: Any) -> None:
    side = asked(
        ws,
        request(
            extra=[
                ("Sec-WebSocket-Protocol", "a, b"),
                ("Sec-WebSocket-Extensions", "x-foo, x-bar; c=1"),
            ]
        ),
        headers=[("Server", "s")],
    )
    side.connection.accept_handshake(
        ws.ServerHandshakeResponse(
            protocol="b",
            extensions=["x-bar; c=2", "x-foo"],
            headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
        )
    )
    assert side.raw()[0] == (
        ACCEPTED + b"Sec-WebSocket-Protocol: b\r\n"
        b"Sec-WebSocket-Extensions: x-bar; c=2, x-foo\r\n"
        b"Set-Cookie: a=1\r\n"
        b"Set-Cookie: b=2\r\n"
        b"Server: s\r\n"
        b"\r\n"
    )
    assert side.events()[-1] == ws.Connected("b", ("x-bar; c=2", "x-foo"))
    assert side.connection.protocol == "b"
    assert side.connection.extensions == ("x-bar; c=2", "x-foo")


@pytest.mark.rule("R121")
def test_extension_that_was_echoed_changes_no_rule(ws: Any) -> None:
    side = asked(ws, request(extra=[("Sec-WebSocket-Extensions", "x-foo")]))
    side.connection.accept_handshake(ws.ServerHandshakeResponse(extensions=["x-foo"]))
    side.events()
    assert "RSV1" in str(side.failure(side.receive(TEXT, b"x", rsv=4)))


@pytest.mark.rule("R122")
@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        ("a, b", ["b", "a"], "a"),
        ("c, b, a", ["a", "b"], "b"),
        ("A, b", ["a", "b"], "b"),
        ("c", ["a", "b"], None),
        (None, ["a"], None),
        ("a", [], None),
    ],
)
def test_automatic_choice_of_the_subprotocol(
    ws: Any, offered: str | None, supported: list[str], chosen: str | None
) -> None:
    extra = [] if offered is None else [("Sec-WebSocket-Protocol", offered)]
    side = asked(ws, request(extra=extra), protocols=supported)
    side.connection.accept_handshake_auto()
    assert side.events() == [side.state_changed("CONNECTED"), ws.Connected(chosen, ())]
    line = b"" if chosen is None else f"Sec-WebSocket-Protocol: {chosen}\r\n".encode()
    assert side.raw()[0] == ACCEPTED + line + b"\r\n"


@pytest.mark.rule("R122")
def test_choice_by_hand_need_not_be_among_those_of_the_options(ws: Any) -> None:
    side = asked(ws, request(extra=[("Sec-WebSocket-Protocol", "a, b")]), protocols=["a"])
    side.connection.accept_handshake(ws.ServerHandshakeResponse(protocol="b"))
    assert side.connection.protocol == "b"


@pytest.mark.rule("R116", "1.4 server: the event")
@pytest.mark.parametrize("name", ["accept_handshake", "accept_handshake_auto"])
def test_accept_needs_the_whole_request(ws: Any, name: str) -> None:
    side = connecting(ws, "server")
    side.feed(request()[:-1])
    with pytest.raises(ws.LocalProtocolError, match="HandshakeRequested"):
        getattr(side.connection, name)()
    side.connection.feed_recv_buf(request()[-1:])
    # What has not been polled has not been asked.
    with pytest.raises(ws.LocalProtocolError, match="HandshakeRequested"):
        getattr(side.connection, name)()
    side.events()
    getattr(side.connection, name)()
    with pytest.raises(ws.LocalProtocolError, match="CONNECTED"):
        getattr(side.connection, name)()


ORIGINS = {
    "any": (None, "http://evil.example", True),
    "any, none sent": (None, None, True),
    "listed": (["http://a", "http://b"], "http://b", True),
    "not listed": (["http://a"], "http://b", False),
    "other case": (["http://a"], "HTTP://A", False),
    "none sent, not listed": (["http://a"], None, False),
    "none sent, listed": (["http://a", None], None, True),
    "nobody": ([], "http://a", False),
}


@pytest.mark.rule("1.4 server: the answer")
@pytest.mark.parametrize("name", ORIGINS)
def test_automatic_answer_looks_at_the_origin_where_origins_are_given(ws: Any, name: str) -> None:
    origins, sent, allowed = ORIGINS[name]
    extra = [] if sent is None else [("Origin", sent)]
    side = asked(ws, request(extra=extra), origins=origins)
    side.connection.accept_handshake_auto()
    if allowed:
        assert side.events()[-1] == ws.Connected(None, ())
    else:
        error = side.failure(side.events())
        assert repr(sent) in str(error)
        assert side.raw()[0] == ANSWERS[403]


def test_accept_by_hand_does_not_look_at_the_origin(ws: Any) -> None:
    side = asked(ws, request(extra=[("Origin", "http://b")]), origins=["http://a"])
    side.connection.accept_handshake()
    assert side.state == "CONNECTED"


# Rejecting


@pytest.mark.rule("1.4 server: the answer", "R123")
def test_reject_answers_and_ends(ws: Any) -> None:
    side = asked(ws)
    side.connection.reject_handshake(404)
    assert side.events() == [side.state_changed("CLOSED")]
    assert side.raw() == [
        b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        side.clear_timer("OPEN_TIMEOUT"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("1.4 server: the answer")
def test_reject_with_everything(ws: Any) -> None:
    side = asked(ws)
    side.connection.reject_handshake(
        401, "Who", [("WWW-Authenticate", "Basic"), ("A", "é")], bytearray(b"please")
    )
    assert (
        side.raw()[0]
        == (
            "HTTP/1.1 401 Who\r\nConnection: close\r\nWWW-Authenticate: Basic\r\nA: é\r\n"
            "Content-Length: 6\r\n\r\nplease"
        ).encode()
    )


@pytest.mark.rule("1.4 server: the answer")
@pytest.mark.parametrize(
    ("status", "start"),
    [
        (200, "200 OK"),
        (299, "299 "),
        (302, "302 Found"),
        (500, "500 Internal Server Error"),
        (599, "599 "),
    ],
)
def test_empty_reason_becomes_the_standard_phrase(ws: Any, status: int, start: str) -> None:
    side = asked(ws)
    side.connection.reject_handshake(status)
    assert read_answer(side.raw()[0]).start == f"HTTP/1.1 {start}"


@pytest.mark.rule("1.4 server: the answer")
def test_405_and_426_carry_what_they_must(ws: Any) -> None:
    for status in (405, 426):
        side = asked(ws)
        side.connection.reject_handshake(status)
        assert side.raw()[0] == ANSWERS[status]


@pytest.mark.rule("R123", "1.4 server: the answer")
def test_reject_works_before_the_request_is_complete(side: Side) -> None:
    side.feed(b"GET / HT")
    side.connection.reject_handshake(503)
    assert side.raw()[0] == ANSWERS[503]
    assert side.events() == [side.state_changed("CLOSED")]


@pytest.mark.rule("1.4 server: the answer")
def test_answer_to_head_has_no_body(ws: Any) -> None:
    side = asked(ws, request("HEAD /chat HTTP/1.1"))
    side.connection.reject_handshake(200, body=b"hello")
    answer = side.raw()[0]
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length: 5\r\n" in answer


@pytest.mark.rule("1.4 server: the answer")
def test_request_with_an_error_can_be_rejected_with_any_status(ws: Any) -> None:
    side = asked(ws, request(changes={"Upgrade": None}))
    side.connection.reject_handshake(418)
    assert side.raw()[0].startswith(b"HTTP/1.1 418 ")


# Early data


@pytest.mark.rule("R125", "1.2 early data")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_early_data_is_handled_after_the_answer(ws: Any, cut: str) -> None:
    side = connecting(ws, "server")
    early = frame(TEXT, b"early", key=KEY) + frame(PING, b"x", key=KEY)
    data = request() + early
    events = side.feed(data) if cut == "whole" else side.feed_bytes(data)
    assert [type(event) for event in events] == [ws.HandshakeRequested]
    assert side.connection.recv_buffer_len == len(early)
    side.connection.accept_handshake()
    assert side.events() == [
        side.state_changed("CONNECTED"),
        ws.Connected(None, ()),
        ws.TextMessage("early"),
        ws.Ping(b"x"),
    ]
    answer, *rest = side.raw()
    assert answer == ACCEPTED + b"\r\n"
    assert rest == [
        side.clear_timer("OPEN_TIMEOUT"),
        side.set_timer("PING", 30.0),
        frame(PONG, b"x"),
    ]


@pytest.mark.rule("1.2 early data", "R85", "R86")
@pytest.mark.parametrize("together", [True, False])
def test_early_data_is_bounded(ws: Any, together: bool) -> None:
    size = len(request())
    early = frame(2, bytes(size), key=KEY)[:size]
    for extra, fine in ((b"", True), (b"x", False)):
        side = connecting(ws, "server", max_handshake_size=size)
        pieces = [request() + early + extra] if together else [request(), early + extra]
        events = side.feed(*pieces)
        assert isinstance(events[0], ws.HandshakeRequested)
        if fine:
            assert events[1:] == []
            assert side.connection.recv_buffer_len == size
            continue
        error = side.failure(events)
        assert type(error) is ws.LimitExceeded
        assert error.limit == "max_handshake_size"
        assert side.raw() == [
            ANSWERS[400],
            side.clear_timer("OPEN_TIMEOUT"),
            ws.CloseConnection(),
        ]
        assert side.connection.recv_buffer_len == 0
        with pytest.raises(ws.LocalProtocolError, match="CLOSED"):
            side.connection.accept_handshake()


@pytest.mark.rule("1.2 early data")
def test_early_data_is_judged_when_the_connection_is_polled_again(ws: Any) -> None:
    size = len(request())
    side = connecting(ws, "server", max_handshake_size=size)
    side.connection.feed_recv_buf(request() + frame(2, bytes(2 * size), key=KEY))
    for event in side.connection.events():
        if isinstance(event, ws.HandshakeRequested):
            # Answered at once, nothing was early.
            side.connection.accept_handshake()
    assert side.state == "CONNECTED"


@pytest.mark.rule("1.2 early data")
def test_no_bound_where_none_is_wanted(ws: Any) -> None:
    side = connecting(ws, "server", max_handshake_size=None)
    side.feed(request() + frame(2, bytes(100_000), key=KEY))
    side.connection.accept_handshake()
    assert side.events()[-1] == ws.BinaryMessage(bytes(100_000))


@pytest.mark.rule("R90", "1.1 failure")
def test_violation_in_early_data_takes_the_one_path(ws: Any) -> None:
    side = connecting(ws, "server")
    side.feed(request() + frame(TEXT, b"not masked"))
    assert side.state == "CONNECTING"
    side.connection.accept_handshake()
    error = side.failure(side.events())
    assert error.close_code == 1002
    answer, *rest = side.raw()
    assert answer == ACCEPTED + b"\r\n"
    assert rest == [
        side.clear_timer("OPEN_TIMEOUT"),
        side.set_timer("PING", 30.0),
        frame(CLOSE, close_body(1002, "protocol error")),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("1.2 early data")
def test_early_data_is_dropped_by_a_refusal(ws: Any) -> None:
    side = connecting(ws, "server")
    side.feed(request() + frame(TEXT, b"early", key=KEY))
    side.connection.reject_handshake(404)
    assert side.events() == [side.state_changed("CLOSED")]
    assert side.connection.recv_buffer_len == 0


# Not in time, or no more


@pytest.mark.rule("1.1 opening timeout")
@pytest.mark.parametrize(
    ("pieces", "status"),
    [([], 408), ([b""], 408), ([b"GET / HTTP/1.1\r\nHost:"], 408), ([request()], 503)],
    ids=["nothing came", "empty feed", "half a head", "not answered"],
)
def test_opening_timeout_is_answered(ws: Any, pieces: list[bytes], status: int) -> None:
    side = new(ws, "server")
    side.feed(*pieces)
    side.raw()
    error = side.failure(side.timer("OPEN_TIMEOUT"))
    assert type(error) is ws.ConnectionTimedOut
    assert (error.timer_id, error.close_code) == (ws.TimerId.OPEN_TIMEOUT, 1006)
    assert side.raw() == [ANSWERS[status], ws.CloseConnection()]


@pytest.mark.rule("1.1 end of stream", "1.1 transition table")
@pytest.mark.parametrize("pieces", [[], [b"GET /"], [request()]])
def test_stream_that_ends_before_the_answer(ws: Any, pieces: list[bytes]) -> None:
    side = new(ws, "server")
    side.feed(*pieces)
    side.raw()
    error = side.failure(side.eof())
    assert (type(error), error.during_handshake) == (ws.ConnectionLost, True)
    # Nobody is left to read an answer.
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]
    with pytest.raises(ws.LocalProtocolError, match="CLOSED"):
        side.connection.accept_handshake()


def test_feeding_a_new_server_after_the_end_of_stream_changes_nothing(ws: Any) -> None:
    side = new(ws, "server")
    side.connection.feed_eof()
    with pytest.raises(ws.LocalProtocolError, match="after feed_eof"):
        side.connection.feed_recv_buf(b"")
    assert side.state == "DISCONNECTED"
    error = side.failure(side.events())
    assert isinstance(error, ws.ConnectionLost)


def test_stream_that_ends_with_early_data_unread(ws: Any) -> None:
    side = connecting(ws, "server")
    side.connection.feed_recv_buf(request() + frame(TEXT, b"early", key=KEY))
    side.connection.feed_eof()
    for event in side.connection.events():
        if isinstance(event, ws.HandshakeRequested):
            side.connection.accept_handshake()
        elif isinstance(event, ws.TextMessage):
            assert event.text == "early"
            break
    assert type(side.failure(side.events())) is ws.ConnectionLost


# Closing: the server asks for the transport to be closed


@pytest.mark.rule("1.1 normal close, server", "1.1 CloseConnection", "R56", "R57", "R58")
def test_client_closes_first(ws: Any) -> None:
    side = connected(ws, "server")
    assert side.receive(CLOSE, close_body(1001, "bye")) == [
        ws.Close(1001, "bye"),
        side.state_changed("CLOSED"),
    ]
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1001)),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("1.1 normal close, server", "1.1 CloseConnection", "R56")
def test_client_closes_with_a_ping_outstanding(ws: Any) -> None:
    side = connected(ws, "server")
    side.connection.send_ping()
    side.raw()
    side.receive(CLOSE)
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1000)),
        side.clear_timer("PONG_TIMEOUT"),
        side.clear_timer("PING"),
        ws.CloseConnection(),
    ]


@pytest.mark.rule("1.1 normal close, server", "1.1 CloseConnection", "R56", "R61")
def test_server_closes_first(ws: Any) -> None:
    side = closing(ws, "server")
    assert side.receive(TEXT, b"late") == [ws.TextMessage("late")]
    assert side.receive(CLOSE, close_body(1000)) == [
        ws.Close(1000, ""),
        side.state_changed("CLOSED"),
    ]
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 normal close, server")
def test_end_of_stream_behind_the_close_is_nothing_more(ws: Any) -> None:
    side = connected(ws, "server")
    side.connection.feed_recv_buf(frame(CLOSE, close_body(1000), key=KEY))
    side.connection.feed_eof()
    assert side.events() == [ws.Close(1000, ""), side.state_changed("CLOSED")]
    assert side.raw()[-1] == ws.CloseConnection()


@pytest.mark.rule("1.1 CloseConnection")
def test_answer_and_unpolled_sends_come_before_close_connection(ws: Any) -> None:
    side = connected(ws, "server")
    side.connection.send_binary(bytes(100_000))
    side.connection.send_text("last")
    side.receive(CLOSE, close_body(1000))
    outputs = side.outputs()
    assert [output.opcode for output in outputs if isinstance(output, WireFrame)] == [2, 1, 8]
    assert outputs.count(ws.CloseConnection()) == 1
    assert outputs[-1] == ws.CloseConnection()

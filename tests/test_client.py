"""The client's connection: its opening handshake, and how it lets the server close first."""

from __future__ import annotations

from typing import Any

import pytest
from helpers import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    CountingRandom,
    Side,
    WireFrame,
    close_body,
    closing,
    connected,
    connecting,
    frame,
    new,
    response,
)

REQUEST = (
    b"GET /chat HTTP/1.1\r\n"
    b"Host: server.example.com\r\n"
    b"Upgrade: websocket\r\n"
    b"Connection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n"
)


@pytest.fixture
def side(ws: Any) -> Side:
    return connecting(ws, "client")


# The request (RFC 6455 section 4.1)


@pytest.mark.rule("R91", "R92", "R77", "1.1 opening timeout")
def test_connect_sends_the_request_and_arms_the_timer(ws: Any) -> None:
    side = new(ws, "client")
    assert side.raw() == []
    assert side.events() == []
    side.connection.connect()
    assert side.events() == [side.state_changed("CONNECTING")]
    assert side.raw() == [REQUEST + b"\r\n", side.set_timer("OPEN_TIMEOUT", 10.0)]


@pytest.mark.rule("R91")
def test_everything_that_is_offered_follows_in_order(ws: Any) -> None:
    side = new(
        ws,
        "client",
        origin="http://example.com",
        protocols=["chat", "superchat"],
        headers=[("Cookie", "a=1"), ("X-B", "2"), ("cookie", "c=3")],
    )
    side.connection.connect()
    assert side.raw()[0] == (
        REQUEST + b"Origin: http://example.com\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Cookie: a=1\r\n"
        b"X-B: 2\r\n"
        b"cookie: c=3\r\n"
        b"\r\n"
    )


def test_target_and_host_have_defaults(ws: Any) -> None:
    connection = ws.WebSocketClientConnection(ws.ClientConnectionOptions())
    connection.connect()
    request = connection.poll_output().data
    assert request.startswith(b"GET / HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.rule("R92", "R162")
def test_each_connect_draws_a_nonce_of_its_own(ws: Any) -> None:
    keys = set()
    for _ in range(50):
        connection = ws.WebSocketClientConnection(ws.ClientConnectionOptions())
        connection.connect()
        keys.add(connection.poll_output().data.split(b"Key: ")[1].split(b"\r\n")[0])
    assert len(keys) == 50
    assert {len(key) for key in keys} == {24}


@pytest.mark.rule("R162")
def test_a_source_of_randomness_is_asked_once_for_a_nonce(ws: Any) -> None:
    random = CountingRandom()
    connecting(ws, "client", random=random)
    assert (random.nonces, random.keys) == (1, [])


BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "empty host": {"host": ""},
    "host with a path": {"host": "a/b"},
    "host with a line break": {"host": "a\r\nb"},
    "IPv6 without brackets": {"host": "::1"},
    "port too large": {"host": "a:65536"},
    "empty target": {"path": ""},
    "relative target": {"path": "chat"},
    "ws target": {"path": "ws://server.example.com/"},
    "fragment": {"path": "/a#b"},
    "space": {"path": "/a b"},
    "control character": {"path": "/a\nb"},
    "not ASCII": {"path": "/é"},
    "broken escape": {"path": "/%4"},
    "escaped NUL": {"path": "/%00"},
    "bracket": {"path": "/[a]"},
    "other authority": {"path": "http://other.example.com/"},
    "explicit default port": {"path": "http://server.example.com:80/"},
    "subprotocol not a token": {"protocols": ["a b"]},
    "subprotocol empty": {"protocols": [""]},
    "subprotocol twice": {"protocols": ["a", "b", "a"]},
    "Origin with a line break": {"origin": "a\r\nb"},
    "Origin twice": {"origin": "http://a", "headers": [("origin", "http://b")]},
    **{
        f"reserved {name}": {"headers": [(name, "x")]}
        for name in (
            "Host",
            "UPGRADE",
            "connection",
            "Sec-WebSocket-Key",
            "sec-websocket-version",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Extensions",
            "Sec-WebSocket-Accept",
            "Content-Length",
            "Transfer-Encoding",
        )
    },
    "header name not a token": {"headers": [("A b", "x")]},
    "empty header name": {"headers": [("", "x")]},
    "line break in a header": {"headers": [("A", "b\r\nC: d")]},
    "NUL in a header": {"headers": [("A", "b\0")]},
}


@pytest.mark.rule("R93", "R94", "R95", "R96", "R97", "R98", "R99", "R100", "1.4 client")
@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_request_that_must_not_be_sent_leaves_the_connection_as_it_was(ws: Any, name: str) -> None:
    random = CountingRandom()
    side = new(ws, "client", random=random, **BAD_OPTIONS[name])
    for attempt in (1, 2):
        with pytest.raises(ws.LocalProtocolError):
            side.connection.connect()
        assert random.nonces == attempt
    assert side.state == "DISCONNECTED"
    assert side.events() == []
    assert side.raw() == []


@pytest.mark.rule("R93", "R94", "R95", "R99")
@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("server.example.com", "/"),
        ("server.example.com:8080", "/a/b?c=d&e=%C3%A9;f:g@h"),
        ("127.0.0.1", "//x"),
        ("[::1]:9000", "/?"),
        ("Server.Example.com", "HTTP://server.example.COM/a"),
        ("a:8443", "https://A:8443?b"),
    ],
)
def test_sound_targets_are_sent_as_they_are(ws: Any, host: str, path: str) -> None:
    side = new(ws, "client", host=host, path=path)
    side.connection.connect()
    assert side.raw()[0].startswith(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode())


# The answer


@pytest.mark.rule("R67", "R77", "R131", "1.1 opening timeout")
def test_sound_answer_opens_the_connection(side: Side) -> None:
    assert side.feed(response()) == [
        side.state_changed("CONNECTED"),
        side.ws.Connected(None, ()),
    ]
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), side.set_timer("PING", 30.0)]
    assert side.connection.protocol is None
    assert side.connection.extensions == ()


@pytest.mark.rule("R131")
def test_answer_is_judged_as_soon_as_its_head_is_complete(side: Side) -> None:
    data = response()
    assert side.feed_bytes(data[:-1]) == []
    assert side.state == "CONNECTING"
    assert side.connection.recv_buffer_len == len(data) - 1
    assert side.feed(data[-1:])[-1] == side.ws.Connected(None, ())
    assert side.connection.recv_buffer_len == 0


@pytest.mark.rule("1.4 both")
def test_all_headers_of_the_answer_are_there(side: Side) -> None:
    side.feed(response(extra=[("Set-Cookie", "a=1"), ("set-cookie", "b=é"), ("Server", "\tx ")]))
    answer = side.connection.handshake_response
    assert (answer.status, answer.reason, answer.body) == (101, "Switching Protocols", b"")
    assert answer.headers.get_all("SET-COOKIE") == ("a=1", "b=é")
    assert answer.headers.get("server") == "x"


@pytest.mark.rule("R136")
@pytest.mark.parametrize("chosen", ["chat", "superchat", None])
def test_subprotocol_that_was_offered(ws: Any, chosen: str | None) -> None:
    side = connecting(ws, "client", protocols=["chat", "superchat"])
    extra = [] if chosen is None else [("Sec-WebSocket-Protocol", chosen)]
    assert side.feed(response(extra=extra))[-1] == ws.Connected(chosen, ())
    assert side.connection.protocol == chosen


SOUND = {
    "lists": response(
        changes={"Upgrade": "h2c, WebSocket", "Connection": "keep-alive,\tUPGRADE ,x"}
    ),
    "several lines": response(
        changes={"Connection": None}, extra=[("connection", "x"), ("CONNECTION", "upgrade")]
    ),
    "no reason": response("HTTP/1.1 101"),
    "empty reason": response("HTTP/1.1 101 "),
    "another reason": response("HTTP/1.1 101 Web Socket Protocol Handshake"),
    "Content-Length": response(extra=[("Content-Length", "5")]),
    "Transfer-Encoding": response(extra=[("Transfer-Encoding", "chunked")]),
}


@pytest.mark.rule("R134", "R138")
@pytest.mark.parametrize("name", SOUND)
def test_sound_answers(side: Side, name: str) -> None:
    assert side.feed(SOUND[name])[-1] == side.ws.Connected(None, ())
    assert side.receive(TEXT, b"hi") == [side.ws.TextMessage("hi")]


@pytest.mark.rule("R139", "1.4 both")
def test_frames_right_behind_the_answer_come_after_connected(side: Side) -> None:
    ws = side.ws
    events = side.feed(
        response() + frame(TEXT, b"hi") + frame(PING, b"x") + frame(TEXT, b"half")[:3]
    )
    assert events == [
        side.state_changed("CONNECTED"),
        ws.Connected(None, ()),
        ws.TextMessage("hi"),
        ws.Ping(b"x"),
    ]
    assert side.outputs() == [
        side.clear_timer("OPEN_TIMEOUT"),
        side.set_timer("PING", 30.0),
        WireFrame(PONG, b"x"),
    ]
    assert side.feed(b"lf") == []
    assert side.feed(b"!")[:1] != []


@pytest.mark.rule("R139", "1.4 both")
def test_bytes_behind_the_head_do_not_count_as_head(ws: Any) -> None:
    side = connecting(ws, "client", max_handshake_size=len(response()))
    data = bytes(60_000)
    events = side.feed(response() + frame(2, data))
    assert events[-1] == ws.BinaryMessage(data)


@pytest.mark.rule("R139")
def test_violation_right_behind_the_answer(side: Side) -> None:
    events = side.feed(response() + frame(TEXT, b"ok") + frame(TEXT, rsv=1))
    assert events[:3] == [
        side.state_changed("CONNECTED"),
        side.ws.Connected(None, ()),
        side.ws.TextMessage("ok"),
    ]
    side.failure(events)
    assert side.sent() == [WireFrame(CLOSE, close_body(1002, "protocol error"))]


def test_stream_that_ends_right_behind_the_answer(side: Side) -> None:
    side.connection.feed_recv_buf(response())
    side.connection.feed_eof()
    events = side.events()
    assert events[1] == side.ws.Connected(None, ())
    error = side.failure(events)
    assert (type(error), error.during_handshake) == (side.ws.ConnectionLost, False)


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
def test_interim_responses_are_skipped(side: Side, cut: str) -> None:
    data = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response() + frame(TEXT, b"hi")
    )
    events = side.feed(data) if cut == "whole" else side.feed_bytes(data)
    assert events[-1] == side.ws.TextMessage("hi")
    assert side.connection.handshake_response.status == 101


@pytest.mark.rule("1.4 both")
def test_head_may_have_exactly_max_handshake_size(ws: Any) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    size = len(interim + response())
    side = connecting(ws, "client", max_handshake_size=size)
    assert side.feed(interim + response())[-1] == ws.Connected(None, ())
    side = connecting(ws, "client", max_handshake_size=size - 1)
    data = interim + response()
    assert side.feed_bytes(data[:-1]) == []
    assert isinstance(side.failure(side.feed(data[-1:])), ws.LimitExceeded)


# Refusals


def refusal(fields: str, body: bytes = b"", start: str = "HTTP/1.1 403 Forbidden") -> bytes:
    return f"{start}\r\n{fields}\r\n".encode() + body


REFUSALS = {
    "by length": (refusal("Content-Length: 5\r\n", b"hello"), b"hello"),
    "by length, with more behind it": (refusal("Content-Length: 5\r\n", b"hello?"), b"hello"),
    "length 0": (refusal("Content-Length: 0\r\n"), b""),
    "chunked": (
        refusal("Transfer-Encoding: chunked\r\n", b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"),
        b"hello",
    ),
    "204": (refusal("", start="HTTP/1.1 204 No Content"), b""),
    "304": (refusal("Content-Length: 5\r\n", start="HTTP/1.1 304 Not Modified"), b""),
    "up to max_response_body": (refusal("Content-Length: 99999\r\n", b"x" * 1001), b"x" * 1000),
    "up to max_response_body without a length": (refusal("", b"x" * 1001), b"x" * 1000),
    "broken framing": (refusal("Transfer-Encoding: chunked\r\n", b"zz\r\n"), b""),
}


@pytest.mark.rule("R132", "1.4 client")
@pytest.mark.parametrize("cut", ["whole", "bytes"])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusal_comes_with_its_body(ws: Any, name: str, cut: str) -> None:
    data, body = REFUSALS[name]
    side = connecting(ws, "client", max_response_body=1000)
    error = side.failure(side.feed(data) if cut == "whole" else side.feed_bytes(data))
    assert type(error) is ws.UnexpectedHttpResponse
    assert error.response.body == body
    assert error.response == side.connection.handshake_response
    assert side.raw() == [side.clear_timer("OPEN_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.4 client")
def test_body_of_a_refusal_is_not_copied_with_every_read(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = 0
    module = side.ws.handshake.response
    replace = module.replace

    def counting(response: Any, *, body: bytes) -> Any:
        nonlocal copied
        copied += len(body)
        return replace(response, body=body)

    monkeypatch.setattr(module, "replace", counting)
    assert side.feed(refusal("Content-Length: 1000\r\n")) == []
    assert side.feed_bytes(b"x" * 999) == []
    assert copied == 0
    assert side.connection.handshake_response.body == b"x" * 999
    error = side.failure(side.feed(b"x"))
    assert error.response.body == b"x" * 1000
    assert copied <= 3000


@pytest.mark.rule("R132", "1.4 client", "1.4 both")
def test_refusal_tells_status_reason_and_headers(side: Side) -> None:
    data = refusal("A: 1\r\na: 2\r\nContent-Length: 2\r\n", b"no", "HTTP/1.0 401 Who are you")
    answer = side.failure(side.feed(data)).response
    assert (answer.status, answer.reason, answer.body) == (401, "Who are you", b"no")
    assert answer.headers == (("A", "1"), ("a", "2"), ("Content-Length", "2"))


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize("end", ["end of stream", "open_timeout"])
@pytest.mark.parametrize("fields", ["", "Content-Length: 100\r\n"])
def test_refusal_whose_body_is_cut_off_is_still_a_refusal(
    side: Side, fields: str, end: str
) -> None:
    assert side.feed(refusal(fields, b"so f"), b"ar") == []
    assert side.state == "CONNECTING"
    assert side.connection.handshake_response.status == 403
    events = side.eof() if end == "end of stream" else side.timer("OPEN_TIMEOUT")
    error = side.failure(events)
    assert type(error) is side.ws.UnexpectedHttpResponse
    assert (error.response.status, error.response.body) == (403, b"so far")
    assert side.raw()[-1] == side.ws.CloseConnection()


@pytest.mark.rule("1.1 opening timeout")
def test_no_answer_in_time_is_a_failure(side: Side) -> None:
    ws = side.ws
    side.feed(b"HTTP/1.1 101 Sw")
    error = side.failure(side.timer("OPEN_TIMEOUT"))
    assert type(error) is ws.ConnectionTimedOut
    assert (error.timer_id, error.close_code) == (ws.TimerId.OPEN_TIMEOUT, 1006)
    # There is no connection yet that a Close frame could end.
    assert side.raw() == [ws.CloseConnection()]
    assert side.feed(b"itching") == []


@pytest.mark.rule("1.4 client", "1.1 failure")
def test_failed_handshake_shows_no_refused_values(ws: Any) -> None:
    side = connecting(ws, "client", protocols=["a"])
    error = side.failure(side.feed(response(extra=[("Sec-WebSocket-Protocol", "b")])))
    assert type(error) is ws.InvalidHandshake
    assert side.connection.protocol is None
    assert side.connection.handshake_response.protocol == "b"


# Closing: the server closes TCP first (RFC 6455 section 7.1.1)


@pytest.mark.rule("1.1 normal close, client", "R56", "R57", "R62")
def test_server_closes_first(ws: Any) -> None:
    side = connected(ws, "client")
    assert side.receive(CLOSE, close_body(1001, "bye")) == [
        ws.Close(1001, "bye"),
        side.state_changed("CLOSING"),
    ]
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1001)),
        side.clear_timer("PING"),
        side.set_timer("CLOSE_TIMEOUT", 5.0),
    ]
    assert side.eof() == [side.state_changed("CLOSED")]
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 normal close, client")
def test_client_closes_first(ws: Any) -> None:
    side = closing(ws, "client")
    assert side.receive(CLOSE, close_body(1000, "ok")) == [ws.Close(1000, "ok")]
    assert side.state == "CLOSING"
    # The server has as long again to close TCP.
    assert side.outputs() == [side.set_timer("CLOSE_TIMEOUT", 5.0)]
    assert side.eof() == [side.state_changed("CLOSED")]
    assert side.raw() == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 normal close, client", "R73")
def test_server_that_never_closes_tcp_is_no_failure(ws: Any) -> None:
    for make in (connected, closing):
        side = make(ws, "client")
        side.receive(CLOSE, close_body(1000))
        side.raw()
        assert side.timer("CLOSE_TIMEOUT") == [side.state_changed("CLOSED")]
        assert side.raw() == [ws.CloseConnection()]


@pytest.mark.rule("1.1 normal close, client")
def test_end_of_stream_fed_with_the_close(ws: Any) -> None:
    side = connected(ws, "client")
    side.connection.feed_recv_buf(frame(CLOSE, close_body(1000)))
    side.connection.feed_eof()
    assert side.events() == [
        ws.Close(1000, ""),
        side.state_changed("CLOSING"),
        side.state_changed("CLOSED"),
    ]
    assert side.outputs()[-2:] == [side.clear_timer("CLOSE_TIMEOUT"), ws.CloseConnection()]


@pytest.mark.rule("1.1 normal close, client", "R42", "R62")
def test_after_both_closes_nothing_is_sent_any_more(ws: Any) -> None:
    side = connected(ws, "client")
    side.receive(CLOSE, close_body(1000))
    side.raw()
    for call in ("send_pong", "send_ping"):
        with pytest.raises(ws.LocalProtocolError, match="CLOSING"):
            getattr(side.connection, call)()
    side.connection.close()
    assert side.receive(PING, b"x") == []
    assert side.raw() == []


@pytest.mark.rule("1.1 normal close, client")
def test_pongs_are_not_awaited_any_more_after_both_closes(ws: Any) -> None:
    side = connected(ws, "client")
    side.connection.send_ping()
    side.raw()
    side.receive(CLOSE, close_body(1000))
    assert side.outputs() == [
        WireFrame(CLOSE, close_body(1000)),
        side.clear_timer("PONG_TIMEOUT"),
        side.clear_timer("PING"),
        side.set_timer("CLOSE_TIMEOUT", 5.0),
    ]


def test_without_close_timeout_the_end_of_stream_still_ends_it(ws: Any) -> None:
    side = connected(ws, "client", close_timeout=None)
    side.receive(CLOSE, close_body(1000))
    assert side.eof() == [side.state_changed("CLOSED")]
    assert side.raw()[-1] == ws.CloseConnection()

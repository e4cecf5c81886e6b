"""The server's half of the opening handshake: written by a server, read by a client."""

from __future__ import annotations

import contextlib
import pickle
from typing import Optional

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from websocket.errors import (
    ExtensionParseError,
    HandshakeError,
    InvalidHandshake,
    LimitExceeded,
    LocalProtocolError,
    UnexpectedHttpResponse,
)
from websocket.handshake import (
    HandshakeRequest,
    HandshakeRequestValidator,
    HandshakeResponse,
    HandshakeValidator,
    ServerHandshakeRequest,
    ServerHandshakeResponse,
    build_refusal,
    calculate_accept,
    calculate_accept_from_key,
    check_offers,
    choose_protocol,
)
from websocket.headers import Headers

NONCE = b"the sample nonce"
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

GOOD = (
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Accept", ACCEPT),
)
GREETING = "HTTP/1.1 101 Switching Protocols"


def head(start: str = GREETING, fields: tuple[tuple[str, str], ...] = GOOD) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


def put(name: str, *values: str) -> tuple[tuple[str, str], ...]:
    """The good fields with those of one name replaced, by nothing perhaps."""
    kept = tuple(field for field in GOOD if field[0] != name)
    return kept + tuple((name, value) for value in values)


def validator_of(
    data: bytes, max_size: Optional[int] = 16384, max_body: Optional[int] = 65536
) -> HandshakeValidator:
    validator = HandshakeValidator(NONCE, max_size=max_size, max_body=max_body)
    validator.feed(data)
    return validator


def read(data: bytes) -> HandshakeResponse:
    response = validator_of(data).validate()
    assert response is not None
    return response


def request_of(
    protocols: tuple[str, ...] = (), extensions: tuple[str, ...] = (), path: str = "/"
) -> ServerHandshakeRequest:
    validator = HandshakeRequestValidator()
    request = HandshakeRequest(path, "a", protocols=protocols, extensions=extensions)
    validator.feed(request.build(NONCE))
    read = validator.read()
    assert read is not None
    return read


# The vectors of RFC 6455 section 1.3


@pytest.mark.rule("R135")
def test_the_accept_value_of_the_rfc() -> None:
    assert calculate_accept(NONCE) == ACCEPT
    assert calculate_accept_from_key("dGhlIHNhbXBsZSBub25jZQ==") == ACCEPT


def test_the_accept_value_needs_a_nonce_of_sixteen_bytes() -> None:
    with pytest.raises(ValueError, match="the nonce must have 16 bytes, not 3"):
        calculate_accept(b"abc")
    with pytest.raises(TypeError, match="the nonce must be bytes"):
        calculate_accept("the sample nonce")  # type: ignore[arg-type]


# The client's view: a 101


@pytest.mark.rule("R131", "R134", "R135", "1.4 both")
def test_a_good_101_is_read_with_all_its_headers() -> None:
    fields = (
        *GOOD,
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", 'x; y="z", w'),
        ("Set-Cookie", "a=b"),
    )
    assert read(head(fields=fields)) == HandshakeResponse(
        status=101,
        reason="Switching Protocols",
        headers=Headers(fields),
        protocol="chat",
        extensions=('x; y="z"', "w"),
        body=b"",
    )


@pytest.mark.rule("R131", "R139")
def test_a_101_comes_when_its_head_is_complete() -> None:
    data = head()
    validator = validator_of(b"")
    for index in range(len(data)):
        assert validator.validate() is None
        assert validator.response is None
        assert validator.remaining == b""
        assert validator.buffer_len == index
        validator.finish()
        validator.feed(data[index : index + 1])
    response = validator.validate()
    assert response == read(data)
    assert validator.response == response
    validator.feed(b"\x81\x00")
    assert validator.validate() == response
    assert validator.remaining == b"\x81\x00"
    validator.finish()


@pytest.mark.rule("R138")
@pytest.mark.parametrize("start", ["HTTP/1.1 101", "HTTP/1.1 101 ", "HTTP/1.1 101 Ça marche"])
def test_the_reason_phrase_of_a_101_may_be_anything(start: str) -> None:
    assert read(head(start)).reason == start[13:]


@pytest.mark.rule("R138")
@pytest.mark.parametrize(
    "field", [("Content-Length", "5"), ("Content-Length", "x"), ("Transfer-Encoding", "chunked")]
)
def test_what_would_frame_a_body_is_ignored_in_a_101(field: tuple[str, str]) -> None:
    validator = validator_of(head(fields=(*GOOD, field)) + b"\x81\x00")
    assert validator.validate() is not None
    assert validator.remaining == b"\x81\x00"


FAULTS = [
    ("Upgrade missing", put("Upgrade"), "Upgrade does not name 'websocket': ''"),
    ("Upgrade to a version", put("Upgrade", "websocket/13"), "Upgrade does not name"),
    ("Upgrade padded", put("Upgrade", "\u00a0websocket"), "Upgrade does not name"),
    ("Connection missing", put("Connection"), "Connection does not name 'Upgrade': ''"),
    (
        "Connection: close",
        put("Connection", "close"),
        "Connection does not name 'Upgrade': 'close'",
    ),
    (
        "Accept missing",
        put("Sec-WebSocket-Accept"),
        "there must be one Sec-WebSocket-Accept, not 0",
    ),
    (
        "Accept twice",
        put("Sec-WebSocket-Accept", ACCEPT, ACCEPT),
        "there must be one Sec-WebSocket-Accept, not 2",
    ),
    (
        "Accept in another case",
        put("Sec-WebSocket-Accept", ACCEPT.upper()),
        f"the Sec-WebSocket-Accept is '{ACCEPT.upper()}', not '{ACCEPT}'",
    ),
    ("Accept empty", put("Sec-WebSocket-Accept", ""), "the Sec-WebSocket-Accept is ''"),
    ("Accept unpadded", put("Sec-WebSocket-Accept", ACCEPT[:-1]), "the Sec-WebSocket-Accept is"),
    (
        "Protocol twice",
        (*GOOD, ("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "a")),
        "there may be one Sec-WebSocket-Protocol, not 2",
    ),
    (
        "Protocol empty",
        (*GOOD, ("Sec-WebSocket-Protocol", "")),
        "the subprotocol '' is not a token",
    ),
    (
        "Protocol a list",
        (*GOOD, ("Sec-WebSocket-Protocol", "a, b")),
        "the subprotocol 'a, b' is not a token",
    ),
    (
        "Extensions empty",
        (*GOOD, ("Sec-WebSocket-Extensions", ""), ("Sec-WebSocket-Extensions", ",")),
        "Sec-WebSocket-Extensions is there but empty",
    ),
    (
        "Extensions malformed",
        (*GOOD, ("Sec-WebSocket-Extensions", "a;")),
        "extension 'a;': a parameter is empty",
    ),
]


@pytest.mark.rule("R134", "R135", "R136", "R137", "1.4 client")
@pytest.mark.parametrize(("fields", "text"), [pytest.param(*row, id=name) for name, *row in FAULTS])
def test_what_is_wrong_with_a_101(fields: tuple[tuple[str, str], ...], text: str) -> None:
    validator = validator_of(head(fields=fields))
    for call in (validator.validate, validator.finish):
        with pytest.raises(InvalidHandshake) as caught:
            call()
        assert text in str(caught.value)
    assert validator.response is not None
    assert validator.response.headers == fields


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize("version", ["1.0", "1.2", "2.0", "0.9"])
def test_a_101_must_be_http_1_1(version: str) -> None:
    with pytest.raises(InvalidHandshake) as caught:
        validator_of(head(f"HTTP/{version} 101 A")).validate()
    assert str(caught.value) == f"the 101 is of HTTP/{version}, not HTTP/1.1"


@pytest.mark.rule("R134")
def test_list_headers_of_a_101_are_read_over_all_lines_in_any_case() -> None:
    fields = (
        *(("upgrade", "x"), ("Upgrade", "WebSocket"), ("Connection", "x,,UPGRADE ,")),
        ("sec-websocket-accept", ACCEPT),
    )
    assert read(head(fields=fields)).status == 101


@pytest.mark.rule("R137")
def test_extensions_of_a_101_may_stand_on_several_lines() -> None:
    fields = (*GOOD, *(("Sec-WebSocket-Extensions", value) for value in ("a; b", "", "c")))
    assert read(head(fields=fields)).extensions == ("a; b", "c")


# The client's view: interim responses and refusals


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize(
    "interim", ["HTTP/1.1 100 Continue", "HTTP/1.1 103 Early Hints", "HTTP/1.0 199"]
)
def test_interim_responses_are_skipped(interim: str) -> None:
    ahead = head(interim, (("Link", "</x>"),))
    validator = validator_of(ahead)
    assert validator.validate() is None
    assert validator.response is None
    validator.finish()
    validator.feed(ahead + head())
    response = validator.validate()
    assert response == read(head())
    with pytest.raises(UnexpectedHttpResponse):
        validator_of(ahead + head("HTTP/1.1 404 A", (("Content-Length", "0"),))).validate()


@pytest.mark.rule("1.4 both", "1.4 client")
def test_all_heads_together_are_bounded() -> None:
    interim = head("HTTP/1.1 100 Continue", ())
    size = len(interim) * 3 + len(head())
    assert validator_of(interim * 3 + head() + b"more", size).validate() is not None
    for pieces in ([interim * 4, head()], [interim] * 4 + [head()]):
        assert outcome(pieces, size, None) == (
            LimitExceeded,
            f"the head of the handshake exceeds max_handshake_size={size}",
            None,
        )


def test_interim_responses_are_not_kept() -> None:
    validator = HandshakeValidator(NONCE, max_size=None)
    for _ in range(1000):
        validator.feed(head("HTTP/1.1 100 Continue", ()))
        validator.validate()
    assert validator.buffer_len == 0


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize(
    ("start", "field", "body"),
    [
        ("HTTP/1.1 404 Not Found", ("Content-Length", "3"), b"abc"),
        ("HTTP/1.0 404 Not Found", ("Content-Length", "3"), b"abc"),
        ("HTTP/1.1 200 OK", ("Transfer-Encoding", "chunked"), b"2\r\nab\r\n1;x\r\nc\r\n0\r\n"),
        ("HTTP/1.1 302 Found", ("Content-Length", "3"), b"abc"),
        ("HTTP/2.0 999 x", ("Content-Length", "3"), b"abc"),
    ],
)
def test_a_refusal_comes_when_its_body_is_complete(
    start: str, field: tuple[str, str], body: bytes
) -> None:
    fields = (field, ("Set-Cookie", "a=b"))
    validator = validator_of(head(start, fields))
    for index in range(len(body)):
        assert validator.validate() is None
        assert validator.response is not None
        assert validator.response.headers == fields
        assert b"abc".startswith(validator.response.body)
        assert validator.remaining == b""
        validator.feed(body[index : index + 1])
    for _ in range(2):
        with pytest.raises(UnexpectedHttpResponse) as caught:
            validator.validate()
        response = caught.value.response
        assert f"{response.status} {response.reason}" == start[9:]
        assert response == validator.response
        assert response.headers == fields
        assert (response.protocol, response.extensions) == (None, ())
        assert response.body == b"abc"
        validator.feed(b"more")
    with pytest.raises(UnexpectedHttpResponse):
        validator.finish()


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (204, ()),
        (304, (("Content-Length", "5"),)),
        (404, (("Content-Length", "0"),)),
        (404, (("Content-Length", "x"),)),
        (404, (("Content-Length", "3"), ("Content-Length", "4"))),
    ],
)
def test_a_refusal_that_can_have_no_body_comes_at_once(
    status: int, fields: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(UnexpectedHttpResponse) as caught:
        validator_of(head(f"HTTP/1.1 {status} A", fields)).validate()
    assert caught.value.response == HandshakeResponse(
        status=status, reason="A", headers=Headers(fields), protocol=None, extensions=(), body=b""
    )


@pytest.mark.rule("1.4 client")
def test_a_refusal_comes_when_enough_of_its_body_has_come() -> None:
    validator = validator_of(head("HTTP/1.1 404 A", ()), max_body=5)
    assert validator.validate() is None
    validator.feed(b"abcd")
    assert validator.validate() is None
    validator.feed(b"efgh")
    with pytest.raises(UnexpectedHttpResponse) as caught:
        validator.validate()
    assert caught.value.response.body == b"abcde"
    assert validator.buffer_len == len(head("HTTP/1.1 404 A", ())) + 5


@pytest.mark.rule("1.4 client")
def test_a_refusal_without_a_length_ends_with_the_stream() -> None:
    validator = validator_of(head("HTTP/1.1 503 A", ()) + b"x" * 100_000, max_body=None)
    assert validator.validate() is None
    validator.feed(b"y")
    with pytest.raises(UnexpectedHttpResponse) as caught:
        validator.finish()
    assert caught.value.response.body == b"x" * 100_000 + b"y"
    assert str(caught.value) == "the server answered '503 A' instead of 101"


@pytest.mark.rule("1.4 client")
def test_a_refusal_that_stops_short_is_reported_with_what_has_come() -> None:
    validator = validator_of(head("HTTP/1.1 404 A", (("Content-Length", "9"),)) + b"abc")
    with pytest.raises(UnexpectedHttpResponse) as caught:
        validator.finish()
    assert caught.value.response.body == b"abc"


def test_a_stream_that_ends_within_a_head_is_not_for_the_validator_to_report() -> None:
    validator = validator_of(head()[:-1])
    validator.finish()
    validator_of(b"").finish()


@pytest.mark.parametrize("limits", [{"max_size": 0}, {"max_body": 0}, {"max_body": -1}])
def test_a_limit_of_nothing_is_a_mistake(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="None means no limit"):
        HandshakeValidator(NONCE, **limits)


def test_a_nonce_of_another_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="the nonce must have 16 bytes, not 0"):
        HandshakeValidator(b"")


# What the client compares with its offers


@pytest.mark.rule("R136")
def test_the_subprotocol_must_be_one_that_was_offered() -> None:
    response = read(head(fields=(*GOOD, ("Sec-WebSocket-Protocol", "chat"))))
    check_offers(response, ("x", "chat"), ())
    for offered, shown in (((), ""), (("Chat", "x"), "Chat, x")):
        with pytest.raises(InvalidHandshake) as caught:
            check_offers(response, offered, ())
        assert str(caught.value) == (
            f"the server chose the subprotocol 'chat', offered were {shown!r}"
        )


@pytest.mark.rule("R136", "R137")
def test_nothing_need_be_chosen() -> None:
    check_offers(read(head()), ("chat",), ("permessage-deflate",))


@pytest.mark.rule("R137")
def test_every_extension_must_be_one_that_was_offered() -> None:
    response = read(head(fields=(*GOOD, ("Sec-WebSocket-Extensions", "a; x=1, b"))))
    check_offers(response, (), ("b; y", "a", "c"))
    for offered in ((), ("a",), ("a", "B")):
        with pytest.raises(InvalidHandshake, match="which was not offered"):
            check_offers(response, (), offered)


@pytest.mark.rule("R137")
def test_permessage_deflate_may_be_chosen_once() -> None:
    name = "permessage-deflate"
    response = read(head(fields=(*GOOD, ("Sec-WebSocket-Extensions", f"{name}; x, {name}"))))
    with pytest.raises(
        InvalidHandshake, match="the server chose permessage-deflate more than once"
    ):
        check_offers(response, (), (name, name))


# The server's 101


@pytest.mark.rule("R117", "1.4 server: the answer")
def test_a_101_has_its_fields_in_this_order() -> None:
    response = ServerHandshakeResponse(
        protocol="chat",
        extensions=["a; x=1", "b"],
        headers=[("Set-Cookie", "c=d"), ("Sec-WebSocket-Version", "13")],
    )
    request = request_of(("x", "chat"), ("b", "a; x"))
    assert response.build(request, {"Server": "e"}) == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n"
        b"Sec-WebSocket-Extensions: a; x=1, b\r\n"
        b"Set-Cookie: c=d\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Server: e\r\n"
        b"\r\n"
    )


def test_a_101_needs_no_more_than_three_fields() -> None:
    data = ServerHandshakeResponse().build(request_of(("chat",), ("a",)))
    assert data == head()


@pytest.mark.rule("R118")
def test_a_server_may_choose_only_a_subprotocol_of_the_client() -> None:
    for protocols, shown in (((), ""), (("x", "Chat"), "x, Chat")):
        with pytest.raises(LocalProtocolError) as caught:
            ServerHandshakeResponse(protocol="chat").build(request_of(protocols))
        assert str(caught.value) == (
            f"the subprotocol 'chat' is not among those of the client: {shown!r}"
        )


@pytest.mark.rule("R118")
@pytest.mark.parametrize(
    ("extensions", "text"),
    [
        (["b"], "the extension 'b' was not offered by the client"),
        (["A"], "the extension 'A' was not offered by the client"),
        ([""], "the extension '' is not one element but 0"),
        ([" , "], "the extension ' , ' is not one element but 0"),
        (["a, a"], "the extension 'a, a' is not one element but 2"),
        (["a;"], "extension 'a;': a parameter is empty"),
        (["a; x=\r\n"], "extension 'a; x=\\r\\n'"),
        (
            ["permessage-deflate", "permessage-deflate; x"],
            "permessage-deflate is agreed to more than once",
        ),
    ],
)
def test_a_server_may_choose_only_extensions_of_the_client(
    extensions: list[str], text: str
) -> None:
    response = ServerHandshakeResponse(extensions=extensions)
    with pytest.raises(LocalProtocolError) as caught:
        response.build(request_of((), ("a; x", "permessage-deflate")))
    assert text in str(caught.value)


@pytest.mark.rule("R121")
def test_any_extension_that_was_offered_can_be_agreed_to() -> None:
    data = ServerHandshakeResponse(extensions=["a; y=2"]).build(request_of((), ("a; x",)))
    assert b"Sec-WebSocket-Extensions: a; y=2\r\n" in data


@pytest.mark.rule("R119", "1.4 server: the answer")
@pytest.mark.parametrize(
    "name",
    [
        *("Upgrade", "Connection", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"),
        *("Sec-WebSocket-Extensions", "Content-Length", "Transfer-Encoding"),
    ],
)
def test_reserved_headers_are_refused_in_a_101(name: str) -> None:
    request = request_of()
    for spelling in (name, name.lower()):
        fields = [("X", "1"), (spelling, "0")]
        with pytest.raises(LocalProtocolError, match=repr(spelling)):
            ServerHandshakeResponse(headers=fields).build(request)
        with pytest.raises(LocalProtocolError, match=repr(spelling)):
            ServerHandshakeResponse().build(request, fields)


@pytest.mark.rule("1.4 server: arguments")
@pytest.mark.parametrize("field", [("a b", "1"), ("X", "a\r\nb"), ("X", "\ud800"), ("", "1")])
def test_headers_that_would_break_the_head_are_refused(field: tuple[str, str]) -> None:
    request = request_of()
    with pytest.raises(LocalProtocolError):
        ServerHandshakeResponse(headers=[field]).build(request)
    with pytest.raises(LocalProtocolError):
        ServerHandshakeResponse().build(request, [field])
    with pytest.raises(LocalProtocolError):
        build_refusal(403, headers=[field])


@pytest.mark.rule("1.4 server: the answer")
def test_a_request_with_an_error_is_not_accepted() -> None:
    validator = HandshakeRequestValidator()
    validator.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    request = validator.read()
    assert request is not None
    with pytest.raises(LocalProtocolError) as caught:
        ServerHandshakeResponse().build(request)
    assert str(caught.value) == (
        "the request cannot be accepted: Upgrade does not name 'websocket': ''"
    )


def test_other_types_are_refused_when_a_response_is_made() -> None:
    with pytest.raises(TypeError, match="protocol must be str or None, not b'a'"):
        ServerHandshakeResponse(protocol=b"a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="extensions must be a list of str, not 'a'"):
        ServerHandshakeResponse(extensions="a")
    with pytest.raises(TypeError, match="headers must be pairs"):
        ServerHandshakeResponse(headers="a")  # type: ignore[arg-type]


def test_a_response_is_a_value() -> None:
    response = ServerHandshakeResponse(protocol="a", extensions=["b"], headers={"C": "d"})
    assert pickle.loads(pickle.dumps(response)) == response
    assert response != ServerHandshakeResponse()
    with pytest.raises(AttributeError):
        response.protocol = None  # type: ignore[misc]


@pytest.mark.rule("R122")
@pytest.mark.parametrize(
    ("offered", "supported", "chosen"),
    [
        (("a", "b"), ("b", "a"), "a"),
        (("x", "b"), ("b", "a"), "b"),
        (("A",), ("a",), None),
        ((), ("a",), None),
        (("a",), (), None),
    ],
)
def test_the_first_of_the_clients_subprotocols_is_chosen(
    offered: tuple[str, ...], supported: tuple[str, ...], chosen: Optional[str]
) -> None:
    assert choose_protocol(offered, supported) == chosen


# Refusals


@pytest.mark.rule("1.4 server: the answer")
@pytest.mark.parametrize(
    ("status", "head"),
    [
        (400, ["HTTP/1.1 400 Bad Request", "Connection: close"]),
        (405, ["HTTP/1.1 405 Method Not Allowed", "Connection: close", "Allow: GET"]),
        (
            426,
            [
                "HTTP/1.1 426 Upgrade Required",
                "Connection: close, Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Version: 13",
            ],
        ),
        (599, ["HTTP/1.1 599 ", "Connection: close"]),
    ],
)
def test_a_refusal_has_its_fields_in_this_order(status: int, head: list[str]) -> None:
    lines = [*head, "X: y", "Content-Length: 3", "", "abc"]
    assert build_refusal(status, headers={"X": "y"}, body=b"abc") == "\r\n".join(lines).encode()


@pytest.mark.rule("1.4 server: the answer")
@pytest.mark.parametrize(("status", "length"), [(200, b"0"), (204, None), (205, b"0"), (304, None)])
def test_a_refusal_without_a_body_says_so_where_it_may(
    status: int, length: Optional[bytes]
) -> None:
    data = build_refusal(status)
    assert (b"Content-Length: " in data) == (length is not None)
    assert data.endswith(b"Connection: close\r\n\r\n" if length is None else b": 0\r\n\r\n")
    if status != 200:
        with pytest.raises(LocalProtocolError, match=f"the status {status} has no body"):
            build_refusal(status, body=b"a")


def test_the_answer_to_head_has_a_length_but_no_body() -> None:
    data = build_refusal(405, body=b"abc", head_only=True)
    assert data.endswith(b"Content-Length: 3\r\n\r\n")
    assert data + b"abc" == build_refusal(405, body=b"abc")


@pytest.mark.rule("1.4 server: the answer")
def test_the_reason_is_the_callers_or_the_usual_one() -> None:
    assert build_refusal(403, "Get out").startswith(b"HTTP/1.1 403 Get out\r\n")
    assert build_refusal(431).startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    for reason in ("a\r\nb", "\x00", " a", "\ud800"):
        with pytest.raises(LocalProtocolError, match="the reason phrase"):
            build_refusal(403, reason)


@pytest.mark.rule("1.4 server: the answer")
def test_the_callers_own_versions_and_methods_stand() -> None:
    data = build_refusal(426, headers=[("sec-websocket-version", "13, 8")])
    assert data.lower().count(b"sec-websocket-version") == 1
    data = build_refusal(405, headers=[("allow", "GET, POST")])
    assert data.lower().count(b"allow:") == 1


@pytest.mark.rule("1.4 server: the answer")
@pytest.mark.parametrize("name", ["Connection", "Upgrade", "Content-Length", "Transfer-Encoding"])
def test_what_frames_a_refusal_is_not_the_callers(name: str) -> None:
    for status in (200, 426):
        with pytest.raises(LocalProtocolError, match=repr(name.lower())):
            build_refusal(status, headers=[("X", "y"), (name.lower(), "0")])


@pytest.mark.rule("1.4 server: the answer", "1.4 server: arguments")
@pytest.mark.parametrize("status", [-1, 0, 100, 101, 199, 600, 1000])
def test_a_refusal_has_a_status_between_200_and_599(status: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"between 200 and 599, not {status}"):
        build_refusal(status)


def test_other_types_are_refused_in_a_refusal() -> None:
    for status in (True, "400", 400.0, None):
        with pytest.raises(TypeError, match="the status must be an int"):
            build_refusal(status)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the reason must be str, not b'a'"):
        build_refusal(400, b"a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="headers must be pairs"):
        build_refusal(400, headers="a")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        build_refusal(400, body="a")  # type: ignore[arg-type]


def test_a_body_is_taken_from_any_buffer() -> None:
    for body in (b"abc", bytearray(b"abc"), memoryview(b"aXbXcX")[::2]):
        assert build_refusal(400, body=body).endswith(b"Content-Length: 3\r\n\r\nabc")


@given(
    st.integers(200, 599),
    st.text("ab é", max_size=5),
    st.lists(st.tuples(st.sampled_from(["X", "y"]), st.text("ab é", max_size=5))),
    st.binary(max_size=20),
)
def test_a_client_reads_the_refusal_that_a_server_writes(
    status: int, reason: str, fields: list[tuple[str, str]], body: bytes
) -> None:
    try:
        data = build_refusal(status, reason, fields, body)
    except LocalProtocolError:
        return
    with pytest.raises(UnexpectedHttpResponse) as caught:
        validator_of(data).validate()
    response = caught.value.response
    assert response.status == status
    assert response.reason == reason or not reason
    assert (response.headers.get("connection") or "").startswith("close")
    assert [field for field in response.headers if field[0] in ("X", "y")] == fields
    assert response.body == body


# Properties


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.sampled_from(["chat", "x"]), unique=True).map(tuple),
    st.sampled_from([(), ("a; x",), ("permessage-deflate", "a")]),
)
def test_a_client_accepts_what_a_server_answers(
    nonce: bytes, protocols: tuple[str, ...], extensions: tuple[str, ...]
) -> None:
    request = HandshakeRequest("/", "a", protocols=protocols, extensions=extensions)
    server = HandshakeRequestValidator()
    server.feed(request.build(nonce))
    seen = server.validate()
    assert seen is not None
    answer = ServerHandshakeResponse(
        protocol=choose_protocol(protocols, ("chat", "x")), extensions=extensions
    )
    client = HandshakeValidator(nonce)
    client.feed(answer.build(seen))
    response = client.validate()
    assert response is not None
    check_offers(response, protocols, extensions)
    assert response.protocol == (protocols[0] if protocols else None)
    assert response.extensions == extensions


NOISE = [
    *(b"\r\n", b"\r", b"\n", b" ", b"\t", b",", b":", b"\x00", b"\xff", b"\xc3\xa9", b"x", b"1"),
    *(b"Connection: close\r\n", b"Sec-WebSocket-Protocol: a, a\r\n", b"HTTP/1.0", b"404", b"100"),
    *(b"Upgrade: h2c\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"A : 1\r\n", b" folded\r\n", b"+"),
]
edits = st.lists(
    st.tuples(
        st.integers(0, 200), st.integers(0, 30), st.sampled_from(NOISE) | st.binary(max_size=2)
    ),
    max_size=4,
)
ANSWERS = [
    head(fields=(*GOOD, ("Sec-WebSocket-Protocol", "a"))) + b"\x81\x00",
    head("HTTP/1.1 100 Continue", ()) + head() + b"\x81\x00",
    head("HTTP/1.1 404 A", (("Content-Length", "5"),)) + b"abcdefgh",
    head("HTTP/1.1 404 A", (("Transfer-Encoding", "chunked"),))
    + b"3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
    head("HTTP/1.0 200 OK", ()) + b"abcdefgh",
]


def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for position, length, noise in edits:
        data = data[:position] + noise + data[position + length :]
    return data


def outcome(
    pieces: list[bytes], max_size: Optional[int], max_body: Optional[int]
) -> tuple[object, ...]:
    validator = validator_of(b"", max_size, max_body)
    response = None
    try:
        for piece in pieces:
            validator.feed(piece)
            response = validator.validate()
        validator.finish()
    except UnexpectedHttpResponse as error:
        return type(error), error.response, validator.response, validator.remaining
    except (HandshakeError, LimitExceeded) as error:
        return type(error), str(error), validator.response
    return response, validator.response, validator.remaining


@given(
    st.sampled_from(ANSWERS),
    edits,
    st.none() | st.integers(20, 250),
    st.none() | st.integers(1, 9),
    st.lists(st.integers(0, 200), max_size=4),
)
def test_cutting_the_response_elsewhere_changes_nothing(
    answer: bytes,
    edits: list[tuple[int, int, bytes]],
    max_size: Optional[int],
    max_body: Optional[int],
    cuts: list[int],
) -> None:
    data = mutate(answer, edits)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(bounds, bounds[1:])]
    whole = outcome([data], max_size, max_body)
    assert outcome(pieces, max_size, max_body) == whole
    bytewise = [data[index : index + 1] for index in range(len(data))]
    assert outcome(bytewise, max_size, max_body) == whole


@given(st.sampled_from(ANSWERS[:2]), edits)
@example(ANSWERS[0], [(0, 0, b"\r\n")])
@example(ANSWERS[0], [(9, 0, b"+")])
@example(ANSWERS[0], [(9, 3, b"099")])
@example(ANSWERS[0], [(0, 4, b"http")])
@example(ANSWERS[0], [(34, 0, b" folded\r\n")])
@example(ANSWERS[0], [(34, 0, b"A : 1\r\n")])
@example(ANSWERS[0], [(34, 0, b"A\r\n")])
@example(ANSWERS[0], [(34, 0, b"A: \x00\r\n")])
def test_what_h11_refuses_is_no_good_101(
    answer: bytes, edits: list[tuple[int, int, bytes]]
) -> None:
    data = mutate(answer, edits)
    oracle = h11.Connection(h11.CLIENT)
    oracle.send(
        h11.Request(
            method="GET",
            target="/",
            headers=[("Host", "a"), ("Upgrade", "websocket"), ("Connection", "Upgrade")],
        )
    )
    oracle.send(h11.EndOfMessage())
    oracle.receive_data(data)
    try:
        while True:
            event = oracle.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.EndOfMessage):
                return
    except h11.RemoteProtocolError:
        pass
    response = None
    with contextlib.suppress(HandshakeError, LimitExceeded):
        response = validator_of(data).validate()
    assert response is None


def test_a_malformed_extension_of_a_server_is_an_invalid_handshake() -> None:
    with pytest.raises(ExtensionParseError):
        validator_of(head(fields=(*GOOD, ("Sec-WebSocket-Extensions", "=")))).validate()

"""The client's half of the opening handshake: written by a client, read by a server."""

from __future__ import annotations

import base64
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
    VersionNotSupported,
)
from websocket.handshake.request import (
    HandshakeRequest,
    HandshakeRequestValidator,
    ServerHandshakeRequest,
    encode_key,
)
from websocket.headers import Headers

NONCE = b"the sample nonce"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="

GOOD = (
    ("Host", "server.example.com"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)


def head(start: str = "GET /chat HTTP/1.1", fields: tuple[tuple[str, str], ...] = GOOD) -> bytes:
    lines = [start, *(f"{name}: {value}" for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode()


def put(name: str, *values: str) -> tuple[tuple[str, str], ...]:
    """The good fields with those of one name replaced, by nothing perhaps."""
    kept = tuple(field for field in GOOD if field[0] != name)
    return kept + tuple((name, value) for value in values)


def read(data: bytes) -> ServerHandshakeRequest:
    validator = HandshakeRequestValidator()
    validator.feed(data)
    request = validator.read()
    assert request is not None
    return request


def error_of(data: bytes) -> HandshakeError:
    """What is wrong with a well-formed head; `read` reports what `validate` raises."""
    request = read(data)
    validator = HandshakeRequestValidator()
    validator.feed(data)
    with pytest.raises(HandshakeError) as caught:
        validator.validate()
    assert request.error is not None
    assert type(request.error) is type(caught.value)
    assert str(request.error) == str(caught.value)
    return request.error


# The client's request


@pytest.mark.rule("R91", "R92")
def test_a_request_has_its_fields_in_this_order() -> None:
    request = HandshakeRequest(
        "/chat?x=1",
        "server.example.com",
        origin="http://example.com",
        protocols=["chat", "superchat"],
        extensions=["permessage-deflate; client_max_window_bits", "x"],
        headers={"Cookie": "a=b", "User-Agent": "c"},
    )
    assert request.build(NONCE) == (
        b"GET /chat?x=1 HTTP/1.1\r\n"
        b"Host: server.example.com\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Origin: http://example.com\r\n"
        b"Sec-WebSocket-Protocol: chat, superchat\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x\r\n"
        b"Cookie: a=b\r\n"
        b"User-Agent: c\r\n"
        b"\r\n"
    )


@pytest.mark.rule("R91")
def test_what_was_not_asked_for_is_left_out() -> None:
    lines = HandshakeRequest("/", "a").build(NONCE).split(b"\r\n")
    assert [line.split(b":")[0] for line in lines] == [
        b"GET / HTTP/1.1",
        b"Host",
        b"Upgrade",
        b"Connection",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"",
        b"",
    ]


@pytest.mark.rule("R92")
def test_the_key_is_the_padded_base64_of_the_nonce() -> None:
    assert encode_key(NONCE) == KEY
    assert encode_key(bytes(16)) == "AAAAAAAAAAAAAAAAAAAAAA=="


def test_a_nonce_has_sixteen_bytes() -> None:
    request = HandshakeRequest("/", "a")
    for size in (0, 15, 17):
        with pytest.raises(ValueError, match=f"the nonce must have 16 bytes, not {size}"):
            request.build(bytes(size))
    for wrong in ("the sample nonce", bytearray(16), None):
        with pytest.raises(TypeError, match="the nonce must be bytes"):
            request.build(wrong)  # type: ignore[arg-type]


@pytest.mark.rule("R93", "R94", "R95")
@pytest.mark.parametrize(
    ("path", "host"),
    [
        *(("/", "a"), ("//x", "a"), ("/?", "a"), ("/a%20b?c=%C3%A9&d", "a")),
        ("/-._~!$&'()*+,;=:@/?", "a"),
        *(("http://a", "a"), ("https://a/", "a"), ("HTTP://EXAMPLE.com/x?y", "example.COM")),
        *(("http://a?x", "a"), ("http://a:80/", "a:80"), ("http://[::1]:8080/x", "[::1]:8080")),
    ],
)
def test_targets(path: str, host: str) -> None:
    data = HandshakeRequest(path, host).build(NONCE)
    assert data.startswith(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n".encode())


@pytest.mark.rule("R93")
@pytest.mark.parametrize(
    "path", ["", "chat", "*", "a:80", "ws://a/", "wss://a/", "ftp://a/", "http:/a", "http://", "?x"]
)
def test_a_target_of_another_form_is_refused(path: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HandshakeRequest(path, "a").build(NONCE)
    assert str(caught.value) == (
        f"the target {path!r} begins neither with '/' nor with http:// or https://"
    )


@pytest.mark.rule("R94")
@pytest.mark.parametrize("prefix", ["/x", "/?x", "http://a/", "http://a?"])
@pytest.mark.parametrize(
    "bad",
    [
        *(" ", "\t", "\r\n", "\n", "\x00", "\x7f", "é", "#", "#x", '"', "<", ">", "\\", "^", "`"),
        *("{", "|", "}", "[", "]", "%", "%2", "%zz", "%2g", "%00", "%\u0661\u0661"),
    ],
)
def test_what_a_uri_may_not_hold_is_refused_in_the_target(prefix: str, bad: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HandshakeRequest(prefix + bad, "a").build(NONCE)
    assert str(caught.value) == (
        f"the target {prefix + bad!r} holds what a URI may not: "
        "encode it, and leave out the fragment"
    )


@pytest.mark.rule("R95")
@pytest.mark.parametrize(
    ("path", "host"),
    [
        *(("http://a/", "b"), ("http://a:80/", "a"), ("http://a/", "a:80"), ("https://a:443", "a")),
        *(("http://user@a/", "a"), ("http://a /", "a"), ("http://é/", "a")),
        ("http://\u212aelvin/", "kelvin"),
    ],
)
def test_an_absolute_target_must_name_the_host(path: str, host: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HandshakeRequest(path, host).build(NONCE)
    assert str(caught.value) == (
        f"the target {path!r} names another authority than the host {host!r}"
    )


@pytest.mark.rule("R96")
@pytest.mark.parametrize("protocol", ["", "a b", "a,b", "é", "a\r\n", "a/b"])
def test_a_subprotocol_must_be_a_token(protocol: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HandshakeRequest("/", "a", protocols=["x", protocol]).build(NONCE)
    assert str(caught.value) == f"the subprotocol {protocol!r} is not a token"


@pytest.mark.rule("R96")
def test_subprotocols_must_be_unique_but_for_their_case() -> None:
    assert b"chat, Chat" in HandshakeRequest("/", "a", protocols=["chat", "Chat"]).build(NONCE)
    with pytest.raises(LocalProtocolError, match="offered twice in"):
        HandshakeRequest("/", "a", protocols=["chat", "x", "chat"]).build(NONCE)


@pytest.mark.rule("R97", "1.4 client")
@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"),
        *("Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions", "Sec-WebSocket-Accept"),
        *("Content-Length", "Transfer-Encoding"),
    ],
)
def test_reserved_headers_are_refused_in_any_case(name: str) -> None:
    for spelling in (name, name.lower(), name.upper()):
        request = HandshakeRequest("/", "a", headers=[("X", "1"), (spelling, "0")])
        with pytest.raises(LocalProtocolError, match=repr(spelling)):
            request.build(NONCE)


@pytest.mark.rule("R97", "1.4 client")
def test_origin_is_reserved_where_it_is_an_argument() -> None:
    headers = [("oRIGIN", "http://b")]
    assert b"oRIGIN: http://b\r\n" in HandshakeRequest("/", "a", headers=headers).build(NONCE)
    with pytest.raises(LocalProtocolError, match="'oRIGIN'"):
        HandshakeRequest("/", "a", origin="null", headers=headers).build(NONCE)


@pytest.mark.rule("R98")
@pytest.mark.parametrize("bad", ["a\r\nX: 1", "a\n", "\x00", "a\x7f", " a"])
def test_no_value_can_break_the_head(bad: str) -> None:
    for request in (
        HandshakeRequest("/", bad),
        HandshakeRequest("/", "a", origin=bad),
        HandshakeRequest("/", "a", extensions=[bad]),
        HandshakeRequest("/", "a", headers=[("X", bad)]),
        HandshakeRequest("/", "a", headers=[(bad, "X")]),
    ):
        with pytest.raises(LocalProtocolError):
            request.build(NONCE)


@pytest.mark.rule("R99", "1.4 client")
@pytest.mark.parametrize("host", ["", ":80", "a b", "::1", "a:b", "user@a", "a/b"])
def test_a_host_must_be_a_host(host: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        HandshakeRequest("/", host).build(NONCE)
    assert str(caught.value) == (
        f"the host {host!r} is not a name or an address, perhaps with a port; "
        "an IPv6 address goes in brackets"
    )


@pytest.mark.rule("R101")
def test_extension_text_is_not_judged() -> None:
    data = HandshakeRequest("/", "a", extensions=['a;;="']).build(NONCE)
    assert b'Sec-WebSocket-Extensions: a;;="\r\n' in data


def test_a_request_is_a_value() -> None:
    request = HandshakeRequest("/", "a", origin="b", protocols=["c"], headers={"D": "e"})
    assert pickle.loads(pickle.dumps(request)) == request
    assert request != HandshakeRequest("/", "a")
    assert request.protocols == ("c",)
    assert request.headers == Headers([("D", "e")])
    with pytest.raises(AttributeError):
        request.path = "/x"  # type: ignore[misc]


def test_other_types_are_refused_when_a_request_is_made() -> None:
    with pytest.raises(TypeError, match="path must be str, not None"):
        HandshakeRequest(None, "a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="host must be str, not b'a'"):
        HandshakeRequest("/", b"a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="origin must be str, not 1"):
        HandshakeRequest("/", "a", origin=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="protocols must be a list of str, not 'chat'"):
        HandshakeRequest("/", "a", protocols="chat")
    with pytest.raises(TypeError, match="extensions must be a list of str, not 'x'"):
        HandshakeRequest("/", "a", extensions="x")
    with pytest.raises(TypeError, match="headers must be pairs"):
        HandshakeRequest("/", "a", headers="x")  # type: ignore[arg-type]


# The server's view of it


@pytest.mark.rule("1.4 server: the event", "1.4 both")
def test_a_good_request_is_read_with_all_its_headers() -> None:
    fields = (
        *GOOD,
        ("Origin", "http://example.com"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        ("sec-websocket-protocol", "other"),
        ("Sec-WebSocket-Extensions", 'x; y="z"'),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Cookie", "a=b"),
    )
    assert read(head(fields=fields)) == ServerHandshakeRequest(
        method="GET",
        path="/chat",
        host="server.example.com",
        origin="http://example.com",
        protocols=("chat", "superchat", "other"),
        extensions=('x; y="z"', "permessage-deflate"),
        key=KEY,
        headers=Headers(fields),
        error=None,
    )


@given(
    st.sampled_from(["/", "/chat?x", "http://a/b"]),
    st.none() | st.just("http://b"),
    st.lists(st.sampled_from(["chat", "Chat", "x"]), unique=True),
    st.lists(st.sampled_from(["x", 'x; y="z"', "permessage-deflate"])),
    st.binary(min_size=16, max_size=16),
)
def test_a_server_reads_what_a_client_writes(
    path: str, origin: Optional[str], protocols: list[str], extensions: list[str], nonce: bytes
) -> None:
    request = HandshakeRequest(
        path, "a", origin=origin, protocols=protocols, extensions=extensions, headers={"X": "y"}
    )
    seen = read(request.build(nonce))
    assert seen.error is None
    assert seen.key is not None
    assert (seen.path, seen.host, seen.origin) == (path, "a", origin)
    assert (seen.protocols, seen.extensions) == (tuple(protocols), tuple(extensions))
    assert base64.b64decode(seen.key) == nonce
    assert seen.headers.get("x") == "y"


@pytest.mark.rule("R104", "1.4 server: the answer")
@pytest.mark.parametrize("method", ["POST", "HEAD", "OPTIONS", "get", "GETS", "CONNECT"])
def test_another_method_than_get_is_405(method: str) -> None:
    error = error_of(head(f"{method} /chat HTTP/1.1"))
    assert type(error) is InvalidHandshake
    assert error.status == 405
    assert str(error) == f"the method is {method!r}, not 'GET'"


@pytest.mark.rule("R104")
@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9"])
def test_another_version_is_no_request_at_all(version: str) -> None:
    validator = HandshakeRequestValidator()
    validator.feed(head(f"GET /chat {version}"))
    for call in (validator.read, validator.validate):
        with pytest.raises(InvalidHandshake, match="the version is") as caught:
            call()
        assert caught.value.status == 400


@pytest.mark.rule("R105")
@pytest.mark.parametrize(
    "target", ["/", "//x", "/a?b#c", "http://a/b", "HTTPS://A", "http://a?b", "/{x}"]
)
def test_targets_are_reported_as_they_came(target: str) -> None:
    request = read(head(f"GET {target} HTTP/1.1", put("Host", "a")))
    assert request.error is None
    assert request.path == target


@pytest.mark.rule("R105", "R106")
@pytest.mark.parametrize(
    ("target", "host"),
    [
        ("http://a/", "b"),
        ("http://a:80/", "a"),
        ("http://a", "a:80"),
        ("http://u@a/", "a"),
        ("http://[x/", "a"),
    ],
)
def test_an_absolute_target_must_have_come_with_its_host(target: str, host: str) -> None:
    error = error_of(head(f"GET {target} HTTP/1.1", put("Host", host)))
    assert str(error) == f"the target {target!r} names another authority than the Host {host!r}"


@pytest.mark.rule("R105")
@pytest.mark.parametrize(
    "target", ["*", "chat", "a:80", "ws://a/", "wss://a/", "http://", "http:a"]
)
def test_a_target_of_another_form_is_an_error(target: str) -> None:
    error = error_of(head(f"GET {target} HTTP/1.1"))
    assert str(error) == (
        f"the target {target!r} begins neither with '/' nor with http:// or https://"
    )


# What is wrong with a request. The order is that of the checks: R102.
FAULTS = [
    ("Host missing", put("Host"), "there must be one Host, not 0"),
    ("Host twice", put("Host", "a", "a"), "there must be one Host, not 2"),
    ("Host empty", put("Host", ""), "the Host '' is not a name or an address"),
    ("Host with white space", put("Host", "a b"), "the Host 'a b' is not a name"),
    ("Host with a path", put("Host", "a/b"), "the Host 'a/b' is not a name"),
    ("Host with a user", put("Host", "u@a"), "the Host 'u@a' is not a name"),
    ("body of a length", (*GOOD, ("Content-Length", "1")), "has a body: Content-Length '1'"),
    ("length no number", (*GOOD, ("Content-Length", "x")), "has a body: Content-Length 'x'"),
    ("length with a sign", (*GOOD, ("Content-Length", "+0")), "has a body: Content-Length '+0'"),
    (
        "two lengths",
        (*GOOD, ("Content-Length", "0"), ("Content-Length", "5")),
        "has a body: Content-Length '5'",
    ),
    (
        "body in chunks",
        (*GOOD, ("Transfer-Encoding", "chunked")),
        "has a body: Transfer-Encoding 'chunked'",
    ),
    ("Upgrade missing", put("Upgrade"), "Upgrade does not name 'websocket': ''"),
    ("Upgrade to a version", put("Upgrade", "websocket/13"), "Upgrade does not name"),
    ("Upgrade to h2c", put("Upgrade", "h2c"), "Upgrade does not name 'websocket': 'h2c'"),
    ("Upgrade quoted", put("Upgrade", '"websocket"'), "Upgrade does not name"),
    ("Upgrade not ASCII", put("Upgrade", "web\u017focket"), "Upgrade does not name"),
    ("Connection missing", put("Connection"), "Connection does not name 'Upgrade': ''"),
    ("Connection: close", put("Connection", "close"), "'Upgrade': 'close'"),
    ("Connection longer", put("Connection", "upgraded"), "Connection does not name"),
    ("Connection padded", put("Connection", "\u00a0Upgrade"), "Connection does not name"),
    ("Version missing", put("Sec-WebSocket-Version"), "one Sec-WebSocket-Version, not 0"),
    ("Version twice", put("Sec-WebSocket-Version", "13", "13"), "Sec-WebSocket-Version, not 2"),
    ("Version 8", put("Sec-WebSocket-Version", "8"), "Sec-WebSocket-Version is '8', only '13'"),
    ("Key missing", put("Sec-WebSocket-Key"), "there must be one Sec-WebSocket-Key, not 0"),
    ("Key twice", put("Sec-WebSocket-Key", KEY, KEY), "one Sec-WebSocket-Key, not 2"),
    ("Key empty", put("Sec-WebSocket-Key", ""), "the Sec-WebSocket-Key '' is not"),
    (
        "Protocol empty",
        (*GOOD, ("Sec-WebSocket-Protocol", " , ")),
        "Sec-WebSocket-Protocol is there but empty",
    ),
    ("Protocol no token", (*GOOD, ("Sec-WebSocket-Protocol", "a b")), "'a b' is not a token"),
    (
        "Protocol quoted",
        (*GOOD, ("Sec-WebSocket-Protocol", '"a,b"')),
        "the subprotocol '\"a,b\"' is not a token",
    ),
    (
        "Protocol twice",
        (*GOOD, ("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "a")),
        "a subprotocol is offered twice in 'a, b, a'",
    ),
    (
        "Extensions empty",
        (*GOOD, ("Sec-WebSocket-Extensions", "")),
        "Sec-WebSocket-Extensions is there but empty",
    ),
    (
        "Extensions malformed",
        (*GOOD, ("Sec-WebSocket-Extensions", "a, b; =1")),
        "extension 'b; =1': the parameter name '' is not a token",
    ),
    ("Origin twice", (*GOOD, ("Origin", "a"), ("Origin", "a")), "there must be one Origin, not 2"),
]


@pytest.mark.rule("R106", "R107", "R108", "R109", "R110", "R111", "R112", "R113", "R115")
@pytest.mark.rule("1.4 server: refused")
@pytest.mark.parametrize(("fields", "text"), [pytest.param(*row, id=name) for name, *row in FAULTS])
def test_what_is_wrong_with_a_request(fields: tuple[tuple[str, str], ...], text: str) -> None:
    error = error_of(head(fields=fields))
    assert text in str(error)
    if not isinstance(error, VersionNotSupported):
        assert isinstance(error, InvalidHandshake)
        assert error.status == 400


ORDER = [
    ("Host", ()),
    ("Content-Length", ("1",)),
    ("Upgrade", ()),
    ("Connection", ()),
    ("Sec-WebSocket-Version", ()),
    ("Sec-WebSocket-Key", ()),
    ("Sec-WebSocket-Protocol", ("a b",)),
    ("Sec-WebSocket-Extensions", ("a b",)),
    ("Origin", ("a", "b")),
]


@pytest.mark.rule("R102")
def test_the_first_failure_decides() -> None:
    faults = dict(ORDER)
    for name, values in ORDER:
        fields = [field for field in GOOD if field[0] not in faults]
        fields += [(fault, value) for fault, values in faults.items() for value in values]
        data = head(fields=tuple(fields))
        text = str(error_of(data))
        assert ("has a body" if name == "Content-Length" else name.split("-")[-1].lower()) in (
            text.lower().replace("extension ", "extensions ")
        )
        assert "the method" in str(error_of(data.replace(b"GET /chat", b"PUT *", 1)))
        assert "the target" in str(error_of(data.replace(b"/chat", b"*", 1)))
        del faults[name]
    assert read(head()).error is None


@pytest.mark.rule("1.4 server: the event")
def test_what_can_be_read_of_a_bad_request_is_there() -> None:
    fields = (
        *(("Host", "a"), ("Host", "b"), ("Origin", "c"), ("Origin", "d")),
        *(("Sec-WebSocket-Protocol", "x y, z"), ("Sec-WebSocket-Extensions", "a b, c")),
        *(("Sec-WebSocket-Key", "1"), ("Sec-WebSocket-Key", "2")),
    )
    request = read(head("POST * HTTP/1.1", fields))
    assert request.method == "POST"
    assert request.path == "*"
    assert request.host == "a"
    assert request.origin == "c"
    assert request.protocols == ("x y", "z")
    assert request.extensions == ("a b", "c")
    assert request.key == "1"
    assert request.headers == Headers(fields)
    assert isinstance(request.error, InvalidHandshake)


@pytest.mark.rule("1.4 server: the event")
def test_a_plain_get_is_a_request_with_an_error() -> None:
    request = read(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (request.key, request.origin, request.protocols, request.extensions) == (
        *(None, None, (), ()),
    )
    assert isinstance(request.error, InvalidHandshake)
    assert read(b"GET / HTTP/1.1\r\n\r\n").host is None


@pytest.mark.rule("R107")
@pytest.mark.parametrize(
    "values", [("WebSocket",), ("h2c, websocket",), ("h2c", ",websocket\t,"), ('"a,b", websocket',)]
)
def test_upgrade_names_websocket_in_any_case_on_any_line(values: tuple[str, ...]) -> None:
    assert read(head(fields=put("Upgrade", *values))).error is None


@pytest.mark.rule("R108")
@pytest.mark.parametrize(
    "values", [("upgrade",), ("keep-alive, UPGRADE",), ("keep-alive", "Upgrade")]
)
def test_connection_names_upgrade_in_any_case_on_any_line(values: tuple[str, ...]) -> None:
    assert read(head(fields=put("Connection", *values))).error is None


@pytest.mark.rule("R109")
@pytest.mark.parametrize("version", ["", "8", "12", "14", "013", "13, 8", "1 3", "१३", "13.0"])
def test_another_version_of_websocket_is_426(version: str) -> None:
    error = error_of(head(fields=put("Sec-WebSocket-Version", version)))
    assert type(error) is VersionNotSupported
    assert error.version == version
    assert error.status == 426


@pytest.mark.rule("R110")
@pytest.mark.parametrize(
    "key",
    [
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25jZQ==, a",
        "dGhlIHNhbXBsZS Bub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZ_==",
        "dGhlIHNhbXBsZSBub25jZQE=",
        "dGhlIHNhbXBsZSBub24=",
        "dGhlIHNhbXBsZSBub25jZSE/Lw==",
        "é" * 22 + "==",
    ],
)
def test_a_key_is_the_canonical_base64_of_sixteen_bytes(key: str) -> None:
    error = error_of(head(fields=put("Sec-WebSocket-Key", key)))
    assert str(error) == f"the Sec-WebSocket-Key {key!r} is not the base64 form of 16 bytes"


@given(
    st.text("Aa09+/=gQwx-_ ", max_size=26)
    | st.binary(max_size=18).map(base64.b64encode).map(bytes.decode)
)
def test_a_key_is_accepted_if_it_decodes_to_sixteen_bytes_and_encodes_to_itself(key: str) -> None:
    key = key.strip()
    try:
        good = encode_key(base64.b64decode(key, validate=True)) == key
    except ValueError:
        good = False
    assert (read(head(fields=put("Sec-WebSocket-Key", key))).error is None) == good


@pytest.mark.rule("R111")
def test_subprotocols_are_read_over_all_lines_and_differ_in_case() -> None:
    fields = (*GOOD, ("Sec-WebSocket-Protocol", "a,, A ,"), ("Sec-WebSocket-Protocol", "b"))
    request = read(head(fields=fields))
    assert request.error is None
    assert request.protocols == ("a", "A", "b")


@pytest.mark.rule("1.4 both")
def test_extensions_are_split_outside_quotes() -> None:
    fields = (*GOOD, ("Sec-WebSocket-Extensions", r'a; x="\b", c'))
    request = read(head(fields=fields))
    assert request.error is None
    assert request.extensions == (r'a; x="\b"', "c")
    error = error_of(head(fields=(*GOOD, ("Sec-WebSocket-Extensions", 'a; x="b, c"'))))
    assert type(error) is ExtensionParseError
    assert "extension 'a; x=\"b, c\"'" in str(error)


@pytest.mark.rule("1.4 server: refused")
def test_a_content_length_of_zero_is_no_body() -> None:
    assert read(head(fields=(*GOOD, ("Content-Length", "0")))).error is None


# The validator


def test_a_request_comes_when_its_head_is_complete() -> None:
    validator = HandshakeRequestValidator()
    data = head()
    for index in range(len(data)):
        assert validator.read() is None
        assert validator.validate() is None
        assert validator.remaining == b""
        assert validator.buffer_len == index
        validator.feed(data[index : index + 1])
    request = validator.read()
    assert request is not None
    assert validator.validate() is request
    validator.feed(b"\x81\x85")
    assert validator.read() is request
    assert validator.remaining == b"\x81\x85"
    assert validator.buffer_len == len(data) + 2


def test_a_validator_can_be_used_again() -> None:
    validator = HandshakeRequestValidator()
    validator.feed(b"\x16")
    with pytest.raises(InvalidHandshake):
        validator.read()
    validator.reset()
    assert validator.read() is None
    validator.feed(head() + b"x")
    assert validator.validate() is not None
    validator.reset()
    assert validator.remaining == b""
    assert validator.buffer_len == 0


@pytest.mark.rule("1.4 both")
def test_a_head_of_16_kib_is_enough_by_default() -> None:
    size = 16384 - len(head(fields=(*GOOD, ("X", ""))))
    validator = HandshakeRequestValidator()
    validator.feed(head(fields=(*GOOD, ("X", "a" * size))) + b"x" * 70_000)
    assert validator.validate() is not None
    validator.reset()
    validator.feed(head(fields=(*GOOD, ("X", "a" * (size + 1)))))
    with pytest.raises(LimitExceeded, match="exceeds max_handshake_size=16384"):
        validator.read()
    unlimited = HandshakeRequestValidator(max_size=None)
    unlimited.feed(head(fields=(*GOOD, ("X", "a" * 100_000))))
    assert unlimited.validate() is not None


def test_a_limit_of_nothing_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="None means no limit"):
        HandshakeRequestValidator(max_size=0)


def test_what_a_server_has_read_is_a_value() -> None:
    request = read(head())
    assert pickle.loads(pickle.dumps(request)) == request
    assert hash(request) == hash(read(head()))


# Properties

NOISE = [
    *(b"\r\n", b"\r", b"\n", b" ", b"\t", b",", b":", b"\x00", b"\xff", b"\xc3\xa9", b"x", b"1"),
    *(b"Host: b\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: gzip\r\n", b'"', b"/", b"@"),
    *(b"Connection: close\r\n", b"Sec-WebSocket-Protocol: a, a\r\n", b"HTTP/1.0", b"Origin: c\r\n"),
]
edits = st.lists(
    st.tuples(
        st.integers(0, 250), st.integers(0, 30), st.sampled_from(NOISE) | st.binary(max_size=2)
    ),
    max_size=4,
)


def mutate(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    for position, length, noise in edits:
        data = data[:position] + noise + data[position + length :]
    return data


def outcome(pieces: list[bytes], max_size: Optional[int]) -> tuple[object, ...]:
    validator = HandshakeRequestValidator(max_size)
    request = None
    for piece in pieces:
        validator.feed(piece)
        try:
            request = validator.read()
        except (InvalidHandshake, LimitExceeded) as error:
            return type(error), str(error)
    return repr(request), validator.remaining


@given(edits, st.none() | st.integers(100, 250), st.lists(st.integers(0, 250), max_size=4))
def test_cutting_the_request_elsewhere_changes_nothing(
    edits: list[tuple[int, int, bytes]], max_size: Optional[int], cuts: list[int]
) -> None:
    data = mutate(head(fields=(*GOOD, ("Origin", "a"))), edits) + b"\x81\x00"
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(bounds, bounds[1:])]
    whole = outcome([data], max_size)
    assert outcome(pieces, max_size) == whole
    assert outcome([data[index : index + 1] for index in range(len(data))], max_size) == whole


@given(edits)
@example([(0, 0, b"\r\n")])
@example([(4, 1, b"\xc3\xa9")])
@example([(24, 0, b"Host: b\r\n")])
@example([(24, 0, b"Content-Length: x\r\n")])
@example([(24, 0, b"Content-Length: 0\r\nContent-Length: 1\r\n")])
@example([(24, 0, b"Transfer-Encoding: gzip\r\n")])
@example([(24, 0, b" folded\r\n")])
@example([(24, 0, b"A : 1\r\n")])
@example([(24, 0, b"A\r\n")])
@example([(24, 0, b"A: \x00\r\n")])
@example([(24, 26, b"")])
def test_what_h11_refuses_is_refused_or_marked(edits: list[tuple[int, int, bytes]]) -> None:
    data = mutate(head(), edits)
    oracle = h11.Connection(h11.SERVER)
    oracle.receive_data(data)
    try:
        oracle.next_event()
    except h11.RemoteProtocolError:
        pass
    else:
        return
    validator = HandshakeRequestValidator()
    validator.feed(data)
    try:
        request = validator.read()
    except (InvalidHandshake, LimitExceeded):
        return
    assert request is None or request.error is not None

"""The strict head parser, and the writing of heads."""

from __future__ import annotations

from typing import Union

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from websocket.errors import InvalidHandshake, LimitExceeded, LocalProtocolError
from websocket.handshake.http import (
    MAX_FIELDS,
    HeadParser,
    build_head,
    check_reserved,
    check_value,
    group_fields,
    has_element,
    is_host,
    parse_request_line,
    parse_status_line,
)
from websocket.handshake.request import HandshakeRequest
from websocket.handshake.response import build_acceptance, build_refusal
from websocket.headers import Headers

Outcome = tuple[str, ...]
StartLine = Union[tuple[str, str], tuple[str, int, str]]

REQUEST_LINE = b"GET / HTTP/1.1\r\n"
STATUS_LINE = b"HTTP/1.1 101 Switching Protocols\r\n"
ROLES = {"server": (parse_request_line, REQUEST_LINE), "client": (parse_status_line, STATUS_LINE)}

# The lines that follow a start line, and what either role says of them.
MALFORMED_FIELDS = {
    "folded with a space": (b"A: 1\r\n 2\r\n\r\n", "begins with white space"),
    "folded with a tab": (b"A: 1\r\n\t2\r\n\r\n", "begins with white space"),
    "space before the first field": (b" A: 1\r\n\r\n", "begins with white space"),
    "space before the colon": (b"A : 1\r\n\r\n", "white space before the colon"),
    "tab before the colon": (b"A\t: 1\r\n\r\n", "white space before the colon"),
    "no colon": (b"A 1\r\n\r\n", "has no colon"),
    "token without colon": (b"A\r\n\r\n", "has no colon"),
    "empty name": (b": 1\r\n\r\n", "the header name '' is not a token"),
    "space in the name": (b"A B: 1\r\n\r\n", "the header name 'A B' is not a token"),
    "bracket in the name": (b"A(B): 1\r\n\r\n", "the header name 'A(B)' is not a token"),
    "name not ASCII": ("Ä: 1\r\n\r\n".encode(), "the header name 'Ä' is not a token"),
    "NUL in the name": (b"A\0: 1\r\n\r\n", "the byte 0x00"),
    "NUL in the value": (b"A: 1\0\r\n\r\n", "the byte 0x00"),
    "vertical tab in the value": (b"A: 1\x0b2\r\n\r\n", "the byte 0x0b"),
    "escape in the value": (b"A: \x1b[2J\r\n\r\n", "the byte 0x1b"),
    "delete in the value": (b"A: \x7f\r\n\r\n", "the byte 0x7f"),
    "LF alone ends a line": (b"A: 1\nB: 2\r\n\r\n", "LF without CR"),
    "LF alone ends the head": (b"A: 1\r\n\n", "LF without CR"),
    "CR alone in the value": (b"A: 1\rB: 2\r\n\r\n", "CR without LF"),
    "CR twice": (b"A: 1\r\r\n\r\n", "CR without LF"),
    "CR before a control character": (b"A: 1\r\0\n\r\n", "CR without LF"),
    "value not UTF-8": (b"A: \xff\r\n\r\n", "is not UTF-8"),
    "value in Latin-1": ("A: é\r\n\r\n".encode("latin-1"), "is not UTF-8"),
    "surrogate in the value": (b"A: \xed\xa0\x80\r\n\r\n", "is not UTF-8"),
    "overlong slash in the value": (b"A: \xc0\xaf\r\n\r\n", "is not UTF-8"),
    "name not UTF-8": (b"\xff: 1\r\n\r\n", "is not UTF-8"),
    "101 fields": (
        b"A: 1\r\n" * 101 + b"\r\n",
        "the number of header fields exceeds MAX_FIELDS=100",
    ),
}

MALFORMED_REQUESTS = {
    "empty line first": (b"\r\nGET / HTTP/1.1\r\n\r\n", "begins with an empty line"),
    "LF first": (b"\nGET / HTTP/1.1\r\n\r\n", "LF without CR"),
    "LF throughout": (b"GET / HTTP/1.1\nHost: a\n\n", "LF without CR"),
    "HTTP/0.9": (b"GET /\r\n\r\n", "is not a method, a target and a version"),
    "HTTP/1.0": (b"GET / HTTP/1.0\r\n\r\n", "the version is 'HTTP/1.0', not 'HTTP/1.1'"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", "the version is 'HTTP/1.2'"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n\r\n", "the version is 'HTTP/2.0'"),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the version is 'HTTP/2.0'"),
    "lower case version": (b"GET / http/1.1\r\n\r\n", "the version is 'http/1.1'"),
    "foreign digit in the version": ("GET / HTTP/1.١\r\n\r\n".encode(), "the version is"),
    "two spaces": (b"GET  / HTTP/1.1\r\n\r\n", "is not a method, a target and a version"),
    "tab as separator": (b"GET\t/\tHTTP/1.1\r\n\r\n", "is not a method, a target and a version"),
    "space at the end": (b"GET / HTTP/1.1 \r\n\r\n", "is not a method, a target and a version"),
    "space at the beginning": (b" GET / HTTP/1.1\r\n\r\n", "is not a method"),
    "space in the target": (b"GET /a b HTTP/1.1\r\n\r\n", "is not a method"),
    "empty target": (b"GET  HTTP/1.1\r\n\r\n", "the request target '' is not visible ASCII"),
    "target not ASCII": ("GET /é HTTP/1.1\r\n\r\n".encode(), "is not visible ASCII"),
    "tab in the target": (b"GET /a\tb HTTP/1.1\r\n\r\n", "is not visible ASCII"),
    "method no token": (b"G(T / HTTP/1.1\r\n\r\n", "the method 'G(T' is not a token"),
    "empty method": (b" / HTTP/1.1\r\n\r\n", "the method '' is not a token"),
    "control character in the method": (b"G\x01T / HTTP/1.1\r\n\r\n", "the byte 0x01"),
    "request line not UTF-8": (b"GET /\xff HTTP/1.1\r\n\r\n", "is not UTF-8"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00", "at offset 0 is not allowed in a head: is this TLS?"),
    "a response": (b"HTTP/1.1 200 OK\r\n\r\n", "the method 'HTTP/1.1' is not a token"),
}

MALFORMED_RESPONSES = {
    "empty line first": (b"\r\nHTTP/1.1 101 A\r\n\r\n", "begins with an empty line"),
    "status with a sign": (b"HTTP/1.1 +101 A\r\n\r\n", "the status line"),
    "status of two digits": (b"HTTP/1.1 99 A\r\n\r\n", "the status line"),
    "status of four digits": (b"HTTP/1.1 1010 A\r\n\r\n", "the status line"),
    "status below 100": (b"HTTP/1.1 099 A\r\n\r\n", "the status line"),
    "status with an underscore": (b"HTTP/1.1 1_1 A\r\n\r\n", "the status line"),
    "status of foreign digits": ("HTTP/1.1 ١٠١ A\r\n\r\n".encode(), "the status line"),
    "no status": (b"HTTP/1.1\r\n\r\n", "the status line"),
    "two spaces": (b"HTTP/1.1  101 A\r\n\r\n", "the status line"),
    "tab after the status": (b"HTTP/1.1 101\tA\r\n\r\n", "the status line"),
    "space first": (b" HTTP/1.1 101 A\r\n\r\n", "the status line"),
    "another protocol": (b"ICY 200 OK\r\n\r\n", "the status line 'ICY 200 OK'"),
    "lower case protocol": (b"http/1.1 101 A\r\n\r\n", "the status line"),
    "version without minor": (b"HTTP/2 101 A\r\n\r\n", "the status line"),
    "version of two digits": (b"HTTP/1.10 101 A\r\n\r\n", "the status line"),
    "control character in the reason": (b"HTTP/1.1 101 \x07\r\n\r\n", "the byte 0x07"),
    "reason not UTF-8": (b"HTTP/1.1 101 \xe9\r\n\r\n", "is not UTF-8"),
    "TLS": (b"\x15\x03\x03\x00\x02\x02F", "the byte 0x15 at offset 0"),
    "a request": (REQUEST_LINE + b"\r\n", "the status line 'GET / HTTP/1.1'"),
}

MALFORMED = [
    pytest.param(role, start + head, text, id=f"{role}: {name}")
    for role, (_, start) in ROLES.items()
    for name, (head, text) in MALFORMED_FIELDS.items()
] + [
    pytest.param(role, head, text, id=f"{role}: {name}")
    for role, table in (("server", MALFORMED_REQUESTS), ("client", MALFORMED_RESPONSES))
    for name, (head, text) in table.items()
]


def parse(role: str, *pieces: bytes, max_size: int | None = None) -> Outcome:
    """Feed the pieces one by one, and tell what came out and how many bytes it took."""
    parser: HeadParser[StartLine] = HeadParser(max_size, ROLES[role][0])  # type: ignore[arg-type]
    head = None
    for number, piece in enumerate(pieces):
        parser.feed(piece)
        try:
            head = parser.parse()
        except (InvalidHandshake, LimitExceeded) as error:
            name, message = type(error).__name__, str(error)
        else:
            continue
        with pytest.raises((InvalidHandshake, LimitExceeded)) as again:
            parser.parse()
        assert (type(again.value).__name__, str(again.value)) == (name, message)
        assert parser.remaining == b""
        return name, message, str(sum(map(len, pieces[: number + 1])))
    if head is None:
        assert parser.remaining == b""
    return "head", repr(head), repr(parser.remaining)


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


# What is refused, and when


def test_the_table_of_malformed_heads_is_long_enough() -> None:
    assert len(MALFORMED) >= 60


@pytest.mark.rule("R104", "R152", "R153", "1.4 both", "1.4 client")
@pytest.mark.parametrize(("role", "head", "text"), MALFORMED)
def test_a_malformed_head_is_refused(role: str, head: bytes, text: str) -> None:
    name, message, _ = parse(role, head)
    assert name == ("LimitExceeded" if "MAX_FIELDS" in text else "InvalidHandshake")
    assert text in message
    assert parse(role, *bytewise(head))[:2] == (name, message)


@pytest.mark.rule("R153", "R154")
@pytest.mark.parametrize(
    ("head", "size"),
    [
        (b"\x16\x03\x01", 1),
        (b"GET / HTTP/1.1\r\nA: \x01", 20),
        (b"GET / HTTP/1.1\r\nA: 1\nB", 21),
        (b"GET / HTTP/1.1\r\nA: 1\rB", 22),
        (b"GET / HTTP/1.1\r\nA B\r\nC", 21),
        (b"GET / HTTP/1.0\r\nA", 16),
        (b"\r\nGET", 2),
    ],
)
def test_a_fault_is_found_with_the_byte_that_reveals_it(head: bytes, size: int) -> None:
    assert parse("server", head[: size - 1])[0] == "head"
    assert parse("server", *bytewise(head))[2] == str(size)


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"GET / HTTP/1.0\r\nA: \x00\r\n\r\n", "the version"),
        (b"GET / HTTP/1.0\x00\r\n\r\n", "the byte 0x00"),
        (b"GET / HTTP/1.1\r\nA B\r\nC: \x00", "has no colon"),
        (b"GET / HTTP/1.1\r\nA: \xff\r\nC D: \x00", "is not UTF-8"),
    ],
)
def test_the_earliest_fault_decides(head: bytes, text: str) -> None:
    assert text in parse("server", head)[1]


@pytest.mark.rule("1.4 both")
def test_the_size_of_a_head_is_bounded_in_total_however_it_comes() -> None:
    head = REQUEST_LINE + b"Host: a\r\n\r\n"
    size = len(head)
    for pieces in ([head + b"more"], bytewise(head)):
        assert parse("server", *pieces, max_size=size)[0] == "head"
        assert parse("server", *pieces, max_size=size - 1)[:2] == (
            "LimitExceeded",
            f"the head of the handshake exceeds max_handshake_size={size - 1}",
        )


@pytest.mark.rule("1.4 both")
def test_bytes_after_the_head_do_not_count() -> None:
    head = REQUEST_LINE + b"Host: a\r\n\r\n"
    after = bytes(range(256)) * 1000
    outcome = parse("server", head + after, max_size=len(head))
    assert outcome == ("head", repr((("GET", "/"), Headers([("Host", "a")]))), repr(after))


def test_what_is_wrong_beyond_the_limit_is_not_looked_at() -> None:
    assert parse("server", REQUEST_LINE + b"\x00", max_size=len(REQUEST_LINE))[0] == "LimitExceeded"
    assert parse("server", REQUEST_LINE + b"\x00", max_size=17)[0] == "InvalidHandshake"
    assert parse("server", REQUEST_LINE[:-1] + b"x", max_size=15)[0] == "LimitExceeded"


@pytest.mark.rule("R150")
def test_a_hundred_fields_are_accepted_and_no_line_is_too_long() -> None:
    assert parse("server", REQUEST_LINE + b"A: 1\r\n" * MAX_FIELDS + b"\r\n")[0] == "head"
    long = b"A: " + b"x" * 100_000 + b"\r\n"
    assert parse("server", REQUEST_LINE + long + b"\r\n")[0] == "head"


def test_long_lines_are_not_repeated_in_full_in_errors() -> None:
    assert len(parse("server", b"x" * 10_000 + b"\r\n")[1]) < 250
    assert len(parse("server", b"\xff" * 10_000 + b"\r\n")[1]) < 700


# What is accepted


@pytest.mark.rule("R152")
def test_a_head_that_is_not_complete_waits() -> None:
    head = REQUEST_LINE + b"Host: a\r\n\r\n"
    parser = HeadParser(None, parse_request_line)
    for piece in bytewise(head):
        assert parser.parse() is None
        assert parser.remaining == b""
        parser.feed(piece)
    assert parser.parse() == (("GET", "/"), (("Host", "a"),))


@pytest.mark.rule("R153", "1.4 both")
def test_values_are_trimmed_of_spaces_and_tabs_only() -> None:
    head = (
        "GET / HTTP/1.1\r\nA: \t x\ty \t\r\nB:\u00a0x\u2003\r\nC:\r\nD:  \r\nE:a:b\r\n\r\n".encode()
    )
    parser = HeadParser(None, parse_request_line)
    parser.feed(head)
    assert parser.parse() == (
        ("GET", "/"),
        (("A", "x\ty"), ("B", "\u00a0x\u2003"), ("C", ""), ("D", ""), ("E", "a:b")),
    )


@pytest.mark.rule("1.4 both")
def test_all_fields_are_kept_in_order_with_their_spelling() -> None:
    parser = HeadParser(None, parse_request_line)
    parser.feed(REQUEST_LINE + b"Cookie: a\r\ncookie: b\r\nX-Y: \xe3\x81\x82\r\n\r\n")
    head = parser.parse()
    assert head is not None
    assert type(head[1]) is Headers
    assert head[1] == (("Cookie", "a"), ("cookie", "b"), ("X-Y", "あ"))


def test_a_head_without_fields_is_well_formed() -> None:
    assert parse("server", REQUEST_LINE + b"\r\n") == ("head", "(('GET', '/'), ())", "b''")


def test_a_head_stays_as_it_was_read_while_more_is_fed() -> None:
    parser = HeadParser(20, parse_request_line)
    parser.feed(bytearray(REQUEST_LINE))
    parser.feed(memoryview(b"\r\nab"))
    head = parser.parse()
    assert head is not None
    parser.feed(b"\x00\r")
    assert parser.parse() is head
    assert parser.remaining == b"ab\x00\r"
    assert parser.buffer_len == 22
    assert parser.take_remaining() == b"ab\x00\r"
    assert parser.take_remaining() == b""
    assert parser.buffer_len == 18


def test_heads_that_follow_each_other_share_one_limit() -> None:
    first, second = STATUS_LINE + b"\r\n", STATUS_LINE + b"A: 1\r\n\r\n"
    for spare in (0, -1):
        parser = HeadParser(len(first + second) + spare, parse_status_line)
        parser.feed(first + second + b"ab")
        assert parser.parse() is not None
        parser.next()
        assert parser.remaining == b""
        if spare:
            with pytest.raises(LimitExceeded):
                parser.parse()
        else:
            assert parser.parse() == (("1.1", 101, "Switching Protocols"), (("A", "1"),))
            assert parser.remaining == b"ab"


def test_offsets_in_errors_count_from_the_first_head() -> None:
    parser = HeadParser(None, parse_status_line)
    parser.feed(STATUS_LINE + b"\r\n\x16")
    parser.parse()
    parser.next()
    with pytest.raises(InvalidHandshake, match=f"0x16 at offset {len(STATUS_LINE) + 2} is not"):
        parser.parse()


@pytest.mark.rule("R138")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HTTP/1.1 101 Switching Protocols", ("1.1", 101, "Switching Protocols")),
        ("HTTP/1.1 101 ", ("1.1", 101, "")),
        ("HTTP/1.1 101", ("1.1", 101, "")),
        ("HTTP/1.0 404 Niet\tgevonden é", ("1.0", 404, "Niet\tgevonden é")),
        ("HTTP/1.1 999 x", ("1.1", 999, "x")),
    ],
)
def test_status_lines(line: str, expected: tuple[str, int, str]) -> None:
    assert parse_status_line(line) == expected


def test_request_lines() -> None:
    assert parse_request_line("M-SEARCH * HTTP/1.1") == ("M-SEARCH", "*")
    assert parse_request_line("GET //x?y#z HTTP/1.1") == ("GET", "//x?y#z")


# Cuts

FRAGMENTS = [
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b": ", b":", b" ", b"\t", b"A", b"B: 1\r\n", b"/"),
    *(b"\x00", b"\x16", b"\x7f", b"\xff", b"\xc3", b"\xa9", "é".encode(), b"A: 1\r\n" * 99),
    *(REQUEST_LINE, STATUS_LINE, b"GET / HTTP/1.0\r\n", b"HTTP/1.0 200 OK\r\n"),
]
streams = st.builds(
    lambda start, rest: start + b"".join(rest),
    st.sampled_from([REQUEST_LINE, STATUS_LINE, b""]),
    st.lists(st.sampled_from(FRAGMENTS) | st.binary(max_size=3), max_size=20),
)


@given(
    st.sampled_from(sorted(ROLES)),
    streams,
    st.none() | st.integers(1, 80),
    st.lists(st.integers(0, 700), max_size=5),
)
@example("server", REQUEST_LINE + b"A: 1\r", 20, [20])
@example("server", REQUEST_LINE + b"A: 1\r\x00", None, [21])
@example("server", REQUEST_LINE + b"A: \n", None, [19])
def test_cutting_the_bytes_elsewhere_changes_nothing(
    role: str, data: bytes, max_size: int | None, cuts: list[int]
) -> None:
    whole = parse(role, data, max_size=max_size)
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in zip(bounds, bounds[1:])]
    for other in (pieces, bytewise(data)):
        outcome = parse(role, *other, max_size=max_size)
        assert outcome[:2] == whole[:2]
        if whole[0] == "head" and data:
            assert outcome == whole


@given(streams, st.none() | st.integers(1, 80))
def test_what_has_been_refused_stays_refused(data: bytes, max_size: int | None) -> None:
    for end in range(len(data) + 1):
        early = parse("server", data[:end], max_size=max_size)
        if early[0] != "head":
            assert parse("server", data, max_size=max_size)[:2] == early[:2]
            break


# Fields, hosts, lists


def test_fields_are_grouped_by_name_in_any_case() -> None:
    headers = Headers([("A", "1"), ("b", "2"), ("a", "3")])
    assert group_fields(headers) == {"a": ["1", "3"], "b": ["2"]}


def test_an_element_is_found_over_all_lines_in_any_case() -> None:
    assert has_element(["keep-alive", "x, UPGRADE"], "upgrade")
    assert not has_element(["upgrades", '"upgrade"', 'x, "a, upgrade'], "upgrade")
    assert not has_element([], "upgrade")


def test_only_ascii_letters_have_another_case() -> None:
    for values in (["websoc\u212aet"], ["é", "websoc\u212aet"]):
        assert not has_element(values, "websocket")
    assert has_element(["é", "WebSocket"], "websocket")


@pytest.mark.rule("R99", "R106")
@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "example.com",
            "EXAMPLE.com.",
            "a_b-c~",
            "127.0.0.1",
            "a:80",
            "a:",
            "a:65535",
        ),
        *("[::1]", "[::1]:8080", "[2001:DB8::1.2.3.4]", "%C3%A9.example", "a!$&'()*+,;="),
    ],
)
def test_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.rule("R99", "R106")
@pytest.mark.parametrize(
    "host",
    [
        *("", ":80", "a b", " a", "a ", "a\n", "a/b", "a?b", "a#b", "user@a", "http://a", "a:b"),
        *("a:80:80", "a:-1", "a:65536", "a:000080", "a:٨٠", "::1", "[::1", "::1]", "[]", "[]:80"),
        *("[:::1]", "[1.2.3.4]", "[fe80::1%eth0]", "[v1.x]", "[::1]a", "é", "%", "%zz", "%00"),
        *("a\x00", "a<b", 'a"b', "a\\b", "a^b", "a`b", "a{b}", "a|b"),
    ],
)
def test_what_is_no_host(host: str) -> None:
    assert not is_host(host)


# Writing


def test_a_head_is_written_in_order() -> None:
    assert build_head("GET / HTTP/1.1", [("Host", "a"), ("X", ""), ("y", "é\tz")]) == (
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \r\ny: \xc3\xa9\tz\r\n\r\n"
    )
    assert build_head("GET / HTTP/1.1", []) == b"GET / HTTP/1.1\r\n\r\n"


@pytest.mark.rule("R98")
@pytest.mark.parametrize("name", ["", "a b", "a:", " a", "a\r\nb", "é", "a\x00"])
def test_a_name_that_is_no_token_is_not_written(name: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        build_head("GET / HTTP/1.1", [(name, "1")])
    assert str(caught.value) == f"the header name {name!r} is not a token"


@pytest.mark.rule("R98")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\r\nB: 2", "holds a control character"),
        ("a\n", "holds a control character"),
        ("a\r", "holds a control character"),
        ("\x00", "holds a control character"),
        ("\x1f", "holds a control character"),
        ("\x7f", "holds a control character"),
        (" a", "begins or ends with white space"),
        ("a\t", "begins or ends with white space"),
        ("\ud800", "cannot be written as UTF-8"),
    ],
)
def test_a_value_that_would_not_come_back_is_not_written(value: str, text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        build_head("GET / HTTP/1.1", [("A", value)])
    assert str(caught.value) == f"the header 'A' {text}: {value!r}"


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=8)), max_size=5))
def test_what_is_written_is_read_again(fields: list[tuple[str, str]]) -> None:
    try:
        head = build_head("GET / HTTP/1.1", fields)
    except LocalProtocolError:
        return
    parser = HeadParser(None, parse_request_line)
    parser.feed(head)
    assert parser.parse() == (("GET", "/"), tuple(fields))


def test_check_value_returns_what_it_was_given() -> None:
    assert check_value("reason", "a b") == "a b"


def test_reserved_names_are_found_in_any_case() -> None:
    check_reserved(Headers([("Hosts", "a")]), frozenset(["host"]))
    with pytest.raises(LocalProtocolError, match="'hOST'"):
        check_reserved(Headers([("A", "1"), ("hOST", "a")]), frozenset(["host"]))


class Odd(str):
    """Formats itself otherwise than it reads, as members of some enumerations do."""

    __slots__ = ()

    def __str__(self) -> str:
        return "odd\r\n"

    def __format__(self, _: str) -> str:
        return "odd\r\n"


def test_what_is_written_is_what_was_checked() -> None:
    odd = Odd("a")
    fields = {"origin": odd, "protocols": [odd], "extensions": [odd], "headers": [(odd, odd)]}
    request = HandshakeRequest(Odd("/a"), odd, **fields).build(b"the sample nonce")
    refusal = build_refusal(400, odd, [(odd, odd)])
    acceptance = build_acceptance("key", odd, [odd], [(odd, odd)])
    for head in (request, refusal, acceptance):
        assert b"odd" not in head
        assert b"\r\na: a\r\n" in head
    assert request.startswith(b"GET /a HTTP/1.1\r\nHost: a\r\n")
    assert refusal.startswith(b"HTTP/1.1 400 a\r\n")

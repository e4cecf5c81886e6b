"""The body of a refusal."""

from __future__ import annotations

import pytest

from websocket.handshake.body import BodyReader
from websocket.headers import Headers

CHUNKED = (("Transfer-Encoding", "chunked"),)


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


def read_body(
    headers: tuple[tuple[str, str], ...],
    *pieces: bytes,
    status: int = 404,
    max_size: int | None = None,
) -> tuple[bool, bytes]:
    reader = BodyReader(status, Headers(headers), max_size)
    for piece in pieces:
        reader.feed(piece)
    return reader.complete, bytes(reader.body)


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize(
    ("headers", "data", "expected"),
    [
        ((), b"abc", (False, b"abc")),
        ((), b"", (False, b"")),
        ((("Content-Length", "3"),), b"ab", (False, b"ab")),
        ((("Content-Length", "3"),), b"abc", (True, b"abc")),
        ((("Content-Length", "3"),), b"abcd", (True, b"abc")),
        ((("Content-Length", "0"),), b"", (True, b"")),
        ((("content-length", "003"),), b"abcd", (True, b"abc")),
        ((("Content-Length", "3, 3"),), b"abcd", (True, b"abc")),
        ((("Content-Length", "3"), ("Content-Length", "3")), b"abcd", (True, b"abc")),
        ((("Content-Length", "3"), ("Content-Length", "4")), b"abcd", (True, b"")),
        ((("Content-Length", "+3"),), b"abcd", (True, b"")),
        ((("Content-Length", "3_0"),), b"abcd", (True, b"")),
        ((("Content-Length", "٣"),), b"abcd", (True, b"")),
        ((("Content-Length", "9" * 5000),), b"abcd", (True, b"")),
        ((("Content-Length", ""),), b"abcd", (True, b"")),
        ((("Transfer-Encoding", "gzip"), ("Content-Length", "1")), b"ab", (False, b"ab")),
        ((("Transfer-Encoding", "chunked, gzip"),), b"1\r\n", (False, b"1\r\n")),
        ((("Transfer-Encoding", "gzip"), ("Transfer-Encoding", "Chunked")), b"0\r\n", (True, b"")),
        ((*CHUNKED, ("Content-Length", "1")), b"2\r\nab\r\n0\r\n\r\n", (True, b"ab")),
        (CHUNKED, b"", (False, b"")),
        (
            CHUNKED,
            b"3\r\nabc\r\n00A \t;x=y\r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
            (True, b"abc0123456789"),
        ),
        (CHUNKED, b"3\r\nab", (False, b"ab")),
        (CHUNKED, b"3\r\nabc\r\n", (False, b"abc")),
        (CHUNKED, b"3\r\nabcd\r\n", (True, b"abc")),
        (CHUNKED, b"3\r\nabc\r\nx\r\n", (True, b"abc")),
        (CHUNKED, b"3\r\nabc\r\n-1\r\n", (True, b"abc")),
        (CHUNKED, b"3\nabc\r\n", (True, b"")),
        (CHUNKED, b"\r\n", (True, b"")),
        (CHUNKED, b"1" * 16 + b"\r\nabc", (True, b"")),
        (CHUNKED, b"3;" + b"x" * 1020 + b"\r\nabc\r\n", (False, b"abc")),
        (CHUNKED, b"3;" + b"x" * 1021 + b"\r\nabc\r\n", (True, b"")),
        (CHUNKED, b"3;" + b"x" * 1021, (False, b"")),
        (CHUNKED, b"3;" + b"x" * 1022, (True, b"")),
    ],
)
def test_the_body_of_a_refusal(
    headers: tuple[tuple[str, str], ...], data: bytes, expected: tuple[bool, bytes]
) -> None:
    assert read_body(headers, data) == expected
    assert read_body(headers, *bytewise(data)) == expected


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body_whatever_the_fields_say(status: int) -> None:
    for headers in ((), CHUNKED, (("Content-Length", "3"),)):
        assert read_body(headers, b"1\r\na", status=status) == (True, b"")


@pytest.mark.rule("1.4 client")
@pytest.mark.parametrize(
    ("headers", "data"),
    [
        ((), b"abcdef"),
        ((("Content-Length", "6"),), b"abcdef"),
        (CHUNKED, b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"),
        (CHUNKED, b"6\r\nabcdef"),
    ],
)
def test_no_more_of_a_body_is_kept_than_the_limit(
    headers: tuple[tuple[str, str], ...], data: bytes
) -> None:
    for size in range(1, 6):
        assert read_body(headers, data, max_size=size) == (True, b"abcdef"[:size])
        assert read_body(headers, *bytewise(data), max_size=size) == (True, b"abcdef"[:size])
    assert read_body(headers, data, max_size=7)[1] == b"abcdef"

"""The checks of what a caller gives."""

from __future__ import annotations

import math

import pytest

from websocket.checks import as_bytes, check_limit, check_seconds, check_string, check_strings


def test_a_limit_is_a_positive_int_or_none():
    assert check_limit("max_size", None) is None
    assert check_limit("max_size", 1) == 1
    for limit in (0, -1):
        with pytest.raises(ValueError, match=f"max_size must be positive, not {limit}"):
            check_limit("max_size", limit)
    for wrong in (True, 1.5, "1"):
        with pytest.raises(TypeError, match="max_size must be an int or None"):
            check_limit("max_size", wrong)


def test_seconds_are_a_positive_finite_number_or_none():
    assert check_seconds("ping_interval", None) is None
    assert check_seconds("ping_interval", 1) == 1.0
    assert type(check_seconds("ping_interval", 1)) is float
    for wrong in (0, 0.0, -1.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="ping_interval must be positive and finite"):
            check_seconds("ping_interval", wrong)
    for wrong in (True, "1"):
        with pytest.raises(TypeError, match="ping_interval must be seconds as a number or None"):
            check_seconds("ping_interval", wrong)


def test_a_string_is_a_str():
    assert check_string("host", "h") == "h"
    with pytest.raises(TypeError, match="host must be str, not b'h'"):
        check_string("host", b"h")


def test_several_strings_are_taken_from_any_iterable_but_a_string():
    assert check_strings("protocols", iter(["a", "b"])) == ("a", "b")
    for wrong in ("ab", b"ab"):
        with pytest.raises(TypeError, match="protocols must be a list of str"):
            check_strings("protocols", wrong)
    with pytest.raises(TypeError, match="each of protocols must be str, not 1"):
        check_strings("protocols", ["a", 1])


def test_bytes_are_taken_from_any_buffer():
    data = b"abc"
    assert as_bytes(data) is data
    assert as_bytes(bytearray(data)) == data
    assert as_bytes(memoryview(b"a-b-c")[::2]) == data
    for wrong in ("abc", 3, None):
        with pytest.raises(TypeError, match="payload must be bytes-like, not"):
            as_bytes(wrong, "payload")

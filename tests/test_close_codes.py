"""The close codes of RFC 6455 section 7.4 and of the registry."""

from __future__ import annotations

import pytest

from websocket import CloseCode

NAMES = {
    1000: "NORMAL",
    1001: "GOING_AWAY",
    1002: "PROTOCOL_ERROR",
    1003: "UNSUPPORTED_DATA",
    1004: "RESERVED",
    1005: "NO_STATUS_RECEIVED",
    1006: "ABNORMAL_CLOSURE",
    1007: "INVALID_PAYLOAD",
    1008: "POLICY_VIOLATION",
    1009: "MESSAGE_TOO_BIG",
    1010: "MANDATORY_EXTENSION",
    1011: "INTERNAL_ERROR",
    1012: "SERVICE_RESTART",
    1013: "TRY_AGAIN_LATER",
    1014: "BAD_GATEWAY",
    1015: "TLS_HANDSHAKE",
}
VALID = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_names() -> None:
    assert {int(code): code.name for code in CloseCode} == NAMES


@pytest.mark.rule("1.1 close codes", "R47", "R53")
def test_the_same_codes_may_be_received_and_sent() -> None:
    assert {code for code in range(-10, 70_000) if CloseCode.is_valid(code)} == VALID
    assert {code for code in range(-10, 70_000) if CloseCode.is_sendable(code)} == VALID


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1000, "normal closure"),
        (1006, "abnormal closure"),
        (1015, "TLS handshake failed"),
        (3000, "registered with IANA"),
        (3999, "registered with IANA"),
        (4000, "private use"),
        (4999, "private use"),
        (0, "unknown"),
        (-1, "unknown"),
        (999, "unknown"),
        (1016, "unknown"),
        (2999, "unknown"),
        (5000, "unknown"),
    ],
)
def test_words(code: int, words: str) -> None:
    assert CloseCode.describe(code) == words


def test_every_name_has_words_that_fit_into_a_reason() -> None:
    for code in CloseCode:
        words = CloseCode.describe(code)
        assert words != "unknown"
        assert words.isascii()
        assert len(words) <= 123


def test_a_code_is_a_number() -> None:
    assert CloseCode.NORMAL == 1000
    assert CloseCode(1001) is CloseCode.GOING_AWAY

"""The tree of errors, their fields, their words and their close codes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import websocket
from websocket import (
    Close,
    CloseCode,
    ConnectionClosed,
    ConnectionLost,
    ConnectionTimedOut,
    ExtensionParseError,
    HandshakeError,
    HandshakeResponse,
    Headers,
    InvalidCompressedData,
    InvalidHandshake,
    InvalidUtf8,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TimerId,
    UnexpectedHttpResponse,
    VersionNotSupported,
    WebSocketError,
)
from websocket import errors as errors_module

PARENTS: dict[Any, Any] = {
    WebSocketError: Exception,
    LocalProtocolError: WebSocketError,
    RemoteProtocolError: WebSocketError,
    InvalidUtf8: RemoteProtocolError,
    InvalidCompressedData: RemoteProtocolError,
    LimitExceeded: RemoteProtocolError,
    HandshakeError: WebSocketError,
    InvalidHandshake: HandshakeError,
    ExtensionParseError: InvalidHandshake,
    VersionNotSupported: HandshakeError,
    UnexpectedHttpResponse: HandshakeError,
    ConnectionClosed: WebSocketError,
    ConnectionLost: ConnectionClosed,
    ConnectionTimedOut: ConnectionClosed,
}

REFUSAL = HandshakeResponse(404, "Not Found", Headers([("A", "b")]), None, (), b"body")

EXAMPLES: list[tuple[WebSocketError, str, int]] = [
    (LocalProtocolError("wrong call"), "wrong call", 1006),
    (RemoteProtocolError("bad frame"), "bad frame", 1002),
    (RemoteProtocolError("too bad", 1008), "too bad", 1008),
    (InvalidUtf8("bad text"), "bad text", 1007),
    (InvalidCompressedData("bad data"), "bad data", 1007),
    (
        LimitExceeded("frame of 5 bytes", "max_frame_size", 4),
        "frame of 5 bytes exceeds max_frame_size=4",
        1009,
    ),
    (LimitExceeded("x", "max_fragments", 4, 1008), "x exceeds max_fragments=4", 1008),
    (InvalidHandshake("no key"), "no key", 1006),
    (ExtensionParseError("bad extension"), "bad extension", 1006),
    (
        VersionNotSupported("8"),
        "Sec-WebSocket-Version is '8', only '13' is supported",
        1006,
    ),
    (
        UnexpectedHttpResponse(REFUSAL),
        "the server answered '404 Not Found' instead of 101",
        1006,
    ),
    (ConnectionClosed(), "connection closed: nothing sent, then nothing received", 1006),
    (
        ConnectionClosed(Close(1001, "bye"), Close(1001, ""), True),
        "connection closed: received 1001 (going away) 'bye', then sent 1001 (going away)",
        1001,
    ),
    (
        ConnectionClosed(Close(None, ""), Close(4000, "x"), False),
        "connection closed: sent 4000 (private use) 'x', then received no code",
        1005,
    ),
    (ConnectionLost(), "the stream ended without a Close frame", 1006),
    (
        ConnectionLost(during_handshake=True),
        "the stream ended before the opening handshake was over",
        1006,
    ),
    (
        ConnectionTimedOut(TimerId.PONG_TIMEOUT),
        "no Pong came within pong_timeout",
        1008,
    ),
    (
        ConnectionTimedOut(TimerId.CLOSE_TIMEOUT, None, Close(1000, "")),
        "the Close frame was not answered within close_timeout",
        1006,
    ),
    (
        ConnectionTimedOut(TimerId.OPEN_TIMEOUT),
        "the opening handshake was not over within open_timeout",
        1006,
    ),
]
IDS = [type(error).__name__ for error, _, _ in EXAMPLES]


def test_tree() -> None:
    for error, parent in PARENTS.items():
        assert error.__base__ is parent
        assert getattr(websocket, error.__name__) is error
    assert {error.__name__ for error in PARENTS} == set(errors_module.__all__)


@pytest.mark.parametrize(("error", "text", "code"), EXAMPLES, ids=IDS)
def test_text_and_close_code(error: WebSocketError, text: str, code: int) -> None:
    assert str(error) == text
    assert error.close_code == code


@pytest.mark.parametrize(("error", "text", "code"), EXAMPLES, ids=IDS)
def test_copies_and_pickles_are_alike(error: WebSocketError, text: str, code: int) -> None:
    for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert vars(other) == vars(error)
        assert (str(other), other.close_code) == (text, code)


@pytest.mark.parametrize(("error", "text", "code"), EXAMPLES, ids=IDS)
def test_errors_are_ready_to_be_raised(error: WebSocketError, text: str, code: int) -> None:
    with pytest.raises(WebSocketError) as caught:
        raise error
    assert caught.value is error
    assert repr(error)


def test_everything_that_failed_can_carry_has_a_close_code() -> None:
    for error in PARENTS:
        assert error.close_code in set(CloseCode)


def test_fields() -> None:
    limit = LimitExceeded("frame", "max_frame_size", 4)
    assert (limit.what, limit.limit, limit.maximum) == ("frame", "max_frame_size", 4)
    assert VersionNotSupported("8").version == "8"
    assert UnexpectedHttpResponse(REFUSAL).response is REFUSAL
    received, sent = Close(1000, ""), Close(1001, "")
    closed = ConnectionClosed(received, sent, True)
    assert (closed.received, closed.sent, closed.received_first) == (received, sent, True)
    lost = ConnectionLost(None, sent, False, True)
    assert (lost.sent, lost.during_handshake) == (sent, True)
    timed_out = ConnectionTimedOut(TimerId.CLOSE_TIMEOUT, None, sent)
    assert (timed_out.timer_id, timed_out.sent) == (TimerId.CLOSE_TIMEOUT, sent)


@pytest.mark.rule("R109")
def test_status_with_which_a_server_answers() -> None:
    assert HandshakeError.status == 400
    assert InvalidHandshake("x").status == 400
    assert InvalidHandshake("x", 405).status == 405
    assert VersionNotSupported("8").status == 426


def test_one_except_catches_every_end() -> None:
    ends: list[Any] = [
        ConnectionClosed(Close(1000, ""), Close(1000, "")),
        ConnectionLost(),
        ConnectionTimedOut(TimerId.PONG_TIMEOUT),
    ]
    assert all(isinstance(end, ConnectionClosed) for end in ends)
    assert not isinstance(RemoteProtocolError("x"), ConnectionClosed)


def test_close_reason_cannot_pass_for_a_line_of_a_log() -> None:
    error = ConnectionClosed(Close(1000, "bye\nERROR: forged\x1b[2J"), None, True)
    assert str(error) == (
        "connection closed: received 1000 (normal closure) 'bye\\nERROR: forged\\x1b[2J',"
        " then nothing sent"
    )


def test_reason_that_is_empty_leaves_no_space() -> None:
    response = HandshakeResponse(500, "", Headers(), None, (), b"")
    assert str(UnexpectedHttpResponse(response)) == "the server answered '500' instead of 101"

"""The values that errors and events share: immutable, comparable, copied and pickled."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from websocket import (
    ClearTimer,
    Close,
    CloseConnection,
    Connected,
    ConnectionState,
    HandshakeResponse,
    Headers,
    Ping,
    Pong,
    SetTimer,
    StateChanged,
    TimerId,
)
from websocket.values import Value, assign

VALUES: list[Value] = [
    Close(1000, "bye"),
    Close(None, ""),
    HandshakeResponse(404, "Not Found", Headers([("A", "b")]), None, (), b"body"),
    Connected("chat", ("x",)),
    Ping(b"x"),
    Pong(b"x", 0.25),
    StateChanged(ConnectionState.CLOSED),
    SetTimer(TimerId.PING, 30.0),
    ClearTimer(TimerId.PING),
    CloseConnection(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_copies_and_pickles_are_equal(value: Any) -> None:
    assert copy.copy(value) == value
    assert copy.deepcopy(value) == value
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_are_small_and_immutable(value: Any) -> None:
    assert not hasattr(value, "__dict__")
    assert value.__match_args__ == tuple(type(value).__dataclass_fields__)
    for name in value.__match_args__:
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    hash(value)


def test_repr() -> None:
    assert repr(Close(1001, "away")) == "Close(code=1001, reason='away')"
    assert repr(Close(None, "")) == "Close(code=None, reason='')"


def test_close_is_equal_by_code_and_reason() -> None:
    assert Close(1000, "") == Close(1000, "")
    assert Close(1000, "") != Close(1001, "")
    assert Close(1000, "") != Close(1000, "x")
    other: Any = (1000, "")
    assert Close(1000, "") != other


def test_assign_sets_what_is_frozen() -> None:
    close = Close(1000, "")
    assign(close, code=1001)
    assert close == Close(1001, "")


def test_match_args_serve_pattern_matching() -> None:
    # As ``case Close(code, reason)`` does it, in a syntax that Python 3.9 lacks.
    close = Close(1000, "bye")
    assert [getattr(close, name) for name in Close.__match_args__] == [1000, "bye"]

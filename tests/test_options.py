"""The options: their defaults, what they take, and what they refuse."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from websocket import (
    ClientConnectionOptions,
    Headers,
    PerMessageDeflateConfig,
    ServerConnectionOptions,
)

MIB = 1024 * 1024

SHARED: dict[str, Any] = {
    "protocols": (),
    "headers": (),
    "deflate": None,
    "open_timeout": 10.0,
    "ping_interval": 30.0,
    "pong_timeout": 10.0,
    "close_timeout": 5.0,
    "auto_pong": True,
    "max_frame_size": 64 * MIB,
    "max_message_size": 64 * MIB,
    "max_decompressed_size": 16 * MIB,
    "max_fragments": 131072,
    "max_handshake_size": 16 * 1024,
}
CLIENT: dict[str, Any] = {
    **SHARED,
    "host": "localhost",
    "path": "/",
    "origin": None,
    "max_response_body": 64 * 1024,
}
SERVER: dict[str, Any] = {**SHARED, "origins": None}

TIMES = ["open_timeout", "ping_interval", "pong_timeout", "close_timeout"]
LIMITS = [
    "max_frame_size",
    "max_message_size",
    "max_decompressed_size",
    "max_fragments",
    "max_handshake_size",
]

KINDS = pytest.mark.parametrize("kind", [ClientConnectionOptions, ServerConnectionOptions])


@pytest.mark.parametrize(
    ("kind", "defaults"), [(ClientConnectionOptions, CLIENT), (ServerConnectionOptions, SERVER)]
)
def test_defaults(kind: Any, defaults: dict[str, Any]) -> None:
    options = kind()
    assert {field.name: getattr(options, field.name) for field in fields(options)} == defaults
    assert set(inspect.signature(kind).parameters) == set(defaults)


def test_host_and_path_may_come_by_position_and_nothing_else() -> None:
    options = ClientConnectionOptions("example.com", "/chat")
    assert (options.host, options.path) == ("example.com", "/chat")
    with pytest.raises(TypeError):
        ClientConnectionOptions("a", "/", None)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ServerConnectionOptions(None)  # type: ignore[call-arg]


@KINDS
def test_options_are_frozen_and_compared_by_value(kind: Any) -> None:
    options = kind(protocols=["a"], headers={"A": "b"}, ping_interval=5)
    with pytest.raises(FrozenInstanceError):
        options.ping_interval = 1.0
    assert options == kind(protocols=("a",), headers=[("A", "b")], ping_interval=5.0)
    assert hash(options) == hash(kind(protocols=["a"], headers={"A": "b"}, ping_interval=5))
    assert options != kind()
    assert copy.copy(options) == options
    assert pickle.loads(pickle.dumps(options)) == options
    assert replace(options, ping_interval=6.0).ping_interval == 6.0


def test_the_two_kinds_are_never_equal() -> None:
    server: Any = ServerConnectionOptions()
    assert ClientConnectionOptions() != server


@KINDS
@pytest.mark.parametrize("name", TIMES)
def test_times(kind: Any, name: str) -> None:
    for value in (0.001, 1, 3600.5):
        seconds = getattr(kind(**{name: value}), name)
        assert (seconds, type(seconds)) == (value, float)
    assert getattr(kind(**{name: None}), name) is None
    for value in (0, 0.0, -1, -0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"{name} must be positive"):
            kind(**{name: value})
    for wrong in ("1", True, b"1", [1]):
        with pytest.raises(TypeError, match=f"{name} must be seconds"):
            kind(**{name: wrong})


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in (ClientConnectionOptions, ServerConnectionOptions) for name in LIMITS]
    + [(ClientConnectionOptions, "max_response_body")],
)
def test_limits(kind: Any, name: str) -> None:
    for value in (1, 100, 1 << 62, 1 << 100):
        assert getattr(kind(**{name: value}), name) == value
    assert getattr(kind(**{name: None}), name) is None
    # 0 where None is meant would refuse everything.
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"{name} must be positive.*None"):
            kind(**{name: value})
    for wrong in (1.0, "1", True):
        with pytest.raises(TypeError, match=f"{name} must be an int"):
            kind(**{name: wrong})


@KINDS
def test_lists_of_strings(kind: Any) -> None:
    assert kind(protocols=(name for name in "ab")).protocols == ("a", "b")
    for wrong in ("chat", b"chat", [b"chat"], [1]):
        with pytest.raises(TypeError, match="protocols"):
            kind(protocols=wrong)


@KINDS
def test_headers(kind: Any) -> None:
    options = kind(headers={"A": "1"})
    assert options.headers == (("A", "1"),)
    assert type(options.headers) is Headers
    for wrong in ("A: 1", [("A",)], [("A", 1)], ["AB"]):
        with pytest.raises(TypeError, match="header"):
            kind(headers=wrong)


@KINDS
@pytest.mark.rule("1.3 windows")
def test_deflate(kind: Any) -> None:
    config = PerMessageDeflateConfig(level=1)
    options = kind(deflate=config)
    assert options.deflate is config
    assert options == kind(deflate=PerMessageDeflateConfig(level=1))
    assert options != kind(deflate=PerMessageDeflateConfig())
    for wrong in (True, "permessage-deflate", {"level": 1}):
        with pytest.raises(TypeError, match="deflate must be a PerMessageDeflateConfig or None"):
            kind(deflate=wrong)
    own = "client" if kind is ClientConnectionOptions else "server"
    eight: dict[str, Any] = {f"{own}_max_window_bits": 8}
    with pytest.raises(ValueError, match=f"{own}_max_window_bits must be from 9 to 15"):
        kind(deflate=PerMessageDeflateConfig(**eight))


def test_strings_of_a_client() -> None:
    options = ClientConnectionOptions("a", "/b", origin="c")
    assert (options.host, options.path, options.origin) == ("a", "/b", "c")
    for name in ("host", "path", "origin"):
        wrong: dict[str, Any] = {name: b"x"}
        with pytest.raises(TypeError, match=f"{name} must be str"):
            ClientConnectionOptions(**wrong)
    for name in ("host", "path"):
        missing: dict[str, Any] = {name: None}
        with pytest.raises(TypeError, match=f"{name} must be str"):
            ClientConnectionOptions(**missing)


def test_origins_of_a_server() -> None:
    assert ServerConnectionOptions(origins=["a", None]).origins == ("a", None)
    assert ServerConnectionOptions(origins=[]).origins == ()
    for wrong in ("http://a", b"a", [b"a"], [1]):
        with pytest.raises(TypeError, match="origins"):
            ServerConnectionOptions(origins=wrong)  # type: ignore[arg-type]


def test_auto_pong_becomes_a_bool() -> None:
    assert ServerConnectionOptions(auto_pong=0).auto_pong is False  # type: ignore[arg-type]


def test_none_in_place_of_options_means_the_defaults(ws: Any) -> None:
    assert ws.WebSocketServerConnection()._options == ws.ServerConnectionOptions()
    # All connections share the one object.
    assert ws.WebSocketServerConnection()._options is ws.WebSocketServerConnection()._options


def test_repr_shows_every_option() -> None:
    shown = repr(ClientConnectionOptions("example.com"))
    for name in CLIENT:
        assert f"{name}=" in shown
    assert "host='example.com'" in shown

"""Where masking keys and nonces come from (RFC 6455 sections 5.3 and 10.3)."""

from __future__ import annotations

import copy
import os
import pickle
from typing import Any

import pytest
from helpers import Side, connecting, new, read_frames, response

from websocket import RandomSource, SecureRandom


@pytest.mark.rule("R162")
def test_secure_random_gives_what_is_asked_for() -> None:
    source: RandomSource = SecureRandom()
    keys = {source.masking_key() for _ in range(100)}
    nonces = {source.nonce() for _ in range(100)}
    assert {(type(key), len(key)) for key in keys} == {(bytes, 4)}
    assert {(type(nonce), len(nonce)) for nonce in nonces} == {(bytes, 16)}
    assert len(nonces) == 100


@pytest.mark.rule("R162")
def test_secure_random_is_that_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"\x07" * size)
    assert SecureRandom().masking_key() == b"\x07" * 4
    assert SecureRandom().nonce() == b"\x07" * 16


@pytest.mark.rule("R4", "R162")
def test_keys_come_from_the_operating_system_in_small_batches(
    ws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return bytes(range(len(asked), len(asked) + size % 251)) + bytes(size - size % 251)

    monkeypatch.setattr(os, "urandom", urandom)
    side = Side(ws, ws.WebSocketClientConnection.established())
    # An idle connection has no need of any.
    assert asked == []
    for _ in range(100):
        side.connection.send_text("x")
    # What is drawn ahead is little: it must not be known long before it is used.
    assert 100 * 4 <= sum(asked) <= 100 * 4 + 1024
    (data,) = (output for output in side.raw() if isinstance(output, bytes))
    keys = b"".join(sent.key for sent in read_frames(data))
    drawn = b"".join(urandom_again(asked))
    assert keys == drawn[: len(keys)]


def urandom_again(asked: list[int]) -> list[bytes]:
    return [
        bytes(range(index, index + size % 251)) + bytes(size - size % 251)
        for index, size in enumerate(asked, 1)
    ]


@pytest.mark.rule("R162")
def test_connections_do_not_share_their_keys(ws: Any) -> None:
    sides = [Side(ws, ws.WebSocketClientConnection.established()) for _ in range(20)]
    keys = set()
    for side in sides:
        side.connection.send_text("x")
        data = b"".join(output for output in side.raw() if isinstance(output, bytes))
        keys.add(read_frames(data)[0].key)
    assert len(keys) >= 19


@pytest.mark.rule("R162", "R100")
def test_connect_that_is_tried_again_draws_another_nonce(ws: Any) -> None:
    class Random:
        nonces = iter([b"short", b"the sample nonce"])

        def nonce(self) -> bytes:
            return next(self.nonces)

        def masking_key(self) -> bytes:
            return b"1234"

    side = new(ws, "client", random=Random())
    with pytest.raises(ValueError, match="16 bytes"):
        side.connection.connect()
    side.connection.connect()
    assert side.feed(response())[-1] == ws.Connected(None, ())


@pytest.mark.rule("R162")
def test_subclass_of_the_protocol_is_a_source(ws: Any) -> None:
    class Random(ws.SecureRandom):  # type: ignore[misc]
        pass

    side = connecting(ws, "client", random=Random())
    assert side.state == "CONNECTING"


def keys_of(connection: Any, count: int) -> list[bytes]:
    """Return the masking keys of so many frames."""
    for _ in range(count):
        connection.send_text("x")
    data = b"".join(getattr(output, "data", b"") for output in connection.outputs())
    return [sent.key for sent in read_frames(data)]


@pytest.mark.rule("R162")
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_connection_cannot_be_copied_with_its_keys(ws: Any, copied: Any) -> None:
    connection = ws.WebSocketClientConnection.established()
    keys_of(connection, 1)
    with pytest.raises(TypeError, match="can be neither copied nor pickled"):
        copied(connection)

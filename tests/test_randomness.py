"""Where masking keys and nonces come from (RFC 6455 sections 5.3 and 10.3)."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path
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


# Unpredictable (RFC 6455 sections 4.1, 5.3 and 10.3)


def keys_of(connection: Any, count: int) -> list[bytes]:
    """Return the masking keys of so many frames."""
    for _ in range(count):
        connection.send_text("x")
    data = b"".join(getattr(output, "data", b"") for output in connection.outputs())
    return [sent.key for sent in read_frames(data)]


def nonce_of(ws: Any) -> bytes:
    connection = ws.WebSocketClientConnection(ws.ClientConnectionOptions())
    connection.connect()
    data = connection.poll_output().data
    return base64.b64decode(data.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0])


@pytest.mark.rule("R162", "R92")
def test_nonce_is_16_bytes_of_the_operating_system(
    ws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def urandom(size: int) -> bytes:
        asked.append(size)
        return bytes(range(100, 100 + size))

    monkeypatch.setattr(os, "urandom", urandom)
    assert nonce_of(ws) == bytes(range(100, 116))
    assert asked == [16]


@pytest.mark.rule("R162", "R4")
def test_every_bit_of_keys_and_nonces_varies(ws: Any) -> None:
    """Ten standard deviations: fair coins fall so far off once in 10**23 runs."""
    count = 2000
    keys = keys_of(ws.WebSocketClientConnection.established(), count)
    nonces = [nonce_of(ws) for _ in range(count)]
    # Two keys of 2,000 are the same in one run of 2,000; three pairs, never.
    assert len(set(keys)) >= count - 2
    assert len(set(nonces)) == count
    for values in (keys, nonces):
        for bit in range(8 * len(values[0])):
            ones = sum(value[bit // 8] >> bit % 8 & 1 for value in values)
            assert abs(ones - count / 2) < 10 * (count / 4) ** 0.5


@pytest.mark.rule("R162")
def test_the_module_random_has_no_part_in_it(ws: Any) -> None:
    drawn = set()
    for _ in range(2):
        random.seed(6455)
        state = random.getstate()
        drawn.add((nonce_of(ws), *keys_of(ws.WebSocketClientConnection.established(), 10)))
        assert random.getstate() == state
    assert len(drawn) == 2


def run(ws: Any, folder: Path, script: str) -> list[str]:
    """Return the lines that a process of its own prints, on the same backend."""
    process = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={**os.environ, "WEBSOCKET_BACKEND": ws.BACKEND, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (0, "")
    return process.stdout.split()


DRAW = """
import random
import websocket as ws

random.seed(6455)

def drawn(connection, count):
    "The keys of so many frames, and a nonce."
    keys = []
    for _ in range(count):
        connection.send_text("x")
        keys.append(connection.poll_output().data[2:6].hex())
    fresh = ws.WebSocketClientConnection(ws.ClientConnectionOptions())
    fresh.connect()
    return [*keys, fresh.poll_output().data.split(b"Sec-WebSocket-Key: ")[1][:24].hex()]

connection = ws.WebSocketClientConnection.established()
while connection.poll_output() is not None:
    pass
"""


@pytest.mark.rule("R162")
def test_processes_draw_keys_of_their_own(ws: Any, tmp_path: Path) -> None:
    """Even with every seed that can be set the same."""
    script = DRAW + "print(*drawn(connection, 10))"
    first, second = run(ws, tmp_path, script), run(ws, tmp_path, script)
    assert len(first) == len(second) == 11
    assert set(first).isdisjoint(second)


@pytest.mark.rule("R162", "R4")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("used", [0, 1, 32, 64])
def test_forked_child_does_not_repeat_the_keys_of_its_parent(
    ws: Any, tmp_path: Path, used: int
) -> None:
    """Whatever of the batch is used up; nor do two children draw the same."""
    script = f"""{DRAW}
import os, sys

if {used}:
    drawn(connection, {used})
children = []
for _ in range(2):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(drawn(connection, 64)).encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as stream:
        print(stream.read())
    assert os.waitpid(child, 0)[1] == 0
print(*drawn(connection, 64))
"""
    lines = run(ws, tmp_path, script)
    assert len(lines) == 3 * 65
    # 192 keys: two are the same by chance in one run of 200,000.
    assert len(set(lines)) >= 3 * 65 - 1


@pytest.mark.rule("R162")
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_connection_cannot_be_copied_with_its_keys(ws: Any, copied: Any) -> None:
    connection = ws.WebSocketClientConnection.established()
    keys_of(connection, 1)
    with pytest.raises(TypeError, match="can be neither copied nor pickled"):
        copied(connection)

"""The echo server as its users run it."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import struct
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import CERTIFICATE, DEADLINE, KEY, Commands, Finished, Peer, connect, finish

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    while True:
        piece = sock.recv(65536)
        if not piece:
            return data
        data += piece


def echo(peer: Peer, text: str) -> str:
    peer.connection.send_text(text)
    return peer.until(peer.ws.TextMessage).text


def reset(sock: socket.socket) -> None:
    """Close so that TCP resets the connection."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def test_it_says_where_it_listens_in_one_line(commands: Commands) -> None:
    with commands.server() as server:
        assert server.url == f"ws://127.0.0.1:{server.port}/"
        finished = server.stop()
    assert finished == Finished(0, "", "")


def test_text_comes_back_as_text_and_binary_as_binary(ws: ModuleType, commands: Commands) -> None:
    with commands.server() as server:
        peer = Peer.client(ws, server.port)
        for text in ("", "hello", "こんにちは、世界", "x" * 100_000):
            assert echo(peer, text) == text
        for data in (b"", bytes(range(256)), bytes(100_000)):
            peer.connection.send_binary(data)
            assert peer.until(ws.BinaryMessage).data == data
        peer.connection.send_text("in ", final=False)
        peer.connection.send_continuation("pieces")
        assert peer.until(ws.TextMessage).text == "in pieces"
        peer.connection.send_ping(b"?")
        assert peer.until(ws.Pong).payload == b"?"
        peer.connection.close(4000, "enough")
        assert peer.until(ws.Close) == ws.Close(4000, "")
        peer.end()
        log = server.stop().err
    assert [line.split(" ", 1)[1] for line in log.splitlines()] == [
        "connected",
        "closed: 4000 (private use): enough",
    ]


def test_what_a_client_says_forges_no_lines(ws: ModuleType, commands: Commands) -> None:
    with commands.server() as server:
        peer = Peer.client(ws, server.port)
        peer.connection.close(1000, "\x1b[2J\n127.0.0.1:1 connected")
        peer.until(ws.Close)
        peer.end()
        log = server.stop().err
    assert log.count("\n") == 2
    assert log.endswith("\\x1b[2J\\x0a127.0.0.1:1 connected\n")


def test_many_clients_at_once(ws: ModuleType, commands: Commands) -> None:
    with commands.server() as server:
        peers = [Peer.client(ws, server.port) for _ in range(50)]
        for number, peer in enumerate(peers):
            peer.connection.send_text(f"client {number}")
            peer.send()
        for number, peer in reversed(list(enumerate(peers))):
            assert peer.until(ws.TextMessage).text == f"client {number}"
        for peer in peers:
            peer.sock.close()


def test_a_client_that_fails_does_not_disturb_the_others(
    ws: ModuleType, commands: Commands
) -> None:
    with commands.server() as server:
        good = Peer.client(ws, server.port)
        with connect(server.port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert read_all(plain).startswith(b"HTTP/1.1 4")
        with connect(server.port) as garbage:
            garbage.sendall(b"\x16\x03\x01\r\n\r\n")
            assert read_all(garbage).startswith(b"HTTP/1.1 400 ")
        bad = Peer.client(ws, server.port)
        bad.sock.sendall(b"\x83\x80\x00\x00\x00\x00")
        assert bad.until(ws.Close).code == 1002
        bad.end()
        lost = Peer.client(ws, server.port)
        lost.sock.close()
        gone = Peer.client(ws, server.port)
        reset(gone.sock)
        reset(connect(server.port))
        connect(server.port).close()
        assert echo(good, "still here?") == "still here?"
        good.connection.close()
        good.until(ws.Close)
        good.end()
        log = server.stop().err
    assert "Traceback" not in log
    assert "opcode 0x3 is not defined" in log
    assert "the stream ended without a Close frame" in log
    assert all(line.startswith("127.0.0.1:") for line in log.splitlines())


@pytest.mark.rule("1.1 CloseConnection")
def test_the_close_frame_reaches_a_client_that_goes_on_sending(
    ws: ModuleType, commands: Commands
) -> None:
    with commands.server() as server:
        peer = Peer.client(ws, server.port)
        # A server that closed at once, with all this unread, would make TCP reset the connection.
        peer.sock.sendall(b"\x83\x80\x00\x00\x00\x00" + bytes(1_000_000))
        assert peer.until(ws.Close).code == 1002
        peer.end()


def test_a_request_that_comes_in_pieces(commands: Commands) -> None:
    with commands.server() as server, connect(server.port) as sock:
        for octet in REQUEST:
            sock.sendall(bytes([octet]))
        assert sock.recv(65536).startswith(b"HTTP/1.1 101 ")


# Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_all_connections_with_1001(
    ws: ModuleType, commands: Commands, number: int
) -> None:
    with commands.server() as server:
        peers = [Peer.client(ws, server.port) for _ in range(3)]
        half_open = connect(server.port)
        half_open.sendall(REQUEST[:20])
        # It is there once another connection, made later, is served.
        peers.append(Peer.client(ws, server.port))
        server.process.send_signal(number)
        for peer in peers:
            assert peer.until(ws.Close) == ws.Close(1001, "")
            peer.end()
        half_open.close()
        finished = finish(server.process)
    assert finished.status == 0
    assert finished.err.count(": 1001 (going away)\n") == len(peers)
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_messages_on_their_way_do_not_disturb_the_end(ws: ModuleType, commands: Commands) -> None:
    with commands.server() as server:
        peer = Peer.client(ws, server.port)
        server.process.send_signal(signal.SIGTERM)
        # Sent before the Close frame is seen; it cannot be answered any more.
        peer.connection.send_text("wait!")
        peer.connection.send_binary(b"wait!")
        peer.send()
        assert peer.until(ws.Close) == ws.Close(1001, "")
        peer.end()
        finished = finish(server.process)
    assert finished.status == 0
    assert "Traceback" not in finished.err


def test_a_second_signal_does_not_wait_for_the_clients(ws: ModuleType, commands: Commands) -> None:
    with commands.server() as server:
        peer = Peer.client(ws, server.port)
        server.process.send_signal(signal.SIGTERM)
        assert peer.sock.recv(4) == b"\x88\x02\x03\xe9"
        server.process.send_signal(signal.SIGTERM)
        finished = finish(server.process)
        peer.sock.close()
    assert finished.status == 130
    assert finished.err.splitlines()[-1] == "error: interrupted"
    assert "Traceback" not in finished.err


def test_a_client_that_does_not_agree_is_not_waited_for_for_ever(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = partial(ws.ServerConnectionOptions, close_timeout=0.05)
    monkeypatch.setattr(ws.cli.server, "ServerConnectionOptions", options)

    async def scenario() -> bytes:
        server = ws.cli.server.EchoServer(lambda words: None, ws.ServerConnectionOptions())
        await server.start("127.0.0.1", 0)
        port = int(server.urls[0].rstrip("/").rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        await server.stop()
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    asyncio.run(asyncio.wait_for(scenario(), DEADLINE))


def test_it_can_stop_without_having_started(ws: ModuleType) -> None:
    async def scenario() -> None:
        await ws.cli.server.EchoServer(print, ws.ServerConnectionOptions()).stop()

    asyncio.run(scenario())


# What cannot work


def assert_one_error(finished: Finished, status: int, *words: str) -> None:
    assert finished.out == ""
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1
    for word in words:
        assert word in finished.err
    assert finished.status == status


def test_a_port_in_use(commands: Commands) -> None:
    with commands.server() as server:
        finished = commands.run("server", "-p", str(server.port))
    assert_one_error(
        finished, 1, f"cannot listen on '127.0.0.1', port {server.port}: Address already in use"
    )


def test_an_address_that_is_not_ours(commands: Commands) -> None:
    finished = commands.run("server", "--host", "192.0.2.1", "-p", "0")
    assert_one_error(finished, 1, "cannot listen on '192.0.2.1', port 0: ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--tls"], 2, "--tls needs --cert and --key"),
        (["--tls", "--cert", CERTIFICATE], 2, "--tls needs --cert and --key"),
        (["--tls", "--key", KEY], 2, "--tls needs --cert and --key"),
        (["--cert", CERTIFICATE, "--key", KEY], 2, "--cert and --key are for --tls"),
        (["--tls", "--cert", "no-such-file", "--key", KEY], 1, "'no-such-file' cannot be read: No"),
        (["--tls", "--cert", CERTIFICATE, "--key", "gone"], 1, "'gone' cannot be read: No such"),
        (["--tls", "--cert", KEY, "--key", KEY], 1, "are no certificate chain and its private key"),
        (["--tls", "--cert", CERTIFICATE, "--key", CERTIFICATE], 1, "are no certificate chain"),
    ],
)
def test_certificates_that_cannot_serve(
    ws: ModuleType,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    words: str,
) -> None:
    got = ws.cli.main(["server", "-p", "0", *arguments])
    assert_one_error(Finished(got, *capfd.readouterr()), status, words)


@pytest.mark.parametrize("port", ["-1", "65536", "http", "+80", "8_0", "８０"])
def test_a_port_that_is_none(ws: ModuleType, capsys: pytest.CaptureFixture[str], port: str) -> None:
    with pytest.raises(SystemExit) as caught:
        ws.cli.main(["server", f"--port={port}"])
    assert caught.value.code == 2
    assert f"the port must be from 0 to 65535, not {port!r}" in capsys.readouterr().err


def test_an_output_that_is_closed(ws: ModuleType, commands: Commands) -> None:
    process = commands.start("server", "-p", "0")
    process.stdout.close()
    error = process.stderr.read().decode()
    assert process.wait(DEADLINE) == 1
    assert error.startswith("error: standard output is gone: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("127.0.0.1", 8080, False)),
        (["--tls", "--cert", CERTIFICATE, "--key", KEY], ("127.0.0.1", 8443, True)),
        (["--host", "::1", "-p", "1"], ("::1", 1, False)),
    ],
)
def test_where_it_listens_unless_told_otherwise(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: Any
) -> None:
    served = []

    async def serve(host: str, port: int, tls: ssl.SSLContext | None, options: Any) -> None:
        assert options.deflate == ws.PerMessageDeflateConfig()
        served.append((host, port, tls is not None))

    monkeypatch.setattr(ws.cli.server, "_serve", serve)
    assert ws.cli.main(["server", *arguments]) == 0
    assert served == [expected]


def test_what_goes_wrong_in_the_loop_is_one_line(
    ws: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    async def scenario(debug: bool) -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(debug)
        ws.cli.console.quiet_loop()
        loop.call_exception_handler({"message": "no more sockets", "exception": OSError("full")})
        loop.call_exception_handler({"message": "strange"})

    asyncio.run(scenario(False))
    assert capfd.readouterr().err == "error: no more sockets: OSError: full\nerror: strange\n"
    asyncio.run(scenario(True))
    assert "error: " not in capfd.readouterr().err


def test_the_key_is_no_secret() -> None:
    assert "protects nothing" in Path(CERTIFICATE).with_name("README.md").read_text()

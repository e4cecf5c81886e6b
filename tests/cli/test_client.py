"""The client as its users run it."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from commands import (
    CERTIFICATE,
    DEADLINE,
    KEY,
    Commands,
    Finished,
    accept,
    finish,
    free_port,
    one_visitor,
)

try:
    import pty
except ImportError:
    pty = None

LINES = "hello\nこんにちは、世界\n"
TLS = ("--tls", "--cert", CERTIFICATE, "--key", KEY)


def assert_one_error(finished: Finished, status: int, *words: str) -> None:
    """Nothing on standard output, and on standard error one line that holds the words."""
    assert finished.out == ""
    assert finished.err.startswith("error: ")
    assert finished.err.count("\n") == 1
    for word in words:
        assert word in finished.err
    assert finished.status == status


def swallow(sock: socket.socket) -> None:
    """Read until the other side is gone."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass


# Pipes


def test_lines_come_back_from_an_echo_server(commands: Commands) -> None:
    with commands.server() as server:
        finished = commands.run("client", server.url, stdin=LINES.encode())
    assert finished.out == LINES
    assert finished.status == 0
    assert finished.err == (
        "connected, subprotocol: none, "
        "extensions: permessage-deflate; client_max_window_bits=15\n"
        "closed with 1000 (normal closure)\n"
    )


@pytest.mark.parametrize("side", ["client", "server"])
def test_either_side_can_do_without_compression(commands: Commands, side: str) -> None:
    switches = {"client": (), "server": (), side: ("--no-compression",)}
    with commands.server(*switches["server"]) as server:
        finished = commands.run("client", server.url, *switches["client"], stdin=LINES.encode())
    assert finished.out == LINES
    assert finished.err.startswith("connected, subprotocol: none, extensions: none\n")


def test_without_a_url_it_speaks_to_a_server_of_its_own(commands: Commands) -> None:
    finished = commands.run("client", stdin=LINES.encode())
    assert finished.out == LINES
    assert finished.status == 0
    assert finished.err.startswith("no URL given: started an echo server at ws://127.0.0.1:")


def test_the_scheme_may_be_written_in_capitals(commands: Commands) -> None:
    with commands.server() as server:
        finished = commands.run("client", server.url.replace("ws", "WS"), stdin=b"hello\n")
    assert finished == Finished(0, "hello\n", finished.err)


def test_lines_are_messages_whatever_ends_them(commands: Commands) -> None:
    finished = commands.run("client", stdin=b"unix\nwindows\r\n\nlone \r inside\nno end")
    assert finished.out == "unix\nwindows\n\nlone \r inside\nno end\n"
    assert finished.status == 0


def test_nothing_to_send_is_a_normal_close(commands: Commands) -> None:
    finished = commands.run("client", stdin=b"")
    assert finished.out == ""
    assert finished.status == 0


def test_standard_input_may_be_a_file(commands: Commands) -> None:
    path = commands.folder / "lines"
    path.write_text(LINES, encoding="utf-8")
    with path.open("rb") as lines:
        finished = finish(commands.start("client", stdin=lines))
    assert finished.out == LINES
    assert finished.status == 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no sh")
def test_standard_input_may_be_closed(commands: Commands) -> None:
    command = f"exec '{sys.executable}' -m websocket client <&-"
    finished = subprocess.run(
        command,
        shell=True,
        cwd=commands.folder,
        env=commands.environment,
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0


def test_much_input_neither_blocks_nor_gets_lost(commands: Commands) -> None:
    lines = "".join(f"{number} {'x' * 1000}\n" for number in range(5000))
    finished = commands.run("client", stdin=lines.encode())
    assert finished.out == lines
    assert finished.status == 0


def test_a_line_that_is_not_utf8_is_an_error_and_closes_normally(commands: Commands) -> None:
    with commands.server() as server:
        finished = commands.run("client", server.url, stdin=b"first\nsecond \xff\nthird\n")
        log = server.stop().err
    assert finished.status == 1
    assert finished.err.splitlines()[-1] == (
        "error: line 2 of standard input: text is not UTF-8: no character begins with 0xff"
    )
    assert "closed: 1000 (normal closure)" in log


def test_after_the_end_of_a_pipe_it_does_not_wait_for_answers_for_ever(
    ws: ModuleType, commands: Commands
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        assert peer.until(ws.TextMessage).text == "hello"
        assert peer.until(ws.Close) == ws.Close(1000, "")
        peer.end()

    with one_visitor(serve) as port:
        finished = commands.run(
            "client", "--wait", "0.01", f"ws://127.0.0.1:{port}", stdin=b"hello\n"
        )
    assert finished.status == 0
    assert "0 messages came for the 1 sent" in finished.err


def test_sigint_and_sigterm_close_normally(ws: ModuleType, commands: Commands) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.send_text("are you there?")
        peer.send()
        assert peer.until(ws.Close) == ws.Close(1000, "")
        peer.end()

    for number in (signal.SIGINT, signal.SIGTERM):
        with one_visitor(serve) as port:
            process = commands.start("client", f"ws://127.0.0.1:{port}")
            assert process.stdout.readline() == b"are you there?\n"
            process.send_signal(number)
            # Its standard input is still open.
            assert process.wait(DEADLINE) == 0


def test_a_second_signal_does_not_wait_for_the_server(ws: ModuleType, commands: Commands) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.send_text("are you there?")
        peer.send()
        while sock.recv(1):  # the Close frame, which is not answered
            if process[0].poll() is None:
                process[0].send_signal(signal.SIGINT)

    process: list[subprocess.Popen[bytes]] = []
    with one_visitor(serve) as port:
        process.append(commands.start("client", f"ws://127.0.0.1:{port}"))
        assert process[0].stdout.readline() == b"are you there?\n"
        process[0].send_signal(signal.SIGINT)
        finished = finish(process[0])
    assert finished.status == 130
    assert finished.err.splitlines()[-1] == "error: interrupted"


def test_an_output_that_nobody_reads_any_more_is_one_line(
    ws: ModuleType, commands: Commands
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.send_text("first")
        peer.send()
        assert peer.until(ws.TextMessage).text == "go on"
        peer.connection.send_text("second")
        peer.send()
        assert peer.until(ws.Close) == ws.Close(1000, "")
        peer.end()

    with one_visitor(serve) as port:
        process = commands.start("client", f"ws://127.0.0.1:{port}")
        assert process.stdout.readline() == b"first\n"
        process.stdout.close()
        process.stdin.write(b"go on\n")
        process.stdin.flush()
        assert process.wait(DEADLINE) == 1
        error = process.stderr.read().decode()
    assert error.splitlines()[-1].startswith("error: standard output is gone: ")
    assert "Traceback" not in error
    assert "Exception" not in error


def test_a_standard_input_that_cannot_be_read(commands: Commands) -> None:
    with (commands.folder / "written").open("wb") as only_written:
        finished = finish(commands.start("client", stdin=only_written))
    assert finished.status == 1
    assert finished.err.splitlines()[-1].startswith("error: standard input cannot be read: ")


def test_input_that_nobody_asks_for_any_more_is_dropped(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def begin() -> None:
        ws.cli.console.StandardInput()

    def read(descriptor: int, size: int) -> bytes:
        over.wait(DEADLINE)
        return b"too late\n"

    over = threading.Event()
    monkeypatch.setattr(os, "read", read)
    with open(os.devnull, encoding="ascii") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        asyncio.run(begin())
        (thread,) = (one for one in threading.enumerate() if one.name == "standard input")
        over.set()
        thread.join(DEADLINE)
    assert not thread.is_alive()


def test_no_port_for_a_server_of_its_own(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def start(*arguments: object) -> None:
        raise OSError(errno.ENOBUFS, "no")

    monkeypatch.setattr(ws.cli.server.EchoServer, "start", start)
    status = ws.cli.main(["client"])
    assert_one_error(Finished(status, *capfd.readouterr()), 1, "cannot listen on 127.0.0.1: No buf")


# What comes


def test_what_it_asks_for(ws: ModuleType, commands: Commands) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        request = peer.connection.handshake_request
        assert request.path == "/a/b?c=d&e"
        assert request.host == f"localhost:{port}"
        assert request.origin is None
        assert request.extensions == ("permessage-deflate; client_max_window_bits",)
        peer.until(ws.Close)
        peer.end()

    with one_visitor(serve) as port:
        finished = commands.run("client", f"ws://localhost:{port}/a/b?c=d&e")
    assert finished.status == 0


def test_binary_messages_are_shown_as_bytes(ws: ModuleType, commands: Commands) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.send_binary(b"\x00\x01\xff")
        peer.connection.send_binary(b"")
        peer.connection.send_binary(bytes(100))
        peer.connection.close()
        peer.send()
        peer.until(ws.Close)
        peer.end()

    with one_visitor(serve) as port:
        finished = commands.run("client", f"ws://127.0.0.1:{port}")
    assert finished.out.splitlines() == [
        "<binary message of 3 bytes: 00 01 ff>",
        "<empty binary message>",
        f"<binary message of 100 bytes: {'00 ' * 32}...>",
    ]


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (1000, "", "1000 (normal closure)"),
        (1001, "so long", "1001 (going away): so long"),
        (None, "", "without a code"),
    ],
)
def test_a_normal_close_by_the_server_is_status_0(
    ws: ModuleType, commands: Commands, code: int | None, reason: str, words: str
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.close(code, reason)
        peer.send()
        peer.until(ws.Close)
        peer.end()

    with one_visitor(serve) as port:
        process = commands.start("client", f"ws://127.0.0.1:{port}")
        # Standard input stays open: the server ends it.
        assert process.wait(DEADLINE) == 0
        assert words in process.stderr.read().decode()


def test_another_close_code_is_an_error_and_its_reason_forges_no_lines(
    ws: ModuleType, commands: Commands
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.close(1011, "broken\nerror: \x1b[2Jfake")
        peer.send()
        peer.until(ws.Close)
        peer.end()

    with one_visitor(serve) as port:
        finished = commands.run("client", f"ws://127.0.0.1:{port}")
    assert finished.status == 1
    _, error = finished.err.splitlines()
    assert error == (
        f"error: '127.0.0.1', port {port}: the server closed with "
        "1011 (internal error): broken\\x0aerror: \\x1b[2Jfake"
    )


def test_a_server_that_goes_without_a_word_is_an_error(ws: ModuleType, commands: Commands) -> None:
    with one_visitor(lambda sock: accept(ws, sock).end()) as port:
        finished = commands.run("client", f"ws://127.0.0.1:{port}")
    assert finished.status == 1
    assert finished.err.splitlines()[1:] == [
        f"error: '127.0.0.1', port {port}: the stream ended without a Close frame"
    ]


def test_a_server_that_breaks_the_protocol_is_told_and_is_an_error(
    ws: ModuleType, commands: Commands
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        sock.sendall(b"\x83\x00")
        assert peer.until(ws.Close).code == 1002
        peer.end()

    with one_visitor(serve) as port:
        finished = commands.run("client", f"ws://127.0.0.1:{port}")
    assert finished.status == 1
    assert "opcode 0x3 is not defined" in finished.err.splitlines()[-1]


# TLS


def test_tls_with_insecure_takes_any_certificate(commands: Commands) -> None:
    with commands.server(*TLS) as server:
        assert server.url.startswith("wss://")
        finished = commands.run("client", server.url, "--insecure", stdin=LINES.encode())
    assert finished.out == LINES
    assert finished.status == 0


def test_tls_refuses_a_certificate_that_is_not_trusted(commands: Commands) -> None:
    with commands.server(*TLS) as server:
        finished = commands.run("client", server.url, stdin=LINES.encode())
    assert_one_error(finished, 1, "certificate", "is not trusted", "--insecure")


@pytest.mark.skipif(sys.platform != "linux", reason="127.0.0.2 may lead nowhere")
def test_tls_takes_a_trusted_certificate_for_its_names_only(commands: Commands) -> None:
    commands.environment["SSL_CERT_FILE"] = CERTIFICATE
    with commands.server("--host", "0.0.0.0", *TLS) as server:
        finished = commands.run("client", f"wss://127.0.0.1:{server.port}", stdin=LINES.encode())
        # 127.0.0.2 leads to this machine as well, but the certificate does not name it.
        other = commands.run("client", f"wss://127.0.0.2:{server.port}", stdin=b"hello\n")
    assert finished.out == LINES
    assert finished.status == 0
    assert_one_error(other, 1, "certificate", "127.0.0.2")


def test_a_plain_server_is_no_tls_server(commands: Commands) -> None:
    with commands.server() as server:
        finished = commands.run("client", f"wss://127.0.0.1:{server.port}", stdin=b"hello\n")
    assert_one_error(finished, 1, "no TLS with '127.0.0.1'", "ws://")


def test_a_tls_server_is_no_plain_server(commands: Commands) -> None:
    with commands.server(*TLS) as server:
        finished = commands.run("client", f"ws://127.0.0.1:{server.port}", stdin=b"hello\n")
    assert_one_error(finished, 1, f"'127.0.0.1', port {server.port}: ")


# What cannot work


def test_nobody_listens(commands: Commands) -> None:
    finished = commands.run("client", f"ws://127.0.0.1:{free_port()}", stdin=b"hello\n")
    assert_one_error(finished, 1, "cannot connect to '127.0.0.1', port", "refused")


def test_another_answer_than_101_is_shown(commands: Commands) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 404 Not Here\r\nContent-Length: 2\r\n\r\nno")
        swallow(sock)

    with one_visitor(serve) as port:
        finished = commands.run("client", f"ws://127.0.0.1:{port}", stdin=b"hello\n")
    assert_one_error(finished, 1, "'404 Not Here'")


@pytest.mark.parametrize("host", ["a" * 64 + ".invalid", "a..invalid"])
def test_a_host_name_that_cannot_be_asked_for(commands: Commands, host: str) -> None:
    finished = commands.run("client", f"ws://{host}/")
    assert_one_error(finished, 2, f"bad URL: {host!r} is no host name")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is empty"),
        ("ws", "begins neither"),
        ("localhost:8080", "begins neither with ws:// nor with wss://"),
        ("http://localhost/", "begins neither"),
        ("ws:localhost", "the host is missing"),
        ("ws://", "the host is missing"),
        ("ws:///chat", "the host is missing"),
        ("ws://:8080/", "the host is missing"),
        ("ws://user@localhost/", "user name"),
        ("ws://user:secret@localhost/", "user name"),
        ("ws://localhost/#", "fragment"),
        ("ws://localhost/chat#there", "fragment"),
        ("ws://localhost:0/", "from 1 to 65535"),
        ("ws://localhost:65536/", "from 1 to 65535"),
        ("ws://localhost:http/", "not a host"),
        ("ws://localhost:+80/", "not a host"),
        ("ws://localhost:-80/", "not a host"),
        ("ws://::1/", "not a host"),
        ("ws://[::1/", "IPv6"),
        ("ws://[::1]x/", "not a host"),
        ("ws://[localhost]/", "IPv6"),
        ("ws://[fe80::1%25eth0]/", "not a host"),
        ("ws://local%68ost/", "not a host"),
        ("ws://local host/", "spaces"),
        ("ws://localhost/a b", "spaces"),
        ("ws://localhost/\n", "control characters"),
        ("ws://localhost/日本", "outside of ASCII"),
        ("ws://localhost/<>", "what a URI may not"),
        ("ws://local<host/", "not a name or an address"),
    ],
)
def test_a_bad_url_is_status_2_and_one_line(
    ws: ModuleType, capfd: pytest.CaptureFixture[str], url: str, words: str
) -> None:
    status = ws.cli.main(["client", url])
    assert_one_error(Finished(status, *capfd.readouterr()), 2, "bad URL", words)


@pytest.mark.parametrize(
    ("url", "secure", "host", "port", "authority", "path"),
    [
        ("ws://example.com", False, "example.com", 80, "example.com", "/"),
        ("wss://example.com", True, "example.com", 443, "example.com", "/"),
        ("WSS://Example.com/", True, "Example.com", 443, "Example.com", "/"),
        ("ws://example.com:80/", False, "example.com", 80, "example.com", "/"),
        ("ws://example.com:/", False, "example.com", 80, "example.com", "/"),
        ("wss://example.com:80/", True, "example.com", 80, "example.com:80", "/"),
        ("ws://h:8080?a=b", False, "h", 8080, "h:8080", "/?a=b"),
        ("ws://h/a/%20?b=%23&c", False, "h", 80, "h", "/a/%20?b=%23&c"),
        ("ws://127.0.0.1:1/", False, "127.0.0.1", 1, "127.0.0.1:1", "/"),
        ("ws://[::1]/", False, "::1", 80, "[::1]", "/"),
        ("wss://[2001:db8::1]:8443/x", True, "2001:db8::1", 8443, "[2001:db8::1]:8443", "/x"),
    ],
)
def test_what_a_url_says(
    ws: ModuleType, url: str, secure: bool, host: str, port: int, authority: str, path: str
) -> None:
    assert ws.cli.target.Target.parse(url) == (secure, host, port, authority, path)


@pytest.mark.parametrize("arguments", [["--insecure"], ["--insecure", "ws://localhost/"]])
def test_insecure_needs_tls(
    ws: ModuleType, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    status = ws.cli.main(["client", *arguments])
    assert_one_error(Finished(status, *capfd.readouterr()), 2, "--insecure", "wss://")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_wait_is_a_number_of_seconds(
    ws: ModuleType, capsys: pytest.CaptureFixture[str], seconds: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        ws.cli.main(["client", f"--wait={seconds}"])
    assert caught.value.code == 2
    assert "must be seconds" in capsys.readouterr().err


# In this process: what has to be arranged


def fails(ws: ModuleType, url: str, insecure: bool = False) -> Any:
    """Return the error with which a conversation ends."""
    client = ws.cli.client
    with pytest.raises(ws.cli.console.CommandError) as caught:
        asyncio.run(client._talk(ws.cli.target.Target.parse(url), None, insecure, 1.0))
    return caught.value


def test_an_unknown_name(ws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*arguments: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = fails(ws, "ws://no-such-host.invalid/")
    assert str(error) == "cannot find 'no-such-host.invalid': Name or service not known"
    assert error.status == 1


def test_the_next_address_is_tried(ws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[int] = []
    original = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host != "two-addresses.invalid":
            return original(host, port, *arguments, **options)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        # Nobody listens at the first one.
        return [(*kind, ("127.0.0.2", port)), (*kind, ("127.0.0.1", port))]

    def serve(sock: socket.socket) -> None:
        ports.append(sock.getsockname()[1])

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with one_visitor(serve) as port:
        fails(ws, f"ws://two-addresses.invalid:{port}/")
    assert ports == [port]


def set_options(ws: ModuleType, monkeypatch: pytest.MonkeyPatch, **options: float) -> None:
    """Have the client use other options than the default ones."""
    changed = partial(ws.ClientConnectionOptions, **options)
    monkeypatch.setattr(ws.cli.client, "ClientConnectionOptions", changed)


def test_a_server_that_does_not_answer_the_handshake(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(ws, monkeypatch, open_timeout=0.1)
    # The transport may take its time.
    monkeypatch.setattr(ws.cli.client.Client, "open", ws.cli.client.Client._open)
    with one_visitor(swallow) as port:
        error = fails(ws, f"ws://127.0.0.1:{port}/")
    assert "was not over within open_timeout" in str(error)
    assert error.status == 1


def test_a_server_that_does_not_answer_in_tls(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_options(ws, monkeypatch, open_timeout=0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        error = fails(ws, f"wss://127.0.0.1:{port}/", insecure=True)
    assert str(error) == f"no connection to '127.0.0.1', port {port} within 0.1 seconds"


def test_the_tls_handshake_has_a_deadline_of_its_own(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws.cli.client, "_TLS_TIMEOUT", 0.1)
    with one_visitor(swallow) as port:
        error = fails(ws, f"wss://127.0.0.1:{port}/")
    assert "SSL handshake is taking longer" in str(error)


def test_a_server_that_does_not_answer_a_close(
    ws: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(sock: socket.socket) -> None:
        accept(ws, sock)
        swallow(sock)

    set_options(ws, monkeypatch, close_timeout=0.1)
    monkeypatch.setattr(sys, "stdin", None)
    with one_visitor(serve) as port:
        error = fails(ws, f"ws://127.0.0.1:{port}/")
    assert "the Close frame was not answered" in str(error)


def test_an_interruption_while_connecting(ws: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(sock: socket.socket) -> None:
        sock.recv(1)
        # In this process SIGINT is the client's for as long as it speaks.
        os.kill(os.getpid(), signal.SIGINT)
        swallow(sock)

    for scheme in ("ws", "wss"):
        with one_visitor(serve) as port:
            error = fails(ws, f"{scheme}://127.0.0.1:{port}/")
        assert str(error) == f"interrupted while connecting to '127.0.0.1', port {port}"
        assert error.status == 130


# Terminals


class Terminal:
    """A client on a terminal."""

    def __init__(self, commands: Commands, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        self.process = commands.start(
            "client", *arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, text: str) -> None:
        while text.encode() not in self.seen:
            self.seen += os.read(self.master, 4096)

    def close(self) -> None:
        os.close(self.master)


@pytest.mark.skipif(pty is None, reason="there are no pseudo-terminals")
def test_on_a_terminal_lines_go_out_as_they_are_typed(commands: Commands) -> None:
    terminal = Terminal(commands)
    try:
        terminal.until("Ctrl-D closes the connection\r\n")
        for text in ("hello", "世界"):
            terminal.type(f"{text}\n")
            terminal.until(f"{text}\r\n{text}\r\n")  # what is typed is shown too
        terminal.type("\x04")
        terminal.until("closed with 1000 (normal closure)\r\n")
        assert terminal.process.wait(DEADLINE) == 0
    finally:
        terminal.close()


@pytest.mark.skipif(pty is None, reason="there are no pseudo-terminals")
def test_a_terminal_gets_no_control_characters_of_the_server(
    ws: ModuleType, commands: Commands
) -> None:
    def serve(sock: socket.socket) -> None:
        peer = accept(ws, sock)
        peer.connection.send_text("\x1b[2J\tclear\nscreen\r\x9b\x00")
        peer.connection.close()
        peer.send()
        peer.until(ws.Close)
        peer.end()

    with one_visitor(serve) as port:
        terminal = Terminal(commands, f"ws://127.0.0.1:{port}")
        try:
            terminal.until("\\x1b[2J\tclear\r\nscreen\\x0d\\x9b\\x00\r\n")
            assert terminal.process.wait(DEADLINE) == 0
        finally:
            terminal.close()


def test_in_a_pipe_text_is_left_as_it_is(commands: Commands) -> None:
    finished = commands.run("client", stdin="\x1b[2J\x9b".encode())
    assert finished.out == "\x1b[2J\x9b\n"


def test_output_is_utf8_in_every_locale(commands: Commands) -> None:
    commands.environment.update(LC_ALL="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    finished = commands.run("client", stdin=LINES.encode())
    assert finished.out == LINES
    assert finished.status == 0

"""The commands as processes, and peers of ours for them to speak to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple

DEADLINE = 60.0
"""Seconds after which a test fails instead of waiting on; nothing is ever expected to take long."""

CERTIFICATES = Path(__file__).parent / "certificates"
CERTIFICATE = str(CERTIFICATES / "localhost.pem")
KEY = str(CERTIFICATES / "localhost.key")


class Finished(NamedTuple):
    """What is left of a process."""

    status: int
    out: str
    err: str


class Commands:
    """Runs ``python -m websocket`` on one backend, in a directory that is not the repository."""

    def __init__(self, backend: str, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "WEBSOCKET_BACKEND": backend}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        return self.python("-m", "websocket", *arguments, **options)

    def python(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            **{
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **options,
            },
        )
        self._processes.append(process)
        return process

    def run(self, *arguments: str, stdin: bytes = b"", **options: Any) -> Finished:
        """Run one to its end."""
        return finish(self.start(*arguments, **options), stdin)

    @contextmanager
    def server(self, *arguments: str) -> Iterator[Server]:
        """Run a server on a free port, and stop it if that was not done."""
        process = self.start("server", "--port", "0", *arguments)
        line = process.stdout.readline().decode()
        assert line.startswith("listening on "), (line, finish(process))
        server = Server(process, line.split()[-1])
        try:
            yield server
        finally:
            if process.poll() is None and not process.stdout.closed:
                server.stop()

    def stop_all(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            # Closes its pipes too.
            process.__exit__(None, None, None)


class Server:
    """A server that runs, and where."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.process = process
        self.url = url
        self.port = int(url.rstrip("/").rpartition(":")[2])

    def stop(self, number: int = signal.SIGTERM) -> Finished:
        self.process.send_signal(number)
        return finish(self.process)


def finish(process: subprocess.Popen[bytes], stdin: bytes = b"") -> Finished:
    out, err = process.communicate(stdin, timeout=DEADLINE)
    return Finished(process.returncode, (out or b"").decode(), (err or b"").decode())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)


class Peer:
    """A connection over a blocking socket, for which no timers are kept."""

    def __init__(self, ws: Any, sock: socket.socket, connection: Any) -> None:
        self.ws = ws
        self.sock = sock
        self.connection = connection

    @classmethod
    def client(cls, ws: Any, port: int, **options: Any) -> Peer:
        """Connect, and have the handshake done."""
        connection = ws.WebSocketClientConnection(
            ws.ClientConnectionOptions(f"127.0.0.1:{port}", **options)
        )
        connection.connect()
        peer = cls(ws, connect(port), connection)
        peer.until(ws.Connected)
        return peer

    def send(self) -> None:
        for output in self.connection.outputs():
            if isinstance(output, self.ws.SendData):
                self.sock.sendall(output.data)

    def until(self, kind: type) -> Any:
        """Return the next event of that kind; there must be one."""
        while True:
            for event in self.connection.events():
                if isinstance(event, kind):
                    return event
                if event == self.ws.StateChanged(self.ws.ConnectionState.CLOSED):
                    raise AssertionError(f"the connection was over before {kind.__name__}")
            self.send()
            data = self.sock.recv(65536)
            if data:
                self.connection.feed_recv_buf(data)
            else:
                self.connection.feed_eof()

    def end(self) -> None:
        """Send what is left, and wait for the other side to end the stream."""
        self.send()
        self.sock.shutdown(socket.SHUT_WR)
        while self.sock.recv(65536):
            pass
        self.sock.close()


@contextmanager
def one_visitor(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Serve one connection in a thread by a function; the port is yielded."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(DEADLINE)
        problems: list[BaseException] = []

        def run() -> None:
            try:
                sock, _ = listening.accept()
                sock.settimeout(DEADLINE)
                with sock:
                    serve(sock)
            except BaseException as problem:
                problems.append(problem)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            thread.join(DEADLINE)
        assert not thread.is_alive()
        if problems:
            raise problems[0]


def accept(ws: Any, sock: socket.socket) -> Peer:
    """Have the opening handshake done on the side of a server."""
    peer = Peer(ws, sock, ws.WebSocketServerConnection())
    peer.until(ws.HandshakeRequested)
    peer.connection.accept_handshake()
    peer.until(ws.Connected)
    peer.send()
    return peer

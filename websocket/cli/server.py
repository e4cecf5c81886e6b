"""``python -m websocket server``: sends back whatever it is sent."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Callable

from ..close_codes import CloseCode
from ..events import (
    BinaryMessage,
    Close,
    Connected,
    Event,
    Failed,
    HandshakeRequested,
    StateChanged,
    TextMessage,
)
from ..options import ServerConnectionOptions
from ..server import WebSocketServerConnection
from ..states import ConnectionState
from .console import (
    CommandError,
    add_no_compression,
    deflate_of,
    note,
    quiet_loop,
    reason_of,
    stop_signals,
)
from .transport import ConnectionProtocol, format_address

__all__ = ["EchoServer", "add_parser"]

_PORT = 8080
_PORT_TLS = 8443
_DESCRIPTION = """\
Run an echo server: it sends every message back, text as text and binary as binary, and tells of
connections on standard error. It asks nobody who they are: keep it on a loopback address.

SIGINT and SIGTERM close all connections with 1001 (going away), wait a few seconds for the clients
to agree, and end the server with exit status 0. A second signal ends it at once.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the arguments of this command."""
    parser = commands.add_parser(
        "server",
        help="run an echo server",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "-p",
        "--port",
        type=_port,
        help=f"port to listen on ({_PORT}, with --tls {_PORT_TLS}); 0 takes a free one",
    )
    parser.add_argument("--tls", action="store_true", help="serve wss:// instead of ws://")
    parser.add_argument("--cert", metavar="FILE", help="certificate chain for --tls, PEM")
    parser.add_argument("--key", metavar="FILE", help="private key for --tls, PEM")
    add_no_compression(parser)
    parser.set_defaults(run=_run)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 0xFFFF):
        raise argparse.ArgumentTypeError(f"the port must be from 0 to 65535, not {text!r}")
    return int(text)


def _run(arguments: argparse.Namespace) -> None:
    tls = None
    if arguments.tls:
        if not arguments.cert or not arguments.key:
            raise CommandError("--tls needs --cert and --key", 2)
        tls = _load_tls(arguments.cert, arguments.key)
    elif arguments.cert or arguments.key:
        raise CommandError("--cert and --key are for --tls", 2)
    port = arguments.port
    if port is None:
        port = _PORT if tls is None else _PORT_TLS
    options = ServerConnectionOptions(deflate=deflate_of(arguments))
    asyncio.run(_serve(arguments.host, port, tls, options))


def _load_tls(cert: str, key: str) -> ssl.SSLContext:
    for path in (cert, key):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise CommandError(f"{path!r} cannot be read: {reason_of(error)}") from error
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # A WebSocket is opened by an HTTP/1.1 request (RFC 6455 section 4.1).
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key)
    except ssl.SSLError as error:
        raise CommandError(
            f"{cert!r} and {key!r} are no certificate chain and its private key in PEM: "
            f"{reason_of(error)}"
        ) from error
    return context


async def _serve(
    host: str, port: int, tls: ssl.SSLContext | None, options: ServerConnectionOptions
) -> None:
    quiet_loop()
    server = EchoServer(note, options)
    stopped = asyncio.Event()
    with stop_signals(stopped.set):
        try:
            await server.start(host, port, tls)
        except OSError as error:
            raise CommandError(
                f"cannot listen on {host!r}, port {port}: {reason_of(error)}"
            ) from error
        try:
            for url in server.urls:
                print(f"listening on {url}", flush=True)
        except OSError as error:
            raise CommandError(f"standard output is gone: {reason_of(error)}") from error
        await stopped.wait()
        await server.stop()


class EchoServer:
    """Listens, and echoes on every connection.

    Args:
        tell: takes one line on each connection that begins or ends.
        options: of each connection.
    """

    def __init__(self, tell: Callable[[str], object], options: ServerConnectionOptions) -> None:
        self.urls: tuple[str, ...] = ()
        self.connections: set[EchoConnection] = set()
        self.tell = tell
        self.options = options
        self._server: asyncio.AbstractServer | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Listen.

        Raises:
            OSError: if that cannot be done.
        """
        server = await asyncio.get_running_loop().create_server(
            lambda: EchoConnection(self), host, port, ssl=tls
        )
        scheme = "ws" if tls is None else "wss"
        self.urls = tuple(
            f"{scheme}://{format_address(socket.getsockname())}/" for socket in server.sockets
        )
        self._server = server

    async def stop(self) -> None:
        """Stop listening, close all connections with 1001, and wait for them, not for ever."""
        if self._server is not None:
            self._server.close()
        ending = list(self.connections)
        for connection in ending:
            connection.go_away()
        if ending:
            await asyncio.wait(
                [connection.closed for connection in ending], timeout=self.options.close_timeout
            )
        for connection in ending:
            connection.abort()


class EchoConnection(ConnectionProtocol):
    """One client of an echo server."""

    def __init__(self, server: EchoServer) -> None:
        connection = WebSocketServerConnection(server.options)
        # An echo needs room: nothing is read for which there is none.
        super().__init__(connection, read_while_blocked=False)
        self._connection = connection
        self._server = server
        self._name = ""
        self._end_reason = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self._server.connections.add(self)
        super().connection_made(transport)
        self._name = self.peer

    def connection_lost(self, exc: Exception | None) -> None:
        """A client has gone."""
        self._server.connections.discard(self)
        super().connection_lost(exc)

    def event_received(self, event: Event) -> None:
        """Answer."""
        connection = self._connection
        open_ = connection.state is ConnectionState.CONNECTED
        if isinstance(event, TextMessage):
            # What comes after our Close frame cannot be answered any more.
            if open_:
                connection.send_text(event.text)
        elif isinstance(event, BinaryMessage):
            if open_:
                connection.send_binary(event.data)
        elif isinstance(event, HandshakeRequested):
            connection.accept_handshake_auto()
        elif isinstance(event, Connected):
            self._server.tell(f"{self._name} connected")
        elif isinstance(event, Close):
            self._end_reason = f"closed: {describe_close(event)}"
        elif isinstance(event, Failed):
            self._end_reason = f"failed: {event.error}"
        elif isinstance(event, StateChanged) and event.state is ConnectionState.CLOSED:
            self._server.tell(f"{self._name} {self._end_reason}")

    def go_away(self) -> None:
        """Begin to close, for the server ends."""
        if self._connection.state is ConnectionState.CONNECTED:
            self._connection.close(CloseCode.GOING_AWAY)
            self.advance()
        elif self._connection.state in (ConnectionState.DISCONNECTED, ConnectionState.CONNECTING):
            self.abort()


def describe_close(close: Close) -> str:
    """Say in a few words what a Close frame said."""
    if close.code is None:
        return "without a code"
    words = f"{close.code} ({CloseCode.describe(close.code)})"
    return f"{words}: {close.reason}" if close.reason else words

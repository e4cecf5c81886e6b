"""``python -m websocket client``: lines in, messages out."""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import socket
import ssl
import sys
from typing import Any

from ..client import WebSocketClientConnection
from ..close_codes import CloseCode
from ..deflate import PerMessageDeflateConfig
from ..errors import LocalProtocolError, WebSocketError
from ..events import BinaryMessage, Connected, Event, Failed, TextMessage
from ..options import ClientConnectionOptions, ServerConnectionOptions
from ..states import ConnectionState
from .console import (
    INTERRUPTED,
    CommandError,
    StandardInput,
    add_no_compression,
    deflate_of,
    note,
    printable,
    quiet_loop,
    reason_of,
    stop_signals,
)
from .server import EchoServer, describe_close
from .target import Target
from .transport import ConnectionProtocol

__all__ = ["add_parser"]

_WAIT = 10.0
_TLS_TIMEOUT = 5.0
"""Seconds for the TLS handshake: less than for all, so that it is known what took too long."""
_BYTES_SHOWN = 32
_NORMAL_CODES = (None, CloseCode.NORMAL, CloseCode.GOING_AWAY)
_DESCRIPTION = f"""\
Send each line of standard input as a text message, and print the messages that come: text as it
is, binary as its first bytes in hexadecimal. What the other side says goes to standard output,
everything about the connection to standard error.

On a terminal, Ctrl-D and Ctrl-C close the connection. In a pipe, the end of the input does, once
as many messages have come as were sent, or {_WAIT:g} seconds have passed without one (see --wait).

The exit status is 0 after a normal close: 1000, 1001 or no code. Everything else is 1 and one line
on standard error; 2 if the command line is wrong.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the arguments of this command."""
    parser = commands.add_parser(
        "client",
        help="send lines, print messages",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "url",
        metavar="URL",
        nargs="?",
        help="ws:// or wss://; without one, an echo server is started and spoken to",
    )
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="take any certificate, whoever it belongs to (wss:// only)",
    )
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=_seconds,
        default=_WAIT,
        help="how long to wait for each answer after the end of a pipe (%(default)g)",
    )
    add_no_compression(parser)
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        raise argparse.ArgumentTypeError(f"must be seconds from 0 to 1000000, not {text!r}")
    return seconds


def _run(arguments: argparse.Namespace) -> None:
    url: str | None = arguments.url
    insecure: bool = arguments.insecure
    target = None if url is None else Target.parse(url)
    if insecure and (target is None or not target.secure):
        raise CommandError("--insecure is about certificates: it needs a wss:// URL", 2)
    # What comes in as UTF-8 goes out as UTF-8, whatever the locale; a terminal knows best itself.
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="backslashreplace")
        else:
            sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    deflate = deflate_of(arguments)
    if target is None:
        asyncio.run(_demonstrate(deflate, arguments.wait))
    else:
        asyncio.run(_talk(target, deflate, insecure, arguments.wait))


async def _demonstrate(deflate: PerMessageDeflateConfig | None, wait: float) -> None:
    server = EchoServer(lambda words: None, ServerConnectionOptions(deflate=deflate))
    try:
        await server.start("127.0.0.1", 0)
    except OSError as error:
        raise CommandError(f"cannot listen on 127.0.0.1: {reason_of(error)}") from error
    url = server.urls[0]
    note(f"no URL given: started an echo server at {url}")
    try:
        await _talk(Target.parse(url), deflate, False, wait)
    finally:
        await server.stop()


async def _talk(
    target: Target, deflate: PerMessageDeflateConfig | None, insecure: bool, wait: float
) -> None:
    """Have the whole conversation.

    Raises:
        CommandError: if it does not end with a normal close.
    """
    quiet_loop()
    client = Client(target, deflate)
    with stop_signals(client.stop.set):
        stopping = asyncio.ensure_future(client.stop.wait())
        try:
            opening = asyncio.ensure_future(client.open(insecure))
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                await asyncio.wait({opening})
                raise CommandError(f"interrupted while connecting to {target.place}", INTERRUPTED)
            opening.result()
            talking = asyncio.ensure_future(client.talk(wait))
            ends: list[asyncio.Future[Any]] = [talking, stopping, client.closed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            await client.end()
            talking.cancel()
            (error,) = await asyncio.gather(talking, return_exceptions=True)
            client.judge()
            if isinstance(error, Exception):
                raise error
        finally:
            stopping.cancel()


class Client(ConnectionProtocol):
    """The conversation with one server.

    Args:
        target: which.
        deflate: the compression to offer, if any.

    Raises:
        CommandError: with the exit status 2, if a request to it cannot be written.
    """

    def __init__(self, target: Target, deflate: PerMessageDeflateConfig | None) -> None:
        options = ClientConnectionOptions(target.authority, target.path, deflate=deflate)
        connection = WebSocketClientConnection(options)
        try:
            connection.connect()
        except LocalProtocolError as error:
            raise CommandError(f"bad URL: {error}", 2) from error
        # Sending waits for room, so reading never has to.
        super().__init__(connection, read_while_blocked=True)
        self.stop = asyncio.Event()
        self._connection = connection
        self._target = target
        self._timeout = options.open_timeout
        self._connected = asyncio.Event()
        self._answered = asyncio.Event()
        self._received = 0
        self._failure: WebSocketError | None = None
        self._output_error: OSError | None = None

    def event_received(self, event: Event) -> None:
        """Print what has come."""
        if isinstance(event, TextMessage):
            self._print(event.text)
        elif isinstance(event, BinaryMessage):
            self._print(describe_binary(event.data))
        elif isinstance(event, Connected):
            note(
                f"connected, subprotocol: {event.protocol or 'none'}, "
                f"extensions: {', '.join(event.extensions) or 'none'}"
            )
            self._connected.set()
        elif isinstance(event, Failed):
            self._failure = event.error

    def _print(self, text: str) -> None:
        self._received += 1
        self._answered.set()
        output = sys.stdout
        if output is None or self._output_error is not None:
            return
        try:
            output.write(f"{printable(text) if output.isatty() else text}\n")
            output.flush()
        except OSError as error:
            self._output_error = error
            # The interpreter would try once more when it ends, and complain.
            os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
            self.stop.set()

    async def open(self, insecure: bool) -> None:
        """Open a transport to the server.

        Raises:
            CommandError: if that cannot be done.
        """
        try:
            await asyncio.wait_for(self._open(insecure), self._timeout)
        except asyncio.TimeoutError as error:
            raise CommandError(
                f"no connection to {self._target.place} within {self._timeout:g} seconds"
            ) from error

    async def _open(self, insecure: bool) -> None:
        target = self._target
        loop = asyncio.get_running_loop()
        try:
            addresses = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise CommandError(f"cannot find {target.host!r}: {reason_of(error)}") from error
        except UnicodeError as error:
            raise CommandError(f"bad URL: {target.host!r} is no host name: {error}", 2) from error
        tls: dict[str, Any] = {}
        if target.secure:
            tls["ssl"] = _make_tls(insecure)
            tls["server_hostname"] = target.host
            tls["ssl_handshake_timeout"] = _TLS_TIMEOUT
        failure = OSError("it has no address")
        for *_, address in addresses:
            try:
                await loop.create_connection(lambda: self, str(address[0]), target.port, **tls)
            except ssl.SSLCertVerificationError as error:
                raise CommandError(
                    f"the certificate of {target.place} is not trusted: {reason_of(error)}; "
                    "--insecure takes any"
                ) from error
            except ssl.SSLError as error:
                raise CommandError(
                    f"no TLS with {target.place}: {reason_of(error)}; a plain server is ws://"
                ) from error
            except OSError as error:
                failure = error
            else:
                return
        raise CommandError(f"cannot connect to {target.place}: {reason_of(failure)}") from failure

    async def talk(self, wait: float) -> None:
        """Send all lines; from a pipe, wait for the answers too.

        Raises:
            CommandError: if a line cannot be read or sent.
        """
        await self._connected.wait()
        terminal = StandardInput.is_terminal()
        if terminal:
            note("each line is sent as a message; Ctrl-D closes the connection")
        lines = StandardInput()
        sent = 0
        batch = await lines.next_batch()
        while batch is not None:
            for line in batch:
                if self._connection.state is not ConnectionState.CONNECTED:
                    return
                try:
                    self._connection.send_text(line)
                except LocalProtocolError as error:
                    raise CommandError(f"line {sent + 1} of standard input: {error}") from error
                sent += 1
            self.advance()
            await self.drained()
            batch = await lines.next_batch()
        while not terminal and self._received < sent:
            self._answered.clear()
            try:
                await asyncio.wait_for(self._answered.wait(), wait)
            except asyncio.TimeoutError:
                note(f"{self._received} messages came for the {sent} sent; waited long enough")
                return

    async def end(self) -> None:
        """Close the connection, if it is still open, and wait until the transport is gone."""
        if self._connection.state is ConnectionState.CONNECTED:
            self._connection.close()
            self.advance()
        elif not self._connected.is_set():
            self.abort()
        await self.closed

    def judge(self) -> None:
        """Tell how it ended.

        Raises:
            CommandError: if that was no normal close.
        """
        if self._output_error is not None:
            raise CommandError(f"standard output is gone: {reason_of(self._output_error)}")
        if self.stop.is_set() and not self._connected.is_set():
            raise CommandError(f"interrupted while connecting to {self._target.place}", INTERRUPTED)
        if self._failure is not None:
            cause = f": {reason_of(self.cause)}" if isinstance(self.cause, OSError) else ""
            raise CommandError(f"{self._target.place}: {self._failure}{cause}")
        close = self._connection.close_received
        if close is not None:
            words = describe_close(close)
            if close.code not in _NORMAL_CODES:
                raise CommandError(f"{self._target.place}: the server closed with {words}")
            note(f"closed with {words}")


def describe_binary(data: bytes) -> str:
    """Show the first bytes of a message that is no text."""
    if not data:
        return "<empty binary message>"
    shown = data[:_BYTES_SHOWN].hex(" ")
    more = " ..." if len(data) > _BYTES_SHOWN else ""
    return f"<binary message of {len(data)} bytes: {shown}{more}>"


def _make_tls(insecure: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    # A WebSocket is opened by an HTTP/1.1 request (RFC 6455 section 4.1).
    context.set_alpn_protocols(["http/1.1"])
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context

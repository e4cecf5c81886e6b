"""One adapter a library: how each does the work, in the way its documentation shows.

A method takes the work and returns a function, the part that is timed. Connections are made and
have shaken hands before that, unless the handshake is the work.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import ModuleType
from typing import Any

from measuring import Run
from work import REQUEST, Accept, Connect, Deflate, Echo, Receive, Received, Send, Sent, respond


class Library:
    """What all have in common."""

    distribution = ""

    def prepare(self, work: Any) -> Run:
        """Return a function that does the work once."""
        return getattr(self, type(work).__name__.lower())(work)


class ThisLibrary(Library):
    distribution = "websocket-sansio"

    def __init__(self, ws: ModuleType) -> None:
        self.ws = ws
        self.client_options = ws.ClientConnectionOptions("example.com", "/chat")

    def server(self, deflate: Deflate | None = None) -> Any:
        return self._serve(self._server_options(deflate))[0]

    def _server_options(self, deflate: Deflate | None) -> Any:
        ws = self.ws
        if deflate is None:
            return ws.ServerConnectionOptions()
        return ws.ServerConnectionOptions(
            deflate=ws.PerMessageDeflateConfig(
                server_max_window_bits=deflate.window_bits,
                client_max_window_bits=deflate.window_bits,
                level=deflate.level,
                window_bits=deflate.window_bits,
                mem_level=deflate.mem_level,
                engine=deflate.engine,
            )
        )

    def _serve(self, options: Any) -> tuple[Any, bytes]:
        ws = self.ws
        connection = ws.WebSocketServerConnection(options)
        connection.feed_recv_buf(REQUEST)
        sent = b""
        for event in connection.events():
            if isinstance(event, ws.HandshakeRequested):
                connection.accept_handshake_auto()
        for output in connection.outputs():
            if isinstance(output, ws.SendData):
                sent += output.data
        return connection, sent

    def client(self) -> Any:
        ws = self.ws
        connection = ws.WebSocketClientConnection(self.client_options)
        connection.connect()
        request = b""
        for output in connection.outputs():
            if isinstance(output, ws.SendData):
                request += output.data
        connection.feed_recv_buf(respond(request))
        for event in connection.events():
            if isinstance(event, ws.Failed):
                raise event.error
        for _ in connection.outputs():
            pass
        return connection

    def receive(self, work: Receive) -> Run:
        connection = self.server(work.deflate)
        text_message, binary_message = self.ws.TextMessage, self.ws.BinaryMessage
        send_data = self.ws.SendData
        feeds = work.feeds

        def run_text() -> Received:
            messages = size = 0
            last = ""
            for data in feeds:
                connection.feed_recv_buf(data)
                for event in connection.events():
                    if isinstance(event, text_message):
                        last = event.text
                        messages += 1
                for output in connection.outputs():
                    if isinstance(output, send_data):
                        size += len(output.data)
            assert size == 0
            return Received(messages, last)

        def run_binary() -> Received:
            messages = size = 0
            last = b""
            for data in feeds:
                connection.feed_recv_buf(data)
                for event in connection.events():
                    if isinstance(event, binary_message):
                        last = event.data
                        messages += 1
                for output in connection.outputs():
                    if isinstance(output, send_data):
                        size += len(output.data)
            assert size == 0
            return Received(messages, last)

        return run_text if work.is_text else run_binary

    def echo(self, work: Echo) -> Run:
        connection = self.server(work.deflate)
        text_message, binary_message = self.ws.TextMessage, self.ws.BinaryMessage
        send_data = self.ws.SendData
        feeds = work.feeds

        def run() -> tuple[int, deque[bytes]]:
            size = 0
            sent = deque(maxlen=work.kept)
            for data in feeds:
                connection.feed_recv_buf(data)
                for event in connection.events():
                    if isinstance(event, text_message):
                        connection.send_text(event.text)
                    elif isinstance(event, binary_message):
                        connection.send_binary(event.data)
                for output in connection.outputs():
                    if isinstance(output, send_data):
                        size += len(output.data)
                        sent.append(output.data)
            return size, sent

        return run

    def send(self, work: Send) -> Run:
        connection = self.client()
        send_data = self.ws.SendData
        send = connection.send_text if work.is_text else connection.send_binary
        payloads = work.payloads

        def run() -> Sent:
            size = 0
            last = b""
            for payload in payloads:
                send(payload)
                for output in connection.outputs():
                    if isinstance(output, send_data):
                        last = output.data
                        size += len(last)
            return Sent(size, last)

        return run

    def accept(self, work: Accept) -> Run:
        options = self._server_options(work.deflate)
        return partial(_accept, partial(self._serve, options), work.count)

    def connect(self, work: Connect) -> Run:
        connected = self.ws.ConnectionState.CONNECTED
        return partial(
            _connect, self.client, lambda connection: connection.state is connected, work.count
        )


class Websockets(Library):
    """Its layer without input and output. Text is not decoded there, but left to its users."""

    distribution = "websockets"

    def __init__(self) -> None:
        self.client_module = importlib.import_module("websockets.client")
        self.opcodes = importlib.import_module("websockets.frames").Opcode
        self.protocol = importlib.import_module("websockets.protocol")
        self.server_module = importlib.import_module("websockets.server")
        self.deflate = importlib.import_module("websockets.extensions.permessage_deflate")
        self.uri = importlib.import_module("websockets.uri").parse_uri("ws://example.com/chat")

    def server(self, deflate: Deflate | None = None) -> Any:
        return self._serve(self._extensions(deflate))[0]

    def _extensions(self, deflate: Deflate | None) -> Any:
        if deflate is None:
            return None
        return [
            self.deflate.ServerPerMessageDeflateFactory(
                server_max_window_bits=deflate.window_bits,
                client_max_window_bits=deflate.window_bits,
                compress_settings={"level": deflate.level, "memLevel": deflate.mem_level},
            )
        ]

    def _serve(self, extensions: Any) -> tuple[Any, bytes]:
        connection = self.server_module.ServerProtocol(extensions=extensions, max_size=None)
        connection.receive_data(REQUEST)
        for request in connection.events_received():
            connection.send_response(connection.accept(request))
        return connection, b"".join(connection.data_to_send())

    def client(self) -> Any:
        connection = self.client_module.ClientProtocol(self.uri, max_size=None)
        connection.send_request(connection.connect())
        request = b"".join(connection.data_to_send())
        connection.receive_data(respond(request))
        connection.events_received()
        if connection.handshake_exc is not None:
            raise connection.handshake_exc
        return connection

    def receive(self, work: Receive) -> Run:
        connection = self.server(work.deflate)
        opcode = self.opcodes.TEXT if work.is_text else self.opcodes.BINARY
        feeds = work.feeds

        def run() -> Received:
            messages = size = 0
            last = b""
            for data in feeds:
                connection.receive_data(data)
                for frame in connection.events_received():
                    if frame.opcode is opcode:
                        last = frame.data
                        messages += 1
                for output in connection.data_to_send():
                    size += len(output)
            assert size == 0
            return Received(messages, last)

        return run

    def echo(self, work: Echo) -> Run:
        connection = self.server(work.deflate)
        text, binary = self.opcodes.TEXT, self.opcodes.BINARY
        feeds = work.feeds

        def run() -> tuple[int, deque[bytes]]:
            size = 0
            sent = deque(maxlen=work.kept)
            for data in feeds:
                connection.receive_data(data)
                for frame in connection.events_received():
                    if frame.opcode is text:
                        connection.send_text(frame.data)
                    elif frame.opcode is binary:
                        connection.send_binary(frame.data)
                for output in connection.data_to_send():
                    size += len(output)
                    sent.append(output)
            return size, sent

        return run

    def send(self, work: Send) -> Run:
        connection = self.client()
        send = connection.send_text if work.is_text else connection.send_binary
        octets = str.encode if work.is_text else bytes
        payloads = work.payloads

        def run() -> Sent:
            size = 0
            last = b""
            for payload in payloads:
                send(octets(payload))
                for output in connection.data_to_send():
                    last = output
                    size += len(last)
            return Sent(size, last)

        return run

    def accept(self, work: Accept) -> Run:
        extensions = self._extensions(work.deflate)
        return partial(_accept, partial(self._serve, extensions), work.count)

    def connect(self, work: Connect) -> Run:
        is_open = self.protocol.State.OPEN
        return partial(
            _connect, self.client, lambda connection: connection.state is is_open, work.count
        )


class Wsproto(Library):
    distribution = "wsproto"

    def __init__(self) -> None:
        self.wsproto = importlib.import_module("wsproto")
        self.connection = importlib.import_module("wsproto.connection")
        self.events = importlib.import_module("wsproto.events")
        self.extensions = importlib.import_module("wsproto.extensions")

    def server(self, deflate: Deflate | None = None) -> Any:
        return self._serve(deflate)[0]

    def _extensions(self, deflate: Deflate | None) -> list[Any]:
        if deflate is None:
            return []
        return [
            self.extensions.PerMessageDeflate(
                server_max_window_bits=deflate.window_bits,
                client_max_window_bits=deflate.window_bits,
            )
        ]

    def _serve(self, deflate: Deflate | None) -> tuple[Any, bytes]:
        events = self.events
        connection = self.wsproto.WSConnection(self.wsproto.ConnectionType.SERVER)
        connection.receive_data(REQUEST)
        sent = b""
        for event in connection.events():
            if isinstance(event, events.Request):
                extensions = self._extensions(deflate)
                sent += connection.send(events.AcceptConnection(extensions=extensions))
        return connection, sent

    def client(self) -> Any:
        connection = self.wsproto.WSConnection(self.wsproto.ConnectionType.CLIENT)
        request = connection.send(self.events.Request(host="example.com", target="/chat"))
        connection.receive_data(respond(request))
        for event in connection.events():
            if not isinstance(event, self.events.AcceptConnection):
                raise RuntimeError(f"the handshake failed: {event!r}")
        return connection

    def receive(self, work: Receive) -> Run:
        connection = self.server(work.deflate)
        message = self.events.TextMessage if work.is_text else self.events.BytesMessage
        feeds = work.feeds

        def run() -> Received:
            messages = 0
            last: str | bytes = b""
            for data in feeds:
                connection.receive_data(data)
                for event in connection.events():
                    if isinstance(event, message):
                        last = event.data
                        messages += event.message_finished
            return Received(messages, last)

        return run

    def echo(self, work: Echo) -> Run:
        connection = self.server(work.deflate)
        message = self.events.Message
        feeds = work.feeds

        def run() -> tuple[int, deque[bytes]]:
            size = 0
            sent = deque(maxlen=work.kept)
            for data in feeds:
                connection.receive_data(data)
                for event in connection.events():
                    if isinstance(event, message):
                        output = connection.send(message(data=event.data))
                        size += len(output)
                        sent.append(output)
            return size, sent

        return run

    def send(self, work: Send) -> Run:
        connection = self.client()
        message = self.events.Message
        payloads = work.payloads

        def run() -> Sent:
            size = 0
            last = b""
            for payload in payloads:
                last = connection.send(message(data=payload))
                size += len(last)
            return Sent(size, last)

        return run

    def accept(self, work: Accept) -> Run:
        return partial(_accept, partial(self._serve, work.deflate), work.count)

    def connect(self, work: Connect) -> Run:
        is_open = self.connection.ConnectionState.OPEN
        return partial(
            _connect, self.client, lambda connection: connection.state is is_open, work.count
        )


def _accept(serve: Callable[[], tuple[Any, bytes]], count: int) -> Sent:
    size = 0
    last = b""
    for _ in range(count):
        _, last = serve()
        size += len(last)
    return Sent(size, last)


def _connect(connect: Run, is_connected: Callable[[Any], bool], count: int) -> int:
    return sum(is_connected(connect()) for _ in range(count))


PEERS: dict[str, Callable[[], Library]] = {"websockets": Websockets, "wsproto": Wsproto}


def peers() -> dict[str, Library]:
    """Return those that can be imported."""
    found = {}
    for name, make in PEERS.items():
        with suppress(ImportError):
            found[name] = make()
    return found

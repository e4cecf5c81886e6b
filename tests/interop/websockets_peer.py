"""`websockets` as a peer, through its asyncio API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)
from websockets.typing import Origin, Subprotocol

from .driver import HOST, Listener
from .peers import (
    LARGEST,
    Answer,
    CloseFrame,
    Deflate,
    Implementation,
    Message,
    Peer,
    Refused,
    Request,
)

NO_STATUS_RECEIVED = 1005


class WebsocketsPeer(Peer):
    def __init__(self, connection: Any, handshake: Any, path: str = "") -> None:
        super().__init__(handshake.headers.raw_items(), connection.subprotocol, path)
        self._connection = connection

    async def send(self, message: Message, *, compress: bool = True) -> None:
        with self._compressing(compress):
            await self._connection.send(message)

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        pongs = []

        async def fragments() -> AsyncIterator[Message]:
            for number, piece in enumerate(pieces):
                if number and ping is not None:
                    pongs.append(await self._connection.ping(ping + b"%d" % number))
                yield piece

        with self._compressing(compress):
            await self._connection.send(fragments(), text=text)
        await asyncio.gather(*pongs)

    async def receive(self) -> Message:
        message: Message = await self._connection.recv()
        return message

    async def ping(self, payload: bytes) -> bytes:
        # The future is done by the Pong of the same payload only.
        await (await self._connection.ping(payload))
        return payload

    async def close(self, code: int | None, reason: str) -> int | None:
        await self._connection.close(code, reason)
        return self._close_frame().code

    async def closed(self) -> CloseFrame:
        try:
            unexpected = await self._connection.recv()
        except ConnectionClosed:
            await self._connection.wait_closed()
            return self._close_frame()
        raise AssertionError(f"a message instead of a Close frame: {unexpected!r}")

    async def abort(self) -> None:
        self._connection.transport.abort()

    @contextmanager
    def _compressing(self, compress: bool) -> Iterator[None]:
        """Send with or without the extension, which takes no part in what comes meanwhile."""
        protocol = self._connection.protocol
        extensions = protocol.extensions
        if not compress:
            protocol.extensions = []
        try:
            yield
        finally:
            protocol.extensions = extensions

    def _close_frame(self) -> CloseFrame:
        close = self._connection.protocol.close_rcvd
        return CloseFrame(None if close.code == NO_STATUS_RECEIVED else close.code, close.reason)


class Websockets(Implementation):
    async def connect(self, port: int, request: Request) -> Peer:
        try:
            connection = await connect(
                f"ws://{HOST}:{port}{request.path}",
                origin=None if request.origin is None else Origin(request.origin),
                subprotocols=_subprotocols(request.protocols),
                additional_headers=list(request.headers),
                extensions=[_client_deflate(request.deflate)],
                compression=None,
                max_size=LARGEST,
                ping_interval=None,
                proxy=None,
            )
        except InvalidStatus as error:
            response = error.response
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            raise Refused(response.status_code, headers, bytes(response.body)) from error
        return WebsocketsPeer(connection, connection.response)

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()

        async def handle(connection: Any) -> None:
            request = connection.request
            accepted.put_nowait(WebsocketsPeer(connection, request, request.path))
            await connection.wait_closed()

        def answer_request(connection: Any, request: Any) -> Any:
            if answer.status == 101:
                return None
            response = connection.respond(answer.status, answer.body.decode())
            add_headers(connection, request, response)
            return response

        def add_headers(connection: Any, request: Any, response: Any) -> None:
            for name, value in answer.headers:
                response.headers[name] = value

        async with serve(
            handle,
            HOST,
            0,
            subprotocols=_subprotocols(answer.protocols),
            process_request=answer_request,
            process_response=add_headers,
            extensions=[ServerPerMessageDeflateFactory(**asdict(answer.deflate))],
            compression=None,
            max_size=LARGEST,
            ping_interval=None,
        ) as server:
            yield Listener(server.sockets[0].getsockname()[1], accepted.get)


def _client_deflate(deflate: Deflate) -> ClientPerMessageDeflateFactory:
    parameters = asdict(deflate)
    # To offer it without a value is to ask for nothing: the server is free (RFC 7692 7.1.2.2).
    parameters["client_max_window_bits"] = deflate.client_max_window_bits or True
    return ClientPerMessageDeflateFactory(**parameters)


def _subprotocols(names: Sequence[str]) -> list[Subprotocol] | None:
    return [Subprotocol(name) for name in names] or None


IMPLEMENTATION = Websockets()

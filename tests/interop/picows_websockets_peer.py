"""`picows` as a peer that compresses: its module `picows.websockets`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from picows.websockets import ConnectionClosed, connect, serve

from .driver import HOST, Listener
from .peers import LARGEST, Answer, CloseFrame, Deflate, Implementation, Message, Peer, Request

NO_STATUS_RECEIVED = 1005


class PicowsWebsocketsPeer(Peer):
    def __init__(self, connection: Any, handshake: Any, path: str = "") -> None:
        super().__init__(handshake.headers.items(), connection.subprotocol, path)
        self.ended = asyncio.Event()
        self._connection = connection

    async def send(self, message: Message, *, compress: bool = True) -> None:
        assert compress, "picows compresses every message"
        await self._connection.send(message)

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        assert compress, "picows compresses every message"
        pongs = []

        async def fragments() -> AsyncIterator[Message]:
            for number, piece in enumerate(pieces):
                if number and ping is not None:
                    pongs.append(await self._connection.ping(ping + b"%d" % number))
                yield piece

        await self._connection.send(fragments(), text=text)
        await asyncio.gather(*pongs)

    async def receive(self) -> Message:
        message: Message = await self._connection.recv()
        return message

    async def ping(self, payload: bytes) -> bytes:
        await (await self._connection.ping(payload))
        return payload

    async def close(self, code: int | None, reason: str) -> int | None:
        assert code is not None, "picows.websockets cannot send an empty Close frame"
        await self._connection.close(code, reason)
        self.ended.set()
        return self._close_frame().code

    async def closed(self) -> CloseFrame:
        try:
            unexpected = await self._connection.recv()
        except ConnectionClosed:
            await self._connection.wait_closed()
            self.ended.set()
            return self._close_frame()
        raise AssertionError(f"a message instead of a Close frame: {unexpected!r}")

    async def abort(self) -> None:
        self.ended.set()
        await self._connection.close()

    def _close_frame(self) -> CloseFrame:
        code = self._connection.close_code
        return CloseFrame(
            None if code == NO_STATUS_RECEIVED else code, self._connection.close_reason or ""
        )


class PicowsWebsockets(Implementation):
    """It asks for no parameter, and hears of those of an answer only.

    An answer of its server is taken for one of its client's, so that those of the two sides are
    exchanged: it can be made to agree to what is the same for both.
    """

    sends_plain = False

    async def connect(self, port: int, request: Request) -> Peer:
        connection = await connect(
            f"ws://{HOST}:{port}{request.path}",
            max_size=LARGEST,
            ping_interval=None,
            proxy=None,
        )
        return PicowsWebsocketsPeer(connection, connection.response)

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()
        parameters = _parameters(answer.deflate)

        async def handle(connection: Any) -> None:
            request = connection.request
            peer = PicowsWebsocketsPeer(connection, request, request.path)
            accepted.put_nowait(peer)
            await peer.ended.wait()

        def agree(connection: Any, request: Any, response: Any) -> Any:
            if "Sec-WebSocket-Extensions" in response.headers:
                response.headers["Sec-WebSocket-Extensions"] += parameters
            return response

        async with serve(
            handle, HOST, 0, process_response=agree, max_size=LARGEST, ping_interval=None
        ) as server:
            yield Listener(server.sockets[0].getsockname()[1], accepted.get)


def _parameters(deflate: Deflate) -> str:
    server = (deflate.server_no_context_takeover, deflate.server_max_window_bits)
    client = (deflate.client_no_context_takeover, deflate.client_max_window_bits)
    assert server == client, f"picows takes one side's for the other's: {deflate}"
    fresh, bits = server
    parameters = ""
    if fresh:
        parameters += "; server_no_context_takeover; client_no_context_takeover"
    if bits is not None:
        parameters += f"; server_max_window_bits={bits}; client_max_window_bits={bits}"
    return parameters


IMPLEMENTATION = PicowsWebsockets()

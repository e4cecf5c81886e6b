"""`aiohttp` as a peer: its client session and its web server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError, __version__, web

from .driver import HOST, Listener
from .peers import LARGEST, Answer, CloseFrame, Implementation, Message, Peer, Refused, Request


class AiohttpPeer(Peer):
    """A connection that leaves Pings and Pongs to this class, which can see them so."""

    def __init__(self, connection: Any, headers: Any, protocol: str | None, path: str = "") -> None:
        super().__init__(headers.items(), protocol, path)
        self.ended = asyncio.Event()
        self._connection = connection

    async def send(self, message: Message, *, compress: bool = True) -> None:
        writer = self._connection._writer
        window = writer.compress
        if not compress:
            writer.compress = 0
        try:
            if isinstance(message, str):
                await self._connection.send_str(message)
            else:
                await self._connection.send_bytes(message)
        finally:
            writer.compress = window

    async def receive(self) -> Message:
        message = await self._next()
        assert message.type in (WSMsgType.TEXT, WSMsgType.BINARY), message
        data: Message = message.data
        return data

    async def ping(self, payload: bytes) -> bytes:
        await self._connection.ping(payload)
        pong = await self._next()
        assert pong.type is WSMsgType.PONG, pong
        return bytes(pong.data)

    async def close(self, code: int | None, reason: str) -> int | None:
        assert code is not None, "aiohttp cannot send an empty Close frame"
        await self._connection.close(code=code, message=reason.encode())
        await self.abort()
        code_received: int | None = self._connection.close_code
        return code_received

    async def closed(self) -> CloseFrame:
        close = await self._next()
        assert close.type is WSMsgType.CLOSE, close
        await self.abort()
        return CloseFrame(close.data or None, close.extra or "")

    async def abort(self) -> None:
        self.ended.set()

    async def _next(self) -> Any:
        """Return the next frame or message; a Ping is answered."""
        message = await self._connection.receive()
        while message.type is WSMsgType.PING:
            await self._connection.pong(message.data)
            message = await self._connection.receive()
        return message


class AiohttpClientPeer(AiohttpPeer):
    def __init__(self, session: ClientSession, connection: Any) -> None:
        super().__init__(connection, connection._response.headers, connection.protocol)
        self._session = session

    async def abort(self) -> None:
        await self._session.close()


class Aiohttp(Implementation):
    """Of the parameters of permessage-deflate it asks for the server's window only, as a client."""

    sends_fragments = False
    takes_control_frames_inside = tuple(map(int, re.findall(r"\d+", __version__)[:2])) >= (3, 14)

    async def connect(self, port: int, request: Request) -> Peer:
        session = ClientSession()
        try:
            connection = await session.ws_connect(
                f"ws://{HOST}:{port}{request.path}",
                origin=request.origin,
                protocols=request.protocols,
                headers=list(request.headers),
                compress=request.deflate.server_max_window_bits or 15,
                autoping=False,
                max_msg_size=LARGEST,
            )
        except WSServerHandshakeError as error:
            await session.close()
            headers = {name.lower(): value for name, value in (error.headers or {}).items()}
            raise Refused(error.status, headers, None) from error
        return AiohttpClientPeer(session, connection)

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()

        async def handle(request: web.Request) -> web.StreamResponse:
            if answer.status != 101:
                refusal = web.Response(
                    status=answer.status, body=answer.body, headers=list(answer.headers)
                )
                if answer.chunked:
                    refusal.enable_chunked_encoding()
                return refusal
            connection = web.WebSocketResponse(
                protocols=answer.protocols, autoping=False, max_msg_size=LARGEST
            )
            for name, value in answer.headers:
                connection.headers[name] = value
            await connection.prepare(request)
            peer = AiohttpPeer(connection, request.headers, connection.ws_protocol, request.path_qs)
            accepted.put_nowait(peer)
            await peer.ended.wait()
            return connection

        application = web.Application()
        application.router.add_get("/{path:.*}", handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, 0).start()
            yield Listener(runner.addresses[0][1], accepted.get)
        finally:
            await runner.cleanup()


IMPLEMENTATION = Aiohttp()

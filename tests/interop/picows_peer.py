"""`picows` as a peer. It hands out frames: messages are assembled here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Callable

import picows
from picows import WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener

from .driver import HOST, Listener
from .peers import LARGEST, Answer, CloseFrame, Implementation, Message, Peer, Refused, Request

DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
PROTOCOL = "Sec-WebSocket-Protocol"


class Listens(picows.WSListener):
    """Queues what comes. picows answers Pings itself, but leaves Close frames to its user."""

    def __init__(self, opened: Callable[[Any], None] | None = None) -> None:
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        self.pongs: asyncio.Queue[bytes] = asyncio.Queue()
        self.close_received: asyncio.Future[CloseFrame] = asyncio.get_running_loop().create_future()
        self._opened = opened
        self._close_sent = False
        self._is_text = False
        self._pieces: list[bytes] = []

    def on_ws_connected(self, transport: Any) -> None:
        if self._opened is not None:
            self._opened(transport)

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.PONG:
            self.pongs.put_nowait(payload)
        elif frame.msg_type == WSMsgType.CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else None
            self.send_close(transport, code, "")
            transport.disconnect()
            self.close_received.set_result(CloseFrame(code, payload[2:].decode()))
        else:
            if frame.msg_type != WSMsgType.CONTINUATION:
                self._is_text = frame.msg_type == WSMsgType.TEXT
            self._pieces.append(payload)
            if frame.fin:
                message = b"".join(self._pieces)
                self._pieces.clear()
                self.messages.put_nowait(message.decode() if self._is_text else message)

    def send_close(self, transport: Any, code: int | None, reason: str) -> None:
        """Send a Close frame, unless one was sent."""
        if self._close_sent:
            return
        self._close_sent = True
        if code is None:
            # Without a code, send_close() would send 0.
            transport.send(WSMsgType.CLOSE, b"")
        else:
            transport.send_close(code, reason)


class PicowsPeer(Peer):
    def __init__(
        self,
        transport: Any,
        listener: Any,
        headers: Any,
        protocol: str | None,
        path: str = "",
    ) -> None:
        super().__init__(headers.items(), protocol, path)
        self._transport = transport
        self._listener: Listens = listener

    async def send(self, message: Message, *, compress: bool = True) -> None:
        self._transport.send(
            WSMsgType.TEXT if isinstance(message, str) else WSMsgType.BINARY, message
        )

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        kind = WSMsgType.TEXT if text else WSMsgType.BINARY
        for number, piece in enumerate(pieces):
            if number and ping is not None:
                await self.ping(ping + b"%d" % number)
            self._transport.send(kind, piece, fin=number == len(pieces) - 1)
            kind = WSMsgType.CONTINUATION

    async def receive(self) -> Message:
        return await self._listener.messages.get()

    async def ping(self, payload: bytes) -> bytes:
        self._transport.send_ping(payload)
        return await self._listener.pongs.get()

    async def close(self, code: int | None, reason: str) -> int | None:
        self._listener.send_close(self._transport, code, reason)
        return (await self.closed()).code

    async def closed(self) -> CloseFrame:
        close = await self._listener.close_received
        await self._transport.wait_disconnected()
        return close

    async def abort(self) -> None:
        self._transport.disconnect(graceful=False)


class Picows(Implementation):
    """Neither side of picows knows of subprotocols: the field is written and read here."""

    async def connect(self, port: int, request: Request) -> Peer:
        headers = [DEFLATE, *request.headers]
        if request.origin is not None:
            headers.append(("Origin", request.origin))
        if request.protocols:
            headers.append((PROTOCOL, ", ".join(request.protocols)))
        try:
            transport, listener = await picows.ws_connect(
                Listens,
                f"ws://{HOST}:{port}{request.path}",
                extra_headers=headers,
                max_frame_size=LARGEST,
            )
        except picows.WSHandshakeError as error:
            refusal: Any = error.response
            answered = {name.lower(): value for name, value in refusal.headers.items()}
            raise Refused(int(refusal.status), answered, error.raw_body) from error
        accepted = transport.response.headers
        return PicowsPeer(transport, listener, accepted, accepted.get(PROTOCOL))

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()

        def handle(request: Any) -> Any:
            if answer.status != 101:
                return WSUpgradeResponseWithListener(
                    WSUpgradeResponse.create_error_response(
                        answer.status, answer.body, answer.headers
                    ),
                    None,
                )
            offered = request.headers.get(PROTOCOL, "").split(", ")
            protocol = next((name for name in offered if name in answer.protocols), None)
            headers = [*answer.headers, *([(PROTOCOL, protocol)] if protocol else [])]

            def opened(transport: Any) -> None:
                path = request.path.decode()
                peer = PicowsPeer(transport, listener, request.headers, protocol, path)
                accepted.put_nowait(peer)

            listener = Listens(opened)
            return WSUpgradeResponseWithListener(
                WSUpgradeResponse.create_101_response(headers), listener
            )

        server = await picows.ws_create_server(handle, HOST, 0, max_frame_size=LARGEST)
        try:
            yield Listener(server.sockets[0].getsockname()[1], accepted.get)
        finally:
            server.close()


IMPLEMENTATION = Picows()

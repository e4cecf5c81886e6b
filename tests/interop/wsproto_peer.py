"""`wsproto` as a peer. It has no I/O either: asyncio's streams carry its bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from .driver import HOST, Listener
from .peers import (
    Answer,
    CloseFrame,
    Deflate,
    Implementation,
    Message,
    Pairs,
    Peer,
    Refused,
    Request,
)


class OptionalDeflate(PerMessageDeflate):
    """Compression that can be switched off for a message: wsproto itself compresses them all."""

    compressing = True

    def frame_outbound(self, proto: Any, opcode: Any, rsv: Any, data: bytes, fin: bool) -> Any:
        if self.compressing:
            return super().frame_outbound(proto, opcode, rsv, data, fin)
        return rsv, data


class Stream:
    """A connection of wsproto and its transport."""

    def __init__(
        self,
        side: ConnectionType,
        deflate: Deflate,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.is_client = side is ConnectionType.CLIENT
        self.deflate = OptionalDeflate(**asdict(deflate))
        self._connection = WSConnection(side)
        self._events: deque[events.Event] = deque()
        self._reader = reader
        self._writer = writer

    async def send(self, event: events.Event) -> None:
        self._writer.write(self._connection.send(event))
        await self._writer.drain()

    async def next(self) -> Any:
        while not self._events:
            data = await self._reader.read(1 << 16)
            self._connection.receive_data(data or None)
            self._events.extend(self._connection.events())
        return self._events.popleft()

    async def end(self) -> None:
        """End the stream: the server first (RFC 6455 section 7.1.1)."""
        if self.is_client:
            assert await self._reader.read() == b""
        self._writer.close()
        await self._writer.wait_closed()

    def abort(self) -> None:
        self._writer.transport.abort()


class WsprotoPeer(Peer):
    def __init__(
        self,
        stream: Stream,
        headers: Iterable[tuple[str, str]],
        protocol: str | None,
        path: str = "",
    ) -> None:
        super().__init__(headers, protocol, path)
        self._stream = stream

    async def send(self, message: Message, *, compress: bool = True) -> None:
        self._stream.deflate.compressing = compress
        await self._send_fragment(message)

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        self._stream.deflate.compressing = compress
        for number, piece in enumerate(pieces):
            if number and ping is not None:
                await self.ping(ping + b"%d" % number)
            await self._send_fragment(piece, final=number == len(pieces) - 1)

    async def _send_fragment(self, piece: Message, *, final: bool = True) -> None:
        if isinstance(piece, str):
            await self._stream.send(events.TextMessage(piece, message_finished=final))
        else:
            await self._stream.send(events.BytesMessage(piece, message_finished=final))

    async def receive(self) -> Message:
        pieces: list[Any] = []
        while True:
            piece = await self._next()
            assert isinstance(piece, events.Message), piece
            pieces.append(piece.data)
            if piece.message_finished:
                return "".join(pieces) if isinstance(piece.data, str) else b"".join(pieces)

    async def ping(self, payload: bytes) -> bytes:
        await self._stream.send(events.Ping(payload))
        pong = await self._next()
        assert isinstance(pong, events.Pong), pong
        return bytes(pong.payload)

    async def close(self, code: int | None, reason: str) -> int | None:
        code = CloseReason.NO_STATUS_RCVD if code is None else code
        await self._stream.send(events.CloseConnection(code, reason or None))
        close = await self._next()
        await self._stream.end()
        return self._close_frame(close).code

    async def closed(self) -> CloseFrame:
        close = await self._next()
        await self._stream.send(close.response())
        await self._stream.end()
        return self._close_frame(close)

    async def abort(self) -> None:
        self._stream.abort()

    async def _next(self) -> Any:
        """Return the next event; a Ping is answered."""
        event = await self._stream.next()
        while isinstance(event, events.Ping):
            await self._stream.send(event.response())
            event = await self._stream.next()
        return event

    def _close_frame(self, close: Any) -> CloseFrame:
        assert isinstance(close, events.CloseConnection), close
        assert close.code != CloseReason.ABNORMAL_CLOSURE
        code = None if close.code == CloseReason.NO_STATUS_RCVD else int(close.code)
        return CloseFrame(code, close.reason or "")


class Wsproto(Implementation):
    takes_control_frames_inside = False

    async def connect(self, port: int, request: Request) -> Peer:
        streams = await asyncio.open_connection(HOST, port)
        stream = Stream(ConnectionType.CLIENT, request.deflate, *streams)
        headers = [("Origin", request.origin)] if request.origin else []
        await stream.send(
            events.Request(
                host=f"{HOST}:{port}",
                target=request.path,
                subprotocols=list(request.protocols),
                extensions=[stream.deflate],
                extra_headers=_encode([*headers, *request.headers]),
            )
        )
        answer = await stream.next()
        if isinstance(answer, events.AcceptConnection):
            # The elements of these two fields stand apart from the others.
            headers = _decode(answer.extra_headers)
            if answer.extensions:
                headers.append(("sec-websocket-extensions", str(answer.extensions)))
            return WsprotoPeer(stream, headers, answer.subprotocol)
        assert isinstance(answer, events.RejectConnection), answer
        body = b""
        while True:
            piece = await stream.next()
            assert isinstance(piece, events.RejectData), piece
            body += bytes(piece.data)
            if piece.body_finished:
                break
        await stream.end()
        raise Refused(answer.status_code, dict(_decode(answer.headers)), body)

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        accepted: asyncio.Queue[Peer] = asyncio.Queue()

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            stream = Stream(ConnectionType.SERVER, answer.deflate, reader, writer)
            request = await stream.next()
            assert isinstance(request, events.Request), request
            if answer.status != 101:
                await self._reject(stream, answer)
                return
            protocol = next((p for p in request.subprotocols if p in answer.protocols), None)
            await stream.send(
                events.AcceptConnection(
                    subprotocol=protocol,
                    extensions=[stream.deflate],
                    extra_headers=_encode(answer.headers),
                )
            )
            headers = [("host", request.host), *_decode(request.extra_headers)]
            if request.extensions:
                headers.append(
                    ("sec-websocket-extensions", ", ".join(map(str, request.extensions)))
                )
            accepted.put_nowait(WsprotoPeer(stream, headers, protocol, request.target))

        server = await asyncio.start_server(handle, HOST, 0)
        try:
            yield Listener(server.sockets[0].getsockname()[1], accepted.get)
        finally:
            server.close()

    async def _reject(self, stream: Stream, answer: Answer) -> None:
        headers = list(answer.headers)
        if not answer.chunked:  # which h11 makes of a body without a length
            headers.append(("Content-Length", str(len(answer.body))))
        await stream.send(
            events.RejectConnection(
                status_code=answer.status, headers=_encode(headers), has_body=True
            )
        )
        await stream.send(events.RejectData(answer.body))
        await stream.end()


def _encode(headers: Pairs) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]


def _decode(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in headers]


IMPLEMENTATION = Wsproto()

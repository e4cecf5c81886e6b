"""Our side of a connection over asyncio: every output is obeyed, nothing else is done.

`Endpoint` moves the bytes, keeps the timers and queues the events; the tests do the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Callable

HOST = "127.0.0.1"

LINGER = 5.0
"""Seconds that a peer gets to end its stream once the connection is over."""


@dataclass(frozen=True)
class Listener:
    """A server, ours or another's: its port, and what waits for its next connection."""

    port: int
    accepted: Callable[[], Awaitable[Any]]


class Endpoint(asyncio.Protocol):
    """A connection of ours with its transport and its timers."""

    def __init__(self, ws: Any, connection: Any) -> None:
        self.ws = ws
        self.connection = connection
        self.bytes_received = 0
        self.bytes_sent = 0
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._events: asyncio.Queue[Any] = asyncio.Queue()
        self._timers: dict[Any, asyncio.TimerHandle] = {}
        self._linger: asyncio.TimerHandle | None = None
        self._eof = False

    # What asyncio calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if isinstance(self.connection, self.ws.WebSocketClientConnection):
            self.connection.connect()
        self.flush()

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self.connection.feed_recv_buf(data, self._loop.time())
        self.flush()

    def eof_received(self) -> bool:
        self._eof = True
        self.connection.feed_eof(self._loop.time())
        self.flush()
        if self._linger is not None:
            self._transport.close()
        return True  # else the transport is closed when the connection asks for it

    def connection_lost(self, error: Exception | None) -> None:
        if not self._eof:
            self.eof_received()
        if self._linger is not None:
            self._linger.cancel()
        self._lost.set_result(None)

    # The loop of every Sans-I/O connection: feed, drain the events, drain the outputs

    def flush(self) -> None:
        """Drain events and outputs; due after every call of a method of the connection."""
        ws = self.ws
        for event in self.connection.events():
            self._events.put_nowait(event)
        for output in self.connection.outputs():
            if isinstance(output, ws.SendData):
                self.bytes_sent += len(output.data)
                self._transport.write(output.data)
            elif isinstance(output, ws.SetTimer):
                self._clear_timer(output.timer_id)
                self._timers[output.timer_id] = self._loop.call_later(
                    output.delay, self._timer_ran_out, output.timer_id
                )
            elif isinstance(output, ws.ClearTimer):
                self._clear_timer(output.timer_id)
            else:
                assert isinstance(output, ws.CloseConnection)
                self._close()

    def _clear_timer(self, timer_id: Any) -> None:
        handle = self._timers.pop(timer_id, None)
        if handle is not None:
            handle.cancel()

    def _timer_ran_out(self, timer_id: Any) -> None:
        del self._timers[timer_id]
        self.connection.handle_timer(timer_id, self._loop.time())
        self.flush()

    def _close(self) -> None:
        """End the stream after what is queued, and let the peer end its own before closing."""
        assert not self._timers, f"timers outlive the connection: {self._timers}"
        if self._eof:
            self._transport.close()
            return
        with suppress(OSError):  # the peer may have reset the connection
            self._transport.write_eof()
        self._linger = self._loop.call_later(LINGER, self._transport.abort)

    # What the tests call

    async def event(self, kind: type | tuple[type, ...]) -> Any:
        """Return the next event that is no `StateChanged`; it must be of this kind."""
        event = await self._events.get()
        while isinstance(event, self.ws.StateChanged):
            assert event.state is not self.ws.ConnectionState.CLOSED
            event = await self._events.get()
        assert isinstance(event, kind), event
        return event

    async def ended(self) -> None:
        """Wait until all is over; CLOSED must be the last event, and nothing may precede it."""
        event = await self._events.get()
        while event == self.ws.StateChanged(self.ws.ConnectionState.CLOSING):
            event = await self._events.get()
        assert event == self.ws.StateChanged(self.ws.ConnectionState.CLOSED)
        await self._lost
        assert self._events.empty()

    def abort(self) -> None:
        self._transport.abort()


async def connect(ws: Any, port: int, path: str = "/", **options: Any) -> Endpoint:
    """Connect a client of ours; the handshake is only begun."""
    connection = ws.WebSocketClientConnection(
        ws.ClientConnectionOptions(f"{HOST}:{port}", path, **options)
    )
    loop = asyncio.get_running_loop()
    _, endpoint = await loop.create_connection(lambda: Endpoint(ws, connection), HOST, port)
    return endpoint


@asynccontextmanager
async def serve(ws: Any, **options: Any) -> AsyncIterator[Listener]:
    """Run a server of ours; its handshakes are left to the tests."""
    accepted: asyncio.Queue[Endpoint] = asyncio.Queue()

    def new_endpoint() -> Endpoint:
        endpoint = Endpoint(ws, ws.WebSocketServerConnection(ws.ServerConnectionOptions(**options)))
        accepted.put_nowait(endpoint)
        return endpoint

    server = await asyncio.get_running_loop().create_server(new_endpoint, HOST, 0)
    try:
        yield Listener(server.sockets[0].getsockname()[1], accepted.get)
    finally:
        server.close()

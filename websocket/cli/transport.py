"""Sans-I/O connections over asyncio transports: what both commands move their bytes with."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from ..connection import Connection
from ..events import Event
from ..outputs import CloseConnection, Output, SendData, SetTimer
from ..timers import TimerId

__all__ = ["LINGER", "ConnectionProtocol"]

LINGER = 1.0
"""Seconds that a peer has to end its stream, or to take some more of ours, after the connection."""


class ConnectionProtocol(asyncio.Protocol):
    """Carries the bytes of one connection and keeps its timers.

    A subclass says what its events mean, and calls `advance` after whatever it asked of the
    connection outside of `event_received`.

    Args:
        connection: a server's, or a client's after `connect`.
        read_while_blocked: whether to go on reading while the peer does not take what is sent to
            it. Whoever answers what it reads must not, or it holds all the answers in memory.
            Whoever waits until `drained` must: two peers that wait for each other wait for ever.
    """

    def __init__(self, connection: Connection[Any], *, read_while_blocked: bool) -> None:
        self.connection = connection
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cause: Exception | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: dict[TimerId, asyncio.TimerHandle] = {}
        self._linger: asyncio.TimerHandle | None = None
        self._read_while_blocked = read_while_blocked
        self._writable = asyncio.Event()
        self._writable.set()
        self._paused = False
        self._eof = False

    def event_received(self, event: Event) -> None:
        """Do what the event calls for."""
        raise NotImplementedError

    @property
    def peer(self) -> str:
        """The address of the peer, as long as there is a transport."""
        address = self._transport and self._transport.get_extra_info("peername")
        return format_address(address) if address else "?"

    def advance(self) -> None:
        """Drain the events, then the outputs."""
        for event in self.connection.events():
            self.event_received(event)
        for output in self.connection.outputs():
            if self._transport is not None:
                self._perform(output, self._transport)

    async def drained(self) -> None:
        """Wait until there is room for more, or nobody to send to."""
        await self._writable.wait()

    def abort(self) -> None:
        """End the transport at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast(asyncio.Transport, transport)
        self.advance()

    def data_received(self, data: bytes) -> None:
        """Bytes have come; those behind the end of the connection are ignored by it."""
        self.connection.feed_recv_buf(data, self._loop.time())
        self.advance()

    def eof_received(self) -> None:
        """The peer's stream has ended. The transport closes itself once it is flushed."""
        self._eof = True
        self.connection.feed_eof(self._loop.time())
        self.advance()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self.cause = exc
        self._transport = None
        self.connection.feed_eof(self._loop.time())
        self.advance()
        for handle in self._timers.values():
            handle.cancel()
        if self._linger is not None:
            self._linger.cancel()
        self._writable.set()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The peer does not take what is sent to it as fast as it comes."""
        self._writable.clear()
        if not self._read_while_blocked and self._transport is not None and self._linger is None:
            self._paused = True
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has taken most of it."""
        self._writable.set()
        self._resume_reading()

    def _resume_reading(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # What the connection asks for

    def _perform(self, output: Output, transport: asyncio.Transport) -> None:
        if isinstance(output, SendData):
            transport.write(output.data)
        elif isinstance(output, CloseConnection):
            self._end(transport)
        else:
            handle = self._timers.pop(output.timer_id, None)
            if handle is not None:
                handle.cancel()
            if isinstance(output, SetTimer):
                self._arm(output, transport)

    def _arm(self, timer: SetTimer, transport: asyncio.Transport) -> None:
        unsent = transport.get_write_buffer_size()
        self._timers[timer.timer_id] = self._loop.call_later(
            timer.delay, self._run_out, timer, unsent
        )

    def _run_out(self, timer: SetTimer, unsent: int) -> None:
        del self._timers[timer.timer_id]
        transport = self._transport
        if transport is None:
            return
        if (
            timer.timer_id is TimerId.PONG_TIMEOUT
            and self._paused
            and transport.get_write_buffer_size() < unsent
        ):
            # The Pong cannot be seen while nothing is read, and a peer that still takes what it is
            # sent is alive.
            self._arm(timer, transport)
            return
        self.connection.handle_timer(timer.timer_id, self._loop.time())
        self.advance()

    def _end(self, transport: asyncio.Transport) -> None:
        """End the transport as `CloseConnection` says."""
        self._resume_reading()
        connection = self.connection
        exchanged = connection.close_received is not None and connection.close_sent is not None
        if transport.can_write_eof() and not self._eof:
            try:
                transport.write_eof()
            except OSError:  # the peer has reset the connection
                transport.abort()
        elif self._eof or exchanged:
            # TLS has no half-close; but behind the peer's Close frame nothing comes that could
            # make TCP reset the connection.
            transport.close()
        self._wait_for_end(transport)

    def _wait_for_end(self, transport: asyncio.Transport) -> None:
        unsent = transport.get_write_buffer_size()
        self._linger = self._loop.call_later(LINGER, self._stop_waiting, unsent)

    def _stop_waiting(self, unsent: int) -> None:
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() < unsent:
            self._wait_for_end(transport)
        elif transport.is_closing():
            transport.abort()
        else:
            transport.close()
            self._wait_for_end(transport)


def format_address(address: tuple[Any, ...]) -> str:
    """Write a socket's address as in a URL."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

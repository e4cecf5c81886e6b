"""What the connections of both sides share: states, timers, control frames, closing, failing.

The state machine of RFC 6455 stands here once. What is done for every message lies below, in the
wire; what the opening handshake needs stands above, in `client` and `server`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, NoReturn, TypeVar

from ._backend import BaseConnection
from .checks import check_strings
from .close_codes import CloseCode
from .codec import PerMessageDeflate
from .deflate import PERMESSAGE_DEFLATE, PerMessageDeflateConfig, check_hand_built
from .errors import (
    ConnectionLost,
    ConnectionTimedOut,
    ExtensionParseError,
    InvalidUtf8,
    LocalProtocolError,
    RemoteProtocolError,
    WebSocketError,
)
from .events import Connected, Failed, Ping, Pong, StateChanged
from .extensions import Extension
from .frames import FIN, BytesLike, close_payload, control_payload
from .opcodes import Opcode
from .options import ConnectionOptions
from .outputs import ClearTimer, CloseConnection, SetTimer
from .prepared import PreparedMessage
from .randomness import RandomSource
from .states import TRANSITIONS, ConnectionState
from .timers import TimerId, Timestamp, check_timestamp
from .values import Close

__all__ = ["Connection", "check_extensions"]

MAX_OUTSTANDING_PINGS = 1024
"""Pings remembered until their Pong comes. Beyond, the oldest is forgotten."""


OptionsT = TypeVar("OptionsT", bound=ConnectionOptions)


class Connection(BaseConnection, Generic[OptionsT]):
    """A WebSocket connection without its transport.

    The loop is always the same: feed what has come, drain the events, drain the outputs. Nothing
    here is safe to call from two threads at once.
    """

    __slots__ = (
        "_armed_timers",
        "_close_received",
        "_close_received_first",
        "_close_sent",
        "_extensions",
        "_keepalive_count",
        "_options",
        "_outstanding_pings",
        "_protocol",
    )

    def __init__(
        self,
        options: OptionsT,
        *,
        client: bool,
        random: RandomSource | None,
        state: ConnectionState,
    ) -> None:
        super().__init__(
            client=client,
            random=random,
            state=state,
            max_frame_size=options.max_frame_size,
            max_message_size=options.max_message_size,
            max_decompressed_size=options.max_decompressed_size,
            max_fragments=options.max_fragments,
        )
        self._options = options
        self._protocol: str | None = None
        self._extensions: tuple[str, ...] = ()
        self._armed_timers: tuple[TimerId, ...] = ()
        self._outstanding_pings: deque[tuple[bytes, Timestamp | None]] | None = None
        self._keepalive_count = 0
        self._close_received: Close | None = None
        self._close_sent: Close | None = None
        self._close_received_first = False

    def __reduce__(self) -> NoReturn:
        # A copy would mask with the same keys (RFC 6455 section 5.3).
        raise TypeError(f"a {type(self).__name__} can be neither copied nor pickled")

    @property
    def state(self) -> ConnectionState:
        """Where the connection stands."""
        return self._state

    @property
    def protocol(self) -> str | None:
        """The subprotocol agreed on (RFC 6455 section 1.9)."""
        return self._protocol

    @property
    def extensions(self) -> tuple[str, ...]:
        """The extensions agreed on, as in the header (RFC 6455 section 9)."""
        return self._extensions

    @property
    def close_received(self) -> Close | None:
        """The Close frame that the peer sent."""
        return self._close_received

    @property
    def close_sent(self) -> Close | None:
        """The Close frame that was sent."""
        return self._close_sent

    @property
    def close_received_first(self) -> bool:
        """Whether the peer sent its Close frame first."""
        return self._close_received_first

    @property
    def streaming(self) -> bool:
        """Whether data comes piece by piece, as `TextFragment` and `BinaryFragment`.

        As far as it has arrived, so that a message of any size takes no more memory than what is
        fed at once. Set at any time; it holds from the next message on.
        """
        return self._streaming

    @streaming.setter
    def streaming(self, streaming: bool) -> None:
        self._streaming = bool(streaming)

    # Calls

    def feed_eof(self, now: Timestamp | None = None) -> None:
        """Tell that the peer's stream has ended; takes effect behind all that was fed before.

        Without a Close frame received the connection fails with `ConnectionLost` (1006).

        Args:
            now: the time in seconds, on any clock of the caller's.

        Raises:
            LocalProtocolError: if a client has not called `connect` yet.
            TypeError: if `now` is not a number.
        """
        check_timestamp(now)
        if self._state is not ConnectionState.CLOSED:
            self._check_begun("feed_eof")
            self._eof = True
            self._unpolled = True

    def send_ping(self, payload: BytesLike = b"", now: Timestamp | None = None) -> None:
        """Send a Ping (RFC 6455 section 5.5.2). Its Pong is due within `pong_timeout`.

        Args:
            payload: up to 125 bytes, which the Pong brings back.
            now: the time in seconds, for `Pong.latency`.

        Raises:
            LocalProtocolError: if the state is not CONNECTED or the payload is too long.
            TypeError: if the payload is not bytes-like or `now` is not a number.
        """
        self._check_connected("send_ping")
        self._ping(control_payload("Ping", payload), check_timestamp(now))

    def send_pong(self, payload: BytesLike = b"") -> None:
        """Send a Pong (RFC 6455 section 5.5.3), in answer to a Ping or as a sign of life.

        Like the automatic one it may still be sent after a Close frame (RFC 6455 section 5.5.1
        forbids only data then), until the peer's Close has come.

        Args:
            payload: up to 125 bytes, those of the Ping that is answered.

        Raises:
            LocalProtocolError: if the state is neither CONNECTED nor CLOSING, the peer's Close
                has come, or the payload is too long.
            TypeError: if the payload is not bytes-like.
        """
        if self._state is not ConnectionState.CLOSING or self._close_received is not None:
            self._check_connected("send_pong")
        self._send_frame(FIN | Opcode.PONG, control_payload("Pong", payload))

    def send_prepared(self, message: PreparedMessage) -> None:
        """Send a message that was encoded once for many connections.

        Args:
            message: made of what `send_text` or `send_binary` would be given.

        Raises:
            LocalProtocolError: if the state is not CONNECTED or a fragmented message is unfinished.
            TypeError: if it is no `PreparedMessage`.
        """
        if not isinstance(message, PreparedMessage):
            raise TypeError(f"message must be a PreparedMessage, not {message!r}")
        self._check_sendable("send_prepared")
        encoding = message.encode(self._deflate)
        if self._client:
            self._send_frame(encoding.first_octet, encoding.payload)
        else:
            self._push_output(encoding.frame)
        if encoding.compressed:
            # The peer's window has it now, and ours has not.
            self._deflate.forget()

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """Begin the closing handshake (RFC 6455 section 7.1.2). In CLOSING this does nothing.

        Messages that the peer sent before its own Close still come as events.

        Args:
            code: 1000-1003, 1007-1014 or 3000-4999; `None` sends an empty Close frame.
            reason: up to 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: if the handshake is not over or the state is CLOSED, if the code
                must not be sent, or if the reason is too long, not encodable, or without a code.
            TypeError: if `code` is not an int or `reason` not a str.
        """
        if self._state is ConnectionState.CLOSING:
            return
        self._check_connected("close")
        if code is not None:
            if isinstance(code, bool) or not isinstance(code, int):
                raise TypeError(f"close code must be an int or None, not {code!r}")
            if not CloseCode.is_sendable(code):
                raise LocalProtocolError(
                    f"close code {code} must not be sent; use 1000-1003, 1007-1014 or 3000-4999"
                )
            code = int(code)
        if not isinstance(reason, str):
            raise TypeError(f"close reason must be str, not {reason!r}")
        if code is None and reason:
            raise LocalProtocolError(f"close reason {reason!r} needs a close code")
        self._send_close(Close(code, reason))
        self._clear_timer(TimerId.PONG_TIMEOUT)
        self._clear_timer(TimerId.PING)
        self._set_timer(TimerId.CLOSE_TIMEOUT, self._options.close_timeout)
        self._enter(ConnectionState.CLOSING)

    def handle_timer(self, timer_id: TimerId, now: Timestamp | None = None) -> None:
        """Tell that a timer has run out. One that is not armed is ignored.

        Args:
            timer_id: the timer of the `SetTimer`.
            now: the time in seconds, for the latency of a keepalive Ping.

        Raises:
            TypeError: if `timer_id` is not a `TimerId` or `now` is not a number.
        """
        if not isinstance(timer_id, TimerId):
            raise TypeError(f"timer_id must be a TimerId, not {timer_id!r}")
        now = check_timestamp(now)
        if timer_id not in self._armed_timers:
            return
        self._disarm(timer_id)
        if timer_id is TimerId.PING:
            self._keep_alive(now)
        elif timer_id is TimerId.PONG_TIMEOUT:
            # The Pong may be in what the application has not polled yet: its slowness is no
            # fault of the peer's.
            if self._unpolled:
                self._set_timer(TimerId.PONG_TIMEOUT, self._options.pong_timeout)
            else:
                self._fail(self._timed_out(timer_id))
        elif timer_id is TimerId.OPEN_TIMEOUT:
            self._open_timed_out()
        elif self._close_received is None:
            self._fail(self._timed_out(timer_id))
        else:
            self._finish()

    # The state machine

    def _enter(self, state: ConnectionState) -> None:
        """Enter a state: the only place where it is written."""
        if state not in TRANSITIONS[self._state]:
            raise LocalProtocolError(
                f"a connection cannot go from {self._state.name} to {state.name}"
            )
        self._state = state
        self._push_event(StateChanged(state))

    def _open(
        self,
        protocol: str | None,
        extensions: tuple[str, ...],
        agreement: PerMessageDeflateConfig | None,
    ) -> None:
        """The opening handshake has succeeded."""
        self._protocol = protocol
        self._extensions = extensions
        if agreement is not None:
            self._deflate = PerMessageDeflate(
                agreement, client=self._client, tuning=self._options.deflate
            )
        self._enter(ConnectionState.CONNECTED)
        self._push_event(Connected(protocol, extensions))
        self._clear_timer(TimerId.OPEN_TIMEOUT)
        self._set_timer(TimerId.PING, self._options.ping_interval)

    def _fail(self, error: WebSocketError) -> None:
        """Fail the connection (RFC 6455 section 7.1.7): the one path for every kind of failure."""
        # The frames of a traceback would keep the connection, and those above it, alive in a cycle.
        error.__context__ = None
        # Before anything else: a caller's random source may poll while the Close frame is masked.
        self._discard_input()
        self._push_event(Failed(error.with_traceback(None)))
        established = self._state in (ConnectionState.CONNECTED, ConnectionState.CLOSING)
        code = error.close_code
        try:
            if established and self._close_sent is None and code != CloseCode.ABNORMAL_CLOSURE:
                # Fixed words: the text of the error may tell a stranger too much.
                self._send_close(Close(int(code), CloseCode.describe(code)))
        finally:
            # A caller's random source may raise where the frame is masked.
            self._finish()

    def _finish(self) -> None:
        """It is over."""
        self._discard_input()
        self._deflate = None
        self._eof = False
        self._outstanding_pings = None
        for timer_id in _CLEARING_ORDER:
            self._clear_timer(timer_id)
        self._enter(ConnectionState.CLOSED)
        self._push_output(CloseConnection())

    def _check_begun(self, call: str) -> None:
        """Raise if there is no connection yet that the peer could speak to."""

    def _check_connected(self, call: str) -> None:
        if self._state is not ConnectionState.CONNECTED:
            raise LocalProtocolError(f"{call}() needs the state CONNECTED, not {self._state.name}")

    # Timers

    def _set_timer(self, timer_id: TimerId, delay: float | None) -> None:
        if delay is not None:
            if timer_id not in self._armed_timers:
                self._armed_timers += (timer_id,)
            self._push_output(SetTimer(timer_id, delay))

    def _clear_timer(self, timer_id: TimerId) -> None:
        if timer_id in self._armed_timers:
            self._disarm(timer_id)
            self._push_output(ClearTimer(timer_id))

    def _disarm(self, timer_id: TimerId) -> None:
        self._armed_timers = tuple([armed for armed in self._armed_timers if armed is not timer_id])

    def _timed_out(self, timer_id: TimerId) -> ConnectionTimedOut:
        return ConnectionTimedOut(
            timer_id, self._close_received, self._close_sent, self._close_received_first
        )

    def _open_timed_out(self) -> None:
        """The opening handshake was not over in time."""
        self._fail(self._timed_out(TimerId.OPEN_TIMEOUT))

    # Ping and Pong (RFC 6455 sections 5.5.2 and 5.5.3)

    def _ping(self, payload: bytes, now: Timestamp | None) -> None:
        self._send_frame(FIN | Opcode.PING, payload)
        if self._outstanding_pings is None:
            self._outstanding_pings = deque(maxlen=MAX_OUTSTANDING_PINGS)
        if not self._outstanding_pings:
            self._set_timer(TimerId.PONG_TIMEOUT, self._options.pong_timeout)
        self._outstanding_pings.append((payload, now))

    def _keep_alive(self, now: Timestamp | None) -> None:
        # While the Pong to an earlier Ping is awaited, and will be missed, a second one would tell
        # nothing more. Without a pong_timeout the Pings still keep the path through NATs open.
        try:
            if TimerId.PONG_TIMEOUT not in self._armed_timers:
                self._keepalive_count += 1
                self._ping(b"keepalive %d" % self._keepalive_count, now)
        finally:
            self._set_timer(TimerId.PING, self._options.ping_interval)

    def _settle_pings(self, payload: bytes, now: Timestamp | None) -> float | None:
        """Settle the oldest outstanding Ping of that payload and all before it.

        RFC 6455 section 5.5.3 lets a peer answer only the latest of several Pings. Returns the
        latency, if known.
        """
        pings = self._outstanding_pings
        if not pings or all(payload != sent_payload for sent_payload, _ in pings):
            return None
        sent_payload, sent = pings.popleft()
        while sent_payload != payload:
            sent_payload, sent = pings.popleft()
        if self._state is ConnectionState.CONNECTED:
            if pings:
                self._set_timer(TimerId.PONG_TIMEOUT, self._options.pong_timeout)
            else:
                self._clear_timer(TimerId.PONG_TIMEOUT)
        return None if sent is None or now is None else now - sent

    # Closing (RFC 6455 sections 5.5.1 and 7.1)

    def _send_close(self, close: Close) -> None:
        self._send_frame(FIN | Opcode.CLOSE, close_payload(close.code, close.reason))
        self._close_sent = close

    def _receive_close(self, payload: bytes) -> None:
        try:
            close = _parse_close(payload)
        except RemoteProtocolError as error:
            self._fail(error)
            return
        self._close_received = close
        self._discard_input()
        self._deflate = None
        self._push_event(close)
        try:
            if self._close_sent is None:
                self._close_received_first = True
                self._send_close(Close(CloseCode.NORMAL if close.code is None else close.code, ""))
        finally:
            self._closing_handshake_done()

    def _closing_handshake_done(self) -> None:
        """Both Close frames are exchanged."""
        raise NotImplementedError

    # What the wire asks for

    def _admit(self) -> bool:
        self._check_begun("feed_recv_buf")
        # The wire refuses what comes after the end of stream; nothing must have changed then.
        if self._state is ConnectionState.DISCONNECTED and not self._eof:
            self._enter(ConnectionState.CONNECTING)
        # What follows the peer's Close frame is not looked at (RFC 6455 section 5.5.1).
        return self._state is not ConnectionState.CLOSED and self._close_received is None

    def _receive_control(self, opcode: int, payload: bytes, now: Timestamp | None) -> None:
        if opcode == Opcode.PING:
            self._push_event(Ping(payload))
            if self._options.auto_pong:
                self._send_frame(FIN | Opcode.PONG, payload)
        elif opcode == Opcode.PONG:
            self._push_event(Pong(payload, self._settle_pings(payload, now)))
        else:
            self._receive_close(payload)

    def _receive_eof(self) -> None:
        if self._close_received is not None:
            self._finish()
            return
        during_handshake = self._state in (ConnectionState.DISCONNECTED, ConnectionState.CONNECTING)
        self._fail(ConnectionLost(None, self._close_sent, False, during_handshake))


_CLEARING_ORDER = (
    TimerId.PONG_TIMEOUT,
    TimerId.PING,
    TimerId.CLOSE_TIMEOUT,
    TimerId.OPEN_TIMEOUT,
)


def check_extensions(
    extensions: Iterable[str], offers: Sequence[str] | None = None
) -> tuple[tuple[str, ...], PerMessageDeflateConfig | None]:
    """Return the elements that the caller says are agreed on, and what they mean for compression.

    Args:
        extensions: the elements of ``Sec-WebSocket-Extensions``.
        offers: those of the client, if they are to be compared.

    Raises:
        LocalProtocolError: if one is malformed, or is a permessage-deflate that cannot be.
        TypeError: if they are no strings.
    """
    elements = check_strings("extensions", extensions)
    agreement: PerMessageDeflateConfig | None = None
    for element in elements:
        try:
            parsed = Extension.parse_strict(element)
            if len(parsed) != 1:
                raise LocalProtocolError(
                    f"extension {element!r} is not one element but {len(parsed)}:"
                    " give each by itself"
                )
            if parsed[0].name != PERMESSAGE_DEFLATE:
                continue
            if agreement is not None:
                raise LocalProtocolError(f"{PERMESSAGE_DEFLATE} is there twice: {elements!r}")
            if offers is None:
                agreement = PerMessageDeflateConfig.from_extension_for_client_response(parsed[0])
            else:
                agreement = check_hand_built(element, offers)
        except ExtensionParseError as error:
            raise LocalProtocolError(f"extension {element!r} is malformed: {error}") from error
    return elements, agreement


def _parse_close(payload: bytes) -> Close:
    """Read the payload of a Close frame.

    Raises:
        RemoteProtocolError: if the code or the reason must not be there.
    """
    if not payload:
        return Close(None, "")
    if len(payload) == 1:
        raise RemoteProtocolError(f"Close frame with half a close code: {payload!r}")
    code = int.from_bytes(payload[:2], "big")
    if not CloseCode.is_valid(code):
        raise RemoteProtocolError(f"Close frame with the code {code}, which must not be sent")
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise InvalidUtf8(f"close reason {payload[2:]!r} is not UTF-8") from None

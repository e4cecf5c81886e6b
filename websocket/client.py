"""The client's connection: its opening handshake, and how it ends (RFC 6455 section 4.1)."""

from __future__ import annotations

from collections.abc import Iterable

from .checks import check_string
from .connection import Connection, check_extensions
from .deflate import PerMessageDeflateConfig, check_answer
from .errors import HandshakeError, LimitExceeded, LocalProtocolError
from .handshake.request import HandshakeRequest
from .handshake.response import HandshakeValidator, check_offers
from .options import ClientConnectionOptions
from .randomness import RandomSource, SecureRandom
from .states import ConnectionState
from .timers import TimerId
from .values import HandshakeResponse

__all__ = ["WebSocketClientConnection"]


class WebSocketClientConnection(Connection[ClientConnectionOptions]):
    r"""The client's side of a connection.

    Args:
        options: whom to speak to, timers and limits.
        random: a source of masking keys and of the nonce, instead of the operating system's.

    >>> connection = WebSocketClientConnection(ClientConnectionOptions("example.com", "/chat"))
    >>> connection.connect()
    >>> connection.poll_output().data.split(b"\r\n")[0]
    b'GET /chat HTTP/1.1'
    """

    __slots__ = ("_response", "_validator")

    _response: HandshakeResponse | None
    _validator: HandshakeValidator | None

    def __init__(
        self, options: ClientConnectionOptions, *, random: RandomSource | None = None
    ) -> None:
        self._begin(options, random, ConnectionState.DISCONNECTED)

    @classmethod
    def established(
        cls,
        options: ClientConnectionOptions | None = None,
        *,
        protocol: str | None = None,
        extensions: Iterable[str] = (),
        random: RandomSource | None = None,
    ) -> WebSocketClientConnection:
        """Make a connection whose opening handshake was done elsewhere (RFC 8441, for example).

        Args:
            options: timers and limits.
            protocol: the subprotocol agreed on.
            extensions: the elements of the header that names the extensions agreed on.
            random: a source of masking keys, instead of the operating system's.

        Raises:
            LocalProtocolError: if an extension is malformed or not supported.
            TypeError: if an argument is of another type.
        """
        elements, agreement = check_extensions(extensions)
        if protocol is not None:
            check_string("protocol", protocol)
        if options is None:
            options = ClientConnectionOptions()
        connection = cls.__new__(cls)
        connection._begin(options, random, ConnectionState.CONNECTING)
        connection._open(protocol, elements, agreement)
        return connection

    def _begin(
        self,
        options: ClientConnectionOptions,
        random: RandomSource | None,
        state: ConnectionState,
    ) -> None:
        if not isinstance(options, ClientConnectionOptions):
            raise TypeError(f"options must be ClientConnectionOptions, not {options!r}")
        super().__init__(options, client=True, random=random, state=state)
        self._validator = None
        self._response = None

    @property
    def handshake_response(self) -> HandshakeResponse | None:
        """What the server answered, as soon as the head of its answer has been polled."""
        return self._response if self._validator is None else self._validator.response

    @property
    def recv_buffer_len(self) -> int:
        """Bytes held for events to come: undecoded input and the message under assembly."""
        awaited = 0 if self._validator is None else self._validator.buffer_len
        return super().recv_buffer_len + awaited

    def connect(self) -> None:
        """Begin the opening handshake: the request is the first output.

        Raises:
            LocalProtocolError: if it was called before, or if an option cannot be sent: host,
                path, origin, a subprotocol or a header. Nothing has changed then.
            ValueError: if the random source gives a nonce that has not 16 bytes.
        """
        options = self._options
        if self._state is not ConnectionState.DISCONNECTED:
            raise LocalProtocolError(
                f"connect() needs the state DISCONNECTED, not {self._state.name}"
            )
        random = SecureRandom() if self._random is None else self._random
        nonce = random.nonce()
        request = HandshakeRequest(
            options.path,
            options.host,
            origin=options.origin,
            protocols=options.protocols,
            extensions=self._offers,
            headers=options.headers,
        ).build(nonce)
        self._validator = HandshakeValidator(
            nonce, max_size=options.max_handshake_size, max_body=options.max_response_body
        )
        self._enter(ConnectionState.CONNECTING)
        self._push_output(request)
        self._set_timer(TimerId.OPEN_TIMEOUT, options.open_timeout)

    def _check_begun(self, call: str) -> None:
        if self._state is ConnectionState.DISCONNECTED:
            raise LocalProtocolError(f"{call}() was called before connect()")

    def _poll_handshake(self) -> bool:
        validator = self._validator
        assert validator is not None
        validator.feed(self._take_input())
        try:
            response = validator.validate()
            if response is None:
                return True
            check_offers(response, self._options.protocols, self._offers)
            agreement = self._agreement(response.extensions)
        except (HandshakeError, LimitExceeded) as error:
            self._response = validator.response
            self._fail(error)
            return True
        self._response = response
        self._validator = None
        self._return_input(validator.remaining)
        self._open(response.protocol, response.extensions, agreement)
        return True

    @property
    def _offers(self) -> tuple[str, ...]:
        deflate = self._options.deflate
        return () if deflate is None else (deflate.to_extension().encode(),)

    def _agreement(self, extensions: tuple[str, ...]) -> PerMessageDeflateConfig | None:
        """What the server's answer to our only offer says.

        Raises:
            InvalidHandshake: if it does not accept what was offered.
        """
        deflate = self._options.deflate
        return None if deflate is None or not extensions else check_answer(extensions[0], deflate)

    def _finish_handshake(self) -> bool:
        """Give the answer up. Whether it was a refusal, of which the body was awaited."""
        if self._validator is None:
            return False
        try:
            self._validator.finish()
        except HandshakeError as error:
            self._response = self._validator.response
            self._fail(error)
            return True
        return False

    def _open_timed_out(self) -> None:
        if not self._finish_handshake():
            super()._open_timed_out()

    def _receive_eof(self) -> None:
        if not self._finish_handshake():
            super()._receive_eof()

    def _finish(self) -> None:
        self._validator = None
        super()._finish()

    def _closing_handshake_done(self) -> None:
        # The server closes TCP first, so that the TIME_WAIT is its own (RFC 6455 section 7.1.1).
        self._clear_timer(TimerId.PONG_TIMEOUT)
        self._clear_timer(TimerId.PING)
        self._set_timer(TimerId.CLOSE_TIMEOUT, self._options.close_timeout)
        if self._state is ConnectionState.CONNECTED:
            self._enter(ConnectionState.CLOSING)

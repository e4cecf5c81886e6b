"""The server's connection: its opening handshake, and how it ends (RFC 6455 section 4.2)."""

from __future__ import annotations

from collections.abc import Iterable

from .checks import check_string
from .connection import Connection, check_extensions
from .deflate import PerMessageDeflateConfig, accept_offers
from .errors import (
    HandshakeError,
    InvalidHandshake,
    LimitExceeded,
    LocalProtocolError,
    WebSocketError,
)
from .events import HandshakeRequested
from .frames import BytesLike
from .handshake.request import HandshakeRequestValidator, ServerHandshakeRequest
from .handshake.response import (
    ServerHandshakeResponse,
    build_acceptance,
    build_refusal,
    choose_protocol,
)
from .headers import HeaderPairs
from .options import ServerConnectionOptions
from .randomness import RandomSource
from .states import ConnectionState
from .timers import TimerId

__all__ = ["WebSocketServerConnection"]

_DEFAULT_OPTIONS = ServerConnectionOptions()


class WebSocketServerConnection(Connection[ServerConnectionOptions]):
    """The server's side of a connection.

    Args:
        options: what is supported, timers and limits.
        random: unused by a server, which masks nothing; taken so that both sides are made alike.
    """

    __slots__ = ("_request", "_validator")

    _request: ServerHandshakeRequest | None
    _validator: HandshakeRequestValidator | None

    def __init__(
        self,
        options: ServerConnectionOptions | None = None,
        *,
        random: RandomSource | None = None,
    ) -> None:
        self._begin(options, random, ConnectionState.DISCONNECTED)
        self._validator = HandshakeRequestValidator(max_size=self._options.max_handshake_size)
        self._set_timer(TimerId.OPEN_TIMEOUT, self._options.open_timeout)

    @classmethod
    def established(
        cls,
        options: ServerConnectionOptions | None = None,
        *,
        protocol: str | None = None,
        extensions: Iterable[str] = (),
        random: RandomSource | None = None,
    ) -> WebSocketServerConnection:
        """Make a connection whose opening handshake was done elsewhere (RFC 8441, for example).

        Args:
            options: timers and limits.
            protocol: the subprotocol agreed on.
            extensions: the elements of the header that names the extensions agreed on.
            random: as for the constructor.

        Raises:
            LocalProtocolError: if an extension is malformed or not supported.
            TypeError: if an argument is of another type.
        """
        elements, agreement = check_extensions(extensions)
        if protocol is not None:
            check_string("protocol", protocol)
        connection = cls.__new__(cls)
        connection._begin(options, random, ConnectionState.CONNECTING)
        connection._open(protocol, elements, agreement)
        return connection

    def _begin(
        self,
        options: ServerConnectionOptions | None,
        random: RandomSource | None,
        state: ConnectionState,
    ) -> None:
        if options is None:
            options = _DEFAULT_OPTIONS
        elif not isinstance(options, ServerConnectionOptions):
            raise TypeError(f"options must be ServerConnectionOptions, not {options!r}")
        super().__init__(options, client=False, random=random, state=state)
        self._validator = None
        self._request = None

    @property
    def handshake_request(self) -> ServerHandshakeRequest | None:
        """What the client asked for, as soon as `HandshakeRequested` has been polled."""
        return self._request

    @property
    def recv_buffer_len(self) -> int:
        """Bytes held for events to come: undecoded input and the message under assembly."""
        awaited = 0 if self._validator is None else self._validator.buffer_len
        return super().recv_buffer_len + awaited

    def accept_handshake_auto(self) -> None:
        """Answer the request by the options: accept a sound one, refuse any other.

        Only a request whose ``Origin`` is among `options.origins` is accepted, or any if that is
        `None`: then every web page that a user visits can speak to this server in the user's name
        (RFC 6455 section 10.2). Neither the path nor cookies or credentials are looked at; whoever
        must, answers with `accept_handshake` or `reject_handshake`.

        The first of the client's subprotocols that is supported is chosen; none is no error. A
        refusal (400, 403, 405, 426) comes with `Failed`.

        Raises:
            LocalProtocolError: if there is no request to answer, or if `options.headers` cannot
                be sent.
        """
        request = self._pending_request("accept_handshake_auto")
        error = request.error or self._judge_origin(request)
        if error is not None:
            self._refuse(error.status, error)
            return
        protocol = choose_protocol(request.protocols, self._options.protocols)
        deflate = self._options.deflate
        accepted = None if deflate is None else accept_offers(request.extensions, deflate)
        extensions, agreement = ((), None) if accepted is None else ((accepted[0],), accepted[1])
        assert request.key is not None
        self._accept(
            build_acceptance(request.key, protocol, extensions, self._options.headers),
            protocol,
            extensions,
            agreement,
        )

    def accept_handshake(self, response: ServerHandshakeResponse | None = None) -> None:
        """Accept the request.

        Args:
            response: subprotocol, extensions and headers of the answer; `options.headers` follow
                its own.

        Raises:
            LocalProtocolError: if there is no request to answer, if it is no sound WebSocket
                handshake (`request.error`), or if the response must not be sent: a subprotocol or
                an extension that the client did not offer, a reserved or malformed header. Nothing
                has changed then.
            TypeError: if it is no `ServerHandshakeResponse`.
        """
        request = self._pending_request("accept_handshake")
        if request.error is not None:
            raise LocalProtocolError(
                f"the request is no WebSocket handshake: {request.error}; reject_handshake() or"
                " accept_handshake_auto() can answer it"
            ) from request.error
        if response is None:
            response = ServerHandshakeResponse()
        elif not isinstance(response, ServerHandshakeResponse):
            raise TypeError(f"response must be a ServerHandshakeResponse, not {response!r}")
        _, agreement = check_extensions(response.extensions, request.extensions)
        self._accept(
            response.build(request, self._options.headers),
            response.protocol,
            response.extensions,
            agreement,
        )

    def reject_handshake(
        self,
        status: int,
        reason: str = "",
        headers: HeaderPairs = (),
        body: BytesLike = b"",
    ) -> None:
        """Answer with an HTTP response instead of a connection, whatever was asked.

        Args:
            status: from 200 to 599.
            reason: the reason phrase; the usual one of the status if empty.
            headers: any but Connection, Upgrade, Content-Length and Transfer-Encoding.
            body: the content.

        Raises:
            LocalProtocolError: if the state is not CONNECTING, or if status, reason, headers or
                body must not be sent. Nothing has changed then.
            TypeError: if one of them is of another type.
        """
        if self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError(
                f"reject_handshake() needs the state CONNECTING, not {self._state.name}"
            )
        self._push_output(self._build_refusal(status, reason, headers, body))
        self._finish()

    def _pending_request(self, call: str) -> ServerHandshakeRequest:
        if self._state is not ConnectionState.CONNECTING:
            raise LocalProtocolError(f"{call}() needs the state CONNECTING, not {self._state.name}")
        if self._request is None:
            raise LocalProtocolError(f"{call}() needs the event HandshakeRequested first")
        return self._request

    def _judge_origin(self, request: ServerHandshakeRequest) -> HandshakeError | None:
        origins = self._options.origins
        if origins is None or request.origin in origins:
            return None
        return InvalidHandshake(f"Origin {request.origin!r} is not allowed", 403)

    def _accept(
        self,
        answer: bytes,
        protocol: str | None,
        extensions: tuple[str, ...],
        agreement: PerMessageDeflateConfig | None,
    ) -> None:
        self._push_output(answer)
        self._open(protocol, extensions, agreement)

    def _refuse(self, status: int, error: WebSocketError) -> None:
        """Answer a request that breaks a rule, or that took too long, and fail."""
        self._push_output(self._build_refusal(status))
        self._fail(error)

    def _build_refusal(
        self,
        status: int,
        reason: str = "",
        headers: HeaderPairs = (),
        body: BytesLike = b"",
    ) -> bytes:
        head_only = self._request is not None and self._request.method == "HEAD"
        return build_refusal(status, reason, headers, body, head_only=head_only)

    def _poll_handshake(self) -> bool:
        if self._request is not None:
            return self._judge_early_data()
        validator = self._validator
        assert validator is not None
        validator.feed(self._take_input())
        try:
            request = validator.read()
        except LimitExceeded as error:
            self._refuse(431, error)
            return True
        except InvalidHandshake as error:
            self._refuse(error.status, error)
            return True
        if request is not None:
            self._validator = None
            self._request = request
            self._return_input(validator.remaining)
            self._push_event(HandshakeRequested(request))
        return True

    def _judge_early_data(self) -> bool:
        """Bound what comes before the answer: nobody reads it until then."""
        maximum = self._options.max_handshake_size
        if maximum is None or self.recv_buffer_len <= maximum:
            return False
        what = "data ahead of the answer to the opening handshake"
        self._refuse(400, LimitExceeded(what, "max_handshake_size", maximum))
        return True

    def _open_timed_out(self) -> None:
        # The client is late with its request (RFC 9110 section 15.5.9), or the application with
        # its answer (section 15.6.4).
        status = 408 if self._request is None else 503
        self._refuse(status, self._timed_out(TimerId.OPEN_TIMEOUT))

    def _finish(self) -> None:
        self._validator = None
        super()._finish()

    def _closing_handshake_done(self) -> None:
        self._finish()

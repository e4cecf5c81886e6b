"""What a connection is told about itself: identity, timers, limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .checks import check_limit, check_seconds, check_string, check_strings
from .deflate import PerMessageDeflateConfig
from .headers import HeaderPairs, Headers
from .values import assign

__all__ = ["ClientConnectionOptions", "ConnectionOptions", "ServerConnectionOptions"]

_MIB = 1024 * 1024


@dataclass(frozen=True, init=False)
class ConnectionOptions:
    """The options that both sides share. `None` switches a timer or a limit off.

    Args:
        protocols: subprotocols, in order of preference (RFC 6455 section 1.9). A client offers
            them; a server takes the first of the client's that is among them.
        headers: extra header fields for the request or the response.
        deflate: how to compress, and what to negotiate (RFC 7692); `None` does without.
        open_timeout: seconds that the opening handshake may take; 10 are plenty for a few round
            trips, and keep silent clients from holding a server's sockets.
        ping_interval: seconds between keepalive Pings; 30 outlast the usual idle time-outs of
            proxies and address translators, which start at 60.
        pong_timeout: seconds within which a Pong must come.
        close_timeout: seconds that the closing handshake may take.
        auto_pong: answer every Ping at once. If `False` the application answers with `send_pong`.
        max_frame_size: bytes in the payload of a data frame, as it is on the wire.
        max_message_size: bytes in a message, fragmented or not, compressed or not.
        max_decompressed_size: bytes in an inflated message; a thousandth of that may be enough to
            send it.
        max_fragments: frames in a message, empty ones included, each of which costs its receiver
            time and its sender two bytes.
        max_handshake_size: bytes in the head of the opening handshake, however it trickles in,
            and, on a server, in what follows it before the answer.

    Raises:
        ValueError: for a limit or a time that is not positive.
        TypeError: for a value of another type.
    """

    protocols: tuple[str, ...]
    headers: Headers
    deflate: PerMessageDeflateConfig | None
    open_timeout: float | None
    ping_interval: float | None
    pong_timeout: float | None
    close_timeout: float | None
    auto_pong: bool
    max_frame_size: int | None
    max_message_size: int | None
    max_decompressed_size: int | None
    max_fragments: int | None
    max_handshake_size: int | None

    def __init__(
        self,
        *,
        protocols: Iterable[str] = (),
        headers: HeaderPairs = (),
        deflate: PerMessageDeflateConfig | None = None,
        open_timeout: float | None = 10.0,
        ping_interval: float | None = 30.0,
        pong_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        auto_pong: bool = True,
        max_frame_size: int | None = 64 * _MIB,
        max_message_size: int | None = 64 * _MIB,
        max_decompressed_size: int | None = 16 * _MIB,
        max_fragments: int | None = 131072,
        max_handshake_size: int | None = 16 * 1024,
    ) -> None:
        assign(
            self,
            protocols=check_strings("protocols", protocols),
            headers=Headers(headers),
            deflate=_deflate(deflate, isinstance(self, ClientConnectionOptions)),
            open_timeout=check_seconds("open_timeout", open_timeout),
            ping_interval=check_seconds("ping_interval", ping_interval),
            pong_timeout=check_seconds("pong_timeout", pong_timeout),
            close_timeout=check_seconds("close_timeout", close_timeout),
            auto_pong=bool(auto_pong),
            max_frame_size=check_limit("max_frame_size", max_frame_size),
            max_message_size=check_limit("max_message_size", max_message_size),
            max_decompressed_size=check_limit("max_decompressed_size", max_decompressed_size),
            max_fragments=check_limit("max_fragments", max_fragments),
            max_handshake_size=check_limit("max_handshake_size", max_handshake_size),
        )


@dataclass(frozen=True, init=False)
class ClientConnectionOptions(ConnectionOptions):
    """The options of a client.

    Args:
        host: the value of ``Host``: a name or an address, an IPv6 address in brackets, with
            ``:port`` where it is not the default one.
        path: the request target: path and query.
        origin: the value of ``Origin`` (RFC 6455 section 10.2), which browsers send.
        max_response_body: bytes kept of the body of a refusal.

    The other arguments are those of `ConnectionOptions`.
    """

    host: str
    path: str
    origin: str | None
    max_response_body: int | None

    def __init__(
        self,
        host: str = "localhost",
        path: str = "/",
        *,
        origin: str | None = None,
        protocols: Iterable[str] = (),
        headers: HeaderPairs = (),
        deflate: PerMessageDeflateConfig | None = None,
        open_timeout: float | None = 10.0,
        ping_interval: float | None = 30.0,
        pong_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        auto_pong: bool = True,
        max_frame_size: int | None = 64 * _MIB,
        max_message_size: int | None = 64 * _MIB,
        max_decompressed_size: int | None = 16 * _MIB,
        max_fragments: int | None = 131072,
        max_handshake_size: int | None = 16 * 1024,
        max_response_body: int | None = 64 * 1024,
    ) -> None:
        super().__init__(
            protocols=protocols,
            headers=headers,
            deflate=deflate,
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            pong_timeout=pong_timeout,
            close_timeout=close_timeout,
            auto_pong=auto_pong,
            max_frame_size=max_frame_size,
            max_message_size=max_message_size,
            max_decompressed_size=max_decompressed_size,
            max_fragments=max_fragments,
            max_handshake_size=max_handshake_size,
        )
        assign(
            self,
            host=check_string("host", host),
            path=check_string("path", path),
            origin=None if origin is None else check_string("origin", origin),
            max_response_body=check_limit("max_response_body", max_response_body),
        )


@dataclass(frozen=True, init=False)
class ServerConnectionOptions(ConnectionOptions):
    """The options of a server.

    Args:
        origins: the values of ``Origin`` that `accept_handshake_auto` lets in, `None` among them
            for requests without one. `None` instead of a list lets any in: then any web page may
            speak to this server in the name of whoever looks at it (RFC 6455 section 10.2).

    The other arguments are those of `ConnectionOptions`.
    """

    origins: tuple[str | None, ...] | None

    def __init__(
        self,
        *,
        origins: Iterable[str | None] | None = None,
        protocols: Iterable[str] = (),
        headers: HeaderPairs = (),
        deflate: PerMessageDeflateConfig | None = None,
        open_timeout: float | None = 10.0,
        ping_interval: float | None = 30.0,
        pong_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        auto_pong: bool = True,
        max_frame_size: int | None = 64 * _MIB,
        max_message_size: int | None = 64 * _MIB,
        max_decompressed_size: int | None = 16 * _MIB,
        max_fragments: int | None = 131072,
        max_handshake_size: int | None = 16 * 1024,
    ) -> None:
        super().__init__(
            protocols=protocols,
            headers=headers,
            deflate=deflate,
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            pong_timeout=pong_timeout,
            close_timeout=close_timeout,
            auto_pong=auto_pong,
            max_frame_size=max_frame_size,
            max_message_size=max_message_size,
            max_decompressed_size=max_decompressed_size,
            max_fragments=max_fragments,
            max_handshake_size=max_handshake_size,
        )
        assign(self, origins=None if origins is None else _origins(origins))


def _deflate(value: PerMessageDeflateConfig | None, client: bool) -> PerMessageDeflateConfig | None:
    if value is None:
        return None
    if not isinstance(value, PerMessageDeflateConfig):
        raise TypeError(f"deflate must be a PerMessageDeflateConfig or None, not {value!r}")
    value.check_side(client)
    return value


def _origins(values: Iterable[str | None]) -> tuple[str | None, ...]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"origins must be a list of str or None, not {values!r}")
    return tuple(
        value if value is None else check_string("each of origins", value) for value in values
    )

"""What the tests need of another implementation of WebSocket, in one shape for all of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple, Union

from .driver import Listener

Message = Union[str, bytes]
Pairs = Sequence[tuple[str, str]]

LARGEST = 4 * 1024 * 1024
"""Bytes in a message that every peer must take."""


@dataclass(frozen=True)
class Deflate:
    """The parameters of permessage-deflate that a side asks for (RFC 7692 section 7.1).

    No peer but `websockets` and Node's `ws` can ask for each of them; the others ask for those that
    they can.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None


PLAIN_DEFLATE = Deflate()


@dataclass(frozen=True)
class Request:
    """What a client of theirs asks for. It always offers permessage-deflate."""

    path: str = "/"
    origin: str | None = None
    protocols: Sequence[str] = ()
    headers: Pairs = ()
    deflate: Deflate = PLAIN_DEFLATE


@dataclass(frozen=True)
class Answer:
    """What a server of theirs answers: a connection, or with another status a refusal.

    Whatever it answers, it would agree to permessage-deflate.
    """

    status: int = 101
    protocols: Sequence[str] = ()
    headers: Pairs = ()
    body: bytes = b""
    chunked: bool = False
    deflate: Deflate = PLAIN_DEFLATE


class Refused(Exception):
    """Our server has refused a client of theirs.

    Args:
        status: of our answer.
        headers: of our answer, by name in lower case.
        body: of our answer; None if the peer does not show it.
    """

    def __init__(self, status: int, headers: dict[str, str], body: bytes | None) -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = headers
        self.body = body


class CloseFrame(NamedTuple):
    """A Close frame that a peer has received; no code if it was empty."""

    code: int | None
    reason: str


class Peer(ABC):
    """An open connection of theirs.

    Some peers look at what comes only while something awaits it: to answer a Ping of ours they
    need a call of `receive`, `ping`, `close` or `closed`.

    Args:
        headers: what our side sent in the handshake, by name in lower case.
        protocol: the subprotocol agreed on.
        path: the request target, where the peer is the server.
    """

    def __init__(
        self, headers: Iterable[tuple[str, str]], protocol: str | None, path: str = ""
    ) -> None:
        self.headers = {name.lower(): value for name, value in headers}
        self.protocol = protocol
        self.path = path

    @abstractmethod
    async def send(self, message: Message, *, compress: bool = True) -> None:
        """Send a message in one frame.

        Args:
            message: `str` for a text.
            compress: whether to compress it, where that was agreed on.
        """

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        """Send a message in a frame for each piece, and a Ping in front of each but the first.

        Args:
            pieces: `bytes`, or `str` for a text.
            text: whether the message is a text.
            ping: the start of the payloads of the Pings, made unique by a number.
            compress: whether to compress it, where that was agreed on.
        """
        raise NotImplementedError

    @abstractmethod
    async def receive(self) -> Message:
        """Return the next message, whole."""

    @abstractmethod
    async def ping(self, payload: bytes) -> bytes:
        """Send a Ping and return the payload of the Pong."""

    @abstractmethod
    async def close(self, code: int | None, reason: str) -> int | None:
        """Do the closing handshake, which the peer begins; return the code that came back."""

    @abstractmethod
    async def closed(self) -> CloseFrame:
        """Do the closing handshake, which our side begins; return what came."""

    @abstractmethod
    async def abort(self) -> None:
        """Let go of everything, however the connection stands."""


class Implementation(ABC):
    """Another implementation, both sides of it."""

    sends_fragments = True
    """Whether it can send a message in several frames."""
    sends_plain = True
    """Whether it can send a message uncompressed where compression was agreed on."""
    takes_control_frames_inside = True
    """Whether it understands a Ping between the fragments of a compressed message."""

    @abstractmethod
    async def connect(self, port: int, request: Request) -> Peer:
        """Connect a client of theirs.

        Raises:
            Refused: if our server refuses.
        """

    @abstractmethod
    def serve(self, answer: Answer) -> AbstractAsyncContextManager[Listener]:
        """Run a server of theirs, whose `accepted` gives a `Peer`."""

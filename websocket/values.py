"""Small immutable values: their base, and the two that errors and events share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from .headers import Headers

__all__ = ["Close", "HandshakeResponse", "Value", "assign"]


class Value:
    """What a frozen dataclass with ``__slots__`` lacks before Python 3.11: copying and pickling.

    A subclass names its fields, which are the arguments of its constructor, in ``__slots__`` and
    in ``__match_args__``.
    """

    __slots__ = ()
    __match_args__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(
            type(self), **{name: getattr(self, name) for name in self.__match_args__}
        ), ()


def assign(target: object, /, **fields: object) -> None:
    """Set the fields of a frozen dataclass in a constructor of its own."""
    for name, field in fields.items():
        object.__setattr__(target, name, field)


@dataclass(frozen=True)
class Close(Value):
    """The content of a Close frame, and the event that one has come (RFC 6455 section 5.5.1).

    Args:
        code: the close code, `None` if the frame carried none.
        reason: the close reason, possibly empty.
    """

    __slots__ = __match_args__ = ("code", "reason")
    code: int | None
    reason: str


@dataclass(frozen=True)
class HandshakeResponse(Value):
    """What a server answered to an opening handshake (RFC 6455 section 4.1).

    Args:
        status: the HTTP status, 101 if the handshake succeeded.
        reason: the reason phrase, possibly empty.
        headers: all header fields.
        protocol: the subprotocol that a 101 names.
        extensions: the elements of ``Sec-WebSocket-Extensions`` of a 101.
        body: as much of the body of a refusal as has come and was kept.
    """

    __slots__ = __match_args__ = ("status", "reason", "headers", "protocol", "extensions", "body")
    status: int
    reason: str
    headers: Headers
    protocol: str | None
    extensions: tuple[str, ...]
    body: bytes

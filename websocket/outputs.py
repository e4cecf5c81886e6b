"""What a connection asks its owner to do, in order.

`SendData`, made for every send, comes from the wire; the others are defined here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ._backend import SendData
from .timers import TimerId
from .values import Value

__all__ = ["ClearTimer", "CloseConnection", "Output", "SendData", "SetTimer"]


@dataclass(frozen=True)
class SetTimer(Value):
    """Call `handle_timer(timer_id)` after `delay` seconds. A running timer of that id is replaced.

    Args:
        timer_id: which timer.
        delay: seconds from now on.
    """

    __slots__ = __match_args__ = ("timer_id", "delay")
    timer_id: TimerId
    delay: float


@dataclass(frozen=True)
class ClearTimer(Value):
    """Stop the timer.

    Args:
        timer_id: which timer.
    """

    __slots__ = __match_args__ = ("timer_id",)
    timer_id: TimerId


@dataclass(frozen=True)
class CloseConnection(Value):
    """End the transport, gently (RFC 6455 section 7.1.1).

    Flush what is queued, shut the write side down where the transport can, discard what still
    comes until the end of the stream or a short deadline, then close. To close at once with
    unread input makes TCP reset the connection, and the peer may lose the Close frame.
    """

    __slots__ = __match_args__ = ()


Output = Union[SendData, SetTimer, ClearTimer, CloseConnection]
"""Everything that `poll_output` returns."""

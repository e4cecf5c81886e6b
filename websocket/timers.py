"""The timers a connection asks its owner to keep."""

from __future__ import annotations

import enum

__all__ = ["TimerId", "Timestamp", "check_timestamp"]

Timestamp = float
"""Seconds on any clock of the caller's, as long as it is one clock and never runs backwards."""


class TimerId(enum.Enum):
    """Which timer a `SetTimer` or a `ClearTimer` speaks of."""

    OPEN_TIMEOUT = "open_timeout"
    """The opening handshake must be over by then."""
    PING = "ping"
    """The next keepalive Ping is due."""
    PONG_TIMEOUT = "pong_timeout"
    """The Pong to an outstanding Ping must have come by then."""
    CLOSE_TIMEOUT = "close_timeout"
    """The peer must have answered the Close frame, and a server have closed TCP, by then."""


def check_timestamp(now: object) -> Timestamp | None:
    """Return the time that a caller gave as a `float`, or `None`.

    Raises:
        TypeError: if it is not a number.
    """
    if now is None or type(now) is float:
        return now
    if isinstance(now, bool) or not isinstance(now, (int, float)):
        raise TypeError(f"now must be seconds as a number or None, not {now!r}")
    try:
        return float(now)
    except OverflowError:
        raise TypeError(f"now must be seconds within the range of a float, not {now!r}") from None

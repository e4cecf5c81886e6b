"""Checks of what a caller gives as options and arguments, worded once."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

__all__ = ["as_bytes", "check_limit", "check_seconds", "check_string", "check_strings"]


def as_bytes(data: object, name: str = "data") -> bytes:
    """Return what a bytes-like object holds, `bytes` themselves uncopied.

    Raises:
        TypeError: if it is not bytes-like.
    """
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be bytes-like, not {type(data).__name__}") from None
    return bytes(view)


def check_string(name: str, value: object) -> str:
    """Return a string.

    Raises:
        TypeError: if it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be str, not {value!r}")
    return value


def check_strings(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return several strings. One alone is most likely meant as a list of one, and refused.

    Raises:
        TypeError: if they are anything else.
    """
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{name} must be a list of str, not {values!r}")
    return tuple(check_string(f"each of {name}", value) for value in values)


def check_seconds(name: str, value: float | None) -> float | None:
    """Return a time in seconds, or `None` for a timer that is off.

    Raises:
        ValueError: if it is not positive and finite.
        TypeError: if it is no number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds as a number or None, not {value!r}")
    if value <= 0 or not isfinite(value):
        raise ValueError(f"{name} must be positive and finite, not {value!r}; None switches it off")
    return float(value)


def check_limit(name: str, value: int | None) -> int | None:
    """Return a limit, or `None` for no limit.

    Raises:
        ValueError: if it is not positive.
        TypeError: if it is not an `int`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int or None, not {value!r}")
    if value <= 0:
        raise ValueError(f"{name} must be positive, not {value}; None means no limit")
    return value

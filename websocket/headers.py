"""HTTP header fields as pairs (RFC 9110 section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Union

__all__ = ["HeaderPairs", "Headers"]

HeaderPairs = Union[Iterable[tuple[str, str]], Mapping[str, str]]
"""What is taken for headers: pairs of name and value, or a mapping of names to values."""


class Headers(tuple[tuple[str, str], ...]):
    """Header fields in the order of the wire: a tuple of ``(name, value)``.

    Names keep their spelling and are found in any case.

    >>> headers = Headers([("Set-Cookie", "a=1"), ("set-cookie", "b=2")])
    >>> headers.get("SET-COOKIE")
    'a=1'
    >>> headers.get_all("set-cookie")
    ('a=1', 'b=2')
    """

    __slots__ = ()

    def __new__(cls, pairs: HeaderPairs = ()) -> Headers:
        """Check the shape, not the content: what may go out is checked where a head is built.

        Raises:
            TypeError: if `pairs` holds anything else than pairs of strings.
        """
        if isinstance(pairs, Headers):
            return pairs
        if isinstance(pairs, (str, bytes)):
            raise TypeError(f"headers must be pairs of name and value, not {pairs!r}")
        checked = []
        for pair in pairs.items() if isinstance(pairs, Mapping) else pairs:
            if isinstance(pair, (str, bytes)) or len(pair) != 2:
                raise TypeError(f"a header must be a pair of name and value, not {pair!r}")
            name, value = pair
            if not isinstance(name, str) or not isinstance(value, str):
                raise TypeError(f"the name and the value of a header must be str, not {pair!r}")
            checked.append((name, value))
        return super().__new__(cls, checked)

    @classmethod
    def _unchecked(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """Make headers of what is known to be pairs of strings."""
        return super().__new__(cls, pairs)

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value of the first field of that name, in any case, or `default`."""
        lowered = name.lower()
        for field, value in self:
            if field.lower() == lowered:
                return value
        return default

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return the values of all fields of that name, in any case, in order."""
        lowered = name.lower()
        return tuple(value for field, value in self if field.lower() == lowered)

"""How an input is laid out: octets that choose come first, then the bytes that are fed.

A mutation of the wire then leaves the choices alone, and the other way round. Every input means
something: a choice is taken modulo what there is to choose from, and what is missing is zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Layout", "lay_out"]

Choice = TypeVar("Choice")


class Layout:
    """Reads an input from its front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def octet(self) -> int:
        octet = self._data[self._position] if self._position < len(self._data) else 0
        self._position += 1
        return octet

    def choose(self, choices: Sequence[Choice]) -> Choice:
        return choices[self.octet() % len(choices)]

    def counted(self) -> bytes:
        """Octets behind an octet that counts them."""
        count = self.octet()
        octets = self._data[self._position : self._position + count]
        self._position += count
        return octets

    def rest(self) -> bytes:
        return self._data[self._position :]


def lay_out(*parts: int | bytes, rest: bytes = b"") -> bytes:
    """Write an input: an `int` is an octet, `bytes` are counted."""
    data = b""
    for part in parts:
        data += bytes([part]) if isinstance(part, int) else bytes([len(part)]) + part
    return data + rest

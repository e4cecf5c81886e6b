"""Implementations of DEFLATE (RFC 1951): what is asked of them, and how they are found.

An engine is a module with the interface of zlib.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any, Protocol, Union

__all__ = [
    "LARGEST_WINDOW",
    "Buffer",
    "Compressor",
    "Inflater",
    "check_engine",
    "load_engine",
    "make_compressor",
]

LARGEST_WINDOW = 15
"""The base-2 logarithm of the farthest that a copy reaches back (RFC 1951 section 2)."""

Buffer = Union[bytes, bytearray, memoryview]
"""What engines take as input."""

_DISTRIBUTIONS = {"zlib_ng": "zlib-ng", "isal": "isal"}


class Compressor(Protocol):
    """What ``compressobj`` of an engine returns."""

    def compress(self, data: Buffer, /) -> bytes:
        """Take octets, and return what of the stream is ready."""
        ...

    def flush(self, mode: int, /) -> bytes:
        """Return the rest of the stream for all that was taken, ended as the mode says."""
        ...


class Inflater(Protocol):
    """What ``decompressobj`` of an engine returns.

    That of some engines has no ``copy``.
    """

    @property
    def eof(self) -> bool:
        """Whether a final block has ended the stream."""
        ...

    @property
    def unused_data(self) -> bytes:
        """The input after the final block."""
        ...

    @property
    def unconsumed_tail(self) -> bytes:
        """The input that was left because the output was full."""
        ...

    def copy(self) -> Inflater:
        """Return another one that goes on from here."""
        ...

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Inflate input to so many octets at most; 0 would be no bound."""
        ...


def load_engine(name: str) -> Any:
    """Import an engine.

    Raises:
        ImportError: if it is not installed; it says what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise ImportError(
            f"the engine {name!r} of permessage-deflate cannot be imported: {error};"
            f" install it with: pip install {_DISTRIBUTIONS.get(package, package)}",
            name=name,
        ) from error


@lru_cache(maxsize=64)
def check_engine(name: str, level: int | None, mem_level: int, window_bits: int) -> None:
    """Check that an engine takes these, which each has its own mind about.

    Raises:
        ValueError: if it does not, or is no engine.
        ImportError: if it is not installed.
    """
    engine = load_engine(name)
    try:
        error: type[Exception] = engine.error
        engine.decompressobj(-LARGEST_WINDOW)
    except (AttributeError, TypeError) as problem:
        raise ValueError(f"engine {name!r} has not the interface of zlib: {problem}") from problem
    try:
        make_compressor(engine, level, mem_level, window_bits)
    except (ValueError, error) as problem:
        raise ValueError(
            f"the engine {name!r} refuses level={level!r}, mem_level={mem_level},"
            f" window_bits={window_bits}: {problem}"
        ) from problem


def make_compressor(engine: Any, level: int | None, mem_level: int, window_bits: int) -> Compressor:
    """Return a compressor of raw DEFLATE; without a level, with the engine's default."""
    compressor: Compressor = engine.compressobj(
        engine.Z_DEFAULT_COMPRESSION if level is None else level,
        engine.DEFLATED,
        -window_bits,
        mem_level,
    )
    return compressor

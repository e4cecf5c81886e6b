"""Where masking keys and nonces come from (RFC 6455 sections 4.1, 5.3 and 10.3)."""

from __future__ import annotations

import os
from typing import Protocol

__all__ = ["RandomSource", "SecureRandom"]


class RandomSource(Protocol):
    """A caller's own source of randomness.

    Masking keys must be unpredictable for whoever supplies the payload (RFC 6455 section 10.3);
    a fixed source belongs into tests.
    """

    def masking_key(self) -> bytes:
        """Return 4 bytes; asked once for every frame that a client sends."""
        ...

    def nonce(self) -> bytes:
        """Return 16 bytes; asked once for every `connect`."""
        ...


class SecureRandom:
    """The operating system's randomness.

    A connection without a source of its own uses the same, in small batches.
    """

    __slots__ = ()

    def masking_key(self) -> bytes:
        """Return 4 random bytes."""
        return os.urandom(4)

    def nonce(self) -> bytes:
        """Return 16 random bytes."""
        return os.urandom(16)

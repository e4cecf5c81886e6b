"""Masking alone (RFC 6455 section 5.3): what there is to compare with, and what is masked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat

from measuring import Run
from work import KEY

import websocket
from websocket import _fallback

Mask = Callable[[bytes, bytes], object]

_AT_ONCE = 1 << 16
"""Bytes that are masked in one run; one payload if that is more."""


@dataclass(frozen=True)
class Masking:
    """Payloads of one size, masked one after the other."""

    size: int

    @property
    def name(self) -> str:
        for unit, bits in (("MiB", 20), ("KiB", 10)):
            if self.size >> bits:
                return f"mask {self.size >> bits} {unit}"
        return f"mask {self.size} B"

    @property
    def count(self) -> int:
        return max(1, _AT_ONCE // self.size)

    @property
    def payload(self) -> bytes:
        return bytes(range(16)) * (self.size // 16)

    def prepare(self, mask: Mask) -> Run:
        data = self.payload

        def run() -> object:
            masked: object = None
            for once in repeat(data, self.count):
                masked = mask(once, KEY)
            return masked

        return run

    def check(self, masked: bytes | bytearray) -> None:
        assert len(masked) == self.size, (len(masked), self.size)


MASKING = [
    Masking(size)
    for size in (
        16,
        64,
        256,
        1 << 10,
        1 << 12,
        1 << 14,
        1 << 16,
        1 << 18,
        1 << 20,
        1 << 22,
        1 << 24,
    )
]


def masks() -> dict[str, Mask]:
    """Return what this library is compared with, as far as it is there."""
    found: dict[str, Mask] = {}
    if websocket.BACKEND != "python":
        found["its fallback"] = _fallback.apply_mask
    for name, find in _PEERS.items():
        with suppress(ImportError):
            found[name] = find()
    found["a copy"] = lambda data, _: bytearray(data)
    return found


def _websockets_compiled() -> Mask:
    return importlib.import_module("websockets.speedups").apply_mask


def _websockets_in_python() -> Mask:
    return importlib.import_module("websockets.utils").apply_mask


def _wsproto() -> Mask:
    masker = importlib.import_module("wsproto.frame_protocol").XorMaskerSimple
    return lambda data, key: masker(key).process(data)


_PEERS: dict[str, Callable[[], Mask]] = {
    "websockets, compiled": _websockets_compiled,
    "websockets, in Python": _websockets_in_python,
    "wsproto": _wsproto,
}

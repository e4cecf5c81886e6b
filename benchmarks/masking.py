"""Ways to mask (RFC 6455 section 5.3): ours, those of the peers, and a mere copy beside them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import repeat

from work import KEY

import websocket
from websocket import _fallback

Mask = Callable[[bytes, bytes], object]

SIZES = [16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1 << 20, 1 << 22, 1 << 24]

OURS = "this library"
FALLBACK = "its fallback"
COPY = "a copy"

_AT_ONCE = 1 << 16
"""Bytes that are masked between two looks at the clock, or one payload if that is more."""


def copy(data: bytes, _: bytes) -> bytearray:
    return bytearray(data)


def _websockets_compiled() -> Mask:
    return importlib.import_module("websockets.speedups").apply_mask


def _websockets_in_python() -> Mask:
    return importlib.import_module("websockets.utils").apply_mask


def _wsproto() -> Mask:
    masker = importlib.import_module("wsproto.frame_protocol").XorMaskerSimple
    return lambda data, key: masker(key).process(data)


PEERS: dict[str, Callable[[], Mask]] = {
    "websockets, compiled": _websockets_compiled,
    "websockets, in Python": _websockets_in_python,
    "wsproto": _wsproto,
}


def ways() -> dict[str, Mask]:
    """Return what there is here to mask with, by name."""
    found: dict[str, Mask] = {OURS: websocket.apply_mask}
    if websocket.BACKEND != "python":
        found[FALLBACK] = _fallback.apply_mask
    for name, find in PEERS.items():
        with suppress(ImportError):
            found[name] = find()
    found[COPY] = copy
    return found


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

    def prepare(self, mask: Mask) -> Callable[[], object]:
        data = bytes(range(256)) * (self.size // 256 + 1)
        data = data[: self.size]

        def run() -> object:
            for once in repeat(data, self.count):
                masked = mask(once, KEY)
            return masked

        return run

    def check(self, masked: object) -> None:
        assert len(masked) == self.size

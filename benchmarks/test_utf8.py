"""Text in characters of one to four octets, whole and in fragments that split characters."""

from functools import partial

import pytest
from work import KEY, Receive

from websocket import Frame, Opcode

CHARACTERS = {"ASCII": "a", "Cyrillic": "я", "Japanese": "語", "emoji": "🙂"}
SIZES = [64, 4096, 1 << 20]
FRAGMENT = 1021
"""Octets of a fragment: a prime, so that characters are split at every place there is."""


def received(name, size):
    character = CHARACTERS[name]
    text = character * (size // len(character.encode()))
    return Receive(f"{name}, {size} octets", [text] * max(4, min(500, (1 << 20) // size)))


class InFragments(Receive):
    @property
    def feeds(self):
        return [b"".join(self._fragments(payload.encode())) for payload in self.payloads]

    def _fragments(self, octets):
        for begin in range(0, len(octets), FRAGMENT):
            opcode = Opcode.CONTINUATION if begin else Opcode.TEXT
            end = begin + FRAGMENT
            yield Frame(opcode, octets[begin:end], fin=end >= len(octets)).encode(KEY)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CHARACTERS)
def test_whole(timed, library, name, size):
    work = received(name, size)
    timed(work.name, partial(library.receive, work), work.check)


@pytest.mark.parametrize("name", CHARACTERS)
def test_fragments(timed, library, name):
    whole = received(name, 1 << 16)
    work = InFragments(f"{whole.name} in fragments of {FRAGMENT}", whole.payloads)
    timed(work.name, partial(library.receive, work), work.check)

"""Opening handshakes, the making of the connections included."""

from functools import partial

import pytest
from work import HANDSHAKES, Accept, Deflate

NEGOTIATED = Accept("server accepts a handshake with compression", 50, deflate=Deflate())


@pytest.mark.parametrize("work", [*HANDSHAKES, NEGOTIATED], ids=lambda work: work.name)
def test_handshakes(timed, library, work):
    timed(work.name, partial(library.prepare, work), work.check)

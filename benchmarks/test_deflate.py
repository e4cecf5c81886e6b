"""permessage-deflate: on a connection, and the codec alone, with each engine that is installed."""

import importlib.util
from functools import partial

import pytest
from work import QUOTES, Deflate, Echo

ENGINES = [
    name
    for name in ("zlib", "zlib_ng.zlib_ng", "isal.isal_zlib")
    if importlib.util.find_spec(name.partition(".")[0]) is not None
]


@pytest.fixture(params=ENGINES)
def engine(request):
    return request.param


@pytest.fixture
def config(ws, engine):
    # isal knows the levels 0 to 3 only.
    return ws.PerMessageDeflateConfig(level=2, engine=engine)


def test_echo(timed, library, engine):
    work = Echo("compressed echo 1 KiB JSON", QUOTES, deflate=Deflate(level=2, engine=engine))
    timed(work.name, partial(library.prepare, work), work.check)


def test_compress(timed, ws, config):
    messages = [quote.encode() for quote in QUOTES]

    def prepare():
        codec = ws.PerMessageDeflate.new_server(config)
        return lambda: [codec.compress(message) for message in messages]

    def check(compressed):
        peer = ws.PerMessageDeflate.new_client(config)
        assert [peer.decompress(data) for data in compressed] == messages

    timed("compress 1 KiB JSON", prepare, check)


def test_decompress(timed, ws, config):
    messages = [quote.encode() for quote in QUOTES]
    peer = ws.PerMessageDeflate.new_client(config)
    compressed = [peer.compress(message) for message in messages]

    def prepare():
        codec = ws.PerMessageDeflate.new_server(config)
        return lambda: [codec.decompress(data) for data in compressed]

    def check(decompressed):
        assert decompressed == messages

    timed("decompress 1 KiB JSON", prepare, check)

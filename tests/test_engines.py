"""Engines: which are found, and which are refused."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator

import pytest
from engines import Counting, counted

import websocket
from websocket.deflate import PerMessageDeflateConfig
from websocket.engines import check_engine, load_engine, make_compressor


@pytest.fixture
def counting() -> Iterator[Counting]:
    with counted(websocket) as engine:
        yield engine


@pytest.mark.rule("1.3 engine")
@pytest.mark.parametrize("ask", [load_engine, lambda name: PerMessageDeflateConfig(engine=name)])
@pytest.mark.parametrize(
    ("engine", "package"),
    [("zlib_ng.zlib_ng", "zlib-ng"), ("isal.isal_zlib", "isal"), ("nothing_such", "nothing_such")],
)
def test_an_engine_that_is_missing_is_an_import_error_that_says_what_to_install(
    engine: str, package: str, ask: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    check_engine.cache_clear()
    monkeypatch.setitem(sys.modules, engine, None)
    monkeypatch.setitem(sys.modules, engine.partition(".")[0], None)
    with pytest.raises(ImportError, match=f"{engine!r}.*pip install {package}$") as caught:
        ask(engine)
    assert caught.value.name == engine


@pytest.mark.rule("1.3 engine")
def test_a_module_that_is_no_engine_is_refused() -> None:
    with pytest.raises(ValueError, match="engine 'json' has not the interface of zlib"):
        PerMessageDeflateConfig(engine="json")


@pytest.mark.rule("1.3 engine")
def test_a_level_that_the_engine_refuses_is_refused_with_the_configuration(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: int) -> object:
        raise zlib.error(f"no level {arguments[0]}")

    monkeypatch.setattr(counting, "compressobj", refuse)
    with pytest.raises(ValueError, match=r"'counting_engine' refuses level=5, .*: no level 5$"):
        PerMessageDeflateConfig(level=5, engine=counting.NAME)


def test_an_engine_is_asked_once_for_the_same_values(counting: Counting) -> None:
    for level, asked in ((5, 1), (5, 1), (6, 2), (5, 2)):
        PerMessageDeflateConfig(level=level, engine=counting.NAME)
        assert (counting.compressors, counting.inflaters) == (asked, asked)


def test_a_compressor_gives_a_raw_stream_with_the_default_level_unless_told_another() -> None:
    data = bytes(range(256)) * 20
    streams = []
    for level, told in ((None, zlib.Z_DEFAULT_COMPRESSION), (0, 0), (9, 9)):
        compressor = make_compressor(zlib, level, 5, 12)
        streams.append(compressor.compress(data) + compressor.flush(zlib.Z_FINISH))
        reference = zlib.compressobj(told, zlib.DEFLATED, -12, 5)
        assert streams[-1] == reference.compress(data) + reference.flush()
    assert len(streams[1]) > len(data) > len(streams[0])

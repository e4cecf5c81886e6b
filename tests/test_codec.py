"""The codec of permessage-deflate: sending, receiving, windows, engines."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import weakref
import zlib
from types import ModuleType

import pytest
from engines import raw
from hypothesis import given
from hypothesis import strategies as st

from websocket.codec import PerMessageDeflate
from websocket.deflate import PerMessageDeflateConfig, check_answer
from websocket.engines import check_engine
from websocket.errors import (
    InvalidCompressedData,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)

Config = PerMessageDeflateConfig
ENGINES = ("zlib", "zlib_ng.zlib_ng", "isal.isal_zlib")
HELLO = bytes.fromhex("f248cdc9c90700")

windows = st.none() | st.integers(8, 15)
configs = st.builds(
    Config,
    server_max_window_bits=windows,
    client_max_window_bits=windows,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    window_bits=st.integers(9, 15),
)
messages = st.lists(
    st.binary(max_size=200)
    | st.builds(lambda unit, times: unit * times, st.binary(max_size=9), st.integers(0, 2000)),
    max_size=8,
)


def receivers() -> list[PerMessageDeflate]:
    """A server's codec with context takeover of the client, and one without."""
    return [
        PerMessageDeflate.new_server(Config(client_no_context_takeover=fresh))
        for fresh in (False, True)
    ]


def inflate(codec: PerMessageDeflate, chunks: list[bytes], size: int = 1 << 20) -> bytes:
    """Inflate a message that comes in chunks, reading as much as possible after each."""
    message = bytearray()
    for number, chunk in enumerate(chunks, 1):
        codec.feed(chunk)
        if number == len(chunks):
            codec.end()
        while True:
            piece = codec.read(size)
            if not piece:
                break
            assert len(piece) <= size
            message += piece
    return bytes(message)


class Counting(ModuleType):
    """zlib, which counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__("counting_zlib")
        self.__dict__.update(
            error=zlib.error,
            DEFLATED=zlib.DEFLATED,
            Z_DEFAULT_COMPRESSION=zlib.Z_DEFAULT_COMPRESSION,
            Z_SYNC_FLUSH=zlib.Z_SYNC_FLUSH,
        )
        self.compressors: list[weakref.ref[object]] = []
        self.inflaters: list[weakref.ref[object]] = []
        self.compressor_arguments: list[tuple[int, ...]] = []
        self.inflater_windows: list[int] = []
        self.given: list[object] = []
        self.taken = 0
        self.copied = 0
        self.inflated = 0

    def compressobj(self, *arguments: int) -> object:
        compressor = CountingCompressor(zlib.compressobj(*arguments))
        self.compressors.append(weakref.ref(compressor))
        self.compressor_arguments.append(arguments)
        return compressor

    def decompressobj(self, bits: int) -> object:
        inflater = CountingInflater(self, zlib.decompressobj(bits))
        self.inflaters.append(weakref.ref(inflater))
        self.inflater_windows.append(-bits)
        return inflater

    def config(self, **options: object) -> Config:
        """A configuration that uses this engine; what making it has cost is not counted."""
        config = Config(engine=self.__name__, **options)  # type: ignore[arg-type]
        self.compressors.clear()
        self.inflaters.clear()
        self.compressor_arguments.clear()
        self.inflater_windows.clear()
        return config


class CountingCompressor:
    def __init__(self, compressor: object) -> None:
        self.compress = compressor.compress  # type: ignore[attr-defined]
        self.flush = compressor.flush  # type: ignore[attr-defined]


class CountingInflater:
    def __init__(self, engine: Counting, inflater: object) -> None:
        self.engine = engine
        self.inflater = inflater

    def __getattr__(self, name: str) -> object:
        return getattr(self.inflater, name)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        engine = self.engine
        engine.given.append(data)
        piece: bytes = self.inflater.decompress(data, max_length)  # type: ignore[attr-defined]
        left = len(self.inflater.unconsumed_tail)  # type: ignore[attr-defined]
        left += len(self.inflater.unused_data)  # type: ignore[attr-defined]
        engine.taken += len(data) - left
        engine.copied += left
        engine.inflated += len(piece)
        return piece


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """An engine by the name of counting_zlib."""
    engine = Counting()
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    check_engine.cache_clear()
    return engine


# Windows


@pytest.mark.rule("1.3 windows")
def test_a_tuning_with_a_window_of_8_bits_for_our_own_side_is_refused() -> None:
    for client, name in ((True, "client_max_window_bits"), (False, "server_max_window_bits")):
        tuning = Config(**{name: 8})
        with pytest.raises(ValueError, match=name):
            PerMessageDeflate(Config(), client=client, tuning=tuning)
        assert PerMessageDeflate(Config(), client=not client, tuning=tuning).can_compress


@pytest.mark.rule("1.3 windows")
def test_a_client_answered_with_a_window_of_8_bits_receives_and_sends_uncompressed() -> None:
    agreement = check_answer("permessage-deflate; client_max_window_bits=8", Config())
    client = PerMessageDeflate.new_client(agreement)
    assert not client.can_compress
    assert client.decompress(HELLO) == b"Hello"
    for call in (client.compress, client.compress_whole, lambda data: client.deflate(data, False)):
        with pytest.raises(LocalProtocolError, match="window of 8 bits"):
            call(b"Hello")


@pytest.mark.rule("1.3 windows")
def test_every_window_can_be_received() -> None:
    rng = random.Random(0)
    message = bytes(rng.choices(range(4), k=200)) * 500
    for bits in range(8, 16):
        client = PerMessageDeflate.new_client(Config(server_max_window_bits=bits))
        # zlib compresses with 9 where it is told 8, and so do peers that use it.
        payload = raw(message, max(bits, 9))
        for _ in range(2):
            assert inflate(client, [payload[i : i + 50] for i in range(0, len(payload), 50)]) == (
                message
            )


# Engines


@pytest.mark.rule("1.3 engine")
def test_another_engine_is_used_only_when_named(counting: Counting) -> None:
    config = counting.config()
    PerMessageDeflate.new_client(Config()).compress(b"Hello")
    assert not counting.compressors
    PerMessageDeflate.new_client(config).compress(b"Hello")
    assert len(counting.compressors) == 1


@pytest.mark.rule("1.3 engine")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_engines_understand_each_other(engine: str, fresh: bool, bits: int) -> None:
    pytest.importorskip(engine)
    rng = random.Random(bits)
    options = {
        "client_no_context_takeover": fresh,
        "client_max_window_bits": bits,
        "window_bits": bits,
    }
    theirs = [
        (
            PerMessageDeflate.new_client(Config(engine=one, **options)),
            PerMessageDeflate.new_server(Config(engine=other, **options)),
        )
        for one, other in ((engine, "zlib"), ("zlib", engine))
    ]
    for size in [0, 1, 5, 100, 3000, 70000, 10] * 4:
        message = bytes(rng.choices(range(97, 105), k=size))
        for sender, receiver in theirs:
            assert receiver.decompress(sender.compress(message), size) == message
            pieces = [sender.deflate(message[:50], False), sender.deflate(message[50:], True)]
            assert inflate(receiver, pieces, 1000) == message


@pytest.mark.rule("1.3 engine")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fresh", [False, True])
def test_engines_see_that_a_message_is_cut(engine: str, fresh: bool) -> None:
    pytest.importorskip(engine)
    config = Config(engine=engine, client_no_context_takeover=fresh)
    payload = raw(b"".join(b"%d, " % (number * number) for number in range(300)))
    unnoticed = 0
    for cut in range(len(payload)):
        try:
            PerMessageDeflate.new_server(config).decompress(payload[:cut])
        except InvalidCompressedData:
            continue
        unnoticed += 1
    # With context takeover a cut inside the code tables of a block gives no sign.
    assert unnoticed == 0 if fresh else unnoticed < len(payload) / 20


def test_an_engine_that_does_not_end_a_flush_with_an_empty_block_is_reported(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = counting.config()
    monkeypatch.setattr(counting, "Z_SYNC_FLUSH", zlib.Z_FINISH)
    codec = PerMessageDeflate.new_client(config)
    for call in (codec.compress, codec.compress_alone):
        with pytest.raises(RuntimeError, match="'counting_zlib' does not end a flush"):
            call(b"Hello")


# Sending


@pytest.mark.rule("R148")
def test_vector_one_compressed_block() -> None:
    assert PerMessageDeflate.new_client(Config()).compress(b"Hello") == HELLO
    for codec in receivers():
        assert codec.decompress(HELLO) == b"Hello"
        assert inflate(codec, [HELLO[:3], HELLO[3:]]) == b"Hello"


@pytest.mark.rule("R149", "1.3 engine")
def test_vector_shared_window() -> None:
    client = PerMessageDeflate.new_client(Config())
    assert client.compress(b"Hello") == HELLO
    second = client.compress(b"Hello")
    assert second == bytes.fromhex("f200110000")
    server = PerMessageDeflate.new_server(Config())
    assert [server.decompress(payload) for payload in (HELLO, second)] == [b"Hello"] * 2


@pytest.mark.rule("R149")
@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("0005 00fa ff48 656c 6c6f 00", b"Hello"),
        ("f248 0500 0000 ffff cac9 c907 00", b"Hello"),
        ("00", b""),
        ("0000 00ff ff00 0000 ffff 00", b""),
        ("0200", b""),
    ],
)
def test_vectors_of_other_blocks(payload: str, message: bytes) -> None:
    for codec in receivers():
        for _ in range(2):
            assert codec.decompress(bytes.fromhex(payload)) == message


@pytest.mark.rule("R149")
def test_vector_without_context_takeover() -> None:
    for client in (True, False):
        config = Config(client_no_context_takeover=client, server_no_context_takeover=not client)
        codec = PerMessageDeflate(config, client=client)
        peer = PerMessageDeflate(config, client=not client)
        assert [codec.compress(b"Hello") for _ in range(3)] == [HELLO] * 3
        assert [peer.compress(b"Hello") for _ in range(2)] == [HELLO, bytes.fromhex("f200110000")]


@pytest.mark.rule("R149")
def test_without_context_takeover_a_message_cannot_refer_to_the_one_before() -> None:
    with_history, without = receivers()
    for codec in (with_history, without):
        assert codec.decompress(HELLO) == b"Hello"
    assert with_history.decompress(bytes.fromhex("f200110000")) == b"Hello"
    with pytest.raises(InvalidCompressedData):
        without.decompress(bytes.fromhex("f200110000"))


@pytest.mark.rule("R147", "1.3 memory")
def test_the_threshold_is_the_size_from_which_on_messages_are_compressed() -> None:
    codec = PerMessageDeflate.new_client(Config())
    assert codec.should_compress(bytes(64), 64)
    assert not codec.should_compress(bytes(63), 64)
    assert codec.should_compress(b"", None)


@pytest.mark.rule("1.3 not worth it")
def test_without_takeover_a_message_that_would_not_shrink_is_better_sent_plain() -> None:
    noise = random.Random(1).randbytes(200)
    codec = PerMessageDeflate.new_client(Config(client_no_context_takeover=True))
    assert codec.compress_whole(noise) is None
    assert codec.compress_whole(b"") is None
    assert codec.compress_whole(b"Hello") is None
    assert codec.compress(noise) != b""
    compressed = codec.compress_whole(noise * 2)
    assert compressed is not None
    assert len(compressed) < 400
    # Nothing is remembered of what was sent plain.
    assert PerMessageDeflate.new_server(Config()).decompress(compressed) == noise * 2


def test_without_takeover_a_whole_message_ends_what_a_piece_has_begun() -> None:
    config = Config(client_no_context_takeover=True)
    client, server = PerMessageDeflate.new_client(config), PerMessageDeflate.new_server(config)
    begun = client.deflate(b"abc" * 20, False)
    ended = client.compress_whole(b"abc" * 60)
    assert ended is not None
    assert server.decompress(begun + ended) == b"abc" * 80
    alone = client.compress_whole(b"abc" * 60)
    assert alone is not None
    assert server.decompress(alone) == b"abc" * 60


@pytest.mark.rule("1.3 not worth it")
def test_under_takeover_what_was_compressed_is_sent_whatever_its_size() -> None:
    noise = random.Random(1).randbytes(200)
    client = PerMessageDeflate.new_client(Config())
    server = PerMessageDeflate.new_server(Config())
    sizes = []
    for _ in range(2):
        compressed = client.compress_whole(noise)
        assert compressed is not None
        sizes.append(len(compressed))
        assert server.decompress(compressed) == noise
    assert sizes[0] > 200 > 20 > sizes[1]


def test_what_is_compressed_after_forget_refers_to_nothing_before() -> None:
    client = PerMessageDeflate.new_client(Config())
    client.compress(b"Hello")
    client.forget()
    assert client.compress(b"Hello") == HELLO


def test_a_message_compressed_alone_goes_to_everybody() -> None:
    for fresh in (False, True):
        config = Config(server_no_context_takeover=fresh)
        servers = [PerMessageDeflate.new_server(config) for _ in range(2)]
        clients = [PerMessageDeflate.new_client(config) for _ in range(2)]
        assert servers[0].manner == servers[1].manner
        for server, client in zip(servers, clients):
            assert client.decompress(server.compress(b"Hello" * 9)) == b"Hello" * 9
        payload = servers[0].compress_alone(b"Hello, hello")
        assert payload == servers[0].compress_alone(b"Hello, hello")
        for server, client in zip(servers, clients):
            assert client.decompress(payload) == b"Hello, hello"
            server.forget()
            assert client.decompress(server.compress(b"Hello" * 9)) == b"Hello" * 9


def test_how_a_side_compresses() -> None:
    config = Config(server_max_window_bits=10, level=1, mem_level=2, threshold=100)
    assert PerMessageDeflate.new_server(config).manner == ("zlib", 1, 2, 10)
    assert PerMessageDeflate.new_client(config).manner == ("zlib", 1, 2, 12)
    assert PerMessageDeflate.new_client(config).threshold == 100
    assert PerMessageDeflate.new_client(Config(threshold=None)).threshold == 0
    tuned = PerMessageDeflate(Config(), client=True, tuning=config)
    assert (tuned.manner, tuned.threshold) == (("zlib", 1, 2, 12), 100)


@pytest.mark.rule("1.3 windows", "1.3 memory", "R146")
@pytest.mark.parametrize(
    ("agreement", "tuning", "bits"),
    [
        (Config(), None, 12),
        (Config(client_max_window_bits=15), None, 12),
        (Config(client_max_window_bits=10), None, 10),
        (Config(window_bits=15), None, 15),
        (Config(client_max_window_bits=13, window_bits=15), None, 13),
        (Config(), Config(window_bits=9), 9),
        (Config(), Config(client_max_window_bits=11), 11),
        (Config(client_max_window_bits=9), Config(client_max_window_bits=11), 9),
        (Config(server_max_window_bits=9), None, 12),
    ],
)
def test_the_compressor_takes_the_smallest_window(
    agreement: Config, tuning: Config | None, bits: int, counting: Counting
) -> None:
    options = {name: getattr(tuning or agreement, name) for name in Config.__match_args__[:-1]}
    config = counting.config(**options)
    PerMessageDeflate(agreement, client=True, tuning=config).compress(b"Hello")
    assert counting.compressor_arguments == [(-1, zlib.DEFLATED, -bits, 5)]


def test_level_and_memory_are_handed_to_the_engine(counting: Counting) -> None:
    config = counting.config(level=1, mem_level=9, window_bits=10)
    PerMessageDeflate.new_server(config).compress(b"Hello")
    assert counting.compressor_arguments == [(1, zlib.DEFLATED, -10, 9)]


@pytest.mark.rule("R146")
def test_each_side_keeps_to_its_own_configuration_without_an_agreement_on_it() -> None:
    for client, tuning in (
        (True, Config(client_no_context_takeover=True)),
        (False, Config(server_no_context_takeover=True)),
    ):
        codec = PerMessageDeflate(Config(), client=client, tuning=tuning)
        assert codec.config == Config()
        assert [codec.compress(b"Hello") for _ in range(2)] == [HELLO] * 2


@pytest.mark.rule("R148")
def test_a_piece_can_be_inflated_as_soon_as_it_is_sent() -> None:
    for fresh in (False, True):
        config = Config(client_no_context_takeover=fresh)
        client, server = PerMessageDeflate.new_client(config), PerMessageDeflate.new_server(config)
        for _ in range(2):
            for piece in (b"Hel", b"", b"lo, ", b"world"):
                server.feed(client.deflate(piece, False))
                assert server.read(100) == piece
            last = client.deflate(b"", True)
            assert last == b"\x00"
            server.feed(last)
            server.end()
            assert server.read(100) == b""


def test_an_empty_piece_costs_nothing_and_an_empty_message_one_octet() -> None:
    for config in (Config(), Config(client_no_context_takeover=True)):
        codec = PerMessageDeflate.new_client(config)
        for _ in range(3):
            assert codec.deflate(b"", False) == b""
            assert codec.deflate(b"", True) == b"\x00"
            assert codec.compress(b"") == b"\x00"


def test_an_engine_may_give_nothing_for_a_second_flush(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent(CountingCompressor):
        def __init__(self) -> None:
            self.compress = self.flush = lambda _: b""

    config = counting.config()
    monkeypatch.setattr(counting, "compressobj", lambda *arguments: Silent())
    assert PerMessageDeflate.new_client(config).deflate(b"", True) == b"\x00"


# Receiving


@given(configs, messages, st.data())
def test_round_trips_however_cut_and_read(
    config: Config, sent: list[bytes], data: st.DataObject
) -> None:
    client, server = PerMessageDeflate.new_client(config), PerMessageDeflate.new_server(config)
    pairs = [pair for pair in ((client, server), (server, client)) if pair[0].can_compress]
    for message in sent:
        for sender, receiver in pairs:
            if data.draw(st.booleans()):
                payload = sender.compress_whole(message)
                if payload is None:
                    continue
            else:
                cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
                payload = b"".join(
                    sender.deflate(message[start:stop], stop is None)
                    for start, stop in zip([0, *cuts], [*cuts, None])
                )
            cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=4)))
            chunks = [payload[start:stop] for start, stop in zip([0, *cuts], [*cuts, None])]
            assert inflate(receiver, chunks, data.draw(st.integers(1, 5000))) == message
            assert receiver.held == 0


def outcome(
    codec: PerMessageDeflate, chunks: list[bytes], budget: int, step: int
) -> tuple[int, int]:
    """Inflate a message within a budget; return its size and the close code, 0 for success."""
    size = 0
    try:
        for number, chunk in enumerate(chunks, 1):
            codec.feed(chunk)
            if number == len(chunks):
                codec.end()
            while size <= budget:
                piece = codec.read(min(budget + 1 - size, step))
                if not piece:
                    break
                size += len(piece)
            else:
                return size, 1009
    except RemoteProtocolError as error:
        return 0, error.close_code
    return size, 0


@pytest.mark.rule("1.3 broken streams", "1.2 message limits")
@given(
    message=st.builds(lambda unit, times: unit * times, st.binary(max_size=9), st.integers(1, 90)),
    strategy=st.sampled_from([0, 2, 4]),  # default, no copies, fixed codes
    faults=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 255)), max_size=3),
    budget=st.integers(0, 60) | st.integers(0, 900),
    step=st.sampled_from([1, 7, 100, 1 << 16]),
    fresh=st.booleans(),
    data=st.data(),
)
def test_a_broken_message_ends_in_the_same_way_however_cut(
    message: bytes,
    strategy: int,
    faults: list[tuple[int, int]],
    budget: int,
    step: int,
    fresh: bool,
    data: st.DataObject,
) -> None:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
    payload = bytearray((compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4])
    for position, octet in faults:
        payload[position % len(payload)] = octet
    whole = bytes(payload)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    parts = [whole[start:stop] for start, stop in zip([0, *cuts], [*cuts, None])]
    octets = [whole[i : i + 1] for i in range(len(whole))]
    results = {
        outcome(
            PerMessageDeflate.new_server(Config(client_no_context_takeover=fresh)),
            chunks,
            budget,
            size,
        )
        for chunks in ([whole], parts, octets)
        for size in (step, 1 << 16)
    }
    assert len(results) == 1


@pytest.mark.rule("1.3 broken streams", "1.2 message limits")
def test_what_precedes_a_fault_counts_before_it() -> None:
    # Fixed codes for "\xe8 ", then a copy from a distance that there is not.
    payload = bytes.fromhex("7ba100feff6200")
    for chunks in ([payload], [payload[:4], payload[4:]]):
        for step in (1, 100):
            codec = PerMessageDeflate.new_server(Config())
            assert outcome(codec, chunks, 1, step) == (2, 1009)
            codec = PerMessageDeflate.new_server(Config())
            assert outcome(codec, chunks, 2, step) == (0, 1007)
            assert codec.held == 0


def test_an_engine_that_cannot_copy_reports_a_fault_at_once(
    counting: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare(CountingInflater):
        def __getattr__(self, name: str) -> object:
            if name == "copy":
                raise AttributeError(name)
            return super().__getattr__(name)

    config = counting.config()
    monkeypatch.setattr(
        counting, "decompressobj", lambda bits: Bare(counting, zlib.decompressobj(bits))
    )
    codec = PerMessageDeflate.new_server(config)
    assert outcome(codec, [bytes.fromhex("7ba100feff6200")], 1, 100) == (0, 1007)


def test_nothing_is_inflated_before_it_is_asked_for(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(counting.config())
    codec.feed(HELLO)
    codec.end()
    assert not counting.given
    assert codec.held == len(HELLO)
    assert codec.read(2) == b"He"
    assert counting.inflated == 2
    assert codec.read(2) == b"ll"
    assert codec.read(2) == b"o"
    assert codec.read(2) == b""
    assert codec.held == 0


def test_what_is_fed_is_kept_by_reference(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(counting.config())
    chunks = [HELLO[:3], HELLO[3:]]
    for chunk in chunks:
        codec.feed(chunk)
    assert codec.read(100) == b"He"
    assert codec.read(100) == b"llo"
    assert [one is other for one, other in zip(counting.given, chunks)] == [True, True]


def test_a_read_needs_room() -> None:
    codec = PerMessageDeflate.new_server(Config())
    codec.feed(HELLO)
    for size in (0, -1):
        with pytest.raises(ValueError, match=f"size must be positive, not {size}"):
            codec.read(size)
    assert codec.read(100) == b"Hello"


def test_the_next_message_cannot_begin_before_the_last_is_read() -> None:
    codec = PerMessageDeflate.new_server(Config())
    codec.feed(HELLO)
    codec.end()
    assert codec.read(3) == b"Hel"
    assert not codec.finished
    with pytest.raises(LocalProtocolError, match=r"feed\(\) before the last message"):
        codec.feed(HELLO)
    assert codec.read(100) == b"lo"
    assert codec.finished
    assert codec.read(100) == b""
    codec.feed(HELLO)
    assert not codec.finished


@pytest.mark.rule("1.3 engine", "1.3 memory")
def test_contexts_are_made_on_first_use_and_freed(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(counting.config())
    codec.feed(HELLO)
    assert not counting.inflaters
    assert not counting.compressors
    codec.end()
    assert codec.read(100) == b"Hello"
    assert codec.read(100) == b""
    assert codec.decompress(HELLO) == b"Hello"
    assert (len(counting.inflaters), len(counting.compressors)) == (1, 0)
    codec.compress(b"Hello")
    codec.compress(b"Hello")
    assert (len(counting.inflaters), len(counting.compressors)) == (1, 1)
    codec.feed(HELLO)
    codec.close()
    gc.collect()
    assert codec.held == 0
    assert [counting.inflaters[0](), counting.compressors[0]()] == [None, None]


@pytest.mark.rule("1.3 memory", "R149")
def test_without_takeover_no_context_outlives_its_message(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(
        counting.config(server_no_context_takeover=True, client_no_context_takeover=True)
    )
    for _ in range(2):
        codec.compress(b"Hello")
        codec.decompress(HELLO)
        gc.collect()
        assert all(context() is None for context in counting.inflaters + counting.compressors)
    assert (len(counting.inflaters), len(counting.compressors)) == (2, 2)


def test_the_inflater_has_the_window_of_the_peer(counting: Counting) -> None:
    config = counting.config(server_max_window_bits=8, client_max_window_bits=10)
    PerMessageDeflate.new_client(config).decompress(HELLO)
    PerMessageDeflate.new_server(config).decompress(HELLO)
    PerMessageDeflate.new_client(counting.config()).decompress(HELLO)
    assert counting.inflater_windows == [15]
    counting.inflater_windows.clear()
    PerMessageDeflate.new_client(config).decompress(HELLO)
    PerMessageDeflate.new_server(config).decompress(HELLO)
    assert counting.inflater_windows == [9, 10]


@pytest.mark.rule("1.3 memory")
def test_the_defaults_take_less_than_40_kib_to_compress_and_48_to_inflate() -> None:
    tracemalloc = pytest.importorskip("tracemalloc")
    codec = PerMessageDeflate.new_server(Config())
    payload = raw(b"x" * 100000)
    codec.decompress(codec.compress(b"warm up"))
    codec.close()
    gc.collect()
    tracemalloc.start()
    try:
        codec.compress(b"Hello")
        compressor = tracemalloc.get_traced_memory()[0]
        codec.decompress(payload)
        both = tracemalloc.get_traced_memory()[0]
        codec.close()
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert compressor < 40 * 1024
    assert both - compressor < 48 * 1024
    assert left < 4096


# Final blocks


@pytest.mark.rule("1.3 BFINAL")
def test_vector_final_block() -> None:
    payload = bytes.fromhex("f348cdc9c9070000")
    for codec in receivers():
        for _ in range(2):
            assert codec.decompress(payload) == b"Hello"
            assert codec.decompress(payload[:-1] + payload) == b"HelloHello"
            assert inflate(codec, [payload[i : i + 1] for i in range(8)], 1) == b"Hello"
            assert codec.decompress(HELLO) == b"Hello"


@pytest.mark.rule("1.3 BFINAL")
def test_after_a_final_block_there_is_no_history() -> None:
    codec = PerMessageDeflate.new_server(Config())
    assert codec.decompress(bytes.fromhex("f348cdc9c9070000")) == b"Hello"
    with pytest.raises(InvalidCompressedData):
        codec.decompress(bytes.fromhex("f200110000"))


@pytest.mark.rule("1.3 BFINAL")
@pytest.mark.parametrize("step", [1, 3, 5000])
def test_at_most_1024_final_blocks_in_a_message(step: int) -> None:
    blocks = b"\x03\x00" * 1024
    for codec in receivers():
        for _ in range(2):
            payload = blocks + b"\x00"
            chunks = [payload[i : i + step] for i in range(0, len(payload), step)]
            assert inflate(codec, chunks) == b""
        payload = blocks + b"\x03\x00\x00"
        chunks = [payload[i : i + step] for i in range(0, len(payload), step)]
        with pytest.raises(RemoteProtocolError, match="more than 1024 final blocks") as caught:
            inflate(codec, chunks)
        assert caught.value.close_code == 1008


@pytest.mark.rule("1.3 BFINAL")
def test_a_frame_full_of_final_blocks_costs_linear_work(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(counting.config())
    payload = b"\x03\x00" * 1024 + raw(random.Random(0).randbytes(1 << 20))
    assert len(codec.decompress(payload)) == 1 << 20
    assert counting.taken == len(payload) + 4
    # After a final block the inflater copies what is left of its piece, never of the payload.
    assert counting.copied <= 1024 * 4096


# Broken streams


@pytest.mark.rule("1.3 broken streams")
@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("", "does not end with the beginning of an empty block"),
        ("f248cdc9c907000000ffff", "does not end with the beginning of an empty block"),
        ("f248cdc9c90720", "."),
        ("ffff", "."),
        ("0005 00fa fe48 656c 6c6f 00", "."),
        ("0005 00fa ff48 656c 00", "ends inside a block"),
        ("f348cdc9c907 00", "nothing follows its final block"),
        ("03", "ends inside a block"),
    ],
)
def test_broken_streams_are_1007(payload: str, words: str) -> None:
    for codec in receivers():
        with pytest.raises(InvalidCompressedData, match=words) as caught:
            codec.decompress(bytes.fromhex(payload))
        assert caught.value.close_code == 1007
        assert caught.value.__context__ is None
        assert codec.held == 0


@pytest.mark.rule("1.3 broken streams")
def test_without_takeover_every_cut_of_a_message_is_noticed() -> None:
    rng = random.Random(2)
    for seed in range(20):
        rng.seed(seed)
        payload = raw(bytes(rng.choices(b"abcdefgh", k=120)))
        for cut in range(len(payload)):
            codec = PerMessageDeflate.new_server(Config(client_no_context_takeover=True))
            with pytest.raises(InvalidCompressedData):
                codec.decompress(payload[:cut])


@pytest.mark.rule("1.3 broken streams")
def test_without_takeover_octets_that_only_look_like_the_end_are_noticed() -> None:
    # The header of a stored block of two octets, one of which is there: the tail fills it up.
    payload = bytes.fromhex("00 0300 fcff 61 00")
    with_takeover, without = receivers()
    for codec in (with_takeover, without):
        with pytest.raises(InvalidCompressedData, match="ends inside a block"):
            codec.decompress(payload)
    # The end of a block, half of it in the tail, and code lengths: no output betrays them.
    for payload, message in ((HELLO[:-1], b"Hello"), (b"\x04\x00", b"")):
        with_takeover, without = receivers()
        assert with_takeover.decompress(payload) == message
        with pytest.raises(InvalidCompressedData):
            without.decompress(payload)


def test_after_a_failure_the_message_is_abandoned() -> None:
    codec = PerMessageDeflate.new_server(Config())
    codec.feed(b"\xff" * 10)
    codec.feed(HELLO)
    with pytest.raises(InvalidCompressedData):
        codec.read(100)
    assert codec.held == 0
    assert codec.read(100) == b""
    codec.feed(HELLO * 2)
    codec.abandon()
    assert codec.held == 0
    assert codec.decompress(HELLO) == b"Hello"


# Bombs


@pytest.mark.rule("R82", "1.2 message limits")
@pytest.mark.parametrize("size", [1, 5, 4096, 1 << 20])
def test_a_bomb_at_the_bound_passes_and_one_octet_over_it_does_not(
    size: int, counting: Counting
) -> None:
    config = counting.config()
    payload = raw(bytes(size))
    assert PerMessageDeflate.new_server(config).decompress(payload, size) == bytes(size)
    counting.inflated = 0
    codec = PerMessageDeflate.new_server(config)
    with pytest.raises(
        LimitExceeded,
        match=f"compressed message of {size} bytes or more exceeds max_message_size={size - 1}",
    ) as caught:
        codec.decompress(payload, size - 1, "max_message_size")
    assert caught.value.close_code == 1009
    assert counting.inflated == size
    assert codec.held == 0


def test_a_message_without_bound_is_inflated_whole() -> None:
    message = bytes(300000)
    assert PerMessageDeflate.new_server(Config()).decompress(raw(message)) == message


@pytest.mark.rule("1.2 message limits")
def test_a_bomb_in_tiny_fragments_stops_at_the_bound(counting: Counting) -> None:
    payload = raw(bytes(1 << 20))
    codec = PerMessageDeflate.new_server(counting.config())
    budget = 1000
    received = 0
    for octet in itertools.chain(payload, [0] * 5):
        codec.feed(bytes([octet]))
        while received <= budget:
            piece = codec.read(budget + 1 - received)
            received += len(piece)
            if not piece:
                break
    assert received == counting.inflated == budget + 1


@pytest.mark.rule("1.2 message limits")
def test_a_bomb_after_the_budget_is_used_up_gives_one_octet(counting: Counting) -> None:
    codec = PerMessageDeflate.new_server(counting.config())
    client = PerMessageDeflate.new_client(Config())
    codec.feed(client.deflate(b"Hello", False))
    assert codec.read(6) == b"Hello"
    assert codec.read(1) == b""
    codec.feed(client.deflate(bytes(1 << 20), True))
    codec.end()
    assert codec.read(1) == b"\x00"
    assert counting.inflated == 6


@pytest.mark.rule("1.2 message limits")
def test_a_bomb_in_the_tail_gives_one_octet(counting: Counting) -> None:
    # A message that is cut inside a block, so that its tail is read as symbols of the block: here
    # those of a code in which two bits stand for the longest copy.
    whole = raw(bytes(1 << 16))
    inflater = zlib.decompressobj(-15)
    inflater.decompress(whole[:-20])
    assert len(inflater.decompress(b"\x00\x00")) > 2000
    for fresh in (False, True):
        for cut in range(20, len(whole)):
            codec = PerMessageDeflate.new_server(counting.config(client_no_context_takeover=fresh))
            codec.feed(whole[:cut])
            while codec.read(1 << 20):
                pass
            codec.end()
            counting.inflated = 0
            with pytest.raises(InvalidCompressedData):
                codec.read(1 << 20)
            assert counting.inflated <= 1


def test_reading_in_small_steps_copies_little(counting: Counting) -> None:
    message = bytes(1 << 22)
    payload = raw(message)
    codec = PerMessageDeflate.new_server(counting.config())
    assert inflate(codec, [payload], 1 << 16) == message
    assert counting.taken == len(payload) + 4
    # At most one piece for each read.
    assert counting.copied <= 64 * 4096 + len(payload)


def test_many_fragments_fed_before_the_first_read(counting: Counting) -> None:
    message = random.Random(3).randbytes(20000)
    payload = raw(message)
    codec = PerMessageDeflate.new_server(counting.config())
    for octet in payload:
        codec.feed(bytes([octet]))
    codec.feed(b"")
    assert codec.held == len(payload)
    codec.end()
    received = bytearray()
    while codec.held:
        received += codec.read(1000)
    assert codec.read(1000) == b""
    assert received == message
    assert counting.taken == len(payload) + 4

"""Real peers over loopback with permessage-deflate, both ways."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Any

import pytest
from interop.driver import Endpoint, connect, serve
from interop.peers import PLAIN_DEFLATE, Answer, Deflate, Message, Peer, Request

SEED = 7692

SERVER_FRESH = "server_no_context_takeover"
CLIENT_FRESH = "client_no_context_takeover"
SERVER_WINDOW = "server_max_window_bits"
CLIENT_WINDOW = "client_max_window_bits"
ALL = frozenset({SERVER_FRESH, CLIENT_FRESH, SERVER_WINDOW, CLIENT_WINDOW})
OF_THE_CLIENT = frozenset({CLIENT_FRESH, CLIENT_WINDOW})
NONE: frozenset[str] = frozenset()

PEERS = ("websockets", "wsproto", "aiohttp", "picows_websockets", "node")

WINDOWS = [(None, None), (9, 9), (15, 10), (11, None), (None, 12)]
"""Those of the server and of the client."""

ANSWERED = {
    # By peer, our role, and who asks: the parameters that can come to stand in the answer.
    ("websockets", "client", "we"): ALL,
    ("websockets", "client", "they"): ALL,
    ("websockets", "server", "we"): ALL,
    ("websockets", "server", "they"): ALL,
    ("wsproto", "client", "we"): ALL,
    # What it compresses with it tells only where it is asked.
    ("wsproto", "client", "they"): ALL - {SERVER_WINDOW},
    ("wsproto", "server", "we"): ALL,
    ("wsproto", "server", "they"): ALL,
    # Its server has no parameter of its own and knows none of the client's.
    ("aiohttp", "client", "we"): ALL - OF_THE_CLIENT,
    ("aiohttp", "client", "they"): NONE,
    ("aiohttp", "server", "we"): ALL,
    ("aiohttp", "server", "they"): frozenset({SERVER_WINDOW}),
    # Its server answers none. With a hook it does, but only what is the same for both sides.
    ("picows_websockets", "client", "we"): NONE,
    ("picows_websockets", "client", "they"): ALL,
    ("picows_websockets", "server", "we"): ALL,
    ("picows_websockets", "server", "they"): NONE,
    ("node", "client", "we"): ALL,
    ("node", "client", "they"): ALL,
    ("node", "server", "we"): ALL,
    ("node", "server", "they"): ALL,
}


def wanted(deflate: Deflate) -> frozenset[str]:
    """The names of the parameters that are there."""
    return frozenset(field.name for field in fields(deflate) if getattr(deflate, field.name))


def agreements() -> Iterator[Any]:
    """Yield every cell of the grid that a peer can be brought to."""
    for (peer, role, who), answered in ANSWERED.items():
        for server_fresh, client_fresh, (server, client) in product(
            (False, True), (False, True), WINDOWS
        ):
            deflate = Deflate(server_fresh, client_fresh, server, client)
            reached = answered
            if role == "client" and who == "we":
                # Our client keeps to what it has asked of itself, whatever the answer says.
                reached |= OF_THE_CLIENT
            exchanged = Deflate(client_fresh, server_fresh, client, server)
            if (peer, role, who) == ("picows_websockets", "client", "they"):
                reached = reached if exchanged == deflate else NONE
            if (peer, role, who, server) == ("aiohttp", "client", "we", 15):
                reached = NONE  # it would be silent on 15, which fails the handshake
            if wanted(deflate) <= reached and (who == "we" or deflate != PLAIN_DEFLATE):
                windows = f"{server or '-'},{client or '-'}"
                fresh = f"{'S' if server_fresh else '-'}{'C' if client_fresh else '-'}"
                yield pytest.param(
                    peer, role, who, deflate, id=f"{peer}-{role}-{who}-{fresh}-{windows}"
                )


@asynccontextmanager
async def opened(
    ws: Any, role: str, peer: Any, config: Any, theirs: Deflate = PLAIN_DEFLATE, **options: Any
) -> AsyncIterator[tuple[Endpoint, Peer]]:
    """Open a connection between our side and theirs.

    Args:
        config: what our side asks for.
        theirs: what their side asks for.
        options: the others of our side.
    """
    options["deflate"] = config
    if role == "client":
        async with peer.serve(Answer(deflate=theirs)) as listener:
            ours = await connect(ws, listener.port, **options)
            await ours.event(ws.Connected)
            other = await listener.accepted()
            try:
                yield ours, other
            finally:
                ours.abort()
                await other.abort()
    else:
        async with serve(ws, **options) as listener:
            connecting = asyncio.ensure_future(peer.connect(listener.port, Request(deflate=theirs)))
            ours = await listener.accepted()
            await ours.event(ws.HandshakeRequested)
            ours.connection.accept_handshake_auto()
            ours.flush()
            await ours.event(ws.Connected)
            other = await connecting
            try:
                yield ours, other
            finally:
                ours.abort()
                await other.abort()


async def close(ws: Any, ours: Endpoint, theirs: Peer) -> None:
    """End a connection in peace; what was left are Pings and Pongs."""
    ours.connection.close()
    ours.flush()
    assert await theirs.closed() == (1000, "")
    event = await ours.event((ws.Ping, ws.Pong, ws.Close))
    while not isinstance(event, ws.Close):
        event = await ours.event((ws.Ping, ws.Pong, ws.Close))
    assert event.code == 1000
    await ours.ended()


async def heard(ws: Any, ours: Endpoint) -> Message:
    """Return the next message of theirs, also where it comes in fragments."""
    data = (ws.TextMessage, ws.BinaryMessage, ws.TextFragment, ws.BinaryFragment)
    pieces: list[Any] = []
    while True:
        event = await ours.event((*data, ws.Ping, ws.Pong))
        if isinstance(event, ws.TextMessage):
            return str(event.text)
        if isinstance(event, ws.BinaryMessage):
            return bytes(event.data)
        if isinstance(event, (ws.TextFragment, ws.BinaryFragment)):
            pieces.append(event.text if isinstance(event, ws.TextFragment) else event.data)
            if event.final:
                return type(pieces[0])().join(pieces)


def agreed(ws: Any, ours: Endpoint) -> Any:
    """The agreement as it stands in the answer; None without one."""
    elements = ours.connection.extensions
    if not elements:
        return None
    (extension,) = ws.Extension.parse_strict(elements[0])
    return ws.PerMessageDeflateConfig.from_extension_for_client_response(extension)


# The grid


@pytest.mark.rule("R128", "R140", "R148", "1.3 negotiation", "1.3 windows")
@pytest.mark.parametrize(("peer", "role", "who", "deflate"), list(agreements()), indirect=["peer"])
async def test_what_is_agreed_on_is_kept_to(
    ws: Any, request: pytest.FixtureRequest, peer: Any, role: str, who: str, deflate: Deflate
) -> None:
    name = request.node.callspec.params["peer"]
    tuning = {"window_bits": 15, "mem_level": 9, "threshold": None}
    if who == "we":
        asked = {key: getattr(deflate, key) for key in wanted(deflate)}
        config = ws.PerMessageDeflateConfig(**asked, **tuning)
        theirs = PLAIN_DEFLATE
    else:
        config = ws.PerMessageDeflateConfig(**tuning)
        theirs = deflate
    generator = random.Random(SEED)
    async with opened(ws, role, peer, config, theirs) as (ours, other):
        answer = agreed(ws, ours)
        # What is not answered binds nobody.
        expected = keep(deflate, ANSWERED[name, role, who])
        assert answer.server_no_context_takeover is expected.server_no_context_takeover
        assert answer.client_no_context_takeover is expected.client_no_context_takeover
        assert (answer.server_max_window_bits or 15) == (expected.server_max_window_bits or 15)
        assert (answer.client_max_window_bits or 15) == (expected.client_max_window_bits or 15)

        of_server = answer.server_no_context_takeover, answer.server_max_window_bits or 15
        of_client = answer.client_no_context_takeover, answer.client_max_window_bits or 15
        if role == "client" and who == "we":
            of_client = deflate.client_no_context_takeover, deflate.client_max_window_bits or 15

        async def we_send(data: bytes) -> int:
            before = ours.bytes_sent
            ours.connection.send_binary(data)
            ours.flush()
            assert await other.receive() == data
            return ours.bytes_sent - before

        async def they_send(data: bytes) -> int:
            before = ours.bytes_received
            await other.send(data)
            assert await heard(ws, ours) == data
            return ours.bytes_received - before

        for send, (fresh, window) in (
            (we_send, of_client if role == "client" else of_server),
            (they_send, of_server if role == "client" else of_client),
        ):
            # Noise is small only where it can be referred to in the message before. All windows
            # reach back so far.
            noise = generator.randbytes(200)
            assert await send(noise) >= 200
            assert (await send(noise) >= 200) is fresh
            # This far, only a window of 13 bits or more does.
            noise = generator.randbytes(6000)
            assert (await send(noise + noise) >= 12000) is (window < 13)

        for number in range(20):
            message = draw_message(generator, [])
            if isinstance(message, str):
                ours.connection.send_text(message)
            else:
                ours.connection.send_binary(message)
            ours.flush()
            assert await other.receive() == message, number
            await other.send(message)
            assert await heard(ws, ours) == message, number
        await close(ws, ours, other)


def keep(deflate: Deflate, names: frozenset[str]) -> Deflate:
    """Return what is asked for without the parameters not named."""
    return replace(
        PLAIN_DEFLATE, **{name: getattr(deflate, name) for name in wanted(deflate) & names}
    )


# Thousands of messages

CHARACTERS = 'aeinrst  {}[]:,"0123456789éß日本語🎉👩'
SIZES = (0, 1, 2, 10, 63, 64, 65, 124, 125, 126, 127, 300, 1000, 1023, 1024, 4000)
LARGE_SIZES = (16384, 32768, 65535, 65536, 100_000)


def draw_message(generator: random.Random, earlier: list[Message]) -> Message:
    """Draw a message: text or binary, of any size, that can be compressed or not."""
    size = generator.choice(SIZES if generator.random() < 0.98 else LARGE_SIZES)
    kind = generator.randrange(6)
    message: Message
    if kind == 0 and earlier:
        message = generator.choice(earlier)
    elif kind == 1:
        message = generator.randbytes(size)
    elif kind == 2:
        message = bytes([generator.randrange(256)]) * size
    elif kind == 3:
        message = generator.choice(CHARACTERS) * size
    elif kind == 4:
        content = {"id": generator.getrandbits(32), "text": "日本" * (size // 8)}
        message = json.dumps(content, ensure_ascii=False)
    else:
        message = "".join(generator.choices(CHARACTERS, k=size))
    return message


def cut(generator: random.Random, message: Message) -> list[Message]:
    """Cut a message into two to six pieces, some of them empty."""
    cuts = sorted(generator.randint(0, len(message)) for _ in range(generator.randint(1, 5)))
    return [message[start:end] for start, end in zip([0, *cuts], [*cuts, len(message)])]


@dataclass
class Talk:
    """What both sides say, drawn from a seed."""

    ws: Any
    peer: Any
    ours: Endpoint
    theirs: Peer
    generator: random.Random

    def we_say(self, message: Message) -> None:
        connection = self.ours.connection
        text = isinstance(message, str)
        send = connection.send_text if text else connection.send_binary
        way = self.generator.randrange(6)
        if way < 3:
            send(message, compress=(None, True, False)[way])
        elif way == 3:
            connection.send_prepared(self.ws.PreparedMessage(message))
        else:
            compress = way == 4
            pings = self.peer.takes_control_frames_inside or not compress
            first, *rest = cut(self.generator, message)
            send(first, final=False, compress=compress)
            for number, piece in enumerate(rest, 1):
                if pings and self.generator.random() < 0.5:
                    connection.send_ping(b"ours %d" % number)
                if self.generator.random() < 0.3:
                    self.ours.flush()
                connection.send_continuation(piece, final=number == len(rest))
        if self.generator.random() < 0.1:
            connection.send_ping(b"ours")
        self.ours.flush()

    async def they_say(self, message: Message) -> None:
        compress = not self.peer.sends_plain or self.generator.random() < 0.7
        if not self.peer.sends_fragments or self.generator.random() < 0.6:
            await self.theirs.send(message, compress=compress)
        else:
            await self.theirs.send_fragments(
                cut(self.generator, message),
                text=isinstance(message, str),
                ping=b"theirs " if self.generator.random() < 0.5 else None,
                compress=compress,
            )


@pytest.mark.rule("R147", "R148", "1.3 not worth it", "1.3 engine")
@pytest.mark.parametrize("fresh", [False, True], ids=["takeover", "no-takeover"])
@pytest.mark.parametrize("peer", PEERS, indirect=True)
async def test_thousands_of_messages_arrive_unchanged_both_ways(
    ws: Any, role: str, peer: Any, fresh: bool
) -> None:
    generator = random.Random(SEED)
    config = ws.PerMessageDeflateConfig(
        client_no_context_takeover=fresh, server_no_context_takeover=fresh and role == "server"
    )
    async with opened(ws, role, peer, config) as (ours, theirs):
        talk = Talk(ws, peer, ours, theirs, generator)
        earlier: list[Message] = []
        said = 0
        for batch in range(20):
            messages = [draw_message(generator, earlier) for _ in range(100)]
            earlier = messages[:10]
            said += sum(len(m.encode() if isinstance(m, str) else m) for m in messages)
            ours.connection.streaming = batch % 3 == 2
            for message in messages:
                talk.we_say(message)
            for number, message in enumerate(messages):
                assert await theirs.receive() == message, (batch, number)
            for number, message in enumerate(messages):
                await talk.they_say(message)
                assert await heard(ws, ours) == message, (batch, number)
        # Half of it cannot be compressed, or is told not to be.
        assert ours.bytes_sent < said * 0.8
        assert ours.bytes_received < said * 0.8
        await close(ws, ours, theirs)


# A window of 8 bits


# What older Pythons get of websockets fails over such an offer.
DECLINING = ("wsproto", "aiohttp", *(("websockets",) if sys.version_info >= (3, 11) else ()))


@pytest.mark.rule("1.3 windows")
@pytest.mark.parametrize("peer", DECLINING, indirect=True)
async def test_a_server_of_theirs_declines_a_window_of_8_bits(ws: Any, peer: Any) -> None:
    config = ws.PerMessageDeflateConfig(server_max_window_bits=8)
    async with opened(ws, "client", peer, config) as (ours, theirs):
        assert ours.connection.extensions == ()
        ours.connection.send_text("a" * 1000)
        ours.flush()
        assert await theirs.receive() == "a" * 1000
        await theirs.send("b" * 1000)
        assert await heard(ws, ours) == "b" * 1000
        await close(ws, ours, theirs)


@pytest.mark.rule("1.3 windows")
@pytest.mark.parametrize("role", ["client", "server"])
@pytest.mark.parametrize("peer", ["node"], indirect=True)
async def test_what_they_compress_with_8_bits_is_inflated(ws: Any, role: str, peer: Any) -> None:
    # zlib takes 9 bits where Node tells it 8, so they refer back further than agreed.
    generator = random.Random(SEED)
    window = {f"{'server' if role == 'client' else 'client'}_max_window_bits": 8}
    if role == "client":
        config, asked = ws.PerMessageDeflateConfig(**window), PLAIN_DEFLATE
    else:
        config, asked = ws.PerMessageDeflateConfig(), Deflate(**window)
    async with opened(ws, role, peer, config, asked) as (ours, theirs):
        assert f"{next(iter(window))}=8" in ours.connection.extensions[0]
        block = generator.randbytes(240)
        for _ in range(10):
            message = block + generator.randbytes(generator.randrange(20)) + block
            await theirs.send(message)
            assert await heard(ws, ours) == message
            ours.connection.send_binary(message)
            ours.flush()
            assert await theirs.receive() == message
        await close(ws, ours, theirs)


@pytest.mark.rule("1.3 windows")
@pytest.mark.parametrize("peer", ["websockets", "node"], indirect=True)
async def test_our_client_sends_plain_where_they_answer_8_bits(ws: Any, peer: Any) -> None:
    config = ws.PerMessageDeflateConfig()
    asked = Deflate(client_max_window_bits=8)
    async with opened(ws, "client", peer, config, asked) as (ours, theirs):
        assert agreed(ws, ours).client_max_window_bits == 8
        before = ours.bytes_sent
        ours.connection.send_text("a" * 1000, compress=True)
        ours.flush()
        assert await theirs.receive() == "a" * 1000
        assert ours.bytes_sent - before > 1000
        before = ours.bytes_received
        await theirs.send("b" * 1000)
        assert await heard(ws, ours) == "b" * 1000
        assert ours.bytes_received - before < 100
        await close(ws, ours, theirs)


@pytest.mark.rule("1.3 windows")
@pytest.mark.parametrize("peer", ["websockets", "node"], indirect=True)
async def test_our_server_declines_to_compress_with_8_bits(ws: Any, peer: Any) -> None:
    config = ws.PerMessageDeflateConfig()
    asked = Deflate(server_max_window_bits=8)
    async with opened(ws, "server", peer, config, asked) as (ours, theirs):
        assert ours.connection.extensions == ()
        assert "sec-websocket-extensions" not in theirs.headers
        await theirs.send("b" * 1000)
        assert await heard(ws, ours) == "b" * 1000
        await close(ws, ours, theirs)


# What cannot be agreed on, and limits


@pytest.mark.rule("1.3 negotiation")
@pytest.mark.parametrize(
    ("peer", "window"), [("picows_websockets", 10), ("aiohttp", 15)], indirect=["peer"]
)
async def test_an_answer_that_leaves_out_what_we_ask_fails_the_handshake(
    ws: Any, peer: Any, window: int
) -> None:
    config = ws.PerMessageDeflateConfig(server_max_window_bits=window)
    async with peer.serve(Answer()) as listener:
        ours = await connect(ws, listener.port, deflate=config)
        failed = await ours.event(ws.Failed)
        assert isinstance(failed.error, ws.InvalidHandshake)
        theirs = await listener.accepted()
        ours.abort()
        await theirs.abort()


@pytest.mark.rule("1.2 message limits")
@pytest.mark.parametrize("peer", PEERS, indirect=True)
async def test_a_message_that_inflates_past_the_limit_is_refused_with_1009(
    ws: Any, role: str, peer: Any
) -> None:
    config = ws.PerMessageDeflateConfig()
    async with opened(ws, role, peer, config, max_decompressed_size=100_000) as (ours, theirs):
        await theirs.send(b"\x00" * 100_000)
        assert await heard(ws, ours) == b"\x00" * 100_000
        await theirs.send(b"\x00" * 100_001)
        assert (await theirs.closed()).code == 1009
        failed = await ours.event(ws.Failed)
        assert isinstance(failed.error, ws.LimitExceeded)
        await ours.ended()

"""Real peers over loopback, both ways: `websockets`, `wsproto`, `aiohttp`, `picows`, Node's `ws`.

Without compression; `test_compression` has what is said with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from interop.driver import Endpoint, connect, serve
from interop.peers import Answer, Peer, Refused, Request

MIB = 1024 * 1024

TEXT = "aé日🎉" * 2  # characters of one to four bytes
LARGE_TEXT = "aé日🎉......" * (MIB // 16)
ALL_BYTES = bytes(range(256))
LARGE_BINARY = ALL_BYTES * (MIB // 256)

CLOSES = [
    (1000, ""),
    (1000, "done"),
    (1001, "going away"),
    (3000, "さようなら"),
    (4999, "r" * 123),
]
"""Close codes and reasons that every peer can send and shows when it receives them."""


PLAIN_REQUEST = Request()
PLAIN_ANSWER = Answer()


def only(*peers: str) -> pytest.MarkDecorator:
    """Run a test with these peers: the others cannot do what it needs."""
    return pytest.mark.parametrize("peer", peers, indirect=True)


# aiohttp sends whole messages, and a code in every Close frame; wsproto takes text as str.
sends_fragments = only("websockets", "wsproto", "picows", "node")
sends_empty_closes = only("websockets", "wsproto", "picows", "node")
splits_characters = only("websockets", "picows", "node")


@asynccontextmanager
async def opened(
    ws: Any,
    role: str,
    peer: Any,
    *,
    request: Request = PLAIN_REQUEST,
    answer: Answer = PLAIN_ANSWER,
    **options: Any,
) -> AsyncIterator[tuple[Endpoint, Peer]]:
    """Open a connection between our side and theirs; the test is to close it.

    Args:
        request: what their client asks for.
        answer: what their server answers.
        options: those of our side.
    """
    if role == "client":
        async with peer.serve(answer) as listener:
            ours = await connect(ws, listener.port, **options)
            await ours.event(ws.Connected)
            theirs = await listener.accepted()
            try:
                yield ours, theirs
            finally:
                ours.abort()
                await theirs.abort()
    else:
        async with serve(ws, **options) as listener:
            connecting = asyncio.ensure_future(peer.connect(listener.port, request))
            ours = await listener.accepted()
            await ours.event(ws.HandshakeRequested)
            ours.connection.accept_handshake_auto()
            ours.flush()
            await ours.event(ws.Connected)
            theirs = await connecting
            try:
                yield ours, theirs
            finally:
                ours.abort()
                await theirs.abort()


async def close(ws: Any, ours: Endpoint, theirs: Peer) -> None:
    """End a connection in peace."""
    ours.connection.close()
    ours.flush()
    assert await theirs.closed() == (1000, "")
    assert (await ours.event(ws.Close)).code == 1000
    await ours.ended()


# Messages


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("Hello, world!", id="ascii"),
        pytest.param("こんにちは、世界", id="japanese"),
        pytest.param("🎉👩\u200d🚀", id="emoji"),
        pytest.param("\x00\x7f\u0080\ud7ff\ue000\uffff\U00010000\U0010ffff", id="edges"),
        pytest.param(LARGE_TEXT, id="1MiB"),
    ],
)
async def test_text_arrives_both_ways(ws: Any, role: str, peer: Any, text: str) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        ours.connection.send_text(text)
        ours.flush()
        assert await theirs.receive() == text
        await theirs.send(text)
        assert (await ours.event(ws.TextMessage)).text == text
        await close(ws, ours, theirs)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(ALL_BYTES, id="all-bytes"),
        *(pytest.param(b"\xff" * size, id=str(size)) for size in (125, 126, 65535, 65536)),
        pytest.param(LARGE_BINARY, id="1MiB"),
    ],
)
async def test_binary_arrives_both_ways(ws: Any, role: str, peer: Any, data: bytes) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        ours.connection.send_binary(data)
        ours.flush()
        assert await theirs.receive() == data
        await theirs.send(data)
        assert (await ours.event(ws.BinaryMessage)).data == data
        await close(ws, ours, theirs)


async def test_many_messages_keep_their_order_both_ways(ws: Any, role: str, peer: Any) -> None:
    messages = [f"{number} {TEXT}" for number in range(200)]
    async with opened(ws, role, peer) as (ours, theirs):
        for message in messages:
            ours.connection.send_text(message)
        ours.flush()
        assert [await theirs.receive() for _ in messages] == messages
        for message in messages:
            await theirs.send(message)
        assert [(await ours.event(ws.TextMessage)).text for _ in messages] == messages
        await close(ws, ours, theirs)


# Fragments


def split(data: bytes) -> list[bytes]:
    """Cut into bytes, with an empty piece at either end and in the middle."""
    pieces = [data[index : index + 1] for index in range(len(data))]
    return [b"", *pieces[: len(pieces) // 2], b"", *pieces[len(pieces) // 2 :], b""]


@pytest.mark.rule("R31", "R32", "R35")
@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_our_fragments_arrive_as_one_message(
    ws: Any, role: str, peer: Any, kind: str
) -> None:
    # Every character of more than one byte is split, and a Ping stands in front of each fragment.
    first, *rest = split(TEXT.encode())
    async with opened(ws, role, peer) as (ours, theirs):
        send = ours.connection.send_text if kind == "text" else ours.connection.send_binary
        send(first, final=False)
        for number, piece in enumerate(rest, 1):
            ours.connection.send_ping(b"%d" % number)
            ours.connection.send_continuation(piece, final=number == len(rest))
        ours.flush()
        assert await theirs.receive() == (TEXT if kind == "text" else TEXT.encode())
        # They may answer only the latest of several Pings (RFC 6455 section 5.5.3).
        payload = None
        while payload != b"%d" % len(rest):
            payload = (await ours.event(ws.Pong)).payload
        await close(ws, ours, theirs)


@pytest.mark.rule("R31", "R32", "R35")
@sends_fragments
@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_their_fragments_arrive_as_one_message(
    ws: Any, role: str, peer: Any, kind: str
) -> None:
    pieces: Sequence[Any] = ["", *TEXT, ""] if kind == "text" else split(ALL_BYTES[:16])
    whole = type(pieces[0])().join(pieces)
    async with opened(ws, role, peer) as (ours, theirs):
        await theirs.send_fragments(pieces, text=kind == "text", ping=b"between ")
        for number in range(1, len(pieces)):
            assert await ours.event(ws.Ping) == ws.Ping(b"between %d" % number)
        if kind == "text":
            assert (await ours.event(ws.TextMessage)).text == whole
        else:
            assert (await ours.event(ws.BinaryMessage)).data == whole
        await close(ws, ours, theirs)


@pytest.mark.rule("R40")
@splits_characters
async def test_characters_that_they_split_are_put_together(ws: Any, role: str, peer: Any) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        await theirs.send_fragments(split(TEXT.encode()), text=True)
        assert (await ours.event(ws.TextMessage)).text == TEXT
        await close(ws, ours, theirs)


@pytest.mark.rule("1.2 UTF-8")
@splits_characters
async def test_text_of_theirs_that_is_not_utf8_fails_with_1007(
    ws: Any, role: str, peer: Any
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        sending = asyncio.ensure_future(
            theirs.send_fragments([b"\xe3\x81", b"a", b"\x82"], text=True)
        )
        assert (await theirs.closed()).code == 1007
        await asyncio.gather(sending, return_exceptions=True)
        failed = await ours.event(ws.Failed)
        assert isinstance(failed.error, ws.InvalidUtf8)
        await ours.ended()


# Ping and Pong


@pytest.mark.parametrize("payload", [b"", b"ping", ALL_BYTES[-125:]])
async def test_our_ping_is_answered_with_its_payload(
    ws: Any, role: str, peer: Any, payload: bytes
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        ours.connection.send_ping(payload, asyncio.get_running_loop().time())
        ours.connection.send_text("behind the Ping")
        ours.flush()
        assert await theirs.receive() == "behind the Ping"
        pong = await ours.event(ws.Pong)
        assert pong.payload == payload
        assert type(pong.latency) is float
        assert pong.latency >= 0
        await close(ws, ours, theirs)


@pytest.mark.rule("R65")
@pytest.mark.parametrize("payload", [b"", b"ping", ALL_BYTES[-125:]])
async def test_their_ping_is_answered_with_its_payload(
    ws: Any, role: str, peer: Any, payload: bytes
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        assert await theirs.ping(payload) == payload
        assert await ours.event(ws.Ping) == ws.Ping(payload)
        await close(ws, ours, theirs)


@pytest.mark.rule("1.1 keepalive")
async def test_our_keepalive_is_answered(ws: Any, role: str, peer: Any) -> None:
    async with opened(ws, role, peer, ping_interval=0.01) as (ours, theirs):
        receiving = asyncio.ensure_future(theirs.receive())
        pongs = [await ours.event(ws.Pong) for _ in range(3)]
        assert len({pong.payload for pong in pongs}) == 3
        assert all(pong.latency >= 0 for pong in pongs)
        ours.connection.send_text("still there")
        ours.flush()
        assert await receiving == "still there"
        ours.connection.close()
        ours.flush()
        assert await theirs.closed() == (1000, "")
        event = await ours.event((ws.Pong, ws.Close))
        while isinstance(event, ws.Pong):
            event = await ours.event((ws.Pong, ws.Close))
        await ours.ended()


# Closing


@pytest.mark.rule("1.1 normal close, client", "1.1 close codes")
@pytest.mark.parametrize(("code", "reason"), [*CLOSES, (None, "")])
async def test_our_close_reaches_them_and_is_answered(
    ws: Any, role: str, peer: Any, code: int | None, reason: str
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        ours.connection.close(code, reason)
        ours.flush()
        assert await theirs.closed() == (code, reason)
        # Some echo the code, some answer any with 1000 (RFC 6455 section 5.5.1: "typically").
        assert (await ours.event(ws.Close)).code in {code, 1000}
        await ours.ended()
        assert ours.connection.close_sent == ws.Close(code, reason)
        assert not ours.connection.close_received_first


@pytest.mark.rule("1.1 normal close, server", "1.1 close codes", "R57")
@pytest.mark.parametrize(("code", "reason"), CLOSES)
async def test_their_close_reaches_us_and_is_answered(
    ws: Any, role: str, peer: Any, code: int, reason: str
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        assert await theirs.close(code, reason) == code
        assert await ours.event(ws.Close) == ws.Close(code, reason)
        await ours.ended()
        assert ours.connection.close_received_first


@pytest.mark.rule("1.1 reply to a Close")
@sends_empty_closes
async def test_their_empty_close_is_answered_with_1000(ws: Any, role: str, peer: Any) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        assert await theirs.close(None, "") == 1000
        assert await ours.event(ws.Close) == ws.Close(None, "")
        await ours.ended()


async def test_messages_of_theirs_before_their_close_answer_still_come(
    ws: Any, role: str, peer: Any
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        await theirs.send("last words")
        ours.connection.close()
        ours.flush()
        assert await theirs.closed() == (1000, "")
        assert (await ours.event(ws.TextMessage)).text == "last words"
        assert (await ours.event(ws.Close)).code == 1000
        await ours.ended()


@pytest.mark.rule("1.1 CloseConnection", "1.2 message limits")
async def test_close_1009_reaches_a_peer_that_is_still_sending(
    ws: Any, role: str, peer: Any
) -> None:
    async with opened(ws, role, peer, max_message_size=1000) as (ours, theirs):
        sending = asyncio.ensure_future(theirs.send(LARGE_BINARY))
        assert (await theirs.closed()).code == 1009
        await asyncio.gather(sending, return_exceptions=True)
        failed = await ours.event(ws.Failed)
        assert isinstance(failed.error, ws.LimitExceeded)
        await ours.ended()


# The opening handshake

REFUSAL_HEADERS = [("X-Reason", "no ticket"), ("Retry-After", "120")]
REFUSAL_BODY = b"You need a ticket.\n"


async def test_our_client_and_their_server_agree(ws: Any, peer: Any) -> None:
    answer = Answer(protocols=["v2.chat"], headers=[("X-Server", "theirs")])
    async with opened(
        ws,
        "client",
        peer,
        answer=answer,
        path="/chat?room=1",
        origin="http://example.com",
        protocols=["v1.chat", "v2.chat"],
        headers=[("X-Client", "ours"), ("Cookie", "a=1; b=2")],
    ) as (ours, theirs):
        assert theirs.path == "/chat?room=1"
        assert theirs.headers["origin"] == "http://example.com"
        assert theirs.headers["x-client"] == "ours"
        assert theirs.headers["cookie"] == "a=1; b=2"
        assert theirs.protocol == ours.connection.protocol == "v2.chat"
        response = ours.connection.handshake_response
        assert response.status == 101
        assert response.protocol == "v2.chat"
        assert response.headers.get("x-server") == "theirs"
        await close(ws, ours, theirs)


async def test_our_server_and_their_client_agree(ws: Any, peer: Any) -> None:
    request = Request(
        path="/chat?room=1",
        origin="http://example.com",
        protocols=["v1.chat", "v2.chat"],
        headers=[("X-Client", "theirs"), ("Cookie", "a=1; b=2")],
    )
    async with opened(
        ws,
        "server",
        peer,
        request=request,
        protocols=["v2.chat"],
        headers=[("X-Server", "ours")],
        origins=["http://example.com"],
    ) as (ours, theirs):
        asked = ours.connection.handshake_request
        assert asked.error is None
        assert asked.path == "/chat?room=1"
        assert asked.origin == "http://example.com"
        assert asked.protocols == ("v1.chat", "v2.chat")
        assert asked.headers.get("x-client") == "theirs"
        assert asked.headers.get("cookie") == "a=1; b=2"
        assert theirs.protocol == ours.connection.protocol == "v2.chat"
        assert theirs.headers["x-server"] == "ours"
        await close(ws, ours, theirs)


async def test_messages_that_leave_with_our_answer_arrive(ws: Any, peer: Any) -> None:
    async with serve(ws) as listener:
        connecting = asyncio.ensure_future(peer.connect(listener.port, PLAIN_REQUEST))
        ours = await listener.accepted()
        await ours.event(ws.HandshakeRequested)
        ours.connection.accept_handshake()
        ours.connection.send_text("with the answer")
        ours.connection.send_binary(LARGE_BINARY)
        ours.flush()
        await ours.event(ws.Connected)
        theirs = await connecting
        assert await theirs.receive() == "with the answer"
        assert await theirs.receive() == LARGE_BINARY
        await close(ws, ours, theirs)


async def test_no_subprotocol_is_agreed_where_none_is_offered(
    ws: Any, role: str, peer: Any
) -> None:
    async with opened(ws, role, peer) as (ours, theirs):
        assert ours.connection.protocol is None
        assert theirs.protocol is None
        await close(ws, ours, theirs)


async def test_our_server_declines_the_compression_that_they_offer(ws: Any, peer: Any) -> None:
    async with opened(ws, "server", peer) as (ours, theirs):
        offered = ours.connection.handshake_request.headers.get("Sec-WebSocket-Extensions")
        assert offered.startswith("permessage-deflate")
        assert "sec-websocket-extensions" not in theirs.headers
        assert ours.connection.extensions == ()
        await theirs.send("a" * 1000)
        assert (await ours.event(ws.TextMessage)).text == "a" * 1000
        await close(ws, ours, theirs)


async def test_our_client_offers_no_compression_to_a_server_that_would_agree(
    ws: Any, peer: Any
) -> None:
    async with opened(ws, "client", peer) as (ours, theirs):
        assert "sec-websocket-extensions" not in theirs.headers
        assert ours.connection.handshake_response.headers.get("Sec-WebSocket-Extensions") is None
        assert ours.connection.extensions == ()
        await theirs.send("a" * 1000)
        assert (await ours.event(ws.TextMessage)).text == "a" * 1000
        await close(ws, ours, theirs)


@pytest.mark.parametrize("status", [403, 404])
async def test_their_client_sees_our_refusal(ws: Any, peer: Any, status: int) -> None:
    async with serve(ws) as listener:
        connecting = asyncio.ensure_future(peer.connect(listener.port, Request("/nowhere")))
        ours = await listener.accepted()
        assert (await ours.event(ws.HandshakeRequested)).request.path == "/nowhere"
        ours.connection.reject_handshake(
            status, headers=[("Content-Type", "text/plain"), *REFUSAL_HEADERS], body=REFUSAL_BODY
        )
        ours.flush()
        with pytest.raises(Refused) as refusal:
            await connecting
        await ours.ended()
    assert refusal.value.status == status
    assert refusal.value.headers["content-type"] == "text/plain"
    assert refusal.value.headers["x-reason"] == "no ticket"
    assert refusal.value.headers["retry-after"] == "120"
    # aiohttp shows no body.
    assert refusal.value.body in {REFUSAL_BODY, None}


async def test_their_client_is_refused_for_its_origin(ws: Any, peer: Any) -> None:
    async with serve(ws, origins=["https://example.com"]) as listener:
        request = Request(origin="https://evil.example")
        connecting = asyncio.ensure_future(peer.connect(listener.port, request))
        ours = await listener.accepted()
        await ours.event(ws.HandshakeRequested)
        ours.connection.accept_handshake_auto()
        ours.flush()
        with pytest.raises(Refused) as refusal:
            await connecting
        assert isinstance((await ours.event(ws.Failed)).error, ws.InvalidHandshake)
        await ours.ended()
    assert refusal.value.status == 403


@pytest.mark.parametrize("status", [403, 404])
async def test_our_client_sees_their_refusal(ws: Any, peer: Any, status: int) -> None:
    answer = Answer(status, headers=REFUSAL_HEADERS, body=REFUSAL_BODY)
    await check_refusal(ws, peer, answer)


@only("wsproto", "aiohttp")
async def test_our_client_sees_their_refusal_in_chunks(ws: Any, peer: Any) -> None:
    answer = Answer(403, headers=REFUSAL_HEADERS, body=REFUSAL_BODY * 1000, chunked=True)
    response = await check_refusal(ws, peer, answer)
    assert response.headers.get("Transfer-Encoding") == "chunked"


async def check_refusal(ws: Any, peer: Any, answer: Answer) -> Any:
    async with peer.serve(answer) as listener:
        ours = await connect(ws, listener.port, "/nowhere")
        failed = await ours.event(ws.Failed)
        await ours.ended()
    assert isinstance(failed.error, ws.UnexpectedHttpResponse)
    response = failed.error.response
    assert response.status == answer.status
    assert response.reason in {HTTPStatus(answer.status).phrase, ""}  # wsproto sends none
    assert response.headers.get("X-Reason") == "no ticket"
    assert response.headers.get("Retry-After") == "120"
    assert response.body == answer.body
    assert ours.connection.handshake_response == response
    return response

"""Node's `ws` as a peer, in a process that runs `node_peer/peer.js`.

It is installed with ``npm --prefix tests/interop/node_peer ci``.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

from .driver import HOST, Listener
from .peers import (
    LARGEST,
    Answer,
    CloseFrame,
    Deflate,
    Implementation,
    Message,
    Peer,
    Refused,
    Request,
)

FOLDER = Path(__file__).with_name("node_peer")
NO_STATUS_RECEIVED = 1005


def missing() -> str:
    """What is missing to run the peer; nothing if it can be run."""
    node = shutil.which("node")
    if node is None:
        return "node is not installed here"
    found = subprocess.run(
        [node, "-e", "require('ws')"], cwd=FOLDER, capture_output=True, check=False
    )
    if found.returncode:
        return "Node's ws is not installed here: npm --prefix tests/interop/node_peer ci"
    return ""


@contextmanager
def run_node() -> Iterator[int]:
    """Run the process that all connections are in; gives its port."""
    command = ["node", str(FOLDER / "peer.js")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        # It ends with its input, which is closed where the block is left.


class Link:
    """What drives one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._queues: dict[str, asyncio.Queue[Any]] = {}
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def start(cls, control: int, order: str, /, **options: Any) -> Link:
        link = cls(*await asyncio.open_connection(HOST, control, limit=4 * LARGEST))
        await link.order(order, options)
        return link

    async def order(self, kind: str, argument: Any) -> None:
        self._writer.write(json.dumps([kind, argument]).encode() + b"\n")
        await self._writer.drain()

    async def told(self, kind: str) -> Any:
        """Wait until it tells something of a kind.

        Raises:
            ConnectionError: if the connection to it has ended.
        """
        getting = asyncio.ensure_future(self._queue(kind).get())
        try:
            await asyncio.wait({getting, self._reading}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
        finally:
            getting.cancel()
        raise ConnectionError(f"the peer has ended, and told nothing of {kind!r}")

    async def end(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        await self._reading

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while True:
                line = await self._reader.readline()
                if not line:
                    return
                kind, value = json.loads(line)
                self._queue(kind).put_nowait(value)

    def _queue(self, kind: str) -> asyncio.Queue[Any]:
        return self._queues.setdefault(kind, asyncio.Queue())


class NodePeer(Peer):
    def __init__(self, link: Link, told: dict[str, Any]) -> None:
        super().__init__(told["headers"], told["protocol"] or None, told["path"])
        self._link = link

    async def send(self, message: Message, *, compress: bool = True) -> None:
        await self._send(message, isinstance(message, str), True, compress)

    async def send_fragments(
        self,
        pieces: Sequence[Message],
        *,
        text: bool,
        ping: bytes | None = None,
        compress: bool = True,
    ) -> None:
        for number, piece in enumerate(pieces):
            if number and ping is not None:
                await self.ping(ping + b"%d" % number)
            await self._send(piece, text, number == len(pieces) - 1, compress)

    async def _send(self, piece: Message, text: bool, final: bool, compress: bool) -> None:
        data = piece.encode() if isinstance(piece, str) else piece
        await self._link.order(
            "send",
            {"data": _encode(data), "binary": not text, "fin": final, "compress": compress},
        )
        await self._link.told("sent")

    async def receive(self) -> Message:
        message = await self._link.told("message")
        data = b64decode(message["data"])
        return data if message["binary"] else data.decode()

    async def ping(self, payload: bytes) -> bytes:
        await self._link.order("ping", _encode(payload))
        return b64decode(await self._link.told("pong"))

    async def close(self, code: int | None, reason: str) -> int | None:
        await self._link.order("close", {"code": code, "reason": reason})
        return (await self.closed()).code

    async def closed(self) -> CloseFrame:
        close = await self._link.told("closed")
        await self._link.end()
        code = None if close["code"] == NO_STATUS_RECEIVED else close["code"]
        return CloseFrame(code, close["reason"])

    async def abort(self) -> None:
        await self._link.end()


class Node(Implementation):
    """Both sides of it.

    Args:
        port: that of the link.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    async def connect(self, port: int, request: Request) -> Peer:
        link = await Link.start(
            self._port,
            "connect",
            port=port,
            path=request.path,
            origin=request.origin,
            protocols=list(request.protocols),
            headers=list(request.headers),
            deflate=_deflate(request.deflate),
            largest=LARGEST,
        )
        waiting = {
            asyncio.ensure_future(link.told(kind)): kind for kind in ("open", "refused", "failed")
        }
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        task = done.pop()
        if waiting[task] == "open":
            return NodePeer(link, task.result())
        await link.end()
        assert waiting[task] == "refused", task.result()
        refusal = task.result()
        raise Refused(refusal["status"], dict(refusal["headers"]), b64decode(refusal["body"]))

    @asynccontextmanager
    async def serve(self, answer: Answer) -> AsyncIterator[Listener]:
        link = await Link.start(
            self._port,
            "serve",
            protocols=list(answer.protocols),
            status=answer.status,
            headers=list(answer.headers),
            body=answer.body.decode(),
            deflate=_deflate(answer.deflate),
            largest=LARGEST,
        )

        async def accepted() -> Peer:
            return NodePeer(link, await link.told("open"))

        try:
            yield Listener(await link.told("listening"), accepted)
        finally:
            await link.end()


def _encode(data: bytes) -> str:
    return b64encode(data).decode()


def _deflate(deflate: Deflate) -> dict[str, Any]:
    """Its options. One that is there, even as `null`, is not always one that is not."""
    options: dict[str, Any] = {"threshold": 0}
    if deflate.server_no_context_takeover:
        options["serverNoContextTakeover"] = True
    if deflate.client_no_context_takeover:
        options["clientNoContextTakeover"] = True
    if deflate.server_max_window_bits is not None:
        options["serverMaxWindowBits"] = deflate.server_max_window_bits
    if deflate.client_max_window_bits is not None:
        options["clientMaxWindowBits"] = deflate.client_max_window_bits
    return options

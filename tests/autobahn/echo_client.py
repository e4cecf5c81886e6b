"""The client that the suite's server tests: it runs every case, and echoes what it is sent.

Usage: echo_client.py PORT AGENT
"""

from __future__ import annotations

import asyncio
import json
import sys

from websocket import (
    BinaryMessage,
    ClientConnectionOptions,
    ConnectionState,
    Failed,
    PerMessageDeflateConfig,
    TextMessage,
    WebSocketClientConnection,
)
from websocket.cli.transport import ConnectionProtocol

HOST = "127.0.0.1"


class Client(ConnectionProtocol):
    """One conversation with the suite: it ends when the suite closes the connection."""

    def __init__(self, port, path, *, echo):
        options = ClientConnectionOptions(f"{HOST}:{port}", path, deflate=PerMessageDeflateConfig())
        connection = WebSocketClientConnection(options)
        connection.connect()
        super().__init__(connection, read_while_blocked=False)
        self.messages = []
        self.failure = None
        self._echo = echo

    def event_received(self, event):
        if isinstance(event, (TextMessage, BinaryMessage)):
            if not self._echo:
                self.messages.append(event)
            # What comes after our Close frame cannot be answered any more.
            elif self.connection.state is ConnectionState.CONNECTED:
                if isinstance(event, TextMessage):
                    self.connection.send_text(event.text)
                else:
                    self.connection.send_binary(event.data)
        elif isinstance(event, Failed):
            self.failure = event.error


async def converse(port, path, *, echo=False):
    client = Client(port, path, echo=echo)
    await asyncio.get_running_loop().create_connection(lambda: client, HOST, port)
    await client.closed
    return client


async def run(port, agent):
    (count,) = (await converse(port, "/getCaseCount")).messages
    for number in range(1, json.loads(count.text) + 1):
        client = await converse(port, f"/runCase?case={number}&agent={agent}", echo=True)
        print(number, client.failure or client.connection.close_received, flush=True)
    client = await converse(port, f"/updateReports?agent={agent}")
    if client.failure is not None:
        raise client.failure


asyncio.run(run(int(sys.argv[1]), sys.argv[2]))

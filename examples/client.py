"""A client over a blocking socket: says hello, prints the answer, closes."""

import socket
import time

from websocket import (
    BinaryMessage,
    ClientConnectionOptions,
    Close,
    CloseCode,
    Connected,
    ConnectionState,
    Failed,
    SendData,
    TextMessage,
    WebSocketClientConnection,
)

# The transport is yours: here a TCP connection.
sock = socket.create_connection(("127.0.0.1", 8080))

# The connection knows the protocol, and nothing of the socket.
options = ClientConnectionOptions("127.0.0.1:8080", "/")
connection = WebSocketClientConnection(options)
connection.connect()

while connection.state is not ConnectionState.CLOSED:
    # What the connection wants to send; first of all the request of the opening handshake.
    for output in connection.outputs():
        if isinstance(output, SendData):
            sock.sendall(output.data)

    # What has come; nothing means the end of the stream.
    data = sock.recv(4096)
    if data:
        connection.feed_recv_buf(data, time.monotonic())
    else:
        connection.feed_eof(time.monotonic())

    for event in connection.events():
        if isinstance(event, Connected):
            print(f"connected, subprotocol: {event.protocol}, extensions: {event.extensions}")
            connection.send_text("Hello, WebSocket!")
        elif isinstance(event, TextMessage):
            print(f"received: {event.text}")
            connection.close(CloseCode.NORMAL, "Goodbye")
        elif isinstance(event, BinaryMessage):
            print(f"received: {len(event.data)} bytes")
        elif isinstance(event, Close):
            print(f"closed: {event.code} {event.reason}")
        elif isinstance(event, Failed):
            raise event.error

sock.close()

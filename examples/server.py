"""A server over blocking sockets, one thread for each: sends back what it is sent."""

import socket
import threading
import time

from websocket import (
    BinaryMessage,
    CloseConnection,
    ConnectionState,
    Failed,
    HandshakeRequested,
    SendData,
    ServerConnectionOptions,
    TextMessage,
    WebSocketServerConnection,
)

# Requests without Origin do not come from browsers.
OPTIONS = ServerConnectionOptions(origins=[None, "http://127.0.0.1:8080"])


def serve(sock: socket.socket) -> None:
    connection = WebSocketServerConnection(OPTIONS)
    while connection.state is not ConnectionState.CLOSED:
        data = sock.recv(4096)
        if data:
            connection.feed_recv_buf(data, time.monotonic())
        else:
            connection.feed_eof(time.monotonic())

        for event in connection.events():
            if isinstance(event, HandshakeRequested):
                connection.accept_handshake_auto()
            elif isinstance(event, TextMessage):
                connection.send_text(event.text)
            elif isinstance(event, BinaryMessage):
                connection.send_binary(event.data)
            elif isinstance(event, Failed):
                print(f"failed: {event.error}")

        for output in connection.outputs():
            if isinstance(output, SendData):
                sock.sendall(output.data)
            elif isinstance(output, CloseConnection):
                # To close with unread input would reset the connection, and might lose what was
                # sent last: shut down, read on for a while, then close.
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(5)
                while sock.recv(4096):
                    pass


def serve_and_close(sock: socket.socket) -> None:
    with sock:
        try:
            serve(sock)
        except OSError as error:
            print(f"connection lost: {error}")


with socket.create_server(("127.0.0.1", 8080)) as listening:
    while True:
        sock, address = listening.accept()
        threading.Thread(target=serve_and_close, args=(sock,), daemon=True).start()

"""Measures what a prepared message saves: one message on many connections, in turns.

Usage: python benchmarks/prepared.py [--connections N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable

import websocket
from websocket import PreparedMessage, WebSocketServerConnection

EXTENSIONS = {
    "not compressed": (),
    "compressed, without context takeover": ("permessage-deflate; server_no_context_takeover",),
    "compressed, with context takeover": ("permessage-deflate",),
}
TEXT = json.dumps(
    [{"id": number, "symbol": f"ABC{number % 7}", "price": number * 1.25} for number in range(20)]
)


def drain(connections: list[WebSocketServerConnection]) -> int:
    return sum(
        len(output.data)
        for connection in connections
        for output in connection.outputs()
        if isinstance(output, websocket.SendData)
    )


def seconds(work: Callable[[], None]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what a prepared message saves.")
    parser.add_argument("--connections", type=int, default=500, help="500 by default")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each, 7 by default")
    arguments = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(f"websocket: {websocket.BACKEND} backend, {websocket.__file__}")
    print(f"a text of {len(TEXT)} bytes on {arguments.connections} connections")
    print()
    print("| connections | times as fast as `send_text` | times the bytes |")
    print("|---|---|---|")
    for name, extensions in EXTENSIONS.items():
        connections = [
            WebSocketServerConnection.established(extensions=extensions)
            for _ in range(arguments.connections)
        ]

        def one_by_one(connections: list[WebSocketServerConnection] = connections) -> None:
            for connection in connections:
                connection.send_text(TEXT)

        def prepared(connections: list[WebSocketServerConnection] = connections) -> None:
            message = PreparedMessage(TEXT)
            for connection in connections:
                connection.send_prepared(message)

        drain(connections)
        times: dict[Callable[[], None], list[float]] = {one_by_one: [], prepared: []}
        sizes: dict[Callable[[], None], int] = {}
        for _ in range(arguments.rounds):
            for work, taken in times.items():
                taken.append(seconds(work))
                sizes[work] = drain(connections)
        speed = statistics.median(times[one_by_one]) / statistics.median(times[prepared])
        print(f"| {name} | {speed:.1f} | {sizes[prepared] / sizes[one_by_one]:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compares this library with its peers: the same work, in one process, in turns.

Usage: python benchmarks/compare.py [--backend cython|python] [--rounds N]

Each row is work of a server-side connection object with its events drained, without a socket:
what a message costs before any input or output. The runs of all libraries alternate, so that a
machine that slows down slows down all of them; what counts is the ratio of the medians. Peers that
are not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import websocket
from websocket import BinaryMessage, Frame, TextMessage, WebSocketServerConnection

Run = Callable[[], None]

KEY = b"\x37\xfa\x21\x3d"


@dataclass(frozen=True)
class Work:
    """What is measured: feeds, one after the other, and whether each message is sent back."""

    name: str
    feeds: list[bytes]
    messages: int
    echo: bool = False


def frames(payload: str | bytes, feeds: int, per_feed: int = 1) -> list[bytes]:
    frame = Frame.text(payload) if isinstance(payload, str) else Frame.binary(payload)
    return [frame.encode(KEY) * per_feed] * feeds


def all_work() -> list[Work]:
    japanese = "日本語の文章" * 228
    return [
        Work("receive text 64 B", frames("a" * 64, 5000), 5000),
        Work("receive binary 64 B", frames(b"a" * 64, 5000), 5000),
        Work("receive text 64 B, 100 a feed", frames("a" * 64, 50, 100), 5000),
        Work("receive text 1 KiB", frames("a" * 1024, 3000), 3000),
        Work("receive text 16 KiB", frames("a" * 16384, 500), 500),
        Work("receive text 1 MiB", frames("a" * 1048576, 10), 10),
        Work("receive Japanese text 4 KiB", frames(japanese, 1000), 1000),
        Work("echo text 64 B", frames("a" * 64, 3000), 3000, echo=True),
        Work("echo text 16 KiB", frames("a" * 16384, 500), 500, echo=True),
    ]


def this_library(work: Work) -> Run:
    connection = WebSocketServerConnection.established()
    list(connection.events())
    list(connection.outputs())

    def run() -> None:
        messages = 0
        for data in work.feeds:
            connection.feed_recv_buf(data)
            for event in connection.events():
                kind = type(event)
                if kind is TextMessage:
                    messages += 1
                    if work.echo:
                        connection.send_text(event.text)
                elif kind is BinaryMessage:
                    messages += 1
            if work.echo:
                for _ in connection.outputs():
                    pass
        assert messages == work.messages, messages

    return run


def websockets_library(work: Work) -> Run:
    protocol = importlib.import_module("websockets.protocol")
    connection = protocol.Protocol(protocol.SERVER, max_size=None)

    def run() -> None:
        messages = 0
        for data in work.feeds:
            connection.receive_data(data)
            for frame in connection.events_received():
                messages += 1
                if work.echo:
                    connection.send_text(frame.data)
            if work.echo:
                connection.data_to_send()
        assert messages == work.messages, messages

    return run


def wsproto_library(work: Work) -> Run:
    wsproto = importlib.import_module("wsproto.connection")
    events = importlib.import_module("wsproto.events")
    connection = wsproto.Connection(wsproto.ConnectionType.SERVER)

    def run() -> None:
        messages = 0
        for data in work.feeds:
            connection.receive_data(data)
            for event in connection.events():
                messages += event.message_finished
                if work.echo:
                    connection.send(events.Message(event.data))
        assert messages == work.messages, messages

    return run


LIBRARIES: dict[str, Callable[[Work], Run]] = {
    "websocket-sansio": this_library,
    "websockets": websockets_library,
    "wsproto": wsproto_library,
}


def measure(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median of the CPU seconds of each run, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            seconds[name].append(time.process_time() - begin)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare this library with its peers.")
    parser.add_argument("--backend", choices=("cython", "python"), default="cython")
    parser.add_argument("--rounds", type=int, default=7, help="runs of each, 7 by default")
    arguments = parser.parse_args()
    if arguments.backend != websocket.BACKEND:
        print(
            f"this is the {websocket.BACKEND} backend of {websocket.__file__};"
            f" set WEBSOCKET_BACKEND={arguments.backend}",
            file=sys.stderr,
        )
        return 1
    libraries = {}
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}")
    print(f"websocket: {websocket.BACKEND} backend, {websocket.__file__}")
    for name, library in LIBRARIES.items():
        try:
            if library is not this_library:
                print(f"{name} {version(name)}")
        except PackageNotFoundError:
            print(f"{name} is not installed")
            continue
        libraries[name] = library
    peers = [name for name in libraries if name != "websocket-sansio"]
    print()
    print("| work | messages a second | " + " | ".join(f"times {name}" for name in peers) + " |")
    print("|---" * (len(peers) + 2) + "|")
    for work in all_work():
        medians = measure({name: make(work) for name, make in libraries.items()}, arguments.rounds)
        ours = medians["websocket-sansio"]
        ratios = " | ".join(f"{medians[name] / ours:.1f}" for name in peers)
        print(f"| {work.name} | {work.messages / ours:,.0f} | {ratios} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())

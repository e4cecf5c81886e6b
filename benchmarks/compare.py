"""Compares this library with its peers: the same work, in one process, in turns.

Usage: python benchmarks/compare.py [--backend cython|python] [--rounds N] [--rows SUBSTRING]
                                    [--seconds S] [--output FILE] [--check]

The first table is work of a connection object, without a socket: what a message costs before any
input or output. The second is masking alone. Only ratios count, since machines differ: each round
runs all libraries, one after the other, and gives a ratio of CPU seconds; the tables show the
median of the rounds, and the least and the greatest. Every run is checked to have done its work.

Nothing is installed. Peers that cannot be imported are left out, and named. The exit status is 1 if
another backend runs than the one asked for, 2 if --check finds that a floor does not hold.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from libraries import Library, Run, ThisLibrary, Websockets, Wsproto
from masking import OURS, SIZES, Masking, ways
from work import (
    ACCEPT_HANDSHAKES,
    COMPRESSED,
    COMPRESSED_ZLIB_NG,
    CONNECT_HANDSHAKES,
    ECHO,
    RECEIVE,
    SEND,
)

import websocket

PEERS: dict[str, Callable[[], Library]] = {"websockets": Websockets, "wsproto": Wsproto}


class Floor(NamedTuple):
    """How many times as fast as each peer this library is at least; `None`: no matter."""

    websockets: float | None = None
    wsproto: float | None = None

    def __str__(self) -> str:
        return " / ".join("-" if times is None else f"{times:g}" for times in self)


NO_FLOOR = Floor()

# The same floors for all rows of a size, where unmasking in Python decides.
FALLBACK_SMALL = {"python": Floor(1.2, 4), "pypy": Floor(None, 2)}
FALLBACK_LARGE = {"python": Floor(None, 0.7)}


class Row(NamedTuple):
    work: Any
    floors: dict[str, Floor]
    """By implementation: ``cython``, ``python`` (on CPython) and ``pypy``."""
    aim: float | None
    """How many times as fast as websockets the compiled backend is meant to be."""


def rows() -> Iterator[Row]:
    text, binary, text_batch, binary_batch, kib, text_16, binary_16, mib, japanese = RECEIVE
    for work in (text, binary):
        yield Row(work, {"cython": Floor(10, 30), **FALLBACK_SMALL}, 20)
    for work in (text_batch, binary_batch):
        yield Row(work, {"cython": Floor(25), **FALLBACK_SMALL}, 45)
    yield Row(kib, {"cython": Floor(10, 20)}, 15)
    for work in (text_16, binary_16):
        yield Row(work, {"cython": Floor(4, 10), **FALLBACK_LARGE}, 6)
    yield Row(mib, {"cython": Floor(2.5, 10), **FALLBACK_LARGE}, 4)
    yield Row(japanese, {"cython": Floor(1.5)}, 2.5)
    echo_small, echo_large = ECHO
    yield Row(echo_small, {"cython": Floor(10, 20), **FALLBACK_SMALL}, 16)
    yield Row(echo_large, {"cython": Floor(3, 10), **FALLBACK_LARGE}, 5)
    send_text, send_binary, send_text_mib, send_binary_mib = SEND
    for work in (send_text, send_binary):
        yield Row(work, {"cython": Floor(6), **FALLBACK_SMALL}, 12)
    for work in (send_text_mib, send_binary_mib):
        yield Row(work, {"cython": Floor(2), **FALLBACK_LARGE}, 3)
    yield Row(ACCEPT_HANDSHAKES, {"cython": Floor(2, 2)}, 4)
    yield Row(CONNECT_HANDSHAKES, {}, None)
    yield Row(COMPRESSED, {"cython": Floor(1.2)}, None)
    if can_import("zlib_ng.zlib_ng"):
        yield Row(COMPRESSED_ZLIB_NG, {}, 2)


# Measuring


class Ratio(NamedTuple):
    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.least:.3g} to {self.greatest:.3g})"


class Times(NamedTuple):
    """CPU seconds of each that was measured, one value a round."""

    seconds: dict[str, list[float]]

    def median(self, name: str) -> float:
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, base: str) -> Ratio:
        """How many times as long one takes as the other, which ran beside it in each round."""
        ratios = [one / other for one, other in zip(self.seconds[name], self.seconds[base])]
        return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def measure(
    prepares: dict[str, Callable[[], Run]],
    check: Callable[[Any], None],
    rounds: int,
    seconds: float,
) -> Times:
    """Take the time of each in turns.

    Args:
        prepares: by name, what makes a function ready that does the work once.
        check: is given what that function returns.
        rounds: how often each is measured.
        seconds: CPU time that one measurement takes at least, by doing the work more often.
    """
    repeats = {name: calibrate(prepare, check, seconds) for name, prepare in prepares.items()}
    times: dict[str, list[float]] = {name: [] for name in prepares}
    order = list(prepares)
    for _ in range(rounds):
        for name in order:
            times[name].append(once(prepares[name], check, repeats[name]))
        # None of them always runs in the wake of the same other.
        order.reverse()
    return Times(times)


def calibrate(prepare: Callable[[], Run], check: Callable[[Any], None], seconds: float) -> int:
    """Return how often the work fits into that time. Warms up, too: on PyPy that takes a while."""
    warm_up = 50 * seconds if implementation() == "pypy" else seconds
    repeat = 1
    spent = 0.0
    while True:
        taken = once(prepare, check, repeat) * repeat
        spent += taken
        if taken >= seconds and spent >= warm_up:
            return repeat
        if taken < seconds:
            repeat *= 2


def once(prepare: Callable[[], Run], check: Callable[[Any], None], repeat: int) -> float:
    """Return the CPU seconds of doing the work once, measured by doing it so many times."""
    gc.collect()
    taken = 0.0
    for _ in range(repeat):
        run = prepare()
        begin = time.process_time()
        result = run()
        taken += time.process_time() - begin
        check(result)
    return taken / repeat


# The tables


class Comparison:
    """What was asked for, run and written down."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.rounds: int = arguments.rounds
        self.seconds: float = arguments.seconds
        self.libraries: dict[str, Library] = {OURS: ThisLibrary(websocket)}
        self.missing: list[str] = []
        self.broken: list[str] = []
        """The floors that do not hold, in words."""
        for name, make in PEERS.items():
            try:
                self.libraries[name] = make()
            except ImportError:
                self.missing.append(name)

    def measure(self, prepares: dict[str, Callable[[], Run]], work: Any) -> Times:
        return measure(prepares, work.check, self.rounds, self.seconds)

    def connections(self, chosen: Sequence[Row]) -> Iterator[str]:
        yield from head(["work", "times a second", *PEERS, "floor", "holds", "aim"])
        for row in chosen:
            work = row.work
            prepares = {
                name: partial(library.prepare, work) for name, library in self.libraries.items()
            }
            times = self.measure(prepares, work)
            ratios = {
                name: times.ratio(name, OURS) if name in self.libraries else None for name in PEERS
            }
            floor = row.floors.get(implementation(), NO_FLOOR)
            aim = row.aim if implementation() == "cython" else None
            yield line(
                [
                    work.name,
                    f"{work.count / times.median(OURS):,.0f}",
                    *("-" if ratio is None else str(ratio) for ratio in ratios.values()),
                    "" if floor == NO_FLOOR else str(floor),
                    self._judge(work.name, floor, ratios),
                    "" if aim is None else f"{aim:g}",
                ]
            )

    def _judge(self, name: str, floor: Floor, ratios: dict[str, Ratio | None]) -> str:
        if floor == NO_FLOOR:
            return ""
        problems = []
        for peer, least in floor._asdict().items():
            if least is None:
                continue
            ratio = ratios[peer]
            if ratio is None:
                problems.append(f"{name}: {peer} is not there to compare with")
            elif ratio.median < least:
                problems.append(f"{name}: {ratio.median:.3g} times {peer}, not {least:g}")
        self.broken += problems
        return "**no**" if problems else "yes"

    def masking(self, chosen: Sequence[Masking]) -> Iterator[str]:
        masks = ways()
        others = [name for name in masks if name != OURS]
        yield from head(["size", "MB a second", *others])
        for work in chosen:
            prepares = {name: partial(work.prepare, mask) for name, mask in masks.items()}
            times = self.measure(prepares, work)
            speed = work.size * work.count / times.median(OURS) / 1e6
            ratios = [str(times.ratio(name, OURS)) for name in others]
            yield line([work.name.replace("mask ", ""), f"{speed:,.0f}", *ratios])


def head(cells: Sequence[str]) -> Iterator[str]:
    yield line(cells)
    yield line(["---", *["---:"] * (len(cells) - 1)])


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# The surroundings


def implementation() -> str:
    name = sys.implementation.name
    return websocket.BACKEND if name == "cpython" else name


def can_import(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            models = [text.partition(":")[2].strip() for text in file if "model name" in text]
    except OSError:
        models = []
    return models[0] if models else platform.processor() or platform.machine()


def versions(libraries: dict[str, Library]) -> Iterator[str]:
    yield f"{ThisLibrary.distribution} {version(ThisLibrary.distribution)} ({websocket.BACKEND})"
    for name, library in libraries.items():
        if name != OURS:
            yield f"{name} {version(library.distribution)}"
    if "websockets" in libraries:
        compiled = can_import("websockets.speedups")
        yield f"its masking in {'C' if compiled else 'Python'}"
    if can_import("zlib_ng.zlib_ng"):
        yield f"zlib-ng {version('zlib-ng')}"


def command(arguments: argparse.Namespace) -> str:
    """Return what gives the same tables again."""
    words = [f"WEBSOCKET_BACKEND={arguments.backend}", "python", "benchmarks/compare.py"]
    for name in ("backend", "rounds", "seconds", "rows"):
        value = getattr(arguments, name)
        if value != DEFAULTS[name]:
            words += [f"--{name}", shlex.quote(str(value))]
    return " ".join(words)


def surroundings(arguments: argparse.Namespace, comparison: Comparison) -> Iterator[str]:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.implementation.name != "cpython":
        python += f" ({'.'.join(map(str, sys.implementation.version[:3]))})"
    yield f"- Date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    yield f"- Machine: {processor()}, {os.cpu_count()} CPUs, {platform.platform()}"
    yield f"- Python: {python}"
    yield f"- Versions: {', '.join(versions(comparison.libraries))}"
    if comparison.missing:
        yield f"- Not installed: {', '.join(comparison.missing)}"
    yield f"- To repeat: `{command(arguments)}`"


ABOUT_CONNECTIONS = """\
How many times as fast as each peer this library is, server side, received frames masked: the median
of {rounds} rounds (the least and the greatest). All events and all outputs are drained after each
feed or send. `websockets` leaves text as undecoded bytes in this layer, here it is checked and
becomes `str`. The floors are for `websockets` / `wsproto`, the aim for `websockets`. Compression
has level 6, a window of 12 bits, memory level 8 and context takeover on all; no two messages are
the same."""

ABOUT_MASKING = """\
Masking alone, as often as it takes to be measured: how many times as long the others take. A copy
of the bytes cannot be beaten by much."""


def report(arguments: argparse.Namespace, comparison: Comparison) -> Iterator[str]:
    chosen = [row for row in rows() if arguments.rows in row.work.name]
    masking = [work for work in map(Masking, SIZES) if arguments.rows in work.name]
    yield from surroundings(arguments, comparison)
    if chosen:
        yield "\n" + ABOUT_CONNECTIONS.format(rounds=arguments.rounds) + "\n"
        yield from comparison.connections(chosen)
    if masking:
        yield "\n" + ABOUT_MASKING + "\n"
        yield from comparison.masking(masking)


# The command

DEFAULTS: dict[str, Any] = {"backend": "cython", "rounds": 9, "seconds": 0.02, "rows": ""}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare this library with its peers.")
    parser.add_argument("--backend", choices=("cython", "python"), help="cython by default")
    parser.add_argument("--rounds", type=int, help="measurements of each, 9 by default")
    parser.add_argument(
        "--seconds", type=float, help="CPU time of one measurement, at least; 0.02 by default"
    )
    parser.add_argument("--rows", help="only rows whose name contains this")
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    parser.add_argument(
        "--check", action="store_true", help="end with status 2 if a floor does not hold"
    )
    parser.set_defaults(**DEFAULTS)
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    if arguments.backend != websocket.BACKEND:
        print(
            f"this is the {websocket.BACKEND} backend of {websocket.__file__};"
            f" set WEBSOCKET_BACKEND={arguments.backend}",
            file=sys.stderr,
        )
        return 1
    print(f"websocket: {websocket.BACKEND} backend, {websocket.__file__}", file=sys.stderr)
    comparison = Comparison(arguments)
    lines = []
    for text in report(arguments, comparison):
        print(text, flush=True)
        lines.append(text)
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for problem in comparison.broken:
        print(f"a floor does not hold: {problem}", file=sys.stderr)
    return 2 if arguments.check and comparison.broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""Compares this library with its peers: the same work, in one process, in turns.

Usage: python benchmarks/compare.py [--backend cython|python] [--rounds N] [--rows SUBSTRING]
                                    [--seconds S] [--output FILE] [--check]

The first table is work of a connection object, without a socket: what a message costs before any
input or output. The second is masking alone. Only ratios count, since machines differ: each round
runs all libraries, one after the other, and gives a ratio of CPU seconds; the tables show the
median of the rounds, and the least and the greatest. Every run is checked to have done its work.

Nothing is installed. Peers that cannot be imported are left out, and named. The exit status is 1 if
another backend runs than the one asked for, or if there is no such row; 2 if --check finds a floor
that does not hold, or that cannot be judged because the peer is missing.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from libraries import PEERS, ThisLibrary, peers
from masking import MASKING, Masking, masks
from measuring import Ratio, Times, alone, measure
from work import ALL, Floor

import websocket

OURS = "this library"


# What is run


def connection_times(work: Any, rounds: int, seconds: float) -> Times:
    libraries = {OURS: ThisLibrary(websocket), **peers()}
    prepares = {name: partial(library.prepare, work) for name, library in libraries.items()}
    return measure(prepares, work.check, rounds, seconds)


def masking_times(work: Masking, rounds: int, seconds: float) -> Times:
    prepares = {
        name: partial(work.prepare, mask)
        for name, mask in {OURS: websocket.apply_mask, **masks()}.items()
    }
    return measure(prepares, work.check, rounds, seconds)


# The tables


def connections(
    works: Sequence[Any], rounds: int, seconds: float, broken: list[str]
) -> Iterator[str]:
    """Yield the lines of the table of connections; what does not hold is added to `broken`."""
    yield from head(["work", "times a second", *PEERS, "floor", "holds", "aim"])
    for work in works:
        times = alone(connection_times, work, rounds, seconds)
        ratios = {name: times.ratio(name, OURS) for name in PEERS if name in times.seconds}
        floor = work.floors.get(implementation(), Floor())
        problems = list(judge(floor, ratios))
        broken += [f"{work.name}: {problem}" for problem in problems]
        aim = work.aim if implementation() == "cython" else None
        yield line(
            [
                work.name,
                f"{work.count / times.median(OURS):,.0f}",
                *(str(ratios.get(name, "-")) for name in PEERS),
                str(floor) if any(floor) else "",
                "**no**" if problems else "yes" if any(floor) else "",
                f"{aim:g}" if aim else "",
            ]
        )


def judge(floor: Floor, ratios: dict[str, Ratio]) -> Iterator[str]:
    """Yield what does not hold."""
    for peer, least in floor._asdict().items():
        if least is None:
            continue
        if peer not in ratios:
            yield f"{peer} is not there to compare with"
        elif ratios[peer].median < least:
            yield f"{ratios[peer].median:.3g} times {peer}, not {least:g}"


def masking(works: Sequence[Masking], rounds: int, seconds: float) -> Iterator[str]:
    """Yield the lines of the table of masking."""
    others = list(masks())
    yield from head(["work", "MB a second", *others])
    for work in works:
        times = alone(masking_times, work, rounds, seconds)
        speed = work.size * work.count / times.median(OURS) / 1e6
        yield line([work.name, f"{speed:,.0f}", *(str(times.ratio(name, OURS)) for name in others)])


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
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        cpuinfo = ""
    models = [
        text.partition(":")[2].strip() for text in cpuinfo.splitlines() if "model name" in text
    ]
    return models[0] if models else platform.processor() or platform.machine()


def python() -> str:
    named = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.implementation.name == "cpython":
        return named
    return f"{named} ({'.'.join(map(str, sys.implementation.version[:3]))})"


def versions() -> Iterator[str]:
    yield f"websocket-sansio {version('websocket-sansio')} (backend {websocket.BACKEND})"
    for name in peers():
        yield f"{name} {version(name)}"
    if can_import("websockets.speedups"):
        yield "websockets.speedups in C"
    if can_import("zlib_ng.zlib_ng"):
        yield f"zlib-ng {version('zlib-ng')}"


def command(arguments: argparse.Namespace) -> str:
    """Return what makes the same tables again."""
    words = [f"WEBSOCKET_BACKEND={arguments.backend}", "python", "benchmarks/compare.py"]
    for name, default in DEFAULTS.items():
        value = getattr(arguments, name)
        if value != default:
            words += [f"--{name}", shlex.quote(str(value))]
    return " ".join(words)


def surroundings(arguments: argparse.Namespace) -> Iterator[str]:
    yield f"- Date: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    yield f"- Machine: {processor()}, {os.cpu_count()} CPUs, {platform.platform()}"
    yield f"- Python: {python()}"
    yield f"- Versions: {', '.join(versions())}"
    missing = [name for name in PEERS if name not in peers()]
    if missing:
        yield f"- Not installed: {', '.join(missing)}"
    yield f"- To repeat: `{command(arguments)}`"


# The command

ABOUT_CONNECTIONS = """
How many times as fast as each peer this library is: the median of {rounds} rounds (the least and
the greatest). The server's side, where nothing else is said; what is received is masked; all events
and all outputs are drained after each feed and each send. `websockets` leaves text as bytes in this
layer, unchecked; here and in `wsproto` it is checked and becomes `str`. The floors are for
`websockets` / `wsproto`, the aims for `websockets`. Compression has level 6, a window of 12 bits,
memory level 5 (8 in `wsproto`, which has no other) and context takeover. Its messages are much like
the one before, as those of a stock exchange are, or have nothing but their keys in common.
"""
ABOUT_MASKING = """
Masking alone: how many times as long the others take as this library. A copy of the bytes shows
what memory allows.
"""
DEFAULTS: dict[str, Any] = {"backend": "cython", "rounds": 9, "seconds": 0.02, "rows": ""}


def report(arguments: argparse.Namespace, broken: list[str]) -> Iterator[str]:
    """Yield the lines of the report; the floors that do not hold are added to `broken`."""
    works = [work for work in ALL if arguments.rows in work.name]
    works = [work for work in works if work.deflate is None or can_import(work.deflate.engine)]
    maskings = [work for work in MASKING if arguments.rows in work.name]
    if not works and not maskings:
        raise SystemExit(f"no row has {arguments.rows!r} in its name")
    yield from surroundings(arguments)
    if works:
        yield from ABOUT_CONNECTIONS.format(rounds=arguments.rounds).split("\n")
        yield from connections(works, arguments.rounds, arguments.seconds, broken)
    if maskings:
        yield from ABOUT_MASKING.split("\n")
        yield from masking(maskings, arguments.rounds, arguments.seconds)


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
    broken: list[str] = []
    lines = []
    for text in report(arguments, broken):
        print(text, flush=True)
        lines.append(text)
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for problem in broken:
        print(f"a floor does not hold: {problem}", file=sys.stderr)
    return 2 if arguments.check and broken else 0


if __name__ == "__main__":
    sys.exit(main())

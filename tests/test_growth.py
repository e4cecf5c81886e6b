"""Four times as much costs four times as much: counted in bytes, calls and instructions.

Each count sees what the others may not: the bytes allocated show a copy made by a C function, the
calls a loop in Python, and the instructions all that is done, in place and in compiled code too.
Seconds are never looked at. The work is that of `growth`.
"""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import growth
import pytest
from growth import FAULTS, ROWS, WARM_UP
from helpers import BINARY, KEY, frame

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython", reason="what is counted is CPython's"
)

if sys.implementation.name == "cpython":
    import tracemalloc

needs_valgrind = pytest.mark.skipif(
    shutil.which("valgrind") is None, reason="valgrind counts the instructions"
)

Row = Callable[[ModuleType, int], Iterator[None]]

SIZES = (1000, 4000)
FEWER = (400, 1600)
BOUND = 5
"""Times the smaller work that the larger may take. What grows with the square takes 16 times it."""


def allocated(steps: Iterator[None]) -> int:
    """Return how many bytes were allocated in all steps, what each gave back included."""
    # Also empties the lists that CPython keeps of tuples and the like, which are not seen again.
    gc.collect()
    tracemalloc.start()
    try:
        total = 0
        while True:
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            try:
                next(steps)
            except StopIteration:
                return total
            total += tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def called(steps: Iterator[None]) -> int:
    """Return how many calls of Python and of C functions all steps took."""
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in steps:
            pass
    finally:
        sys.setprofile(None)
    return calls


def growth_of(count: Callable[[Iterator[None]], int], row: Row, ws: ModuleType) -> float:
    """Return how many times as much is counted for the larger size."""
    for _ in row(ws, WARM_UP):
        pass
    counts = []
    for size in SIZES:
        steps = row(ws, size)
        next(steps)
        counts.append(count(steps))
    return counts[1] / counts[0]


@pytest.fixture(scope="session")
def instructions(ws: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """The instructions that each row takes, small and large, in a process of its own."""
    folder = tmp_path_factory.mktemp("callgrind")
    # The interpreter under valgrind is slow, and what Python code copies shows in its allocations.
    sizes = SIZES if ws.BACKEND == "cython" else FEWER
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    process = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--dump-before=getppid",
            f"--callgrind-out-file={folder}/out",
            sys.executable,
            growth.__file__,
            *map(str, sizes),
        ],
        cwd=folder,
        env={**environment, "WEBSOCKET_BACKEND": ws.BACKEND, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    rows = [*ROWS, *FAULTS]
    # Every second dump is of what was done between two rows.
    dumps = [folder / f"out.{2 * number}" for number in range(1, 2 * len(rows) + 1)]
    assert not (folder / f"out.{4 * len(rows) + 1}").exists()
    counts = [total(dump) for dump in dumps]
    return {row.__name__: counts[2 * at : 2 * at + 2] for at, row in enumerate(rows)}


def total(dump: Path) -> int:
    (line,) = [line for line in dump.read_text().splitlines() if line.startswith("totals: ")]
    return int(line.split()[1])


@pytest.mark.parametrize("row", ROWS)
def test_bytes_allocated_are_linear(ws: ModuleType, row: Row) -> None:
    assert growth_of(allocated, row, ws) <= BOUND


@pytest.mark.parametrize("row", ROWS)
def test_calls_are_linear(ws: ModuleType, row: Row) -> None:
    assert growth_of(called, row, ws) <= BOUND


@needs_valgrind
@pytest.mark.parametrize("row", ROWS)
def test_instructions_are_linear(instructions: dict[str, list[int]], row: Row) -> None:
    small, large = instructions[row.__name__]
    assert large <= BOUND * small


# What is counted shows the faults


def test_copies_show_in_the_bytes_allocated(ws: ModuleType) -> None:
    assert growth_of(allocated, growth.copies_the_rest, ws) > 2 * BOUND


def test_loops_show_in_the_calls(ws: ModuleType) -> None:
    assert growth_of(called, growth.asks_all_the_others, ws) > 2 * BOUND


@needs_valgrind
@pytest.mark.parametrize("fault", FAULTS)
def test_all_of_them_show_in_the_instructions(
    instructions: dict[str, list[int]], fault: Row
) -> None:
    small, large = instructions[fault.__name__]
    assert large > 2 * BOUND * small


def test_decoder_moves_each_byte_twice_at_most(load: Callable[[str], ModuleType]) -> None:
    moved = 0

    class Buffer(bytearray):
        def __delitem__(self, index: Any) -> None:
            nonlocal moved
            super().__delitem__(index)
            moved += len(self)

    decoder = load("python").FrameDecoder()
    decoder._buffer = Buffer()
    data = frame(BINARY, b"x" * 20, key=KEY) * 2000
    for start in range(0, len(data), 1500):
        decoder.feed(data[start : start + 1500])
        for _ in range(50):
            decoder.decode()
    assert 0 < moved < 2 * len(data)

"""What the suites share. Both backends are measured in one process, as the tests have them.

Run with `pytest benchmarks`. Compare two runs with the options of pytest-benchmark.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

# At the end: `conftest` is the one of the tests, whose folder pytest has put first.
sys.path.append(str(Path(__file__).parent))

from conftest import (
    pytest_addoption,
    pytest_configure,
    pytest_generate_tests,
    pytest_report_header,
    ws,
)
from libraries import ThisLibrary

__all__ = [
    "pytest_addoption",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_report_header",
    "ws",
]

ROUNDS = 30


def pytest_collection_modifyitems(items):
    for item in items:
        # CPU time, which is steadier than the clock on the wall.
        item.add_marker(pytest.mark.benchmark(timer=time.process_time))


@pytest.fixture
def library(ws):
    """This library on one backend."""
    return ThisLibrary(ws)


@pytest.fixture
def timed(benchmark):
    """Times a function that is made anew for each round, and checks what it returned."""

    def timed(name, prepare, check):
        benchmark.group = name
        check(
            benchmark.pedantic(
                lambda run: run(),
                setup=lambda: ((prepare(),), {}),
                rounds=ROUNDS,
                warmup_rounds=1,
            )
        )

    return timed

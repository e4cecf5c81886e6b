"""The benchmarks do what they say: whatever their figures are."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from commands import Commands, Finished, finish

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
PEERS = ("websockets", "wsproto")
QUICK = ("--rounds", "1", "--seconds", "0")

RATIO = r"[\d.e+]+ \([\d.e+]+ to [\d.e+]+\)"
NUMBER = r"[\d,]+"

IMPOSSIBLE = """
import dataclasses, sys
sys.path.insert(0, {folder!r})
import compare
work = dataclasses.replace(
    compare.ALL[0], floors={{compare.implementation(): compare.Floor(websockets=1e9)}}
)
compare.ALL[:] = [work]
sys.exit(compare.main())
"""


@pytest.fixture
def commands(ws: ModuleType, tmp_path: Path) -> Iterator[Commands]:
    commands = Commands(ws.BACKEND, tmp_path)
    yield commands
    commands.stop_all()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def compare(commands: Commands, *arguments: str) -> Finished:
    return finish(commands.python(str(BENCHMARKS / "compare.py"), *arguments))


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table, with its head and without the line below that."""
    return [
        [[cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()]
        for table in re.findall(r"(?:^\|.*\n)+", re.sub(r"^\| ---.*\n", "", text, flags=re.M), re.M)
    ]


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def test_the_tables(commands: Commands, ws: ModuleType, tmp_path: Path) -> None:
    finished = compare(
        commands, "--backend", ws.BACKEND, *QUICK, "--rows", "64 B", "--output", "table.md"
    )
    assert finished.status == 0, finished.err
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == finished.out
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d ", finished.out, re.M)
    assert re.search(r"^- Machine: .+ CPUs, ", finished.out, re.M)
    assert f"(backend {ws.BACKEND})" in finished.out
    assert f"`WEBSOCKET_BACKEND={ws.BACKEND} python benchmarks/compare.py" in finished.out
    for peer in PEERS:
        assert bool(re.search(rf"^- Versions: .*{peer} \d", finished.out, re.M)) == is_installed(
            peer
        )

    connections, masking = tables(finished.out)
    assert connections[0] == ["work", "times a second", *PEERS, "floor", "holds", "aim"]
    assert [row[0] for row in connections[1:]] == [
        "receive text 64 B",
        "receive binary 64 B",
        "receive text 64 B, 100 a feed",
        "receive binary 64 B, 100 a feed",
        "echo text 64 B",
        "client sends text 64 B",
        "client sends binary 64 B",
    ]
    for row in connections[1:]:
        assert re.fullmatch(NUMBER, row[1]), row
        for peer, cell in zip(PEERS, row[2:4]):
            assert re.fullmatch(RATIO if is_installed(peer) else "-", cell), row
        if row[4]:
            assert re.fullmatch(r"[\d.-]+ / [\d.-]+", row[4]), row
            assert row[5] in {"yes", "**no**"}, row
        else:
            assert row[5] == "", row
    assert any(row[4] for row in connections[1:])

    assert masking[0][:2] == ["work", "MB a second"]
    assert masking[0][-1] == "a copy"
    assert ("its fallback" in masking[0]) == (ws.BACKEND == "cython")
    ((name, speed, *ratios),) = masking[1:]
    assert name == "mask 64 B"
    assert re.fullmatch(NUMBER, speed)
    assert all(re.fullmatch(RATIO, ratio) for ratio in ratios), ratios


@pytest.mark.parametrize("rows", ["16 KiB", "handshake", "compressed"])
def test_other_work_is_done(commands: Commands, ws: ModuleType, rows: str) -> None:
    finished = compare(commands, "--backend", ws.BACKEND, *QUICK, "--rows", rows)
    assert finished.status == 0, finished.err
    assert tables(finished.out)


def test_another_backend_is_refused(commands: Commands, ws: ModuleType) -> None:
    other = {"cython": "python", "python": "cython"}[ws.BACKEND]
    finished = compare(commands, "--backend", other, *QUICK)
    assert finished.status == 1
    assert finished.out == ""
    assert finished.err.startswith(f"this is the {ws.BACKEND} backend of ")
    assert finished.err.endswith(f"; set WEBSOCKET_BACKEND={other}\n")


def test_a_row_that_is_not_there(commands: Commands, ws: ModuleType) -> None:
    finished = compare(commands, "--backend", ws.BACKEND, "--rows", "carrier pigeon")
    assert finished.status == 1
    assert finished.out == ""
    assert finished.err.endswith("no row has 'carrier pigeon' in its name\n")


@pytest.mark.parametrize(("arguments", "status"), [(["--check"], 2), ([], 0)])
def test_a_floor_that_does_not_hold(
    commands: Commands, ws: ModuleType, arguments: list[str], status: int
) -> None:
    program = IMPOSSIBLE.format(folder=str(BENCHMARKS))
    options = ["--backend", ws.BACKEND, *QUICK, "--rows", "receive", *arguments]
    finished = finish(commands.python("-c", program, *options))
    assert finished.status == status, finished.err
    assert "| **no** |" in finished.out
    assert "a floor does not hold: receive text 64 B: " in finished.err


def test_floors_are_judged_by_the_median(module: Any) -> None:
    judge, floor, ratio = module("compare").judge, module("work").Floor, module("measuring").Ratio
    ratios = {"websockets": ratio(2.0, 1.0, 9.0), "wsproto": ratio(2.9, 2.0, 9.0)}
    assert list(judge(floor(2, 2.5), ratios)) == []
    assert list(judge(floor(2, 3), ratios)) == ["2.9 times wsproto, not 3"]
    assert list(judge(floor(None, 3), ratios)) == ["2.9 times wsproto, not 3"]
    assert list(judge(floor(2), {})) == ["websockets is not there to compare with"]
    assert list(judge(floor(), {})) == []


def test_work_that_was_not_done_is_noticed(module: Any) -> None:
    work = module("work")
    receive, echo, send = work.RECEIVE[0], work.ECHO[0], work.SEND[0]
    accept, connect = work.HANDSHAKES
    undone = [
        (receive, work.Received(receive.count - 1, receive.payloads[-1])),
        (receive, work.Received(receive.count, receive.payloads[-1][:-1])),
        (echo, (len(echo.answer) - 1, [echo.answer[-100:]])),
        (echo, (len(echo.answer), [echo.answer[-100:-1]])),
        (echo, (len(echo.answer), [])),
        (work.COMPRESSED[0], (len(work.COMPRESSED[0].answer), [work.COMPRESSED[0].answer])),
        (send, work.Sent(0, send.feeds[0])),
        (send, work.Sent(len(send.answer) + 4 * send.count, send.feeds[0][:-1] + b"?")),
        (accept, work.Sent(0, b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        (connect, connect.count - 1),
        (module("masking").MASKING[0], b""),
    ]
    for each, result in undone:
        with pytest.raises(AssertionError):
            each.check(result)


def test_the_suites_run(commands: Commands, ws: ModuleType) -> None:
    options = ["-q", "-p", "no:cacheprovider", "--benchmark-disable", "--backend", ws.BACKEND]
    finished = finish(commands.python("-m", "pytest", *options, str(BENCHMARKS)))
    assert finished.status == 0, finished.out
    assert re.search(r"^\d+ passed", finished.out, re.M)

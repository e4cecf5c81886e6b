"""What the README shows works, on both backends."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from commands import CERTIFICATE, DEADLINE, KEY, Commands, finish, free_port

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
UNITS = {"s": 1, "KiB": 1024, "MiB": 1024 * 1024}


class Block(NamedTuple):
    heading: str
    language: str
    text: str


def blocks() -> Iterator[Block]:
    heading = ""
    for part in re.finditer(r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```$", README, re.M | re.S):
        if part[1]:
            heading = part[1]
        else:
            yield Block(heading, part[2], part[3])


BLOCKS = list(blocks())
PYTHON = {block.heading: block.text for block in BLOCKS if block.language == "python"}
CONSOLE = [block for block in BLOCKS if block.language == "console"]
ALONE = sorted(PYTHON.keys() - {"Client", "Server"})


@pytest.fixture
def commands(ws: ModuleType, tmp_path: Path) -> Iterator[Commands]:
    """Runs programs on the backend of `ws`; none outlives the test."""
    commands = Commands(ws.BACKEND, tmp_path)
    yield commands
    commands.stop_all()


def wait_for_server(port: int) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "the server of the README does not listen"
            time.sleep(0.01)
        else:
            return


def test_every_block_is_of_a_kind_that_is_tested() -> None:
    assert {block.language for block in BLOCKS} == {"python", "console"}
    assert len(PYTHON) == sum(block.language == "python" for block in BLOCKS)
    assert {"Client", "Server", "Sending", "Timers", "Frames"} <= PYTHON.keys()


@pytest.mark.parametrize("name", ["Client", "Server"])
def test_the_programs_are_those_of_the_examples(name: str) -> None:
    program = (ROOT / "examples" / f"{name.lower()}.py").read_text(encoding="utf-8")
    assert PYTHON[name] == program


def test_the_client_speaks_to_the_server(commands: Commands) -> None:
    port = free_port()
    server = commands.python("-c", PYTHON["Server"].replace("8080", str(port)))
    wait_for_server(port)
    client = finish(commands.python("-c", PYTHON["Client"].replace("8080", str(port))))
    assert client.err == ""
    assert client.out.splitlines() == [
        "connected, subprotocol: None, extensions: ()",
        "received: Hello, WebSocket!",
        "closed: 1000 ",
    ]
    assert client.status == 0
    server.kill()
    assert finish(server).err == ""


@pytest.mark.parametrize("name", ALONE)
def test_a_block_that_stands_alone(commands: Commands, name: str) -> None:
    finished = finish(commands.python("-c", PYTHON[name]))
    assert finished.err == ""
    assert finished.status == 0
    assert finished.out == ("text: Hello\n" if name == "Frames" else "")


# The commands


def command_lines() -> list[str]:
    """All lines behind a prompt."""
    return [
        line[2:] for block in CONSOLE for line in block.text.splitlines() if line.startswith("$ ")
    ]


@pytest.fixture
def shell(commands: Commands, tmp_path: Path) -> Commands:
    """Commands with a ``python`` on the PATH that is the one of this run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    commands.environment["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return commands


def run_line(shell: Commands, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        shell=True,
        cwd=shell.folder,
        env=shell.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=DEADLINE,
        check=False,
    )


needs_sh = pytest.mark.skipif(os.name != "posix", reason="the command lines are for sh")


def test_every_command_line_is_tested() -> None:
    assert [line for line in command_lines() if not line.startswith("pip install")] == [
        "python -m websocket server",
        r"printf 'hello\nこんにちは\n' | python -m websocket client ws://127.0.0.1:8080/",
        "python -m websocket server --tls --cert localhost.pem --key localhost.key",
        "python -m websocket client wss://127.0.0.1:8443/ --insecure",
        # By tests/test_benchmarks.py.
        "python benchmarks/compare.py",
        "python -m websocket --version",
    ]
    assert [line for line in command_lines() if line.startswith("pip install")] == [
        "pip install -e . && python -m websocket client",
        "pip install -e '.[test]' && pytest",
    ]


@needs_sh
def test_the_pipe(shell: Commands) -> None:
    (line,) = (line for line in command_lines() if "printf" in line)
    with shell.server() as server:
        finished = run_line(shell, line.replace("8080", str(server.port)))
    assert finished.stdout == "hello\nこんにちは\n"
    assert finished.returncode == 0


@needs_sh
def test_the_pipe_over_tls(shell: Commands) -> None:
    (line,) = (line for line in command_lines() if "--insecure" in line)
    with shell.server("--tls", "--cert", CERTIFICATE, "--key", KEY) as server:
        finished = run_line(shell, f"echo hello | {line}".replace("8443", str(server.port)))
    assert finished.stdout == "hello\n"
    assert finished.returncode == 0


@needs_sh
def test_the_client_without_a_url(shell: Commands) -> None:
    (line,) = (line for line in command_lines() if "pip install -e . &&" in line)
    finished = run_line(shell, line.partition(" && ")[2])
    assert finished.returncode == 0
    assert "started an echo server" in finished.stderr


@needs_sh
def test_the_version(shell: Commands) -> None:
    finished = run_line(shell, "python -m websocket --version")
    assert f"backend {shell.environment['WEBSOCKET_BACKEND']}" in finished.stdout


# The tables


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    section = README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row] for row in rows]


def value_of(cell: str) -> object:
    if cell.startswith("`"):
        return {"`()`": (), "`None`": None, "`True`": True}[cell]
    number, _, unit = cell.partition(" ")
    return int(number) * UNITS.get(unit, 1)


def test_the_options_have_the_defaults_of_the_table(ws: ModuleType) -> None:
    sides = {"client": ws.ClientConnectionOptions(), "server": ws.ServerConnectionOptions()}
    shown: dict[str, set[str]] = {side: set() for side in sides}
    for name, default, _ in table("Options")[1:]:
        option, _, side = name.partition(" ")
        option = option.strip("`")
        for each in [side.strip("()")] if side else sides:
            assert getattr(sides[each], option) == value_of(default), name
            shown[each].add(option)
    for side, options in sides.items():
        assert shown[side] | {"host", "path"} == set(vars(options)) | {"host", "path"}


def test_every_event_is_in_the_table(ws: ModuleType) -> None:
    rows = " ".join(row[0] for row in table("Events and errors"))
    for event in ws.events.Event.__args__:
        assert f"`{event.__name__}(" in rows


def test_every_name_in_backticks_that_looks_like_ours_is_ours(ws: ModuleType) -> None:
    foreign = {"Origin", "None", "True", "TypeError", "ValueError"}
    for name in re.findall(r"`([A-Z][a-z]\w+)[`(]", README):
        assert name in foreign or hasattr(ws, name), name

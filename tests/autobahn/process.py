"""Processes that write to a log, and never outlive the run."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

START = 60.0
"""Seconds within which a server must listen."""
SILENCE = 600.0
"""Seconds without a word after which a process hangs: the suite gives no case more than 480."""
STOP = 5.0
"""Seconds to end within when asked to."""

_LISTENING = re.compile(r"^listening on .*?([0-9]+)/?\n", re.MULTILINE)


class RunError(Exception):
    """The suite cannot be run here, or not to its end."""


class Process:
    """A process that ends with the `with` statement, at the latest.

    Args:
        name: of the log in the folder.
        command: what to run.
        folder: where to run it.
        **variables: to add to the environment.
    """

    def __init__(self, name: str, command: Sequence[str | Path], folder: Path, **variables: str):
        self._name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP)
        finally:
            self._process.kill()
            self._process.wait()

    def port(self) -> int:
        """Wait until a server tells its port, in a line such as ``listening on port 8080``."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            running = self._process.poll() is None
            line = _LISTENING.search(self._log.read_text(errors="replace"))
            if line is not None:
                return int(line[1])
            if not running:
                raise self._error(f"has ended with status {self._process.returncode}")
            time.sleep(0.05)
        raise self._error(f"does not listen after {START:.0f} seconds")

    def finish(self) -> None:
        """Wait until the process has ended well, for as long as it tells of progress."""
        size, told = -1, 0.0
        while self._process.poll() is None:
            now = time.monotonic()
            if self._log.stat().st_size != size:
                size, told = self._log.stat().st_size, now
            elif now - told > SILENCE:
                raise self._error(f"has told nothing for {SILENCE:.0f} seconds")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)
        if self._process.returncode != 0:
            raise self._error(f"has ended with status {self._process.returncode}")

    def _error(self, what: str) -> RunError:
        words = self._log.read_text(errors="replace").splitlines()[-10:]
        return RunError("\n    ".join([f"{self._name} {what}; the end of its log:", *words]))

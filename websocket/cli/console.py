"""What a command has to do with its terminal, its pipes and its signals."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from ..deflate import PerMessageDeflateConfig

__all__ = [
    "INTERRUPTED",
    "CommandError",
    "StandardInput",
    "add_no_compression",
    "deflate_of",
    "note",
    "one_line",
    "printable",
    "quiet_loop",
    "reason_of",
    "stop_signals",
]

INTERRUPTED = 130
"""The exit status of what SIGINT has ended, as shells count."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_TAB_AND_NEWLINE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_READ_SIZE = 64 * 1024
_BATCHES_AHEAD = 4


def add_no_compression(parser: argparse.ArgumentParser) -> None:
    """Add the switch that both commands have, for `deflate_of` to read."""
    parser.add_argument(
        "--no-compression",
        action="store_true",
        help="do not negotiate permessage-deflate",
    )


def deflate_of(arguments: argparse.Namespace) -> PerMessageDeflateConfig | None:
    """Return the option `deflate` that the command line asks for."""
    return None if arguments.no_compression else PerMessageDeflateConfig()


class CommandError(Exception):
    """Ends a command with one line on standard error.

    Args:
        message: that line.
        status: the exit status; 2 where the command line itself is wrong.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def note(text: str) -> None:
    """Tell something about the connection, in one line on standard error."""
    # Whoever does not want to hear it must not lose the connection over it. The end of the line
    # is printed with it, so that nothing gets between them.
    with suppress(OSError, ValueError):
        print(f"{one_line(text)}\n", end="", file=sys.stderr, flush=True)


def one_line(text: str) -> str:
    """Escape all control characters: what a peer sent must not forge lines or move the cursor."""
    return _CONTROL.sub(_escape, text)


def printable(text: str) -> str:
    """Escape what a terminal would obey; tabs and the ends of lines stay."""
    return _CONTROL_BUT_TAB_AND_NEWLINE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def reason_of(error: OSError) -> str:
    """Say what an error of the operating system or of TLS is about, without addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    # Where asyncio words an error anew, it keeps the number; errors of name resolution have
    # numbers of their own.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


@contextmanager
def stop_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` in the running loop at the first SIGINT or SIGTERM; a second one ends at once."""
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            # A KeyboardInterrupt could surface anywhere in the loop, and once more while it ends.
            if sys.stderr is not None:
                with suppress(OSError):
                    os.write(sys.stderr.fileno(), b"error: interrupted\n")
            os._exit(INTERRUPTED)
        loop.call_soon_threadsafe(stop)

    # Unlike loop.add_signal_handler() this works on Windows too.
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def quiet_loop() -> None:
    """Have the running loop tell of what goes wrong in it in one line instead of a traceback."""
    loop = asyncio.get_running_loop()
    if not loop.get_debug():
        loop.set_exception_handler(_tell)


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    exception = context.get("exception")
    cause = f": {type(exception).__name__}: {exception}" if exception is not None else ""
    note(f"error: {context['message']}{cause}")


class StandardInput:
    """The lines of standard input, in batches, as bytes without their ends.

    They are read in a thread, since an event loop can wait for pipes and terminals but not for
    files, and only a few batches ahead. The thread reads the file descriptor itself: the lock of
    `sys.stdin` would be held while it waits, and stop the interpreter from ending.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._batches: asyncio.Queue[list[bytes] | OSError | None] = asyncio.Queue()
        self._room = threading.Semaphore(_BATCHES_AHEAD)
        threading.Thread(target=self._read_all, name="standard input", daemon=True).start()

    @staticmethod
    def is_terminal() -> bool:
        """Whether somebody types."""
        return sys.stdin is not None and sys.stdin.isatty()

    async def next_batch(self) -> list[bytes] | None:
        """Return the lines that have come, at least one, or `None` at the end.

        Raises:
            CommandError: if standard input cannot be read.
        """
        batch = await self._batches.get()
        self._room.release()
        if isinstance(batch, OSError):
            raise CommandError(f"standard input cannot be read: {reason_of(batch)}")
        return batch

    def _read_all(self) -> None:
        end: OSError | None = None
        try:
            if sys.stdin is not None:  # which it is if it was closed
                self._read_lines(sys.stdin.fileno())
        except OSError as error:
            end = error
        except _LoopClosedError:
            return
        with suppress(_LoopClosedError):
            self._deliver(end)

    def _read_lines(self, descriptor: int) -> None:
        pieces: list[bytes] = []
        while True:
            data = os.read(descriptor, _READ_SIZE)
            if not data:
                break
            first, *rest = data.split(b"\n")
            pieces.append(first)
            if rest:
                *whole, last = rest
                self._deliver([_without_return(line) for line in (b"".join(pieces), *whole)])
                pieces = [last]
        line = b"".join(pieces)
        if line:
            self._deliver([_without_return(line)])

    def _deliver(self, batch: list[bytes] | OSError | None) -> None:
        self._room.acquire()
        try:
            self._loop.call_soon_threadsafe(self._batches.put_nowait, batch)
        except RuntimeError as error:
            raise _LoopClosedError from error


class _LoopClosedError(Exception):
    """Nobody asks for the lines any more."""


def _without_return(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\r") else line

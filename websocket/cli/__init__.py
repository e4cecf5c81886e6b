"""The commands: ``python -m websocket``."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Sequence

from .._backend import BACKEND, REASON
from .._version import VERSION
from . import client, server
from .console import INTERRUPTED, CommandError, note

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: its name and arguments; `None` takes those of the process.

    Returns:
        The exit status.

    Raises:
        SystemExit: after ``--help`` and ``--version``, and with status 2 for wrong arguments.
    """
    parser = argparse.ArgumentParser(
        prog="python -m websocket",
        description="WebSocket (RFC 6455) from the command line.",
        # Keeps the line of --version in one piece.
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version",
        action="version",
        version=_version(),
        help="show the version, the backend in use and why, and exit",
    )
    commands = parser.add_subparsers(title="commands", metavar="command", required=True)
    client.add_parser(commands)
    server.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except CommandError as error:
        note(f"error: {error}")
        return error.status
    except KeyboardInterrupt:
        note("error: interrupted")
        return INTERRUPTED
    return 0


def _version() -> str:
    interpreter = f"{platform.python_implementation()} {platform.python_version()}"
    return f"websocket-sansio {VERSION} on {interpreter}, backend {BACKEND}: {REASON}"

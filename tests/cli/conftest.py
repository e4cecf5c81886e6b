"""Processes for the tests of the commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from commands import Commands


@pytest.fixture
def commands(ws: ModuleType, tmp_path: Path) -> Iterator[Commands]:
    """Runs the commands on the backend of `ws`; none outlives the test."""
    commands = Commands(ws.BACKEND, tmp_path)
    yield commands
    commands.stop_all()

"""The clash with ``websocket-client``, which is imported as `websocket` too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import websocket
from websocket._conflict import check_conflict


def test_our_own_files_are_no_conflict() -> None:
    check_conflict(str(Path(websocket.__file__).parent))


@pytest.mark.parametrize("name", ["_abnf.py", "_app.py", "_core.py"])
def test_files_of_the_other_distribution_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ImportError) as caught:
        check_conflict(str(tmp_path))
    for words in ("'websocket-client'", name, repr(str(tmp_path)), "pip uninstall"):
        assert words in str(caught.value)


def test_importing_a_mixture_of_both_is_an_import_error(tmp_path: Path) -> None:
    package = tmp_path / "websocket"
    shutil.copytree(Path(websocket.__file__).parent, package)
    for name in ("_abnf.py", "_app.py", "_core.py", "_exceptions.py", "_socket.py"):
        (package / name).write_text("raise SystemExit('the other package is running')\n")
    result = subprocess.run(
        [sys.executable, "-c", "import websocket.errors"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    error = result.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: files of the distribution 'websocket-client' (_abnf.py,")

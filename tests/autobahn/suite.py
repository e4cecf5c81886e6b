"""The Autobahn testsuite: its environment, its two modes, and what it has found."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from expected import Outcomes
from process import Process, RunError

VIRTUALENV = "virtualenv==20.15.1"
"""Of the last ones that make environments for Python 2.7."""
TESTSUITE = "autobahntestsuite==0.8.2"

AGENT = "websocket"
"""The name of this library in the suite's reports."""

_LIST = """\
from autobahntestsuite.case import CaseBasename, Cases
for case in Cases:
    print(case.__name__[len(CaseBasename):].replace("_", "."))
"""
_IS_PYTHON2 = "import sys; sys.exit(sys.version_info[:2] != (2, 7))"


class Suite:
    """The suite, in an environment of its own, which is made if it is not there.

    Args:
        folder: where the environment is.
        python2: a Python 2.7 to make it with; by default one is looked for.

    Raises:
        RunError: if it is not there and cannot be made.
    """

    def __init__(self, folder: Path, python2: str | None = None) -> None:
        self._bin = folder / "suite" / "bin"
        if not (self._bin / "wstest").exists():
            _make_environment(folder, _find_python2(python2))

    def cases(self) -> list[str]:
        """Return the names of all cases."""
        return _call(self._bin / "python", "-W", "ignore", "-c", _LIST).split()

    def run_client(self, port: int, cases: Sequence[str], folder: Path) -> None:
        """Test a server with these cases."""
        url = f"ws://127.0.0.1:{port}"
        spec = _write_spec(folder, cases, servers=[{"agent": AGENT, "url": url}])
        command = [self._bin / "wstest", "--mode", "fuzzingclient", "--spec", spec]
        with Process("suite", command, folder, PYTHONWARNINGS="ignore") as client:
            client.finish()

    @contextmanager
    def run_server(self, cases: Sequence[str], folder: Path) -> Iterator[int]:
        """Run a server that tests its clients with these cases; its port is yielded."""
        spec = _write_spec(folder, cases, url="ws://127.0.0.1")
        script = Path(__file__).with_name("fuzzing_server.py")
        command = [self._bin / "python", "-W", "ignore", script, spec]
        with Process("suite", command, folder) as server:
            yield server.port()


def read_report(folder: Path) -> Outcomes:
    """Return what the suite has found."""
    index = folder / "index.json"
    report = json.loads(index.read_text()).get(AGENT, {}) if index.exists() else {}
    return {
        case: f"{result['behavior']}/{result['behaviorClose']}" for case, result in report.items()
    }


def _write_spec(folder: Path, cases: Sequence[str], **more: object) -> Path:
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"outdir": str(folder), "cases": cases, **more}))
    return spec


def _find_python2(named: str | None) -> str:
    """Return the path of a Python 2.7; of the one that was named, if it is one."""
    candidates = (
        [named]
        if named
        else [
            *map(str, Path.home().glob(".pyenv/versions/*2.7*/bin/python")),
            *filter(None, map(shutil.which, ("python2.7", "python2", "pypy2", "pypy"))),
        ]
    )
    for candidate in candidates:
        with suppress(OSError):
            if subprocess.run([candidate, "-c", _IS_PYTHON2], check=False).returncode == 0:
                return candidate
    raise RunError(
        f"the Autobahn testsuite needs Python 2.7, which {named} is not"
        if named
        else "the Autobahn testsuite needs Python 2.7: neither ~/.pyenv/versions nor the PATH has"
        " one, nor a PyPy of that version; --python2 names it"
    )


def _make_environment(folder: Path, python2: str) -> None:
    """Install the suite; what makes its environment needs one too, of today's Python."""
    print(f"installing {TESTSUITE} for {python2} in {folder}", file=sys.stderr)
    for half_made in (folder / "virtualenv", folder / "suite"):
        shutil.rmtree(half_made, ignore_errors=True)
    _call(sys.executable, "-m", "venv", folder / "virtualenv")
    _call(folder / "virtualenv" / "bin" / "pip", "install", VIRTUALENV)
    _call(folder / "virtualenv" / "bin" / "virtualenv", "--python", python2, folder / "suite")
    _call(folder / "suite" / "bin" / "pip", "install", TESTSUITE)


def _call(*command: str | Path) -> str:
    result = subprocess.run(
        command,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        words = "\n    ".join(f"{result.stdout}{result.stderr}".splitlines()[-10:])
        raise RunError(f"this has failed: {' '.join(map(str, command))}\n    {words}")
    return result.stdout

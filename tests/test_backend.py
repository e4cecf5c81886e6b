"""Which backend is picked, and what is said about it.

Each test imports a copy of the package, in a process of its own: the compiled module is replaced
by what the test needs, and the environment is the test's.
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import websocket

NOT_BUILT = "is not built" if sys.implementation.name == "cpython" else "is for CPython only"
TELL = "from websocket import _backend as b; print(b.BACKEND, b.REASON, sep=': ')"
SOUND = "from ._fallback import *\n"


class Site:
    """A folder with a copy of the package that has no compiled module."""

    def __init__(self, folder: Path) -> None:
        self.package = folder / "websocket"
        self.folder = folder
        shutil.copytree(
            Path(websocket.__file__).parent,
            self.package,
            ignore=shutil.ignore_patterns("__pycache__", "_speedups.*"),
        )

    def add(self, name: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.package / name).write_bytes(data)

    def run(
        self, *arguments: str, code: str = TELL, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("WEBSOCKET_")}
        return subprocess.run(
            [sys.executable, *(arguments or ("-c", f"import sys; {code}"))],
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_the_backend_in_use_is_public(ws: ModuleType) -> None:
    assert ws.BACKEND == ws._backend.BACKEND
    assert ws.BACKEND in {"cython", "python"}
    wire = {"cython": "_speedups", "python": "_fallback"}[ws.BACKEND]
    assert ws._backend._wire.__name__ == f"websocket.{wire}"


def test_both_backends_have_every_name(ws: ModuleType) -> None:
    for name in ws._backend.__all__:
        assert hasattr(ws._backend, name)
    assert set(ws._backend._NAMES) | {"BACKEND", "REASON"} == set(ws._backend.__all__)


def test_copies_on_both_backends_share_nothing(twins: tuple[ModuleType, ModuleType]) -> None:
    compiled, plain = twins
    assert (compiled.BACKEND, plain.BACKEND) == ("cython", "python")
    assert compiled.WebSocketError is not plain.WebSocketError
    assert compiled.connection is not plain.connection
    assert sys.modules["websocket"] in twins


def test_without_the_compiled_module_the_fallback_runs_and_is_no_reason_to_warn(site: Site) -> None:
    result = site.run()
    assert result.stdout.startswith("python: the compiled module ")
    assert NOT_BUILT in result.stdout
    assert result.stderr == ""


def test_with_the_compiled_module_it_runs(site: Site) -> None:
    site.add("_speedups.py", SOUND)
    result = site.run()
    assert result.stdout == "cython: the compiled module is there\n"
    assert result.stderr == ""


@pytest.mark.parametrize("backend", ["cython", "python"])
def test_either_can_be_forced_where_both_are_there(site: Site, backend: str) -> None:
    site.add("_speedups.py", SOUND)
    result = site.run(WEBSOCKET_BACKEND=backend)
    assert result.stdout == f"{backend}: WEBSOCKET_BACKEND asks for it\n"


def test_an_empty_variable_forces_nothing(site: Site) -> None:
    assert site.run(WEBSOCKET_BACKEND="").stdout.startswith("python: the compiled module ")


def test_a_forced_backend_that_is_missing_is_an_import_error_that_says_how_to_build_it(
    site: Site,
) -> None:
    result = site.run(WEBSOCKET_BACKEND="cython")
    assert result.returncode != 0
    error = last_line(result.stderr)
    assert error.startswith("ImportError: WEBSOCKET_BACKEND is 'cython', but the compiled module")
    assert NOT_BUILT in error
    assert "WEBSOCKET_SPEEDUPS=require pip install" in error


def test_an_unknown_backend_is_an_import_error_that_names_both(site: Site) -> None:
    result = site.run(WEBSOCKET_BACKEND="rust")
    assert last_line(result.stderr) == (
        "ImportError: WEBSOCKET_BACKEND must be 'cython' or 'python', not 'rust'"
    )


BROKEN = {
    "not a library": (f"_speedups{importlib.machinery.EXTENSION_SUFFIXES[0]}", b"not a library"),
    "raises": ("_speedups.py", "raise SystemError('wrong size of a type')"),
    "lacks a module": ("_speedups.py", "import websocket._no_such_module"),
    "older than the package": ("_speedups.py", "from ._fallback import apply_mask"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_compiled_module_that_fails_to_import_is_a_warning_not_silence(
    site: Site, kind: str
) -> None:
    site.add(*BROKEN[kind])
    result = site.run()
    assert result.returncode == 0
    assert result.stdout.startswith("python: the compiled module fails to import (")
    assert "RuntimeWarning: the compiled module fails to import (" in result.stderr
    assert "slow fallback" in result.stderr
    assert "WEBSOCKET_SPEEDUPS=require pip install" in result.stderr


@pytest.mark.parametrize("kind", BROKEN)
def test_a_forced_compiled_module_that_fails_to_import_is_an_import_error(
    site: Site, kind: str
) -> None:
    site.add(*BROKEN[kind])
    result = site.run(WEBSOCKET_BACKEND="cython")
    assert result.returncode != 0
    assert last_line(result.stderr).startswith(
        "ImportError: WEBSOCKET_BACKEND is 'cython', but the compiled module fails to import ("
    )


def test_forcing_python_does_not_even_look_at_a_broken_compiled_module(site: Site) -> None:
    site.add("_speedups.py", "raise SystemError")
    result = site.run(WEBSOCKET_BACKEND="python")
    assert result.stdout == "python: WEBSOCKET_BACKEND asks for it\n"
    assert result.stderr == ""


def test_the_command_line_tells_the_backend_and_why(site: Site) -> None:
    result = site.run("-m", "websocket", "--version")
    assert result.returncode == 0
    assert result.stdout.startswith("websocket-sansio ")
    assert ", backend python: the compiled module " in result.stdout
    assert len(result.stdout.splitlines()) == 1


def test_other_pythons_are_told_that_the_compiled_module_is_not_for_them(site: Site) -> None:
    result = site.run(code=f"sys.implementation.name = 'jython'; {TELL}")
    assert result.stdout == "python: the compiled module is for CPython only, this is jython\n"

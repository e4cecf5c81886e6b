"""What a run of the suite refuses: each test runs pytest on a small copy of it."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CAN_COMPILE, CANNOT_COMPILE = "true", "false"
"""C compilers that succeed and fail without a look at their arguments."""

TESTS = """
import pytest
def test_on_each_backend(ws): print(f"ran on {ws.BACKEND}")
def test_skipped(): pytest.skip("for lack of something")
"""


class Suite:
    """A copy of the package without its compiled module, and two tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "websocket"
        ignored = shutil.ignore_patterns("__pycache__", "_speedups.*")
        shutil.copytree(ROOT / "websocket", self.package, ignore=ignored)
        (folder / "tests").mkdir()
        shutil.copy(ROOT / "pyproject.toml", folder)
        shutil.copy(ROOT / "tests" / "conftest.py", folder / "tests")
        (folder / "tests" / "test_it.py").write_text(TESTS)
        self.installed = folder / "site-packages"
        self.source = self.package / "_speedups.pyx"
        self.source.touch()
        self.compiled = self.package / f"_speedups{importlib.machinery.EXTENSION_SUFFIXES[0]}"

    def run(self, *arguments: str, compiler: str) -> subprocess.CompletedProcess[str]:
        ignored = ("WEBSOCKET_", "PYTEST_", "HYPOTHESIS_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ignored)}
        path = (str(self.folder), str(self.installed))
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env={**inherited, "PYTHONPATH": os.pathsep.join(path), "CC": compiler},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    return Suite(tmp_path)


@pytest.fixture
def _cpython() -> None:
    if sys.implementation.name != "cpython":
        pytest.skip("the compiled module is for CPython only")


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    """The one line with which pytest has refused to run."""
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    (line,) = result.stderr.strip().splitlines()
    return line


@pytest.mark.usefixtures("_cpython")
def test_a_missing_compiled_module_is_refused_where_it_could_be_built(suite: Suite) -> None:
    line = refusal(suite.run(compiler=CAN_COMPILE))
    assert line.startswith("ERROR: the compiled module is missing in ")
    assert "pip install -e ." in line


def test_without_a_compiler_the_fallback_is_tested_alone(suite: Suite) -> None:
    result = suite.run(compiler=CANNOT_COMPILE)
    assert result.returncode == 0, result.stdout
    assert "ran on python" in result.stdout
    assert "ran on cython" not in result.stdout
    header = next(line for line in result.stdout.splitlines() if line.startswith("websocket: "))
    assert str(suite.package / "__init__.py") in header
    assert "backends: python (" in header


@pytest.mark.usefixtures("_cpython")
@pytest.mark.parametrize("newer", ["_speedups.pyx", "_wide.h"])
def test_a_compiled_module_older_than_its_source_is_refused(suite: Suite, newer: str) -> None:
    suite.compiled.touch()
    for source in ("_speedups.pyx", "_wide.h"):
        os.utime(suite.package / source, (3, 3) if source == newer else (1, 1))
    os.utime(suite.compiled, (2, 2))
    line = refusal(suite.run(compiler=CANNOT_COMPILE))
    assert f"{suite.compiled.name} is older than {newer}" in line


@pytest.mark.usefixtures("_cpython")
def test_a_broken_compiled_module_is_refused(suite: Suite) -> None:
    suite.compiled.write_text("not a library")
    line = refusal(suite.run(compiler=CANNOT_COMPILE))
    assert "the compiled module fails to import" in line


@pytest.mark.usefixtures("_cpython")
def test_a_module_compiled_from_another_source_is_refused(suite: Suite) -> None:
    installed = suite.installed / "websocket"
    suite.installed.mkdir()
    suite.package.rename(installed)
    (installed / suite.compiled.name).touch()
    suite.package.mkdir()
    suite.source.write_text("# changed since\n")
    line = refusal(suite.run(compiler=CANNOT_COMPILE))
    assert f"{installed / suite.compiled.name} was not built from {suite.source}" in line


def test_one_backend_can_be_asked_for(suite: Suite) -> None:
    result = suite.run("--backend", "python", compiler=CAN_COMPILE)
    assert result.returncode == 0, result.stdout
    assert "backends: python (--backend python)" in result.stdout


def test_skipped_tests_fail_the_run_on_demand(suite: Suite) -> None:
    result = suite.run("--backend", "python", "--fail-on-skip", compiler=CAN_COMPILE)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "tests/test_it.py::test_skipped" in result.stdout

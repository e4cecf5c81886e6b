"""The build and its switches, on a copy of the package with a compiled module of a few lines."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
CPYTHON = sys.implementation.name == "cpython"
SMALL_MODULE = "from ._fallback import *\n"
NO_COMPILER = "false"
"""A C compiler that cannot compile."""

pytest.importorskip("setuptools", minversion="77", reason="needs setuptools 77: '.[test]' has it")


class Build(NamedTuple):
    """What a build has made, or how it failed."""

    ok: bool
    log: str
    name: str
    files: list[str]
    path: Path


class Tree:
    """A copy of what the build needs of the repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("setup.py", "pyproject.toml", "MANIFEST.in", "LICENSE"):
            shutil.copy(ROOT / name, folder)
        for name in ("README.md", "CHANGES.md", "CONTRIBUTING.md"):
            (folder / name).write_text("A text.\n")
        shutil.copytree(
            ROOT / "websocket",
            folder / "websocket",
            ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.c", "*.html"),
        )
        (folder / "tests").mkdir()
        (folder / "tests" / "test_it.py").touch()
        self.source = folder / "websocket" / "_speedups.pyx"
        self.source.write_text(SMALL_MODULE)

    def build(self, kind: str, speedups: str, before: str = "", **environment: str) -> Build:
        """Build a ``wheel``, an ``editable`` or an ``sdist``; `before` is code that runs first."""
        output = self.folder / "dist"
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir()
        inherited = {k: v for k, v in os.environ.items() if k not in {"CC", "CFLAGS", "PYTHONPATH"}}
        code = f"import sys\n{before}\nfrom setuptools import build_meta\n"
        code += f"print(build_meta.build_{kind}({str(output)!r}))"
        result = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.folder,
            env={**inherited, "WEBSOCKET_SPEEDUPS": speedups, **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        log = result.stdout + result.stderr
        if result.returncode != 0:
            return Build(False, log, "", [], output)
        (path,) = output.iterdir()
        return Build(True, log, path.name, content(path), path)


def content(path: Path) -> list[str]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    with tarfile.open(path) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def compiled(build: Build) -> list[str]:
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return [name for name in build.files if name.endswith(suffixes)]


def backend_of(build: Build, folder: Path) -> str:
    """Unpack a wheel and say which backend it runs on, and why."""
    with zipfile.ZipFile(build.path) as archive:
        archive.extractall(folder)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("WEBSOCKET_")}
    return subprocess.run(
        [sys.executable, "-m", "websocket", "--version"],
        cwd=folder,
        env={**inherited, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "tree")


@pytest.fixture
def _cython() -> None:
    if not CPYTHON:
        pytest.skip("the compiled module is for CPython only")
    pytest.importorskip("Cython", reason="needs Cython: '.[test]' has it")


@pytest.fixture
def _compiler(_cython: None, backends: tuple[str, ...]) -> None:
    if "cython" not in backends:
        pytest.skip("this run is without the compiled module, so perhaps without a C compiler")


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize("speedups", ["auto", "require", ""])
def test_with_a_compiler_the_module_is_built(tree: Tree, tmp_path: Path, speedups: str) -> None:
    build = tree.build("wheel", speedups)
    assert build.ok, build.log
    assert len(compiled(build)) == 1
    assert "-none-any" not in build.name
    assert "backend cython: the compiled module is there" in backend_of(build, tmp_path / "site")


@pytest.mark.usefixtures("_compiler")
@pytest.mark.skipif(sys.platform == "win32", reason="that compiler has no -O3")
def test_it_is_optimised_further_than_the_distribution_asks_for(tree: Tree) -> None:
    build = tree.build("wheel", "require", CFLAGS="-O1")
    command = next(
        line for line in build.log.splitlines() if "_speedups.c" in line and "-c" in line
    )
    options = [option for option in command.split() if option.startswith("-O")]
    assert options[-1] == "-O3"


@pytest.mark.usefixtures("_compiler")
def test_an_editable_install_builds_it_beside_its_source(tree: Tree) -> None:
    build = tree.build("editable", "auto")
    assert build.ok, build.log
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    assert (tree.folder / "websocket" / f"_speedups{suffix}").exists()


@pytest.mark.usefixtures("_compiler")
def test_the_module_is_compiled_again_when_its_source_is_newer(tree: Tree, tmp_path: Path) -> None:
    assert tree.build("wheel", "require").ok
    later = tree.source.stat().st_mtime + 10
    tree.source.write_text("raise RuntimeError('compiled again')\n")
    os.utime(tree.source, (later, later))
    build = tree.build("wheel", "require")
    assert build.ok, build.log
    assert "compiled again" in backend_of(build, tmp_path / "site")


@pytest.mark.usefixtures("_cython")
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_auto_without_a_compiler_goes_on_without_the_module(tree: Tree, kind: str) -> None:
    build = tree.build(kind, "auto", CC=NO_COMPILER)
    assert build.ok, build.log
    assert compiled(build) == []
    assert not list((tree.folder / "websocket").glob("*.so"))
    assert "_speedups" in build.log


@pytest.mark.usefixtures("_cython")
@pytest.mark.parametrize("compiler", [NO_COMPILER, "no-such-compiler"])
def test_what_auto_makes_without_a_compiler_runs_and_says_why(
    tree: Tree, tmp_path: Path, compiler: str
) -> None:
    build = tree.build("wheel", "auto", CC=compiler)
    assert build.ok, build.log
    told = backend_of(build, tmp_path / "site")
    assert "backend python: the compiled module is not built" in told


@pytest.mark.usefixtures("_cython")
@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_require_without_a_compiler_fails(tree: Tree, kind: str) -> None:
    build = tree.build(kind, "require", CC=NO_COMPILER)
    assert not build.ok
    assert "error" in build.log.lower()


@pytest.mark.usefixtures("_cython")
@pytest.mark.parametrize("speedups", ["auto", "require"])
def test_what_cython_cannot_translate_is_fatal(tree: Tree, speedups: str) -> None:
    tree.source.write_text("cdef int x = no_such_name\n")
    build = tree.build("wheel", speedups)
    assert not build.ok
    assert "undeclared name" in build.log


def test_skip_makes_a_pure_wheel_and_needs_no_cython(tree: Tree, tmp_path: Path) -> None:
    build = tree.build("wheel", "skip", before="sys.modules['Cython'] = None")
    assert build.ok, build.log
    assert build.name.endswith("-py3-none-any.whl")
    assert "backend python: the compiled module " in backend_of(build, tmp_path / "site")


def test_a_pure_wheel_takes_no_module_along_that_lies_in_the_checkout(tree: Tree) -> None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        (tree.folder / "websocket" / f"_speedups{suffix}").touch()
    build = tree.build("wheel", "skip")
    assert build.ok, build.log
    assert compiled(build) == []


def test_auto_without_cython_goes_on_without_the_module(tree: Tree) -> None:
    build = tree.build("wheel", "auto", before="sys.modules['Cython'] = None")
    assert build.ok, build.log
    assert compiled(build) == []
    assert "without its compiled module: " in build.log


def test_require_without_cython_fails_and_says_so(tree: Tree) -> None:
    build = tree.build("wheel", "require", before="sys.modules['Cython'] = None")
    assert not build.ok
    assert "WEBSOCKET_SPEEDUPS is 'require', but " in build.log


def test_other_pythons_never_try(tree: Tree) -> None:
    build = tree.build("wheel", "auto", before="sys.implementation.name = 'jython'")
    assert build.ok, build.log
    assert build.name.endswith("-py3-none-any.whl")
    assert "for CPython only, this is jython" in build.log


def test_require_on_other_pythons_fails_and_says_so(tree: Tree) -> None:
    build = tree.build("wheel", "require", before="sys.implementation.name = 'jython'")
    assert not build.ok
    assert "'require', but the compiled module is for CPython only, this is jython" in build.log


def test_an_unknown_switch_fails_and_names_the_three(tree: Tree) -> None:
    build = tree.build("wheel", "yes")
    assert not build.ok
    assert "WEBSOCKET_SPEEDUPS must be 'auto', 'require' or 'skip', not 'yes'" in build.log


def test_a_wheel_holds_the_whole_package_and_nothing_else(tree: Tree) -> None:
    build = tree.build("wheel", "skip")
    inside = {name for name in build.files if ".dist-info/" not in name}
    suffixes = {".py", ".pyi", ".pyx", ".h", ".typed"}
    there = tree.folder.glob("websocket/**/*")
    assert inside == {
        path.relative_to(tree.folder).as_posix() for path in there if path.suffix in suffixes
    }
    assert "websocket/py.typed" in inside
    assert "websocket/_speedups.pyx" in inside
    assert any(name.endswith("licenses/LICENSE") for name in build.files)


def test_a_source_distribution_can_be_built_and_tested(tree: Tree) -> None:
    (tree.folder / "websocket" / "_speedups.c").touch()
    (tree.folder / "websocket" / "_speedups.so").touch()
    build = tree.build("sdist", "skip")
    assert build.ok, build.log
    for name in (
        "setup.py",
        "LICENSE",
        "websocket/_speedups.pyx",
        "websocket/_wide.h",
        "tests/test_it.py",
    ):
        assert name in build.files
    assert not [name for name in build.files if name.endswith((".c", ".so"))]

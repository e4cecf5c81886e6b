"""Both backends in one process, and what all tests share.

A test that takes the fixture `ws` runs once for each backend, with a full copy of the package that
was imported on that backend. The copies share nothing, so one may be compared with the other.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "websocket"
BACKENDS = ("cython", "python")

# The differential test between the backends takes ten times as many.
settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile(
    "ci",
    max_examples=1000,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "default")
)

_copies: dict[str, ModuleType] = {}
_skipped: list[str] = []
_chosen: list[str] = []
_reason = ""


def load(backend: str) -> ModuleType:
    """Return a copy of the package, all its modules imported, on one backend.

    The same copy each time: a compiled module can be loaded only once in a process.
    """
    if backend not in _copies:
        with warnings.catch_warnings():
            # That the compiled module is broken is told below, by the copy that insists on it.
            warnings.simplefilter("ignore", RuntimeWarning)
            plain = importlib.import_module(PACKAGE)
        if backend == plain._backend.BACKEND:
            _copies[backend] = plain
            _import_submodules(plain)
        else:
            with _forgotten_package(), _environment("WEBSOCKET_BACKEND", backend):
                copy = importlib.import_module(PACKAGE)
                _import_submodules(copy)
            _copies[backend] = copy
    return _copies[backend]


def _import_submodules(package: ModuleType) -> None:
    private = {f"{PACKAGE}.{name}" for name in ("_speedups", "_fallback", "__main__")}
    for module in pkgutil.walk_packages(package.__path__, f"{PACKAGE}."):
        if module.name not in private:
            importlib.import_module(module.name)


@contextmanager
def _forgotten_package() -> Iterator[None]:
    def ours() -> list[str]:
        return [name for name in sys.modules if name.split(".")[0] == PACKAGE]

    kept = {name: sys.modules.pop(name) for name in ours()}
    try:
        yield
    finally:
        for name in ours():
            del sys.modules[name]
        sys.modules.update(kept)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@pytest.fixture(scope="session")
def ws(request: pytest.FixtureRequest) -> ModuleType:
    """The package on one backend; every test that takes it runs over all of them."""
    return load(request.param)


@pytest.fixture(scope="session", name="load")
def load_fixture() -> Callable[[str], ModuleType]:
    """Returns the package on the backend named: ``load("python")``."""
    return load


@pytest.fixture(scope="session")
def backends() -> tuple[str, ...]:
    """The names of the backends that this run tests."""
    return tuple(_chosen)


@pytest.fixture(scope="session")
def twins() -> tuple[ModuleType, ModuleType]:
    """The package twice: compiled, and in Python."""
    missing = [backend for backend in BACKENDS if backend not in _chosen]
    if missing:
        pytest.skip(f"compares the backends, and this run is without {missing[0]}: {_reason}")
    return load("cython"), load("python")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("websocket")
    group.addoption(
        "--backend",
        choices=[*BACKENDS, "all"],
        default="all",
        help="run the tests over this backend only (default: all that this machine can have)",
    )
    group.addoption(
        "--fail-on-skip",
        action="store_true",
        help="fail if any test was skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    global _reason
    wanted = config.getoption("--backend")
    if wanted == "all":
        _chosen[:], _reason = _available()
    else:
        _chosen[:], _reason = [wanted], f"--backend {wanted}"
        # For what tests import by its plain name, and for the processes they start.
        os.environ["WEBSOCKET_BACKEND"] = wanted
    if "cython" in _chosen:
        problem = _problem_of_compiled()
        if problem:
            raise pytest.UsageError(problem)
    try:
        for backend in _chosen:
            load(backend)
    except ImportError as error:
        if "WEBSOCKET_BACKEND" not in str(error):
            raise
        raise pytest.UsageError(str(error)) from error


def _available() -> tuple[list[str], str]:
    if sys.implementation.name != "cpython":
        return ["python"], f"the compiled module is for CPython only, not {sys.implementation.name}"
    if _compiled() is None and not _can_compile():
        return ["python"], "no compiled module, and no C compiler to build it"
    return list(BACKENDS), ""


def _folder() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise pytest.UsageError("websocket cannot be imported: pip install -e '.[test]'")
    return Path(spec.origin).parent


def _compiled() -> Path | None:
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = _folder() / f"_speedups{suffix}"
        if path.exists():
            return path
    return None


def _can_compile() -> bool:
    """Whether a module could be built here: a compiler alone does not do without Python.h."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC")
    if not compiler:
        return False
    include = f"-I{sysconfig.get_path('include')}"
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <Python.h>\n")
        command = [*shlex.split(compiler), include, "-c", str(source), "-o", f"{source}.o"]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False


def _problem_of_compiled() -> str:
    """Why the compiled module must not be tested as it is, in one line, or nothing."""
    remedy = "build it (pip install -e .), or test the other alone (pytest --backend python)"
    compiled = _compiled()
    if compiled is None:
        return f"the compiled module is missing in {_folder()}, and it could be there: {remedy}"
    for source in ("_speedups.pyx", "_wide.h"):
        tested = ROOT / PACKAGE / source
        built_from = _folder() / source
        if not tested.exists() or not built_from.exists():
            continue
        if built_from.samefile(tested):
            if compiled.stat().st_mtime < tested.stat().st_mtime:
                return f"{compiled} is older than {source}: {remedy}"
        elif built_from.read_bytes() != tested.read_bytes():
            return f"{compiled} was not built from {tested}: {remedy}"
    return ""


def pytest_report_header() -> list[str]:
    without = f" ({_reason})" if _reason else ""
    header = [f"websocket: {_folder() / '__init__.py'}; backends: {', '.join(_chosen)}{without}"]
    if "cython" in _chosen:
        header.append(f"compiled module: {_compiled()}")
    return header


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "ws" in metafunc.fixturenames:
        metafunc.parametrize("ws", _chosen, indirect=True, scope="session")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if _skipped and session.config.getoption("--fail-on-skip"):
        session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _skipped and config.getoption("--fail-on-skip"):
        terminalreporter.section("skipped, which --fail-on-skip forbids", red=True)
        for name in _skipped:
            terminalreporter.line(name)

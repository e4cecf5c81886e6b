"""Run tests over the compiled module with every access to memory checked.

``python tests/sanitizers/run.py address`` builds it with AddressSanitizer and
UndefinedBehaviorSanitizer and runs the whole suite over it; ``... valgrind`` gives it the committed
inputs of the fuzz targets for frames and messages under memcheck. With arguments, which go to
pytest, either runs the tests that these choose. Needs gcc, and valgrind for the second.

The module is built in a copy that is thrown away. Node's modules are not in it, and the tests with
that peer are skipped: Node does not run on the allocator of the sanitizer. Nor can CPython count
blocks of memory there, so tests/test_leaks.py is skipped too. Before anything else a deliberate
fault shows that faults are found.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent.parent

SANITIZERS = (
    "-O1",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
)
SUPPRESSIONS = "/usr/lib/valgrind/python3.supp"

PROBE = """
/* What no code may do, for the command to see that it is found. */
int past_the_end(const char *data, long size) { return data[size + 8]; }
int shift_too_far(int bits) { return 1 << bits; }
int use_undefined(void) { volatile int any[8]; return any[any[3] & 7]; }
"""

IGNORED = shutil.ignore_patterns(
    ".*", "build", "dist", "venv", "node_modules", "__pycache__", "*.egg-info", "*.so"
)
"""What a copy is made without."""

DESELECTED = (
    "tests/test_growth.py::test_instructions_are_linear",
    "tests/test_growth.py::test_all_of_them_show_in_the_instructions",
)
"""They count instructions with valgrind, which cannot run what the sanitizers are loaded into."""

COMPARISONS = ["tests/test_twins.py", "tests/fuzz"]
"""What needs both backends."""


class Fault(Exception):
    """What the command fails with."""


class Copy:
    """A copy of the working tree, with the compiled module built in its own way."""

    def __init__(self, folder: Path, flags: Sequence[str]) -> None:
        self.folder = folder
        shutil.copytree(ROOT, folder, ignore=IGNORED, dirs_exist_ok=True)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        package = folder / "websocket"
        # Where setup.py has it, beside the headers that it includes.
        source = package / "_speedups.c"
        run(sys.executable, "-m", "cython", "-3", package / "_speedups.pyx", "-o", source)
        compile_c(source, package / f"_speedups{suffix}", flags)
        # Its name makes it count as the compiled module.
        self.probe = folder / "probe_speedups.so"
        source.write_text(PROBE)
        compile_c(source, self.probe, flags)
        source.unlink()

    def environment(self, **more: str) -> dict[str, str]:
        """An environment in which the copy is what is imported, and all memory is malloc's."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.folder),
            "PYTHONMALLOC": "malloc",
            "HYPOTHESIS_PROFILE": "quick",
            **more,
        }

    def probe_code(self, call: str) -> str:
        return f"import ctypes; ctypes.CDLL({str(self.probe)!r}).{call}"


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True)


def compile_c(source: Path, target: Path, flags: Sequence[str]) -> None:
    include = f"-I{sysconfig.get_path('include')}"
    run("gcc", "-shared", "-fPIC", "-g", "-w", *flags, include, source, "-o", target)


def library(name: str) -> str:
    found = subprocess.run(
        ["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True
    )
    return str(Path(found.stdout.strip()).resolve())


def address(folder: Path, arguments: Sequence[str]) -> None:
    copy = Copy(folder, SANITIZERS)
    reports = folder / "reports"
    reports.mkdir()
    environment = copy.environment(
        LD_PRELOAD=f"{library('libasan.so')} {library('libubsan.so')}",
        # In files, reports of processes whose stderr a test keeps to itself are seen too. Leaks
        # are not looked for: CPython leaves much to the end of the process.
        ASAN_OPTIONS=f"log_path={reports}/report:detect_leaks=0:allocator_may_return_null=1",
        UBSAN_OPTIONS="print_stacktrace=1",
    )

    def reported() -> str:
        return "\n".join(file.read_text(errors="replace") for file in sorted(reports.iterdir()))

    for call, report in (
        ("past_the_end(bytes(100), ctypes.c_long(100))", "heap-buffer-overflow"),
        ("shift_too_far(99)", "shift exponent 99 is too large"),
    ):
        probe = subprocess.run(
            [sys.executable, "-c", copy.probe_code(call)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if probe.returncode == 0 or report not in reported() + probe.stderr:
            raise Fault(f"the sanitizers do not find {call}")
    for file in reports.iterdir():
        file.unlink()
    # So captured, what the sanitizers write to the stderr of the process is seen.
    command = [sys.executable, "-m", "pytest", "--capture=sys", "-p", "no:cacheprovider"]
    command += [f"--deselect={name}" for name in DESELECTED]
    for chosen in [arguments] if arguments else [["--backend", "cython"], COMPARISONS]:
        status = subprocess.run(
            [*command, *chosen], cwd=folder, env=environment, check=False
        ).returncode
        text = reported()
        if text or status:
            raise Fault(f"{text}\npytest ends with {status}")


def valgrind(folder: Path, arguments: Sequence[str]) -> None:
    copy = Copy(folder, ["-O1"])
    report = folder / "report.xml"
    command = [
        "valgrind",
        "--xml=yes",
        f"--xml-file={report}",
        f"--suppressions={SUPPRESSIONS}",
        "--num-callers=30",
        "--error-limit=no",
        # A script of Python starts other programs, whose reports would go into the same file.
        "--trace-children=no",
        sys.executable,
    ]
    environment = copy.environment(PYTHONHASHSEED="0")

    def errors(*python: str) -> tuple[int, list[str]]:
        """Run Python; return its status and the errors that the compiled module has part in.

        But for leaks, which are reported in XML whatever the option says: CPython leaves much to
        the end of the process.
        """
        status = subprocess.run([*command, *python], cwd=folder, env=environment, check=False)
        found = [
            describe(error)
            for error in ElementTree.parse(report).iter("error")
            if not str(error.findtext("kind")).startswith("Leak_")
            and any("_speedups" in (module.text or "") for module in error.iter("obj"))
        ]
        return status.returncode, found

    for call in ("past_the_end(bytes(100), ctypes.c_long(100))", "use_undefined()"):
        if not errors("-c", copy.probe_code(call))[1]:
            raise Fault(f"valgrind does not find {call}")
    if arguments:
        runs = [["-m", "pytest", "-p", "no:cacheprovider", *arguments]]
    else:
        corpus = folder / "tests" / "fuzz" / "corpus"
        runs = [
            [
                str(folder / "tests" / "fuzz" / "run.py"),
                *("--backend", "cython", target),
                *map(str, sorted((corpus / target).iterdir())),
            ]
            for target in ("frames", "messages")
        ]
    for python in runs:
        status, found = errors(*python)
        if found or status:
            raise Fault("\n".join([*found, f"{' '.join(python[:4])} ends with {status}"]))


def describe(error: ElementTree.Element) -> str:
    """Put an error of memcheck into lines: what it is, and the calls that led there."""
    what = error.findtext("what") or error.findtext("xwhat/text")
    calls = [
        f"    {frame.findtext('fn')} ({frame.findtext('file')}:{frame.findtext('line')})"
        for frame in error.iter("frame")
    ]
    return "\n".join([str(what), *calls])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tool", choices=["address", "valgrind"])
    options, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            {"address": address, "valgrind": valgrind}[options.tool](Path(folder), arguments)
        except Fault as fault:
            print(fault)
            return 1
    print(f"{options.tool}: nothing found in the compiled module")
    return 0


if __name__ == "__main__":
    sys.exit(main())

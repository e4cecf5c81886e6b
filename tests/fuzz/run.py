"""Fuzz the package with atheris: ``python tests/fuzz/run.py [TARGET...] [--seconds N]``.

The Python code of the package is instrumented; the compiled backend runs the same inputs beside
it and must agree. New inputs go into the folder given with ``--corpus``, or are forgotten.

``python tests/fuzz/run.py TARGET FILE...`` runs a target once for each file, without atheris.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
SEEDS = HERE / "corpus"
sys.path.insert(0, str(HERE.parent))

MAX_SIZE = 4096
"""Octets in an input: more only make it slower."""
MAX_SECONDS = 20
"""Of CPU for one input. None of this size takes a hundredth of it."""
MAX_STALL = 600
"""Seconds by the clock, for what never comes back from C. A busy machine may stop a process."""
MAX_MEMORY = 2048
"""Mebibytes of the whole process."""


def load_instrumented() -> list[ModuleType]:
    """Return the package on both backends, the one in Python instrumented."""
    import atheris
    from conftest import load

    compiled = load("cython")
    with atheris.instrument_imports(include=["websocket"], exclude=["websocket.cli"]):
        return [compiled, load("python")]


def replay(name: str, files: Sequence[Path], backends: Sequence[str]) -> None:
    """Run a target once for each file; what it finds is raised."""
    from conftest import load
    from fuzz.targets import TARGETS

    copies = [load(backend) for backend in backends]
    for file in files:
        TARGETS[name](copies, file.read_bytes())
    print(f"{name}: {len(files)} inputs are fine")


def fuzz_here(name: str, arguments: Sequence[str]) -> None:
    """Fuzz one target until libFuzzer ends the process."""
    import atheris

    copies = load_instrumented()
    from fuzz.targets import TARGETS

    target = TARGETS[name]

    def run(data: bytes) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
        target(copies, data)

    signal.signal(signal.SIGVTALRM, too_slow)
    atheris.Setup([name, *arguments], run)
    atheris.Fuzz()


def too_slow(*_: object) -> None:
    raise TimeoutError(f"an input takes more than {MAX_SECONDS} seconds of CPU")


def fuzz(name: str, seconds: int, corpus: Path, findings: Path) -> bool:
    """Fuzz one target in a process of its own; whether nothing was found."""
    from fuzz.targets import DICTIONARY

    new = corpus / name
    new.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    words = corpus / "dictionary"
    words.write_text("".join(f'"{escaped(word)}"\n' for word in DICTIONARY))
    seeds = [str(SEEDS / name)] if (SEEDS / name).is_dir() else []
    before = set(findings.iterdir())
    started = time.monotonic()
    process = subprocess.run(
        [
            sys.executable,
            __file__,
            "--fuzz",
            name,
            f"-max_total_time={seconds}",
            f"-max_len={MAX_SIZE}",
            f"-timeout={MAX_STALL}",
            "-report_slow_units=600",
            f"-rss_limit_mb={MAX_MEMORY}",
            f"-dict={words}",
            f"-artifact_prefix={findings}{os.sep}{name}-",
            "-print_final_stats=1",
            "-verbosity=0",
            str(new),
            *seeds,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    inputs = [line.split()[-1] for line in process.stdout.splitlines() if "executed_units" in line]
    print(
        f"{name}: {' '.join(inputs) or '?'} inputs in {time.monotonic() - started:.0f} s",
        flush=True,
    )
    found = sorted(set(findings.iterdir()) - before)
    if process.returncode == 0 and inputs and not found:
        return True
    print(process.stdout)
    for file in found:
        print(f"{name}: the input is {file.read_bytes()!r}")
        print(f"repeat it with: python {os.path.relpath(__file__)} {name} {file}")
        print(f"once it is mended, keep it: cp {file} {os.path.relpath(SEEDS / name)}/")
    return False


def escaped(word: bytes) -> str:
    return "".join(f"\\x{octet:02x}" for octet in word)


def main() -> int:
    from conftest import _problem_of_compiled

    problem = _problem_of_compiled()
    if problem:
        sys.exit(problem)
    if sys.argv[1:2] == ["--fuzz"]:
        fuzz_here(sys.argv[2], sys.argv[3:])
    from fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)} (default: all)"
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--corpus", type=Path, help="where new inputs are kept")
    parser.add_argument(
        "--findings",
        type=Path,
        default=Path(tempfile.gettempdir(), "websocket-fuzz-findings"),
        help="where inputs that fail go (default: %(default)s)",
    )
    parser.add_argument(
        "--backend", choices=["cython", "python"], help="where files are given (default: both)"
    )
    options = parser.parse_args()
    names = options.names or list(TARGETS)
    if names[0] in TARGETS and len(names) > 1 and names[1] not in TARGETS:
        backends = [options.backend] if options.backend else ["cython", "python"]
        replay(names[0], [Path(file) for file in names[1:]], backends)
        return 0
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        parser.error(f"there is no target {unknown[0]!r}")
    with tempfile.TemporaryDirectory() as forgotten:
        corpus = options.corpus or Path(forgotten)
        sound = [fuzz(name, options.seconds, corpus, options.findings.resolve()) for name in names]
    return 0 if all(sound) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the Autobahn testsuite against this library, and compares each outcome with expected.csv.

As a server the suite tests `python -m websocket server`, as a client echo_client.py; both negotiate
permessage-deflate. The exit status is 0 if every outcome is as expected, 1 if one differs, is
missing or is new, 2 if the suite could not be run.

The suite needs Python 2.7. At the first run it is installed with pip, for one that is under
~/.pyenv/versions or on the PATH; a PyPy of that version will do. Elsewhere there is the container
image crossbario/autobahn-testsuite, which this command does not use.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import expected
from expected import BACKENDS, ROLES
from process import Process, RunError
from suite import AGENT, Suite, read_report

CACHE = Path(__file__).with_name(".cache")

GROUPS = {
    "fast": ("[1-7].*", "10.*"),
    # Every limit; every kind of data and every agreement, in small messages and in fragments.
    "spread": ("9.*", "12.?.[1-4]", "12.?.11", "13.?.[1-4]", "13.?.11"),
    "all": ("*",),
}


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--role", choices=[*ROLES, "both"], default="both")
    parser.add_argument("--backend", choices=[*BACKENDS, "both"], default="both")
    parser.add_argument(
        "--cases",
        nargs="+",
        default=["fast"],
        metavar="PATTERN",
        help="patterns such as 7.1.6 or 9.1.*, or fast (sections 1 to 7 and 10, the default),"
        " spread (9, limits and speed, and some of 12 and 13, compression), all",
    )
    parser.add_argument(
        "--update",
        action="store_true",
        help="write the outcomes of these cases to expected.csv instead of comparing them",
    )
    parser.add_argument(
        "--report",
        type=Path,
        default=CACHE / "report",
        metavar="DIR",
        help="where to leave the suite's reports, and logs (%(default)s)",
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=CACHE / "environment",
        metavar="DIR",
        help="where the suite is installed, or will be (%(default)s)",
    )
    parser.add_argument("--python2", metavar="PATH", help="the Python 2.7 to install it for")
    return parser.parse_args()


def run(suite: Suite, combination: str, cases: Sequence[str], folder: Path) -> expected.Outcomes:
    """Run cases with one role and backend; the reports and logs are left in the folder."""
    role, backend = combination.split("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if role == "server":
        command = [sys.executable, "-m", "websocket", "server", "--port", "0"]
        with Process("server", command, folder, WEBSOCKET_BACKEND=backend) as server:
            suite.run_client(server.port(), cases, folder)
    else:
        script = Path(__file__).with_name("echo_client.py")
        with suite.run_server(cases, folder) as port:
            command = [sys.executable, script, str(port), AGENT]
            with Process("client", command, folder, WEBSOCKET_BACKEND=backend) as client:
                client.finish()
    return read_report(folder)


def main() -> int:
    arguments = parse_arguments()
    combinations = [
        f"{role}/{backend}"
        for role in ROLES
        for backend in BACKENDS
        if arguments.role in (role, "both") and arguments.backend in (backend, "both")
    ]
    patterns = [name for pattern in arguments.cases for name in GROUPS.get(pattern, (pattern,))]
    suite = Suite(arguments.environment.resolve(), arguments.python2)
    every = suite.cases()
    for pattern in patterns:
        if not expected.select(every, [pattern]):
            raise RunError(f"the suite has no case {pattern!r}")
    cases = expected.select(every, patterns)
    reports = arguments.report.resolve()
    differences = 0
    for combination in combinations:
        started = time.monotonic()
        found = run(suite, combination, cases, reports / combination.replace("/", "-"))
        seconds = time.monotonic() - started
        counts = ", ".join(f"{n} {outcome}" for outcome, n in Counter(found.values()).most_common())
        print(f"{combination}: {len(found)} cases in {seconds:.0f} s: {counts}", flush=True)
        table = expected.read()
        outcomes = table[combination]
        known = {case: outcomes.pop(case) for case in expected.select(outcomes, patterns)}
        if arguments.update:
            outcomes.update(found)
            expected.write(table)
        else:
            for difference in expected.compare(known, found):
                print(f"  {difference}", flush=True)
                differences += 1
    if differences:
        print(f"{differences} outcomes are not as expected; {reports} tells of each case")
    return 1 if differences else 0


def interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # So that whatever was started is stopped.
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main())
    except RunError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)

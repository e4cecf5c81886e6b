"""The outcomes that the Autobahn testsuite is expected to find, and how a run differs from them.

An outcome is what the suite says of a case: the behaviour, and that of the closing handshake, as
``OK/OK``. The file holds a row for each case and a column for each combination of role and backend.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

ROLES = ("server", "client")
BACKENDS = ("cython", "python")
COMBINATIONS = tuple(f"{role}/{backend}" for role in ROLES for backend in BACKENDS)
EXPECTED = Path(__file__).with_name("expected.csv")

Outcomes = dict[str, str]


def in_order(cases: Iterable[str]) -> list[str]:
    """Sort as the suite runs them: 9.1.1 comes before 10.1.1."""
    return sorted(cases, key=lambda case: [int(number) for number in case.split(".")])


def select(cases: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """Return the cases that match any of the patterns, such as ``9.*``."""
    patterns = tuple(patterns)
    return in_order(
        case for case in cases if any(fnmatchcase(case, pattern) for pattern in patterns)
    )


def compare(expected: Outcomes, found: Outcomes) -> list[str]:
    """Return a line for each case whose outcome is another, is missing, or was not expected."""
    differences = []
    for case in in_order(expected.keys() | found.keys()):
        if case not in found:
            differences.append(f"{case}: missing, expected {expected[case]}")
        elif case not in expected:
            differences.append(f"{case}: {found[case]}, but no such case is expected")
        elif found[case] != expected[case]:
            differences.append(f"{case}: {found[case]}, expected {expected[case]}")
    return differences


def read(path: Path = EXPECTED) -> dict[str, Outcomes]:
    """Return the outcomes by combination and case."""
    table: dict[str, Outcomes] = {combination: {} for combination in COMBINATIONS}
    if path.exists():
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for combination in COMBINATIONS:
                    if row[combination]:
                        table[combination][row["case"]] = row[combination]
    return table


def write(table: dict[str, Outcomes], path: Path = EXPECTED) -> None:
    """Write all outcomes, in the order of the cases."""
    cases = in_order(set().union(*table.values()))
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["case", *COMBINATIONS])
        for case in cases:
            writer.writerow([case, *(table[name].get(case, "") for name in COMBINATIONS)])

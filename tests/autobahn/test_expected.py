"""How outcomes of the Autobahn testsuite are kept and compared, and which are expected."""

from __future__ import annotations

import pytest

from .expected import COMBINATIONS, compare, in_order, read, select, write

OK = "OK/OK"
INFORMATIONAL = "INFORMATIONAL/INFORMATIONAL"

UNDEFINED = {"7.1.6", "7.13.1", "7.13.2"}
"""Cases that the suite only informs of: RFC 6455 leaves open whether an echo that is under way when
the Close frame comes is still sent, and what becomes of codes from 5000 on."""


def test_equal_outcomes_do_not_differ():
    assert compare({}, {}) == []
    assert (
        compare({"1.1.1": OK, "7.1.6": INFORMATIONAL}, {"7.1.6": INFORMATIONAL, "1.1.1": OK}) == []
    )


@pytest.mark.parametrize("found", ["NON-STRICT/OK", "OK/WRONG CODE", "FAILED/FAILED"])
def test_another_behaviour_in_the_case_or_in_its_close_differs(found):
    differences = compare({"1.1.1": OK, "6.4.1": OK}, {"1.1.1": OK, "6.4.1": found})
    assert differences == [f"6.4.1: {found}, expected OK/OK"]


def test_a_better_outcome_than_expected_differs():
    assert compare({"6.4.1": "NON-STRICT/OK"}, {"6.4.1": OK}) == [
        "6.4.1: OK/OK, expected NON-STRICT/OK"
    ]


def test_a_case_that_was_not_run_differs():
    assert compare({"1.1.1": OK, "1.1.2": OK}, {"1.1.1": OK}) == ["1.1.2: missing, expected OK/OK"]


def test_a_case_that_is_not_expected_differs_even_if_it_is_ok():
    assert compare({"1.1.1": OK}, {"1.1.1": OK, "1.1.2": OK}) == [
        "1.1.2: OK/OK, but no such case is expected"
    ]


def test_differences_come_in_the_order_of_the_suite():
    found = dict.fromkeys(["10.1.1", "9.1.10", "9.1.9"], "FAILED/OK")
    assert [line.partition(":")[0] for line in compare({}, found)] == ["9.1.9", "9.1.10", "10.1.1"]


def test_patterns_select_sections_and_cases():
    cases = ["1.1.1", "12.1.1", "10.1.1", "1.1.10"]
    assert select(cases, ["1.*"]) == ["1.1.1", "1.1.10"]
    assert select(cases, ["12.*", "1.1.1"]) == ["1.1.1", "12.1.1"]
    assert select(cases, ["[1-7].*", "10.*"]) == ["1.1.1", "1.1.10", "10.1.1"]
    assert select(cases, ["3.*"]) == []


def test_what_is_written_is_read_back(tmp_path):
    table = {combination: {"9.1.1": OK, "1.1.1": OK} for combination in COMBINATIONS}
    table[COMBINATIONS[0]] = {"1.1.1": "FAILED/WRONG CODE", "10.1.1": OK}
    path = tmp_path / "expected.csv"
    write(table, path)
    assert read(path) == table
    rows = [line.partition(",")[0] for line in path.read_text().splitlines()]
    assert rows == ["case", "1.1.1", "9.1.1", "10.1.1"]


def test_nothing_is_expected_without_a_file(tmp_path):
    assert read(tmp_path / "expected.csv") == {combination: {} for combination in COMBINATIONS}


@pytest.mark.parametrize("combination", COMBINATIONS)
def test_every_case_of_every_combination_is_expected_to_be_ok(combination):
    outcomes = read()[combination]
    assert len(outcomes) == 517
    assert {case for case in outcomes if outcomes[case] == INFORMATIONAL} == UNDEFINED
    assert {outcomes[case] for case in outcomes.keys() - UNDEFINED} == {OK}
    assert list(outcomes) == in_order(outcomes)

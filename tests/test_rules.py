"""Every rule has a test that names it, and no test names a rule that does not exist."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from rules import LEFT_OUT, RULES

TESTS = Path(__file__).parent


def named_rules(source: str) -> Iterator[tuple[int, str | None]]:
    """Yield the line and the text of each argument of ``pytest.mark.rule``, None if not literal."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rule":
            for argument in [*node.args, *(keyword.value for keyword in node.keywords)]:
                literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
                yield argument.lineno, argument.value if literal else None


@pytest.fixture(scope="module")
def markers() -> list[tuple[str, str | None]]:
    """Where each rule is named, and which."""
    return [
        (f"{path.relative_to(TESTS)}:{line}", rule)
        for path in sorted(TESTS.rglob("test_*.py"))
        if path != Path(__file__)
        for line, rule in named_rules(path.read_text(encoding="utf-8"))
    ]


def test_every_rule_has_a_test(markers: list[tuple[str, str | None]]) -> None:
    named = {rule for _, rule in markers}
    untested = {rule: words for rule, words in RULES.items() if rule not in named}
    assert not untested, "rules without a test:\n" + "\n".join(
        f"  {rule}: {words}" for rule, words in untested.items()
    )


def test_every_marker_names_a_rule(markers: list[tuple[str, str | None]]) -> None:
    unknown = [
        f"  {place}: {rule!r}"
        for place, rule in markers
        if rule not in RULES and rule not in LEFT_OUT
    ]
    assert not unknown, "markers that name no rule (None: not a literal str):\n" + "\n".join(
        unknown
    )


def test_all_162_rules_of_the_reference_are_accounted_for() -> None:
    numbered = {rule for rule in [*RULES, *LEFT_OUT] if rule.startswith("R")}
    assert numbered == {f"R{number}" for number in range(1, 163)}


def test_no_rule_is_both_listed_and_left_out() -> None:
    assert RULES.keys().isdisjoint(LEFT_OUT)


def test_markers_are_found_wherever_they_stand() -> None:
    source = """
import pytest
pytestmark = pytest.mark.rule("R1")
@pytest.mark.rule("R2", "1.1 failure")
class TestIt:
    @pytest.mark.parametrize("case", [pytest.param(1, marks=[pytest.mark.rule("R3")])])
    @pytest.mark.rule(f"R{4}")
    async def test_it(self, case): ...
"""
    found = sorted(str(rule) for _, rule in named_rules(source))
    assert found == ["1.1 failure", "None", "R1", "R2", "R3"]

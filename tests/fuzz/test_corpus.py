"""The fuzz targets without the fuzzer: the committed inputs, and what the strategies draw."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from fuzz.layout import lay_out
from fuzz.seeds import seeds
from fuzz.targets import AGREEMENTS, TARGETS
from hypothesis import given
from hypothesis import strategies as st
from strategies import ROLES, any_streams, handshakes

CORPUS = Path(__file__).parent / "corpus"
INPUTS = sorted(path for path in CORPUS.glob("*/*") if path.is_file())
OCTETS = st.integers(min_value=0, max_value=255)


@pytest.fixture(scope="module")
def copies(load: Callable[[str], ModuleType], backends: tuple[str, ...]) -> list[ModuleType]:
    """The package on each backend that this run tests."""
    return [load(backend) for backend in backends]


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_committed_input_breaks_no_rule(copies: list[ModuleType], path: Path) -> None:
    TARGETS[path.parent.name](copies, path.read_bytes())


def test_the_seeds_are_those_that_are_written() -> None:
    written = {(path.parent.name, path.stem): path.read_bytes() for path in CORPUS.glob("*/*.seed")}
    assert written == {(target, name): data for target, name, data in seeds()}


def test_every_target_has_seeds() -> None:
    """But for the one whose inputs mean something else with each release of hypothesis."""
    assert {path.parent.name for path in INPUTS} == TARGETS.keys() - {"twins"}


@pytest.mark.parametrize("role", ROLES)
def test_streams_of_the_strategies_break_no_rule(copies: list[ModuleType], role: str) -> None:
    @given(
        st.lists(OCTETS, min_size=3, max_size=3),
        st.binary(max_size=12),
        handshakes(role),
        any_streams(masked=role == "server"),
    )
    def property_holds(choices: list[int], calls: bytes, opening: bytes, stream: bytes) -> None:
        for agreement in range(len(AGREEMENTS) + 1):
            wire = opening + stream if agreement == len(AGREEMENTS) else stream
            data = lay_out(ROLES.index(role), agreement, *choices, calls, rest=wire)
            TARGETS["messages"](copies, data)

    property_holds()


@pytest.mark.parametrize("role", ROLES)
def test_handshakes_of_the_strategies_break_no_rule(copies: list[ModuleType], role: str) -> None:
    @given(OCTETS, OCTETS, st.binary(max_size=4), handshakes(role))
    def property_holds(first: int, second: int, places: bytes, opening: bytes) -> None:
        TARGETS[f"{role}_handshake"](copies, lay_out(first, second, places, rest=opening))

    property_holds()


@pytest.mark.parametrize("name", sorted(TARGETS.keys() - {"twins"}))
def test_any_bytes_break_no_rule(copies: list[ModuleType], name: str) -> None:
    @given(st.binary(max_size=64))
    def property_holds(data: bytes) -> None:
        TARGETS[name](copies, data)

    property_holds()


def test_target_fails_where_a_rule_is_broken(
    copies: list[ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that leaves a Close frame unanswered is found."""
    for ws in copies:
        monkeypatch.setattr(ws.connection.Connection, "_send_close", lambda *_: None)
        monkeypatch.setattr(ws.connection.Connection, "_finish", lambda *_: None)
    data = (CORPUS / "messages" / "server-close-times-out.seed").read_bytes()
    with pytest.raises(AssertionError):
        TARGETS["messages"](copies, data)

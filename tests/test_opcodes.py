"""The opcodes of RFC 6455 section 11.8."""

from __future__ import annotations

import pytest

from websocket import Opcode

OPCODES = {"CONTINUATION": 0, "TEXT": 1, "BINARY": 2, "CLOSE": 8, "PING": 9, "PONG": 10}


@pytest.mark.rule("R1")
def test_names_and_numbers() -> None:
    assert {opcode.name: int(opcode) for opcode in Opcode} == OPCODES


@pytest.mark.rule("R9")
def test_other_numbers_are_none() -> None:
    for number in {-1, *range(300)} - set(OPCODES.values()):
        with pytest.raises(ValueError, match=str(number)):
            Opcode(number)


def test_kinds() -> None:
    assert [opcode.name for opcode in Opcode if opcode.is_control] == ["CLOSE", "PING", "PONG"]
    # A continuation carries data too.
    assert [opcode.name for opcode in Opcode if opcode.is_data] == [
        "CONTINUATION",
        "TEXT",
        "BINARY",
    ]


def test_an_opcode_is_a_number() -> None:
    assert Opcode.TEXT == 1
    assert Opcode(9) is Opcode.PING
    assert 0x80 | Opcode.PONG == 0x8A
